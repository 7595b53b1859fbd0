//! Host names and patterns: which are allowed, and which two can mean the same host.

use std::net::IpAddr;

/// Why a host cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The host in lower case, addresses in their shortest form, IPv6 in brackets. `transparent`: it is reached without a
/// proxy that is told the name, so it must be a name.
pub(super) fn check(host: &str, transparent: bool) -> Result<String, Fault> {
    let code = if transparent { "net.tcp_host" } else { "net.host" };
    let fault = |message: &str| Fault { code, message: message.to_owned(), hint: None };
    if host.trim() != host {
        return Err(fault("there are blanks around the host"));
    }
    if let Some(address) = address(host) {
        return if transparent { Err(fault("protocol tcp needs a host name, not an address")) } else { Ok(address) };
    }
    if let Some(name) = host.strip_suffix('.') {
        let hint = Some(format!("write `{}`", super::reader::shown(name)));
        return Err(Fault { hint, ..fault("the host ends with a dot") });
    }
    if host.contains(['{', '}']) {
        return Err(Fault { code: "net.host_wildcard", ..fault("braces are not known in hosts") });
    }
    let host = host.to_ascii_lowercase();
    check_wildcards(&host)?;
    check_labels(&host).map_err(fault)?;
    Ok(host)
}

fn address(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse().ok()? {
        IpAddr::V4(address) if bare == host => Some(address.to_string()),
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(format!("[{address}]")),
    }
}

/// `*` stays inside one label, `**` is one or more labels.
fn check_wildcards(host: &str) -> Result<(), Fault> {
    if !host.contains('*') {
        return Ok(());
    }
    let fault = |code, message: &str| {
        let hint = Some("for example `*.example.com`, `api-*.example.com` or `**.example.com`".to_owned());
        Err(Fault { code, message: message.to_owned(), hint })
    };
    let labels: Vec<&str> = host.split('.').collect();
    let (first, later) = labels.split_first().unwrap_or((&host, &[]));
    if later.is_empty() && matches!(*first, "*" | "**") {
        return fault("net.host_wildcard", "a wildcard alone would be every host");
    }
    if first.contains("**") && *first != "**" {
        return fault("net.host_wildcard", "`**` must be the whole first label");
    }
    if later.iter().any(|label| label.contains('*') && *label != "*") {
        return fault("net.host_wildcard", "after the first label a wildcard must be a whole label `*`");
    }
    if later.last() == Some(&"*") {
        return fault("net.host_wildcard", "the last label cannot be a wildcard");
    }
    let wild = labels.iter().filter(|label| label.contains('*')).count();
    if labels.len() <= 2 || wild + 1 == labels.len() {
        return fault("net.tld_wildcard", "the wildcard would cover a whole top-level domain");
    }
    Ok(())
}

fn check_labels(host: &str) -> Result<(), &'static str> {
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
pub(super) fn overlap(a: &str, b: &str) -> bool {
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

    fn code(host: &str, transparent: bool) -> String {
        match check(host, transparent) {
            Ok(host) => host,
            Err(fault) => fault.code.to_owned(),
        }
    }

    #[test]
    fn hosts() {
        let label = "a".repeat(64);
        let long = format!("{}example.com", "abcdefg.".repeat(32));
        for (host, l4, tcp) in [
            ("example.com", "example.com", "example.com"),
            ("API.Example.COM", "api.example.com", "api.example.com"),
            ("localhost", "localhost", "localhost"),
            ("a_b.example.com", "a_b.example.com", "a_b.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("10.0.0.5", "10.0.0.5", "net.tcp_host"),
            ("::1", "[::1]", "net.tcp_host"),
            ("[2001:DB8::1]", "[2001:db8::1]", "net.tcp_host"),
            ("[10.0.0.5]", "net.host", "net.tcp_host"),
            ("127.1", "net.host", "net.tcp_host"),
            ("0x7f000001", "net.host", "net.tcp_host"),
            ("2130706433", "net.host", "net.tcp_host"),
            ("example.com.", "net.host", "net.tcp_host"),
            (" example.com", "net.host", "net.tcp_host"),
            ("example.com ", "net.host", "net.tcp_host"),
            ("example..com", "net.host", "net.tcp_host"),
            (".example.com", "net.host", "net.tcp_host"),
            ("-a.example.com", "net.host", "net.tcp_host"),
            ("a-.example.com", "net.host", "net.tcp_host"),
            ("exam ple.com", "net.host", "net.tcp_host"),
            ("https://example.com", "net.host", "net.tcp_host"),
            ("example.com:443", "net.host", "net.tcp_host"),
            ("example.com/x", "net.host", "net.tcp_host"),
            ("bücher.example", "net.host", "net.tcp_host"),
            ("fe80::1%eth0", "net.host", "net.tcp_host"),
            (&format!("{label}.example.com"), "net.host", "net.tcp_host"),
            (&long, "net.host", "net.tcp_host"),
        ] {
            assert_eq!((code(host, false), code(host, true)), (l4.to_owned(), tcp.to_owned()), "{host}");
        }
    }

    #[test]
    fn wildcards() {
        for host in [
            "*.example.com",
            "**.example.com",
            "*-api.example.com",
            "api-*.example.com",
            "a*b*.example.com",
            "*.*.example.com",
            "api.*.example.com",
            "**.*.example.com",
        ] {
            assert_eq!(code(host, false), host);
            assert_eq!(code(host, true), host);
        }
        for (host, want) in [
            ("*", "net.host_wildcard"),
            ("**", "net.host_wildcard"),
            ("**-api.example.com", "net.host_wildcard"),
            ("a**.example.com", "net.host_wildcard"),
            ("***.example.com", "net.host_wildcard"),
            ("api.*-x.example.com", "net.host_wildcard"),
            ("api.**.example.com", "net.host_wildcard"),
            ("api.example.*", "net.host_wildcard"),
            ("api.example.c*", "net.host_wildcard"),
            ("{a,b}.example.com", "net.host_wildcard"),
            ("*.com", "net.tld_wildcard"),
            ("**.org", "net.tld_wildcard"),
            ("*-api.com", "net.tld_wildcard"),
            ("*.*.com", "net.tld_wildcard"),
            ("a*", "net.tld_wildcard"),
            ("*.", "net.host"),
        ] {
            assert_eq!(code(host, false), want, "{host}");
        }
    }

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
