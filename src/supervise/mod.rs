//! Room 6, *living with it*: one loop over what can happen while the command runs, until there is an [`Outcome`].

#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]

mod bridge;
pub mod collect;
mod idle;
pub mod outcome;
pub mod proxy;
mod pty;
pub mod session;
mod signals;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::backend::child::{Caller, Child, Finished};
use crate::backend::init::message::{self, Report};
use crate::backend::session::Standing;
use crate::backend::watch::{Inside, Watch};
use crate::backend::{self, StepError};
use crate::plan::Plan;
use crate::plan::seen::Seen;
use crate::sys::signal::SignalSet;
use bridge::Bridge;
use idle::Idle;
use outcome::{Ending, Expired, Outcome};
use pty::Terminal;
use session::Hosting;
use signals::Signals;

/// How long the command may go on after TERM or HUP before everything is killed.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long a command runs before the watch begins: to end one takes the kernel some ten milliseconds, more than most
/// commands run. What happened before is looked at then.
const UNWATCHED: Duration = Duration::from_millis(100);

/// What can happen.
enum Event {
    /// A signal for the supervisor.
    Signal(i32),
    /// A report of init.
    Report(Report),
    /// Init is gone, and with it everything inside.
    Gone,
    /// The janitor has failed, or is gone without a word: what blocks missing entries is no longer looked after.
    JanitorGone(Option<Report>),
    /// The bridge has failed to start, or is gone.
    BridgeGone,
    /// Something that is kept from the command was touched by a host program.
    Touched,
    /// Who a session was made for is gone.
    Untied,
    /// A deadline has passed.
    Clock,
}

/// Runs the command of a plan to its end, or keeps a session. `log` gets a line for each connection that leaves the
/// sandbox or is refused.
///
/// # Errors
/// The step of the start that failed. The command has not run then.
pub fn run(plan: &Plan, log: Option<&File>, hosting: Option<&Hosting>) -> Result<Outcome, StepError> {
    with_signals_blocked(|callers| supervise(plan, log, hosting, callers))
}

/// Runs the command of a plan that confines nothing in a session, which does, to its end.
///
/// # Errors
/// What could not be done for it in the session. The command has not run then.
pub fn join(plan: &Plan, standing: Standing) -> Result<Outcome, StepError> {
    with_signals_blocked(|callers| {
        let signals = Signals::watch()?;
        let terminal = Terminal::of_caller();
        let child = standing.start(&plan.process, callers)?;
        release_streams(&terminal);
        let run = Running { deadline: deadline(plan), released: true, ..Running::new(child, signals, terminal) };
        run.until_the_end(plan)
    })
}

/// Everything is blocked until supervisor and init have their signalfds: no signal gets lost or kills halfway.
fn with_signals_blocked(work: impl FnOnce(SignalSet) -> Result<Outcome, StepError>) -> Result<Outcome, StepError> {
    let callers = SignalSet::all().block_only();
    let outcome = work(callers);
    if outcome.is_err() {
        // The caller may want to try again.
        let _ours = callers.block_only();
    }
    outcome
}

fn supervise(
    plan: &Plan,
    log: Option<&File>,
    hosting: Option<&Hosting>,
    callers: SignalSet,
) -> Result<Outcome, StepError> {
    let signals = Signals::watch()?;
    let terminal = Terminal::of_caller();
    let listener = hosting.map(Hosting::listener).transpose()?;
    let caller = Caller { terminal: terminal.settings(), signals: callers, listener };
    let mut child = backend::spawn(plan, caller)?;
    // Looked at before there is a bridge to give up too.
    let idle = match Idle::planned(plan, child.pid()) {
        Ok(idle) => idle,
        Err(error) => return Err(child.abandon(plan, error)),
    };
    let bridge = match Bridge::hire(plan, &mut child, log) {
        Ok(bridge) => bridge,
        Err(error) => return Err(child.abandon(plan, error)),
    };
    if plan.confinement.is_none() {
        release_streams(&terminal);
    }
    let deadline = deadline(plan);
    let run = Running { bridge, deadline, idle, hosting, ..Running::new(child, signals, terminal) };
    run.until_the_end(plan)
}

