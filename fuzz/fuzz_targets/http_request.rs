//! A request's head: pieces read like the whole, and no careless reader finds another body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::supervise::proxy::http::{Body, Target, request};

#[path = "../../src/supervise/proxy/http/tests/careless.rs"]
mod careless;

fuzz_target!(|bytes: &[u8]| {
    let whole = request(bytes);
    for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let piece = request(&bytes[..cut]);
        assert!(piece == Ok(None) || piece == whole);
    }
    let Ok(Some(found)) = whole else { return };
    let head = &bytes[..found.head_length];
    assert_eq!(request(head), Ok(Some(found.clone())));
    let Target::Plain(address) = &found.target else { return };
    let written = found.upstream("a");
    for habits in careless::habits() {
        assert_eq!(careless::body(head, habits), found.body, "as it came, {habits:?}");
        assert_eq!(careless::body(&written, habits), found.body, "as written, {habits:?}");
    }
    assert!(!address.host.is_empty() && address.port != 0);
});
