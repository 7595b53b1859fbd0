//! Why a message is refused. Nothing of what was sent is repeated in words, so it may hold anything.

use std::fmt;

use crate::supervise::proxy::address::BadAddress;

/// Whose message it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The program in the sandbox.
    Client,
    /// The server outside.
    Server,
}

/// A message that is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Who sent it.
    pub side: Side,
    /// What is wrong with it.
    pub cause: Cause,
}

impl Fault {
    /// What a client is answered: 502 for all that a server did.
    pub fn status(self) -> u16 {
        match self.side {
            Side::Client => self.cause.row().0,
            Side::Server => 502,
        }
    }

    /// A stable word for programs, such as `bad-line-end`.
    pub fn code(self) -> &'static str {
        self.cause.row().1
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side::Client => f.write_str(self.cause.row().2),
            Side::Server => write!(f, "the server's answer cannot be passed on: {}", self.cause.row().2),
        }
    }
}

impl std::error::Error for Fault {}

impl Side {
    /// A function for `map_err`.
    pub(super) fn fault(self) -> impl Fn(Cause) -> Fault {
        move |cause| Fault { side: self, cause }
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No end of the head within [`super::LARGEST_HEAD`] bytes.
    HeadTooLarge,
    /// More than 128 header fields.
    TooManyFields,
    /// CR or LF alone.
    LineEnd,
    /// NUL or another control character.
    Control,
    /// A header field that goes on in the next line.
    Folded,
    /// Anything else that is no HTTP/1 head.
    Syntax,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// `connect`, `Head`: methods have capitals.
    Method,
    /// TRACE.
    Trace,
    /// `GET /path`: asked of a server, not of a proxy.
    NoProxyRequest,
    /// `GET https://…`.
    NeedsConnect,
    /// Another scheme than `http`.
    Scheme,
    /// A fragment, a character beyond ASCII, or no target at all.
    Target,
    /// User information in an address.
    User,
    /// A bad host in the target.
    Host,
    /// A bad port in the target, or none where CONNECT needs it.
    Port,
    /// HTTP/1.1 without a `Host` field.
    HostMissing,
    /// Two `Host` fields.
    HostTwice,
    /// A `Host` field that is no host.
    HostField,
    /// CONNECT with a body.
    ConnectBody,
    /// Two lengths.
    LengthTwice,
    /// A length that is no plain decimal number, or above 2^63 - 1.
    Length,
    /// A length and a transfer coding.
    LengthAndCoding,
    /// A transfer coding other than `chunked`, or two of them.
    Coding,
    /// A transfer coding in HTTP/1.0, or for a client that speaks only that.
    CodingOld,
    /// `Content_Length`, `Transfer_Encoding`, `_Host`: some servers read `_` as `-`.
    LookAlike,
    /// Something else where a chunk's size, data or end should be.
    Chunk,
    /// The size of a chunk is above 2^62, or has more than 16 digits.
    ChunkSize,
    /// The extension of a chunk is longer than 256 bytes.
    ChunkExtension,
    /// A trailer field that is none, or may not be one.
    Trailer,
    /// Trailer fields of more than 8 KiB.
    TrailerTooLarge,
    /// A status below 100.
    Status,
    /// Status 101: nobody asked for it.
    Switching,
}

impl Cause {
    /// Status for a client, word, sentence.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::HeadTooLarge => (431, "head-too-large", "the head is larger than 64 KiB"),
            Self::TooManyFields => (431, "too-many-fields", "the head has more than 128 fields"),
            Self::LineEnd => (400, "bad-line-end", "a line does not end with CR LF, or has one of them inside"),
            Self::Control => (400, "control-character", "the head has a control character"),
            Self::Folded => (400, "folded-field", "a header field goes on in the next line"),
            Self::Syntax => (400, "bad-head", "this is no head of an HTTP/1 message"),
            Self::Version => {
                (505, "bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken here; HTTP/2 goes through CONNECT")
            }
            Self::Method => (400, "bad-method", "this method is written in capitals"),
            Self::Trace => (501, "trace", "TRACE shows what others add to a request, and is not passed on"),
            Self::NoProxyRequest => {
                (400, "no-proxy-request", "this is a proxy: it needs a whole `http://` address, or CONNECT host:port")
            }
            Self::NeedsConnect => (400, "needs-connect", "this proxy speaks no TLS; use CONNECT host:port for https"),
            Self::Scheme => (400, "bad-scheme", "only `http://` addresses and CONNECT are served"),
            Self::Target => (400, "bad-target", "the address has a fragment, a character beyond ASCII, or no host"),
            Self::User => {
                (400, "user-in-address", "the address has an `@` before its path; send credentials in a field")
            }
            Self::Host => (400, "bad-host", "the host is no host name and no address"),
            Self::Port => (400, "bad-port", "the port is missing, or no plain number from 1 to 65535"),
            Self::HostMissing => (400, "host-missing", "a request of HTTP/1.1 needs a Host field"),
            Self::HostTwice => (400, "host-twice", "there are two Host fields"),
            Self::HostField => (400, "bad-host-field", "the Host field is no host and port"),
            Self::ConnectBody => (400, "connect-body", "CONNECT has no body, so it has no length and no coding"),
            Self::LengthTwice => (400, "length-twice", "there are two Content-Length fields"),
            Self::Length => (400, "bad-length", "Content-Length is no plain number below 2^63"),
            Self::LengthAndCoding => (400, "length-and-coding", "there are both Content-Length and Transfer-Encoding"),
            Self::Coding => (400, "bad-coding", "Transfer-Encoding is not `chunked`, once"),
            Self::CodingOld => (400, "coding-in-old-version", "HTTP/1.0 has no Transfer-Encoding"),
            Self::LookAlike => {
                (400, "look-alike-field", "with `-` for `_`, a field would say how long the body is, or for whom")
            }
            Self::Chunk => (400, "bad-chunk", "a chunk of the body is malformed"),
            Self::ChunkSize => (400, "bad-chunk-size", "the size of a chunk is above 2^62, or has more than 16 digits"),
            Self::ChunkExtension => (400, "bad-chunk-extension", "the extension of a chunk is longer than 256 bytes"),
            Self::Trailer => (400, "bad-trailer", "a trailer field is malformed, or belongs into the head"),
            Self::TrailerTooLarge => (431, "trailer-too-large", "the trailer fields are larger than 8 KiB"),
            Self::Status => (400, "bad-status", "the status is below 100"),
            Self::Switching => (400, "switching", "it switches to a protocol that nobody asked for"),
        }
    }
}

impl From<BadAddress> for Cause {
    fn from(bad: BadAddress) -> Self {
        match bad {
            BadAddress::User => Self::User,
            BadAddress::Host => Self::Host,
            BadAddress::Port => Self::Port,
        }
    }
}

impl From<httparse::Error> for Cause {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Version,
            // Line ends have been looked at before; this one comes where the line should go on, or the other way round.
            httparse::Error::NewLine
            | httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::Status
            | httparse::Error::Token => Self::Syntax,
        }
    }
}
