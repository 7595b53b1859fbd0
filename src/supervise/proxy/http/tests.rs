use super::*;

mod bodies;
mod careless;
mod lenient;
mod requests;
mod responses;

/// A head of these lines.
fn head(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn our_own_answers_are_complete() {
    let shown = text(&answer(403, &serde_json::json!({"error": "denied", "host": "a\r\nb"})));
    expect_test::expect![[r#"
        HTTP/1.1 403 Forbidden
        Content-Type: application/json
        Content-Length: 35
        Proxy-Status: ringfence; error=http_request_denied
        Cache-Control: no-store
        Connection: close

        {"error":"denied","host":"a\r\nb"}
    "#]]
    .assert_eq(&shown.replace("\r\n", "\n"));
    for status in [400, 403, 405, 408, 431, 500, 501, 502, 503, 504, 505, 418] {
        let bytes = answer(status, &serde_json::json!({"status": status}));
        let read = response(&bytes, Asked::default()).unwrap().unwrap();
        assert_eq!(read.status, status);
        assert_eq!(read.body, ResponseBody::Length((bytes.len() - read.head_length) as u64));
    }
}
