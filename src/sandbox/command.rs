//! One command in a sandbox.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use super::outcome::Outcome;
use super::{Sandbox, helper};
use crate::sys;

/// A command in a [`Sandbox`], built like a [`std::process::Command`].
///
/// The process that is started is `ringfence`, which passes on what concerns the command:
///
/// - standard input, output and error, and the signals TERM, INT, HUP, QUIT, USR1, USR2;
/// - the exit code; 128 + n when signal n ended the command; 127 when its program was not found, 126 when it cannot be
///   executed, 124 after the [timeout](Sandbox::timeout), 125 when the sandbox could not be made (standard error says
///   why).
///
/// [`Child::kill`] ends everything that runs in the sandbox.
///
/// ```standalone_crate
/// fn main() -> std::io::Result<()> {
///     ringfence::dispatch();
///     let sandbox = ringfence::Sandbox::read_only("/");
///     let output = sandbox.command("sh").args(["-c", "echo hello; touch /etc/note || exit 3"]).output()?;
///     assert_eq!(output.stdout, b"hello\n");
///     assert_eq!(output.status.code(), Some(3));
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Command {
    /// Starts `ringfence run` or `ringfence exec`; without a helper, this stands for the error.
    run: io::Result<std::process::Command>,
    /// The same words for `ringfence plan`.
    plan: Vec<OsString>,
    helper: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

impl Command {
    pub(super) fn new(sandbox: &Sandbox, program: &OsStr) -> Self {
        let mut plan = sandbox.flags.clone();
        plan.extend(["--".into(), program.to_owned()]);
        let variables = sandbox.variables.clone();
        let found = match &sandbox.mistake {
            Some(mistake) => Err(io::Error::new(io::ErrorKind::InvalidInput, mistake.clone())),
            None => helper::find(sandbox),
        };
        let helper = found.as_ref().ok().cloned().unwrap_or_default();
        let run = found.map(|helper| start(&helper, "run", &plan, &variables));
        Self { run, plan, helper, variables }
    }

    /// In a session, where the flags of its sandbox hold already.
    pub(super) fn in_session(sandbox: &Sandbox, helper: &Path, session: &str, program: &OsStr) -> Self {
        let words: Vec<OsString> = sandbox
            .flag_of_directory()
            .cloned()
            .into_iter()
            .chain([session.into(), "--".into(), program.to_owned()])
            .collect();
        let run = start(helper, "exec", &words, &sandbox.variables);
        Self { run: Ok(run), helper: helper.to_owned(), ..Self::new(sandbox, program) }
    }

    /// Adds an argument; it need not be UTF-8.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        if let Ok(run) = &mut self.run {
            run.arg(&arg);
        }
        self.plan.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Where the command reads from; the caller's standard input if this is not called, nothing with
    /// [`Command::output`].
    ///
    /// A file or directory is opened again, read-only, so that it is no way out of the sandbox.
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Self {
        if let Ok(run) = &mut self.run {
            run.stdin(from);
        }
        self
    }

    /// Where its output goes; to the caller's if this is not called, into the result with [`Command::output`].
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Self {
        if let Ok(run) = &mut self.run {
            run.stdout(to);
        }
        self
    }

    /// As [`Command::stdout`], for errors. Errors of `ringfence` itself go there too.
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Self {
        if let Ok(run) = &mut self.run {
            run.stderr(to);
        }
        self
    }

    /// Starts the command.
    ///
    /// # Errors
    /// When the helper is missing or cannot be started, or an argument holds a zero byte. What goes wrong later is told
    /// by exit code and standard error.
    pub fn spawn(&mut self) -> io::Result<Child> {
        let started = self.ready()?.spawn();
        self.explained(started)
    }

    /// Runs the command and collects what it prints.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn output(&mut self) -> io::Result<Output> {
        let output = self.ready()?.output();
        self.explained(output)
    }

    /// Runs the command with nothing to read, and collects what it prints and how it ended: what it was refused, which limit
    /// was hit, whether there was a sandbox at all.
    ///
    /// # Errors
    /// As [`Command::spawn`]; when the helper is too old to tell, or was killed before it could.
    pub fn outcome(&mut self) -> io::Result<(Output, Outcome)> {
        let ready = self.ready()?;
        let mut run = std::process::Command::new(ready.get_program());
        let mut words = ready.get_args();
        // A file, and no pipe: nobody need read while it is written.
        let mut told_in = File::from(memfd_create("ringfence-outcome", MemfdFlags::CLOEXEC)?);
        let given = OwnedFd::from(told_in.try_clone()?);
        run.arg0(helper::NAME).args(words.next()).arg(format!("--json-outcome={}", given.as_raw_fd())).args(words);
        run.envs(ready.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        sys::process::inherit(&mut run, given);
        let output = self.explained(run.output())?;
        let mut text = String::new();
        told_in.rewind()?;
        told_in.read_to_string(&mut text)?;
        let outcome = serde_json::from_str(&text).map_err(|_| told(&output))?;
        Ok((output, outcome))
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        let status = self.ready()?.status();
        self.explained(status)
    }

    /// What would be done, every line with its reason: the text of `ringfence plan`. Nothing is run.
    ///
    /// ```standalone_crate
    /// fn main() -> std::io::Result<()> {
    ///     ringfence::dispatch();
    ///     let sandbox = ringfence::Sandbox::read_only("/").deny("/etc/passwd");
    ///     let plan = sandbox.command("make").arg("all").plan()?;
    ///     assert!(plan.lines().any(|line| line.contains("/etc/passwd") && line.contains("--deny")));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Command::spawn`], and why there is no plan.
    pub fn plan(&self) -> io::Result<String> {
        self.planned(&[])
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// As [`Command::plan`].
    pub fn plan_json(&self) -> io::Result<String> {
        self.planned(&["--json"])
    }

    fn planned(&self, form: &[&str]) -> io::Result<String> {
        self.run.as_ref().map_err(again)?;
        let words: Vec<OsString> = form.iter().map(OsString::from).chain(self.plan.iter().cloned()).collect();
        let output = start(&self.helper, "plan", &words, &self.variables).stdin(Stdio::null()).output();
        let output = self.explained(output)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(told(&output))
    }

    fn ready(&mut self) -> io::Result<&mut std::process::Command> {
        self.run.as_mut().map_err(|error| again(error))
    }

    fn explained<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| explained(error, &self.helper))
    }
}

/// "No such file" alone would be taken for the command: say whose it is, and what to do.
pub(super) fn explained(error: io::Error, helper: &Path) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            let helper = helper.display();
            let text = format!("start the sandbox helper `{helper}`: {error}; name another with Sandbox::helper");
            io::Error::new(error.kind(), text)
        }
        _ => error,
    }
}

/// What a helper that failed has said.
pub(super) fn told(output: &Output) -> io::Error {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim_end().trim_start_matches("error: ");
    io::Error::other(if text.is_empty() { output.status.to_string() } else { text.to_owned() })
}

/// The same error once more: [`io::Error`] cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// `HELPER SUBCOMMAND WORDS…`.
///
/// The name it is called by lets a program that calls [`super::dispatch`] know that it is to be the helper.
pub(super) fn start(
    program: &Path,
    subcommand: &str,
    words: &[OsString],
    variables: &[(OsString, OsString)],
) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.arg0(helper::NAME).arg(subcommand).args(words);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}
