//! What was decided, as one JSON line each, and what of it is told at the end. Never a path, a header or user info: there
//! may be secrets in them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was made, and has ended.
    Allowed,
    /// It was refused.
    Denied,
    /// It was allowed, and something went wrong.
    Failed,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One connection, or one request.
#[derive(Debug, Clone)]
pub struct Event {
    /// What became of it.
    pub decision: Decision,
    /// `http`, `connect`, `socks5`, `transparent`, `proxy`, `port`, `publish`, `dns`.
    pub protocol: &'static str,
    /// Where to: a host as the rules see it, or where a door leads.
    pub host: String,
    /// The port; 0 where there is none.
    pub port: u16,
    /// Why not, as a stable word; empty if nothing is to be told.
    pub reason: &'static str,
    /// The flag that would allow it.
    pub allow_with: Option<String>,
    /// Bytes from and to the command.
    pub bytes: (u64, u64),
    /// From its beginning to its end.
    pub duration: Duration,
}

/// Different denials and failures that are remembered for the end.
const REMEMBERED: usize = 64;

/// Hosts are as long as the clients like.
const LONGEST_HOST: usize = 256;

/// So many denials and failures are written in a second.
const REFUSALS: u32 = 500;

/// Where events go.
#[derive(Debug)]
pub struct Events {
    log: Option<RefCell<Log>>,
    summary: RefCell<Summary>,
}

/// What is told at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Connections that were made.
    pub allowed: u64,
    /// Connections that were refused.
    pub denied: u64,
    /// Connections that were allowed and went wrong.
    pub failed: u64,
    /// Bytes from the command.
    pub up: u64,
    /// Bytes to the command.
    pub down: u64,
    /// What was refused, or went wrong: the first few that differ.
    pub told: Vec<Told>,
    /// Hosts and ports that were reached: the first few that differ.
    pub reached: Vec<String>,
}

/// A refusal or a failure, and how often it was met.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// Whether it was refused.
    pub denied: bool,
    /// Host and port.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The flag that would allow it.
    pub allow_with: Option<String>,
    /// How often.
    pub times: u64,
}

impl Events {
    /// With a file to write to.
    #[must_use]
    pub fn new(log: Option<File>) -> Self {
        Self { log: log.map(|file| RefCell::new(Log::new(file))), summary: RefCell::default() }
    }

    /// Records one.
    pub fn record(&self, event: &Event) {
        if let Some(log) = &self.log {
            log.borrow_mut().record(event);
        }
        self.summary.borrow_mut().add(event);
    }

    /// What is told at the end.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary.borrow().clone()
    }
}

/// The file, and how much has just been written to it.
#[derive(Debug)]
struct Log {
    file: File,
    since: Instant,
    refusals: u32,
    left_out: u64,
}

impl Log {
    fn new(file: File) -> Self {
        Self { file, since: Instant::now(), refusals: 0, left_out: 0 }
    }

    /// What was allowed is written always; of what was not, no more than a command can ask for in earnest: it must not fill a
    /// disk that it cannot write to.
    fn record(&mut self, event: &Event) {
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.since = Instant::now();
            self.refusals = 0;
            self.tell_left_out();
        }
        if event.decision != Decision::Allowed {
            self.refusals += 1;
            if self.refusals > REFUSALS {
                self.left_out += 1;
                return;
            }
        }
        self.write(&line(event));
    }

    fn tell_left_out(&mut self) {
        let times = std::mem::take(&mut self.left_out);
        if times > 0 {
            self.write(&json!({"event": "network", "time": now(), "decision": "left-out", "times": times}));
        }
    }

    fn write(&mut self, line: &serde_json::Value) {
        // The command runs already: what cannot be written is lost, and nothing is allowed for it.
        crate::sys::ignore(self.file.write_all(format!("{line}\n").as_bytes()));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.tell_left_out();
    }
}

