//! Who looks after one command of a session: a child of its init, with a process session, a terminal and orphans of its
//! own. It does for the command what init does where there is only one.
//!
//! It is forked before there is a command, and takes the next caller itself.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{Resource, Rlimit, Signal};

use super::broker::Broker;
use super::command::{load_filter, set_no_new_privs};
use super::message::{Report, pass, report};
use super::stdio::{self, Stream};
use super::{Orphans, Start, children, command, enter, terminal};
use crate::backend::StepError;
use crate::backend::child::{Setup, Terminal};
use crate::backend::confine::Walls;
use crate::backend::job::{Job, Told};
use crate::backend::session::call::{Given, hear};
use crate::plan::{Plan, ProcessPlan};
use crate::sys::{self, signal::SignalSet};

/// How long one who has no room for another caller waits before the next look.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Waits for a caller at `listener`, hands its line on to `init`, and keeps its command. Never returns.
pub(super) fn main(plan: &mut Plan, walls: Option<Walls>, listener: &OwnedFd, init: OwnedFd) -> ! {
    let fit = become_fit(plan, walls.as_ref());
    let children = children();
    rehearse(&plan.process, listener);
    let Some(line) = wait_for_caller(listener, &init) else { sys::process::exit_now(0) };
    // What is not handed on is not kept: nobody would end it with its caller.
    if pass(init.as_fd(), line.as_fd()).is_err() {
        sys::process::exit_now(0);
    }
    drop(init);
    sys::ignore(sys::fd::close(listener.as_raw_fd()));
    match fit.and_then(|filtered| Ok((Made { walls, filtered, children }, receive_job(&line)?))) {
        Ok((made, Some((told, line, aside)))) => {
            // From here on the first line's number may be something else's.
            if let Err(error) = keep(plan, made, (told, aside), &line) {
                report(line.as_fd(), &Report::Failed(error));
            }
            let_go_first(&line);
        }
        Ok((_, None)) => {}
        Err(error) => report(line.as_fd(), &Report::Failed(error)),
    }
    sys::process::exit_now(0)
}

/// What stands ready for the command.
struct Made {
    walls: Option<Walls>,
    /// Whether this process has loaded the filter, so that the command need not.
    filtered: bool,
    /// The list of this process's children.
    children: Option<File>,
}

/// What is asked for, by whom, and what came along, out of the way of all numbers that it is to get.
type Heard = (Told, OwnedFd, Given);

/// The next caller that is the user; others are hung up on. `None` when there is none any more.
///
/// # Errors
/// As accept(2).
pub(super) fn accept(listener: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
        Ok(line) => {
            let user = rustix::process::getuid().as_raw();
            Ok(Some(line).filter(|line| sys::net::peer_user(line.as_fd()).ok() == Some(user)))
        }
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Room for what is read of a caller, in bytes: a large environment.
const ROOM: usize = 96 * 1024;

/// Does once, while nobody waits for it, what the next caller will wait for: to a process that was just forked, each page of
/// memory comes at its first touch.
fn rehearse(process: &ProcessPlan, listener: &OwnedFd) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now)) != Ok(0) {
        return;
    }
    let streams = [const { Stream::Keep }; 3];
    let setup = Setup::inside(streams, None, SignalSet::of(&[]), rustix::process::getrlimit(Resource::Nofile));
    let job = serde_json::to_vec(&Job::new(process, &setup)).unwrap_or_default();
    drop(black_box(serde_json::from_slice::<Job>(&job).map(Job::read)));
    drop(black_box(vec![1_u8; ROOM]));
}

/// The next caller; `None` when the session has ended.
fn wait_for_caller(listener: &OwnedFd, init: &OwnedFd) -> Option<OwnedFd> {
    loop {
        let mut watched = [PollFd::new(listener, PollFlags::IN), PollFd::new(init, PollFlags::RDHUP)];
        let happened = poll(&mut watched, None).is_ok();
        if happened && !watched[1].revents().is_empty() {
            return None;
        }
        match accept(listener) {
            Ok(Some(line)) => return Some(line),
            Ok(None) => {}
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Becomes a process that can keep a command; tells whether it has loaded the command's filter, which takes longer than all
/// else. It makes no call that this refuses, where the sandbox has namespaces of its own.
fn become_fit(plan: &Plan, walls: Option<&Walls>) -> Result<bool, StepError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| StepError::new("tie a command to its session", None, error))?;
    rustix::process::setsid().map_err(|error| StepError::new("start a session", None, error))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| StepError::new("become a subreaper", None, error))?;
    let Some(walls) = walls.filter(|_| plan.has_pid_namespace() && !Broker::is_planned(plan)) else { return Ok(false) };
    set_no_new_privs()?;
    load_filter(walls.filter(), None).map(|()| true)
}

