//! What the proxy carries, byte for byte: by HTTP, CONNECT and SOCKS, whole bodies and broken ones.

use serde_json::Value;

use crate::proxy_lab::{Caller, Place, Server, client, pattern};

const MUCH: usize = 5 << 20;

fn allow(server: &Server) -> [String; 2] {
    ["--allow-host".to_owned(), server.address.to_string()]
}

#[test]
fn one_port_speaks_http_connect_and_socks_by_name_and_by_address() {
    let script = r"
def hello(s):
    s.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    return upto(s, b'hello')[-5:].decode()
six = int(sys.argv[2])
print(body(get(f'http://127.0.0.1:{port}/')).decode(), body(get(f'http://localhost:{port}/')).decode())
print(body(get(f'http://[::1]:{six}/')).decode(), hello(connect(f'[::1]:{six}')), hello(socks('::1', six)))
print(hello(connect(f'127.0.0.1:{port}')), hello(connect(f'LOCALHOST.:{port}')))
print(hello(socks('127.0.0.1', port)), hello(socks('localhost', port)))
s = dial(); s.sendall(b'\5\2\2\1'); print(exactly(s, 2))
s.sendall(b'\1\4user\6secret'); print(exactly(s, 2))
s.sendall(b'\5\1\0\1\x7f\0\0\1' + struct.pack('>H', port)); print(exactly(s, 10), hello(s))
";
    let (four, six) = (Server::hello(), Server::at("[::1]:0", answer));
    for place in Place::all() {
        let localhost = format!("localhost:{}", four.port());
        let hosts = [&four.address.to_string(), &localhost, &six.address.to_string()];
        let options: Vec<_> = hosts.iter().flat_map(|host| ["--allow-host", host.as_str()]).collect();
        let ran = client(place.allowing(options), script, &[&four.port().to_string(), &six.port().to_string()]);
        let password = r"b'\x05\x02'
b'\x01\x00'
b'\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00' hello";
        ran.assert_prints(&format!("hello hello\nhello hello hello\nhello hello\nhello hello\n{password}"));
        assert_eq!((four.called(), six.called()), (7, 3), "{}", place.name());
        let events = place.events();
        let protocols: Vec<_> = events.iter().map(|event| event["protocol"].as_str().unwrap()).collect();
        let of = |name| protocols.iter().filter(|protocol| **protocol == name).count();
        assert_eq!((of("http"), of("connect"), of("socks5")), (3, 3, 4), "{events:?}");
        assert!(events.iter().all(|event| event["decision"] == "allowed" && event["reason"].is_null()), "{events:?}");
        assert!(!format!("{events:?}").contains("secret"), "{events:?}");
        four.heard(7);
    }
}

fn answer(mut caller: Caller) {
    if caller.until(b"\r\n\r\n").is_some() {
        caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
    caller.listen();
}

/// A body in chunks of these bytes each, with an extension.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let chunk = |part: &[u8]| [format!("{:X};e=1\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    body.chunks(size).flat_map(chunk).chain(*b"0\r\nX-Sum: 1\r\n\r\n").collect()
}

/// Takes a body, compares it, and gives one in the form that the path asks for.
fn bodies(mut caller: Caller) {
    let Some((head, rest)) = caller.until(b"\r\n\r\n") else { return };
    let head = String::from_utf8(head).unwrap();
    let (length, coding) =
        (head.contains("Content-Length: 5242880\r\n"), head.contains("Transfer-Encoding: chunked\r\n"));
    let expected = match (length, coding) {
        (true, false) => pattern(MUCH),
        (false, true) => chunked(&pattern(MUCH), 70_001),
        _ => Vec::new(),
    };
    let same = caller.exactly(rest, expected.len()) == expected;
    let (framing, body) = match head.split(' ').nth(1) {
        Some("/length") => ("Content-Length: 5242880\r\n", pattern(MUCH)),
        Some("/chunked") => ("Transfer-Encoding: chunked\r\n", chunked(&pattern(MUCH), 65_537)),
        _ => ("", pattern(MUCH)),
    };
    let head = format!("HTTP/1.1 200 OK\r\nX-Same: {same}, {}\r\n{framing}\r\n", expected.len());
    caller.say(&[head.as_bytes(), &body].concat());
}

