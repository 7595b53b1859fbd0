//! Where a client wants to go, as it wrote it: only the outer form is judged here.

use std::net::Ipv6Addr;

/// The longest host that is taken; DNS has no name above 253 characters.
const LONGEST_HOST: usize = 255;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IPv4 address in any spelling, of the characters of host names, as written; or an IPv6 address in
    /// brackets. No user, no zone, no escapes, never empty.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// `user@host`: what is left of the `@` is for people who misread addresses.
    User,
    /// Empty, too long, or a character that no host name has.
    Host,
    /// Missing where one is needed, no plain decimal number, or not of 1 to 65535.
    Port,
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; `default` is the port of an address that has none.
///
/// # Errors
/// Says which part is wrong. Nothing is repaired: an address that two programs could read in two ways is refused.
///
/// Source: RFC 3986 section 3.2, without what only confuses: user information, percent escapes, empty ports, zeros
/// in front of a port.
pub fn parse(text: &str, default: Option<u16>) -> Result<Address, BadAddress> {
    if text.contains('@') {
        return Err(BadAddress::User);
    }
    let host_end = if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { text.find(':') };
    let (host, rest) = text.split_at(host_end.unwrap_or(text.len()));
    if !is_host(host) {
        return Err(BadAddress::Host);
    }
    let port = match rest.strip_prefix(':') {
        Some(digits) => port(digits),
        None if rest.is_empty() => default,
        None => return Err(BadAddress::Host),
    };
    Ok(Address { host: host.to_owned(), port: port.ok_or(BadAddress::Port)? })
}

/// Whether all of `text` is a host name, an IPv4 address, or an IPv6 address in brackets.
pub fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => is_name(text.as_bytes()),
    }
}

/// Whether `text` has only characters of host names. `_` is in names of services, and in names that people give.
pub fn is_name(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !text.is_empty() && text.len() <= LONGEST_HOST && text.iter().all(allowed)
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_reading_or_none() {
        let good = [
            ("example.com", "example.com", 80),
            ("example.com:1", "example.com", 1),
            ("Example.COM.:65535", "Example.COM.", 65535),
            ("_srv.a-b:443", "_srv.a-b", 443),
            ("127.1:8080", "127.1", 8080),
            ("[::1]", "[::1]", 80),
            ("[::ffff:10.0.0.1]:443", "[::ffff:10.0.0.1]", 443),
        ];
        for (text, host, port) in good {
            assert_eq!(parse(text, Some(80)), Ok(Address { host: host.to_owned(), port }), "{text}");
        }
        let bad = [
            ("", BadAddress::Host),
            (":80", BadAddress::Host),
            ("a@b", BadAddress::User),
            ("a:b@c:80", BadAddress::User),
            ("@", BadAddress::User),
            ("a b", BadAddress::Host),
            ("a\\b", BadAddress::Host),
            ("a%2eb", BadAddress::Host),
            ("a\0", BadAddress::Host),
            ("a\u{7f}", BadAddress::Host),
            ("a/b", BadAddress::Host),
            ("a#b", BadAddress::Host),
            ("a?b", BadAddress::Host),
            ("a,b", BadAddress::Host),
            ("*", BadAddress::Host),
            ("b\u{fc}cher.de", BadAddress::Host),
            ("::1", BadAddress::Host),
            ("[::1", BadAddress::Host),
            ("::1]", BadAddress::Host),
            ("[]", BadAddress::Host),
            ("[[::1]]", BadAddress::Host),
            ("[::1%eth0]:80", BadAddress::Host),
            ("[fe80::1%25eth0]", BadAddress::Host),
            ("[1.2.3.4]", BadAddress::Host),
            ("[v1.a]", BadAddress::Host),
            ("[::1]80", BadAddress::Host),
            ("[::1]a:80", BadAddress::Host),
            ("a:", BadAddress::Port),
            ("a:0", BadAddress::Port),
            ("a:080", BadAddress::Port),
            ("a:65536", BadAddress::Port),
            ("a:99999999999999999999", BadAddress::Port),
            ("a:+80", BadAddress::Port),
            ("a:-1", BadAddress::Port),
            ("a: 80", BadAddress::Port),
            ("a:80:80", BadAddress::Port),
            ("a:0x50", BadAddress::Port),
            ("a:http", BadAddress::Port),
        ];
        for (text, fault) in bad {
            assert_eq!(parse(text, Some(80)), Err(fault), "{text:?}");
        }
        assert_eq!(parse("a", None), Err(BadAddress::Port));
        assert_eq!(parse("[::1]", None), Err(BadAddress::Port));
        assert!(parse(&"a".repeat(LONGEST_HOST), Some(80)).is_ok());
        assert_eq!(parse(&"a".repeat(LONGEST_HOST + 1), Some(80)), Err(BadAddress::Host));
    }
}
