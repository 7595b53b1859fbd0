//! What the proxy refuses: the server outside hears nothing, the client is told why, the log too, and the next request is
//! served.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lab::{Lab, Need, Ran};
use crate::proxy_lab::{Caller, PYTHON, Place, Server, client};

/// Runs a script that prints a line for each refusal and `hello` at its end: what the bridge lives on to do. None of it
/// reaches the server but that.
#[track_caller]
fn refused(place: &Place, server: &Server, options: &[&str], script: &str) -> (Vec<String>, Vec<Value>) {
    let allowed = server.address.to_string();
    let options = [&["--allow-host", &allowed], options].concat();
    let script = format!("{script}\nprint(body(get(f'http://127.0.0.1:{{port}}/')).decode())\n");
    let ran: Ran = client(place.allowing(options), &script, &[&server.port().to_string()]);
    let mut lines: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
    assert!(ran.code() == 0 && lines.pop().as_deref() == Some("hello"), "{ran}");
    assert_eq!(server.called(), 1, "one call, which is the control: {ran}");
    server.heard(1);
    let mut events = place.events();
    let last = events.pop().unwrap();
    assert_eq!((&last["decision"], &last["port"]), (&"allowed".into(), &server.port().into()), "{last}");
    (lines, events)
}

#[track_caller]
fn assert_all_denied(events: &[Value], number: usize) {
    assert!(events.len() == number && events.iter().all(|event| event["decision"] == "denied"), "{events:#?}");
}

#[test]
fn without_a_rule_nobody_is_reached_and_the_answer_says_what_would_allow_it() {
    let script = r"
other = int(os.environ['OTHER'])
def whole(answer): print(status(answer), json.dumps(json.loads(body(answer)), sort_keys=True))
whole(get(f'http://127.0.0.1:{other}/secret?path', host='127.0.0.1:%d' % port))
whole(connect(f'127.0.0.1:{other}'))
whole(connect('no-such-host.test:443'))
print(socks('127.0.0.1', other), socks('no-such-host.test', 443))
";
    let (server, other) = (Server::hello(), Server::hello());
    let port = other.port();
    for place in Place::all() {
        let env = format!("OTHER={port}");
        let (lines, events) = refused(&place, &server, &["--env", &env], script);
        let told = |host: &str, port: u16, allow: String| {
            format!(
                "403 {{\"allow_with\": \"{allow}\", \"error\": \"denied\", \"host\": \"{host}\", \"message\": \
                 \"no rule allows {host}:{port}\", \"port\": {port}, \"reason\": \"no-rule\"}}"
            )
        };
        let one = told("127.0.0.1", port, format!("--allow-host 127.0.0.1:{port}"));
        let name = told("no-such-host.test", 443, "--allow-host no-such-host.test:443".to_owned());
        assert_eq!(lines, [one.clone(), one, name, "2 2".to_owned()]);
        assert_all_denied(&events, 5);
        let protocols: Vec<_> = events.iter().map(|event| event["protocol"].as_str().unwrap()).collect();
        assert_eq!(protocols, ["http", "connect", "connect", "socks5", "socks5"]);
        assert!(events.iter().all(|event| event["reason"] == "no-rule" && event["bytes_down"] == 0), "{events:#?}");
        assert!(!format!("{events:?}").contains("secret"), "{events:#?}");
        assert_eq!(other.called(), 0);
    }
}

#[test]
fn a_rule_that_denies_beats_rules_that_allow() {
    let script = r"
other = int(os.environ['OTHER'])
print(reason(get(f'http://127.0.0.1:{other}/')), reason(connect(f'localhost:{other}')), socks('127.0.0.1', other))
";
    let (server, other) = (Server::hello(), Server::hello());
    let (at, env) = (other.address.to_string(), format!("OTHER={}", other.port()));
    let rest = ["--allow-host", &at, "--allow-host", "127.0.0.0/8:*", "--allow-host", "localhost:*", "--env", &env];
    for place in Place::all() {
        let (lines, events) = refused(&place, &server, &[&rest[..], &["--deny-host", &at]].concat(), script);
        assert_eq!(lines, ["403 denied 403 denied 2"]);
        assert_all_denied(&events, 3);
        assert_eq!(other.called(), 0);
        let control = "print(body(get(f'http://127.0.0.1:{port}/')), type(connect(f'localhost:{port}')).__name__)";
        client(place.allowing(rest), control, &[&other.port().to_string()]).assert_prints("b'hello' socket");
        assert_eq!(other.called(), 2);
        place.events();
    }
}

