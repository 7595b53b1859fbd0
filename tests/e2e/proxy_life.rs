//! The life of the bridge: it comes and goes with its sandbox, holds nothing of the caller's, and says all that it knows.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{Lab, Running, signal, until};
use crate::proxy_lab::{CLIENT, Caller, PYTHON, Place, Server, client};

fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// The child of the supervisor that confines itself; init does not.
fn bridge(running: &Running) -> i32 {
    let pid = running.pid();
    let mut found = None;
    until("there is a confined bridge", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let confined = |pid: &i32| {
            let status = status(*pid);
            let outside = status.lines().any(|line| line.starts_with("NSpid:") && line.split('\t').count() == 2);
            outside && status.contains("\nSeccomp:\t2\n")
        };
        found = children.split_whitespace().flat_map(str::parse).find(confined);
        found.is_some()
    });
    found.unwrap()
}

fn is_gone(pid: i32) -> bool {
    let status = status(pid);
    status.is_empty() || status.contains("\nState:\tZ")
}

/// Python for the inside: prints what a request comes to for each line of input, until there is none.
const ON_DEMAND: &str = r"
def once():
    try: return body(get(f'http://127.0.0.1:{port}/')).decode()
    except OSError as error: return type(error).__name__
    except IndexError: return 'nothing'
print('ready', flush=True)
for _ in sys.stdin: print(once(), flush=True)
print('end')
";

fn on_demand(place: &Place, server: &Server) -> (Running, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let script = format!("{CLIENT}{ON_DEMAND}");
    let at = server.address.to_string();
    let port = server.port().to_string();
    let sandbox = place.allowing(["--allow-host", &at]).input(reader);
    let running = sandbox.start(["python3", "-c", &script, &port]);
    running.wait_for("ready");
    (running, writer)
}

fn ask(mut writer: &std::io::PipeWriter) {
    std::io::Write::write_all(&mut writer, b"ask\n").unwrap();
}

#[test]
fn the_bridge_has_no_rights_and_nothing_of_the_caller_s() {
    let server = Server::hello();
    for place in Place::all() {
        let secret = place.lab.file("secret", "s3cret");
        let (reader, writer) = std::io::pipe().unwrap();
        let script = format!("{CLIENT}{ON_DEMAND}");
        let (at, port) = (server.address.to_string(), server.port().to_string());
        let running = place
            .allowing(["--allow-host", &at])
            .input(reader)
            .by(&format!("exec 7<{secret} 9>&1; exec \"$@\""))
            .start(["python3", "-c", &script, &port]);
        running.wait_for("ready");
        let pid = bridge(&running);
        let status = status(pid);
        for line in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            // What bounds a user who has none may stay; nothing can come of it without new privileges.
            let none = status.contains(&format!("\n{line}:\t0000000000000000\n"));
            assert!(none || (line == "CapBnd" && !place.lab.user.is_root()), "{line} of {}: {status}", place.name());
        }
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nSeccomp:\t2\n"), "{status}");
        let links: Vec<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .flatten()
            .flat_map(|entry| fs::read_link(entry.path()))
            .collect();
        let known = |link: &str| {
            ["socket:", "anon_inode:", "/dev/null", "/dev/urandom"].iter().any(|start| link.starts_with(start))
                || link.ends_with("/log")
        };
        assert!(links.iter().all(|link| known(&link.to_string_lossy())), "{links:?} {}", place.name());
        let caller = |number: i32| fs::read_link(format!("/proc/{}/fd/{number}", running.pid())).unwrap();
        assert!(caller(7).ends_with("secret"), "the control: the caller has it");
        assert!(!links.contains(&caller(2)) && !links.contains(&caller(7)) && !links.contains(&caller(9)), "{links:?}");
        let session = |pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            // 0 for one that was begun outside of this PID namespace.
            stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().parse::<u32>().unwrap()
        };
        assert_ne!(session(pid), session(running.pid()), "what is sent to the caller's session is not for it");
        ask(&writer);
        running.wait_for("hello");
        drop(writer);
        running.finish().assert_works();
        until("the bridge is gone", || is_gone(pid));
    }
}

#[test]
fn the_bridge_goes_with_the_supervisor_and_with_init() {
    let server = Server::hello();
    for place in Place::all() {
        for by_init in [false, true] {
            if by_init && place.landlock {
                continue;
            }
            let (running, writer) = on_demand(&place, &server);
            let pid = bridge(&running);
            ask(&writer);
            running.wait_for("hello");
            signal(if by_init { running.init() } else { running.pid() }, Signal::KILL);
            until("the bridge is gone", || is_gone(pid));
            until("nothing of it is left", || place.lab.processes().is_empty());
            drop(writer);
            drop(running.finish());
        }
    }
}

