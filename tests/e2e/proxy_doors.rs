//! Doors that lead to one place: to a proxy of the host's, to a port of it, and from a port of it inside.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::lab::Lab;
use crate::lab::{Running, eventually, until};
use crate::proxy_lab::{PYTHON, Place, Server, client, pattern};

/// A port that was free a moment ago.
/// A port that nobody has, of those that the kernel gives to no connection (ip(7), `ip_local_port_range`).
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 2000).find(is_free).unwrap()
}

const MANAGED: [&str; 2] = ["--net", "proxy"];

#[test]
fn each_proxy_of_the_variables_has_a_door_and_the_variables_keep_all_but_the_port() {
    let script = r"
for name in ['HTTP_PROXY', 'https_proxy', 'ALL_PROXY', 'WS_PROXY', 'FTP_PROXY', 'NO_PROXY']: print(name, os.environ.get(name))
def call(address, data):
    host, at = re.search(r'@?\[?([0-9a-z.:]+?)\]?:(\d+)/?$', address).groups()
    s = socket.create_connection((host, int(at)), 10); s.sendall(data); s.shutdown(socket.SHUT_WR); return rest(s).decode()
for name in ['HTTP_PROXY', 'https_proxy', 'ALL_PROXY']: print(call(os.environ[name], name.encode()))
";
    let echo = |prefix: &'static str| {
        move |mut caller: crate::proxy_lab::Caller| {
            let mut all = Vec::new();
            while let bytes @ [_, ..] = caller.read().as_slice() {
                all.extend_from_slice(bytes);
            }
            caller.say(&[prefix.as_bytes(), &all].concat());
        }
    };
    let (one, two, six) = (Server::new(echo("one ")), Server::new(echo("two ")), Server::at("[::1]:0", echo("six ")));
    for place in Place::with_namespaces() {
        let (first, second, third) = (one.port(), two.port(), six.port());
        let ran = client(
            place
                .sandbox(MANAGED)
                .env("HTTP_PROXY", format!("http://me:hush@127.0.0.1:{first}/"))
                .env("https_proxy", format!("socks5h://localhost:{second}"))
                .env("ALL_PROXY", format!("http://[::1]:{third}"))
                .env("WS_PROXY", "http://me:hush@proxy.corp.test:3128")
                .env("FTP_PROXY", "")
                .env("NO_PROXY", "corp.test"),
            script,
            &[],
        );
        let inside = [
            format!("HTTP_PROXY http://me:hush@127.0.0.1:{first}/"),
            format!("https_proxy socks5h://127.0.0.1:{second}"),
            format!("ALL_PROXY http://[::1]:{third}"),
            "WS_PROXY None".to_owned(),
        ];
        let printed = ran.stdout();
        let lines: Vec<_> = printed.lines().collect();
        assert!(ran.code() == 0 && lines.get(..4).is_some_and(|lines| lines == inside), "{ran}");
        assert_eq!(lines[lines.len() - 3..], ["one HTTP_PROXY", "two https_proxy", "six ALL_PROXY"], "{ran}");
        assert_eq!([one.called(), two.called(), six.called()], [1; 3]);
        assert!(!ran.stderr().contains("hush"), "{ran}");
    }
}

#[test]
fn a_proxy_s_unix_socket_has_a_door() {
    for place in Place::with_namespaces() {
        let path = place.lab.path("proxy.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            stream.write_all(said.to_uppercase().as_bytes()).unwrap();
        });
        let script = "s = dial(); s.sendall(b'hello'); s.shutdown(socket.SHUT_WR); print(rest(s).decode())\n\
                      try: socket.socket(socket.AF_UNIX).connect(sys.argv[2])\nexcept OSError as error: print('no way')";
        let sandbox = place.sandbox(MANAGED).env("HTTP_PROXY", format!("unix:{path}"));
        client(sandbox, script, &["0", &path]).assert_prints("HELLO\nno way");
        served.join().unwrap();
    }
}