#[test]
fn bodies_of_any_form_pass_both_ways_byte_for_byte() {
    let script = r"
much = 5 << 20
def chunks(body, size):
    parts = [body[at:at + size] for at in range(0, len(body), size)]
    return b''.join(b'%X;e=1\r\n%s\r\n' % (len(part), part) for part in parts) + b'0\r\nX-Sum: 1\r\n\r\n'
def put(path, framing, body):
    s = dial()
    head = f'POST http://127.0.0.1:{port}/{path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n'.encode()
    sender = threading.Thread(target=s.sendall, args=(head + body,)); sender.start()
    head, got = rest(s).split(b'\r\n\r\n', 1)
    sender.join()
    want = chunks(pattern(much), 65537) if path == 'chunked' else pattern(much)
    print(re.search(rb'X-Same: (.*)\r', head)[1].decode(), got == want)
put('length', '', b'')
put('chunked', f'Content-Length: {much}\r\n', pattern(much))
put('close', 'Transfer-Encoding: chunked\r\n', chunks(pattern(much), 70001))
";
    let server = Server::new(bodies);
    for place in Place::all() {
        let ran = client(place.allowing(allow(&server)), script, &[&server.port().to_string()]);
        let chunks = chunked(&pattern(MUCH), 70_001).len();
        ran.assert_prints(&format!("true, 0 True\ntrue, {MUCH} True\ntrue, {chunks} True"));
        let events = place.events();
        let bytes = |event: &Value, way: &str| usize::try_from(event[way].as_u64().unwrap()).unwrap();
        assert!(events.iter().all(|event| bytes(event, "bytes_down") > MUCH), "{events:?}");
        assert!(bytes(&events[1], "bytes_up") > MUCH && bytes(&events[0], "bytes_up") < 1000, "{events:?}");
        server.heard(3);
    }
}

#[test]
fn tunnels_carry_much_both_ways_at_once_and_know_each_side_s_end() {
    let script = r"
much = 5 << 20
def both(s):
    def send(): s.sendall(pattern(much)); s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send); sender.start()
    print(rest(s) == pattern(much))
both(connect(f'127.0.0.1:{port}'))
both(socks('127.0.0.1', port))
# What comes with the request in one packet is the server's.
s = dial(); s.sendall(f'CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly'.encode()); s.shutdown(socket.SHUT_WR)
print(body(rest(s)))
";
    let server = Server::echo();
    for place in Place::all() {
        let ran = client(place.allowing(allow(&server)), script, &[&server.port().to_string()]);
        ran.assert_prints("True\nTrue\nb'early'");
        let events = place.events();
        let carried: Vec<_> =
            events.iter().map(|event| (event["bytes_up"].as_u64(), event["bytes_down"].as_u64())).collect();
        assert_eq!(carried[..2], [(Some(5 << 20), Some(5 << 20)); 2], "{events:?}");
        server.heard(3);
    }
}

/// Each path is an answer with something odd to it.
fn odd(mut caller: Caller) {
    let Some((head, rest)) = caller.until(b"\r\n\r\n") else { return };
    let head = String::from_utf8(head).unwrap();
    let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
        "/plain" => {
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"
        }
        "/more" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\nevil",
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\nevil",
        "/early" => b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nten bytes.",
        "/cut-chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFF\r\nten bytes.",
        "/both" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "/switch" => b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "/junk" => b"220 mail.test ESMTP\r\n\r\n",
        "/refuses" => b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
        "/continue" => {
            caller.say(b"HTTP/1.1 100 Continue\r\n\r\n");
            if caller.exactly(rest, 4) == b"body" { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } else { b"" }
        }
        _ => b"",
    };
    caller.say(answer);
}

const ODD: &str = r"
def show(answer): print(answer.replace(b'\r\n', b'|').decode())
def end(answer): print(answer.split(b'\r\n')[0].decode(), body(answer).decode())
at = f'http://127.0.0.1:{port}'
show(get(at + '/plain', fields='Connection: keep-alive\r\nProxy-Connection: keep-alive\r\n'))
end(get(at + '/more'))
show(get(at + '/plain', method='HEAD'))
show(get(at + '/204'))
show(get(at + '/304'))
show(get(at + '/early'))
show(ask(f'GET {at}/early HTTP/1.0\r\n\r\n'.encode()))
s = dial(); s.sendall(f'PUT {at}/continue HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n'.encode())
show(upto(s, b'\r\n\r\n')); s.sendall(b'body'); end(rest(s))
end(get(at + '/refuses', method='PUT', fields='Content-Length: 1000000\r\n'))
end(get(at + '/cut')); end(get(at + '/cut-chunk'))
for path in ['both', 'switch', 'junk', 'nothing']: print(path, reason(get(f'{at}/{path}')))
print(reason(get('http://127.0.0.1:9/')))
";

