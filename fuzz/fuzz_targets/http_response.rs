//! An answer's head: pieces read like the whole, and what the client gets is an answer that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::supervise::proxy::http::{Asked, response};

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (head, old, bytes) = input;
    let asked = Asked { head, old };
    let whole = response(bytes, asked);
    for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let piece = response(&bytes[..cut], asked);
        assert!(piece == Ok(None) || piece == whole);
    }
    let Ok(Some(found)) = whole else { return };
    if found.client.is_empty() {
        assert!(found.interim && old);
        return;
    }
    // Ours may be a little longer than what came, which the limits of heads would refuse.
    let lines = found.client.iter().filter(|byte| **byte == b'\n').count();
    if found.head_length < 32 << 10 && lines < 120 {
        let again = response(&found.client, asked).unwrap().unwrap();
        assert_eq!((again.status, again.body, again.head_length), (found.status, found.body, found.client.len()));
        assert_eq!(again.client, found.client);
    }
});
