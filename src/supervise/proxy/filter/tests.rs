//! Clients and servers that are slow, silent or gone, with little patience.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;

use super::*;
use crate::plan::network::NetworkPlan;
use crate::policy::net::{Allowed, HostRules};
use crate::request::network::NetworkRule;
use crate::request::{Origin, Said};
use crate::supervise::proxy::dial::Names;
use crate::supervise::proxy::events::{Events, Summary};
use crate::supervise::proxy::relay::Patience;
use crate::supervise::proxy::tls::RETRY;
use crate::supervise::proxy::tls::tests::{hello_for, server_hello};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

const PATIENCE: Patience = Patience { head: LONG, dial: LONG, idle: LONG, half_closed: LONG, unread: LONG };

fn shared(patience: Patience, change: impl FnOnce(&mut HostRules)) -> Shared {
    let rule = NetworkRule { hosts: vec!["127.0.0.1:*".to_owned()], ..NetworkRule::default() };
    let allow = Allowed::from_rule(&rule).unwrap();
    let mut hosts = HostRules {
        allow: allow.into_iter().map(|rule| Said::new(rule, Origin::Flag("--allow-host"))).collect(),
        ..HostRules::default()
    };
    change(&mut hosts);
    let plan = NetworkPlan {
        doors: Vec::new(),
        publish: Vec::new(),
        hosts: hosts.clone(),
        rewritten: Vec::new(),
        transparent: None,
    };
    let dialer = Some(Dialer { rules: hosts, names: Names::of_system().unwrap(), routes: None });
    Shared { plan, dialer, events: Events::new(None), patience }
}

/// Serves one client, and says what became of it.
fn serve_one(patience: Patience, client: impl FnOnce(TcpStream) -> String + Send + 'static) -> (String, Summary) {
    serve_one_by(patience, |_| {}, client)
}

