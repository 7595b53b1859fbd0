//! A client's request.

use std::fmt;

use httparse::{EMPTY_HEADER, Header};

use super::fault::{Cause, Fault, Side};
use super::head::{self, Framing, MOST_FIELDS};
use crate::supervise::proxy::address::{self, Address};

/// A request that may be carried out, if its address may be reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub target: Target,
    /// The method: a token, as written.
    pub method: String,
    /// How many bytes of the input the head was. What follows is the body, or the tunnel's first bytes.
    pub head_length: usize,
    /// What follows. What comes after that is no second request: it is not to be read.
    pub body: Body,
    /// What the answer depends on.
    pub asked: Asked,
    /// The path and query for the server, as written.
    path: String,
    /// The fields that are passed on, as lines.
    fields: Vec<u8>,
}

/// Fields and paths hold passwords, so they are not shown.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("target", &self.target).field("method", &self.method).field("body", &self.body);
        shown.finish_non_exhaustive()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A tunnel.
    Connect(Address),
    /// One exchange in plain HTTP.
    Plain(Address),
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// Where [`super::Chunked`] says.
    Chunked,
}

/// What an answer's form depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The answer has no body, whatever it says: the method was HEAD.
    pub head: bool,
    /// The client speaks HTTP/1.0 only: no chunks, no interim answers.
    pub old: bool,
}

impl Request {
    /// The head for the server: origin-form, `Host: HOST`, nothing of what was for the proxy, and `Connection: close`.
    /// Only for [`Target::Plain`]; a tunnel has none.
    ///
    /// `host` is the authority as rules know it, with its port unless that is 80: what the rules were asked for, and not
    /// what the client wrote into its Host field (RFC 9112 section 3.2.2). The version is the client's, since what
    /// comes back passes as it is. There is no Via: it would tell every server of the sandbox.
    pub fn upstream(&self, host: &str) -> Vec<u8> {
        let version = i32::from(!self.asked.old);
        let framing = match self.body {
            Body::None => Framing::Unsaid,
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::Chunked,
        };
        let start = format!("{} {} HTTP/1.{version}\r\nHost: {host}\r\n", self.method, self.path);
        let end = format!("{}Connection: close\r\n\r\n", framing.field());
        [start.as_bytes(), &self.fields, end.as_bytes()].concat()
    }
}

/// Reads the head of a request at the start of `bytes`; `None` while its end has not come.
///
/// The same bytes in more pieces give the same: what is found does not depend on what follows the head.
///
/// # Errors
/// Whatever could be read in more than one way, is not for a proxy, or is beyond the limits; as early as it shows.
///
/// Source: RFC 9112 sections 2 to 6, each "MAY" of a lenient reader answered with no, but for one empty line in front.
pub fn request(bytes: &[u8]) -> Result<Option<Request>, Fault> {
    read(bytes).map_err(Side::Client.fault())
}

fn read(bytes: &[u8]) -> Result<Option<Request>, Cause> {
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(length) = head::end(&bytes[skipped..])? else { return Ok(None) };
    let head_length = skipped + length;
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let status = parsed.parse(&bytes[skipped..head_length])?;
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Cause::Syntax);
    };
    // It skips empty lines of its own accord, and must have come to the same end.
    if status != httparse::Status::Complete(length) {
        return Err(Cause::Syntax);
    }
    check_method(method)?;
    let old = version == 0;
    let (target, path) = read_target(method, target)?;
    check_host(parsed.headers, old || matches!(target, Target::Connect(_)))?;
    head::no_look_alikes(parsed.headers)?;
    let body = read_body(parsed.headers, old, &target)?;
    let asked = Asked { head: method == "HEAD", old };
    let fields = head::passed(parsed.headers);
    Ok(Some(Request { target, method: method.to_owned(), head_length, body, asked, path, fields }))
}

/// `connect` is another method than CONNECT, but not for everybody. TRACE would show what hops behind us add to a
/// request, which is nothing for the inside; 501 and not 405, which would have to list what is allowed there.
fn check_method(method: &str) -> Result<(), Cause> {
    let special = ["CONNECT", "HEAD", "TRACE"].into_iter().find(|special| special.eq_ignore_ascii_case(method));
    match special {
        Some(special) if special != method => Err(Cause::Method),
        Some("TRACE") => Err(Cause::Trace),
        _ => Ok(()),
    }
}

/// The address, and the path for the server.
fn read_target(method: &str, target: &str) -> Result<(Target, String), Cause> {
    if !target.is_ascii() || target.contains('#') {
        return Err(Cause::Target);
    }
    if method == "CONNECT" {
        return Ok((Target::Connect(address::parse(target, None)?), String::new()));
    }
    let Some((scheme, rest)) = target.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        let elsewhere = target.starts_with('/') || target == "*";
        return Err(if elsewhere { Cause::NoProxyRequest } else { Cause::Target });
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" | "wss" => return Err(Cause::NeedsConnect),
        _ => return Err(Cause::Scheme),
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = match path {
        "" if method == "OPTIONS" => "*".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    };
    Ok((Target::Plain(address::parse(authority, Some(80))?), path))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// What the field says does not matter, since the target says it too. But it must be one that servers could not
/// stumble over, and HTTP/1.1 demands it. Programs that make tunnels were written before that, and have it in the target.
fn check_host(fields: &[Header], may_lack: bool) -> Result<(), Cause> {
    let mut hosts = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    let Some(host) = hosts.next() else {
        return if may_lack { Ok(()) } else { Err(Cause::HostMissing) };
    };
    if hosts.next().is_some() {
        return Err(Cause::HostTwice);
    }
    let text = std::str::from_utf8(host.value).map_err(|_| Cause::HostField)?;
    address::parse(text, Some(80)).map(drop).map_err(|_| Cause::HostField)
}

fn read_body(fields: &[Header], old: bool, target: &Target) -> Result<Body, Cause> {
    match (Framing::of(fields, old, Side::Client)?, target) {
        (Framing::Unsaid, _) => Ok(Body::None),
        (_, Target::Connect(_)) => Err(Cause::ConnectBody),
        (Framing::Length(length), Target::Plain(_)) => Ok(Body::Length(length)),
        (Framing::Chunked, Target::Plain(_)) => Ok(Body::Chunked),
    }
}
