//! The library: run a command in a sandbox from a program of your own, in the style of [`std::process::Command`].
//!
//! A [`Sandbox`] says what a command may do, a [`Command`] is one command in it. Both only write down what is wanted:
//! the sandbox is made by the `ringfence` program, started as an ordinary child process. That is why threads of the
//! calling program do no harm; a process with threads cannot make namespaces safely on its own.

mod command;
mod exec;
mod helper;
mod limits;
mod network;
pub mod outcome;
mod session;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::request::{Backend, Git, Landlock, Mode, Net, Tmp};

pub use command::Command;
pub use exec::Exec;
pub use helper::dispatch;
pub use session::Session;

/// Which GPUs a command gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpu {
    /// None.
    Off,
    /// Those that work; it is no error when there is none.
    Auto,
    /// All of them; it is an error when one cannot be used.
    All,
    /// Those that a scheduler allotted, by its variables; all where it said nothing. It is an error when one cannot be
    /// used.
    Visible,
    /// These, by index in PCI order as `nvidia-smi` shows it; it is an error when one cannot be used.
    Indices(Vec<u32>),
    /// These, by selectors as `--gpu` takes them: `GPU-6f1c`, `mig:0/1/0`, `amd:0`; it is an error when one cannot be used.
    These(Vec<String>),
}

impl fmt::Display for Gpu {
    /// As `--gpu` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::Visible => f.write_str("visible"),
            Self::These(selectors) => f.write_str(&selectors.join(",")),
            Self::Indices(indices) => {
                let words: Vec<_> = indices.iter().map(u32::to_string).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

/// What commands may do, to be used for one or for many of them.
///
/// Every method is an option of `ringfence run`, with the same meaning. Relative paths belong to the working directory
/// of the calling program. The user's `~/.config/ringfence/config.toml` holds here too; what is said here wins.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let sandbox = ringfence::Sandbox::workspace_write("/project").gpu(ringfence::Gpu::Auto);
/// let output = sandbox.command("python3").arg("train.py").output()?;
/// println!("{}", String::from_utf8_lossy(&output.stdout));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sandbox {
    flags: Vec<OsString>,
    /// Variables that reach the command through the environment of the helper.
    variables: Vec<(OsString, OsString)>,
    /// Directories that the command may write to: no program is taken from there.
    writable: Vec<PathBuf>,
    helper: Option<PathBuf>,
    /// The first thing said that cannot be passed on; told when a command is started.
    mistake: Option<String>,
}

impl Sandbox {
    /// Nothing on the host can be written; commands start in `dir`.
    pub fn read_only(dir: impl AsRef<Path>) -> Self {
        Self::new(Mode::ReadOnly, dir.as_ref())
    }

    /// The workspace `dir` can be written, the rest is read-only; commands start in `dir`.
    pub fn workspace_write(dir: impl AsRef<Path>) -> Self {
        let mut sandbox = Self::new(Mode::WorkspaceWrite, dir.as_ref());
        sandbox.writable.push(dir.as_ref().to_owned());
        sandbox
    }

    /// No sandbox at all: for programs that let their users choose. Commands start in `dir`.
    pub fn full_access(dir: impl AsRef<Path>) -> Self {
        Self::new(Mode::FullAccess, dir.as_ref())
    }

    fn new(mode: Mode, dir: &Path) -> Self {
        let sandbox =
            Self { flags: Vec::new(), variables: Vec::new(), writable: Vec::new(), helper: None, mistake: None };
        sandbox.flag("--sandbox", mode.name()).flag("--cd", dir)
    }

    /// Where its commands start.
    fn directory(&self) -> Option<&OsStr> {
        self.flag_of_directory()?.as_bytes().strip_prefix(b"--cd=").map(OsStr::from_bytes)
    }

    fn flag_of_directory(&self) -> Option<&OsString> {
        self.flags.iter().find(|flag| flag.as_bytes().starts_with(b"--cd="))
    }

