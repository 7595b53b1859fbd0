//! What is outside: the network, sockets, processes, shared memory.

use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use super::{NONE, alone, labs};
use crate::lab::{Lab, Need, Running, eventually};

/// `tried` prints what an act came to.
const PRELUDE: &str = r"
import ctypes, errno, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, act):
    try: act(); print(name, 'yes')
    except OSError as error: print(name, errno.errorcode[error.errno])
def call(number, *args):
    if libc.syscall(number, *args) == -1: raise OSError(ctypes.get_errno(), '')
";

/// Prints only what worked.
fn worked(sandbox: crate::lab::Sandbox<'_>, script: &str, arguments: &[&str]) -> Vec<String> {
    let script = format!("{PRELUDE}{script}");
    let ran = sandbox.run([&["python3", "-c", &script], arguments].concat());
    ran.assert_works();
    ran.stdout().lines().filter_map(|line| line.strip_suffix(" yes")).map(str::to_owned).collect()
}

/// A process of the same user outside, with something to find in it.
fn victim(lab: &Lab) -> Running {
    let running = lab.sandbox(NONE).without().env("SECRET_TOKEN", "v4lue").start(["sleep", "1000"]);
    let comm = format!("/proc/{}/comm", running.pid());
    assert!(eventually(|| std::fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n")));
    running
}

#[test]
fn no_network_and_no_socket_of_the_host_but_pairs() {
    let script = r"
port, path, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def stream(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as one: one.connect(address)
def bound(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as one: one.bind(address); one.listen()
tried('tcp', lambda: stream(socket.AF_INET, ('127.0.0.1', port)))
tried('tcp6', lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close())
tried('listen', lambda: bound(socket.AF_INET, ('127.0.0.1', 0)))
tried('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port)))
tried('path', lambda: stream(socket.AF_UNIX, path))
tried('abstract', lambda: stream(socket.AF_UNIX, '\0' + name))
tried('datagram', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', path))
tried('seqpacket', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(path + '-'))
tried('to', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).sendto(b'x', path))
tried('bind', lambda: bound(socket.AF_UNIX, 'socket'))
tried('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
tried('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))
one, two = socket.socketpair()
tried('pair', lambda: one.send(b'x'))
tried('from pair', lambda: one.connect(path))
tried('pass', lambda: socket.send_fds(one, [b'x'], [0]))
";
    for lab in labs(&[]) {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let path = lab.path("socket");
        let _path = UnixListener::bind(&path).unwrap();
        lab.chmod("socket", 0o777);
        let name = format!("ringfence-{}", path.replace('/', "-"));
        let address = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
        let _abstract = UnixListener::bind_addr(&address.unwrap()).unwrap();
        let arguments = [port.as_str(), &path, &name];
        assert_eq!(worked(alone(&lab, NONE), script, &arguments), ["pair", "pass"], "{}", lab.user);
        let control = worked(lab.sandbox(NONE).without(), script, &arguments);
        for what in ["tcp", "listen", "udp", "path", "abstract", "bind", "netlink"] {
            assert!(control.iter().any(|found| found == what), "{what}: {control:?}");
        }
        std::fs::remove_file(lab.path("work/socket")).unwrap();
        let host = worked(alone(&lab, ["--net", "host"]), script, &arguments);
        assert!(host.iter().any(|found| found == "tcp"), "{host:?}");
    }
}

#[test]
fn processes_outside_cannot_be_signalled_traced_or_looked_into() {
    let script = r"
pid = int(sys.argv[1])
buffer = ctypes.create_string_buffer(8)
class Vector(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
here, there = Vector(ctypes.addressof(buffer), 8), Vector(int(sys.argv[2], 16), 8)
tried('kill', lambda: os.kill(pid, 0))
tried('usr', lambda: os.kill(pid, signal.SIGURG))
tried('tgkill', lambda: call(234, pid, pid, signal.SIGURG))
tried('queue', lambda: call(129, pid, signal.SIGURG, ctypes.create_string_buffer(b'\0' * 8 + b'\xff\xff\xff\xff' + b'\0' * 116)))
tried('pidfd', lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGURG))
tried('ptrace', lambda: call(101, 16, pid, 0, 0))
tried('seize', lambda: call(101, 0x4206, pid, 0, 0))
tried('readv', lambda: call(310, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
tried('getfd', lambda: call(438, os.pidfd_open(pid), 0, 0))
tried('prlimit', lambda: call(302, pid, 7, 0, ctypes.create_string_buffer(16)))
tried('affinity', lambda: os.sched_setaffinity(pid, {0}))
tried('nice', lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
tried('nice all', lambda: os.setpriority(os.PRIO_USER, 0, 1))
tried('io all', lambda: call(251, 3, 0, (2 << 13) | 7))
for name in ['environ', 'mem', 'maps', 'auxv', 'syscall', 'stack', 'io', 'pagemap', 'smaps', 'root/etc/passwd', 'cwd/x', 'exe', 'fd/0', 'map_files', 'oom_score_adj:w', 'mem:w', 'clear_refs:w', 'coredump_filter:w', 'comm:w', 'timerslack_ns:w', 'ns/mnt']:
    file, _, write = name.partition(':')
    def look(path):
        if os.path.isdir(path): return os.listdir(path)
        fd = os.open(path, os.O_WRONLY if write else os.O_RDONLY)
        if not write and file not in ('mem', 'ns/mnt'): os.read(fd, 1)
    tried(name, lambda: look(f'/proc/{pid}/{file}'))
    tried('task ' + name, lambda: look(f'/proc/{pid}/task/{pid}/{file}'))
tried('link root', lambda: os.readlink(f'/proc/{pid}/root'))
tried('link cwd', lambda: os.readlink(f'/proc/{pid}/cwd'))
tried('link fd', lambda: os.readlink(f'/proc/{pid}/fd/0'))
";
    for lab in labs(&[]) {
        let victim = victim(&lab);
        let pid = victim.pid();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let address = maps.split('-').next().unwrap().to_owned();
        let arguments = [&pid.to_string(), address.as_str()];
        for options in [&[][..], &["--allow", "ptrace"]] {
            let inside = worked(alone(&lab, options), script, &arguments);
            assert_eq!(inside, [""; 0], "{} with {options:?}", lab.user);
        }
        let control = worked(lab.sandbox(NONE).without(), script, &arguments);
        for what in
            ["kill", "usr", "tgkill", "pidfd", "readv", "prlimit", "affinity", "environ", "mem", "fd/0", "link root"]
        {
            assert!(control.iter().any(|found| found == what), "{what}: {control:?}");
        }
        assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());
        victim.signal(Signal::KILL);
    }
}

#[test]
fn shared_memory_and_queues_of_the_host_cannot_be_reached() {
    let script = r"
libc.shmat.restype = ctypes.c_void_p
segment = int(sys.argv[1])
def attach():
    at = libc.shmat(segment, None, 0)
    if at == 2 ** 64 - 1: raise OSError(ctypes.get_errno(), '')
    if len(sys.argv) > 2: return
    assert ctypes.string_at(at, 6) == b'secret'
tried('attach', attach)
tried('make', lambda: call(29, 0, 4096, 0o1600))
tried('semaphore', lambda: call(64, 0, 1, 0o1600))
tried('queue', lambda: call(68, 0, 0o1600))
tried('posix queue', lambda: call(240, b'ringfence-test', os.O_RDWR, 0, 0))
tried('shm file', lambda: open('/dev/shm/ringfence-test', 'x').close())
";
    let make = "import ctypes\nlibc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p\nsegment = libc.shmget(0, 4096, 0o1600)\n\
        ctypes.memmove(libc.shmat(segment, None, 0), b'secret', 6); print(segment)";
    for lab in labs(&[]) {
        let segment = lab.sandbox(NONE).without().python(make).stdout();
        let inside = worked(alone(&lab, NONE), script, &[&segment]);
        let control = worked(
            lab.sandbox(NONE).without(),
            "libc.shmat.restype = ctypes.c_void_p
if libc.shmat(int(sys.argv[1]), None, 0) != 2 ** 64 - 1: print('attach yes')
libc.shmctl(int(sys.argv[1]), 0, None)",
            &[&segment],
        );
        assert_eq!((inside, control), (Vec::new(), vec!["attach".to_owned()]), "{}", lab.user);
    }
}

/// None can be made inside; one that comes in from outside is of no use there either.
#[test]
fn a_tcp_socket_from_outside_connects_to_nothing_without_the_network() {
    for lab in labs(&[Need::Tool("python3"), Need::Landlock(4)]) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let make = "import fcntl, os, socket, sys\nmade = socket.socket()\n\
                    os.dup2(fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 10), 3)\n\
                    os.execvp(sys.argv[1], sys.argv[1:])\n";
        let make = format!("python3 {} \"$@\"", lab.file("make.py", make));
        let script = format!(
            "import socket\nmine = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=3)\n\
             mine.connect(('127.0.0.1', {port}))\nprint('connected')\n"
        );
        let run = |net: &str| alone(&lab, ["--net", net, "--pass-fd", "3"]).by(&make).python(&script);
        run("host").assert_prints("connected");
        let ran = run("none");
        assert!(ran.code() != 0 && ran.stderr().contains("PermissionError"), "{ran}");
    }
}
