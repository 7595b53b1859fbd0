//! The way into the new namespaces: ids, loopback, the file view.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::mounts;
use crate::backend::bwrap::LOOPBACK;
use crate::backend::child::Setup;
use crate::backend::init::message::{Order, Report, next_order, report};
use crate::backend::init::stdio::{self, Stream};
use crate::backend::init::{Streams, settle, tie_to_supervisor};
use crate::backend::network::Doors;
use crate::backend::scratch::Scratch;
use crate::backend::{CREATE_NAMESPACES, LIMIT_PROCESSES, MAP_IDS, SETUP, StepError, guard};
use crate::plan::choose::Engine;
use crate::plan::{Confinement, Plan};
use crate::request::Net;
use crate::sys;

/// As much as mount operations need, with room to spare, in bytes.
const STACK: usize = 256 * 1024;

/// Runs as init. Never returns: the sandbox ends when this process does.
pub fn main(plan: &Plan, setup: &Setup, control: &OwnedFd) -> ! {
    if let Err(error) = live(plan, setup, control) {
        report(control.as_fd(), &Report::Failed(error));
        sys::process::exit_now(125);
    }
    sys::process::exit_now(0)
}

fn live(plan: &Plan, setup: &Setup, control: &OwnedFd) -> Result<(), StepError> {
    setup.enter_groups()?;
    let kept: Vec<_> = plan.process.given().chain([control.as_raw_fd()]).chain(setup.given()).collect();
    sys::fd::close_all_but(3, &kept).map_err(|error| StepError::new("close descriptors", None, error))?;
    tie_to_supervisor(plan)?;
    limit_processes(plan)?;
    let mut early = Vec::new();
    let streams = match &plan.confinement {
        Some(confinement) if plan.choice.engine == Engine::Native => {
            Some(enter(confinement, setup, control, &mut early)?)
        }
        Some(_) => Some(stdio::open_in_place(&setup.streams)?),
        None => None,
    };
    let alone = plan.confinement.as_ref().filter(|_| plan.choice.engine == Engine::Landlock);
    let scratch = alone.and_then(|alone| alone.scratch.as_deref()).map(Scratch::make).transpose()?;
    // From here on nothing may return before what was made is removed.
    let settled = start_session(plan).and_then(|()| settle(plan, setup, control, streams, &early));
    // Nothing of the command runs any more. Without a janitor this process, which outlives the supervisor, cleans up.
    if let Some(alone) = alone {
        guard::sweep(&alone.mounts);
    }
    if let Some(scratch) = scratch {
        scratch.remove();
    }
    settled
}

/// A session of its own: no controlling terminal of the host, and the command's group is not an orphaned one.
fn start_session(plan: &Plan) -> Result<(), StepError> {
    if plan.confinement.is_none() {
        return Ok(());
    }
    rustix::process::setsid().map(drop).map_err(|error| StepError::new("start a session", None, error))
}

/// The highest number that a process gets in this PID namespace, and with it how many there can be.
fn limit_processes(plan: &Plan) -> Result<(), StepError> {
    let Some(said) = &plan.limits.pid_max else { return Ok(()) };
    let path = Path::new("/proc/sys/kernel/pid_max");
    let fail = |error: rustix::io::Errno| StepError::new(LIMIT_PROCESSES, Some(path), error);
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    rustix::io::write(&file, said.value.to_string().as_bytes()).map(drop).map_err(fail)
}

/// Makes the view from inside the new namespaces; the streams that had to be opened anew come back.
fn enter(
    confinement: &Confinement,
    setup: &Setup,
    control: &OwnedFd,
    early: &mut Vec<i32>,
) -> Result<Streams, StepError> {
    let Confinement {
        uid,
        gid,
        net,
        network,
        mounts,
        pid_namespace: _,
        landlock: _,
        syscalls: _,
        scratch: _,
        cache: _,
    } = confinement;
    map_ids(*uid, *gid)?;
    let mut streams = [const { None }; 3];
    for (slot, stream) in streams.iter_mut().zip(&setup.streams) {
        if let Stream::ReadOnly { path, id, dir, offset } = stream {
            *slot = Some(stdio::open_read_only(path, *id, *dir, *offset)?);
        }
    }
    let mut made = 0;
    let mut view = || mounts::apply(mounts, &mut |before| wait_for(before, control, &mut made, early));
    match network {
        _ if net.value == Net::Host => view()?,
        // Its sockets may need what is read-only in the view.
        Some(plan) => {
            own_network()?;
            if let Some(line) = &setup.network {
                Doors::of(plan).hand_over(line.as_fd())?;
            }
            view()?;
        }
        None => {
            // With two threads, the kernel waits for milliseconds whenever the table of descriptors has to grow.
            sys::fd::make_room(control.as_fd(), mounts.descriptors());
            beside(view, own_network)?;
        }
    }
    for (slot, stream) in streams.iter_mut().zip(&setup.streams) {
        if let Stream::Node(path, flags) = stream {
            *slot = Some(stdio::open_node(path, *flags)?);
        }
    }
    Ok(streams)
}

/// Does one thing in a thread of its own, and another meanwhile. Afterwards there is one thread again.
fn beside(
    one: impl FnOnce() -> Result<(), StepError> + Send,
    other: impl FnOnce() -> Result<(), StepError>,
) -> Result<(), StepError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, one);
        let thread = thread.map_err(|error| StepError::new("start a thread", None, error))?;
        let done = other();
        // A panic ends the process.
        let one = thread.join().unwrap_or_else(|_| Err(StepError::new("make the view", None, rustix::io::Errno::IO)));
        one.and(done)
    })
}

/// A network namespace for this thread, which will be the only one again, with loopback.
fn own_network() -> Result<(), StepError> {
    sys::process::own_network().map_err(|error| StepError::new(CREATE_NAMESPACES, None, error))?;
    sys::net::loopback_up().map_err(|error| StepError::new(LOOPBACK, None, error))
}

/// Waits until the janitor has made more placeholders than so many; `made` is how many there are. The command will get
/// signals that come meanwhile when there is one.
fn wait_for(before: usize, control: &OwnedFd, made: &mut usize, early: &mut Vec<i32>) -> Result<(), StepError> {
    while *made <= before {
        match next_order(control.as_fd()) {
            Some(Order::Go(count)) => *made = usize::try_from(count).unwrap_or(0),
            Some(Order::Signal(signal)) => early.push(signal),
            Some(Order::End) | None => return Err(StepError { step: SETUP.into(), path: None, errno: libc::EPIPE }),
        }
    }
    Ok(())
}

/// Maps the caller's ids to themselves (user_namespaces(7)). Supplementary groups stay in force, unmapped.
///
/// # Errors
/// As write(2) to the files of `/proc/self`.
pub fn map_ids(uid: u32, gid: u32) -> Result<(), StepError> {
    let write = |path: &str, text: String| {
        let fail = |error: rustix::io::Errno| StepError::new(MAP_IDS, Some(Path::new(path)), error);
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        rustix::io::write(&file, text.as_bytes()).map(drop).map_err(fail)
    };
    write("/proc/self/uid_map", format!("{uid} {uid} 1\n"))?;
    write("/proc/self/setgroups", "deny\n".to_owned())?;
    write("/proc/self/gid_map", format!("{gid} {gid} 1\n"))
}