/// Hears what to run; `None` when the caller is gone.
fn receive_job(line: &OwnedFd) -> Result<Option<Heard>, StepError> {
    let heard = hear(line.as_fd()).map_err(|error| StepError::new("hear what to run", None, error))?;
    let Some((job, given)) = heard else { return Ok(None) };
    let told = job.read();
    let lowest = told.process.pass_fd.iter().copied().max().unwrap_or(2).saturating_add(1);
    let aside = |fd: &OwnedFd| {
        let copy = rustix::io::fcntl_dupfd_cloexec(fd, lowest.max(3));
        copy.map_err(|error| StepError::new("make room for descriptors", None, error))
    };
    let [input, output, errors] = &given.streams;
    let streams = [aside(input)?, aside(output)?, aside(errors)?];
    let others = given.others.iter().map(aside).collect::<Result<_, _>>()?;
    Ok(Some((told, aside(line)?, Given { streams, others })))
}

/// The caller has been told the end: it goes on before this process takes its time to end on the same processor.
fn let_go_first(line: &OwnedFd) {
    let wait = Timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() };
    sys::ignore(poll(&mut [PollFd::new(line, PollFlags::RDHUP)], Some(&wait)));
}

fn keep(plan: &mut Plan, made: Made, (told, given): (Told, Given), line: &OwnedFd) -> Result<(), StepError> {
    let Told { process, streams, signals, open_files } = told;
    let Made { walls, filtered, children: list } = made;
    // What stands ready is for no file of one command's, and its descriptors may have numbers that are asked for.
    let is_file = |stream: &Stream| matches!(stream, Stream::ReadOnly { .. } | Stream::Anchored);
    let walls = walls.filter(|_| process.pass_fd.is_empty() && !streams.iter().any(is_file));
    let list = list.filter(|_| process.pass_fd.is_empty());
    place(given, &process.pass_fd)?;
    plan.process = process;
    enter(&plan.process.cwd)?;
    let open_files = within(open_files, rustix::process::getrlimit(Resource::Nofile));
    let own = Setup::inside(streams, Terminal::of_streams(), signals, open_files);
    let start = Start {
        streams: Some(stdio::open_in_place(&own.streams)?),
        terminal: terminal(plan, &own, line.as_fd())?,
        walls: walls.map_or_else(|| Walls::planned(plan), |walls| Ok(Some(walls)))?,
        filtered,
        early: &[],
        passed_on: &[libc::SIGTERM],
    };
    // Without a list of them, they end with the session.
    let orphans = list.or_else(children).map_or(Orphans::Nobodys, |list| Orphans::Own(Some(list)));
    if let Some(status) = command(plan, &own, line, start, orphans)? {
        report(line.as_fd(), &Report::Ended(status));
    }
    Ok(())
}

/// What the caller may have, as far as the session may.
fn within(wanted: Rlimit, own: Rlimit) -> Rlimit {
    let least = |one: Option<u64>, other: Option<u64>| [one, other].into_iter().flatten().min();
    let maximum = least(wanted.maximum, own.maximum);
    Rlimit { current: least(wanted.current, maximum), maximum }
}

/// Puts what came along where the command expects it.
fn place(given: Given, numbers: &[RawFd]) -> Result<(), StepError> {
    let Given { streams, others } = given;
    let put = |(number, fd): (RawFd, &OwnedFd)| {
        let name = format!("descriptor {number}");
        sys::fd::duplicate_onto(fd.as_fd(), number)
            .map_err(|error| StepError::new("pass on", Some(Path::new(&name)), error))
    };
    (0..).zip(&streams).try_for_each(put)?;
    numbers.iter().copied().zip(&others).try_for_each(put)
}
