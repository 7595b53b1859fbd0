//! Sockets of every family, to whoever listens on the host.

use crate::case::{Case, Engine, Got};
use crate::lab::Need;

/// Connects or sends, and says the mark.
const SAY: &str = "def say(family, kind, address, protocol=0, how='connect'):
    one = socket.socket(family, kind, protocol)
    if how == 'connect': one.connect(address); one.send(MARK.encode()); one.settimeout(0.2); attempt(one.recv, 99)
    if how == 'sendto': one.sendto(MARK.encode(), address)
    if how == 'sendmsg': one.sendmsg([MARK.encode()], [], 0, address)
    if how == 'fastopen': one.sendto(MARK.encode(), 0x20000000, address)
    if how == 'fastopen-msg': one.sendmsg([MARK.encode()], [], 0x20000000, address)
UNIX, INET, INET6, STREAM, DGRAM, SEQ = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
";

const TCP: &str =
    "one = socket.socket(); one.bind(('127.0.0.1', 0)); one.listen(8); give(PORT=one.getsockname()[1]); serve(one)";
const TCP6: &str = "one = socket.socket(socket.AF_INET6); one.bind(('::', 0)); one.listen(8); give(PORT=one.getsockname()[1]); serve(one)";
const UDP: &str = "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(('127.0.0.1', 0)); give(PORT=one.getsockname()[1]); serve(one)";
/// An address of the machine that is not loopback, and a service there.
const OWN: &str = "probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: probe.connect(('192.0.2.77', 9)); ADDRESS = probe.getsockname()[0]
except OSError: ADDRESS = '127.0.0.1'
one = socket.socket(); one.bind((ADDRESS, 0)); one.listen(8); give(ADDRESS=ADDRESS, PORT=one.getsockname()[1]); serve(one)";

const LATER: &str =
    "A socket that a host program binds during the run, outside `/run` and a private `/tmp`, can be connected to";

fn says(name: &'static str, host: &str, attack: &str) -> Case {
    Case::new(name, Got::Outside, &format!("{SAY}{attack}")).outside(host)
}

/// A family that the kernel may lack, and that commands do not need.
fn family(name: &'static str, protocol: &'static str, make: &str) -> Case {
    Case::new(
        name,
        Got::Socket(protocol),
        &format!("try: one = socket.socket({make})\nexcept OSError as error: lacks(error)\nhold()"),
    )
}