fn serve_one_by(
    patience: Patience,
    rules: impl FnOnce(&mut HostRules),
    client: impl FnOnce(TcpStream) -> String + Send + 'static,
) -> (String, Summary) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let said = std::thread::spawn(move || client(TcpStream::connect(address).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let summary = runtime.block_on(async {
        let shared = shared(patience, rules);
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        timeout(Duration::from_secs(20), serve(&shared, stream.into())).await.unwrap();
        shared.events.summary()
    });
    (said.join().unwrap(), summary)
}

/// A server that does this with whoever calls.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

fn all(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    drop(stream.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

fn ask(mut stream: TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    all(&stream)
}

fn reasons(summary: &Summary) -> Vec<&str> {
    summary.told.iter().map(|told| told.reason.as_str()).collect()
}

fn get(address: &str) -> String {
    format!("GET http://{address}/ HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn forever(mut stream: TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
}

#[test]
fn a_server_that_never_answers_is_a_504_and_one_that_answers_slowly_is_waited_for() {
    let silent = server(forever);
    let request = get(&silent);
    let (said, summary) = serve_one(Patience { idle: SHORT, ..PATIENCE }, move |client| ask(client, &request));
    assert!(said.starts_with("HTTP/1.1 504 ") && said.contains("\"reason\":\"timeout\""), "{said}");
    assert_eq!((reasons(&summary), summary.failed), (vec!["timeout"], 1));
    // Each byte in time, all of them much later than that.
    let slow = server(|mut stream| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            std::thread::sleep(SHORT / 10);
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let request = get(&slow);
    // The head is read as a whole, so only what is passed on counts as a sign of life.
    let (said, summary) = serve_one(Patience { idle: 10 * SHORT, ..PATIENCE }, move |client| ask(client, &request));
    assert!(said.ends_with("\r\n\r\nok") && summary.allowed == 1, "{said} {summary:?}");
}

#[test]
fn a_client_that_does_not_come_to_its_point_is_a_408() {
    let patience = Patience { head: SHORT, ..PATIENCE };
    let (said, summary) = serve_one(patience, |client| ask(client, "GET http://127.0.0.1/ HTTP/1.1\r\n"));
    assert!(said.starts_with("HTTP/1.1 408 ") && reasons(&summary) == ["too-slow"], "{said} {summary:?}");
    let (said, summary) = serve_one(patience, |client| ask(client, ""));
    assert!(said.is_empty() && summary == Summary::default(), "{summary:?}");
    let (said, summary) = serve_one(patience, |client| ask(client, "\u{5}\u{1}"));
    assert!(said.is_empty() && reasons(&summary) == ["too-slow"], "{said:?} {summary:?}");
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let (sender, gone) = channel();
    let silent = server(move |stream| {
        forever(stream);
        sender.send(()).unwrap();
    });
    let request = get(&silent);
    let patience = Patience { half_closed: SHORT, unread: SHORT, ..PATIENCE };
    let begin = Instant::now();
    let (_, summary) = serve_one(patience, move |mut client| {
        client.write_all(request.as_bytes()).unwrap();
        String::new()
    });
    gone.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10) && summary.failed == 1, "{summary:?}");
    // Who has only ended its side is answered.
    let slow = server(|mut stream| {
        std::thread::sleep(SHORT / 3);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let request = get(&slow);
    let (said, summary) = serve_one(patience, move |mut client| {
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        all(&client)
    });
    assert!(said.ends_with("\r\n\r\nok") && summary.allowed == 1, "{said} {summary:?}");
}

#[test]
fn a_server_may_have_heard_enough_before_the_body_ends() {
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let early = server(|mut stream| {
            let mut head = Vec::new();
            while !head.windows(4).any(|part| part == b"\r\n\r\n") {
                let mut buffer = [0; 100];
                let read = stream.read(&mut buffer).unwrap();
                head.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").unwrap();
            // With bytes unread, this is a reset.
        });
        let head = format!("PUT http://{early}/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        let (said, summary) = serve_one(PATIENCE, move |mut client| {
            client.write_all(head.as_bytes()).unwrap();
            let mut writer = client.try_clone().unwrap();
            let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
            let sender = std::thread::spawn(move || while writer.write_all(&chunk).is_ok() {});
            let mut answer = vec![0; 100];
            let read = client.read(&mut answer).unwrap();
            drop(client.shutdown(Shutdown::Both));
            sender.join().unwrap();
            String::from_utf8_lossy(&answer[..read]).into_owned()
        });
        assert!(said.starts_with("HTTP/1.1 413 ") && summary.allowed == 1, "{framing}: {said} {summary:?}");
    }
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let endless = server(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let request = get(&endless);
    let (sender, over) = channel::<()>();
    let patience = Patience { unread: SHORT, ..PATIENCE };
    let begin = Instant::now();
    let (_, summary) = serve_one(patience, move |mut client| {
        client.write_all(request.as_bytes()).unwrap();
        // Held until it has been given up.
        std::thread::spawn(move || drop((over.recv(), client)));
        String::new()
    });
    drop(sender);
    assert!(reasons(&summary) == ["timeout"] && begin.elapsed() < Duration::from_secs(10), "{summary:?}");
}

#[test]
fn a_tunnel_of_which_one_side_is_silent_ends() {
    let silent = server(forever);
    for (patience, end) in [
        (Patience { idle: SHORT, ..PATIENCE }, false),
        (Patience { half_closed: SHORT, unread: SHORT, ..PATIENCE }, true),
    ] {
        let request = format!("CONNECT {silent} HTTP/1.1\r\n\r\n");
        let never = server(|stream| {
            std::thread::sleep(Duration::from_secs(8));
            drop(stream);
        });
        let request = if end { request.replace(&silent, &never) } else { request };
        let begin = Instant::now();
        let (said, summary) = serve_one(patience, move |mut client| {
            client.write_all(request.as_bytes()).unwrap();
            if end {
                client.shutdown(Shutdown::Write).unwrap();
            }
            all(&client)
        });
        assert_eq!(said, "HTTP/1.1 200 Connection established\r\n\r\n");
        assert_eq!(reasons(&summary), ["timeout"]);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_client_that_begins_tls_comes_to_the_end_of_its_hello() {
    let silent = server(forever);
    for (begun, reason) in [(&b"\x16\x03\x01\x02\x00\x01"[..], Some("timeout")), (b"SSH-2.0-x\r\n", None), (b"", None)]
    {
        let request = format!("CONNECT {silent} HTTP/1.1\r\n\r\n");
        let (said, summary) = serve_one(Patience { head: SHORT, ..PATIENCE }, move |mut client| {
            client.write_all(request.as_bytes()).unwrap();
            std::thread::sleep(SHORT);
            client.write_all(begun).unwrap();
            client.set_read_timeout(Some(4 * SHORT)).unwrap();
            let said = all(&client);
            client.shutdown(Shutdown::Both).unwrap();
            said
        });
        assert_eq!(said, "HTTP/1.1 200 Connection established\r\n\r\n");
        assert_eq!(reasons(&summary), Vec::from_iter(reason), "{begun:?}");
    }
}

#[test]
fn interim_answers_end() {
    for (count, want) in [(16, "HTTP/1.1 204 "), (17, "HTTP/1.1 502 ")] {
        let server = server(move |mut stream| {
            let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count);
            drop(stream.write_all(format!("{interim}HTTP/1.1 204 No Content\r\n\r\n").as_bytes()));
        });
        let request = get(&server);
        let (said, _) = serve_one(PATIENCE, move |client| ask(client, &request));
        let last = said.rfind("HTTP/1.1 ").map(|at| &said[at..]);
        assert!(last.is_some_and(|last| last.starts_with(want)), "{said}");
    }
}

/// Says the first, waits for an answer, says the second: what the server has heard, and why it was refused.
fn tunnelled(
    first: Vec<u8>,
    answer: Vec<u8>,
    second: Vec<u8>,
    rules: impl FnOnce(&mut HostRules),
) -> (Vec<u8>, Summary) {
    let (sender, heard) = channel();
    let server = server(move |mut stream| {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if all.is_empty() {
                stream.write_all(&answer).unwrap();
            }
            all.extend_from_slice(&buffer[..read]);
        }
        sender.send(all).unwrap();
    });
    let request = format!("CONNECT {server} HTTP/1.1\r\n\r\n");
    let (_, summary) = serve_one_by(PATIENCE, rules, move |mut client| {
        client.write_all(request.as_bytes()).unwrap();
        client.read_exact(&mut [0; 39]).unwrap();
        client.write_all(&first).unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        let told = client.read(&mut [0; 4096]);
        client.write_all(&second).unwrap();
        drop(client.shutdown(Shutdown::Write));
        client.set_read_timeout(None).unwrap();
        all(&client);
        format!("{told:?}")
    });
    (heard.recv_timeout(Duration::from_secs(20)).unwrap(), summary)
}

fn deny(name: &str) -> impl FnOnce(&mut HostRules) {
    let deny = Said::new(name.parse().unwrap(), Origin::Flag("--deny-host"));
    |rules| rules.deny.push(deny)
}

#[test]
fn a_name_that_is_denied_is_not_asked_for_in_any_hello() {
    let [allowed, denied] = ["allowed.test", "denied.test"].map(hello_for);
    let again = server_hello(RETRY, 1 << 14);
    let other = server_hello([7; 32], 1 << 14);
    let old = b"\x14\x03\x03\x00\x01\x01".to_vec();
    let behind_old = [&old[..], &denied].concat();
    let table = [
        // The controls: a hello with another hello behind it, which this server does not read as one.
        (&allowed, &other, &denied, vec![]),
        (&allowed, &again, &allowed, vec![]),
        (&denied, &other, &allowed, vec!["denied"]),
        (&allowed, &again, &denied, vec!["denied"]),
        (&allowed, &again, &behind_old, vec!["denied"]),
        (&allowed, &again, &b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec!["bad-client-hello"]),
    ];
    for (number, (first, answer, second, reason)) in table.into_iter().enumerate() {
        let (heard, summary) = tunnelled(first.clone(), answer.clone(), second.clone(), deny("denied.test"));
        assert_eq!(reasons(&summary), reason, "{number}");
        let want = if reason.is_empty() { [&first[..], second].concat() } else { first.clone() };
        assert!(heard == want || (number == 2 && heard.is_empty()), "{number}: {heard:?}");
        // Both at once come to the same.
        if number != 2 {
            let both = [&first[..], second].concat();
            let (heard, summary) = tunnelled(both, answer.clone(), Vec::new(), deny("denied.test"));
            assert_eq!(reasons(&summary), reason, "{number}");
            assert_eq!(heard, want, "{number}");
        }
    }
}

#[test]
fn where_methods_are_limited_only_tls_goes_through_a_tunnel() {
    let limit = |rules: &mut HostRules| {
        rules.methods = Some(Said::new(vec!["GET".to_owned()], Origin::Flag("--http-methods")));
    };
    let post = b"POST / HTTP/1.1\r\n\r\n".to_vec();
    let refused = serve_one_by(PATIENCE, limit, {
        let banner = server(|mut stream| drop(stream.write_all(b"220 hello\r\n")));
        let request = format!("CONNECT {banner} HTTP/1.1\r\n\r\n");
        move |mut client| {
            client.write_all(request.as_bytes()).unwrap();
            client.read_exact(&mut [0; 39]).unwrap();
            client.set_read_timeout(Some(SHORT)).unwrap();
            let silence = client.read(&mut [0; 9]).is_err();
            client.write_all(&post).unwrap();
            drop(client.shutdown(Shutdown::Write));
            client.set_read_timeout(None).unwrap();
            format!("{silence} {}", all(&client).contains("hello"))
        }
    });
    assert_eq!((refused.0.as_str(), reasons(&refused.1)), ("true false", vec!["method"]));
    let hello = hello_for("allowed.test");
    let (heard, summary) = tunnelled(hello.clone(), b"x".to_vec(), b"more".to_vec(), limit);
    assert_eq!((heard, reasons(&summary)), ([&hello[..], b"more"].concat(), vec![]));
}

#[test]
fn many_unfinished_heads_cost_no_more_than_few() {
    // What others hold already.
    let mut held = super::super::kept::Kept::default();
    held.set(super::super::kept::MUCH);
    let head = |length: usize| format!("GET http://127.0.0.1/ HTTP/1.1\r\nX: {}", "x".repeat(length));
    let server = server(|mut stream| drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")));
    let request = get(&server);
    let (said, summary) = serve_one(PATIENCE, move |client| ask(client, &request));
    assert!(said.starts_with("HTTP/1.1 204 ") && summary.allowed == 1, "the control: {said}");
    let (said, summary) = serve_one(PATIENCE, move |client| ask(client, &head(40 << 10)));
    assert!(said.starts_with("HTTP/1.1 503 ") && reasons(&summary) == ["too-much"], "{said} {summary:?}");
}
