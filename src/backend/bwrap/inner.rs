//! The inner stage: this program again, inside what bubblewrap made.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};

use super::handover::{Check, Handover, Want};
use super::lifeline::Lifeline;
use crate::backend::child::Terminal;
use crate::backend::init::message::{Report, report};
use crate::backend::init::{self, stdio};
use crate::backend::plain::may_write;
use crate::backend::{STDIO, StepError};
use crate::host::paths::{Kind, id_of, kind_of};
use crate::sys::{self, signal::SignalSet};

/// The word that makes this program the inner stage: its name, or its first argument.
pub const NAME: &str = "ringfence-inner";

/// Becomes the inner stage. Returns only when what it was given was not made by the outer one.
pub fn inner_stage(arguments: &[OsString]) -> Result<std::convert::Infallible, String> {
    let not_ours = || format!("{NAME} is started by ringfence itself, inside a sandbox");
    let numbers: Vec<i32> =
        arguments.iter().map(|word| word.to_str()?.parse().ok()).collect::<Option<_>>().ok_or_else(not_ours)?;
    let (number, early) = numbers.split_first().ok_or_else(not_ours)?;
    let refused = |error: std::io::Error| match error.raw_os_error() {
        Some(libc::EBADF) | None => not_ours(),
        Some(_) => format!("take over in the sandbox: {error}"),
    };
    let handover = sys::fd::adopt(*number).and_then(Handover::open).map_err(refused)?;
    let control = sys::fd::adopt(handover.control).map_err(refused)?;
    let _blocked = SignalSet::all().block_only();
    if let Err(error) = live(handover, &control, early) {
        report(control.as_fd(), &Report::Failed(error));
        sys::process::exit_now(125);
    }
    sys::process::exit_now(0)
}

fn live(handover: Handover, control: &OwnedFd, early: &[i32]) -> Result<(), StepError> {
    // It hangs up when the last process of the sandbox has ended, and no command of the sandbox gets it.
    let alive = adopt(handover.alive)?;
    Lifeline::greet(alive.as_fd()).map_err(|error| StepError::new("greet the supervisor", None, error))?;
    connect(&handover)?;
    handover.checks.iter().try_for_each(verify)?;
    let line = handover.network.as_ref().map(|(number, doors)| Ok((adopt(*number)?, doors))).transpose()?;
    let network = line.map(|(line, doors)| doors.hand_over(line.as_fd()).map(|()| line)).transpose()?;
    let listener = handover.listener.map(adopt).transpose()?;
    let (plan, mut setup) = handover.into_plan(Terminal::of_streams());
    (setup.network, setup.listener) = (network, listener);
    let own = [control.as_raw_fd(), alive.as_raw_fd()];
    let kept: Vec<RawFd> = plan.process.given().chain(own).chain(setup.given()).collect();
    sys::fd::close_all_but(3, &kept).map_err(|error| StepError::new("close descriptors", None, error))?;
    let streams = stdio::open_in_place(&setup.streams)?;
    init::settle(&plan, &setup, control, Some(streams), early)
}

fn adopt(number: RawFd) -> Result<OwnedFd, StepError> {
    sys::fd::adopt(number).map_err(|error| StepError::new("take the descriptors", None, error))
}

/// The caller's streams, which bubblewrap did not get: it would show the caller's terminal.
fn connect(handover: &Handover) -> Result<(), StepError> {
    for (target, original) in (0..).zip(handover.originals) {
        let original = adopt(original)?;
        sys::fd::duplicate_onto(original.as_fd(), target)
            .map_err(|error| StepError::new(STDIO, Some(Path::new("standard stream")), error))?;
    }
    Ok(())
}

/// Paths are resolved anew by bubblewrap: what came of it is compared with what was planned.
fn verify(check: &Check) -> Result<(), StepError> {
    let path = check.path();
    // Looked at through one descriptor: somebody may go on exchanging names.
    let opened = rustix::fs::open(&path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let found = opened.as_ref().map_err(|errno| *errno).and_then(rustix::fs::fstat);
    let is_it = found.as_ref().is_ok_and(|found| check.is(id_of(found)));
    let read_only = || opened.as_ref().is_ok_and(is_read_only);
    let holds = match check.want {
        Want::There => is_it && opened.as_ref().is_ok_and(is_mount),
        Want::ReadOnly => is_it && read_only(),
        // Where none could be made, the command cannot make one either; where it could, its place stands elsewhere.
        Want::NoneOrReadOnly if found.is_err() => !path.parent().is_some_and(|above| may_write(CWD, above)),
        Want::NoneOrReadOnly => read_only(),
        Want::Hidden => !is_it,
        Want::Device(major, minor) => found.is_ok_and(|found| kind_of(&found) == Kind::Char { major, minor }),
    };
    if holds { Ok(()) } else { Err(StepError::changed("mount", &path)) }
}

fn is_read_only(fd: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(fd).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether something is the root of a mount. bubblewrap follows links on the way to both ends of a bind: where one leads
/// elsewhere for a moment, what was planned is where it should be, and not bound. Before Linux 5.8 nobody tells.
fn is_mount(fd: &OwnedFd) -> bool {
    let told = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
    told.is_ok_and(|told| {
        let is_told = told.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        !is_told || told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}
