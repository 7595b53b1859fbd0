//! The client, which is run inside: `client LANGUAGE TASK ...`. Between its parts it waits for a line from outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How the server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    /// The server itself.
    Plain,
    /// A proxy, with the whole address.
    Proxy,
    /// A proxy, for a tunnel.
    Connect,
}

struct Target {
    language: Language,
    /// Of the server, or of the proxy that the environment names.
    address: SocketAddr,
    server: String,
    url: String,
}

impl Target {
    fn new(language: &str, url: &str) -> Self {
        let language = match language {
            "plain" => Language::Plain,
            "proxy" => Language::Proxy,
            "connect" => Language::Connect,
            other => panic!("no language {other}"),
        };
        let server = authority(url).to_owned();
        let address = match language {
            Language::Plain => server.parse().unwrap(),
            Language::Proxy | Language::Connect => authority(&std::env::var("HTTP_PROXY").unwrap()).parse().unwrap(),
        };
        Self { language, address, server, url: url.to_owned() }
    }

    /// A connection that was asked for the answer.
    fn ask(&self) -> TcpStream {
        let Self { language, address, server, url } = self;
        let path = url.rsplit('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        if *language == Language::Connect {
            write!(stream, "{}", format_args!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n")).unwrap();
            let answer = head(&mut stream);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let target = if *language == Language::Proxy { url.clone() } else { format!("/{path}") };
        let request = format!("GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The whole answer, to the end of the connection: how long it took.
    fn get(&self, buffer: &mut [u8]) -> Duration {
        let begin = Instant::now();
        let mut stream = self.ask();
        let mut received = 0;
        let mut seen = [0; 12];
        loop {
            match stream.read(buffer).unwrap() {
                0 => break,
                read => {
                    if received == 0 {
                        seen.copy_from_slice(&buffer[..12]);
                    }
                    received += read as u64;
                }
            }
        }
        let took = begin.elapsed();
        assert_eq!(&seen, b"HTTP/1.1 200", "{}", String::from_utf8_lossy(buffer));
        let wanted: u64 = self.url.rsplit('/').next().unwrap().parse().unwrap();
        assert!(received > wanted, "{received} of {wanted} bytes");
        took
    }
}

fn authority(url: &str) -> &str {
    url.split("//").last().unwrap().split('/').next().unwrap().rsplit('@').next().unwrap()
}

/// One byte after the other: nothing of what follows is taken.
fn head(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !said.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the proxy has closed the connection");
        said.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Says a word and waits for one.
fn pause(word: &str) {
    println!("{word}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

pub(crate) fn run(arguments: &[&str]) {
    let [language, task, url, rest @ ..] = arguments else { panic!("client LANGUAGE TASK URL ...") };
    let target = Target::new(language, url);
    let number = |at: usize| rest.get(at).and_then(|text: &&str| text.parse().ok()).unwrap_or(1_u64);
    let mut buffer = vec![0; 1 << 20];
    match *task {
        "get" => {
            let times: Vec<_> = (0..number(0)).map(|_| target.get(&mut buffer)).collect();
            // Not while the times are taken.
            times.iter().for_each(|time| println!("{}", time.as_nanos()));
        }
        "again" => {
            for count in [number(0), number(1)] {
                for _ in 0..count {
                    target.get(&mut buffer);
                }
                pause("done");
            }
        }
        "hold" => hold(&target, number(0), &mut buffer),
        other => panic!("no task {other}"),
    }
}

/// Many connections at once, each of which carries something now and then.
fn hold(target: &Target, count: u64, buffer: &mut [u8]) {
    let mut streams: Vec<_> = (0..count).map(|_| (target.ask(), 0_u64)).collect();
    for (stream, received) in &mut streams {
        *received += stream.read(buffer).unwrap() as u64;
        stream.set_nonblocking(true).unwrap();
    }
    pause("held");
    let before: Vec<_> = streams.iter().map(|(_, received)| *received).collect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for (stream, received) in &mut streams {
            *received += stream.read(buffer).unwrap_or(0) as u64;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let moved = streams.iter().zip(before).filter(|((_, received), before)| received > before).count();
    pause(&moved.to_string());
}
