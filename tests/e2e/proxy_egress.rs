//! Beside the proxy there is no way out: not to the server that the proxy may reach, and to nothing else.

use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::lab::{Lab, Need};
use crate::proxy_lab::{CLIENT, PYTHON, Place, Server, client};

/// `tried` prints what an act came to.
const TRY: &str = r"
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, act):
    try: act(); print(name, 'yes')
    except OSError as error: print(name, errno.errorcode.get(error.errno, error))
def tcp(family, address, *more):
    with socket.socket(family, socket.SOCK_STREAM, *more) as s: s.settimeout(5); s.connect(address); s.sendall(b'x')
def udp(family, address): socket.socket(family, socket.SOCK_DGRAM).sendto(b'x', address)
";

const DIRECT: &str = r"
other, datagrams, path, name = int(os.environ['OTHER']), int(os.environ['UDP']), os.environ['SOCK'], os.environ['NAME']
tried('tcp', lambda: tcp(socket.AF_INET, ('127.0.0.1', port)))
tried('tcp other', lambda: tcp(socket.AF_INET, ('127.0.0.1', other)))
tried('tcp elsewhere', lambda: tcp(socket.AF_INET, ('127.0.0.5', port)))
tried('tcp mapped', lambda: tcp(socket.AF_INET6, ('::ffff:127.0.0.1', port)))
tried('tcp any', lambda: tcp(socket.AF_INET, ('0.0.0.0', port)))
tried('udp', lambda: udp(socket.AF_INET, ('127.0.0.1', datagrams)))
tried('udp connected', lambda: (s := socket.socket(socket.AF_INET, socket.SOCK_DGRAM), s.connect(('127.0.0.1', datagrams)), s.send(b'x'), time.sleep(0.05), s.send(b'x')))
tried('mptcp', lambda: tcp(socket.AF_INET, ('127.0.0.1', port), 262))
tried('sctp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).connect(('127.0.0.1', port)))
tried('fastopen', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).sendto(b'x', 0x20000000, ('127.0.0.1', port)))
def sendmsg(): socket.socket(socket.AF_INET, socket.SOCK_STREAM).sendmsg([b'x'], [], 0x20000000, ('127.0.0.1', port))
tried('fastopen sendmsg', sendmsg)
def lazily():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.IPPROTO_TCP, 30, 1); s.connect(('127.0.0.1', port)); s.sendall(b'x')
tried('fastopen connect', lazily)
tried('unix', lambda: tcp(socket.AF_UNIX, path))
tried('abstract', lambda: tcp(socket.AF_UNIX, '\0' + name))
tried('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
tried('packet', lambda: socket.socket(17, socket.SOCK_RAW, 0))
tried('vsock', lambda: socket.socket(40, socket.SOCK_STREAM).connect((2, port)))
";

/// What a direct way looks like, to what would be reached if it worked.
struct Outside {
    server: Server,
    other: Server,
    datagrams: UdpSocket,
    path: UnixListener,
    named: UnixListener,
    env: Vec<String>,
}

impl Outside {
    fn new(lab: &Lab) -> Self {
        let (server, other) = (Server::hello(), Server::hello());
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (path, name) = (lab.path("outside.sock"), lab.path("abstract"));
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let named = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        [&listener, &named].iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        let udp = datagrams.local_addr().unwrap().port();
        let env = vec![
            format!("OTHER={}", other.port()),
            format!("UDP={udp}"),
            format!("SOCK={path}"),
            format!("NAME={name}"),
        ];
        Self { server, other, datagrams, path: listener, named, env }
    }

    fn env(&self) -> impl Iterator<Item = &str> {
        self.env.iter().flat_map(|one| ["--env", one.as_str()])
    }

    /// How often each was reached.
    fn reached(&self) -> [usize; 5] {
        let datagrams = std::iter::from_fn(|| self.datagrams.recv(&mut [0; 9]).ok()).count();
        let accepted = |listener: &UnixListener| std::iter::from_fn(|| listener.accept().ok()).count();
        [self.server.called(), self.other.called(), datagrams, accepted(&self.path), accepted(&self.named)]
    }
}

#[test]
fn nothing_is_reached_directly_that_the_proxy_would_lead_to_or_would_not() {
    let script = format!("{TRY}{DIRECT}print(body(get(f'http://127.0.0.1:{{port}}/')))");
    for place in Place::all() {
        let outside = Outside::new(&place.lab);
        let at = outside.server.address.to_string();
        let port = outside.server.port().to_string();
        let options: Vec<_> = ["--allow-host", at.as_str()].into_iter().chain(outside.env()).collect();
        let ran = client(place.allowing(options), &script, &[&port]);
        let printed = ran.stdout();
        let worked: Vec<_> = printed.lines().filter(|line| line.ends_with(" yes")).collect();
        // Datagrams to loopback are sent to nobody in a network of one's own.
        let nowhere: &[&str] = if place.landlock { &[] } else { &["udp yes"] };
        assert!(ran.code() == 0 && worked == nowhere && printed.ends_with("b'hello'"), "{ran}");
        assert_eq!(outside.reached(), [1, 0, 0, 0, 0], "the proxy's call is the only one: {ran}");
        // The control: outside, the same ways lead there.
        let mut control = place.lab.sandbox([""; 0]).without().env("HTTP_PROXY", "http://127.0.0.1:9");
        for (name, value) in outside.env.iter().filter_map(|one| one.split_once('=')) {
            control = control.env(name, value);
        }
        let ran = client(control, &format!("{TRY}{DIRECT}"), &[&port]);
        let printed = ran.stdout();
        for way in [
            "tcp",
            "tcp other",
            "tcp mapped",
            "tcp any",
            "udp",
            "udp connected",
            "fastopen",
            "fastopen sendmsg",
            "fastopen connect",
            "unix",
            "abstract",
        ] {
            assert!(printed.lines().any(|line| line == format!("{way} yes")), "{way}: {ran}");
        }
        let reached = outside.reached();
        assert!(reached.iter().all(|number| *number > 0), "{reached:?} {ran}");
    }
}

#[test]
fn with_landlock_alone_only_the_proxy_s_port_can_be_connected_to_and_none_listened_on() {
    let script = format!(
        "{TRY}{}",
        r"
where = (socket.AF_INET, socket.SOCK_STREAM)
tried('proxy', lambda: tcp(socket.AF_INET, door))
tried('port', lambda: tcp(socket.AF_INET, ('127.0.0.1', port)))
tried('next', lambda: tcp(socket.AF_INET, ('127.0.0.1', door[1] + 1)))
tried('bind', lambda: socket.socket(*where).bind(('127.0.0.1', 0)))
tried('bind named', lambda: socket.socket(*where).bind(('127.0.0.1', 40404)))
tried('listen', lambda: socket.socket(*where).listen())
tried('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
tried('udp6', lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
tried('unix', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
tried('unix datagram', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
one, two = socket.socketpair(); tried('pair', lambda: one.send(b'x'))
tried('mptcp', lambda: socket.socket(*where, 262))
tried('sctp', lambda: socket.socket(*where, 132))
tried('udplite', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136))
tried('smc', lambda: socket.socket(43, socket.SOCK_STREAM))
tried('smc by ip', lambda: socket.socket(*where, 256))
tried('fastopen to proxy', lambda: socket.socket(*where).sendto(b'x', 0x20000000, door))
tried('fastopen option', lambda: socket.socket(*where).setsockopt(socket.IPPROTO_TCP, 30, 1))
class Msg(ctypes.Structure): _fields_ = [('name', ctypes.c_void_p), ('length', ctypes.c_int)] + [(f'f{n}', ctypes.c_void_p) for n in range(6)]
def many():
    s = socket.socket(*where)
    name = ctypes.create_string_buffer(struct.pack('=H', 2) + struct.pack('>H', port) + b'\x7f\0\0\1' + bytes(8))
    message = Msg(ctypes.addressof(name), 16)
    if libc.sendmmsg(s.fileno(), ctypes.byref(message), 1, 0x20000000) < 0: raise OSError(ctypes.get_errno(), '')
tried('fastopen many', many)
"
    );
    for place in Place::all().into_iter().filter(|place| place.landlock) {
        let server = Server::hello();
        let (at, port) = (server.address.to_string(), server.port().to_string());
        let through = "print(body(get(f'http://127.0.0.1:{port}/')).decode())";
        let ran = client(place.allowing(["--allow-host", &at]), &format!("{script}{through}"), &[&port]);
        let printed = ran.stdout();
        let worked: Vec<_> = printed.lines().filter_map(|line| line.strip_suffix(" yes")).collect();
        assert!(ran.code() == 0 && worked == ["proxy", "pair"] && printed.ends_with("hello"), "{ran}");
        assert_eq!(server.called(), 1, "{ran}");
        // The control: what was refused is nothing that this machine cannot do.
        let outside = place.lab.sandbox([""; 0]).without().env("HTTP_PROXY", format!("http://127.0.0.1:{port}"));
        let printed = client(outside, &script, &[&port]).stdout();
        for way in ["port", "bind", "listen", "udp", "unix", "fastopen to proxy", "fastopen option", "fastopen many"] {
            assert!(printed.lines().any(|line| line == format!("{way} yes")), "{way}: {printed}");
        }
    }
}

#[test]
fn without_unix_sockets_there_are_still_pairs() {
    let script = format!(
        "{TRY}{}",
        r"
tried('stream', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
tried('datagram', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
tried('packet', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
one, two = socket.socketpair(); tried('pair', lambda: one.send(b'x'))
tried('ip', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
"
    );
    let script = CLIENT.replace("os.environ['HTTP_PROXY']", "'//127.0.0.1:1'") + &script;
    for place in Place::with_namespaces() {
        for net in ["none", "allow", "host"] {
            let refused = place.sandbox(["--net", net, "--no-unix"]).python(&script);
            refused.assert_prints("stream EPERM\ndatagram EPERM\npacket EPERM\npair yes\nip yes");
            let control = place.sandbox(["--net", net]).python(&script);
            control.assert_prints("stream yes\ndatagram yes\npacket yes\npair yes\nip yes");
        }
    }
    for lab in Lab::native(&[PYTHON, Need::Landlock(6)]) {
        let ran = lab.sandbox(["--no-unix"]).backend("landlock").python(&script).stdout();
        assert_eq!(ran.lines().filter(|line| line.ends_with(" yes")).collect::<Vec<_>>(), ["pair yes"], "{ran}");
    }
}
