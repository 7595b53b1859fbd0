//! The most that commands may do: the operator's words, and what they meant when the server started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::plan::Plan;

/// How long a command may take where the operator says nothing.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How long a plan may take: a pattern can name all of a machine.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_OUTPUT: usize = 1 << 16;
const ASKED: &str = "true";

/// Why there is no server.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// A bad command line.
    Mistake(String),
}

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    ringfence: Option<PathBuf>,
    max_output: Option<usize>,
    /// As they are handed on.
    words: Vec<OsString>,
    /// Files that `--config` names.
    configs: Vec<PathBuf>,
}

impl Words {
    /// Takes out what is the server's own.
    ///
    /// # Errors
    /// What to do instead of serving.
    pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Self, Stop> {
        let mut found = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let (name, value) = split(&word);
            let mut value =
                || value.clone().or_else(|| words.next()).ok_or_else(|| Stop::Mistake(format!("{name} takes a value")));
            match name.as_str() {
                "-h" | "--help" => return Err(Stop::Help),
                "-V" | "--version" => return Err(Stop::Version),
                "--" => return Err(Stop::Mistake("the commands come from who calls, none is named here".to_owned())),
                "--json-outcome" | "--pass-fd" => {
                    return Err(Stop::Mistake(format!("{name} says nothing to a server: its descriptors are its own")));
                }
                // What is told stands in the result.
                "--verbose" | "-v" | "--quiet" | "-q" => {}
                "--ringfence" => found.ringfence = Some(value()?.into()),
                "--max-output" => found.max_output = Some(number(&value()?)?),
                "--config" => {
                    let file = value()?;
                    found.words.push(joined("--config", &file));
                    found.configs.push(file.into());
                }
                _ => found.words.push(word),
            }
        }
        Ok(found)
    }
}

/// `--name=value`.
fn joined(name: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(name);
    word.push("=");
    word.push(value);
    word
}

fn split(word: &OsStr) -> (String, Option<OsString>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--")) {
        Some(at) => {
            let (name, value) = bytes.split_at(at);
            let value = OsStr::from_bytes(value.get(1..).unwrap_or_default());
            (String::from_utf8_lossy(name).into_owned(), Some(value.to_owned()))
        }
        None => (word.to_string_lossy().into_owned(), None),
    }
}

fn number(text: &OsStr) -> Result<usize, Stop> {
    let mistake = || Stop::Mistake(format!("`{}` is not a number of bytes", text.to_string_lossy()));
    text.to_str().and_then(|text| text.parse().ok()).ok_or_else(mistake)
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum CeilingError {
    /// There is no program.
    #[error(
        "the program `ringfence` was not found beside this one, in RINGFENCE_HELPER and on PATH\n\nhint: name it with --ringfence PROGRAM"
    )]
    NoProgram,
    /// It cannot be started.
    #[error("start `{program}`: {error}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It takes too long.
    #[error("the plan took more than {PATIENCE:?}\n\nhint: name a directory nearer to what is to be hidden")]
    Slow,
    /// Its plan is not understood.
    #[error("read the plan of ringfence: {0}")]
    Plan(#[from] serde_json::Error),
    /// A word that is no option.
    #[error("`{0}` is no option of ringfence run\n\nhint: commands come from who calls, only options stand here")]
    Command(String),
    /// `full-access`.
    #[error(
        "these options restrict nothing\n\nhint: --sandbox workspace-write with --write PATH for what must be writable"
    )]
    Open,
    /// Something that decides is in the hands of the commands.
    #[error(
        "`{0}` can be changed by the commands that it is to restrain\n\nhint: move it out of what they can write, or protect it with --read {0}"
    )]
    Writable(PathBuf),
    /// The machine is not what it was.
    #[error(
        "what the operator allowed means something else now: {0}\n\nhint: look at what changed it, and start the server again"
    )]
    Changed(String),
}

/// The most that commands may do.
#[derive(Debug)]
pub struct Ceiling {
    /// The program.
    pub program: PathBuf,
    /// How much of each output is told, in bytes.
    pub max_output: usize,
    words: Vec<OsString>,
    plan: Plan,
    /// Policy files and what was in them.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// What is named in directories that commands can write, and which file it was.
    named: BTreeMap<PathBuf, Option<(u64, u64)>>,
}

