//! A chunked body in pieces: its end does not depend on how it comes, and a careless reader finds the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::supervise::proxy::http::{Chunked, Side};

/// How long the body is, if it is complete; `None` if it is refused or goes on.
fn end(bytes: &[u8], size: usize) -> Option<usize> {
    let mut chunked = Chunked::new(Side::Client);
    let mut taken = 0;
    for piece in bytes.chunks(size) {
        taken += chunked.feed(piece).ok()?;
    }
    chunked.is_done().then_some(taken)
}

/// LF ends a line whatever stands before it, blanks do not matter, and two bytes behind data are skipped unseen.
fn careless(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line(bytes, &mut at)?;
        let digits: String = line.trim_start().chars().take_while(char::is_ascii_hexdigit).collect();
        match usize::from_str_radix(&digits, 16).ok()? {
            0 => break,
            size => at = at.checked_add(size)?.checked_add(2)?,
        }
    }
    while !line(bytes, &mut at)?.trim().is_empty() {}
    Some(at)
}

fn line(bytes: &[u8], at: &mut usize) -> Option<String> {
    let rest = bytes.get(*at..)?;
    let length = rest.iter().position(|byte| *byte == b'\n')?;
    *at += length + 1;
    Some(String::from_utf8_lossy(&rest[..length]).into_owned())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let found = end(bytes, bytes.len().max(1));
    assert_eq!(end(bytes, usize::from(size).max(1)), found);
    assert_eq!(end(bytes, 1), found);
    if found.is_some() {
        assert_eq!(careless(bytes), found);
    }
});
