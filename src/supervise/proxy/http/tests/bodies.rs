use proptest::prelude::*;

use super::super::*;

/// Whether all of it is one body, or how much of it is, or what is wrong; fed in pieces of `size`.
fn feed(bytes: &[u8], size: usize) -> Result<(usize, bool), Cause> {
    let mut chunked = Chunked::new(Side::Client);
    let mut taken = 0;
    for piece in bytes.chunks(size) {
        taken += chunked.feed(piece).map_err(|fault| fault.cause)?;
    }
    Ok((taken, chunked.is_done()))
}

#[test]
fn bodies_end_where_they_say() {
    let good: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"0\r\n\r\n", b"GET / HTTP/1.1\r\n"),
        (b"5\r\nab\r\nc\r\n0\r\n\r\n", b"\r\n"),
        (b"a;x\r\n0123456789\r\n0\r\n\r\n", b"0"),
        (b"A; x = \"0\"\t\r\n0123456789\r\n00;y\r\n\r\n", b""),
        (b"0000000000000001\r\n\n\r\n0\r\n\r\n", b"\0"),
        (b"0\r\nX-Sum: 1\r\nY:\r\n\r\n", b"Z: 1\r\n"),
    ];
    for (body, behind) in good {
        let (bytes, length) = ([*body, *behind].concat(), body.len());
        for size in [1, 2, 3, 1000] {
            assert_eq!(feed(&bytes, size), Ok((length, true)), "{:?} by {size}", String::from_utf8_lossy(&bytes));
        }
        for cut in 0..length {
            assert_eq!(feed(&bytes[..cut], 1), Ok((cut, false)));
        }
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let bad: &[(&[u8], Cause)] = &[
        (b"\r\n", Cause::Chunk),
        (b"\r\n0\r\n\r\n", Cause::Chunk),
        (b" 0\r\n\r\n", Cause::Chunk),
        (b"0 \r\n\r\n", Cause::Chunk),
        (b"+1\r\na\r\n", Cause::Chunk),
        (b"-1\r\n", Cause::Chunk),
        (b"0x1\r\na\r\n", Cause::Chunk),
        (b"1_0\r\n", Cause::Chunk),
        (b"g\r\n", Cause::Chunk),
        (b";x\r\n", Cause::Chunk),
        (b"\xef\xbc\x91\r\n", Cause::Chunk),
        (b"0\n\n", Cause::Chunk),
        (b"1\na\n0\n\n", Cause::Chunk),
        (b"0\r\r\n", Cause::Chunk),
        (b"1;\r\n", Cause::Chunk),
        (b"1;a\n", Cause::Chunk),
        (b"1;a\rb", Cause::Chunk),
        (b"1;a\0\r\n", Cause::Chunk),
        (b"1;\xff\r\n", Cause::Chunk),
        (b"1\r\nab", Cause::Chunk),
        (b"1\r\na\n", Cause::Chunk),
        (b"1\r\na\rb", Cause::Chunk),
        (b"1\r\na0\r\n\r\n", Cause::Chunk),
        (b"4000000000000001\r\n", Cause::ChunkSize),
        (b"ffffffffffffffff\r\n", Cause::ChunkSize),
        (b"10000000000000000\r\n", Cause::ChunkSize),
        (b"00000000000000001\r\n", Cause::ChunkSize),
        (b"0\r\n\n", Cause::Trailer),
        (b"0\r\n\rX", Cause::Trailer),
        (b"0\r\n X: y\r\n", Cause::Trailer),
        (b"0\r\nX: y\n", Cause::Trailer),
        (b"0\r\nX: y\r\n z\r\n", Cause::Trailer),
        (b"0\r\nX : y\r\n", Cause::Trailer),
        (b"0\r\nX\r\n", Cause::Trailer),
        (b"0\r\n: y\r\n", Cause::Trailer),
        (b"0\r\nX: \0\r\n", Cause::Trailer),
        (b"0\r\nX: y\rz", Cause::Trailer),
        (b"0\r\nContent-Length: 5\r\n", Cause::Trailer),
        (b"0\r\ntransfer_encoding: chunked\r\n", Cause::Trailer),
        (b"0\r\nX: y\r\nHOST: b\r\n", Cause::Trailer),
        (b"0\r\nProxy-Authorization: x\r\n", Cause::Trailer),
    ];
    for (bytes, cause) in bad {
        for size in [1, 2, 1000] {
            assert_eq!(feed(bytes, size), Err(*cause), "{:?} by {size}", String::from_utf8_lossy(bytes));
        }
    }
    assert_eq!(feed(b"4000000000000000\r\n", 1), Ok((18, false)));
    // No byte behind the fault is waited for.
    assert_eq!(feed(b"0\n", 1), Err(Cause::Chunk));
}

#[test]
fn extensions_and_trailers_have_limits() {
    let extension = |length: usize| feed(format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length)).as_bytes(), 100);
    assert!(matches!(extension(256), Ok((_, true))));
    assert_eq!(extension(257), Err(Cause::ChunkExtension));
    // With its name, colon and line ends.
    let trailer = |length: usize| feed(format!("0\r\nX:{}\r\n\r\n", "x".repeat(length - 6)).as_bytes(), 100);
    assert!(matches!(trailer(8 << 10), Ok((_, true))));
    assert_eq!(trailer((8 << 10) + 1), Err(Cause::TrailerTooLarge));
}

#[test]
fn a_broken_body_stays_broken() {
    let mut chunked = Chunked::new(Side::Server);
    assert!(chunked.feed(b"\n").is_err());
    let fault = chunked.feed(b"0\r\n\r\n").unwrap_err();
    assert_eq!((fault.cause, fault.status(), chunked.is_done()), (Cause::Chunk, 502, false));
}

#[test]
fn data_can_go_by_unseen() {
    let mut chunked = Chunked::new(Side::Client);
    assert_eq!(chunked.feed(b"10000\r\nab"), Ok(9));
    assert_eq!(chunked.data_left(), 65534);
    chunked.skip(65533);
    assert_eq!(chunked.data_left(), 1);
    chunked.skip(5);
    assert_eq!(chunked.data_left(), 0);
    assert_eq!(chunked.feed(b"\r\n0\r\n\r\nX"), Ok(7));
    assert!(chunked.is_done());
    chunked.skip(5);
    assert_eq!((chunked.feed(b"X"), chunked.is_done(), chunked.data_left()), (Ok(0), true, 0));
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..5),
        behind in prop::collection::vec(any::<u8>(), 0..5),
        size in 1..40_usize,
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(&[chunk, &b"\r\n"[..]].concat());
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let length = bytes.len();
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(feed(&bytes, size), Ok((length, true)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in "[0-9a-f;\r\n:xX \0]{0,60}", size in 1..20_usize) {
        prop_assert_eq!(feed(bytes.as_bytes(), size), feed(bytes.as_bytes(), 1));
    }
}
