//! Our own proxy: asks where a client wants to go, by HTTP or SOCKS, and lets it where the rules do.

use std::cell::{Cell, RefCell};
use std::io;

use serde_json::json;
use tokio::time::{Duration, Instant, timeout};

use super::address::Address;
use super::dial::{Dialer, NoWay};
use super::events::{Decision, Event};
use super::http::{self, Target};
use super::kept::Kept;
use super::kind::{Kind, kind};
use super::relay::Traffic;
use super::socks::{self, Choice, Reply};
use super::stream::Stream;
use super::{Shared, doors, exchange, tunnel};
use crate::policy::net::host::Host;

/// How much of what a client still says is read, and how long, so that it can read our last word: to close earlier would
/// reset the connection, and the word with it.
pub(super) const LAST_WORDS: usize = 256 << 10;
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A client, and what is known of its connection.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub shared: &'a Shared,
    pub dialer: &'a Dialer,
    pub client: Stream,
    pub traffic: Traffic,
    /// Whether the client has been told anything of a server's: then nothing of ours may follow.
    pub answered: Cell<bool>,
    begin: Instant,
    /// Where it is connected to, until that has been recorded.
    connected: RefCell<Option<Goal>>,
}

/// Where a client wants to go.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    pub host: Host,
    pub port: u16,
    /// For events: `http`, `connect`, `socks5`, `transparent`.
    pub protocol: &'static str,
}

/// Why a client is not served any further.
#[derive(Debug)]
pub(super) enum Stop {
    /// What it, or the server, says cannot be understood, or must not be.
    Fault {
        /// As HTTP has it.
        status: u16,
        code: &'static str,
        message: String,
        /// Whether it was refused, and not failed.
        denied: bool,
    },
    /// Where it wants to go is not allowed, or cannot be reached.
    NoWay(NoWay),
    /// Somebody is gone, or too slow.
    Gone(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<NoWay> for Stop {
    fn from(why: NoWay) -> Self {
        Self::NoWay(why)
    }
}

impl From<http::Fault> for Stop {
    fn from(fault: http::Fault) -> Self {
        let denied = fault.side == http::Side::Client;
        Self::Fault { status: fault.status(), code: fault.code(), message: fault.to_string(), denied }
    }
}

impl From<socks::Fault> for Stop {
    fn from(fault: socks::Fault) -> Self {
        Self::Fault { status: 400, code: fault.code(), message: fault.to_string(), denied: true }
    }
}

impl Stop {
    fn code(&self) -> &'static str {
        match self {
            Self::Fault { code, .. } => code,
            Self::NoWay(why) => why.code(),
            Self::Gone(error) => doors::reason(error),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Fault { status, .. } => *status,
            Self::NoWay(NoWay::Refused(_)) => 403,
            Self::Gone(error) if error.kind() == io::ErrorKind::OutOfMemory => 503,
            Self::NoWay(NoWay::Unreachable(error)) | Self::Gone(error) if error.kind() == io::ErrorKind::TimedOut => {
                504
            }
            Self::NoWay(NoWay::Unresolved(_) | NoWay::Unreachable(_)) | Self::Gone(_) => 502,
        }
    }

    fn is_denial(&self) -> bool {
        matches!(self, Self::Fault { denied: true, .. } | Self::NoWay(NoWay::Refused(_)))
    }

    fn allow_with(&self) -> Option<String> {
        match self {
            Self::NoWay(NoWay::Refused(refusal)) => refusal.allow_with(),
            _ => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Fault { message, .. } => message.clone(),
            Self::NoWay(why) => why.to_string(),
            Self::Gone(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                "too much is said at once on all connections together".to_owned()
            }
            Self::Gone(error) => format!("the server did not answer: {error}"),
        }
    }

    /// In the words of SOCKS.
    fn reply(&self) -> Reply {
        match self {
            Self::NoWay(NoWay::Refused(_)) => Reply::NotAllowed,
            Self::NoWay(NoWay::Unresolved(_)) => Reply::HostUnreachable,
            Self::NoWay(NoWay::Unreachable(error)) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Reply::Refused,
                io::ErrorKind::TimedOut => Reply::TimedOut,
                io::ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
                _ => Reply::HostUnreachable,
            },
            Self::Fault { .. } | Self::Gone(_) => Reply::Failed,
        }
    }
}