/// How long to wait at most.
fn left_until(at: Instant) -> Timespec {
    let left = at.saturating_duration_since(Instant::now());
    Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
}

fn deadline(plan: &Plan) -> Option<Instant> {
    plan.limits.timeout.as_ref().and_then(|timeout| Instant::now().checked_add(timeout.value))
}

/// A pipe must close when the command closes it: what is no terminal is not held here any longer. Standard error stays,
/// for our own words at the end.
fn release_streams(terminal: &Terminal) {
    for number in [0, 1].into_iter().filter(|number| !terminal.uses(*number)) {
        crate::sys::ignore(crate::sys::fd::replace_by_null(number));
    }
}

struct Running<'a> {
    /// The session that this is.
    hosting: Option<&'a Hosting>,
    child: Child,
    bridge: Option<Bridge>,
    signals: Signals,
    terminal: Terminal,
    /// When the command's time is over.
    deadline: Option<Instant>,
    /// Whether anything still happens.
    idle: Option<Idle>,
    /// When the grace period is over.
    kill_at: Option<Instant>,
    expired: Option<Expired>,
    /// Whether the bridge ended before the sandbox did.
    network_lost: bool,
    /// Whether TSTP was passed on.
    suspended: bool,
    /// Whether the command's streams are the command's alone.
    released: bool,
    /// The mount namespace, until the root comes.
    namespace: Option<OwnedFd>,
    /// When the watch begins, and by what it gets inside.
    unwatched: Option<(Instant, Option<Inside>)>,
    watch: Option<Watch>,
    ending: Option<Ending>,
    /// What init noted of the command.
    seen: Vec<Seen>,
}

impl<'a> Running<'a> {
    fn new(child: Child, signals: Signals, terminal: Terminal) -> Self {
        Self {
            hosting: None,
            child,
            bridge: None,
            signals,
            terminal,
            deadline: None,
            idle: None,
            kill_at: None,
            expired: None,
            network_lost: false,
            suspended: false,
            released: false,
            namespace: None,
            unwatched: None,
            watch: None,
            ending: None,
            seen: Vec::new(),
        }
    }

    fn until_the_end(mut self, plan: &Plan) -> Result<Outcome, StepError> {
        loop {
            match self.next() {
                Event::Signal(signal) => self.pass_on(signal),
                Event::Report(Report::Terminal(master)) => self.terminal.attach(master),
                Event::Report(Report::MountNamespace(mount)) => self.namespace = Some(mount),
                Event::Report(Report::Root(root)) => self.stands(plan, root),
                Event::Touched => self.look(),
                Event::Report(Report::Stopped(_)) if self.stop_wanted() => self.stop(),
                // A command that stops itself stops nobody else: time goes on, and so does the watch over it.
                Event::Report(Report::Stopped(_)) => {}
                // Init exits right after this word: waiting for it needs no further event.
                Event::Report(Report::Ended(status)) => {
                    self.end(Ending::of_status(status));
                    return self.finish(plan);
                }
                Event::Report(Report::Seen(seen)) => self.seen.push(seen),
                Event::Report(Report::NotExecuted(error)) => self.end(Ending::NotExecuted(error)),
                Event::Report(Report::Failed(error)) => self.end(Ending::Failed(error)),
                Event::Untied => self.pass_on(libc::SIGTERM),
                Event::Clock => self.clock(plan),
                Event::JanitorGone(report) => self.give_up(report),
                Event::BridgeGone => self.without_bridge(),
                Event::Gone => return self.finish(plan),
            }
        }
    }

