//! Nobody reads another body out of a head than we did.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::super::*;
use super::careless::{body, habits};
use super::text;

/// Heads of pieces that matter, a good part of them well-formed.
pub(super) fn heads() -> impl Strategy<Value = Vec<u8>> {
    let start =
        prop::sample::select(vec!["POST http://a/ HTTP/1.1", "POST http://a/ HTTP/1.0", "GET http://a/?b HTTP/1.1"]);
    let name = prop::sample::select(vec![
        "Content-Length",
        "Transfer-Encoding",
        "content-length",
        "Content_Length",
        "Transfer_Encoding",
        " Content-Length",
        "Content-Length ",
        "Transfer-Encoding\t",
        "X\rContent-Length",
        "X: y\nContent-Length",
        "Connection",
        "X",
        "\0Content-Length",
    ]);
    let value = prop::sample::select(vec![
        "0",
        "5",
        "6",
        "chunked",
        "Chunked",
        "identity",
        "gzip, chunked",
        "chunked, identity",
        "5, 6",
        "+5",
        "5\n\n",
        "5\r\n 6",
        "\x0bchunked",
        "content-length",
        "",
        "05",
        "0x5",
        "5\rTransfer-Encoding: chunked",
        "5\u{a0}",
    ]);
    let separator = prop::sample::select(vec![": ", ": ", ": ", ":", ":\t", " : ", ""]);
    let line_end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\r\n "]);
    let good = (
        prop::sample::select(vec!["Content-Length", "Transfer-Encoding", "X"]),
        prop::sample::select(vec!["5", "chunked"]),
    );
    let good = good.prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    let wild = (name, separator, value, line_end)
        .prop_map(|(name, between, value, end)| format!("{name}{between}{value}{end}"));
    let lines = prop::collection::vec(prop_oneof![2 => good, 3 => wild], 0..3);
    (start, lines).prop_map(|(start, lines)| format!("{start}\r\nHost: a\r\n{}\r\n", lines.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nobody_finds_another_body(bytes in heads()) {
        let Ok(Some(found)) = request(&bytes) else { return Ok(()) };
        let written = found.upstream("a");
        for habits in habits() {
            prop_assert_eq!(body(&bytes[..found.head_length], habits), found.body, "as it came, {:?}", habits);
            prop_assert_eq!(body(&written, habits), found.body, "as written, {:?}", habits);
        }
    }

    /// What we write is a head for others, too: with its target made whole, it is the same request.
    #[test]
    fn what_is_written_reads_the_same(bytes in heads()) {
        let Ok(Some(found)) = request(&bytes) else { return Ok(()) };
        let written = text(&found.upstream("a")).replacen(" /", " http://a/", 1).into_bytes();
        let again = request(&written).unwrap().unwrap();
        prop_assert_eq!((again.body, &again.target, again.head_length), (found.body, &found.target, written.len()));
        prop_assert_eq!(again.upstream("a"), found.upstream("a"));
    }
}

/// Else the test above could pass without a single case.
#[test]
fn the_careless_reader_is_careless() {
    let finds = |head: &str, body_found: Body| habits().any(|habits| body(head.as_bytes(), habits) == body_found);
    let start = "POST / HTTP/1.1\r\n";
    for (lines, body) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Body::Length(6)),
        ("Content-Length: 6\r\nContent-Length: 5\r\n", Body::Length(6)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Body::Length(5)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Body::Chunked),
        ("Transfer_Encoding: chunked\r\n", Body::Chunked),
        ("Transfer-Encoding: xchunked\r\n", Body::Chunked),
        ("X: y\nContent-Length: 5\r\n", Body::Length(5)),
        ("X: y\rContent-Length: 5\r\n", Body::Length(5)),
        ("Content-Length : 5\r\n", Body::Length(5)),
        (" Content-Length: 5\r\n", Body::Length(5)),
    ] {
        assert!(finds(&format!("{start}{lines}\r\n"), body), "{lines:?}");
    }
    let (mut runner, mut accepted) = (proptest::test_runner::TestRunner::deterministic(), 0);
    for _ in 0..500 {
        let bytes = heads().new_tree(&mut runner).unwrap().current();
        accepted += i32::from(matches!(request(&bytes), Ok(Some(_))));
    }
    assert!((50..450).contains(&accepted), "{accepted} of 500 heads are accepted");
}