impl Summary {
    fn add(&mut self, event: &Event) {
        self.up += event.bytes.0;
        self.down += event.bytes.1;
        let to = if event.port == 0 { event.host.clone() } else { format!("{}:{}", event.host, event.port) };
        let to = shortened(&to);
        match event.decision {
            Decision::Allowed => {
                self.allowed += 1;
                if event.port != 0 && self.reached.len() < REMEMBERED && !self.reached.contains(&to) {
                    self.reached.push(to);
                }
                return;
            }
            Decision::Denied => self.denied += 1,
            Decision::Failed => self.failed += 1,
        }
        let told = Told {
            denied: event.decision == Decision::Denied,
            to,
            reason: event.reason.to_owned(),
            allow_with: event.allow_with.as_deref().map(shortened),
            times: 1,
        };
        let room = self.told.len() < REMEMBERED;
        match self.told.iter_mut().find(|known| (&known.to, &known.reason) == (&told.to, &told.reason)) {
            Some(known) => known.times += 1,
            None if room => self.told.push(told),
            None => {}
        }
    }
}

/// In seconds of the epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_HOST).collect()
}

fn line(event: &Event) -> serde_json::Value {
    let Event { decision, protocol, host, port, reason, allow_with, bytes: (up, down), duration } = event;
    let mut line = BTreeMap::from([
        ("event", json!("network")),
        ("time", json!(now())),
        ("decision", json!(decision.name())),
        ("protocol", json!(protocol)),
        ("host", json!(shortened(host))),
        ("port", json!(port)),
        ("bytes_up", json!(up)),
        ("bytes_down", json!(down)),
        ("duration_ms", json!(duration.as_secs_f64() * 1e3)),
    ]);
    if !reason.is_empty() {
        line.insert("reason", json!(reason));
    }
    if let Some(flag) = allow_with {
        line.insert("allow_with", json!(shortened(flag)));
    }
    json!(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(host: &str) -> Event {
        Event {
            decision: Decision::Denied,
            protocol: "connect",
            host: host.to_owned(),
            port: 443,
            reason: "no-rule",
            allow_with: Some(format!("--allow-host {host}")),
            bytes: (10, 0),
            duration: Duration::from_millis(2),
        }
    }

    #[test]
    fn the_same_is_told_once_and_there_is_an_end_to_it() {
        let events = Events::new(None);
        for _ in 0..3 {
            events.record(&denied("a.test"));
        }
        events.record(&Event { decision: Decision::Allowed, bytes: (1, 2), ..denied("b.test") });
        let summary = events.summary();
        assert_eq!((summary.allowed, summary.denied, summary.failed, summary.up, summary.down), (1, 3, 0, 31, 2));
        let [told] = summary.told.as_slice() else { panic!("{summary:?}") };
        assert_eq!((told.to.as_str(), told.times), ("a.test:443", 3));
        for number in 0..1000 {
            events.record(&denied(&format!("{number}{}", "x".repeat(1000))));
        }
        let summary = events.summary();
        assert_eq!((summary.denied, summary.told.len()), (1003, REMEMBERED));
        assert!(summary.told.iter().all(|told| told.to.len() <= LONGEST_HOST));
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let events = Events::new(Some(file.reopen().unwrap()));
        for _ in 0..3 * REFUSALS {
            events.record(&denied("a.test"));
            events.record(&Event { decision: Decision::Allowed, ..denied("b.test") });
        }
        drop(events);
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |decision: &str| lines.iter().filter(|line| line["decision"] == decision).count() as u64;
        let left_out: u64 = lines.iter().filter_map(|line| line["times"].as_u64()).sum();
        assert_eq!((of("allowed"), of("denied") + left_out), (3 * u64::from(REFUSALS), 3 * u64::from(REFUSALS)));
        // A second may pass in the middle.
        assert!(left_out >= u64::from(REFUSALS), "{left_out}");
    }

    #[test]
    fn a_line_is_one_line_of_json() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let events = Events::new(Some(file.reopen().unwrap()));
        events.record(&denied("a\n\u{1b}[31m.test"));
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let want = json!(["network", "denied", "connect", 443, "no-rule", 10, 0]);
        let keys = ["event", "decision", "protocol", "port", "reason", "bytes_up", "bytes_down"];
        assert_eq!(json!(keys.map(|key| line[key].clone())), want);
    }
}
