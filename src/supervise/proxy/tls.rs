//! Which server a TLS client asks for, read from its first message and nothing else.
//!
//! A name that is not there, or is hidden (encrypted ClientHello shows that of the provider), is none that is allowed:
//! the rules are asked for the address that was connected to, and this name must agree with it.
//!
//! Source: RFC 8446 sections 4.1.2, 4.2 and 5.1; RFC 6066 section 3; RFC 5246 appendix E.2 for SSL 2.

use super::address;

/// How much is read for a ClientHello, in bytes, record headers included. Browsers send below 2 KiB.
pub const LARGEST_HELLO: usize = 64 << 10;

/// A fatal alert `unrecognized_name`, for a client whose server may not be reached.
pub const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 0x70];

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const LARGEST_RECORD: usize = 1 << 14;
const SERVER_NAME: u16 = 0;

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// Not TLS, and nothing that a server of TLS could take for it.
    NotTls,
    /// More bytes are needed.
    Incomplete,
    /// A ClientHello, and the name of the server in it, as written: ASCII, characters of host names, never empty.
    Name(Option<String>),
    /// TLS in a way in which it is not meant, and what is wrong.
    Bad(&'static str),
}

/// Reads the ClientHello at the start of `bytes`.
///
/// Everything that some server could take for TLS is either read whole or [`Hello::Bad`]: the version of a record is to
/// be ignored by servers (RFC 8446 section 5.1), so a wrong one does not make it [`Hello::NotTls`].
pub fn client_hello(bytes: &[u8]) -> Hello {
    match bytes.first() {
        None => Hello::Incomplete,
        Some(&HANDSHAKE) => read(bytes).unwrap_or_else(Hello::Bad),
        Some(first) if *first >= 0x80 => old_hello(bytes),
        // Some servers pass over another record, whatever its version is, and take the name that comes behind it.
        Some(CHANGE_CIPHER_SPEC..=HEARTBEAT) => Hello::Bad("another record comes before the ClientHello"),
        Some(_) => Hello::NotTls,
    }
}

/// Where the records of the ClientHello at the start of `bytes` end, when all of it is there.
pub fn hello_end(bytes: &[u8]) -> Option<usize> {
    message(&bytes[..bytes.len().min(LARGEST_HELLO)]).ok().flatten().map(|(_, end)| end)
}

/// Whether a server's first message asks for another ClientHello (HelloRetryRequest): it may name another server, and is
/// the one that counts then. `None`: more bytes are needed.
pub fn asks_again(bytes: &[u8]) -> Option<bool> {
    /// Type, length, version, random.
    const BEGIN: usize = 1 + 3 + 2 + 32;
    let mut begin = Vec::with_capacity(BEGIN);
    let mut rest = bytes;
    while begin.len() < BEGIN {
        match rest {
            // A warning, which clients pass over.
            [ALERT, 3, _, 0, 2, _, _, behind @ ..] => rest = behind,
            [ALERT, ..] if rest.len() < 7 => return None,
            [HANDSHAKE, 3, _, high, low, behind @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let (fragment, behind) = behind.split_at(length.min(behind.len()));
                begin.extend(fragment.iter().take(BEGIN - begin.len()));
                if fragment.len() < length && begin.len() < BEGIN {
                    return None;
                }
                rest = behind;
            }
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => return None,
            _ => return Some(false),
        }
    }
    Some(begin.first() == Some(&SERVER_HELLO) && begin.ends_with(&RETRY))
}

/// How many bytes come before a second ClientHello that a server passes over: data that were sent too early, and what
/// is there for the sake of old boxes on the way (RFC 8446 sections 4.2.10 and D.4). `None`: more are needed.
pub fn passed_over(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at..)? {
            [CHANGE_CIPHER_SPEC | APPLICATION_DATA, _, _, high, low, ..] => {
                at += 5 + usize::from(u16::from_be_bytes([*high, *low]));
            }
            [] | [CHANGE_CIPHER_SPEC | APPLICATION_DATA, ..] => return None,
            _ => return Some(at),
        }
    }
}

/// SSL 2: a length with the highest bit set, message 1, version 0.2 or 3.x. Old servers answer it with TLS, and it has no
/// server name. Three bytes more than the length keep it apart from protocols that begin with a length of their own.
fn old_hello(bytes: &[u8]) -> Hello {
    match bytes {
        [_, _, CLIENT_HELLO, 0, 2, ..] | [_, _, CLIENT_HELLO, 3, _, ..] => Hello::Bad("a hello of SSL 2"),
        [_] | [_, _] | [_, _, CLIENT_HELLO] | [_, _, CLIENT_HELLO, 0 | 3] => Hello::Incomplete,
        _ => Hello::NotTls,
    }
}

