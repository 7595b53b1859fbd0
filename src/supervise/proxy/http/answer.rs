//! What the proxy itself answers.

use serde_json::Value;

/// A whole answer in HTTP/1.1 with `json` as its body, after which the connection is to be closed.
///
/// `Proxy-Status` says that the answer is ours and not the server's (RFC 9209).
pub fn answer(status: u16, json: &Value) -> Vec<u8> {
    let body = format!("{json}\n");
    let error = match status {
        403 => "; error=http_request_denied",
        400..=499 | 501 | 505 => "; error=http_request_error",
        _ => "",
    };
    let head = [
        format!("HTTP/1.1 {status:03} {}", reason(status)),
        "Content-Type: application/json".to_owned(),
        format!("Content-Length: {}", body.len()),
        format!("Proxy-Status: ringfence{error}"),
        "Cache-Control: no-store".to_owned(),
        "Connection: close".to_owned(),
    ];
    format!("{}\r\n\r\n{body}", head.join("\r\n")).into_bytes()
}

/// For people; programs read the number.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}
