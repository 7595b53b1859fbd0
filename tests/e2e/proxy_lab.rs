//! What tests of the way out share: servers outside that remember who called and what was said, the engines, and a
//! client for the inside.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, Need, Ran, Sandbox, until};

/// A lab, with its own engine or with Landlock alone.
pub struct Place {
    pub lab: Lab,
    pub landlock: bool,
}

impl Place {
    /// Every engine, for every user.
    pub fn all() -> Vec<Self> {
        Self::all_with(&[])
    }

    /// As [`Place::all`], where these are there.
    pub fn all_with(needs: &[Need]) -> Vec<Self> {
        let needs = [&[PYTHON], needs].concat();
        let own = Lab::every_user(&needs).into_iter().map(|lab| Self { lab, landlock: false });
        let alone = Lab::native(&[&needs[..], &[Need::Landlock(6)]].concat());
        own.chain(alone.into_iter().map(|lab| Self { lab, landlock: true })).collect()
    }

    /// Engines that give the command a network of its own.
    pub fn with_namespaces() -> Vec<Self> {
        Lab::every_user(&[PYTHON]).into_iter().map(|lab| Self { lab, landlock: false }).collect()
    }

    pub fn sandbox<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Sandbox<'_> {
        let sandbox = self.lab.sandbox(options);
        if self.landlock { sandbox.backend("landlock") } else { sandbox }
    }

    /// A sandbox whose own proxy lets these hosts through, and logs.
    pub fn allowing<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Sandbox<'_> {
        let log = self.lab.path("log");
        if !self.lab.exists("log") {
            self.lab.file("log", "");
        }
        let mut words: Vec<OsString> = ["--net", "allow", "--log", &log].map(OsString::from).to_vec();
        words.extend(options.into_iter().map(|word| word.as_ref().to_owned()));
        self.sandbox(words)
    }

    /// What the log says of the network; it begins anew then.
    pub fn events(&self) -> Vec<Value> {
        let events = network_events(&self.lab.content("log"));
        self.lab.file("log", "");
        events
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.lab.user, if self.landlock { "landlock" } else { "namespaces" })
    }
}

/// Each line is JSON.
pub fn network_events(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")));
    lines.filter(|event: &Value| event["event"] == "network").collect()
}

pub const PYTHON: Need = Need::Tool("python3");

/// What one caller said until it was hung up on.
type Heard = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;

/// A server of the host's loopback interface.
pub struct Server {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<SocketAddr>>>,
    heard: Heard,
}

/// A connection, and where what is read of it is noted.
pub struct Caller {
    pub stream: TcpStream,
    peer: SocketAddr,
    heard: Heard,
}

impl Caller {
    /// Reads something; nothing at the end.
    pub fn read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 << 10];
        let length = self.stream.read(&mut buffer).unwrap_or(0);
        buffer.truncate(length);
        let mut heard = self.heard.lock().unwrap();
        match heard.iter_mut().find(|(peer, _)| *peer == self.peer) {
            Some((_, bytes)) => bytes.extend_from_slice(&buffer),
            None if buffer.is_empty() => {}
            None => heard.push((self.peer, buffer.clone())),
        }
        buffer
    }

    /// Reads until there is a text; what came behind it is there, too.
    pub fn until(&mut self, text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = bytes.windows(text.len()).position(|part| part == text) {
                let rest = bytes.split_off(at + text.len());
                return Some((bytes, rest));
            }
            let more = self.read();
            if more.is_empty() {
                return None;
            }
            bytes.extend(more);
        }
    }

    pub fn exactly(&mut self, mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
        while bytes.len() < length {
            let more = self.read();
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
        }
        bytes
    }

    pub fn say(&mut self, bytes: &[u8]) {
        // A client may have gone, and that is its affair.
        drop(self.stream.write_all(bytes));
    }

    /// Notes what is still said.
    pub fn listen(&mut self) {
        while !self.read().is_empty() {}
    }
}

