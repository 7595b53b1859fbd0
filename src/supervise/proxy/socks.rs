//! The server's side of SOCKS 5, without a socket: bytes in, value or fault out.
//!
//! A client sends a [`greeting`], perhaps [`credentials`], and a [`request`], each answered before the next. Of the
//! commands only CONNECT is served.
//!
//! Source: RFC 1928; RFC 1929 for user and password.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::address::{self, Address};

/// What a client of SOCKS 4 is answered: "request rejected", without an address.
pub const SOCKS4_REFUSAL: [u8; 8] = [0, 0x5B, 0, 0, 0, 0, 0, 0];

/// The answer to credentials: whatever they are, the rules decide.
pub const CREDENTIALS_TAKEN: [u8; 2] = [1, 0];

const VERSION: u8 = 5;

/// How the client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Not at all. Taken wherever it is offered: credentials are no use here.
    Nothing,
    /// By user and password, which are not looked at.
    Password,
}

impl Choice {
    /// The answer to the greeting.
    pub fn reply(self) -> [u8; 2] {
        match self {
            Self::Nothing => [VERSION, 0],
            Self::Password => [VERSION, 2],
        }
    }
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Connected; from now on bytes are passed.
    Succeeded,
    /// Anything that has no code of its own.
    Failed,
    /// The rules do not allow it.
    NotAllowed,
    /// No way to the network.
    NetworkUnreachable,
    /// No way to the host, or no such name.
    HostUnreachable,
    /// The host refused.
    Refused,
    /// The host did not answer in time.
    TimedOut,
    /// Not a CONNECT.
    Command,
    /// An unknown type of address.
    AddressType,
}

/// The answer to a request. Its address is 0.0.0.0:0: where we sit in the outer network is not for the inside.
pub fn reply(outcome: Reply) -> Vec<u8> {
    let code = match outcome {
        Reply::Succeeded => 0,
        Reply::Failed => 1,
        Reply::NotAllowed => 2,
        Reply::NetworkUnreachable => 3,
        Reply::HostUnreachable => 4,
        Reply::Refused => 5,
        Reply::TimedOut => 6,
        Reply::Command => 7,
        Reply::AddressType => 8,
    };
    vec![VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Why a client is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// SOCKS 4 and 4a, whose names are an afterthought.
    #[error("SOCKS 4 is not spoken here; use SOCKS 5 (`socks5h://`)")]
    Socks4,
    /// Another version.
    #[error("this is no message of SOCKS 5")]
    Version,
    /// Neither "no authentication" nor "user and password" is offered.
    #[error("the client offers no way of authentication that is known here")]
    NoMethod,
    /// Credentials of another version.
    #[error("the credentials are malformed")]
    Credentials,
    /// BIND, UDP ASSOCIATE, or unknown.
    #[error("only the command CONNECT is served")]
    Command,
    /// The reserved byte is not 0.
    #[error("the request is malformed")]
    Reserved,
    /// Neither IPv4, nor IPv6, nor a name.
    #[error("the type of the address is unknown")]
    AddressType,
    /// A name that is none.
    #[error("the host is no host name and no address")]
    Host,
    /// Port 0.
    #[error("port 0 cannot be connected to")]
    Port,
}

impl Fault {
    /// A stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Socks4 => "socks4",
            Self::Version => "bad-version",
            Self::NoMethod => "no-method",
            Self::Credentials => "bad-credentials",
            Self::Command => "bad-command",
            Self::Reserved => "bad-request",
            Self::AddressType => "bad-address-type",
            Self::Host => "bad-host",
            Self::Port => "bad-port",
        }
    }

    /// What the client is sent before the connection is closed; nothing, if it would not understand any.
    pub fn reply(self) -> Vec<u8> {
        match self {
            Self::Socks4 => SOCKS4_REFUSAL.to_vec(),
            Self::Version => Vec::new(),
            Self::NoMethod => vec![VERSION, 0xFF],
            Self::Credentials => vec![1, 1],
            Self::Command => reply(Reply::Command),
            Self::AddressType => reply(Reply::AddressType),
            Self::Reserved | Self::Host | Self::Port => reply(Reply::Failed),
        }
    }
}

/// Reads the first message: how many bytes it was, and how the client is to show itself; `None` while it is incomplete.
///
/// # Errors
/// Another version, or no method that is known.
pub fn greeting(bytes: &[u8]) -> Result<Option<(usize, Choice)>, Fault> {
    match bytes.first() {
        Some(4) => return Err(Fault::Socks4),
        Some(&VERSION) | None => {}
        Some(_) => return Err(Fault::Version),
    }
    let Some(length) = bytes.get(1).map(|count| 2 + usize::from(*count)) else { return Ok(None) };
    let Some(methods) = bytes.get(2..length) else { return Ok(None) };
    match methods {
        _ if methods.contains(&0) => Ok(Some((length, Choice::Nothing))),
        _ if methods.contains(&2) => Ok(Some((length, Choice::Password))),
        _ => Err(Fault::NoMethod),
    }
}

/// Reads user and password: how many bytes they were; `None` while they are incomplete. They are not kept.
///
/// # Errors
/// Another version. Empty ones are taken, as some clients send them.
pub fn credentials(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    if bytes.first().is_some_and(|version| *version != 1) {
        return Err(Fault::Credentials);
    }
    let Some(password_at) = bytes.get(1).map(|length| 2 + usize::from(*length)) else { return Ok(None) };
    let end = bytes.get(password_at).map(|length| password_at + 1 + usize::from(*length));
    Ok(end.filter(|end| bytes.len() >= *end))
}

/// Reads the request to connect: how many bytes it was, and where to; `None` while it is incomplete. What follows
/// belongs to the tunnel.
///
/// # Errors
/// Anything but a CONNECT to a host that can exist; as early as it shows.
pub fn request(bytes: &[u8]) -> Result<Option<(usize, Address)>, Fault> {
    let byte = |at: usize| bytes.get(at).copied();
    let wrong = |at: usize, expected: u8| byte(at).is_some_and(|byte| byte != expected);
    match () {
        () if wrong(0, VERSION) => return Err(Fault::Version),
        () if wrong(1, 1) => return Err(Fault::Command),
        () if wrong(2, 0) => return Err(Fault::Reserved),
        () => {}
    }
    let (start, length) = match (byte(3), byte(4)) {
        (Some(1), _) => (4, 4),
        (Some(4), _) => (4, 16),
        (Some(3), Some(length)) => (5, usize::from(length)),
        (Some(3), None) | (None, _) => return Ok(None),
        (Some(_), _) => return Err(Fault::AddressType),
    };
    let end = start + length;
    let Some((host, port)) = bytes.get(start..end).zip(bytes.get(end..end + 2)) else { return Ok(None) };
    let host = read_host(bytes[3], host).ok_or(Fault::Host)?;
    match u16::from_be_bytes([port[0], port[1]]) {
        0 => Err(Fault::Port),
        port => Ok(Some((end + 2, Address { host, port }))),
    }
}

/// The same spelling as in HTTP: a name as it is, IPv6 in brackets.
fn read_host(kind: u8, bytes: &[u8]) -> Option<String> {
    if let (1, Ok(octets)) = (kind, <[u8; 4]>::try_from(bytes)) {
        return Some(Ipv4Addr::from(octets).to_string());
    }
    if let (4, Ok(octets)) = (kind, <[u8; 16]>::try_from(bytes)) {
        return Some(format!("[{}]", Ipv6Addr::from(octets)));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    // Programs that leave all names to the proxy leave addresses to it, too.
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{text}]"));
    }
    address::is_host(text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
