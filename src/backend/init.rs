//! The first process of the sandbox, whoever made it: gives up its rights, starts the command, reaps orphans, and ends
//! everything with it.

mod broker;
mod command;
mod keeper;
pub mod message;
mod session;
pub mod stdio;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};
use rustix::termios::OptionalActions;

use super::child::Setup;
use super::confine::{Walls, capabilities};
use super::{StepError, guard, network};
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::sys::{self, process::Forked, signal::SignalSet};
use broker::Broker;
use command::Lines;
use message::{Order, Report, next_order, report};

/// Streams that were opened anew.
pub type Streams = [Option<OwnedFd>; 3];

/// What every engine's init does once the view stands: it gives up its rights, starts the command and looks after it.
///
/// # Errors
/// The step that failed. The command has not run then.
pub fn settle(
    plan: &Plan,
    setup: &Setup,
    control: &OwnedFd,
    streams: Option<Streams>,
    early: &[i32],
) -> Result<(), StepError> {
    enter(&plan.process.cwd)?;
    let confined = plan.confinement.is_some();
    if confined {
        let bounded = matches!(plan.choice.engine, Engine::Bwrap { .. });
        capabilities::drop_all(bounded).map_err(|error| StepError::new("drop capabilities", None, error))?;
        tie_to_supervisor(plan)?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| StepError::new("make init unreadable", None, error))?;
    }
    let is_first = rustix::process::getpid().is_init();
    if !is_first {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| StepError::new("become a subreaper", None, error))?;
    }
    let terminal = terminal(plan, setup, control.as_fd())?;
    let start = Start { streams, terminal, walls: Walls::planned(plan)?, filtered: false, early, passed_on: &[] };
    if confined {
        show_view(plan, control.as_fd());
    }
    let orphans = if confined && !is_first { Orphans::Own(children()) } else { Orphans::Nobodys };
    let ended = match &setup.listener {
        Some(listener) => {
            let ended = session::serve(plan, setup, control, listener, start.walls)?;
            end(orphans);
            ended
        }
        None => command(plan, setup, control, start, orphans)?,
    };
    let held = match &plan.confinement {
        Some(confinement) if plan.choice.engine == Engine::Landlock => guard::last_look(&confinement.mounts),
        _ => Ok(()),
    };
    match (held, ended) {
        (Err(error), _) => report(control.as_fd(), &Report::Failed(error)),
        (Ok(()), Some(status)) => report(control.as_fd(), &Report::Ended(status)),
        (Ok(()), None) => {}
    }
    Ok(())
}

/// What a command starts with, besides the plan.
#[derive(Debug)]
struct Start<'a> {
    /// Streams that were opened anew; without any, the process's own are the command's.
    streams: Option<Streams>,
    terminal: Option<OwnedFd>,
    /// What it is put behind; nothing in full-access.
    walls: Option<Walls>,
    /// Whether this process has loaded its filter already.
    filtered: bool,
    /// Signals for it that came before it.
    early: &'a [i32],
    /// Signals to this process that are for it.
    passed_on: &'a [i32],
}

/// What becomes of the processes that a command leaves.
#[derive(Debug)]
enum Orphans {
    /// Others see to them: they end with the PID namespace.
    Nobodys,
    /// They become this process's, by the list of its children.
    Own(Option<File>),
}

/// Starts the command and looks after it until it has ended, with all that it left. Its raw wait status comes back;
/// `None` when the supervisor is gone or wants the end.
fn command(
    plan: &Plan,
    setup: &Setup,
    control: &OwnedFd,
    start: Start<'_>,
    orphans: Orphans,
) -> Result<Option<i32>, StepError> {
    let signals = SignalSet::of(&[&[libc::SIGCHLD], start.passed_on].concat()).descriptor();
    let signals = signals.map_err(|error| StepError::new("watch children", None, error))?;
    let (mut broker, line) = Broker::planned(plan)?.unzip();
    let Some(command) = fork_command()? else {
        drop(broker);
        command::main(plan, setup, start, &Lines { control, broker: line })
    };
    let early = start.early;
    drop((line, start));
    release_streams();
    // Both sides say it: whoever comes first, signals to the group reach the command from now on.
    sys::ignore(rustix::process::setpgid(Pid::from_raw(command), Pid::from_raw(command)));
    for signal in early {
        sys::ignore(sys::signal::send(command, true, *signal));
    }
    let ended = serve(command, &signals, control, &mut broker, setup.network.as_ref().map(AsFd::as_fd));
    if let Some(broker) = broker.filter(|_| ended.is_some()) {
        broker.finish(control.as_fd());
    }
    if matches!(orphans, Orphans::Own(_)) {
        sys::ignore(sys::signal::send(command, true, libc::SIGKILL));
    }
    end(orphans);
    Ok(ended)
}

fn enter(cwd: &Path) -> Result<(), StepError> {
    rustix::process::chdir(cwd).map_err(|error| StepError::new("enter the working directory", Some(cwd), error))
}

/// Tells that the view stands, and lets the supervisor repair it later. Without a /proc there is no name for the
/// namespaces, and nothing can be repaired.
fn show_view(plan: &Plan, control: BorrowedFd<'_>) {
    let open = |path, how| rustix::fs::open(path, how | OFlags::CLOEXEC, Mode::empty());
    if plan.choice.engine != Engine::Landlock
        && let Ok(mount) = open("/proc/self/ns/mnt", OFlags::RDONLY)
    {
        report(control, &Report::MountNamespace(mount));
    }
    if let Ok(root) = open("/", OFlags::PATH | OFlags::DIRECTORY) {
        report(control, &Report::Root(root));
    }
}

