//! A sandbox that stands: one command after another runs in it, each at the cost of little more than a process.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::command::{self, Command};
use super::{Exec, Sandbox, helper};
use crate::backend::session::place::{SessionError, line_to, terms_of};
use crate::backend::session::terms::Terms;

/// A [`Sandbox`] that was [started](Sandbox::start). It ends with this, and with the calling program.
///
/// Its policy is fixed. `/tmp`, shared memory and what else it keeps private last as long as the session, and its limits,
/// [time-outs](Sandbox::timeout) among them, are those of all commands together.
#[derive(Debug)]
pub struct Session {
    name: String,
    pub(super) sandbox: Sandbox,
    /// Where it is asked for commands, and under which terms, once somebody has.
    place: PathBuf,
    terms: OnceLock<Terms>,
    helper: PathBuf,
    keeper: Child,
    /// Hanging up ends it.
    tie: Option<ChildStdin>,
}

impl Sandbox {
    /// Starts it once, for many commands.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// let session = ringfence::Sandbox::workspace_write("/project").start()?;
    /// for file in ["a.py", "b.py"] {
    ///     let output = session.command("python3").arg(file).output()?;
    ///     println!("{}", String::from_utf8_lossy(&output.stdout));
    /// }
    /// session.stop()
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the helper is missing or the sandbox cannot be made: the error says why.
    pub fn start(&self) -> io::Result<Session> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(mistake) = &self.mistake {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, mistake.clone()));
        }
        let helper = helper::find(self)?;
        let name = format!("program-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut words: Vec<OsString> = ["start", "--tied"].map(OsString::from).into();
        words.extend(self.flags.iter().cloned());
        words.push(name.clone().into());
        let mut start = command::start(&helper, "session", &words, &self.variables);
        let started = start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut keeper = started.map_err(|error| command::explained(error, &helper))?;
        let tie = keeper.stdin.take();
        let mut place = Vec::new();
        let stood = keeper.stdout.take().map(|line| BufReader::new(line).read_until(b'\n', &mut place));
        if !matches!(stood, Some(Ok(1..))) || place.pop() != Some(b'\n') {
            drop(tie);
            return Err(command::told(&keeper.wait_with_output()?));
        }
        let place = OsString::from_vec(place).into();
        Ok(Session { name, sandbox: self.clone(), place, terms: OnceLock::new(), helper, keeper, tie })
    }
}

impl Session {
    /// A command in it, which starts in the directory that the sandbox was made for. The helper is started for it, so it is
    /// a process of its own with streams of its own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::in_session(&self.sandbox, &self.helper, &self.name, program.as_ref())
    }

    /// A command in it whose output is collected, without a process in between: the session is asked for it by this program.
    /// That takes less time than [`Session::command`]'s [`output`](Command::output).
    ///
    /// Signals that the terminal sends to this program do not reach the command: it ends by itself, by its time-out, with
    /// the session, or with this program.
    pub fn exec(&self, program: impl AsRef<OsStr>) -> Exec<'_> {
        Exec::new(self, program.as_ref())
    }

    pub(super) fn line(&self) -> io::Result<OwnedFd> {
        line_to(&self.place).map_err(told)
    }

    pub(super) fn terms(&self) -> io::Result<&Terms> {
        if let Some(terms) = self.terms.get() {
            return Ok(terms);
        }
        let terms = terms_of(&self.place).map_err(told)?;
        Ok(self.terms.get_or_init(|| terms))
    }

    /// Its name, as `ringfence session list` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it with all that runs in it, and waits until nothing of it is left.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.tie.take());
        self.keeper.wait().map(drop)
    }
}

fn told(error: SessionError) -> io::Error {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    io::Error::other(format!("{error}{hint}"))
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.end());
    }
}
