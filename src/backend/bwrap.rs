//! The bubblewrap engine: another program makes namespaces and mounts, and starts our inner stage in them, which does
//! the rest as the native engine's init does.
//!
//! What crosses to it are arguments by `--args` and a sealed memory file; bubblewrap itself gets no environment, because
//! a library path of the caller's could lead into the workspace.

pub mod argv;
mod failure;
mod handover;
mod inner;
mod lifeline;

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;

use super::StepError;
use super::child::{Between, Child, Setup, pair};
use super::init::message::{Order, next_order};
use super::init::tie_to_supervisor;
use super::janitor::ALL;
use crate::host::paths::{fd_path, id_of};
use crate::plan::mounts::{Mount, MountOp};
use crate::plan::{Confinement, Plan};
use crate::sys::{self, process::Forked};
use argv::{Argument, Program};
use handover::{Descriptors, Handover};

pub(super) use failure::{LOOPBACK, failure};
pub use inner::{NAME, inner_stage};
pub(super) use lifeline::Lifeline;

/// Where our program stands in the sandbox.
const INNER: &str = "/dev/ringfence-inner";

const STEP: &str = "start bubblewrap";

/// Everything that is made ready before the fork.
struct Start {
    arguments: File,
    handover: OwnedFd,
    /// Descriptors that bubblewrap reads from.
    data: Vec<OwnedFd>,
    originals: [OwnedFd; 3],
    words: File,
    alive: (Lifeline, OwnedFd),
    /// Init's end of the line to the bridge, and where it is asked for commands.
    lines: [Option<OwnedFd>; 2],
}

/// Starts the command of a plan.
///
/// # Errors
/// The step that failed.
pub fn spawn(plan: &Plan, mut setup: Setup, program: &Path, argv0: bool) -> Result<Child, StepError> {
    let Some(confinement) = &plan.confinement else {
        return Err(StepError::changed(STEP, program));
    };
    let (ours, theirs) = pair()?;
    let bridge = setup.take_bridge();
    let start = Start::prepare(plan, confinement, &mut setup, &theirs)?;
    lifeline::adopt_orphans();
    match sys::process::fork_into(0).map_err(|error| StepError::new(STEP, Some(program), error))? {
        Forked::Child => {
            drop((ours, bridge));
            start.become_bwrap(plan, (program, argv0), &setup, &theirs)
        }
        Forked::Parent(pid, pidfd) => {
            drop(theirs);
            let Start { words, alive: (alive, end), arguments, handover, data, originals, lines } = start;
            // While this process holds that end, the line never hangs up.
            drop((end, arguments, handover, data, originals, lines));
            let between = Between { words, alive };
            Child::attend(plan, pid, pidfd, ours, (Some(between), setup.groups.take()))
                .map(|child| child.with_bridge(bridge))
        }
    }
}

impl Start {
    fn prepare(
        plan: &Plan,
        confinement: &Confinement,
        setup: &mut Setup,
        control: &OwnedFd,
    ) -> Result<Self, StepError> {
        let fail = |error: rustix::io::Errno| StepError::new(STEP, None, error);
        let stream = |number| sys::fd::borrow_if_open(number).ok_or(rustix::io::Errno::BADF);
        let copy = |number| rustix::io::fcntl_dupfd_cloexec(stream(number)?, 3);
        let originals = [copy(0).map_err(fail)?, copy(1).map_err(fail)?, copy(2).map_err(fail)?];
        let alive = Lifeline::new().map_err(|error| StepError::new(STEP, None, error))?;
        let descriptors = Descriptors {
            originals: [originals[0].as_raw_fd(), originals[1].as_raw_fd(), originals[2].as_raw_fd()],
            control: control.as_raw_fd(),
            alive: alive.1.as_raw_fd(),
            network: setup.network.as_ref().map(AsRawFd::as_raw_fd),
            listener: setup.listener.as_ref().map(AsRawFd::as_raw_fd),
        };
        let checks = handover::checks(&confinement.mounts.ops)?;
        let handover = Handover::new(plan, confinement, setup, descriptors, checks)
            .seal()
            .map_err(|error| StepError::new("write the handover", None, error))?;
        let (own, own_fd) = own_program()?;
        let ops: Vec<_> = confinement.mounts.ops.iter().filter(|op| is_there(op)).cloned().collect();
        let options = argv::options(confinement, &ops, &plan.process.cwd, &own).map_err(|op| StepError {
            step: "say to bubblewrap".into(),
            path: Some(op.target.clone()),
            errno: libc::ENOTSUP,
        })?;
        let mut data = Vec::new();
        let mut number = |argument: Argument| match argument {
            Argument::Text(text) => Ok(text),
            Argument::Empty => open_null().map(|fd| keep(&mut data, fd)),
            Argument::Data(bytes) => content(&bytes).map(|fd| keep(&mut data, fd)),
            Argument::Inner => rustix::io::dup(&own_fd).map(|fd| keep(&mut data, fd)),
        };
        let words = options.into_iter().map(&mut number).collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let arguments = arguments_file(&words).map_err(|error| StepError::new("write arguments", None, error))?;
        let words = memory_file("ringfence-words").map_err(fail)?.into();
        let lines = [setup.network.take(), setup.listener.take()];
        Ok(Self { arguments, handover, data, originals, words, alive, lines })
    }

