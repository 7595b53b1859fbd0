//! Names, as the confined bridge resolves them: with a resolver's configuration and a server of names of our own, in a
//! mount namespace of the test. What lying servers do is tested where the dialler is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::lab::in_private_mounts;
use crate::proxy_lab::{Place, Server, client};

/// An address of loopback that nobody else listens at.
const NAMES: Ipv4Addr = Ipv4Addr::new(127, 53, 53, 53);

/// Answers `local.test` with the server's address, `long.test` with that behind many others, and nothing else.
struct Names(Arc<Mutex<Vec<String>>>);

impl Names {
    fn serve() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (udp, tcp) = (UdpSocket::bind((NAMES, 53)).unwrap(), TcpListener::bind((NAMES, 53)).unwrap());
        let (one, two) = (Arc::clone(&asked), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let mut answer = answer(&buffer[..length], &one, "udp");
                if answer.len() > 512 {
                    // The question alone, and the bit that says that there is more.
                    let question = 12 + answer[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
                    answer.truncate(question);
                    answer[2] |= 2;
                    answer[6..8].fill(0);
                }
                udp.send_to(&answer, from).unwrap();
            }
        });
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut question).unwrap();
                    let answer = answer(&question, &two, "tcp");
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    stream.write_all(&[&length[..], &answer].concat()).unwrap();
                }
            }
        });
        Self(asked)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn answer(message: &[u8], asked: &Mutex<Vec<String>>, by: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while message[at] > 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    let name = labels.join(".");
    let is_v4 = message[at + 2] == 1;
    let addresses: Vec<_> = match name.as_str() {
        "local.test" if is_v4 => vec![Ipv4Addr::LOCALHOST],
        "long.test" if is_v4 => {
            (0..199).map(|last| Ipv4Addr::new(10, 0, 0, last)).chain([Ipv4Addr::LOCALHOST]).collect()
        }
        _ => Vec::new(),
    };
    asked.lock().unwrap().push(format!("{name} by {by}"));
    let count = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    let header = [message[0], message[1], 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
    let record = |address: &Ipv4Addr| [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address.octets()].concat();
    [&header[..], &message[12..at + 5]]
        .into_iter()
        .map(<[u8]>::to_vec)
        .chain(addresses.iter().map(record))
        .flatten()
        .collect()
}

/// Covers a file of the host's, for this mount namespace.
fn cover(target: &str, content: &str) {
    let source = format!("/var/tmp/ringfence-e2e-cover-{}-{}", std::process::id(), target.replace('/', "-"));
    std::fs::write(&source, content).unwrap();
    assert!(Command::new("mount").args(["--bind", &source, target]).status().unwrap().success());
    std::fs::remove_file(&source).unwrap();
    assert_eq!(std::fs::metadata(target).unwrap().nlink(), 0);
}

/// A bridge that has nobody to ask lives, and knows what the hosts file says.
fn nobody_to_ask(configuration: &str) {
    cover("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 filed.test\n");
    cover("/etc/resolv.conf", configuration);
    let server = Server::hello();
    let port = server.port().to_string();
    let script = "for name in ['void.test', 'filed.test']: print(name, status(get(f'http://{name}:{sys.argv[2]}/')))";
    for place in Place::all() {
        let hosts = ["filed.test", "void.test", "127.0.0.1"].map(|name| format!("{name}:{port}"));
        let options = hosts.iter().flat_map(|host| ["--allow-host", host.as_str()]);
        client(place.allowing(options), script, &[&port, &port]).assert_prints("void.test 502\nfiled.test 200");
        place.events();
    }
}

#[test]
fn without_a_server_of_names_there_is_the_hosts_file() {
    in_private_mounts(|| nobody_to_ask(""));
}

#[test]
fn with_a_server_of_names_that_is_none_there_is_the_hosts_file() {
    in_private_mounts(|| nobody_to_ask("nameserver nonsense\n"));
}

#[test]
fn the_confined_bridge_resolves_names_by_udp_by_tcp_and_by_the_hosts_file() {
    in_private_mounts(|| {
        let names = Names::serve();
        cover("/etc/resolv.conf", &format!("search corp.test\nnameserver {NAMES}\noptions timeout:2 attempts:1\n"));
        cover("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 filed.test\n");
        let server = Server::hello();
        let port = server.port().to_string();
        let script = r"
def way(name): 
    answer = get(f'http://{name}:{port}/')
    return body(answer).decode() if status(answer) == '200' else reason(answer)
for name in sys.argv[2:]: print(name, way(name), type(connect(f'{name}:{port}')).__name__, type(socks(name, port)).__name__)
";
        for place in Place::all() {
            let names_allowed =
                ["local.test", "long.test", "filed.test", "void.test"].map(|name| format!("{name}:{port}"));
            let at = format!("127.0.0.1:{port}");
            let hosts = names_allowed.iter().chain([&at]).flat_map(|host| ["--allow-host", host.as_str()]);
            let ran = client(
                place.allowing(hosts),
                script,
                &[&port, "local.test", "long.test", "filed.test", "void.test", "secret.evil.test"],
            );
            ran.assert_prints(
                "local.test hello socket socket\nlong.test hello socket socket\nfiled.test hello socket socket\n\
                 void.test 502 dns bytes int\nsecret.evil.test 403 no-rule bytes int",
            );
            assert_eq!(server.called(), 9);
            let asked = names.asked();
            let heard = |text: &str| asked.iter().any(|name| name == text);
            assert!(heard("local.test by udp") && heard("long.test by tcp") && heard("void.test by udp"), "{asked:?}");
            // What is not allowed is no question, and what is, none about another name.
            let strange = |name: &&String| name.contains("evil") || name.contains("corp");
            assert_eq!(asked.iter().find(strange), None, "{asked:?}");
            // The listed address is what makes these names reachable: without it they are as private as it is.
            let hosts = names_allowed.iter().flat_map(|host| ["--allow-host", host.as_str()]);
            let ran = client(place.allowing(hosts), script, &[&port, "local.test", "long.test", "filed.test"]);
            let refused = "403 special-address bytes int";
            ran.assert_prints(
                &["local.test", "long.test", "filed.test"].map(|name| format!("{name} {refused}")).join("\n"),
            );
            assert_eq!(server.called(), 0);
            place.events();
        }
    });
}
