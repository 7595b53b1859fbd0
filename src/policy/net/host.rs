//! The name or address of a host, in one spelling.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

use crate::request::pattern::{LONGEST_LABEL, LONGEST_NAME};

/// A host as it is compared, resolved and told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// In ASCII (IDN as `xn--`), lower case, without a dot at the end.
    Name(String),
    /// Never an IPv4 address that is written as an IPv6 one.
    Address(IpAddr),
}

/// Why a text is no host, or no host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// Nothing is there.
    #[error("there is no host")]
    Empty,
    /// Blanks, NUL, `@`, `/` and all else that names do not have.
    #[error("a host cannot have {} in it", shown(*.0))]
    Character(char),
    /// `%65vil.example`: who reads it later may or may not decode it, so nobody does.
    #[error("a host cannot be percent-encoded")]
    Percent,
    /// `fe80::1%eth0`: which link is the host's business.
    #[error("an IPv6 address cannot have a zone here")]
    Zone,
    /// Not what brackets and colons promise.
    #[error("it looks like an IPv6 address and is none")]
    Ipv6,
    /// `256.1.1.1`, `1.2.3.4.5`, `08`: resolvers differ about what these mean.
    #[error("it looks like an IPv4 address and is none")]
    Ipv4,
    /// Punycode that is none, or characters that IDNA forbids.
    #[error("it is no valid international name")]
    Idna,
    /// `a..b`, `.a`, `a..`.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// The limit is that of RFC 1035.
    #[error("the host has a label of more than {LONGEST_LABEL} characters")]
    LongLabel,
    /// The limit is that of RFC 1035.
    #[error("the host is longer than {LONGEST_NAME} characters")]
    LongName,
    /// A host alone.
    #[error("there is no port")]
    PortMissing,
    /// Not a plain number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

/// A character so that it does nothing to a terminal.
fn shown(c: char) -> String {
    match c {
        '\0' => "NUL".to_owned(),
        ' ' => "a blank".to_owned(),
        other => format!("`{}`", other.escape_debug()),
    }
}

/// The most bytes of UTF-8 that can become a name: work is not done for longer texts.
const LONGEST_TEXT: usize = 4 * (LONGEST_NAME + 1);

impl Host {
    /// Reads a host as a URL, a `CONNECT` line, a SOCKS request, a server name of TLS or a rule has it.
    ///
    /// All spellings of a host become one: upper case, IDN, a dot at the end, full-width letters and dots, addresses in
    /// octal, hexadecimal or with fewer than four parts (`127.1`), brackets, IPv4 that is mapped into IPv6.
    ///
    /// Source: <https://url.spec.whatwg.org/#host-parsing>, but nothing is percent-decoded, names have letters, digits,
    /// `-` and `_` only, and the lengths are those of DNS.
    ///
    /// # Errors
    /// What is no host, with the reason.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        if let Some(inside) = text.strip_prefix('[') {
            return ipv6(inside.strip_suffix(']').ok_or(HostFault::Ipv6)?);
        }
        if text.contains(':') {
            return ipv6(text);
        }
        name(text)
    }

    /// Reads `HOST:PORT`, as the target of `CONNECT` has it; an IPv6 address needs brackets.
    ///
    /// # Errors
    /// What is no host, or no port from 1 to 65535 behind it.
    pub fn parse_with_port(text: &str) -> Result<(Self, u16), HostFault> {
        let (host, port) = match text.rfind(']') {
            Some(end) if text.starts_with('[') => text.split_at(end + 1),
            _ => text.split_at(text.find(':').ok_or(HostFault::PortMissing)?),
        };
        let port = match port.strip_prefix(':') {
            // An IPv6 address without brackets: where the port begins is anybody's guess.
            Some(rest) if rest.contains(':') => return Err(HostFault::Ipv6),
            Some(port) => self::port(port).ok_or(HostFault::Port)?,
            None if port.is_empty() => return Err(HostFault::PortMissing),
            None => return Err(HostFault::Ipv6),
        };
        Ok((Self::parse(host)?, port))
    }
}

/// A number from 1 to 65535 in plain decimal: no sign, no blank, no zero in front.
pub(super) fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

fn ipv6(text: &str) -> Result<Host, HostFault> {
    if text.contains('%') {
        return Err(HostFault::Zone);
    }
    let address: Ipv6Addr = text.parse().map_err(|_| HostFault::Ipv6)?;
    Ok(IpAddr::V6(address).into())
}

fn name(text: &str) -> Result<Host, HostFault> {
    if text.is_empty() {
        return Err(HostFault::Empty);
    }
    if text.len() > LONGEST_TEXT {
        return Err(HostFault::LongName);
    }
    if let Some(c) = text.chars().find(|c| c.is_ascii() && !is_of_names(*c) && *c != '.') {
        return Err(if c == '%' { HostFault::Percent } else { HostFault::Character(c) });
    }
    match url::Host::parse(text) {
        Ok(url::Host::Ipv4(address)) => Ok(Host::Address(address.into())),
        Ok(url::Host::Ipv6(address)) => Ok(IpAddr::V6(address).into()),
        Ok(url::Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            check(name)?;
            Ok(Host::Name(name.to_owned()))
        }
        Err(url::ParseError::EmptyHost) => Err(HostFault::Empty),
        Err(url::ParseError::InvalidIpv4Address) => Err(HostFault::Ipv4),
        Err(_) => Err(HostFault::Idna),
    }
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// What the URL standard lets through and DNS does not.
fn check(name: &str) -> Result<(), HostFault> {
    if let Some(c) = name.chars().find(|c| !is_of_names(*c) && *c != '.') {
        return Err(HostFault::Character(c));
    }
    if name.len() > LONGEST_NAME {
        return Err(HostFault::LongName);
    }
    for label in name.split('.') {
        match label.len() {
            0 => return Err(HostFault::EmptyLabel),
            length if length > LONGEST_LABEL => return Err(HostFault::LongLabel),
            _ => {}
        }
    }
    Ok(())
}

impl From<IpAddr> for Host {
    /// IPv4 that is mapped into IPv6 becomes IPv4.
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests;
