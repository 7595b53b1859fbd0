//! A server's answer.

use httparse::EMPTY_HEADER;

use super::fault::{Cause, Fault, Side};
use super::head::{self, Framing, MOST_FIELDS};
use super::request::Asked;

/// An answer that may be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 100 to 999.
    pub status: u16,
    /// Another answer follows this one (1xx).
    pub interim: bool,
    /// How many bytes of the input the head was.
    pub head_length: usize,
    /// The head for the client: nothing of what was for the proxy, and `Connection: close`. Empty for an interim answer
    /// to a client of HTTP/1.0, which knows of none.
    pub client: Vec<u8>,
    /// What follows. What comes after that is not to be passed on.
    pub body: ResponseBody,
}

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseBody {
    /// There is none: 1xx, 204, 304, or an answer to HEAD.
    None,
    /// After so many bytes.
    Length(u64),
    /// When the server closes.
    UntilClose,
    /// Where [`super::Chunked`] says.
    Chunked,
}

/// Reads the head of an answer to what was `asked` at the start of `bytes`; `None` while its end has not come.
///
/// # Errors
/// As for requests. The same length twice is forgiven, as some servers say it so. Status 101 is none that we asked for.
///
/// Source: RFC 9112 sections 4 and 6.
pub fn response(bytes: &[u8], asked: Asked) -> Result<Option<Response>, Fault> {
    read(bytes, asked).map_err(Side::Server.fault())
}

fn read(bytes: &[u8], asked: Asked) -> Result<Option<Response>, Cause> {
    let Some(head_length) = head::end(bytes)? else { return Ok(None) };
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let status = parsed.parse(&bytes[..head_length])?;
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else { return Err(Cause::Syntax) };
    if status != httparse::Status::Complete(head_length) {
        return Err(Cause::Syntax);
    }
    match code {
        0..=99 => return Err(Cause::Status),
        101 => return Err(Cause::Switching),
        _ => {}
    }
    head::no_look_alikes(parsed.headers)?;
    let framing = Framing::of(parsed.headers, version == 0, Side::Server)?;
    let body = read_body(code, framing, asked)?;
    let start = format!("HTTP/1.1 {code:03} {}\r\n", parsed.reason.unwrap_or_default());
    let client = rewritten(&start, &head::passed(parsed.headers), framing, asked, code);
    Ok(Some(Response { status: code, interim: code < 200, head_length, client, body }))
}

fn read_body(code: u16, framing: Framing, asked: Asked) -> Result<ResponseBody, Cause> {
    match framing {
        _ if code < 200 || code == 204 || code == 304 || asked.head => Ok(ResponseBody::None),
        Framing::Unsaid => Ok(ResponseBody::UntilClose),
        Framing::Length(length) => Ok(ResponseBody::Length(length)),
        // It was asked in HTTP/1.0, too.
        Framing::Chunked if asked.old => Err(Cause::CodingOld),
        Framing::Chunked => Ok(ResponseBody::Chunked),
    }
}

fn rewritten(start: &str, fields: &[u8], framing: Framing, asked: Asked, code: u16) -> Vec<u8> {
    let interim = code < 200;
    if interim && asked.old {
        return Vec::new();
    }
    // These have no body and may say no length, which a reader could wait for.
    let framing = if interim || code == 204 { String::new() } else { framing.field() };
    let close = if interim { "" } else { "Connection: close\r\n" };
    [start.as_bytes(), fields, framing.as_bytes(), close.as_bytes(), b"\r\n"].concat()
}