fn read(bytes: &[u8]) -> Result<Hello, &'static str> {
    let looked = &bytes[..bytes.len().min(LARGEST_HELLO)];
    match message(looked)? {
        Some((body, _)) => Ok(Hello::Name(server_name(&body)?)),
        None if bytes.len() >= LARGEST_HELLO => Err("the ClientHello is too large"),
        None => Ok(Hello::Incomplete),
    }
}

/// The body of the first handshake message, put together from its records, and where those end; `None` while it is
/// incomplete.
///
/// Nothing is collected before all of it is there: the length is counted first.
fn message(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut header = Vec::with_capacity(4);
    let mut have = 0;
    let mut rest = bytes;
    while let Some((fragment, whole, behind)) = record(rest)? {
        header.extend(fragment.iter().take(4 - header.len()));
        have += fragment.len();
        let needed = message_length(&header)?;
        if needed.is_some_and(|needed| have > needed) {
            return Err("something follows the ClientHello in its record");
        }
        // A record that is cut off may hold more than what is needed: the end of it must be seen.
        if whole && needed == Some(have) {
            return Ok(Some((collect(bytes, have)?.split_off(4), bytes.len() - behind.len())));
        }
        rest = behind;
    }
    Ok(None)
}

/// The fragments of the records, which hold `length` bytes.
fn collect(bytes: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    let mut collected = Vec::with_capacity(length);
    let mut rest = bytes;
    // What follows the last one is not looked at.
    while collected.len() < length {
        let Some((fragment, _, behind)) = record(rest)? else { break };
        collected.extend_from_slice(fragment);
        rest = behind;
    }
    Ok(collected)
}

/// With the four bytes of its header: how long the message is.
fn message_length(header: &[u8]) -> Result<Option<usize>, &'static str> {
    if header.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err("the first message is no ClientHello");
    }
    let &[_, high, middle, low] = header else { return Ok(None) };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if length > LARGEST_HELLO { Err("the ClientHello is too large") } else { Ok(Some(4 + length)) }
}

/// What a record holds as far as it has come, whether that is all of it, and what follows; `None` without a header.
type Record<'a> = Option<(&'a [u8], bool, &'a [u8])>;

fn record(bytes: &[u8]) -> Result<Record<'_>, &'static str> {
    let wrong = |at: usize, right: fn(u8) -> bool| bytes.get(at).is_some_and(|byte| !right(*byte));
    if wrong(0, |kind| kind == HANDSHAKE) {
        return Err("another record comes before the end of the ClientHello");
    }
    if wrong(1, |major| major == 3) || wrong(2, |minor| minor <= 4) {
        return Err("the version of a record is not 3.0 to 3.4");
    }
    let Some((header, rest)) = bytes.split_first_chunk::<5>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    match length {
        0 => Err("a record is empty"),
        length if length > LARGEST_RECORD => Err("a record is too long"),
        length => {
            let (fragment, behind) = rest.split_at(length.min(rest.len()));
            Ok(Some((fragment, fragment.len() == length, behind)))
        }
    }
}

/// The name in the body of a ClientHello.
fn server_name(body: &[u8]) -> Result<Option<String>, &'static str> {
    let mut hello = Reader(body);
    let version = hello.take(2)?;
    if version[0] != 3 {
        return Err("the version of the ClientHello is not 3.x");
    }
    hello.take(32)?;
    if hello.vector8()?.len() > 32 {
        return Err("the session id is too long");
    }
    let suites = hello.vector16()?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err("the cipher suites are malformed");
    }
    if hello.vector8()?.is_empty() {
        return Err("there is no compression method");
    }
    if hello.0.is_empty() {
        return Ok(None);
    }
    let extensions = hello.vector16()?;
    hello.end()?;
    find_name(Reader(extensions))
}

fn find_name(mut extensions: Reader) -> Result<Option<String>, &'static str> {
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let data = extensions.vector16()?;
        if kind != SERVER_NAME {
            continue;
        }
        if name.replace(read_name(data)?).is_some() {
            return Err("there are two extensions for the server's name");
        }
    }
    Ok(name)
}

/// A list of one name, of the only type that there is.
fn read_name(data: &[u8]) -> Result<String, &'static str> {
    let mut extension = Reader(data);
    let mut list = Reader(extension.vector16()?);
    extension.end()?;
    if list.take(1)?[0] != 0 {
        return Err("the server's name is of an unknown type");
    }
    let name = list.vector16()?;
    list.end()?;
    let text = std::str::from_utf8(name).ok().filter(|text| address::is_name(text.as_bytes()));
    text.map(str::to_owned).ok_or("the server's name is no host name")
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the ClientHello is cut off inside")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, &'static str> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    fn end(&self) -> Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err("something follows where nothing should") }
    }
}

#[cfg(test)]
pub(super) mod tests;
