//! One run under a tracer that knows each process by its place in the tree, and does something at one call of one of them.
//!
//! The supervisor is `0`, its second child `0.2`, and so on: that is the same in each run. A tracer of our own, and not
//! strace, whose counters are those of whatever process comes first: here a point is one call of one process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::ptrace::{self, Entry, Go, Stop};

/// No run takes longer, not even one with the grace of two seconds for the command and two for the bridge.
const LIMIT: Duration = Duration::from_secs(20);

/// So long may be cleaned up after a supervisor that was killed.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// The file name of the program inside, which is not a process of ours.
pub const PROBE: &str = "probe";

/// The `nth` call of this number by the process at this place, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub role: String,
    pub call: i64,
    pub nth: u32,
}

/// What happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The call fails with this `errno`, and does nothing.
    Error(i32),
    /// Signals to processes, each so long afterwards; at once means before the call.
    Signals(Vec<(String, Duration, Signal)>),
}

/// What came of a run.
#[derive(Default)]
pub struct Story {
    /// As a shell would tell it.
    pub code: i32,
    /// Whether the point was reached.
    pub hit: bool,
    /// Whether somebody was stopped who was still in the supervisor's session: the first thing that a bridge does is to tie
    /// itself to the supervisor's life, the second to leave its session.
    pub untied: bool,
    /// What did not end by itself in time.
    pub hung: Vec<String>,
    /// Processes that lived when the supervisor had ended.
    pub late: Vec<String>,
    pub stdout: String,
    pub stderr: String,
    /// Each call of our processes, in order, where nothing was to happen.
    pub calls: Vec<(Point, Entry)>,
    /// The last program of each process.
    pub programs: BTreeMap<String, String>,
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, hit, untied: _, hung, late, stdout, stderr, calls: _, programs: _ } = self;
        write!(f, "code {code}, hit {hit}, hung {hung:?}, late {late:?}")?;
        write!(f, "\n    stdout: {}", stdout.lines().next().unwrap_or_default())?;
        write!(f, "\n    stderr: {}", stderr.trim_end())
    }
}

struct Tracee {
    role: String,
    children: u32,
    counts: HashMap<i64, u32>,
    /// Whether its calls are looked at.
    followed: bool,
    /// Whether it is the command, or of the command.
    inside: bool,
    /// What its current call is to come to.
    errno: Option<i32>,
}

struct Run<'a> {
    at: Option<(&'a Point, &'a Act)>,
    tracees: HashMap<i32, Tracee>,
    /// All that were tracees once: some die before their parent tells of them.
    met: HashSet<i32>,
    story: Story,
    root: i32,
    timer: Sender<Due>,
    alive: Arc<Mutex<BTreeMap<i32, String>>>,
}

/// Runs a command that first stops itself and then becomes ringfence.
/// `begun` is told its number.
pub fn run(mut command: Command, at: Option<(&Point, &Act)>, begun: impl FnOnce(i32)) -> Story {
    let (stdout, theirs) = std::io::pipe().unwrap();
    let (stderr, errors) = std::io::pipe().unwrap();
    command.stdin(File::open("/dev/null").unwrap()).stdout(theirs).stderr(errors);
    #[allow(clippy::zombie_processes, reason = "as a tracee it is waited for with all others")]
    let child = command.spawn().unwrap();
    drop(command);
    let root = i32::try_from(child.id()).unwrap();
    assert!(matches!(ptrace::wait(), Some((_, Stop::Signal(_)))), "it stops itself");
    assert!(ptrace::seize(root), "no tracing here");
    rustix::process::kill_process(Pid::from_raw(root).unwrap(), Signal::CONT).unwrap();
    begun(root);
    let (timer, due) = channel();
    let alive = Arc::new(Mutex::new(BTreeMap::from([(root, "0".to_owned())])));
    let watched = Arc::clone(&alive);
    let clock = std::thread::spawn(move || keep_time(&due, &watched));
    let first =
        Tracee { role: "0".into(), children: 0, counts: HashMap::new(), followed: false, inside: false, errno: None };
    let mut run = Run {
        at,
        tracees: HashMap::from([(root, first)]),
        met: HashSet::from([root]),
        story: Story::default(),
        root,
        timer,
        alive,
    };
    while let Some((pid, stop)) = ptrace::wait() {
        run.on(pid, stop);
    }
    let Run { mut story, timer, .. } = run;
    drop(timer);
    story.hung = clock.join().unwrap();
    story.stdout = text(stdout);
    story.stderr = text(stderr);
    story
}