const ODD_ANSWERS: &str = "\
HTTP/1.1 200 OK|Content-Length: 2|Connection: close||ok
HTTP/1.1 200 OK ok
HTTP/1.1 200 OK|Content-Length: 2|Connection: close||
HTTP/1.1 204 No Content|Connection: close||
HTTP/1.1 304 Not Modified|ETag: x|Content-Length: 5|Connection: close||
HTTP/1.1 103 Early Hints|Link: x||HTTP/1.1 200 OK|Content-Length: 2|Connection: close||ok
HTTP/1.1 200 OK|Content-Length: 2|Connection: close||ok
HTTP/1.1 100 Continue||
HTTP/1.1 200 OK ok
HTTP/1.1 413 Too Large no
HTTP/1.1 200 OK ten bytes.
HTTP/1.1 200 OK FF\r\nten bytes.
both 502 length-and-coding
switch 502 switching
junk 502 bad-version
nothing 502 closed
502 refused";

#[test]
fn odd_answers_are_passed_on_as_they_end_or_told_as_faults_of_the_server() {
    let server = Server::new(odd);
    for place in Place::all() {
        let hosts = [&allow(&server)[..], &["--allow-host".to_owned(), "127.0.0.1:9".to_owned()]].concat();
        let ran = client(place.allowing(hosts), ODD, &[&server.port().to_string()]);
        ran.assert_prints(ODD_ANSWERS);
        let events = place.events();
        let failed = |event: &&Value| event["decision"] == "failed";
        assert_eq!((events.len(), events.iter().filter(failed).count()), (16, 7), "{events:?}");
        assert!(events.iter().all(|event| event["decision"] != "denied"), "{events:?}");
        server.heard(15);
    }
}

#[test]
fn of_two_requests_in_one_connection_only_the_first_is_served_and_nothing_of_the_second_is_passed_on() {
    let script = r"
one = f'GET http://127.0.0.1:{port}/one HTTP/1.1\r\nHost: x\r\n\r\n'
print(ask((one + one.replace('/one', '/two')).encode()).count(b'hello'))
body = f'POST http://127.0.0.1:{port}/one HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc'
print(ask((body + one.replace('/one', '/two')).encode()).count(b'hello'))
print(get(f'http://127.0.0.1:{port}/two').count(b'hello'))
";
    let server = Server::hello();
    for place in Place::all() {
        let ran = client(place.allowing(allow(&server)), script, &[&server.port().to_string()]);
        ran.assert_prints("1\n1\n1");
        assert_eq!(server.called(), 3);
        let heard = server.heard(3);
        let two = |said: &&String| said.contains("two");
        assert_eq!(heard.iter().filter(two).count(), 1, "{heard:?}");
        assert!(heard.iter().all(|said| said.matches("HTTP/1.1").count() == 1), "{heard:?}");
    }
}

#[test]
fn servers_hear_what_is_for_them_and_nothing_that_was_for_the_proxy() {
    let script = r"
fields = 'Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nAuthorization: Basic dG9rZW4=\r\nX-Mine: 1\r\n'
print(body(get(f'http://127.0.0.1:{port}/path?secret', host='other.test', fields=fields)).decode())
";
    let server = Server::hello();
    for place in Place::all() {
        let ran = client(place.allowing(allow(&server)), script, &[&server.port().to_string()]);
        ran.assert_prints("hello");
        let port = server.port();
        let want = format!(
            "GET /path?secret HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic dG9rZW4=\r\nX-Mine: 1\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(server.heard(1), [want]);
        let log = format!("{:?}", place.events());
        for secret in ["path", "secret", "c2VjcmV0", "dG9rZW4", "Basic", "X-Mine", "other.test"] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
        assert!(log.contains("127.0.0.1"), "{log}");
    }
}