/// Serves one client.
pub(super) async fn serve(shared: &Shared, client: Stream) {
    let Some(visit) = Visit::new(shared, client) else { return };
    let mut head = Vec::new();
    let first = timeout(shared.patience.head, visit.client.read_more(&mut head)).await;
    if !first.is_ok_and(|read| read.is_ok_and(|read| read > 0)) {
        return;
    }
    match kind(&head) {
        Kind::Http => visit.http(head).await,
        Kind::Socks5 | Kind::Socks4 => visit.socks(head).await,
        Kind::Tls | Kind::Unknown => {
            let message = "neither HTTP nor SOCKS 5 is spoken".to_owned();
            visit.record(None, &Stop::Fault { status: 400, code: "not-http-or-socks", message, denied: true });
        }
    }
}

impl<'a> Visit<'a> {
    pub(super) fn new(shared: &'a Shared, client: Stream) -> Option<Self> {
        let dialer = shared.dialer.as_ref()?;
        let (traffic, answered, begin) = (Traffic::default(), Cell::new(false), Instant::now());
        Some(Self { shared, dialer, client, traffic, answered, begin, connected: RefCell::default() })
    }

    /// Reads until something is complete.
    async fn until<T, F: Into<Stop>>(
        &self,
        said: &mut Vec<u8>,
        parse: impl Fn(&[u8]) -> Result<Option<T>, F>,
    ) -> Result<T, Stop> {
        let mut kept = Kept::default();
        let complete = async {
            loop {
                if let Some(parsed) = parse(said).map_err(Into::into)? {
                    return Ok(parsed);
                }
                if self.client.read_kept(said, &mut kept).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        };
        match timeout(self.shared.patience.head, complete).await {
            Ok(done) => done,
            Err(_) => Err(Stop::Fault {
                status: 408,
                code: "too-slow",
                message: "the request did not come to its end".to_owned(),
                denied: true,
            }),
        }
    }

    async fn http(&self, mut head: Vec<u8>) {
        let request = match self.until(&mut head, http::request).await {
            Ok(request) => request,
            Err(stop) => return self.stop_http(None, stop).await,
        };
        let rest = head.split_off(request.head_length);
        drop(head);
        // Until the server has it.
        let mut kept = Kept::default();
        if let Err(error) = kept.try_set(request.head_length) {
            return self.stop_http(None, error.into()).await;
        }
        let (protocol, address) = match &request.target {
            Target::Connect(address) => ("connect", address),
            Target::Plain(address) => ("http", address),
        };
        let goal = match goal(address, protocol) {
            Ok(goal) => goal,
            Err(stop) => return self.stop_http(None, stop).await,
        };
        let served = match request.target {
            Target::Connect(_) => {
                drop((request, kept));
                self.connect(&goal, rest).await
            }
            Target::Plain(_) => exchange::exchange(self, &goal, (request, kept), rest).await,
        };
        match served {
            Ok(()) => self.allowed(&goal),
            Err(stop) => self.stop_http(Some(&goal), stop).await,
        }
    }

    async fn connect(&self, goal: &Goal, rest: Vec<u8>) -> Result<(), Stop> {
        let server = self.dial(goal, None).await?;
        self.client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        self.answered.set(true);
        tunnel::tunnel(self, goal, &server, rest).await
    }

    /// A connection to where the rules let the client.
    pub(super) async fn dial(&self, goal: &Goal, method: Option<&str>) -> Result<Stream, Stop> {
        let Goal { host, port, protocol: _ } = goal;
        self.dialer.rules.by_name(host, *port, method).map_err(|refusal| NoWay::Refused(Box::new(refusal)))?;
        let server = self.dialer.dial(host, *port, &self.shared.patience).await?;
        self.connected.replace(Some(goal.clone()));
        Ok(server.into())
    }

    async fn socks(&self, head: Vec<u8>) {
        let mut goal = None;
        match self.socks_to(head, &mut goal).await {
            Ok(()) => self.event(Decision::Allowed, goal.as_ref(), "", None),
            Err((stop, reply)) => {
                self.record(goal.as_ref(), &stop);
                if !self.answered.get() {
                    self.farewell(&reply).await;
                }
            }
        }
    }

    /// What a client of SOCKS is answered where it is not let on comes with the reason.
    async fn socks_to(&self, mut said: Vec<u8>, to: &mut Option<Goal>) -> Result<(), (Stop, Vec<u8>)> {
        let (length, choice) = self.socks_step(&mut said, socks::greeting).await?;
        said.drain(..length);
        self.socks_say(&choice.reply()).await?;
        if choice == Choice::Password {
            let length = self.socks_step(&mut said, socks::credentials).await?;
            said.drain(..length);
            self.socks_say(&socks::CREDENTIALS_TAKEN).await?;
        }
        let (length, address) = self.socks_step(&mut said, socks::request).await?;
        said.drain(..length);
        let with_reply = |stop: Stop| {
            let reply = socks::reply(stop.reply());
            (stop, reply)
        };
        let goal = goal(&address, "socks5").map_err(with_reply)?;
        let goal = to.insert(goal);
        let server = self.dial(goal, None).await.map_err(with_reply)?;
        self.socks_say(&socks::reply(Reply::Succeeded)).await?;
        self.answered.set(true);
        tunnel::tunnel(self, goal, &server, said).await.map_err(with_reply)
    }

    async fn socks_step<T>(
        &self,
        said: &mut Vec<u8>,
        parse: impl Fn(&[u8]) -> Result<Option<T>, socks::Fault>,
    ) -> Result<T, (Stop, Vec<u8>)> {
        // The answer to a fault depends on how far the client has come, and only the parser knows.
        let reply = Cell::new(Vec::new());
        let parsed = self.until(said, |bytes| parse(bytes).inspect_err(|fault| reply.set(fault.reply())));
        parsed.await.map_err(|stop| (stop, reply.take()))
    }

    async fn socks_say(&self, bytes: &[u8]) -> Result<(), (Stop, Vec<u8>)> {
        self.client.write_all(bytes).await.map_err(|error| (error.into(), Vec::new()))
    }

    async fn stop_http(&self, goal: Option<&Goal>, stop: Stop) {
        self.record(goal, &stop);
        if self.answered.get() {
            return;
        }
        let mut told = json!({
            "error": if stop.is_denial() { "denied" } else { "failed" },
            "reason": stop.code(),
            "message": stop.message(),
        });
        if let (Some(goal), Some(told)) = (goal, told.as_object_mut()) {
            told.insert("host".to_owned(), json!(goal.host.to_string()));
            told.insert("port".to_owned(), json!(goal.port));
        }
        if let (Some(flag), Some(told)) = (stop.allow_with(), told.as_object_mut()) {
            told.insert("allow_with".to_owned(), json!(flag));
        }
        self.farewell(&http::answer(stop.status(), &told)).await;
    }

    /// Says something, and sees to it that it can be read.
    pub(super) async fn farewell(&self, bytes: &[u8]) {
        let say = async {
            self.client.write_all(bytes).await?;
            self.client.finish();
            let mut left = LAST_WORDS;
            let mut said = Vec::new();
            while left > 0 {
                said.clear();
                let read = self.client.read_more(&mut said).await?;
                if read == 0 {
                    break;
                }
                left = left.saturating_sub(read);
            }
            Ok::<_, io::Error>(())
        };
        // Whoever does not read it has gone, or does not want to.
        drop(timeout(LAST_LOOK, say).await);
    }

    pub(super) fn allowed(&self, goal: &Goal) {
        self.event(Decision::Allowed, Some(goal), "", None);
    }

    pub(super) fn record(&self, goal: Option<&Goal>, stop: &Stop) {
        let decision = match stop {
            stop if stop.is_denial() => Decision::Denied,
            // Whoever leaves has what he came for.
            Stop::Gone(error) if self.answered.get() && error.kind() != io::ErrorKind::TimedOut => Decision::Allowed,
            _ => Decision::Failed,
        };
        self.event(decision, goal, stop.code(), stop.allow_with());
    }

    fn event(&self, decision: Decision, goal: Option<&Goal>, reason: &'static str, allow_with: Option<String>) {
        self.connected.take();
        self.shared.events.record(&Event {
            decision,
            protocol: goal.map_or("unknown", |goal| goal.protocol),
            host: goal.map(|goal| goal.host.to_string()).unwrap_or_default(),
            port: goal.map_or(0, |goal| goal.port),
            reason: if decision == Decision::Allowed { "" } else { reason },
            allow_with,
            bytes: self.traffic.bytes(),
            duration: self.begin.elapsed(),
        });
    }
}

impl Drop for Visit<'_> {
    /// The sandbox may end before the connection does.
    fn drop(&mut self) {
        if let Some(goal) = self.connected.take() {
            self.allowed(&goal);
        }
    }
}

fn goal(address: &Address, protocol: &'static str) -> Result<Goal, Stop> {
    let host = Host::parse(&address.host).map_err(|fault| Stop::Fault {
        status: 400,
        code: "bad-host",
        message: fault.to_string(),
        denied: true,
    })?;
    Ok(Goal { host, port: address.port, protocol })
}

#[cfg(test)]
mod tests;