/// Nobody writes any more; what somebody unknown might still write is not waited for.
fn text(mut from: PipeReader) -> String {
    rustix::io::ioctl_fionbio(&from, true).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Run<'_> {
    fn on(&mut self, pid: i32, stop: Stop) {
        if !self.tracees.contains_key(&pid) {
            if matches!(stop, Stop::Gone(_)) {
                return;
            }
            // A parent that is killed in the middle of a fork does not tell of it.
            self.meet(pid, parent_of(pid));
        }
        match stop {
            Stop::Gone(code) => self.gone(pid, code),
            Stop::Group => ptrace::resume(pid, Go::Listen, 0),
            Stop::Signal(signal) => self.go_on(pid, signal),
            Stop::Event(libc::PTRACE_EVENT_EXEC) => self.executed(pid),
            Stop::Event(libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => {
                self.forked(pid)
            }
            Stop::Event(_) => self.go_on(pid, 0),
            Stop::Call => self.call(pid),
        }
    }

    fn go_on(&self, pid: i32, signal: i32) {
        let tracee = &self.tracees[&pid];
        let wanted = tracee.followed && !self.story.hit || tracee.errno.is_some();
        ptrace::resume(pid, if wanted { Go::ToCall } else { Go::ToEvent }, signal);
    }

    fn gone(&mut self, pid: i32, code: i32) {
        self.tracees.remove(&pid);
        self.alive.lock().unwrap().remove(&pid);
        if pid == self.root {
            self.story.code = code;
            let alive = self.tracees.iter().filter(|(pid, _)| !is_dying(**pid));
            self.story.late = alive.map(|(_, tracee)| tracee.role.clone()).collect();
            drop(self.timer.send(Due { at: Instant::now() + AFTERWARDS, signal: None }));
        }
    }

    fn executed(&mut self, pid: i32) {
        let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
        let tracee = self.tracees.get_mut(&pid).unwrap();
        tracee.inside |= program == PROBE;
        tracee.followed = !tracee.inside && self.at.is_none_or(|(point, _)| point.role == tracee.role);
        self.story.programs.insert(tracee.role.clone(), program);
        self.go_on(pid, 0);
    }

    fn forked(&mut self, pid: i32) {
        let child = ptrace::message(pid);
        // It may have come first.
        if child != 0 && !self.met.contains(&child) {
            self.meet(child, pid);
        }
        self.go_on(pid, 0);
    }

    fn meet(&mut self, child: i32, parent: i32) {
        let (role, inside) = match self.tracees.get_mut(&parent) {
            Some(parent) => {
                parent.children += 1;
                (format!("{}.{}", parent.role, parent.children), parent.inside)
            }
            None => (format!("of {parent}, which is dead"), false),
        };
        let followed = !inside && self.at.is_none_or(|(point, _)| point.role == role);
        self.met.insert(child);
        self.alive.lock().unwrap().insert(child, role.clone());
        self.tracees.insert(child, Tracee { role, children: 0, counts: HashMap::new(), followed, inside, errno: None });
    }

    fn call(&mut self, pid: i32) {
        let tracee = self.tracees.get_mut(&pid).unwrap();
        if let Some(entry) = ptrace::entry(pid) {
            let nth = tracee.counts.entry(entry.number).or_insert(0);
            *nth += 1;
            let point = Point { role: tracee.role.clone(), call: entry.number, nth: *nth };
            match self.at {
                None => self.story.calls.push((point, entry)),
                Some((wanted, act)) if *wanted == point && !self.story.hit => self.act(pid, act),
                Some(_) => {}
            }
        } else if let Some(errno) = tracee.errno.take() {
            ptrace::fail_call(pid, errno);
        }
        self.go_on(pid, 0);
    }

    fn act(&mut self, pid: i32, act: &Act) {
        self.story.hit = true;
        match act {
            Act::Error(errno) => {
                ptrace::skip_call(pid);
                self.tracees.get_mut(&pid).unwrap().errno = Some(*errno);
            }
            Act::Signals(signals) => {
                for (role, after, signal) in signals {
                    let victim = self.tracees.iter().find(|(_, tracee)| tracee.role == *role).map(|(pid, _)| *pid);
                    let Some(victim) = victim.and_then(Pid::from_raw) else { continue };
                    let Ok(process) = pidfd_open(victim, PidfdFlags::empty()) else { continue };
                    if after.is_zero() {
                        let (own, root) =
                            (ptrace::session_of(victim.as_raw_nonzero().get()), ptrace::session_of(self.root));
                        self.story.untied |= own.is_some() && own == root;
                        let _gone = pidfd_send_signal(&process, *signal);
                    } else {
                        drop(self.timer.send(Due { at: Instant::now() + *after, signal: Some((process, *signal)) }));
                    }
                }
            }
        }
    }
}

/// Whether it has been killed, or has ended: its tracer hears of that a little later.
fn is_dying(pid: i32) -> bool {
    /// `PF_EXITING` of linux/sched.h.
    const EXITING: u64 = 4;
    let text = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (stat, status) = (text("stat"), text("status"));
    let flags = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(6)?.parse::<u64>().ok());
    let kill = 1_u64 << (libc::SIGKILL - 1);
    let pending = status.lines().filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));
    let mut pending = pending.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
    flags.is_none_or(|flags| flags & EXITING != 0) || pending.any(|signals| signals & kill != 0)
}

fn parent_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.and_then(|parent| parent.trim().parse().ok()).unwrap_or(0)
}

/// Something to be done at a time: a signal, or an end of all that is left.
struct Due {
    at: Instant,
    signal: Option<(OwnedFd, Signal)>,
}

/// Sends what is to be sent later, and ends what does not end; that comes back.
fn keep_time(due: &Receiver<Due>, alive: &Mutex<BTreeMap<i32, String>>) -> Vec<String> {
    let mut waiting = vec![Due { at: Instant::now() + LIMIT, signal: None }];
    let mut hung = Vec::new();
    loop {
        let next = waiting.iter().map(|due| due.at).min().unwrap_or_else(|| Instant::now() + LIMIT);
        match due.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(due) => waiting.push(due),
            Err(RecvTimeoutError::Disconnected) => return hung,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        let (ready, later) = std::mem::take(&mut waiting).into_iter().partition(|due| due.at <= now);
        waiting = later;
        for due in ready {
            let Some((process, signal)) = due.signal else {
                hung.extend(end_all(alive));
                continue;
            };
            let _gone = pidfd_send_signal(&process, signal);
        }
    }
}

fn end_all(alive: &Mutex<BTreeMap<i32, String>>) -> Vec<String> {
    let alive = alive.lock().unwrap();
    for pid in alive.keys() {
        let _gone = Pid::from_raw(*pid).map(|pid| rustix::process::kill_process(pid, Signal::KILL));
    }
    alive.values().cloned().collect()
}