impl Ceiling {
    /// Asks for the plan, and refuses what commands could widen by themselves.
    ///
    /// # Errors
    /// Why there can be no server.
    pub async fn new(said: Words) -> Result<Self, CeilingError> {
        let Words { ringfence, max_output, words, configs } = said;
        let program = std::path::absolute(ringfence.or_else(find).ok_or(CeilingError::NoProgram)?)
            .map_err(|error| CeilingError::Start { program: "ringfence".into(), error })?;
        let plan = ask(&program, &words).await?;
        if plan.command != [ASKED] {
            return Err(CeilingError::Command(plan.command.first().cloned().unwrap_or_default()));
        }
        if plan.is_open() {
            return Err(CeilingError::Open);
        }
        let files = policy_files(&configs).into_iter().map(|file| (file.clone(), std::fs::read(file).ok())).collect();
        let named = plan.movable().into_iter().map(|path| (path.clone(), identity(&path))).collect();
        let ceiling = Self { program, max_output: max_output.unwrap_or(MAX_OUTPUT), words, plan, files, named };
        ceiling.check_place()?;
        Ok(ceiling)
    }

    fn check_place(&self) -> Result<(), CeilingError> {
        let own = std::env::current_exe().ok();
        let present = self.files.iter().filter(|(_, content)| content.is_some()).map(|(file, _)| file);
        for path in present.chain([&self.program]).chain(&own) {
            let canonical = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if self.plan.writes(&canonical) {
                return Err(CeilingError::Writable(canonical));
            }
        }
        Ok(())
    }

    /// Where commands start.
    pub fn workspace(&self) -> &Path {
        &self.plan.cwd
    }

    /// The longest time that a command may take.
    pub fn timeout(&self) -> Duration {
        self.plan.timeout().unwrap_or(TIMEOUT)
    }

    /// The words for `ringfence`: the operator's, then what narrows them.
    pub fn words(&self, narrowed: &Narrowed) -> Vec<OsString> {
        let mut kept = Vec::new();
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            let (name, value) = split(word);
            let replaced = match name.as_str() {
                "--timeout" => narrowed.timeout.is_some(),
                "--gpu" | "--gpu-class" | "--cdi-dir" => narrowed.no_gpu,
                "--gpu-hide-others" if narrowed.no_gpu => continue,
                _ => false,
            };
            if !replaced {
                kept.push(word.clone());
            } else if value.is_none() {
                words.next();
            }
        }
        kept.extend(narrowed.deny.iter().map(|path| joined("--deny", path.as_os_str())));
        kept.extend(narrowed.no_gpu.then(|| "--gpu=off".into()));
        kept.extend(narrowed.timeout.map(|time| format!("--timeout={:.3}s", time.as_secs_f64()).into()));
        kept
    }

    /// Whether these words still mean no more than the operator's did at the start. Nothing that commands left may run
    /// meanwhile.
    ///
    /// # Errors
    /// What has changed, or why there is no plan.
    pub async fn check(&self, narrowed: &Narrowed) -> Result<(), CeilingError> {
        for (file, content) in &self.files {
            if std::fs::read(file).ok() != *content {
                return Err(CeilingError::Changed(format!("the policy `{}`", file.display())));
            }
        }
        for (path, before) in &self.named {
            if identity(path) != *before {
                return Err(CeilingError::Changed(format!("`{}` is another file", path.display())));
            }
        }
        let plan = ask(&self.program, &self.words(narrowed)).await?;
        plan.widens(&self.plan).map_or(Ok(()), |what| Err(CeilingError::Changed(what)))
    }
}

/// What who calls asks to be less.
#[derive(Debug, Default)]
pub struct Narrowed {
    /// Paths to hide.
    pub deny: Vec<PathBuf>,
    /// Whether no GPU is given.
    pub no_gpu: bool,
    /// A time, no longer than the operator's.
    pub timeout: Option<Duration>,
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Files that `ringfence` reads a policy from, whether they are there or not.
fn policy_files(named: &[PathBuf]) -> Vec<PathBuf> {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
    let usual = [Some(PathBuf::from("/etc")), user].into_iter().flatten();
    named.iter().cloned().chain(usual.map(|place| place.join("ringfence/config.toml"))).collect()
}

/// Beside this program, named, or on PATH.
fn find() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("ringfence")));
    let named = std::env::var_os("RINGFENCE_HELPER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let listed = std::env::split_paths(&path).map(|directory| directory.join("ringfence"));
    beside.into_iter().chain(named).chain(listed).find(|program| program.is_absolute() && program.is_file())
}

async fn ask(program: &Path, words: &[OsString]) -> Result<Plan, CeilingError> {
    let mut plan = Command::new(program);
    plan.args(["plan", "--json"]).args(words).args(["--", ASKED]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, plan.output()).await.map_err(|_| CeilingError::Slow)?;
    let output = output.map_err(|error| CeilingError::Start { program: program.to_owned(), error })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(CeilingError::Refused(text.trim_end().trim_start_matches("error: ").to_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