/// The list of this process's children, opened while nobody can keep it from being opened.
fn children() -> Option<File> {
    let own = rustix::process::getpid().as_raw_nonzero();
    File::open(format!("/proc/self/task/{own}/children")).ok()
}

/// Some of the children that there are now, by the list of them.
fn some_of(children: &File) -> Vec<i32> {
    let mut list = [0; 4096];
    let length = children.read_at(&mut list, 0).unwrap_or(0);
    let list = String::from_utf8_lossy(list.get(..length).unwrap_or_default());
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Without a PID namespace nothing ends what the command has left but its subreaper: it kills its children until there
/// are none, and those of a child become its own with that child's death.
fn end(orphans: Orphans) {
    let Orphans::Own(children) = orphans else { return };
    let children = children.as_ref();
    loop {
        // Whoever forks without end leaves so many dead that the living are far down the list: those that have ended go first.
        while sys::process::reap().is_some() {}
        for pid in children.map(some_of).unwrap_or_default() {
            sys::ignore(sys::signal::send(pid, false, libc::SIGKILL));
        }
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}

/// KILL when the supervisor dies. Set again after capabilities are dropped: a change of credentials clears it.
///
/// Where processes would survive init, it lives on for them, and knows by the control socket that the supervisor is
/// gone. The signal is CONT then: somebody may have stopped it.
///
/// # Errors
/// As prctl(2).
pub fn tie_to_supervisor(plan: &Plan) -> Result<(), StepError> {
    let lives_on = plan.confinement.is_some() && !plan.has_pid_namespace();
    let signal = if lives_on { Signal::CONT } else { Signal::KILL };
    rustix::process::set_parent_process_death_signal(Some(signal))
        .map_err(|error| StepError::new("tie init to the supervisor", None, error))
}

/// The private terminal, where the caller has one.
fn terminal(plan: &Plan, setup: &Setup, control: BorrowedFd<'_>) -> Result<Option<OwnedFd>, StepError> {
    let wanted = plan.confinement.is_some() && setup.wants_terminal();
    wanted.then(|| open_terminal(setup, control)).transpose()
}

/// A private terminal: the master goes to the supervisor, the slave becomes the controlling terminal of this session.
fn open_terminal(setup: &Setup, control: BorrowedFd<'_>) -> Result<OwnedFd, StepError> {
    let fail =
        |error: rustix::io::Errno| StepError::new("open a private terminal", Some(Path::new("/dev/ptmx")), error);
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/ptmx", flags, Mode::empty()).map_err(fail)?;
    rustix::pty::unlockpt(&master).map_err(fail)?;
    let slave_flags =
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, slave_flags).map_err(fail)?;
    if let Some(terminal) = &setup.terminal {
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &terminal.termios).map_err(fail)?;
        rustix::termios::tcsetwinsize(&slave, terminal.size).map_err(fail)?;
    }
    rustix::process::ioctl_tiocsctty(&slave).map_err(fail)?;
    report(control, &Report::Terminal(master));
    Ok(slave)
}

/// Forks the command: `None` in the child.
fn fork_command() -> Result<Option<i32>, StepError> {
    match sys::process::fork_into(0).map_err(|error| StepError::new("fork the command", None, error))? {
        Forked::Child => Ok(None),
        Forked::Parent(pid, _) => Ok(Some(pid.as_raw_nonzero().get())),
    }
}

/// Init holds no stream of the caller: a pipe must close when the command closes it.
fn release_streams() {
    // Cannot fail: the range is valid and the call was used before.
    drop(sys::fd::close_range(0, 2));
}

/// Until the command ends: reap, pass signals on, tell about stops, do what the filter and the bridge ask for.
/// Its raw wait status comes back; `None` when the supervisor is gone.
fn serve(
    command: i32,
    signals: &OwnedFd,
    control: &OwnedFd,
    broker: &mut Option<Broker<'_>>,
    mut network: Option<BorrowedFd<'_>>,
) -> Option<i32> {
    loop {
        // Without a broker or a bridge, another is watched twice, and nobody asks what came of it.
        let third = broker.as_ref().map_or(control.as_fd(), AsFd::as_fd);
        let fourth = network.unwrap_or(control.as_fd());
        let mut watched =
            [signals.as_fd(), control.as_fd(), third, fourth].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        if poll(&mut watched, None).is_err() {
            continue;
        }
        let found = watched.map(|one| one.revents());
        let [children, orders, _, wishes] = found.map(|found| !found.is_empty());
        if children {
            while let Some(signal) = sys::signal::next(signals) {
                if signal != libc::SIGCHLD {
                    sys::ignore(sys::signal::send(command, true, signal));
                }
            }
            while let Some((pid, status)) = sys::process::reap() {
                if pid != command {
                    continue;
                }
                if libc::WIFSTOPPED(status) {
                    report(control.as_fd(), &Report::Stopped(libc::WSTOPSIG(status)));
                } else {
                    return Some(status);
                }
            }
        }
        if orders {
            match next_order(control.as_fd()) {
                // The group may be gone while the command itself is not yet reaped.
                Some(Order::Signal(signal)) => drop(sys::signal::send(command, true, signal)),
                Some(Order::Go(_)) => {}
                Some(Order::End) => return None,
                // The supervisor is gone.
                None => return None,
            }
        }
        // One call in each round: whoever asks without end keeps nobody else waiting.
        *broker = broker.take().and_then(|broker| broker.attend(found[2], control.as_fd()));
        network = network.filter(|line| !wishes || network::serve(*line));
    }
}
