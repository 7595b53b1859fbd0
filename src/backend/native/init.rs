//! The first process of the sandbox: makes the view, starts the command, reaps orphans, and ends everything with it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};
use rustix::termios::OptionalActions;

use super::command::{self, Streams};
use super::message::{Order, Report, next_order, report};
use super::mounts;
use super::stdio::{self, Stream};
use super::{MAP_IDS, SETUP, Setup};
use crate::backend::{StepError, confine};
use crate::plan::choose::Engine;
use crate::plan::{Confinement, Plan};
use crate::request::Net;
use crate::sys::{self, process::Forked, signal::SignalSet};

/// Runs as init. Never returns: the sandbox ends when this process does.
pub fn main(plan: &Plan, setup: &Setup, control: &OwnedFd) -> ! {
    if let Err(error) = live(plan, setup, control) {
        report(control.as_fd(), &Report::Failed(error));
        sys::process::exit_now(125);
    }
    sys::process::exit_now(0)
}

fn live(plan: &Plan, setup: &Setup, control: &OwnedFd) -> Result<(), StepError> {
    let kept: Vec<_> = plan.process.pass_fd.iter().copied().chain([control.as_raw_fd()]).collect();
    sys::fd::close_all_but(3, &kept).map_err(|error| StepError::new("close descriptors", None, error))?;
    die_with_parent()?;
    let mut early = Vec::new();
    let streams = match &plan.confinement {
        Some(confinement) if plan.choice.engine == Engine::Native => {
            Some(enter(confinement, setup, control, &mut early)?)
        }
        Some(_) => Some(stdio::open_in_place(&setup.streams)?),
        None => None,
    };
    if plan.confinement.is_some() {
        // A session of its own: no controlling terminal of the host, and the command's group is not an orphaned one.
        rustix::process::setsid().map_err(|error| StepError::new("start a session", None, error))?;
    }
    settle(plan, setup, control, streams, &early)
}

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
    let cwd = &plan.process.cwd;
    rustix::process::chdir(cwd).map_err(|error| StepError::new("enter the working directory", Some(cwd), error))?;
    let confined = plan.confinement.is_some();
    if confined {
        confine::capabilities::drop_all().map_err(|error| StepError::new("drop capabilities", None, error))?;
        die_with_parent()?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| StepError::new("make init unreadable", None, error))?;
    }
    let is_first = rustix::process::getpid().is_init();
    if !is_first {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| StepError::new("become a subreaper", None, error))?;
    }
    let terminal = if confined && setup.wants_terminal() { Some(open_terminal(setup, control.as_fd())?) } else { None };
    let children = SignalSet::of(&[libc::SIGCHLD]);
    let signals = children.descriptor().map_err(|error| StepError::new("watch children", None, error))?;
    let child = fork_command()?;
    let Some(command) = child else { command::main(plan, setup, streams, terminal.as_ref(), control) };
    drop(streams);
    drop(terminal);
    release_streams();
    // Both sides say it: whoever comes first, signals to the group reach the command from now on.
    sys::ignore(rustix::process::setpgid(Pid::from_raw(command), Pid::from_raw(command)));
    for signal in early {
        sys::ignore(sys::signal::send(command, true, *signal));
    }
    let ended = serve(command, &signals, control);
    if confined && !is_first {
        end_orphans();
    }
    if let Some(status) = ended {
        report(control.as_fd(), &Report::Ended(status));
    }
    Ok(())
}

/// Without a PID namespace nothing ends what the command has left but its subreaper.
fn end_orphans() {
    let own = rustix::process::getpid().as_raw_nonzero();
    let list = format!("/proc/self/task/{own}/children");
    while let Ok(children) = std::fs::read_to_string(&list) {
        let pids: Vec<i32> = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            sys::ignore(sys::signal::send(pid, false, libc::SIGKILL));
        }
        // Theirs become ours with their death.
        sys::ignore(rustix::process::wait(WaitOptions::empty()));
    }
}

/// Makes the view from inside the new namespaces; the streams that had to be opened anew come back.
fn enter(
    confinement: &Confinement,
    setup: &Setup,
    control: &OwnedFd,
    early: &mut Vec<i32>,
) -> Result<Streams, StepError> {
    let Confinement { uid, gid, net, mounts, pid_namespace: _, landlock: _, syscalls: _ } = confinement;
    map_ids(*uid, *gid)?;
    if net.value == Net::None {
        sys::net::loopback_up().map_err(|error| StepError::new("bring up loopback", None, error))?;
    }
    let mut streams = [const { None }; 3];
    for (slot, stream) in streams.iter_mut().zip(&setup.streams) {
        if let Stream::ReadOnly { path, id, dir, offset } = stream {
            *slot = Some(stdio::open_read_only(path, *id, *dir, *offset)?);
        }
    }
    mounts::apply(mounts, &mut || {
        loop {
            match next_order(control.as_fd()) {
                Some(Order::Go) => return Ok(()),
                // The command will get it when there is one.
                Some(Order::Signal(signal)) => early.push(signal),
                None => return Err(StepError { step: SETUP.into(), path: None, errno: libc::EPIPE }),
            }
        }
    })?;
    for (slot, stream) in streams.iter_mut().zip(&setup.streams) {
        if let Stream::Node(path, flags) = stream {
            *slot = Some(stdio::open_node(path, *flags)?);
        }
    }
    Ok(streams)
}

/// Maps the caller's ids to themselves (user_namespaces(7)). Supplementary groups stay in force, unmapped.
fn map_ids(uid: u32, gid: u32) -> Result<(), StepError> {
    let write = |path: &str, text: String| {
        let fail = |error: rustix::io::Errno| StepError::new(MAP_IDS, Some(Path::new(path)), error);
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        rustix::io::write(&file, text.as_bytes()).map(drop).map_err(fail)
    };
    write("/proc/self/uid_map", format!("{uid} {uid} 1\n"))?;
    write("/proc/self/setgroups", "deny\n".to_owned())?;
    write("/proc/self/gid_map", format!("{gid} {gid} 1\n"))
}

/// KILL when the supervisor dies. Set again after capabilities are dropped: a change of credentials clears it.
fn die_with_parent() -> Result<(), StepError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| StepError::new("tie init to the supervisor", None, error))
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

/// Until the command ends: reap, pass signals on, tell about stops.
/// Its raw wait status comes back; `None` when the supervisor is gone.
fn serve(command: i32, signals: &OwnedFd, control: &OwnedFd) -> Option<i32> {
    loop {
        let mut watched = [PollFd::new(signals, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        if poll(&mut watched, None).is_err() {
            continue;
        }
        let [children, orders] = watched.map(|one| !one.revents().is_empty());
        if children {
            while sys::signal::next(signals).is_some() {}
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
                Some(Order::Go) => {}
                // The supervisor is gone.
                None => return None,
            }
        }
    }
}
