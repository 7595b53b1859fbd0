//! The last steps in the process that becomes the command.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit};

use super::message::{Report, pass, report};
use super::stdio::Stream;
use super::{Start, Streams};
use crate::backend::child::Setup;
use crate::backend::{LIMIT_FILES, LOAD_FILTER, StepError, confine};
use crate::plan::Plan;
use crate::plan::limits::{Resource as Limited, ResourceLimit};
use crate::sys::{self, signal::SignalSet};

/// Whom the process can speak to, until it is the command.
#[derive(Debug)]
pub struct Lines<'a> {
    /// The supervisor.
    pub control: &'a OwnedFd,
    /// Init, who takes the listener of a filter that asks it.
    pub broker: Option<OwnedFd>,
}

/// Becomes the command. Never returns.
pub(super) fn main(plan: &Plan, setup: &Setup, start: Start<'_>, lines: &Lines<'_>) -> ! {
    let Lines { control, broker: _ } = lines;
    let result = prepare(plan, setup, start, lines).and_then(|()| execute(plan));
    let (told, code) = match result {
        Err(Failure::Step(error)) => (Report::Failed(error), 125),
        Err(Failure::Execute(error)) => {
            let code = if error.errno == libc::ENOENT { 127 } else { 126 };
            (Report::NotExecuted(error), code)
        }
    };
    report(control.as_fd(), &told);
    sys::process::exit_now(code)
}

enum Failure {
    Step(StepError),
    Execute(StepError),
}

fn prepare(plan: &Plan, setup: &Setup, start: Start<'_>, lines: &Lines<'_>) -> Result<(), Failure> {
    let Start { streams, terminal, walls, filtered, early: _, passed_on: _ } = start;
    let terminal = terminal.as_ref();
    let step = |name: &'static str| move |error: rustix::io::Errno| Failure::Step(StepError::new(name, None, error));
    rustix::process::setpgid(None, None).map_err(step("start a process group"))?;
    if let Some(terminal) = terminal {
        let group = sys::process::own_group().ok_or(rustix::io::Errno::SRCH);
        group
            .and_then(|group| rustix::termios::tcsetpgrp(terminal, group))
            .map_err(step("become the terminal's foreground group"))?;
    }
    connect_streams(setup, streams.as_ref(), terminal).map_err(Failure::Step)?;
    // Core dumps would write memory, secrets included, where the kernel's core_pattern says. To a program that the
    // kernel pipes them to, 0 is no limit, and 1 means none (core(5), fs/coredump.c).
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) })
        .map_err(step("switch core dumps off"))?;
    rustix::process::setrlimit(Resource::Nofile, setup.open_files).map_err(step("restore the file limit"))?;
    limit(&plan.limits.each).map_err(Failure::Step)?;
    if let Some(walls) = walls {
        set_no_new_privs().map_err(Failure::Step)?;
        let program = walls.stand_behind(&readable(setup, streams.as_ref())).map_err(Failure::Step)?;
        for fd in &plan.process.pass_fd {
            sys::fd::keep_across_exec(*fd).map_err(|error| {
                Failure::Step(StepError::new("pass on", Some(Path::new(&format!("descriptor {fd}"))), error))
            })?;
        }
        restore_signals(&setup.signals);
        if !filtered {
            load_filter(&program, lines.broker.as_ref()).map_err(Failure::Step)?;
        }
    } else {
        restore_signals(&setup.signals);
    }
    // Only the lines are left above the streams, and they close on exec.
    debug_assert!(lines.control.as_raw_fd() > 2, "streams are connected");
    Ok(())
}

/// The files that were opened anew so that they can only be read.
fn readable<'a>(setup: &Setup, streams: Option<&'a Streams>) -> Vec<BorrowedFd<'a>> {
    let opened = (0..).zip(&setup.streams).zip(streams.into_iter().flatten());
    opened
        .filter_map(|((number, stream), opened)| match stream {
            Stream::ReadOnly { .. } => opened.as_ref().map(AsFd::as_fd),
            Stream::Anchored => sys::fd::borrow_if_open(number),
            Stream::Keep | Stream::Terminal | Stream::Node(..) => None,
        })
        .collect()
}

/// What each process of the command may; nobody inside can raise it.
fn limit(limits: &[ResourceLimit]) -> Result<(), StepError> {
    for ResourceLimit { what, value, because: _ } in limits {
        let (resource, step, value) = match what {
            Limited::Data => (Resource::Data, "limit memory", *value),
            // Init is the user's too, in the same namespace.
            Limited::Processes => (Resource::Nproc, "limit processes", value.saturating_add(1)),
            Limited::OpenFiles => (Resource::Nofile, LIMIT_FILES, *value),
            Limited::FileSize => (Resource::Fsize, "limit the size of files", *value),
        };
        // What the caller may is less already: that holds. Only files were asked for to have them.
        let most = rustix::process::getrlimit(resource).maximum.filter(|_| *what != Limited::OpenFiles);
        let value = most.map_or(value, |most| most.min(value));
        let both = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(resource, both).map_err(|error| StepError::new(step, None, error))?;
    }
    Ok(())
}

