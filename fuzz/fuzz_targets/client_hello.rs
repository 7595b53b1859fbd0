//! The first message of a TLS client: pieces read like the whole, and other records do not make another name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::supervise::proxy::address;
use ringfence::supervise::proxy::tls::{Hello, client_hello};

/// The bytes as a ClientHello, in records of `size`.
fn records(body: &[u8], size: usize) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let message = [&[1], &length[1..], body].concat();
    let record = |piece: &[u8]| [&[22, 3, 1, (piece.len() >> 8) as u8, piece.len() as u8], piece].concat();
    message.chunks(size).flat_map(record).collect()
}

fn check(bytes: &[u8]) -> Hello {
    let whole = client_hello(bytes);
    for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let piece = client_hello(&bytes[..cut]);
        assert!(piece == Hello::Incomplete || piece == whole);
    }
    if let Hello::Name(Some(name)) = &whole {
        assert!(address::is_name(name.as_bytes()));
        assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()) || bytes.len() > 5 + name.len());
    }
    whole
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    check(bytes);
    // Without the outer layer, the fuzzer gets at what is inside.
    let body = &bytes[..bytes.len().min(8 << 10)];
    let one = check(&records(body, 1 << 14));
    assert_eq!(check(&records(body, usize::from(size).max(1))), one);
});