pub fn cases() -> Vec<Case> {
    let stream = "serve(unix(OUT + '/s'))";
    let dgram = "serve(unix(OUT + '/s', socket.SOCK_DGRAM))";
    let seq = "serve(unix(OUT + '/s', socket.SOCK_SEQPACKET))";
    let abstract_one = "serve(unix('\\0' + MARK))";
    let abstract_dgram = "serve(unix('\\0' + MARK, socket.SOCK_DGRAM))";
    let mut cases = vec![
        says("tcp", TCP, "say(INET, STREAM, ('127.0.0.1', PORT))"),
        says("tcp-by-zero", TCP, "say(INET, STREAM, ('0.0.0.0', PORT))"),
        says("tcp-by-another-loopback-address", &TCP.replace("127.0.0.1", "0.0.0.0"), "say(INET, STREAM, ('127.9.9.9', PORT))"),
        says("tcp-by-own-address", OWN, "say(INET, STREAM, (ADDRESS, PORT))"),
        says("tcp6", TCP6, "say(INET6, STREAM, ('::1', PORT))"),
        says("tcp6-mapped", TCP, "say(INET6, STREAM, ('::ffff:127.0.0.1', PORT))"),
        says("tcp-fast-open", TCP, "attempt(say, INET, STREAM, ('127.0.0.1', PORT), 0, 'fastopen-msg'); say(INET, STREAM, ('127.0.0.1', PORT), 0, 'fastopen')"),
        says("mptcp", TCP, "try: say(INET, STREAM, ('127.0.0.1', PORT), 262)\nexcept OSError as error: lacks(error)"),
        family("sctp", "SCTP", "2, 1, 132"),
        family("sctp-of-packets", "SCTP", "2, 5, 132"),
        family("dccp", "DCCP", "2, 6, 33"),
        family("smc", "SMC", "43, 1, 0"),
        says("tcp-with-a-high-bit-in-the-family", TCP, "one = socket.socket(fileno=call('socket', 2 | 1 << 40, 1 | 1 << 36, 1 << 35)); one.connect(('127.0.0.1', PORT)); one.send(MARK.encode())"),
        says("udp", UDP, "say(INET, DGRAM, ('127.0.0.1', PORT), 0, 'sendto')"),
        says("udp-connected", UDP, "say(INET, DGRAM, ('127.0.0.1', PORT))"),
        says("udp-by-sendmsg", UDP, "say(INET, DGRAM, ('127.0.0.1', PORT), 0, 'sendmsg')"),
        says("udplite", UDP.replace("DGRAM)", "DGRAM, 136)").as_str(), "say(INET, DGRAM, ('127.0.0.1', PORT), 136, 'sendto')"),
        says("raw", "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253); serve(one)", "say(INET, socket.SOCK_RAW, ('127.0.0.1', 0), 253, 'sendto')").by_root(),
        says("ping", "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); serve(one)", "for kind in (DGRAM, socket.SOCK_RAW): attempt(lambda: socket.socket(INET, kind, 1).sendto(struct.pack('!BBHHH', 8, 0, 0, 1, 1) + MARK.encode(), ('127.0.0.1', 0)))\none = socket.socket(INET, socket.SOCK_RAW, 255)
body = struct.pack('!BBHHH', 8, 0, 0, 1, 1) + MARK.encode()
one.sendto(struct.pack('!BBHHHBBH4s4s', 69, 0, 20 + len(body), 0, 0, 64, 1, 0, socket.inet_aton('127.0.0.1'), socket.inet_aton('127.0.0.1')) + body, ('127.0.0.1', 0))").by_root(),
        says("frame", "one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)); one.bind(('lo', 0x88b5)); serve(one)", "one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0); one.bind(('lo', 0x88b5)); one.send(bytes(12) + b'\\x88\\xb5' + MARK.encode())").by_root(),
        says("frame-of-the-old-kind", "one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b6)); one.bind(('lo', 0x88b6)); serve(one)", "one = call('socket', 2, 10, 0)
address = struct.pack('<H14s', 2, b'lo'); frame = bytes(12) + b'\\x88\\xb6' + MARK.encode() + bytes(40)
if libc.sendto(one, frame, len(frame), 0, address, 16) < 0: raise OSError(ctypes.get_errno(), 'sendto')").by_root(),
        says("listening-for-the-host", "import threading
def knock():
    for _ in range(400):
        time.sleep(0.01)
        try: port = int(open(WORK + '/port').read())
        except (OSError, ValueError): continue
        try: one = socket.create_connection(('127.0.0.1', port), 1)
        except OSError: return
        if MARK.encode() in one.recv(99): got('the mark by a connection of the host')
        return
one = threading.Thread(target=knock); one.start(); wait(); one.join()", "one = socket.socket(); one.bind(('127.0.0.1', 0)); one.listen(1); open('p', 'w').write(str(one.getsockname()[1])); os.rename('p', 'port'); one.settimeout(0.6); peer, _ = one.accept(); peer.send(MARK.encode())"),
        says("path", stream, "say(UNIX, STREAM, OUT + '/s')"),
        says("path-relative", stream, "os.chdir(OUT); say(UNIX, STREAM, 's')"),
        says("path-with-dot-dot", stream, "say(UNIX, STREAM, '../out/./s')"),
        says("path-through-a-link", stream, "os.symlink(OUT + '/s', 'l'); say(UNIX, STREAM, 'l')"),
        says("path-through-a-link-of-the-directory", stream, "os.symlink(OUT, 'l'); say(UNIX, STREAM, 'l/s')"),
        says("path-through-proc", stream, "say(UNIX, STREAM, '/proc/self/root' + OUT + '/s')"),
        says("path-by-a-descriptor", stream, "fd = os.open(OUT + '/s', os.O_PATH); say(UNIX, STREAM, '/proc/self/fd/%d' % fd)"),
        says("path-by-a-descriptor-of-the-directory", stream, "fd = os.open(OUT, os.O_PATH); say(UNIX, STREAM, '/proc/self/fd/%d/s' % fd)"),
        says("path-hard-linked-in", stream, "os.link(OUT + '/s', 's'); say(UNIX, STREAM, 's')"),
        says("path-renamed-in", stream, "os.rename(OUT + '/s', 's'); say(UNIX, STREAM, 's')"),
        says("path-that-is-another-name", "serve(unix(OUT + '/s')) if os.symlink(OUT + '/s', HOME + '/l') is None else 0", "say(UNIX, STREAM, HOME + '/l')"),
        says("path-in-the-workspace", "serve(unix(WORK + '/s'))", "say(UNIX, STREAM, 's')"),
        says("path-in-the-workspace-renamed", "serve(unix(WORK + '/s'))", "attempt(os.rename, 's', 't'); say(UNIX, STREAM, 't')"),
        says("path-in-tmp", "name = '/tmp/' + MARK; one = unix(name)\ntry: serve(one)\nfinally: os.unlink(name)", "say(UNIX, STREAM, '/tmp/' + MARK)"),
        says("path-that-a-variable-names", stream, "say(UNIX, STREAM, os.environ.get('SSH_AUTH_SOCK', OUT + '/s'))").env(&[("SSH_AUTH_SOCK", "@OUT/s")]),
        says("path-not-utf-8", "serve(unix(os.fsencode(OUT) + b'/\\xff\\xfe'))", "say(UNIX, STREAM, os.fsencode(OUT) + b'/\\xff\\xfe')"),
        says("path-with-a-newline", "serve(unix(OUT + '/a\\nb'))", "say(UNIX, STREAM, OUT + '/a\\nb')").unpromised(&[Engine::Native, Engine::Bwrap], LATER),
        says("path-renamed-after-it-was-bound", "one = unix(OUT + '/s'); os.rename(OUT + '/s', OUT + '/t'); serve(one)", "say(UNIX, STREAM, OUT + '/t')").unpromised(&[Engine::Native, Engine::Bwrap], "renamed after it was bound"),
        says("path-bound-by-a-relative-name", "os.chdir(OUT); serve(unix('s'))", "say(UNIX, STREAM, OUT + '/s')").unpromised(&[Engine::Native, Engine::Bwrap], "bound by a relative name outside the workspace"),
        says("path-bound-by-a-relative-name-in-the-workspace", "os.chdir(WORK); serve(unix('s'))", "say(UNIX, STREAM, 's')"),
        says("path-bound-later", "ready()
while not os.path.exists(WORK + '/go'): time.sleep(0.003)
serve(unix(WORK + '/s'))", "open('go', 'w')
for _ in range(100):
    time.sleep(0.01)
    if os.path.exists(WORK + '/s'): break
time.sleep(0.05); say(UNIX, STREAM, WORK + '/s')").unpromised(&[Engine::Native, Engine::Bwrap], LATER),
        says("path-bound-later-and-no-unix", "ready()
while not os.path.exists(WORK + '/go'): time.sleep(0.003)
serve(unix(WORK + '/s'))", "open('go', 'w')
for _ in range(100):
    time.sleep(0.01)
    if os.path.exists(WORK + '/s'): break
time.sleep(0.05); say(UNIX, STREAM, WORK + '/s')").with(&["--no-unix"]),
        says("path-of-packets", seq, "say(UNIX, SEQ, OUT + '/s')"),
        says("path-of-datagrams", dgram, "say(UNIX, DGRAM, OUT + '/s', 0, 'sendto')"),
        says("path-of-datagrams-connected", dgram, "say(UNIX, DGRAM, OUT + '/s')"),
        says("path-of-datagrams-raw", dgram, "say(UNIX, socket.SOCK_RAW, OUT + '/s', 0, 'sendto')"),
        says("path-of-datagrams-from-a-pair", dgram, "for kind in (DGRAM, socket.SOCK_RAW): attempt(lambda: socket.socketpair(UNIX, kind)[0].sendto(MARK.encode(), OUT + '/s'))"),
        says("path-of-datagrams-from-a-pair-by-sendmsg", dgram, "socket.socketpair(UNIX, DGRAM)[0].sendmsg([MARK.encode()], [], 0, OUT + '/s')"),
        says("path-of-datagrams-from-a-pair-with-high-bits", dgram, "pair = (ctypes.c_int * 2)(); libc.syscall(ctypes.c_long(53 if X86 else 199), ctypes.c_long(1 | 1 << 32), ctypes.c_long(2 | 1 << 33), ctypes.c_long(0), pair); socket.socket(fileno=pair[0]).sendto(MARK.encode(), OUT + '/s')"),
        says("abstract", abstract_one, "say(UNIX, STREAM, '\\0' + MARK)"),
        says("abstract-with-the-host-s-network", abstract_one, "say(UNIX, STREAM, '\\0' + MARK)").with(&["--net", "host"]).needing(&[Need::Landlock(6)]),
        says("abstract-of-datagrams", abstract_dgram, "say(UNIX, DGRAM, '\\0' + MARK, 0, 'sendto')"),
        says("abstract-of-datagrams-from-a-pair", abstract_dgram, "socket.socketpair(UNIX, DGRAM)[0].sendto(MARK.encode(), '\\0' + MARK)"),
        says("abstract-of-packets", "serve(unix('\\0' + MARK, socket.SOCK_SEQPACKET))", "say(UNIX, SEQ, '\\0' + MARK)"),
        says("abstract-of-zeros", "serve(unix('\\0\\0' + MARK))", "say(UNIX, STREAM, '\\0\\0' + MARK)"),
        says("by-io-uring", stream, "params = ctypes.create_string_buffer(120); ring = call('io_uring_setup', 4, params); got = struct.unpack('<30I', params.raw)
import mmap
sq = mmap.mmap(ring, got[16] + 4 * 64, flags=mmap.MAP_SHARED, offset=0); sqes = mmap.mmap(ring, 64 * got[0], flags=mmap.MAP_SHARED, offset=0x10000000)
one = socket.socket(UNIX); address = ctypes.create_string_buffer(struct.pack('<H108s', 1, (OUT + '/s').encode()))
struct.pack_into('<BBHiQQIIQHHIQQ', sqes, 0, 16, 0, 0, one.fileno(), 110, ctypes.addressof(address), 0, 0, 0, 0, 0, 0, 0, 0)
struct.pack_into('<I', sq, got[16], 0); struct.pack_into('<I', sq, got[11], 1)
call('io_uring_enter', ring, 1, 1, 1, 0, 0); one.send(MARK.encode())").needing(&[]),
        family("netlink-events", "NETLINK", "16, 3, 15"),
        family("netlink-audit", "NETLINK", "16, 3, 9"),
        family("netlink-generic", "NETLINK", "16, 3, 16"),
        family("netlink-netfilter", "NETLINK", "16, 3, 12"),
        family("netlink-diagnosis", "NETLINK", "16, 3, 4"),
        family("vsock", "AF_VSOCK", "40, 1, 0"),
        family("packet", "PACKET", "17, 3, 0").by_root(),
        family("crypto", "ALG", "38, 5, 0"),
        family("xdp", "XDP", "44, 3, 0").by_root(),
        family("bluetooth", "HCI", "31, 3, 1"),
        family("tipc", "TIPC", "30, 5, 0"),
        family("kcm", "KCM", "41, 5, 0"),
        family("rds", "RDS", "21, 5, 0"),
        family("can", "CAN_RAW", "29, 3, 1"),
        family("key", "KEY", "15, 3, 2").by_root(),
    ];
    // Beside the proxy.
    let proxied = |name, host: &str, attack: &str| {
        says(name, host, attack).with(&["--net", "allow", "--allow-host", "allowed.invalid"])
    };
    cases.extend([
        proxied("beside-the-proxy", TCP, "say(INET, STREAM, ('127.0.0.1', PORT))"),
        proxied("beside-the-proxy-by-own-address", OWN, "say(INET, STREAM, (ADDRESS, PORT))"),
        proxied("beside-the-proxy-by-fast-open", TCP, "say(INET, STREAM, ('127.0.0.1', PORT), 0, 'fastopen')"),
        proxied("beside-the-proxy-by-mptcp", TCP, "try: say(INET, STREAM, ('127.0.0.1', PORT), 262)\nexcept OSError as error: lacks(error)"),
        proxied("beside-the-proxy-by-udp", UDP, "say(INET, DGRAM, ('127.0.0.1', PORT), 0, 'sendto')"),
        proxied("beside-the-proxy-by-a-path", stream, "say(UNIX, STREAM, OUT + '/s')"),
        proxied("beside-the-proxy-by-an-abstract-name", abstract_one, "say(UNIX, STREAM, '\\0' + MARK)"),
        proxied("through-the-proxy-to-the-host", TCP, "proxy = os.environ.get('http_proxy') or os.environ.get('HTTP_PROXY')
if not proxy: say(INET, STREAM, ('127.0.0.1', PORT)); sys.exit()
host, port = proxy.split('//')[1].rstrip('/').split(':')
for name in ('127.0.0.1', 'localhost', 'localhost.', '127.1', '2130706433', '0x7f.1', '0177.0.0.1', '0', '[::ffff:127.0.0.1]', '[::1]', '[::]', 'allowed.invalid@127.0.0.1', '127.0.0.1#allowed.invalid'):
    for text in ('CONNECT %s:%d HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n\\r\\n%s', 'GET http://%s:%d/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\nX: %s\\r\\n\\r\\n'):
        def act():
            one = socket.create_connection((host, int(port)), 2); one.send((text % (name, PORT, MARK)).encode()); one.settimeout(1); print(one.recv(40)); one.close()
        attempt(act)"),
    ]);
    cases
}
