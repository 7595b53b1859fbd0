//! What heads of requests and of answers have in common.

use httparse::Header;

use super::fault::{Cause, Side};

/// The longest head, in bytes, its empty last line included. Servers take 8 to 64 KiB.
pub const LARGEST_HEAD: usize = 64 << 10;

/// The most fields of a head.
pub(super) const MOST_FIELDS: usize = 128;

/// What the proxy itself decides, and fields that are for the next hop alone (RFC 9110 sections 7.6.1 and 11.7). None of
/// them is passed on as it came, or taken from a trailer.
///
/// `close` is none, but our own `Connection: close` names it: who reads that takes a field of this name for the next hop's.
const OURS: &[&str] = &[
    "close",
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Those of them that a look-alike would be dangerous of: which server, and where the body ends.
const FRAMING: &[&str] = &["content-length", "host", "transfer-encoding"];

/// How long the head at the start of `bytes` is, with its empty line; `None` while that has not come.
///
/// # Errors
/// What the parser behind this one is lenient about: line ends, control characters, continued lines; and the limit.
pub(super) fn end(bytes: &[u8]) -> Result<Option<usize>, Cause> {
    let mut before = b' ';
    let mut column = 0_usize;
    for (byte, length) in bytes.iter().zip(1..=LARGEST_HEAD) {
        match (before, *byte) {
            (b'\r', b'\n') if column == 1 => return Ok(Some(length)),
            (b'\r', b'\n') => {}
            (b'\r', _) | (_, b'\n') => return Err(Cause::LineEnd),
            (b'\n', b' ' | b'\t') => return Err(Cause::Folded),
            (_, b'\r' | b'\t' | b' '..=b'~' | 0x80..) => {}
            _ => return Err(Cause::Control),
        }
        column = if *byte == b'\n' { 0 } else { column + 1 };
        before = *byte;
    }
    if bytes.len() >= LARGEST_HEAD { Err(Cause::HeadTooLarge) } else { Ok(None) }
}

/// Where the body ends, as the fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Unsaid,
    Length(u64),
    Chunked,
}

impl Framing {
    /// Reads the two fields that say it.
    ///
    /// # Errors
    /// Whatever two readers could understand in two ways. Servers may repeat the same length, as some do.
    pub(super) fn of(fields: &[Header], old: bool, side: Side) -> Result<Self, Cause> {
        let mut found = Self::Unsaid;
        for field in fields {
            let length = field.name.eq_ignore_ascii_case("content-length");
            if !length && !field.name.eq_ignore_ascii_case("transfer-encoding") {
                continue;
            }
            let this = if length { Self::Length(number(field.value)?) } else { coding(field.value, old)? };
            found = match (found, this) {
                (Self::Unsaid, _) => this,
                (Self::Length(one), Self::Length(other)) if one == other && side == Side::Server => this,
                (Self::Length(_), Self::Length(_)) => return Err(Cause::LengthTwice),
                (Self::Chunked, Self::Chunked) => return Err(Cause::Coding),
                _ => return Err(Cause::LengthAndCoding),
            };
        }
        Ok(found)
    }

    /// The field that says it to the next one, or nothing.
    pub(super) fn field(self) -> String {
        match self {
            Self::Unsaid => String::new(),
            Self::Length(length) => format!("Content-Length: {length}\r\n"),
            Self::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        }
    }
}

fn number(value: &[u8]) -> Result<u64, Cause> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse::<i64>().ok()).ok_or(Cause::Length)?;
    u64::try_from(number).map_err(|_| Cause::Length)
}

fn coding(value: &[u8], old: bool) -> Result<Framing, Cause> {
    match value.eq_ignore_ascii_case(b"chunked") {
        _ if old => Err(Cause::CodingOld),
        true => Ok(Framing::Chunked),
        false => Err(Cause::Coding),
    }
}

/// Refuses names that servers which write fields as variables (`HTTP_HOST`) take for others.
pub(super) fn no_look_alikes(fields: &[Header]) -> Result<(), Cause> {
    let similar = |name: &str| name.contains('_') && FRAMING.contains(&plain(name).as_str());
    if fields.iter().any(|field| similar(field.name)) { Err(Cause::LookAlike) } else { Ok(()) }
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether a field of this name is never passed on as it came.
pub(super) fn is_ours(name: &str) -> bool {
    OURS.contains(&plain(name).as_str())
}

/// The fields that are for the other end, as lines: without ours, and without those that `Connection` names.
pub(super) fn passed(fields: &[Header]) -> Vec<u8> {
    let connection = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let named: Vec<_> =
        connection.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect();
    let mut lines = Vec::new();
    for field in fields {
        let dropped = is_ours(field.name) || named.iter().any(|name| name.eq_ignore_ascii_case(field.name.as_bytes()));
        if !dropped {
            lines.extend_from_slice(&[field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
        }
    }
    lines
}
