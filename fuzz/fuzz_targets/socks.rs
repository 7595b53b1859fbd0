//! The three messages of a SOCKS client: pieces read like the whole, and hosts are what hosts may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::supervise::proxy::{address, kind, socks};

fuzz_target!(|bytes: &[u8]| {
    let piece = &bytes[..bytes.len() / 2];
    let (whole, part) = (socks::greeting(bytes), socks::greeting(piece));
    assert!(part == Ok(None) || part == whole);
    assert!(!matches!(whole, Ok(Some(_))) || kind::kind(bytes) == kind::Kind::Socks5);
    let (whole, part) = (socks::credentials(bytes), socks::credentials(piece));
    assert!(part == Ok(None) || part == whole);
    let (whole, part) = (socks::request(bytes), socks::request(piece));
    assert!(part == Ok(None) || part == whole);
    if let Ok(Some((length, found))) = whole {
        assert!(length <= bytes.len());
        assert!(address::is_host(&found.host) && found.port != 0);
    }
});
