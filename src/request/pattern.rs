//! Patterns of host names: which are allowed, and which two can mean the same host.
//!
//! A pattern is in lower case and in ASCII. `*` stays inside one label, `**` is one or more labels.

/// The most bytes that DNS lets a name have.
pub(crate) const LONGEST_NAME: usize = 253;
/// The most bytes that DNS lets a label have.
pub(crate) const LONGEST_LABEL: usize = 63;

/// A wildcard where none can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wild {
    #[error("a wildcard alone would be every host")]
    Alone,
    #[error("`**` must be the whole first label")]
    Part,
    #[error("after the first label a wildcard must be a whole label `*`")]
    LaterPart,
    #[error("the last label cannot be a wildcard")]
    Last,
    #[error("the wildcard would cover a whole top-level domain")]
    TopLevel,
}

impl Wild {
    /// One thing to do about it.
    pub(crate) const CURE: &str = "for example `*.example.com`, `api-*.example.com` or `**.example.com`";
}

/// Refuses wildcards that mean more than they seem to, or nothing.
pub(crate) fn check_wildcards(host: &str) -> Result<(), Wild> {
    if !host.contains('*') {
        return Ok(());
    }
    let labels: Vec<&str> = host.split('.').collect();
    let (first, later) = labels.split_first().unwrap_or((&host, &[]));
    if later.is_empty() && matches!(*first, "*" | "**") {
        return Err(Wild::Alone);
    }
    if first.contains("**") && *first != "**" {
        return Err(Wild::Part);
    }
    if later.iter().any(|label| label.contains('*') && *label != "*") {
        return Err(Wild::LaterPart);
    }
    if later.last() == Some(&"*") {
        return Err(Wild::Last);
    }
    let wild = labels.iter().filter(|label| label.contains('*')).count();
    if labels.len() <= 2 || wild + 1 == labels.len() { Err(Wild::TopLevel) } else { Ok(()) }
}

/// Refuses what no name of a host can be; wildcards are taken for letters.
pub(crate) fn check_labels(host: &str) -> Result<(), &'static str> {
    if host.len() > LONGEST_NAME {
        return Err("the host is longer than 253 characters");
    }
    for label in host.split('.') {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
        if label.is_empty() {
            return Err("the host has an empty label");
        }
        if label.len() > LONGEST_LABEL {
            return Err("the host has a label of more than 63 characters");
        }
        if !label.chars().all(known) {
            return Err("a host has only letters, digits, `-`, `_`, `.` and wildcards; no scheme, port or path");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label begins or ends with `-`");
        }
    }
    // Resolvers take `127.1` and `0x7f000001` for addresses.
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number { Err("the host looks like an address and is none") } else { Ok(()) }
}

/// Whether a host can fit both patterns; both in lower case, `**` only as first label.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (a_more, a) = tail(a);
    let (b_more, b) = tail(b);
    let fits = match (a_more, b_more) {
        (false, false) => a.len() == b.len(),
        (true, false) => b.len() > a.len(),
        (false, true) => a.len() > b.len(),
        (true, true) => true,
    };
    fits && a.iter().zip(&b).all(|(a, b)| labels_overlap(a, b))
}

/// Whether there may be more labels in front, and those that are there, last first.
fn tail(pattern: &str) -> (bool, Vec<&str>) {
    let rest = if pattern == "**" { Some("") } else { pattern.strip_prefix("**.") };
    let labels = rest.unwrap_or(pattern).rsplit('.').filter(|label| !label.is_empty());
    (rest.is_some(), labels.collect())
}

fn labels_overlap(a: &str, b: &str) -> bool {
    match (a.contains('*'), b.contains('*')) {
        (false, false) => a == b,
        (true, false) => matches(a, b),
        (false, true) => matches(b, a),
        // What stands between stars finds room between those of the other; only the ends can contradict.
        (true, true) => {
            let (a, b) = (ends(a), ends(b));
            (a.0.starts_with(b.0) || b.0.starts_with(a.0)) && (a.1.ends_with(b.1) || b.1.ends_with(a.1))
        }
    }
}

/// What stands before the first star, and what behind the last.
fn ends(glob: &str) -> (&str, &str) {
    let first = glob.split_once('*').map_or(glob, |(first, _)| first);
    (first, glob.rsplit_once('*').map_or(glob, |(_, last)| last))
}

fn matches(glob: &str, label: &str) -> bool {
    let (first, last) = ends(glob);
    let middle = glob.get(first.len() + 1..glob.len() - last.len()).unwrap_or_default();
    let Some(rest) = label.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    // The first place where a part fits leaves the most for those behind it.
    middle.split('*').try_fold(rest, |rest, part| rest.split_once(part).map(|(_, rest)| rest)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        for (a, b, want) in [
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "b.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("**.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("**.example.com", "a.b.example.com", true),
            ("*.example.com", "**.example.com", true),
            ("a*.example.com", "*b.example.com", true),
            ("a*.example.com", "b*.example.com", false),
            ("*.example.com", "*.example.org", false),
            ("a.*.example.com", "*.b.example.com", true),
            ("**.b.example.com", "a.*.example.com", true),
            ("**", "a.b.c", true),
            ("*-x.example.com", "*-y.example.com", false),
            ("a*b*c.x.y", "a*d*c.x.y", true),
            ("a*b*c.x.y", "a1b2c.x.y", true),
            ("a*b*c.x.y", "a1c2b.x.y", false),
            ("a*b*c.x.y", "abc.x.y", true),
            ("ab*ba.x.y", "aba.x.y", false),
            ("ab*.x.y", "a*c.x.y", true),
            ("**", "**", true),
            ("**", "a", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("**.a.b.c", "**.b.c", true),
            ("**.a.b.c", "**.x.c", false),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (want, want), "{a} {b}");
        }
    }

    /// The slow and obvious way.
    fn fits(pattern: &[u8], host: &[u8]) -> bool {
        match pattern {
            [b'*', b'*', rest @ ..] => (1..=host.len()).any(|end| fits(rest, &host[end..])),
            [b'*', rest @ ..] => {
                let label = host.iter().position(|byte| *byte == b'.').unwrap_or(host.len());
                (0..=label).any(|end| fits(rest, &host[end..]))
            }
            [byte, rest @ ..] => host.first() == Some(byte) && fits(rest, &host[1..]),
            [] => host.is_empty(),
        }
    }

    proptest::proptest! {
        /// Else something would be let through that a middleware must see.
        #[test]
        fn patterns_with_a_host_in_common_overlap(
            host in "[ab]{1,3}(\\.[ab]{1,2}){0,3}",
            a in "((\\*\\*|[ab]{0,2}\\*[ab]?|[ab]\\*[ab]\\*|[ab]{1,2})\\.)?[ab]{1,2}(\\.([ab]{1,2}|\\*)){0,2}",
            b in "((\\*\\*|[ab]{0,2}\\*[ab]?|[ab]\\*[ab]\\*|[ab]{1,2})\\.)?[ab]{1,2}(\\.([ab]{1,2}|\\*)){0,2}",
        ) {
            let common = fits(a.as_bytes(), host.as_bytes()) && fits(b.as_bytes(), host.as_bytes());
            proptest::prop_assert!(!common || overlap(&a, &b), "{} fits {} and {}", host, a, b);
            // A host is a pattern, too: then both ways agree.
            proptest::prop_assert_eq!(overlap(&a, &host), fits(a.as_bytes(), host.as_bytes()));
        }
    }
}
