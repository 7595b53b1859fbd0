use proptest::prelude::*;

use super::super::*;
use super::{head, text};

const HEAD: Asked = Asked { head: true, old: false };
const OLD: Asked = Asked { head: false, old: true };
const NEW: Asked = Asked { head: false, old: false };

fn read(lines: &[&str], asked: Asked) -> Result<Response, Cause> {
    let found = response(&head(lines), asked).map(Option::unwrap);
    found.map_err(|fault| {
        assert_eq!(fault.status(), 502, "{fault}");
        assert!(fault.to_string().starts_with("the server's answer cannot be passed on: "));
        fault.cause
    })
}

#[test]
fn bodies_end_where_one_field_says() {
    let table: &[(&[&str], Asked, Result<ResponseBody, Cause>)] = &[
        (&["HTTP/1.1 200 OK"], NEW, Ok(ResponseBody::UntilClose)),
        (&["HTTP/1.1 200 OK", "Content-Length: 5"], NEW, Ok(ResponseBody::Length(5))),
        (&["HTTP/1.0 200 OK", "Content-Length: 5"], OLD, Ok(ResponseBody::Length(5))),
        (&["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"], NEW, Ok(ResponseBody::Length(5))),
        (&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], NEW, Ok(ResponseBody::Chunked)),
        (&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], HEAD, Ok(ResponseBody::None)),
        (&["HTTP/1.1 200 OK", "Content-Length: 5"], HEAD, Ok(ResponseBody::None)),
        (&["HTTP/1.1 204 No Content", "Content-Length: 5"], NEW, Ok(ResponseBody::None)),
        (&["HTTP/1.1 304 Not Modified", "Content-Length: 5"], NEW, Ok(ResponseBody::None)),
        (&["HTTP/1.1 100 Continue"], NEW, Ok(ResponseBody::None)),
        (&["HTTP/1.1 999 Own", "Content-Length: 5"], NEW, Ok(ResponseBody::Length(5))),
        (&["HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"], NEW, Err(Cause::LengthTwice)),
        (&["HTTP/1.1 200 OK", "Content-Length: 5, 5"], NEW, Err(Cause::Length)),
        (&["HTTP/1.1 200 OK", "Content-Length: -1"], NEW, Err(Cause::Length)),
        (&["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"], NEW, Err(Cause::LengthAndCoding)),
        (&["HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"], HEAD, Err(Cause::LengthAndCoding)),
        (&["HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"], NEW, Err(Cause::Coding)),
        (&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], NEW, Err(Cause::Coding)),
        (&["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"], NEW, Err(Cause::CodingOld)),
        (&["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], OLD, Err(Cause::CodingOld)),
        (&["HTTP/1.1 200 OK", "Content_Length: 5"], NEW, Err(Cause::LookAlike)),
    ];
    for (lines, asked, body) in table {
        assert_eq!(read(lines, *asked).map(|response| response.body), *body, "{lines:?}");
    }
}

#[test]
fn status_lines_are_strict() {
    let good =
        [("HTTP/1.1 200 OK", 200), ("HTTP/1.1 200 ", 200), ("HTTP/1.1 200", 200), ("HTTP/1.0 404 Not here", 404)];
    for (line, status) in good {
        assert_eq!(read(&[line], NEW).map(|response| response.status), Ok(status), "{line}");
    }
    let bad = [
        ("HTTP/1.1 101 Switching Protocols", Cause::Switching),
        ("HTTP/1.1 099 Low", Cause::Status),
        ("HTTP/1.1 20 OK", Cause::Syntax),
        ("HTTP/1.1 2000 OK", Cause::Syntax),
        ("HTTP/1.1 +20 OK", Cause::Syntax),
        ("HTTP/1.1  200 OK", Cause::Syntax),
        ("HTTP/2.0 200 OK", Cause::Version),
        ("ICY 200 OK", Cause::Version),
        ("SSH-2.0-OpenSSH", Cause::Version),
        ("", Cause::Syntax),
        ("HTTP/1.1 200 OK\nX: y", Cause::LineEnd),
        ("HTTP/1.1 200 OK\rX: y", Cause::LineEnd),
        ("HTTP/1.1 200 O\0K", Cause::Control),
        ("HTTP/1.1 200 OK\r\n X: y", Cause::Folded),
        ("HTTP/1.1 200 OK\r\nX : y", Cause::Syntax),
    ];
    for (line, cause) in bad {
        assert_eq!(read(&[line], NEW).map(|response| response.status), Err(cause), "{line:?}");
    }
    // None before the status line, as there is for requests.
    assert_eq!(response(b"\r\nHTTP/1.1 200 OK\r\n\r\n", NEW).map_err(|fault| fault.cause), Err(Cause::Syntax));
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; LARGEST_HEAD]].concat();
    let fault = response(&endless, NEW).unwrap_err();
    assert_eq!((fault.status(), fault.cause), (502, Cause::HeadTooLarge));
}

#[test]
fn the_client_gets_a_head_of_ours() {
    let lines = [
        "HTTP/1.0 200 Fine",
        "Content-Length: 005",
        "content-length: 5",
        "Connection: X-Hop, close",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Upgrade: h2c",
        "Proxy-Authenticate: Basic",
        "Set-Cookie: a",
        "Set-Cookie: b",
    ];
    let shown = |lines: &[&str], asked| text(&read(lines, asked).unwrap().client).replace("\r\n", "\n");
    let expected = expect_test::expect![[r#"
        HTTP/1.1 200 Fine
        Set-Cookie: a
        Set-Cookie: b
        Content-Length: 5
        Connection: close

    "#]];
    expected.assert_eq(&shown(&lines, NEW));
    // What HEAD would have got is said, though it does not come.
    expected.assert_eq(&shown(&lines, HEAD));
    assert_eq!(
        shown(&["HTTP/1.1 204 No Content", "Content-Length: 5", "X: y"], NEW),
        "HTTP/1.1 204 No Content\nX: y\nConnection: close\n\n"
    );
    // Our own field about the connection names it.
    assert_eq!(
        shown(&["HTTP/1.1 204 No Content", "Close: 1", "X: y"], NEW),
        "HTTP/1.1 204 No Content\nX: y\nConnection: close\n\n"
    );
}

#[test]
fn interim_answers_are_passed_to_those_who_know_them() {
    let hints = ["HTTP/1.1 103 Early Hints", "Link: x", "Connection: close"];
    let found = read(&hints, NEW).unwrap();
    assert!(found.interim);
    assert_eq!(text(&found.client), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    let found = read(&hints, OLD).unwrap();
    assert!(found.interim && found.client.is_empty());
    assert!(!read(&["HTTP/1.1 200 OK"], NEW).unwrap().interim);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), head: bool, old: bool) {
        if let Ok(Some(found)) = response(&bytes, Asked { head, old }) {
            prop_assert!(found.head_length <= bytes.len());
        }
    }

    #[test]
    fn what_comes_in_pieces_is_the_same(length in any::<u32>(), cut in any::<prop::sample::Index>()) {
        let bytes = [head(&["HTTP/1.1 200 OK", &format!("Content-Length: {length}")]), b"body".to_vec()].concat();
        let whole = response(&bytes, NEW);
        let piece = response(&bytes[..cut.index(bytes.len() + 1)], NEW);
        prop_assert!(piece == Ok(None) || piece == whole);
        prop_assert_eq!(whole.unwrap().unwrap().body, ResponseBody::Length(length.into()));
    }
}