    /// One word, `--name=value`: a value that starts with a dash stays a value.
    fn flag(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value);
        self.flags.push(word);
        self
    }

    fn switch(mut self, name: &str) -> Self {
        self.flags.push(name.into());
        self
    }

    /// Notes what a command is refused, in all of its processes: [`Command::outcome`] and a note on standard error tell what,
    /// which rule says so, and what would allow it.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// let sandbox = ringfence::Sandbox::workspace_write("/project").explain();
    /// let (_, outcome) = sandbox.command("make").outcome()?;
    /// for denial in outcome.denials {
    ///     println!("{}: {}", denial.what, denial.because);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn explain(self) -> Self {
        self.switch("--explain")
    }

    /// Makes a path readable that would be hidden.
    #[must_use]
    pub fn read(self, path: impl AsRef<Path>) -> Self {
        self.flag("--read", path.as_ref())
    }

    /// Makes a path writable.
    #[must_use]
    pub fn write(mut self, path: impl AsRef<Path>) -> Self {
        self.writable.push(path.as_ref().to_owned());
        self.flag("--write", path.as_ref())
    }

    /// Lets existing files below a path be changed, but none be made or removed.
    #[must_use]
    pub fn modify(mut self, path: impl AsRef<Path>) -> Self {
        self.writable.push(path.as_ref().to_owned());
        self.flag("--modify", path.as_ref())
    }

    /// Hides a path; with `*`, `?`, `[…]`, `{…}` or `**` in it, everything that matches at the start.
    #[must_use]
    pub fn deny(self, path: impl AsRef<Path>) -> Self {
        self.flag("--deny", path.as_ref())
    }

    /// Grants a device node.
    #[must_use]
    pub fn device(self, path: impl AsRef<Path>) -> Self {
        self.flag("--device", path.as_ref())
    }

    /// Lets commands connect to a unix socket of the host.
    #[must_use]
    pub fn unix(self, path: impl AsRef<Path>) -> Self {
        self.flag("--unix", path.as_ref())
    }

    /// Chooses GPUs; [`Gpu::Auto`] in `workspace_write` and [`Gpu::Off`] in `read_only` if this is not called.
    #[must_use]
    pub fn gpu(self, gpu: Gpu) -> Self {
        self.flag("--gpu", gpu.to_string())
    }

    /// Says what GPUs are for, as `--gpu-class` takes it; compute if this is not called.
    #[must_use]
    pub fn gpu_class(self, classes: impl AsRef<OsStr>) -> Self {
        self.flag("--gpu-class", classes.as_ref())
    }

    /// Looks for CDI specifications in this directory too; what it says counts more than `/etc/cdi` and `/var/run/cdi`.
    #[must_use]
    pub fn cdi_dir(self, path: impl AsRef<Path>) -> Self {
        self.flag("--cdi-dir", path.as_ref())
    }

    /// Hides what the driver tells in `/proc` of GPUs that are not granted. Sandboxes inside have no procfs of their own
    /// then.
    #[must_use]
    pub fn gpu_hide_others(self) -> Self {
        self.switch("--gpu-hide-others")
    }

    /// Chooses the network; none if this is not called.
    #[must_use]
    pub fn net(self, net: Net) -> Self {
        self.flag("--net", word(net))
    }

    /// Chooses what may be written below `.git`; nothing if this is not called.
    #[must_use]
    pub fn git(self, git: Git) -> Self {
        self.flag("--git", word(git))
    }

    /// Chooses what `/tmp` is; a private one if this is not called.
    #[must_use]
    pub fn tmp(self, tmp: Tmp) -> Self {
        self.flag("--tmp", word(tmp))
    }

    /// Lets a variable of the calling program through that looks like a secret.
    #[must_use]
    pub fn env_pass(self, name: impl AsRef<OsStr>) -> Self {
        if self.is_good_name(name.as_ref()) { self.flag("--env", name) } else { self.with_bad_name(name.as_ref()) }
    }

    /// Sets a variable for commands, whatever its name looks like.
    ///
    /// The value does not show in the list of processes, which every user of the machine can read.
    ///
    /// ```standalone_crate
    /// fn main() -> std::io::Result<()> {
    ///     ringfence::dispatch();
    ///     let sandbox = ringfence::Sandbox::read_only("/").env("API_TOKEN", "of this program");
    ///     let output = sandbox.command("printenv").arg("API_TOKEN").output()?;
    ///     assert_eq!(output.stdout, b"of this program\n");
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn env(self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !self.is_good_name(name) {
            return self.with_bad_name(name);
        }
        if steers_the_helper(name) {
            let mut both = name.to_owned();
            both.push("=");
            both.push(value);
            return self.flag("--env", both);
        }
        let mut sandbox = self.flag("--env", name);
        sandbox.variables.push((name.to_owned(), value.to_owned()));
        sandbox
    }

    /// Starts with an empty environment; [`Sandbox::env`] and [`Sandbox::env_pass`] add to it.
    #[must_use]
    pub fn env_clear(self) -> Self {
        self.switch("--env-clear")
    }

    fn is_good_name(&self, name: &OsStr) -> bool {
        !name.is_empty() && !name.as_bytes().contains(&b'=')
    }

    fn with_bad_name(mut self, name: &OsStr) -> Self {
        self.mistake.get_or_insert(format!("`{}` cannot be the name of a variable", name.display()));
        self
    }

    /// Ends commands after this time: TERM first, and KILL two seconds later. The exit code is 124 then.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.flag("--timeout", format!("{}s", time.as_secs_f64()))
    }

    /// What enforces the plan: [`Backend::Auto`] otherwise.
    #[must_use]
    pub fn backend(self, backend: Backend) -> Self {
        self.flag("--backend", backend.name())
    }

    /// What happens where Landlock cannot do all that the plan asks of it.
    #[must_use]
    pub fn landlock(self, landlock: Landlock) -> Self {
        self.flag("--landlock", landlock.name())
    }

    /// Leaves out what a policy says and nothing here can enforce; that only takes access away.
    #[must_use]
    pub fn allow_unenforced(self) -> Self {
        self.switch("--allow-unenforced")
    }

    /// Starts from what a well-known program needs: `cargo`, `pytorch`, and others that `ringfence profiles` lists. All
    /// else that is said counts more.
    #[must_use]
    pub fn profile(self, name: impl AsRef<str>) -> Self {
        self.flag("--profile", name.as_ref())
    }

    /// Reads a policy: TOML with the same words as the options of `ringfence run`, OpenShell's YAML or Codex's JSON.
    #[must_use]
    pub fn config(self, file: impl AsRef<Path>) -> Self {
        self.flag("--config", file.as_ref())
    }

    /// Names the `ringfence` program. Otherwise it is `$RINGFENCE_HELPER`, the calling program itself where it called
    /// [`dispatch`], or the first `ringfence` on PATH that commands cannot write to.
    #[must_use]
    pub fn helper(mut self, program: impl AsRef<Path>) -> Self {
        self.helper = Some(program.as_ref().to_owned());
        self
    }

    /// A command in this sandbox. Nothing is started yet.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self, program.as_ref())
    }
}

/// The word of an option's value.
fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Names that the helper, or the loader that starts it, reads for itself: in the environment of the helper they would
/// say something about it, not about the command.
fn steers_the_helper(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let whole: [&[u8]; 7] =
        [b"HOME", b"XDG_CACHE_HOME", b"XDG_CONFIG_HOME", b"XDG_RUNTIME_DIR", b"PATH", b"TMPDIR", b"GLIBC_TUNABLES"];
    let start: [&[u8]; 4] = [b"LD_", b"RUST_", b"MALLOC_", b"RINGFENCE_"];
    whole.contains(&name) || start.iter().any(|start| name.starts_with(start))
}
