//! A second reader, as careless as servers are, in all the ways in which they are: whatever we accept, it must find the
//! same body in it as we did, in the head as it came and in the one that we write. `fuzz/` uses it, too.

use super::Body;

/// How a careless server reads.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Of two lengths the last one counts, not the first.
    last_length: bool,
    /// A length counts before a coding.
    length_first: bool,
    /// `_` is `-`.
    underscores: bool,
    /// Any mention of `chunked` will do.
    mentions: bool,
    /// A line that begins with a blank goes on from the one before; else it is a field of its own.
    folds: bool,
    /// CR alone ends a line.
    bare_cr: bool,
}

/// All servers that there could be.
pub fn habits() -> impl Iterator<Item = Habits> {
    (0..64_u8).map(|bits| Habits {
        last_length: bits & 1 != 0,
        length_first: bits & 2 != 0,
        underscores: bits & 4 != 0,
        mentions: bits & 8 != 0,
        folds: bits & 16 != 0,
        bare_cr: bits & 32 != 0,
    })
}

/// The body that `habits` find in a head.
pub fn body(head: &[u8], habits: Habits) -> Body {
    let mut lengths = Vec::new();
    let mut chunked = false;
    for (name, value) in fields(&String::from_utf8_lossy(head), habits) {
        match name.as_str() {
            "content-length" => lengths.push(leading_number(&value)),
            "transfer-encoding" if habits.mentions => chunked |= value.contains("chunked"),
            "transfer-encoding" => chunked = value.split(',').next_back().is_some_and(|last| last.trim() == "chunked"),
            _ => {}
        }
    }
    let length = if habits.last_length { lengths.last() } else { lengths.first() };
    match length {
        Some(length) if habits.length_first || !chunked => Body::Length(*length),
        _ if chunked => Body::Chunked,
        _ => Body::None,
    }
}

/// As `atoi` has it.
fn leading_number(value: &str) -> u64 {
    let digits: String = value.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn fields(head: &str, habits: Habits) -> Vec<(String, String)> {
    let head = if habits.bare_cr { head.replace("\r\n", "\n").replace('\r', "\n") } else { head.to_owned() };
    let mut found: Vec<(String, String)> = Vec::new();
    for line in head.trim_start().split('\n').skip(1) {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        match (found.last_mut(), line.split_once(':')) {
            (Some((_, value)), _) if habits.folds && line.starts_with([' ', '\t']) => value.push_str(line),
            (_, Some((name, value))) => {
                let name = name.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_lowercase();
                let name = if habits.underscores { name.replace('_', "-") } else { name };
                found.push((name, value.trim_matches(|c: char| c.is_whitespace() || c.is_control()).to_lowercase()));
            }
            _ => {}
        }
    }
    found
}
