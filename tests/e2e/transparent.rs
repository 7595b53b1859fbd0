//! Programs that know nothing of proxies: names of allowed hosts can be resolved and connected to, and nothing else.

use crate::lab::{Lab, Need};
use crate::proxy_lab::{PYTHON, Server};

/// Python that resolves a name as every program does, and says something to it.
fn plainly(name: &str, port: u16) -> String {
    format!("import socket; s = socket.create_connection(('{name}', {port}), 5); s.send(b'hello'); print(s.recv(9))")
}

/// A name that means the host's loopback interface wherever names are resolved outside, and nothing inside.
const NAME: &str = "echo.localhost";

fn options(port: u16, more: &[&str]) -> Vec<String> {
    let hosts = [format!("{NAME}:{port}"), format!("127.0.0.1:{port}")];
    let rules = hosts.into_iter().flat_map(|host| ["--allow-host".to_owned(), host]);
    rules.chain(more.iter().map(|word| (*word).to_owned())).collect()
}

#[test]
fn an_allowed_name_is_resolved_and_connected_to() {
    for lab in Lab::native(&[PYTHON]) {
        let port = Server::echo().port();
        let plain = plainly(NAME, port);
        let without = lab.sandbox(options(port, &[])).python(&plain);
        assert!(without.code() != 0, "the control: {without}");
        lab.sandbox(options(port, &["--transparent"])).python(&plain).assert_prints("b'hello'");
        let twice = format!("import socket; print({0} == {0}, {0}[:7])", format!("socket.gethostbyname('{NAME}')"));
        lab.sandbox(options(port, &["--transparent"])).python(&twice).assert_prints("True 198.18.");
    }
}

#[test]
fn ports_of_the_web_are_connected_to_as_any_other() {
    for lab in Lab::native(&[PYTHON]) {
        let script = format!(
            "import socket
for port in (80, 443, 1023):
    try:
        with socket.create_connection(('{NAME}', port), 5) as s: print(port, s.recv(1))
    except OSError as e: print(port, type(e).__name__)"
        );
        let rules = ["--transparent", "--allow-host", NAME, "--allow-host", "echo.localhost:1023"];
        // Nobody serves it, and the address is not listed: it is connected to inside, and hung up by the bridge.
        let ran = lab.sandbox(rules).python(&script);
        ran.assert_prints("80 ConnectionResetError\n443 ConnectionResetError\n1023 ConnectionResetError");
    }
}

#[test]
fn other_names_ports_and_addresses_stay_out_of_reach() {
    for lab in Lab::native(&[PYTHON]) {
        let (port, other) = (Server::echo().port(), Server::echo().port());
        let log = lab.file("network.log", "");
        let transparent = || lab.sandbox(options(port, &["--transparent", "--log", &log]));
        transparent().python(&plainly("denied.localhost", port)).assert_says("gaierror");
        assert!(lab.content("network.log").contains(r#""host":"denied.localhost""#), "{}", lab.content("network.log"));
        transparent().python(&plainly(NAME, other)).assert_says("ConnectionRefused");
        transparent().python(&plainly("198.18.0.99", port)).assert_says("ConnectionRefused");
        transparent().python(&plainly("192.0.2.1", port)).assert_says("unreachable");
        transparent().python(&plainly("127.0.0.1", port)).assert_says("ConnectionRefused");
        let udp = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))";
        transparent().python(udp).assert_says("unreachable");
        let denied = options(port, &["--transparent", "--deny-host", NAME]);
        lab.sandbox(denied).python(&plainly(NAME, port)).assert_says("gaierror");
        transparent().python(&plainly(NAME, port)).assert_prints("b'hello'");
    }
}

#[test]
fn a_name_with_an_address_that_no_rule_lists_is_not_led_to() {
    for lab in Lab::native(&[PYTHON]) {
        let port = Server::echo().port();
        let rule = format!("{NAME}:{port}");
        let plain = plainly(NAME, port);
        let ran = lab.sandbox(["--transparent", "--allow-host", &rule]).python(&plain);
        assert!(ran.code() != 0 && !ran.stdout().contains("hello"), "{ran}");
        assert!(ran.stderr().contains("special-address"), "{ran}");
    }
}

#[test]
fn malformed_questions_are_survived() {
    for lab in Lab::native(&[PYTHON]) {
        let port = Server::echo().port();
        let script = format!(
            "import socket, os
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in range(0, 600, 7):
    u.sendto(os.urandom(size), ('127.0.0.1', 53))
u.sendto(bytes(12), ('127.0.0.1', 53))
u.sendto(b'\\x00\\x07\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\xc0\\x0c\\x00\\x01\\x00\\x01', ('127.0.0.1', 53))
t = socket.create_connection(('127.0.0.1', 53)); t.send(b'\\xff\\xff' + bytes(9000)); t.close()
half = socket.create_connection(('127.0.0.1', 53)); half.send(b'\\x00')
{}",
            plainly(NAME, port)
        );
        lab.sandbox(options(port, &["--transparent"])).python(&script).assert_prints("b'hello'");
    }
}

#[test]
fn where_it_cannot_be_offered_it_is_refused() {
    for lab in Lab::every_user(&[]).into_iter().filter(|lab| !lab.is_native()) {
        lab.sandbox(options(1, &["--transparent"])).run(["true"]).assert_error("--transparent");
        lab.sandbox(["--expose-host", "80"]).run(["true"]).assert_error("below 1024");
        lab.sandbox(["--publish", "18080:80"]).run(["true"]).assert_error("below 1024");
        lab.sandbox(["--expose-host", "80:8080"]).run(["true"]).assert_works();
    }
    for lab in Lab::native(&[Need::Landlock(3)]) {
        lab.sandbox(options(1, &["--transparent"])).backend("landlock").run(["true"]).assert_error("--transparent");
    }
}