#[test]
fn managed_proxies_fail_closed() {
    let server = Server::hello();
    for place in Place::all() {
        let start = |place: &Place, value: Option<&str>| {
            let sandbox = place.sandbox(MANAGED).unset("HTTP_PROXY");
            let sandbox = if let Some(value) = value { sandbox.env("HTTP_PROXY", value) } else { sandbox };
            let ran = sandbox.run(["touch", "started"]);
            (place.lab.exists("work/started"), ran)
        };
        let bad =
            ["", "http://me:hush@proxy.corp.test:3128", "http://10.0.0.1:3128", "http://127.0.0.1:0", "unix:relative"];
        for value in [None].into_iter().chain(bad.map(Some)) {
            let (started, ran) = start(&place, value);
            ran.assert_error("HTTPS_PROXY");
            assert!(!started && !ran.stderr().contains("hush"), "{value:?} {ran}");
        }
        let (started, ran) = start(&place, Some(&format!("http://{}", server.address)));
        assert!(started && ran.code() == 0, "the control: {ran}");
        // A proxy that is down is an error of each connection, and of nothing else.
        let script = "s = dial(); s.settimeout(5)\ntry: s.sendall(b'x'); print(s.recv(9))\nexcept OSError: print(b'')";
        if !place.landlock {
            let down = place.sandbox(MANAGED).env("HTTP_PROXY", format!("http://127.0.0.1:{}", free_port()));
            client(down, script, &[]).assert_prints("b''");
        }
        std::fs::remove_file(place.lab.path("work/started")).unwrap();
    }
}

#[test]
fn with_landlock_alone_the_proxies_themselves_are_connected_to_and_nothing_else() {
    for place in Place::all().into_iter().filter(|place| place.landlock) {
        let (proxy, other) = (Server::hello(), Server::hello());
        let script = "s = dial(); s.sendall(b'GET http://any.test/ HTTP/1.1\\r\\n\\r\\n'); print(upto(s, b'hello')[-5:])\n\
                      try: socket.create_connection(('127.0.0.1', int(sys.argv[1])))\nexcept OSError as error: print(error.errno)";
        let sandbox = place.sandbox(MANAGED).env("HTTP_PROXY", format!("http://{}", proxy.address));
        client(sandbox, script, &[&other.port().to_string()]).assert_prints("b'hello'\n13");
        assert_eq!((proxy.called(), other.called()), (1, 0));
        for option in [["--publish", "8080"], ["--expose-host", "8080"]] {
            place.sandbox(option).run(["true"]).assert_error(option[0]);
        }
    }
}

#[test]
fn a_port_of_the_host_can_be_exposed_and_no_other_is() {
    let script = r"
def talk(to):
    s = socket.create_connection(('127.0.0.1', to), 20)
    sender = threading.Thread(target=lambda: (s.sendall(pattern(5 << 20)), s.shutdown(socket.SHUT_WR))); sender.start()
    return rest(s) == pattern(5 << 20)
inside, other = int(sys.argv[2]), int(sys.argv[3])
print(talk(port), talk(inside))
print(socket.create_connection(('::1', port), 5).close())
for address in [('127.0.0.1', other), ('127.0.0.5', port), ('127.0.0.1', inside + 1)]:
    try: socket.create_connection(address, 5); print('reached', address)
    except ConnectionRefusedError: print('refused')
";
    let script = format!(
        "os = __import__('os'); os.environ['HTTP_PROXY'] = '//127.0.0.1:1'\n{}{script}",
        crate::proxy_lab::CLIENT
    );
    let (echo, other) = (Server::echo(), Server::hello());
    let (port, denied) = (echo.port().to_string(), other.port().to_string());
    for place in Place::with_namespaces() {
        for net in ["none", "allow"] {
            let renamed = format!("{port}:7777");
            let options = ["--net", net, "--expose-host", &port, "--expose-host", &renamed];
            let ran = place.sandbox(options).run(["python3", "-c", &script, &port, "7777", &denied]);
            ran.assert_prints("True True\nNone\nrefused\nrefused\nrefused");
            assert_eq!((echo.called(), other.called()), (3, 0));
            echo.heard(2);
        }
    }
}

/// Says back what it hears, in capitals, to one caller after the other.
const SERVE: &str = r"
import socket, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('ready', flush=True)
while True:
    c, _ = s.accept(); data = b''
    while more := c.recv(1 << 16): data += more
    c.sendall(data.swapcase()); c.close()
";