impl Server {
    pub fn new(serve: impl Fn(Caller) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    pub fn at(address: &str, serve: impl Fn(Caller) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, heard, serve) = (Arc::new(Mutex::new(Vec::new())), Heard::default(), Arc::new(serve));
        let (all, noted) = (Arc::clone(&calls), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(peer) = stream.peer_addr() else { continue };
                all.lock().unwrap().push(peer);
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let (caller, serve) = (Caller { stream, peer, heard: Arc::clone(&noted) }, Arc::clone(&serve));
                std::thread::spawn(move || serve(caller));
            }
        });
        Self { address, calls, heard }
    }

    /// Answers `hello` to whoever says anything.
    pub fn hello() -> Self {
        Self::new(|mut caller| {
            if caller.until(b"\r\n\r\n").is_some() {
                caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
            caller.listen();
        })
    }

    /// Says back whatever it hears, to the end.
    pub fn echo() -> Self {
        Self::new(|mut caller| {
            loop {
                let bytes = caller.read();
                if bytes.is_empty() {
                    break;
                }
                caller.say(&bytes);
            }
            drop(caller.stream.shutdown(Shutdown::Write));
        })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many have called since the last look. Calls are taken in turn: one's own comes last.
    pub fn called(&self) -> usize {
        let ours = TcpStream::connect(self.address).unwrap();
        let name = ours.local_addr().unwrap();
        until("the server has taken the last call", || self.calls.lock().unwrap().contains(&name));
        let mut calls = self.calls.lock().unwrap();
        let number = calls.iter().filter(|peer| **peer != name).count();
        calls.clear();
        number
    }

    /// What the callers have said since the last look, when there is so much of it.
    #[track_caller]
    pub fn heard(&self, callers: usize) -> Vec<String> {
        until("the server has heard of everybody", || self.heard.lock().unwrap().len() >= callers);
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        heard.into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

impl Server {
    /// What has been said until now.
    pub fn so_far(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// Python that talks to the proxy of the variables: `dial()`, `ask(bytes)` to the end of the answer, `get(url)`,
/// `connect(to)` and `socks(host, port)`, which give a tunnel or an answer.
pub const CLIENT: &str = r"
import json, os, re, socket, struct, sys, threading, time
door = re.search(r'//(?:.*@)?\[?([0-9.:]+?)\]?:(\d+)', os.environ['HTTP_PROXY']); door = (door[1], int(door[2]))
port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
def dial(): return socket.create_connection(door, 30)
def rest(s):
    data = b''
    while True:
        try: more = s.recv(1 << 16)
        except ConnectionResetError: return data + b'<reset>'
        if not more: return data
        data += more
def ask(data):
    s = dial(); s.sendall(data); return rest(s)
def get(url, host='x', method='GET', fields=''):
    return ask(f'{method} {url} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n'.encode())
def status(answer): return answer.split(b' ')[1].decode() if answer.startswith(b'HTTP/') else repr(answer[:40])
def body(answer): return answer.split(b'\r\n\r\n', 1)[1]
def reason(answer): return status(answer) + ' ' + str(json.loads(body(answer)).get('reason'))
def upto(s, end):
    data = b''
    while not data.endswith(end):
        more = s.recv(1)
        if not more: break
        data += more
    return data
def connect(to):
    s = dial(); s.sendall(f'CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n'.encode())
    head = upto(s, b'\r\n\r\n')
    return s if head.startswith(b'HTTP/1.1 200 ') else head + rest(s)
def exactly(s, count):
    data = b''
    while len(data) < count:
        more = s.recv(count - len(data))
        if not more: break
        data += more
    return data
def socks(host, to):
    s = dial(); s.sendall(b'\5\1\0'); assert exactly(s, 2) == b'\5\0'
    try: where = b'\1' + socket.inet_pton(socket.AF_INET, host)
    except OSError:
        try: where = b'\4' + socket.inet_pton(socket.AF_INET6, host)
        except OSError: where = b'\3' + bytes([len(host)]) + host.encode()
    s.sendall(b'\5\1\0' + where + struct.pack('>H', to))
    answer = exactly(s, 10)
    return s if answer[1] == 0 else answer[1]
def pattern(count): return (bytes(range(251)) * (count // 251 + 1))[:count]
";

/// Runs a script behind [`CLIENT`].
pub fn client(sandbox: Sandbox<'_>, script: &str, arguments: &[&str]) -> Ran {
    let script = format!("{CLIENT}{script}");
    sandbox.run([&["python3", "-c", &script], arguments].concat())
}

/// What Python's `pattern` makes.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}