#[test]
fn without_its_bridge_a_command_goes_on_without_network_and_a_note_says_so() {
    let server = Server::hello();
    for place in Place::all() {
        let (running, writer) = on_demand(&place, &server);
        ask(&writer);
        running.wait_for("hello");
        signal(bridge(&running), Signal::KILL);
        std::thread::sleep(Duration::from_millis(100));
        ask(&writer);
        drop(writer);
        let ran = running.finish();
        ran.assert_works();
        let lines: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
        assert!(["ConnectionRefusedError", "ConnectionResetError", "nothing"].contains(&lines[2].as_str()), "{ran}");
        assert_eq!(lines.last().map(String::as_str), Some("end"));
        ran.assert_says("the bridge ended before the command did");
        server.called();
    }
}

#[test]
fn the_caller_s_pipe_closes_when_the_command_closes_it() {
    for place in Place::all() {
        let seen = place.lab.path("work/closed");
        let reader = format!("\"$@\" | {{ cat; echo closed > {seen}; }}");
        let wait =
            "echo said; exec >&- 2>&-; for _ in $(seq 500); do test -e closed && exit 0; sleep 0.02; done; exit 1";
        let ran = place.allowing(["--allow-host", "127.0.0.1:1"]).by(&format!("set -o pipefail; {reader}")).sh(wait);
        ran.assert_prints("said");
        fs::remove_file(&seen).unwrap();
    }
}

#[test]
fn many_runs_leave_nothing() {
    let server = Server::hello();
    for lab in Lab::native(&[PYTHON]) {
        let at = server.address.to_string();
        let request = format!(
            "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'GET http://{at}/ HTTP/1.0\\r\\n\\r\\n' >&3; read -r line <&3; echo $line"
        );
        for _ in 0..100 {
            let ran = lab.sandbox(["--net", "allow", "--allow-host", &at]).bash(&request);
            assert_eq!(ran.stdout().trim(), "HTTP/1.1 200 OK", "{ran}");
        }
        until("no process is left", || lab.processes().is_empty());
        assert_eq!(server.called(), 100);
    }
}

#[test]
fn what_is_said_last_arrives_and_what_is_still_open_at_the_end_is_logged() {
    // Neither hangs up first: the sandbox ends with all of them open.
    let script = r"
tunnel = connect(f'127.0.0.1:{port}'); tunnel.sendall(b'last words ' + pattern(300000) + b' of tunnel')
other = socks('127.0.0.1', port); other.sendall(b'last words of socks')
plain = dial(); plain.sendall(f'GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
time.sleep(0.2 if len(sys.argv) > 2 else 0)
os._exit(0)
";
    for place in Place::all() {
        let server = Server::new(|mut caller: Caller| {
            caller.listen();
            // Hangs up late.
            std::thread::sleep(Duration::from_secs(2));
        });
        let (at, port) = (server.address.to_string(), server.port().to_string());
        client(place.allowing(["--allow-host", &at]), script, &[&port, "slowly"]).assert_works();
        let events = place.events();
        let protocols: Vec<_> = events.iter().map(|event| event["protocol"].as_str().unwrap()).collect();
        let mut sorted = protocols.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["connect", "http", "socks5"], "{events:#?}");
        let up = |name| events.iter().find(|event| event["protocol"] == name).unwrap()["bytes_up"].as_u64().unwrap();
        assert_eq!((up("connect"), up("socks5")), (300_021, 19), "{events:#?}");
        drop(server.heard(3));
        // And at once.
        client(place.allowing(["--allow-host", &at]), script, &[&port]).assert_works();
        until("all of it has come", || {
            let heard = server.so_far();
            heard.iter().any(|said| said.ends_with(" of tunnel")) && heard.iter().any(|said| said.ends_with("of socks"))
        });
        assert!(place.events().len() >= 2);
    }
}

#[test]
fn doors_to_one_place_are_logged_at_the_end_too() {
    for lab in Lab::every_user(&[PYTHON]) {
        let server = Server::echo();
        let port = server.port().to_string();
        let log = lab.file("log", "");
        let script = format!(
            "import os, socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'hello'); \
             s.recv(5); os._exit(0)"
        );
        lab.sandbox(["--expose-host", &port, "--log", &log]).python(&script).assert_works();
        let events = crate::proxy_lab::network_events(&lab.content("log"));
        let told: Vec<_> =
            events.iter().map(|event| (event["protocol"].as_str(), event["bytes_up"].as_u64())).collect();
        assert_eq!(told, [(Some("port"), Some(5))], "{events:#?}");
    }
}

#[test]
fn a_timeout_ends_a_sandbox_with_open_tunnels_and_they_are_logged() {
    for place in Place::all() {
        let server = Server::new(|mut caller: Caller| caller.listen());
        let (at, port) = (server.address.to_string(), server.port().to_string());
        let script = "s = connect(f'127.0.0.1:{port}'); s.sendall(b'x'); time.sleep(100)";
        let ran = client(place.allowing(["--allow-host", &at, "--timeout", "1s"]), script, &[&port]);
        ran.assert_code(124);
        let events = place.events();
        assert!(events.len() == 1 && events[0]["decision"] == "allowed" && events[0]["bytes_up"] == 1, "{events:#?}");
    }
}
