use proptest::prelude::*;

use super::*;

/// A vector with a length of so many bytes in front.
fn vector(length_bytes: usize, body: &[u8]) -> Vec<u8> {
    [&body.len().to_be_bytes()[8 - length_bytes..], body].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, data)].concat()
}

fn entry(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(2, name)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(2, &entry(0, name)))
}

/// The parts of a ClientHello behind its random bytes.
struct Parts {
    version: [u8; 2],
    session: Vec<u8>,
    suites: Vec<u8>,
    compression: Vec<u8>,
    /// With its length, if there is any.
    extensions: Vec<u8>,
}

fn parts(extensions: &[Vec<u8>]) -> Parts {
    Parts {
        version: [3, 3],
        session: vec![7; 32],
        suites: vec![0x13, 1, 0x13, 2],
        compression: vec![0],
        extensions: vector(2, &extensions.concat()),
    }
}

impl Parts {
    fn body(&self) -> Vec<u8> {
        let Self { version, session, suites, compression, extensions } = self;
        [&version[..], &[9; 32], &vector(1, session), &vector(2, suites), &vector(1, compression), extensions].concat()
    }

    fn message(&self) -> Vec<u8> {
        [vec![1], vector(3, &self.body())].concat()
    }

    fn read(&self) -> Hello {
        client_hello(&records(&self.message(), 1 << 14))
    }
}

/// The bytes in records of `size`.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|piece| [vec![22, 3, 1], vector(2, piece)].concat()).collect()
}

fn usual() -> Vec<Vec<u8>> {
    vec![extension(0x0A0A, &[]), extension(10, &[0, 2, 0, 29]), sni(b"a.example"), extension(43, &[2, 3, 4])]
}

fn named(name: &str) -> Hello {
    Hello::Name(Some(name.to_owned()))
}

#[test]
fn the_name_is_found() {
    assert_eq!(parts(&usual()).read(), named("a.example"));
    assert_eq!(parts(&[sni(b"A_b.example.")]).read(), named("A_b.example."));
    assert_eq!(parts(&[extension(43, &[2, 3, 4])]).read(), Hello::Name(None));
    assert_eq!(parts(&[]).read(), Hello::Name(None));
    assert_eq!(Parts { extensions: vec![], ..parts(&[]) }.read(), Hello::Name(None));
    assert_eq!(Parts { session: vec![], ..parts(&usual()) }.read(), named("a.example"));
    assert_eq!(Parts { version: [3, 1], ..parts(&usual()) }.read(), named("a.example"));
    // What follows in records of its own is not looked at: early data, for one.
    let early = [records(&parts(&usual()).message(), 1 << 14), vec![20, 3, 3, 0, 1, 1, 23, 3]].concat();
    assert_eq!(client_hello(&early), named("a.example"));
}

/// Not recorded: made by hand from RFC 8446, the lengths counted by hand, so that it does not come from the same code.
#[test]
fn a_hello_by_hand() {
    let mut bytes = vec![22, 3, 1, 0, 65, 1, 0, 0, 61, 3, 3];
    bytes.extend([0; 32]);
    bytes.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 18, 0, 0, 0, 14, 0, 12, 0, 0, 9]);
    bytes.extend(b"localhost");
    assert_eq!(bytes.len(), 5 + 65);
    assert_eq!(client_hello(&bytes), named("localhost"));
}

#[test]
fn records_are_put_together() {
    let message = parts(&usual()).message();
    for size in 1..=message.len() {
        let bytes = records(&message, size);
        assert_eq!(client_hello(&bytes), named("a.example"), "records of {size}");
        for cut in 0..bytes.len() {
            assert_eq!(client_hello(&bytes[..cut]), Hello::Incomplete, "records of {size}, cut at {cut}");
        }
    }
}

#[test]
fn other_protocols_are_told_apart() {
    let table: &[(&[u8], Hello)] = &[
        (b"", Hello::Incomplete),
        (b"\x16", Hello::Incomplete),
        (b"SSH-2.0-x\r\n", Hello::NotTls),
        (b"GET / HTTP/1.1\r\n", Hello::NotTls),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Hello::NotTls),
        (b"\x14\x03\x03\x00\x01\x01", Hello::Bad("another record comes before the ClientHello")),
        (b"\x15", Hello::Bad("another record comes before the ClientHello")),
        (b"\x15\x03\x01\x00\x02\x01\x5a", Hello::Bad("another record comes before the ClientHello")),
        (b"\x15\x05\x05\x00\x02\x01\x5a", Hello::Bad("another record comes before the ClientHello")),
        (b"\x17\x03\x03\x00\x01a", Hello::Bad("another record comes before the ClientHello")),
        (b"\x18\x03\x03\x00\x01a", Hello::Bad("another record comes before the ClientHello")),
        (b"\x19\x03\x03\x00\x01a", Hello::NotTls),
        (b"\x80", Hello::Incomplete),
        (b"\x80\x2e", Hello::Incomplete),
        (b"\x80\x2e\x01", Hello::Incomplete),
        (b"\x80\x2e\x01\x03", Hello::Incomplete),
        (b"\x80\x2e\x01\x03\x01", Hello::Bad("a hello of SSL 2")),
        (b"\x80\x2e\x01\x00\x02\x00", Hello::Bad("a hello of SSL 2")),
        (b"\x80\x2e\x01\x00", Hello::Incomplete),
        (b"\x80\x2e\x01\x00\x00", Hello::NotTls),
        (b"\x80\x2e\x00", Hello::NotTls),
        (b"\xff\xff\x04\x03\x01", Hello::NotTls),
    ];
    for (bytes, expected) in table {
        assert_eq!(client_hello(bytes), *expected, "{bytes:?}");
    }
}

