use proptest::prelude::*;

use super::super::*;
use super::{head, text};
use crate::supervise::proxy::address::Address;

fn read(lines: &[&str]) -> Result<Request, (u16, Cause)> {
    request(&head(lines)).map(Option::unwrap).map_err(|fault| (fault.status(), fault.cause))
}

fn at(host: &str, port: u16) -> Address {
    Address { host: host.to_owned(), port }
}

/// The faults of requests to which nothing but `line` was added, or which have nothing but it.
fn refused(lines: &[&str], status: u16, cause: Cause) {
    assert_eq!(read(lines).map(|request| request.target), Err((status, cause)), "{lines:?}");
}

#[test]
fn targets_are_whole_addresses() {
    let good = [
        (
            "GET http://a.example/x?y=%20#".trim_end_matches('#'),
            Target::Plain(at("a.example", 80)),
            "GET /x?y=%20 HTTP/1.1",
        ),
        ("GET HTTP://a:81", Target::Plain(at("a", 81)), "GET / HTTP/1.1"),
        ("GET http://a?q", Target::Plain(at("a", 80)), "GET /?q HTTP/1.1"),
        ("OPTIONS http://a", Target::Plain(at("a", 80)), "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a/", Target::Plain(at("a", 80)), "OPTIONS / HTTP/1.1"),
        ("GET http://[::1]:81/", Target::Plain(at("[::1]", 81)), "GET / HTTP/1.1"),
        ("GET http://a/http://b@c/\\", Target::Plain(at("a", 80)), "GET /http://b@c/\\ HTTP/1.1"),
        ("GET http://a//b/../c", Target::Plain(at("a", 80)), "GET //b/../c HTTP/1.1"),
        ("M-SEARCH http://a/", Target::Plain(at("a", 80)), "M-SEARCH / HTTP/1.1"),
        ("CONNECT a.example:443", Target::Connect(at("a.example", 443)), ""),
        ("CONNECT [fe80::1]:22", Target::Connect(at("[fe80::1]", 22)), ""),
    ];
    for (start, target, upstream) in good {
        let request = read(&[&format!("{start} HTTP/1.1"), "Host: a"]).unwrap();
        assert_eq!(request.target, target, "{start}");
        if matches!(request.target, Target::Plain(_)) {
            let lines = text(&request.upstream("a"));
            assert_eq!(lines.lines().next(), Some(upstream), "{start}");
        }
    }
}

#[test]
fn other_targets_are_refused() {
    let bad = [
        ("GET /", 400, Cause::NoProxyRequest),
        ("OPTIONS *", 400, Cause::NoProxyRequest),
        ("GET //a/", 400, Cause::NoProxyRequest),
        ("GET /http://a/", 400, Cause::NoProxyRequest),
        ("GET https://a/", 400, Cause::NeedsConnect),
        ("GET ftp://a/", 400, Cause::Scheme),
        ("GET file:///etc/passwd", 400, Cause::Scheme),
        ("GET ws://a/", 400, Cause::Scheme),
        ("GET a", 400, Cause::Target),
        ("GET a:80", 400, Cause::Target),
        ("GET http:/a", 400, Cause::Target),
        ("GET http:a", 400, Cause::Target),
        ("GET http:\\\\a\\", 400, Cause::Target),
        ("GET http://a/#b", 400, Cause::Target),
        ("GET http://a#@b/", 400, Cause::Target),
        ("GET http://\u{e4}/", 400, Cause::Target),
        ("GET http://a/\u{e4}", 400, Cause::Target),
        ("GET http://", 400, Cause::Host),
        ("GET http:///", 400, Cause::Host),
        ("GET http://?a", 400, Cause::Host),
        ("GET http://:80/", 400, Cause::Host),
        ("GET http://a\\b/", 400, Cause::Host),
        ("GET http://a%2eb/", 400, Cause::Host),
        ("GET http://a,b/", 400, Cause::Host),
        ("GET http://u@a/", 400, Cause::User),
        ("GET http://u:p@a:80/", 400, Cause::User),
        ("GET http://a:/", 400, Cause::Port),
        ("GET http://a:0/", 400, Cause::Port),
        ("GET http://a:080/", 400, Cause::Port),
        ("GET http://a:65536/", 400, Cause::Port),
        ("GET http://a:+80/", 400, Cause::Port),
        ("CONNECT a", 400, Cause::Port),
        ("CONNECT a:", 400, Cause::Port),
        ("CONNECT a:0", 400, Cause::Port),
        ("CONNECT u@a:443", 400, Cause::User),
        ("CONNECT http://a:443", 400, Cause::Port),
        ("CONNECT a:443/", 400, Cause::Port),
        ("CONNECT /", 400, Cause::Host),
        ("CONNECT *:443", 400, Cause::Host),
        ("CONNECT ::1:443", 400, Cause::Host),
        ("connect a:443", 400, Cause::Method),
        ("Head http://a/", 400, Cause::Method),
        ("TRACE http://a/", 501, Cause::Trace),
        ("trace http://a/", 400, Cause::Method),
        ("G(T http://a/", 400, Cause::Syntax),
        ("GET  http://a/", 400, Cause::Syntax),
        ("GET http://a/ ", 505, Cause::Version),
        (" GET http://a/", 400, Cause::Syntax),
        ("GET\thttp://a/", 400, Cause::Syntax),
        ("GET http://a/\t", 400, Cause::Syntax),
    ];
    for (start, status, cause) in bad {
        refused(&[&format!("{start} HTTP/1.1"), "Host: a"], status, cause);
    }
}

