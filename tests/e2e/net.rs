//! The network and the host's sockets, looked at from the host: did anybody call?

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use crate::lab::{Lab, Need};

const NONE: [&str; 0] = [];
const PYTHON: Need = Need::Tool("python3");

/// Whether a client connected to, or sent to, a host socket.
trait Called {
    fn called(&self) -> bool;
}

impl Called for UnixListener {
    fn called(&self) -> bool {
        self.set_nonblocking(true).unwrap();
        self.accept().is_ok()
    }
}

impl Called for TcpListener {
    fn called(&self) -> bool {
        self.set_nonblocking(true).unwrap();
        self.accept().is_ok()
    }
}

impl Called for UnixDatagram {
    fn called(&self) -> bool {
        self.set_nonblocking(true).unwrap();
        match self.recv(&mut [0; 16]) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }
}

/// Python that connects to, or sends to, `address`.
fn client(kind: &str, action: &str, address: &str) -> String {
    format!("import socket; s = socket.socket(socket.AF_UNIX, socket.{kind}); a = {address}; {action}")
}

const CONNECT: &str = "s.connect(a)";
const SENDTO: &str = "s.sendto(b'hello', a)";
const SENDMSG: &str = "s.sendmsg([b'hello'], [], 0, a)";

fn open_to_all(path: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn host_sockets_with_a_path_are_out_of_reach_unless_they_are_named() {
    for lab in Lab::every_user(&[PYTHON]) {
        for directory in ["work", "other"] {
            lab.dir(directory);
            let stream = lab.path(format!("{directory}/stream"));
            let datagram = lab.path(format!("{directory}/datagram"));
            let listener = UnixListener::bind(&stream).unwrap();
            let receiver = UnixDatagram::bind(&datagram).unwrap();
            open_to_all(&stream);
            open_to_all(&datagram);
            let table: [(&dyn Called, String, &str); 4] = [
                (&listener, client("SOCK_STREAM", CONNECT, &format!("'{stream}'")), &stream),
                (&receiver, client("SOCK_DGRAM", CONNECT, &format!("'{datagram}'")) + "; s.send(b'x')", &datagram),
                (&receiver, client("SOCK_DGRAM", SENDTO, &format!("'{datagram}'")), &datagram),
                (&receiver, client("SOCK_DGRAM", SENDMSG, &format!("'{datagram}'")), &datagram),
            ];
            for (host, script, path) in table {
                for options in [&["--net", "none"], &["--net", "host"]] {
                    let ran = lab.sandbox(options).python(&script);
                    assert!(ran.code() != 0 && !host.called(), "{ran}");
                }
                lab.sandbox(["--unix", path]).python(&script).assert_works();
                assert!(host.called(), "the control: {path} is reached when it is named");
            }
        }
    }
}

#[test]
fn a_host_socket_that_was_bound_by_a_relative_name_is_out_of_reach() {
    for lab in Lab::every_user(&[PYTHON]) {
        let serve = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); \
                     print('ready', flush=True); sys.stdin.read(); s.setblocking(False); s.accept()";
        let server = || {
            let server = lab.sandbox(NONE).without().waiting().start(["python3", "-c", serve]);
            server.wait_for("ready");
            open_to_all(&lab.path("work/sock"));
            server
        };
        let listening = server();
        let script = client("SOCK_STREAM", CONNECT, "'sock'");
        let ran = lab.sandbox(NONE).python(&script);
        let called = listening.finish();
        assert_ne!(ran.code(), 0, "the sandbox has reached a host socket: {ran}");
        called.assert_says("BlockingIOError");
        lab.outside("rm sock").assert_works();
        let listening = server();
        lab.sandbox(["--unix", "sock"]).python(&script).assert_works();
        listening.finish().assert_works();
    }
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    for lab in Lab::every_user(&[PYTHON]) {
        let name = lab.path("abstract");
        let address = format!("chr(0) + '{name}'");
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let script = client("SOCK_STREAM", CONNECT, &address);
        lab.sandbox(NONE).python(&script).assert_says("ConnectionRefused");
        assert!(!listener.called());
        if ringfence::host::kernel::landlock_abi() >= 6 {
            lab.sandbox(["--net", "host"]).python(&script).assert_says("PermissionError");
            assert!(!listener.called());
        }
        lab.sandbox(["-s", "full-access"]).python(&script).assert_works();
        assert!(listener.called());
    }
}

#[test]
fn the_host_s_loopback_is_out_of_reach_and_one_s_own_works() {
    for lab in Lab::every_user(&[PYTHON]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
        lab.sandbox(NONE).python(&script).assert_says("ConnectionRefused");
        assert!(!listener.called());
        lab.sandbox(["--net", "host"]).python(&script).assert_works();
        assert!(listener.called());
        for family in ["AF_INET', '127.0.0.1", "AF_INET6', '::1"] {
            let server = format!(
                "import socket; f, a = ('{family}'); s = socket.socket(getattr(socket, f)); s.bind((a, 0)); s.listen(); \
                 c = socket.create_connection(s.getsockname()[:2]); s.accept()[0].send(b'hello'); print(c.recv(9))"
            );
            lab.sandbox(NONE).python(&server).assert_prints("b'hello'");
        }
    }
}

#[test]
fn nothing_leads_out_of_the_sandbox_s_network() {
    for lab in Lab::every_user(&[PYTHON]) {
        let interfaces = "import socket; print(sorted(name for _, name in socket.if_nameindex()))";
        lab.sandbox(NONE).python(interfaces).assert_prints("['lo']");
        let outside = lab.sandbox(NONE).without().python(interfaces).stdout();
        assert_eq!(lab.sandbox(["--net", "host"]).python(interfaces).stdout(), outside);
        for kind in ["SOCK_STREAM", "SOCK_DGRAM"] {
            let connect =
                format!("import socket; socket.socket(socket.AF_INET, socket.{kind}).connect(('192.0.2.1', 9))");
            lab.sandbox(NONE).python(&connect).assert_says("Network is unreachable");
        }
    }
}

#[test]
fn an_internet_socket_of_the_host_is_no_standard_stream() {
    for lab in Lab::every_user(&[PYTHON]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            theirs.write_all(b"hello").unwrap();
            std::os::fd::OwnedFd::from(ours)
        };
        lab.sandbox(NONE).input(connect()).run(["cat"]).assert_error("standard input");
        lab.sandbox(["--net", "host"]).input(connect()).run(["cat"]).assert_prints("hello");
    }
}

#[test]
fn what_is_no_socket_cannot_be_named_as_one() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("work/file", "");
        lab.sandbox(["--unix", &file]).run(["true"]).assert_error("no unix socket");
        lab.sandbox(["--unix", "missing.sock"]).run(["true"]).assert_error("missing.sock");
        lab.sandbox(NONE).run(["true"]).assert_works();
    }
}