/// Without it, an ordinary user could load no filter.
///
/// # Errors
/// As prctl(2).
pub(super) fn set_no_new_privs() -> Result<(), StepError> {
    rustix::thread::set_no_new_privs(true).map_err(|error| StepError::new("set no_new_privs", None, error))
}

/// From here on this process may not make a call that init is asked about before init has the listener.
///
/// # Errors
/// As seccomp(2).
pub(super) fn load_filter(program: &confine::seccomp::Program, broker: Option<&OwnedFd>) -> Result<(), StepError> {
    let fail = |error: io::Error| StepError::new(LOAD_FILTER, None, error);
    let Some(broker) = broker else { return sys::seccomp::load_filter(program.instructions()).map_err(fail) };
    // It closes on exec: the command must not answer its own calls.
    let listener = sys::seccomp::load_filter_with_listener(program.instructions()).map_err(fail)?;
    pass(broker.as_fd(), listener.as_fd()).map_err(|error| StepError::new("pass the filter's listener", None, error))
}

/// As a shell would leave them: the caller's mask, and SIGPIPE ending a process (Rust's runtime ignores it).
fn restore_signals(mask: &SignalSet) {
    sys::signal::set_default(libc::SIGPIPE);
    let _ours = mask.block_only();
}

fn connect_streams(setup: &Setup, streams: Option<&Streams>, terminal: Option<&OwnedFd>) -> Result<(), StepError> {
    let Some(streams) = streams else { return Ok(()) };
    for ((number, opened), stream) in (0..).zip(streams).zip(&setup.streams) {
        let source = match stream {
            Stream::Keep | Stream::Anchored => continue,
            Stream::Terminal => terminal.map(AsFd::as_fd),
            Stream::Node(..) | Stream::ReadOnly { .. } => opened.as_ref().map(AsFd::as_fd),
        };
        let name = Path::new("standard stream");
        let source = source.ok_or_else(|| StepError::changed("connect", name))?;
        sys::fd::duplicate_onto(source, number).map_err(|error| StepError::new("connect", Some(name), error))?;
    }
    Ok(())
}

/// Finds the program as execvp(3) does, in the command's own PATH, and becomes it.
fn execute(plan: &Plan) -> Result<Infallible, Failure> {
    let environment: Vec<CString> = plan
        .process
        .env
        .vars
        .iter()
        .filter_map(|(name, value)| {
            let mut pair = name.clone().into_vec();
            pair.push(b'=');
            pair.extend_from_slice(value.as_bytes());
            CString::new(pair).ok()
        })
        .collect();
    let argv: Vec<CString> =
        plan.process.command.iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect();
    if let Some(number) = plan.process.program {
        return execute_given(number, &argv, &environment);
    }
    let program = plan.process.command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let path = plan.process.env.vars.get(OsStr::new("PATH"));
    let searched = !program.as_bytes().contains(&b'/');
    let mut worst = libc::ENOENT;
    let mut tried = PathBuf::from(program);
    for candidate in candidates(program, path.map(OsString::as_os_str)) {
        let Ok(c_path) = CString::new(candidate.as_os_str().as_bytes()) else { continue };
        // A look costs less than a try, and PATH has many directories. One that cannot be searched holds nothing.
        if searched && rustix::fs::stat(&candidate).is_err() {
            continue;
        }
        let Err(error) = sys::process::execute(&c_path, &argv, &environment);
        let mut errno = error.raw_os_error().unwrap_or(libc::ENOENT);
        if errno == libc::ENOEXEC {
            errno = run_as_script(c_path, &argv, &environment);
        }
        if !matches!(errno, libc::ENOENT | libc::ENOTDIR) {
            worst = errno;
            tried = candidate;
            if errno != libc::EACCES {
                break;
            }
        }
    }
    Err(Failure::Execute(StepError { step: "run".into(), path: Some(tried), errno: worst }))
}

/// Becomes the program that came as a descriptor, which closes by that.
fn execute_given(number: RawFd, argv: &[CString], environment: &[CString]) -> Result<Infallible, Failure> {
    let executed = sys::fd::borrow_if_open(number).ok_or(rustix::io::Errno::BADF.into()).and_then(|program| {
        rustix::io::fcntl_setfd(program, rustix::io::FdFlags::CLOEXEC)?;
        sys::program::execute_descriptor(program, argv, environment)
    });
    let path = Path::new(&format!("descriptor {number}")).to_owned();
    executed.map_err(|error| Failure::Execute(StepError::new("run", Some(&path), error)))
}

/// A text file without `#!` is a shell script, to execvp(3) and to every shell.
fn run_as_script(path: CString, argv: &[CString], environment: &[CString]) -> i32 {
    let mut words = vec![c"sh".to_owned(), path];
    words.extend(argv.iter().skip(1).cloned());
    let Err(error) = sys::process::execute(c"/bin/sh", &words, environment);
    error.raw_os_error().unwrap_or(libc::ENOENT)
}

fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    if program.is_empty() {
        return Vec::new();
    }
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(path)
        .map(|directory| if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory })
        .map(|directory| directory.join(program))
        .collect()
}