    /// In the child: waits until placeholders stand, arranges descriptors, becomes bubblewrap. Never returns.
    fn become_bwrap(self, plan: &Plan, program: (&Path, bool), setup: &Setup, control: &OwnedFd) -> ! {
        let become_it = || setup.enter_groups().and_then(|()| self.try_become(plan, program.0, program.1, control));
        let error = match become_it() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        super::init::message::report(control.as_fd(), &super::init::message::Report::Failed(error));
        sys::process::exit_now(125)
    }

    fn try_become(
        &self,
        plan: &Plan,
        program: &Path,
        argv0: bool,
        control: &OwnedFd,
    ) -> Result<std::convert::Infallible, StepError> {
        let fail = |error: std::io::Error| StepError::new(STEP, Some(program), error);
        tie_to_supervisor(plan)?;
        let early = wait_for_placeholders(plan, control)?;
        let kept: Vec<RawFd> = self.kept(plan, control);
        sys::fd::close_all_but(3, &kept).map_err(fail)?;
        for fd in kept.into_iter().filter(|fd| *fd != self.words.as_raw_fd()) {
            sys::fd::keep_across_exec(fd).map_err(fail)?;
        }
        for number in [0, 1] {
            sys::fd::replace_by_null(number).map_err(fail)?;
        }
        sys::fd::duplicate_onto(self.words.as_fd(), 2).map_err(fail)?;
        let mut argv: Vec<OsString> =
            ["bwrap".into(), "--args".into(), self.arguments.as_raw_fd().to_string().into()].into();
        if argv0 {
            argv.extend(["--argv0".into(), inner::NAME.into()]);
        }
        argv.extend(["--".into(), INNER.into(), inner::NAME.into(), self.handover.as_raw_fd().to_string().into()]);
        argv.extend(early.iter().map(|signal| signal.to_string().into()));
        let strings =
            |words: &[OsString]| words.iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect::<Vec<_>>();
        let path = strings(&[program.into()]).pop().unwrap_or_default();
        sys::process::execute(&path, &strings(&argv), &[]).map_err(fail)
    }

    fn kept(&self, plan: &Plan, control: &OwnedFd) -> Vec<RawFd> {
        let own =
            [self.arguments.as_raw_fd(), self.handover.as_raw_fd(), self.alive.1.as_raw_fd(), control.as_raw_fd()];
        let others = self.data.iter().chain(&self.originals).chain(self.lines.iter().flatten()).map(OwnedFd::as_raw_fd);
        // Until it is bubblewrap's standard error, not across the exec.
        let words = [self.words.as_raw_fd()];
        own.into_iter().chain(others).chain(words).chain(plan.process.given()).collect()
    }
}

/// Signals that come before the command is there are kept for it.
fn wait_for_placeholders(plan: &Plan, control: &OwnedFd) -> Result<Vec<i32>, StepError> {
    let blocks = |confinement: &Confinement| super::placeholder::planned(&confinement.mounts).next().is_some();
    let mut early = Vec::new();
    if !plan.confinement.as_ref().is_some_and(blocks) {
        return Ok(early);
    }
    loop {
        match next_order(control.as_fd()) {
            Some(Order::Go(ALL)) => return Ok(early),
            Some(Order::Go(_)) => {}
            Some(Order::Signal(signal)) => early.push(signal),
            Some(Order::End) | None => {
                return Err(StepError { step: super::SETUP.into(), path: None, errno: libc::EPIPE });
            }
        }
    }
}

/// What may be missing is left out: bubblewrap would take it for an error. What could not be looked at is not missing.
fn is_there(op: &MountOp) -> bool {
    let may_miss = matches!(op.what, Mount::ReadOnly | Mount::Mask { id: None, .. });
    let is_missing = || matches!(rustix::fs::lstat(&op.target), Err(Errno::NOENT | Errno::NOTDIR));
    !may_miss || !is_missing()
}

/// The path of this program, if it still leads to it, and the program.
fn own_program() -> Result<(Program, OwnedFd), StepError> {
    let exe = Path::new("/proc/self/exe");
    let fail = |error: rustix::io::Errno| StepError::new("open this program", Some(exe), error);
    let fd = rustix::fs::open(exe, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let path = fd_path(fd.as_fd()).map_err(fail)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let same = rustix::fs::openat(CWD, &path, flags, Mode::empty())
        .and_then(|found| Ok(id_of(&rustix::fs::fstat(&found)?) == id_of(&rustix::fs::fstat(&fd)?)))
        .unwrap_or(false);
    Ok((if same { Program::Path(path.into()) } else { Program::Descriptor }, fd))
}

fn open_null() -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Keeps a descriptor, and gives its number.
fn keep(kept: &mut Vec<OwnedFd>, fd: OwnedFd) -> OsString {
    let number = fd.as_raw_fd().to_string().into();
    kept.push(fd);
    number
}

fn memory_file(name: &str) -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
}

/// A descriptor that some bytes can be read from.
fn content(bytes: &[u8]) -> Result<OwnedFd, rustix::io::Errno> {
    let mut file = File::from(memory_file("ringfence-content")?);
    let written = file.write_all(bytes).and_then(|()| file.rewind());
    written
        .map(|()| file.into())
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

/// NUL-separated, as `--args` reads them.
fn arguments_file(words: &[OsString]) -> std::io::Result<File> {
    let mut file = File::from(memory_file("ringfence-arguments")?);
    let mut text = Vec::new();
    for word in words {
        text.extend_from_slice(OsStr::as_bytes(word));
        text.push(0);
    }
    file.write_all(&text)?;
    file.rewind()?;
    Ok(file)
}
