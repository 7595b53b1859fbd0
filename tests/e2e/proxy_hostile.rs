//! Clients that want to keep others from being served, and programs as they are.

use std::time::Duration;

use crate::lab::Need;
use crate::proxy_lab::{CLIENT, Caller, Place, Server, client};

/// Prints how a request of another client fares meanwhile.
const OTHER: &str = r"
def served(name):
    begin = time.time(); answer = body(get(f'http://127.0.0.1:{port}/')); late = time.time() - begin
    print(name, answer.decode(), 'late' if late > 5 else 'soon', flush=True)
";

#[test]
fn clients_that_hold_what_they_get_keep_nobody_from_being_served() {
    let script = format!(
        "{OTHER}{}",
        r"
held = []
def hold(number, data):
    for _ in range(number):
        s = dial(); s.sendall(data); held.append(s)
endless = int(sys.argv[2])
hold(200, b'G'); served('one byte')
hold(50, b'\5'); hold(50, b'\5\1\0\5\1'); served('socks')
hold(50, f'CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n\x16\3\1'.encode()); served('half a hello')
hold(50, f'POST http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'.encode()); served('half a body')
hold(20, f'GET http://127.0.0.1:{endless}/ HTTP/1.1\r\nHost: x\r\n\r\n'.encode()); time.sleep(0.2); served('unread answers')
hold(20, f'CONNECT 127.0.0.1:{endless} HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n'.encode()); served('unread tunnels')
for s in held[:100]: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
served('resets')
for _ in range(1000): dial().close()
served('comers and goers')
"
    );
    for place in Place::all() {
        let server = Server::hello();
        let endless = Server::new(|mut caller: Caller| {
            if caller.until(b"\r\n\r\n").is_some() {
                caller.say(b"HTTP/1.1 200 OK\r\n\r\n");
                caller.stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
                while std::io::Write::write_all(&mut caller.stream, &[b'x'; 1 << 16]).is_ok() {}
            }
        });
        let (at, other) = (server.address.to_string(), endless.address.to_string());
        let options = ["--allow-host", &at, "--allow-host", &other];
        let ports = [server.port().to_string(), endless.port().to_string()];
        let ran = client(place.allowing(options), &script, &[&ports[0], &ports[1]]);
        ran.assert_works();
        let printed = ran.stdout();
        assert!(printed.lines().count() == 8 && printed.lines().all(|line| line.ends_with(" hello soon")), "{ran}");
        place.events();
    }
}

#[test]
fn heads_without_end_are_refused_early_and_cost_little() {
    let script = format!(
        "{OTHER}{}",
        r"
def flood(data, count):
    s = dial(); sent = 0
    try:
        for _ in range(count): s.sendall(data); sent += len(data)
    except OSError: pass
    try: answer = rest(s)
    except OSError: answer = b''
    return answer, sent
line = f'GET http://127.0.0.1:{port}/ HTTP/1.1\r\n'.encode()
for data, count in [(line + b'X: ' + b'y' * (1 << 20), 1), (b'GET http://' + b'a' * (1 << 20), 1), (b'G' * (1 << 20), 1)]:
    answer, _ = flood(data, count); print(status(answer))
answer, _ = flood(line + b'a: b\r\n' * 200 + b'\r\n', 1); print(reason(answer))
served('floods')
# Byte by byte, the longest head that is taken is still looked at from its beginning each time.
s = dial(); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); s.sendall(line + b'Host: x\r\n')
begin = time.time()
for _ in range(20000): s.sendall(b'a')
s.sendall(b': b\r\n\r\n'); print(status(rest(s)), 'late' if time.time() - begin > 15 else 'soon')
served('drops')
"
    );
    for place in Place::all() {
        let server = Server::hello();
        let at = server.address.to_string();
        let ran = client(place.allowing(["--allow-host", &at]), &script, &[&server.port().to_string()]);
        ran.assert_prints("431\n431\n431\n431 too-many-fields\nfloods hello soon\n200 soon\ndrops hello soon");
        assert_eq!(server.called(), 3);
        place.events();
    }
}

#[test]
fn one_sandbox_s_bridge_serves_nobody_else() {
    let server = Server::hello();
    for place in Place::with_namespaces() {
        let (lab, at) = (&place.lab, server.address.to_string());
        let lenient = lab.sandbox(["--net", "allow", "--allow-host", &at]).waiting().start(["cat"]);
        let script = "print(reason(get(f'http://127.0.0.1:{port}/')))";
        let script = format!("{CLIENT}{script}");
        let port = server.port().to_string();
        // Both block the same missing entries, so nothing is compared before the last one has ended.
        let ran = place.sandbox(["--net", "allow"]).start(["python3", "-c", &script, &port]).finish();
        ran.assert_prints("403 no-rule");
        assert_eq!(server.called(), 0);
        lenient.finish().assert_works();
    }
}

/// The sandbox's own loopback is reached directly, so the test's servers are named as others are.
const NOT_DIRECT: [&str; 4] = ["--env", "NO_PROXY=", "--env", "no_proxy="];