/// A whole ClientHello in one record.
pub(in crate::supervise::proxy) fn hello_for(name: &str) -> Vec<u8> {
    records(&parts(&[sni(name.as_bytes())]).message(), 1 << 14)
}

/// A ServerHello with this random, in records of `size`.
pub(in crate::supervise::proxy) fn server_hello(random: [u8; 32], size: usize) -> Vec<u8> {
    let body = [&[3, 3][..], &random, &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat();
    records(&[vec![2], vector(3, &body)].concat(), size)
}

#[test]
fn a_hello_ends_with_its_records() {
    let hello = hello_for("a.example");
    let more = [&hello[..], &[20, 3, 3, 0, 1, 1], &hello].concat();
    assert_eq!((hello_end(&hello), hello_end(&more)), (Some(hello.len()), Some(hello.len())));
    assert_eq!((hello_end(&hello[..hello.len() - 1]), hello_end(b"GET / HTTP/1.1")), (None, None));
}

#[test]
fn a_server_that_asks_again_is_told_from_others() {
    let warning = [21, 3, 3, 0, 2, 1, 112];
    for size in [1, 5, 37, 38, 1 << 14] {
        let again = server_hello(RETRY, size);
        for bytes in [again.clone(), [&warning[..], &again].concat()] {
            assert_eq!(asks_again(&bytes), Some(true), "records of {size}");
            let known = (0..bytes.len()).find(|cut| asks_again(&bytes[..*cut]).is_some());
            assert!(known.is_none_or(|cut| asks_again(&bytes[..cut]) == Some(true)), "records of {size}: {known:?}");
        }
        assert_eq!(asks_again(&server_hello([7; 32], size)), Some(false), "records of {size}");
    }
    for other in [&b"220 mail.test\r\n"[..], b"HTTP/1.1 200 OK", b"\x17\x03\x03\x00\x01a"] {
        assert_eq!(asks_again(other), Some(false), "{other:?}");
    }
    assert_eq!(asks_again(b""), None);
}

#[test]
fn what_a_server_passes_over_is_counted() {
    let table: &[(&[u8], Option<usize>)] = &[
        (b"", None),
        (b"\x14\x03\x03\x00\x01", None),
        (b"\x14\x03\x03\x00\x01\x01", None),
        (b"\x14\x03\x03\x00\x01\x01\x16", Some(6)),
        (b"\x17\x03\x03\x00\x02ab\x14\x03\x03\x00\x01\x01\x16", Some(13)),
        (b"\x17\x03\x03\x00\x02a", None),
        (b"\x16", Some(0)),
        (b"\x15\x03", Some(0)),
    ];
    for (bytes, expected) in table {
        assert_eq!(passed_over(bytes), *expected, "{bytes:?}");
    }
}

fn bad(bytes: &[u8], because: &'static str) {
    assert_eq!(client_hello(bytes), Hello::Bad(because));
}

#[test]
fn bad_records_are_refused() {
    let message = parts(&usual()).message();
    let good = records(&message, 20);
    assert_eq!(client_hello(&good), named("a.example"));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    bad(&with(1, 2), "the version of a record is not 3.0 to 3.4");
    bad(&with(2, 5), "the version of a record is not 3.0 to 3.4");
    bad(&with(5, 2), "the first message is no ClientHello");
    bad(&with(5, 0), "the first message is no ClientHello");
    // The second record begins at 25.
    for kind in [20, 21, 23, 24, 0] {
        bad(&with(25, kind), "another record comes before the end of the ClientHello");
    }
    bad(&with(26, 2), "the version of a record is not 3.0 to 3.4");
    bad(&[&good[..25], &[22, 3, 1, 0, 0], &good[25..]].concat(), "a record is empty");
    bad(&[22, 3, 1, 0, 0], "a record is empty");
    bad(&[22, 3, 1, 0x40, 1], "a record is too long");
    assert_eq!(client_hello(&[22, 3, 1, 0x40, 0]), Hello::Incomplete);
    let followed = [&message[..], &[14, 0, 0, 0]].concat();
    bad(&records(&followed, 1 << 14), "something follows the ClientHello in its record");
    bad(&[22, 3, 1, 0, 5, 1, 1, 0, 1], "the ClientHello is too large");
}

#[test]
fn a_hello_has_a_limit() {
    let padded = |size: usize| parts(&[sni(b"a.example"), extension(21, &vec![0; size])]).message();
    assert_eq!(client_hello(&records(&padded(60_000), 1 << 14)), named("a.example"));
    let too_large = records(&padded(65_000), 1 << 14);
    assert!(too_large.len() < LARGEST_HELLO + 5);
    // Six bytes for each: a message that would fit does not.
    let bytewise = records(&padded(20_000), 1);
    bad(&bytewise, "the ClientHello is too large");
    bad(&bytewise[..LARGEST_HELLO], "the ClientHello is too large");
    assert_eq!(client_hello(&bytewise[..LARGEST_HELLO - 1]), Hello::Incomplete);
}

#[test]
fn bad_hellos_are_refused() {
    let base = || parts(&usual());
    let table = [
        (Parts { version: [2, 0], ..base() }, "the version of the ClientHello is not 3.x"),
        (Parts { version: [4, 3], ..base() }, "the version of the ClientHello is not 3.x"),
        (Parts { session: vec![0; 33], ..base() }, "the session id is too long"),
        (Parts { suites: vec![], ..base() }, "the cipher suites are malformed"),
        (Parts { suites: vec![1, 2, 3], ..base() }, "the cipher suites are malformed"),
        (Parts { compression: vec![], ..base() }, "there is no compression method"),
        (Parts { extensions: vec![0], ..base() }, "the ClientHello is cut off inside"),
        (Parts { extensions: vec![0, 1], ..base() }, "the ClientHello is cut off inside"),
        (Parts { extensions: vec![0, 0, 0], ..base() }, "something follows where nothing should"),
        (Parts { extensions: vec![0, 3, 0, 0, 0], ..base() }, "the ClientHello is cut off inside"),
        (Parts { extensions: vec![0, 4, 0, 0, 0, 1], ..base() }, "the ClientHello is cut off inside"),
    ];
    for (parts, because) in table {
        assert_eq!(parts.read(), Hello::Bad(because));
    }
    for length in 0..34 {
        let body = &base().body()[..length];
        bad(&records(&[vec![1], vector(3, body)].concat(), 1 << 14), "the ClientHello is cut off inside");
    }
}

#[test]
fn there_is_one_name_or_none() {
    let list = |entries: &[Vec<u8>]| parts(&[extension(0, &vector(2, &entries.concat()))]).read();
    assert_eq!(list(&[entry(0, b"a")]), named("a"));
    assert_eq!(list(&[entry(0, b"a"), entry(0, b"b")]), Hello::Bad("something follows where nothing should"));
    assert_eq!(list(&[entry(0, b"a"), entry(1, b"b")]), Hello::Bad("something follows where nothing should"));
    assert_eq!(list(&[entry(1, b"a")]), Hello::Bad("the server's name is of an unknown type"));
    assert_eq!(list(&[]), Hello::Bad("the ClientHello is cut off inside"));
    assert_eq!(parts(&[sni(b"a"), sni(b"a")]).read(), Hello::Bad("there are two extensions for the server's name"));
    assert_eq!(parts(&[extension(0, &[])]).read(), Hello::Bad("the ClientHello is cut off inside"));
    let trailing = [vector(2, &entry(0, b"a")), vec![0]].concat();
    assert_eq!(parts(&[extension(0, &trailing)]).read(), Hello::Bad("something follows where nothing should"));
    let names: &[&[u8]] = &[
        b"",
        b"a\0",
        b"a\0.example",
        b"a b",
        b"a:443",
        b"a/",
        b"u@a",
        b"*.a",
        b"[::1]",
        b"::1",
        b"\xc3\xa4",
        b"\xff",
        b"a\n",
        &[b'a'; 256],
    ];
    for name in names {
        assert_eq!(list(&[entry(0, name)]), Hello::Bad("the server's name is no host name"), "{name:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        for start in [&[][..], &[22, 3, 1], &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]] {
            let bytes = [start, &bytes].concat();
            let piece = client_hello(&bytes[..cut.index(bytes.len() + 1)]);
            prop_assert!(piece == Hello::Incomplete || piece == client_hello(&bytes));
        }
    }

    /// One byte of a good hello is another: read or refused, but the name is not one that was never there.
    #[test]
    fn a_changed_byte_does_no_harm(at in any::<prop::sample::Index>(), byte: u8, size in 1..200_usize) {
        let mut bytes = records(&parts(&usual()).message(), size);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Hello::Name(Some(name)) = client_hello(&bytes) {
            prop_assert_eq!(name.len(), "a.example".len());
        }
    }
}