#[test]
fn versions_are_two() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let request = read(&[&format!("GET http://a/ {version}"), "Host: a"]).unwrap();
        assert_eq!(request.asked.old, version.ends_with('0'));
        assert!(text(&request.upstream("a")).starts_with(&format!("GET / {version}\r\n")));
    }
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.10", "http/1.1", "HTTP/1", "HTTPS/1.1", "HTTP/ 1.1"] {
        let found = read(&[&format!("GET http://a/ {version}"), "Host: a"]).unwrap_err();
        assert!([(505, Cause::Version), (400, Cause::Syntax)].contains(&found), "{version}: {found:?}");
    }
    refused(&["PRI * HTTP/2.0"], 505, Cause::Version);
    refused(&["GET http://a/"], 400, Cause::Syntax);
}

#[test]
fn lines_are_as_in_the_standard() {
    let whole =
        |bytes: &[u8]| request(bytes).map(|found| found.map(|found| found.head_length)).map_err(|fault| fault.cause);
    assert_eq!(whole(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\nrest"), Ok(Some(35)));
    assert_eq!(whole(b"\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Some(37)));
    assert_eq!(whole(b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX:\ta \xff \t\r\nY:\r\n\r\n"), Ok(Some(49)));
    let bad: &[(&[u8], Cause)] = &[
        (b"\r\n\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Cause::Syntax),
        (b"\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Cause::LineEnd),
        (b"\r\n\nGET http://a/ HTTP/1.1\r\n", Cause::LineEnd),
        (b" \r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\nHost: a\r\n\r\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\n\r\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\rX", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\r\n\r\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\rHost: a\r\n\r\n", Cause::LineEnd),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Cause::Folded),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", Cause::Folded),
        (b"GET http://a/ HTTP/1.1\r\n Host: a\r\n\r\n", Cause::Folded),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Cause::Control),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n", Cause::Control),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", Cause::Control),
        (b"GET http://a/\0 HTTP/1.1\r\nHost: a\r\n\r\n", Cause::Control),
        (b"GET http://a/ HTTP/1.1\r\nHost : a\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\r\nHost\t: a\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\xe4: b\r\n\r\n", Cause::Syntax),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", Cause::Syntax),
        (b"\x16\x03\x01", Cause::Control),
    ];
    for (bytes, cause) in bad {
        assert_eq!(whole(bytes), Err(*cause), "{}", text(bytes));
    }
}

#[test]
fn heads_have_limits() {
    let fields = |count: usize| {
        let mut lines = vec!["GET http://a/ HTTP/1.1".to_owned(), "Host: a".to_owned()];
        lines.extend((1..count).map(|number| format!("X-{number}: y")));
        read(&lines.iter().map(String::as_str).collect::<Vec<_>>()).map(|request| request.body)
    };
    assert_eq!(fields(128), Ok(Body::None));
    assert_eq!(fields(129), Err((431, Cause::TooManyFields)));

    let sized = |size: usize| {
        let empty = head(&["GET http://a/ HTTP/1.1", "Host: a", "X: "]).len();
        head(&["GET http://a/ HTTP/1.1", "Host: a", &format!("X: {}", "x".repeat(size - empty))])
    };
    let largest = sized(LARGEST_HEAD);
    assert_eq!(request(&largest).unwrap().unwrap().head_length, LARGEST_HEAD);
    assert_eq!(request(&largest[..LARGEST_HEAD - 1]), Ok(None));
    for more in [1, 2, 100] {
        let found = request(&sized(LARGEST_HEAD + more)).unwrap_err();
        assert_eq!((found.status(), found.cause), (431, Cause::HeadTooLarge));
    }
    let behind = [head(&["GET http://a/ HTTP/1.1", "Host: a"]), vec![0; 2 * LARGEST_HEAD]].concat();
    assert_eq!(request(&behind).unwrap().unwrap().head_length, 35);
}

#[test]
fn bodies_have_one_length() {
    let start = "POST http://a/ HTTP/1.1";
    let good: &[(&[&str], Body)] = &[
        (&[], Body::None),
        (&["Content-Length: 0"], Body::Length(0)),
        (&["content-length:  5\t"], Body::Length(5)),
        (&["Content-Length: 0010"], Body::Length(10)),
        (&["Content-Length: 9223372036854775807"], Body::Length(i64::MAX as u64)),
        (&["Transfer-Encoding: chunked"], Body::Chunked),
        (&["TRANSFER-ENCODING:Chunked"], Body::Chunked),
        (&["Connection: content-length", "Content-Length: 5"], Body::Length(5)),
        (&["X-Content_Length: 5"], Body::None),
    ];
    for (lines, body) in good {
        let lines = [&[start, "Host: a"], *lines].concat();
        assert_eq!(read(&lines).map(|request| request.body), Ok(*body), "{lines:?}");
    }
    let bad: &[(&[&str], Cause)] = &[
        (&["Content-Length: 5", "Content-Length: 6"], Cause::LengthTwice),
        (&["Content-Length: 5", "Content-Length: 5"], Cause::LengthTwice),
        (&["Content-Length: 5", "Transfer-Encoding: chunked"], Cause::LengthAndCoding),
        (&["Transfer-Encoding: chunked", "Content-Length: 5"], Cause::LengthAndCoding),
        (&["Content-Length: 5, 5"], Cause::Length),
        (&["Content-Length: +5"], Cause::Length),
        (&["Content-Length: -5"], Cause::Length),
        (&["Content-Length: 0x5"], Cause::Length),
        (&["Content-Length: 5 5"], Cause::Length),
        (&["Content-Length: 5.0"], Cause::Length),
        (&["Content-Length: \u{665}"], Cause::Length),
        (&["Content-Length:"], Cause::Length),
        (&["Content-Length: 9223372036854775808"], Cause::Length),
        (&["Content-Length: 18446744073709551616"], Cause::Length),
        (&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], Cause::Coding),
        (&["Transfer-Encoding: chunked, chunked"], Cause::Coding),
        (&["Transfer-Encoding: gzip, chunked"], Cause::Coding),
        (&["Transfer-Encoding: identity"], Cause::Coding),
        (&["Transfer-Encoding: xchunked"], Cause::Coding),
        (&["Transfer-Encoding: chunked;a=b"], Cause::Coding),
        (&["Transfer-Encoding: \"chunked\""], Cause::Coding),
        (&["Transfer-Encoding: chunked,"], Cause::Coding),
        (&["Transfer-Encoding:"], Cause::Coding),
        (&["Content_Length: 5"], Cause::LookAlike),
        (&["transfer_encoding: chunked"], Cause::LookAlike),
    ];
    for (lines, cause) in bad {
        refused(&[&[start, "Host: a"], *lines].concat(), 400, *cause);
    }
    let old = "POST http://a/ HTTP/1.0";
    assert_eq!(read(&[old, "Content-Length: 5"]).map(|request| request.body), Ok(Body::Length(5)));
    refused(&[old, "Transfer-Encoding: chunked"], 400, Cause::CodingOld);
    let connect = "CONNECT a:443 HTTP/1.1";
    assert!(read(&[connect, "Host: a:443"]).is_ok());
    for field in ["Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked"] {
        refused(&[connect, "Host: a:443", field], 400, Cause::ConnectBody);
    }
}

#[test]
fn there_is_one_host_field() {
    let start = "GET http://a/ HTTP/1.1";
    for host in ["a", "A:80", "other.example", "[::1]:80", "a\t"] {
        let request = read(&[start, &format!("Host: {host}")]).unwrap();
        assert_eq!(request.target, Target::Plain(at("a", 80)), "{host}");
        assert!(text(&request.upstream("a")).starts_with("GET / HTTP/1.1\r\nHost: a\r\n"));
    }
    for host in ["", "u@a", "a b", "a,b", "a/", "a:0", "a:x", "[::1", "a%00", "\u{e4}", "http://a"] {
        refused(&[start, &format!("Host: {host}")], 400, Cause::HostField);
    }
    refused(&[start, "Host: a", "Host: a"], 400, Cause::HostTwice);
    refused(&[start, "Host: a", "hOST: b"], 400, Cause::HostTwice);
    refused(&[start, "X: Host"], 400, Cause::HostMissing);
    // As tunnelling programs have it.
    assert!(read(&["CONNECT a:443 HTTP/1.1"]).is_ok());
    assert!(read(&["GET http://a/ HTTP/1.0"]).is_ok());
}

#[test]
fn what_is_for_the_proxy_stays_here() {
    let request = read(&[
        "POST http://a.example:8080/p?q HTTP/1.1",
        "Host: other.example",
        "Connection: keep-alive, X-Hop ,, Upgrade",
        "connection: x-other",
        "X-Hop: 1",
        "x-OTHER: 1",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic c2VjcmV0",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Expect: 100-continue",
        "Trailer: X-Sum",
        "Authorization: Bearer mine",
        "Accept:   */*  ",
        "X-Empty:",
        "Transfer-Encoding: CHUNKED",
    ])
    .unwrap();
    let lines = text(&request.upstream("a.example:8080"));
    expect_test::expect![[r#"
        POST /p?q HTTP/1.1
        Host: a.example:8080
        Expect: 100-continue
        Trailer: X-Sum
        Authorization: Bearer mine
        Accept: */*
        X-Empty: 
        Transfer-Encoding: chunked
        Connection: close

    "#]]
    .assert_eq(&lines.replace("\r\n", "\n"));
    let shown = format!("{request:?}");
    assert!(!shown.contains("mine") && !shown.contains("secret") && !shown.contains("c2Vj") && !shown.contains("p?q"));
    assert!(shown.contains("a.example"), "{shown}");
}

#[test]
fn faults_have_a_status_a_word_and_a_sentence() {
    let fault = request(b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n").unwrap_err();
    assert_eq!((fault.status(), fault.code()), (400, "no-proxy-request"));
    assert_eq!(fault.to_string(), "this is a proxy: it needs a whole `http://` address, or CONNECT host:port");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(found)) = request(&bytes) {
            prop_assert!(found.head_length <= bytes.len());
        }
    }

    /// A prefix says nothing, or already what the whole says.
    #[test]
    fn what_comes_in_pieces_is_the_same(lines in super::lenient::heads(), cut in any::<prop::sample::Index>()) {
        let whole = request(&lines);
        let piece = request(&lines[..cut.index(lines.len() + 1)]);
        prop_assert!(piece == Ok(None) || piece == whole, "{piece:?} {whole:?}");
    }
}