/// Loopback by its names.
const SPELLINGS: &[&str] = &[
    "127.0.0.1",
    "localhost",
    "localhost.",
    "LocalHost",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "127.255.255.254",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::]",
    "[64:ff9b::7f00:1]",
];

#[test]
fn loopback_is_out_of_reach_in_every_spelling_and_in_every_language() {
    // Hosts that are not special are allowed; the server listens at every address, in both families.
    let script = r"
for host in os.environ['SPELLINGS'].split():
    bare = host.strip('[]')
    print(host, reason(get(f'http://{host}:{port}/')), reason(connect(f'{host}:{port}')), socks(bare, port))
";
    let server = Server::at("[::]:0", |mut caller: Caller| {
        if caller.until(b"\r\n\r\n").is_some() {
            caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
        caller.listen();
    });
    let port = server.port().to_string();
    for place in Place::all() {
        let env = format!("SPELLINGS={}", SPELLINGS.join(" "));
        let everywhere = format!("*:{port}");
        let options = ["--allow-host", &everywhere, "--allow-host", "localhost:*", "--env", &env];
        let ran = client(place.allowing(options), script, &[&port]);
        ran.assert_works();
        for (line, host) in ran.stdout().lines().zip(SPELLINGS) {
            let words: Vec<_> = line.split(' ').collect();
            let refused = matches!(words[2], "special-address" | "never" | "own-address");
            assert!(words[0] == *host && words[1] == "403" && refused, "{line} by {ran}");
            assert!(words[1..3] == words[3..5] && words[5] == "2", "{line} by {ran}");
        }
        assert_all_denied(&place.events(), 3 * SPELLINGS.len());
        assert_eq!(server.called(), 0, "{}", place.name());
        // The control: with the address listed, nearly all of them are the same host.
        let control = "for host in ['127.1', '2130706433', '0x7f000001', '0177.0.0.1', 'localhost.', '[::ffff:127.0.0.1]']:\n    \
                       print(body(get(f'http://{host}:{port}/')).decode(), end='')";
        let listed = [&options[..], &["--allow-host", "127.0.0.1:*"]].concat();
        client(place.allowing(listed), control, &[&port]).assert_prints(&"hello".repeat(6));
        assert_eq!(server.called(), 6);
        place.events();
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_whatever_its_host_field_says() {
    let script = r"
at = f'127.0.0.1:{port}'
def raw(text): print(reason(ask(text.replace('\n', '\r\n').encode('latin-1'))))
def line(text): raw(f'{text}\nHost: {at}\n\n')
line(f'GET http://evil.test/ HTTP/1.1')
line(f'GET http://{at}@evil.test/ HTTP/1.1')
line(f'GET http://evil.test@{at}/ HTTP/1.1')
line(f'GET http://{at}#@evil.test/ HTTP/1.1')
line(f'GET http://evil.test#{at}/ HTTP/1.1')
line(f'GET http://evil.test\\@{at}/ HTTP/1.1')
line(f'GET http://{at}\\.evil.test/ HTTP/1.1')
line(f'GET http://127.0.0.1:0/ HTTP/1.1')
line(f'GET http://127.0.0.1:65536/ HTTP/1.1')
line(f'GET http://127.0.0.1:{port + 65536}/ HTTP/1.1')
line(f'GET http://127.0.0.1:0{port}/ HTTP/1.1')
line(f'GET http://127.0.0.1%00.evil.test:{port}/ HTTP/1.1')
line(f'GET http://[::1%25lo]:{port}/ HTTP/1.1')
line(f'CONNECT {at}@evil.test:443 HTTP/1.1')
line(f'CONNECT 127.0.0.1:0 HTTP/1.1')
line(f'CONNECT 127.0.0.1 HTTP/1.1')
line(f'CONNECT {at}/ HTTP/1.1')
line(f'GET / HTTP/1.1')
line(f'GET https://{at}/ HTTP/1.1')
line(f'GET ftp://{at}/ HTTP/1.1')
line(f'GET http://{at}/ HTTP/2.0')
line(f'TRACE http://{at}/ HTTP/1.1')
raw(f'GET http://{at}/ HTTP/1.1\n\n')
raw(f'GET http://{at}/ HTTP/1.1\nHost: a\nHost: b\n\n')
raw(f'GET http://{at}/ HTTP/1.1\nHost: a\n folded\n\n')
raw(f'GET http://{at}/ HTTP/1.1\nHost : a\n\n')
raw(f'GET http://{at}/ HTTP/1.1\nHost: a\nX: \0\n\n')
raw(f'POST http://{at}/ HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n0\n\n')
raw(f'POST http://{at}/ HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\n0')
raw(f'POST http://{at}/ HTTP/1.1\nHost: a\nContent-Length: +1\n\n0')
raw(f'POST http://{at}/ HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n0\n\n')
print(reason(ask(f'GET http://{at}/ HTTP/1.1\nHost: a\n\n'.encode())))
print(ask(b'\x16\3\1\0\5hello'), ask(b'\4\1' + struct.pack('>H', port) + b'\x7f\0\0\1\0'), ask(b'\0\0'))
";
    let want = "403 no-rule,400 user-in-address,400 user-in-address,400 bad-target,400 bad-target,400 user-in-address,\
        400 bad-port,400 bad-port,400 bad-port,400 bad-port,400 bad-port,400 bad-host,400 bad-host,400 user-in-address,\
        400 bad-port,400 bad-port,400 bad-port,400 no-proxy-request,400 needs-connect,400 bad-scheme,505 bad-version,\
        501 trace,400 host-missing,400 host-twice,400 folded-field,400 bad-head,400 control-character,\
        400 length-and-coding,400 length-twice,400 bad-length,400 bad-coding,400 bad-line-end,\
        b'' b'\\x00[\\x00\\x00\\x00\\x00\\x00\\x00' b''";
    let server = Server::hello();
    for place in Place::all() {
        let (lines, events) = refused(&place, &server, &[], script);
        assert_eq!(lines.join(","), want, "{}", place.name());
        assert_all_denied(&events, 35);
        let hosts: Vec<_> =
            events.iter().map(|event| event["host"].as_str().unwrap()).filter(|host| !host.is_empty()).collect();
        assert_eq!(hosts, ["evil.test"], "of what cannot be read nothing is repeated");
    }
}

#[test]
fn methods_that_are_not_listed_are_refused_in_plain_http() {
    let script = r"
at = f'http://127.0.0.1:{port}/'
for method in ['POST', 'DELETE', 'get', 'OPTIONS', 'GETX']: print(reason(get(at, method=method)))
print(status(get(at, method='HEAD')))
";
    let server = Server::hello();
    for place in Place::all() {
        let at = server.address.to_string();
        let ran = client(
            place.allowing(["--allow-host", &at, "--http-methods", "GET,HEAD"]),
            &format!("{script}print(body(get(at)).decode())"),
            &[&server.port().to_string()],
        );
        ran.assert_prints("403 method\n403 method\n403 method\n403 method\n403 method\n200\nhello");
        assert_eq!(server.called(), 2);
        let decisions = place.events().iter().fold(BTreeMap::new(), |mut counts, event| {
            *counts.entry(event["decision"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            counts
        });
        assert_eq!(decisions, BTreeMap::from([("allowed".to_owned(), 2), ("denied".to_owned(), 5)]));
        server.heard(2);
    }
}

/// A ClientHello for a name, and its records cut into pieces.
const HELLO: &str = r"
def hello(name, pieces=1):
    sni = b'' if name is None else struct.pack('>HHHBH', 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    extensions = struct.pack('>HH', 0xff01, 1) + b'\0' + sni
    inner = b'\3\3' + bytes(32) + b'\0' + b'\0\2\x13\1' + b'\1\0' + struct.pack('>H', len(extensions)) + extensions
    message = b'\1' + struct.pack('>I', len(inner))[1:] + inner
    size = -(-len(message) // pieces)
    parts = [message[at:at + size] for at in range(0, len(message), size)]
    return [b'\x16\3\1' + struct.pack('>H', len(part)) + part for part in parts]
def greet(s, records, pause=0):
    for record in records: s.sendall(record); time.sleep(pause)
    return s.recv(100)
";

#[test]
fn tls_for_another_name_than_the_tunnel_s_gets_an_alert_and_the_server_not_one_byte() {
    let script = format!(
        "{HELLO}{}",
        r"
to = f'localhost:{port}'
print(greet(connect(to), hello(b'evil.test')))
print(greet(connect(to), hello(b'evil.test', 9), 0.01))
print(greet(socks('localhost', port), hello(b'evil.test', 3)))
print(greet(connect(to), hello(b'localhost.evil.test')))
print(greet(connect(to), hello(b'localhost\0')))
s = connect(to); s.sendall(hello(b'localhost', 2)[0]); s.sendall(b'\x17\3\3\0\1x'); print(s.recv(100))
s = dial(); s.sendall(f'CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n'.encode() + b''.join(hello(b'evil.test'))); print(rest(s)[-7:])
print('now')
print(greet(connect(to), hello(b'LOCALHOST', 5), 0.01) == b''.join(hello(b'LOCALHOST', 5)))
print(greet(connect(to), hello(None))[:3])
print(greet(connect(f'127.0.0.1:{port}'), hello(b'any.test'))[:3])
print(greet(connect(to), [b'no tls']))
"
    );
    // Says back all that it hears: whatever comes back has been to the server.
    let server = Server::new(|mut caller| {
        let mut all = Vec::new();
        loop {
            let bytes = caller.read();
            all.extend_from_slice(&bytes);
            let whole = all.ends_with(b"any.test") || all.ends_with(b"LOCALHOST") || all.ends_with(b"no tls");
            if whole || all.ends_with(&[0xff, 1, 0, 1, 0]) {
                caller.say(&all);
            }
            if bytes.is_empty() {
                break;
            }
        }
    });
    let alert = r"b'\x15\x03\x01\x00\x02\x02p'";
    for place in Place::all() {
        let (at, name) = (server.address.to_string(), format!("localhost:{}", server.port()));
        let options = ["--allow-host", &at, "--allow-host", &name];
        let ran = client(place.allowing(options), &script, &[&server.port().to_string()]);
        ran.assert_works();
        let printed = ran.stdout();
        let (refused, passed) = printed.split_once("now\n").unwrap();
        for line in refused.lines() {
            assert_eq!(line.replace(r"\x03\x03\x00\x02", r"\x03\x01\x00\x02"), alert, "{ran}");
        }
        assert_eq!(
            (refused.lines().count(), passed),
            (7, "True\nb'\\x16\\x03\\x01'\nb'\\x16\\x03\\x01'\nb'no tls'"),
            "{ran}"
        );
        let events = place.events();
        let reasons: Vec<_> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
        let (name, bad) = ("sni-mismatch", "bad-client-hello");
        assert_eq!(reasons, [name, name, name, name, bad, bad, name], "{events:#?}");
        // Eleven tunnels, of which four have carried something.
        assert_eq!((server.called(), server.heard(4).len()), (11, 4));
    }
}

/// In a network of its own: two addresses of one interface, and a route that makes a whole network local.
#[test]
fn every_address_of_this_machine_is_refused_unless_a_rule_lists_it() {
    const ADDRESSES: [&str; 4] = ["203.0.113.1", "203.0.113.2", "198.51.100.77", "[2001:4860:77::5]"];
    for lab in Lab::native(&[PYTHON, Need::Tool("ip"), Need::Tool("unshare"), Need::Tool("curl")]) {
        let ask = |rules: &str| {
            let script = format!(
                "set -e
ip link set lo up
ip addr add 203.0.113.1/24 dev lo; ip addr add 203.0.113.2/24 dev lo
ip route add local 198.51.100.0/24 dev lo; ip -6 route add local 2001:4860:77::/64 dev lo
python3 -c 'import http.server as h, socket
class S(h.HTTPServer): address_family = socket.AF_INET6
S((\"::\", 8098), h.SimpleHTTPRequestHandler).serve_forever()' 2> /dev/null & trap 'kill $!' EXIT
until curl -s -o /dev/null --noproxy '*' http://203.0.113.1:8098/; do sleep 0.1; done
{} run {rules} -- sh -c 'for a in {}; do curl -g -s -m 9 -o /dev/null -w \"%{{http_code}} \" http://$a:8098/; done'",
                env!("CARGO_BIN_EXE_ringfence"),
                ADDRESSES.join(" ")
            );
            lab.outside(&format!("unshare -Urn sh -c \"$(cat <<'END'\n{script}\nEND\n)\""))
        };
        ask("--allow-host '*:*'").assert_prints("403 403 403 403 ");
        let listed: Vec<_> = ADDRESSES.map(|address| format!("--allow-host '{address}:8098'")).into();
        ask(&listed.join(" ")).assert_prints("200 200 200 200 ");
    }
}
