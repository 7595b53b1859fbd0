//! A sandbox that stands: one command after another runs in it, each at the cost of little more than a process.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::command::{self, Command};
use super::{Sandbox, helper};

/// A [`Sandbox`] that was [started](Sandbox::start). It ends with this, and with the calling program.
///
/// Its policy is fixed. `/tmp`, shared memory and what else it keeps private last as long as the session, and its limits,
/// [time-outs](Sandbox::timeout) among them, are those of all commands together.
#[derive(Debug)]
pub struct Session {
    name: String,
    sandbox: Sandbox,
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
        let mut ready = [0];
        let stood = keeper.stdout.take().map(|mut line| line.read(&mut ready));
        if !matches!(stood, Some(Ok(1))) {
            drop(tie);
            return Err(command::told(&keeper.wait_with_output()?));
        }
        Ok(Session { name, sandbox: self.clone(), helper, keeper, tie })
    }
}

impl Session {
    /// A command in it, which starts in the directory that the sandbox was made for.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::in_session(&self.sandbox, &self.helper, &self.name, program.as_ref())
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

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.end());
    }
}