    /// Waits for the next event, moving terminal data meanwhile.
    fn next(&mut self) -> Event {
        loop {
            let mut watched = vec![
                PollFd::new(self.signals.descriptor(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.child.control(), PollFlags::IN),
            ];
            let janitor = self.child.janitor();
            let touched = self.watch.as_ref().map(Watch::descriptor);
            let bridge = self.bridge.as_ref().map(Bridge::line);
            // After it has hung up, it has nothing more to say.
            let tie = self.hosting.filter(|_| self.kill_at.is_none()).and_then(Hosting::tie);
            let others = [janitor, touched, bridge, tie];
            watched.extend(others.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
            let at_watch = 2 + usize::from(janitor.is_some());
            let at_bridge = at_watch + usize::from(touched.is_some());
            let at_tie = at_bridge + usize::from(bridge.is_some());
            let is_tied = tie.is_some();
            let fixed = watched.len();
            watched.extend(self.terminal.watched());
            match poll(&mut watched, self.time_left().as_ref()) {
                Ok(0) => return Event::Clock,
                Ok(_) => {}
                Err(_) => continue,
            }
            let ready: Vec<bool> = watched.iter().map(|one| !one.revents().is_empty()).collect();
            drop(watched);
            self.terminal.pump(ready.get(fixed..).unwrap_or_default());
            let signal = if ready.first() == Some(&true) { self.signals.next() } else { None };
            if let Some(signal) = signal {
                return Event::Signal(signal);
            }
            if ready.get(1) == Some(&true) {
                return message::receive(self.child.control()).map_or(Event::Gone, Event::Report);
            }
            if let (Some(line), Some(true)) = (self.child.janitor(), ready.get(2)) {
                return Event::JanitorGone(message::receive(line));
            }
            if self.bridge.is_some() && ready.get(at_bridge) == Some(&true) {
                return Event::BridgeGone;
            }
            if is_tied && ready.get(at_tie) == Some(&true) {
                return Event::Untied;
            }
            // Before what a busy command can bring about without end.
            if self.time_left().is_some_and(|left| left.tv_sec == 0 && left.tv_nsec == 0) {
                return Event::Clock;
            }
            if self.watch.is_some() && ready.get(at_watch) == Some(&true) {
                return Event::Touched;
            }
        }
    }

    fn time_left(&self) -> Option<Timespec> {
        let watch_at = self.unwatched.as_ref().map(|(at, _)| *at);
        let idle_at = self.idle.as_ref().map(Idle::next);
        let next = [self.deadline, self.kill_at, watch_at, idle_at].into_iter().flatten().min()?;
        Some(left_until(next))
    }

    fn clock(&mut self, plan: &Plan) {
        let now = Instant::now();
        if self.unwatched.as_ref().is_some_and(|(at, _)| *at <= now) {
            let inside = self.unwatched.take().and_then(|(_, inside)| inside);
            self.watch(plan, inside);
        } else if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.child.kill();
        } else if self.deadline.is_some_and(|at| at <= now) {
            self.expire(Expired::Time);
        } else if self.idle.as_ref().is_some_and(|idle| idle.next() <= now) {
            let shown = self.terminal.shown();
            if self.idle.as_mut().is_some_and(|idle| idle.look(shown)) {
                self.expire(Expired::Idle);
            }
        }
    }

    /// The command's time is over, one way or the other.
    fn expire(&mut self, expired: Expired) {
        (self.deadline, self.idle) = (None, None);
        self.expired = Some(expired);
        self.pass_on(libc::SIGTERM);
    }

    fn pass_on(&mut self, signal: i32) {
        // Whatever ends a session has the same patience with its commands.
        let ends = self.hosting.is_some() && matches!(signal, libc::SIGINT | libc::SIGQUIT);
        let signal = if ends { libc::SIGTERM } else { signal };
        match signal {
            // The kernel tells the foreground group itself when the terminal's size changes.
            libc::SIGWINCH if self.terminal.resize() => {}
            libc::SIGCHLD => {}
            _ => self.child.signal(signal),
        }
        match signal {
            libc::SIGTERM | libc::SIGHUP if self.kill_at.is_none() => self.kill_at = Instant::now().checked_add(GRACE),
            libc::SIGCONT => self.terminal.make_raw(),
            libc::SIGTSTP => self.suspended = true,
            _ => {}
        }
    }

    /// Whether the user asked for the stop: by the terminal's suspend character, or by TSTP to us.
    fn stop_wanted(&mut self) -> bool {
        std::mem::take(&mut self.suspended) | self.terminal.take_suspend()
    }

    /// The command was stopped: so are we, until somebody continues us.
    fn stop(&mut self) {
        self.terminal.restore();
        // The whole group stops, as the shell expects of a job.
        drop(crate::sys::signal::send(rustix::process::getpid().as_raw_nonzero().get(), false, libc::SIGSTOP));
        self.terminal.make_raw();
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
        self.child.signal(libc::SIGCONT);
    }

    /// The view stands: soon what it rests on is watched.
    fn stands(&mut self, plan: &Plan, root: OwnedFd) {
        release_streams(&self.terminal);
        self.released = true;
        if let Some(hosting) = self.hosting {
            self.judge(hosting.stands(plan));
        }
        let inside = self.namespace.take().map(|mount| Inside { mount, root });
        if Watch::is_urgent(plan) {
            self.watch(plan, inside);
        } else {
            self.unwatched = Instant::now().checked_add(UNWATCHED).map(|at| (at, inside));
        }
    }

    fn watch(&mut self, plan: &Plan, inside: Option<Inside>) {
        match Watch::new(plan, inside) {
            Ok(watch) => {
                self.watch = watch;
                // What has happened before.
                let checked = self.watch.as_ref().map_or(Ok(()), Watch::check);
                self.judge(checked);
            }
            Err(error) => self.judge(Err(error)),
        }
    }

    /// Covers again what lies open; what cannot be kept ends the sandbox.
    fn look(&mut self) {
        let looked = self.watch.as_ref().map_or(Ok(()), Watch::look);
        self.judge(looked);
    }

    fn judge(&mut self, kept: Result<(), StepError>) {
        if let Err(error) = kept {
            if self.child.has_ended() {
                // Placeholders go when the last process has gone.
                return;
            }
            self.child.kill();
            self.end(Ending::Failed(error));
        }
    }

    /// Nothing may run that is not confined as planned.
    fn give_up(&mut self, report: Option<Report>) {
        self.child.kill();
        let killed = StepError {
            step: "keep missing protected entries blocked (the janitor process was killed)".into(),
            path: None,
            errno: libc::ESRCH,
        };
        match report {
            Some(Report::Failed(error)) => self.end(Ending::Failed(error)),
            _ => self.end(Ending::Failed(killed)),
        }
    }

    /// A bridge that cannot start is an error of the sandbox's start. One that is gone later leaves a command without a
    /// network, which is less than was planned and no danger.
    fn without_bridge(&mut self) {
        let Some(bridge) = self.bridge.take() else { return };
        match bridge.failure() {
            Some(error) => {
                self.child.kill();
                self.end(Ending::Failed(error));
            }
            None if self.child.has_ended() => self.bridge = Some(bridge),
            None => self.network_lost = true,
        }
    }

    fn end(&mut self, ending: Ending) {
        // A failed step is followed by the exit of the process that failed: the first one tells the story.
        self.ending.get_or_insert(ending);
    }

    fn finish(mut self, plan: &Plan) -> Result<Outcome, StepError> {
        // While somebody has the mount namespace, each placeholder that the janitor removes is a mount less in it, and the
        // kernel waits for all processors each time; with init it goes as a whole.
        (self.namespace, self.unwatched, self.watch) = (None, None, None);
        let Finished { failure, refused, hits } = self.child.finish(plan);
        let network = self.bridge.take().and_then(Bridge::finish);
        self.terminal.drain();
        self.terminal.restore();
        let silent = || failure.map_or(Ending::Signal(libc::SIGKILL), Ending::Failed);
        match (self.ending.unwrap_or_else(silent), refused) {
            // With our streams gone, another try would read and write nothing.
            (Ending::Failed(error), _) | (_, Some(error)) => Err(if self.released { error.too_late() } else { error }),
            (ending, None) => {
                let Self { expired, network_lost, seen, .. } = self;
                Ok(Outcome { ending, expired, hits, network, network_lost, seen })
            }
        }
    }
}