#[test]
fn curl_and_python_go_through_the_proxy_by_their_variables() {
    let server = Server::hello();
    for place in Place::all_with(&[Need::Tool("curl")]) {
        let at = server.address.to_string();
        let url = format!("http://{at}/path");
        let options = || ["--allow-host", &at].into_iter().chain(NOT_DIRECT);
        place.allowing(options()).run(["curl", "-sS", &url]).assert_prints("hello");
        place.allowing(options()).run(["curl", "-sS", "-p", &url]).assert_prints("hello");
        let door = "curl -sS --socks5-hostname \"${HTTP_PROXY#http://}\" \"$0\"";
        place.allowing(options()).run(["sh", "-c", door, &url]).assert_prints("hello");
        let urllib = format!("import urllib.request; print(urllib.request.urlopen('{url}').read().decode())");
        place.allowing(options()).python(&urllib).assert_prints("hello");
        assert_eq!(server.called(), 4);
        assert_eq!(place.events().len(), 4);
        // Without the rule: the reason comes with the answer, and at the end the flag that would allow it.
        let ran = place.allowing(NOT_DIRECT).run(["curl", "-sS", "--fail-with-body", &url]);
        ran.assert_code(22).assert_says(&format!("--allow-host {at}"));
        assert!(ran.stdout().contains("\"reason\":\"no-rule\""), "{ran}");
        place.allowing(NOT_DIRECT).python(&urllib).assert_code(1).assert_says("403");
        assert_eq!(server.called(), 0);
        place.events();
    }
}

#[test]
fn https_goes_through_and_only_for_the_name_that_was_asked_for() {
    for place in Place::all_with(&[Need::Tool("openssl"), Need::Tool("curl")]) {
        let lab = &place.lab;
        let make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost \
                    -addext subjectAltName=DNS:localhost 2>&1";
        lab.outside(make).assert_works();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let accept = format!("127.0.0.1:{port}");
        let server = lab
            .sandbox([""; 0])
            .without()
            .waiting()
            .start(["openssl", "s_server", "-accept", &accept, "-www", "-key", "key", "-cert", "cert"]);
        server.wait_for("ACCEPT");
        let (name, url) = (format!("localhost:{port}"), format!("https://localhost:{port}/"));
        let options = || ["--allow-host", &name, "--allow-host", &accept].into_iter().chain(NOT_DIRECT);
        let curl = ["curl", "-sS", "--cacert", "cert", "-o", "/dev/null", "-w", "%{http_code}"];
        place.allowing(options()).run([&curl[..], &[&url]].concat()).assert_prints("200");
        // Another name in TLS than in CONNECT, as a program would have it that hides where it goes.
        let to = format!("evil.test:{port}:localhost:{port}");
        let hidden = format!("https://evil.test:{port}/");
        let ran = place.allowing(options()).run([&curl[..], &["-k", "--connect-to", &to, &hidden]].concat());
        assert!(ran.code() != 0 && ran.stdout() == "000", "{ran}");
        let events = place.events();
        assert_eq!((&events[0]["decision"], &events[1]["reason"]), (&"allowed".into(), &"sni-mismatch".into()));
        lab.outside("rm key cert").assert_works();
    }
}

#[test]
fn git_reads_a_repository_through_the_proxy_and_none_that_is_not_allowed() {
    for place in Place::all_with(&[Need::Tool("git")]) {
        let lab = &place.lab;
        let make = "git init -q -b main repo && cd repo && git -c user.name=a -c user.email=b commit -q --allow-empty \
                    -m first && git update-server-info";
        lab.sandbox([""; 0]).without().cwd(lab.dir("served")).sh(make).assert_works();
        let serve = "import http.server, functools; \
                     s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory='../served')); \
                     print('at', s.server_port, flush=True); s.serve_forever()";
        let server = lab.sandbox([""; 0]).without().waiting().start(["python3", "-c", serve]);
        server.wait_for("\n");
        let at = format!("127.0.0.1:{}", server.printed().trim().trim_start_matches("at "));
        let url = format!("http://{at}/repo/.git");
        let options = || ["--allow-host", &at].into_iter().chain(NOT_DIRECT);
        let ran = place.allowing(options()).run(["git", "ls-remote", &url, "main"]);
        assert!(ran.code() == 0 && ran.stdout().ends_with("\trefs/heads/main"), "{ran}");
        place.allowing(options()).run(["git", "clone", "-q", &url, "cloned"]).assert_works();
        assert!(lab.exists("work/cloned/.git/HEAD"));
        lab.outside("rm -r cloned").assert_works();
        let ran = place.allowing(NOT_DIRECT).run(["git", "ls-remote", &url]);
        ran.assert_code(128).assert_says("403").assert_says(&format!("--allow-host {at}"));
    }
}

#[test]
fn node_fetches_through_the_proxy_where_it_heeds_the_variables() {
    let server = Server::hello();
    for place in Place::all_with(&[Need::Tool("node")]) {
        let lab = &place.lab;
        let version = lab.outside("node --version").stdout();
        let major: u32 = version.trim_start_matches('v').split('.').next().unwrap_or_default().parse().unwrap_or(0);
        let at = server.address.to_string();
        let options = ["--allow-host", &at].into_iter().chain(NOT_DIRECT);
        let ask = format!("fetch('http://{at}/').then(r => r.text()).then(console.log, () => console.log('no way'))");
        if major >= 24 {
            place.allowing(options).run(["node", "-e", &ask]).assert_prints("hello");
        } else {
            // What ignores the variables gets nowhere, and says so soon.
            eprintln!("SKIPPED: node {version} ignores proxy variables; that it reaches nobody is tested");
            place.allowing(options).run(["node", "-e", &ask]).assert_prints("no way");
            assert_eq!(server.called(), 0);
        }
    }
}