fn serve(lab: &Lab, publish: &str, inside: &str) -> Running {
    let running =
        lab.sandbox(["--publish", publish]).waiting().start(["timeout", "60", "python3", "-c", SERVE, inside]);
    running.wait_for("ready");
    running
}

fn call(port: u16, said: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut writer = stream.try_clone()?;
    let said = said.to_vec();
    let sender = std::thread::spawn(move || {
        drop(writer.write_all(&said));
        drop(writer.shutdown(Shutdown::Write));
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    sender.join().unwrap();
    Ok(answer)
}

#[test]
fn ports_inside_are_published_on_loopback_as_long_as_the_sandbox_lives() {
    for lab in Lab::every_user(&[PYTHON]) {
        let (first, second) = (free_port(), free_port());
        let one = serve(&lab, &format!("{first}:8080"), "8080");
        let two = serve(&lab, &format!("{second}:8080"), "8080");
        assert_eq!(call(first, b"to one").unwrap(), b"TO ONE");
        assert_eq!(call(second, b"to two").unwrap(), b"TO TWO");
        let much: Vec<_> = pattern(5 << 20).into_iter().map(|byte| byte | 0x80).collect();
        assert_eq!(call(first, &much).unwrap(), much);
        for (address, why) in [("127.0.0.2", "another address"), ("0.0.0.0", "any address")] {
            let taken = TcpListener::bind((address, first));
            assert_eq!(taken.is_ok(), address != "0.0.0.0", "{why}");
        }
        // Taken ports are found out before anything runs.
        let ran = lab.sandbox(["--publish", &format!("{first}:8080")]).run(["touch", "started"]);
        ran.assert_error(&format!("publish port {first}"));
        assert!(!lab.exists("work/started"), "{ran}");
        drop((one, two));
        for port in [first, second] {
            until("nobody listens any longer", || TcpStream::connect(("127.0.0.1", port)).is_err());
        }
    }
}

#[test]
fn a_port_can_be_published_again_at_once() {
    let once = "import socket\ns = socket.create_server(('127.0.0.1', 7070)); print('ready', flush=True)\n\
                c, _ = s.accept(); c.recv(99); c.sendall(b'hello'); c.close()";
    for lab in Lab::every_user(&[PYTHON]) {
        let port = free_port();
        // Who ends a connection first keeps its port busy for a minute.
        for _ in 0..3 {
            let running = lab.sandbox(["--publish", &format!("{port}:7070")]).waiting().start(["python3", "-c", once]);
            running.wait_for("ready");
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"x").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"hello");
            running.finish();
        }
    }
}

#[test]
fn a_port_below_1024_can_be_served_inside_where_it_is_published() {
    for lab in Lab::native(&[PYTHON]) {
        let port = free_port();
        let running = serve(&lab, &format!("{port}:80"), "80");
        assert_eq!(call(port, b"web").unwrap(), b"WEB");
        drop(running);
        let bind = "import socket; socket.create_server(('127.0.0.1', 80))";
        // Another one: the bridge that served the first may live a moment longer.
        lab.sandbox(["--publish", &format!("{}:8080", free_port())]).python(bind).assert_says("PermissionError");
    }
}

#[test]
fn a_published_port_that_nobody_serves_inside_yet_hangs_up_and_is_tried_again() {
    for lab in Lab::every_user(&[PYTHON]) {
        let port = free_port();
        let script = format!("import sys; sys.stdin.readline(){SERVE}");
        let running =
            lab.sandbox(["--publish", &format!("{port}:9090")]).input(std::process::Stdio::piped()).start(["true"]);
        drop(running.finish());
        let (reader, mut writer) = std::io::pipe().unwrap();
        let running = lab
            .sandbox(["--publish", &format!("{port}:9090")])
            .input(reader)
            .start(["timeout", "60", "python3", "-c", &script, "9090"]);
        assert!(eventually(|| call(port, b"x").is_ok_and(|answer| answer.is_empty())), "it hangs up");
        writer.write_all(b"go\n").unwrap();
        running.wait_for("ready");
        assert_eq!(call(port, b"now").unwrap(), b"NOW");
        for _ in 0..200 {
            assert_eq!(call(port, b"again").unwrap(), b"AGAIN");
        }
    }
}
