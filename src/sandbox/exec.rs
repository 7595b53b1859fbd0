//! A command of a session that the calling program asks for itself.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use super::Session;
use crate::plan::ProcessPlan;
use crate::request::load::absolute;
use crate::supervise::collect;
use crate::supervise::outcome::TIMED_OUT;

/// A command in a [`Session`] that is started by [`Session::exec`].
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let session = ringfence::Sandbox::workspace_write("/project").start()?;
/// let output = session.exec("wc").arg("-c").input("four").output()?;
/// assert_eq!(output.stdout, b"4\n");
/// # session.stop()
/// # }
/// ```
#[derive(Debug)]
pub struct Exec<'a> {
    session: &'a Session,
    command: Vec<OsString>,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    timeout: Option<Duration>,
}

impl<'a> Exec<'a> {
    pub(super) fn new(session: &'a Session, program: &OsStr) -> Self {
        let command = vec![program.to_owned()];
        Self { session, command, directory: None, variables: Vec::new(), input: None, timeout: None }
    }

    /// Adds an argument; it need not be UTF-8.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.command.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable, whatever its name looks like.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Where it starts, in the sandbox; otherwise in the directory that the sandbox was made for.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What it reads; nothing if this is not called.
    pub fn input(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.input = Some(bytes.into());
        self
    }

    /// Ends it after this time: TERM first, and KILL two seconds later. The exit code is 124 then.
    pub fn timeout(&mut self, time: Duration) -> &mut Self {
        self.timeout = Some(time);
        self
    }

    /// Runs it and collects what it prints. When the session ends meanwhile, so does the command, by signal 9.
    ///
    /// # Errors
    /// When there is no session any more, a step of the start failed, or the program cannot be executed: `NotFound` where
    /// there is none of this name, as [`std::process::Command`] says it.
    pub fn output(&mut self) -> io::Result<Output> {
        let process = self.process()?;
        let input = self.input.as_deref().map(readable).transpose()?;
        let line = self.session.line()?;
        let collected = collect::collect(line, &process, input.as_ref().map(AsFd::as_fd), self.timeout);
        let collected = collected.map_err(|error| {
            let kind = io::Error::from_raw_os_error(error.errno).kind();
            io::Error::new(kind, error.to_string())
        })?;
        let [stdout, stderr] = collected.written;
        let status = if collected.expired { TIMED_OUT << 8 } else { collected.status };
        Ok(Output { status: ExitStatus::from_raw(status), stdout, stderr })
    }

    /// What the session is told of it.
    fn process(&self) -> io::Result<ProcessPlan> {
        let sandbox = &self.session.sandbox;
        if let Some((name, _)) = self.variables.iter().find(|(name, _)| !sandbox.is_good_name(name)) {
            let text = format!("`{}` cannot be the name of a variable", name.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let values = self.variables.iter().map(|(_, value)| value);
        if let Some(word) = self.command.iter().chain(values).find(|word| word.as_encoded_bytes().contains(&0)) {
            let text = format!("{word:?} cannot be passed on: it has a zero byte");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut caller: Vec<_> = std::env::vars_os().collect();
        caller.retain(|(name, _)| !sandbox.variables.iter().any(|(set, _)| set == name));
        caller.extend(sandbox.variables.iter().cloned());
        let mut env = self.session.terms()?.env.apply(&caller);
        env.vars.extend(self.variables.iter().cloned());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let directory = self.directory.as_deref().or(sandbox.directory().map(Path::new)).unwrap_or(Path::new(""));
        let cwd = match directory {
            whole if whole.is_absolute() => whole.to_owned(),
            part => absolute(part, &std::env::current_dir()?, home.as_deref()),
        };
        Ok(ProcessPlan { command: self.command.clone(), cwd, env, pass_fd: Vec::new(), program: None })
    }
}

/// A file in memory with these bytes, at its beginning: nobody need write while it is read.
fn readable(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("ringfence-input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
