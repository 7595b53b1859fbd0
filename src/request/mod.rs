//! Room 1, *what the caller said*: flags and files, everything optional, nothing judged yet.
//!
//! A [`Request`] may be nonsense; [`crate::policy::Policy`] cannot be. Every value remembers who said it.

pub mod baseline;
pub mod bwrap;
pub mod codex;
pub mod file;
pub mod gpu;
pub mod limits;
pub mod load;
pub mod merge;
pub mod near;
pub mod network;
pub mod openshell;
pub(crate) mod pattern;
pub mod profiles;
mod settings;
pub mod srt;
pub mod write;
pub mod yaml;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Who asked for something: printed by `ringfence plan` and answered by `ringfence why`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A command-line flag, for example `--write`.
    Flag(&'static str),
    /// A line of a configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
    },
    /// A line of a profile.
    Profile {
        /// Its name.
        name: &'static str,
        /// Line, counted from 1.
        line: usize,
    },
    /// A part of a policy that this program brings with it; the text says which policy.
    BuiltIn(&'static str),
    /// A place in a JSON policy.
    Json {
        /// The flag or file that it came from.
        source: String,
        /// Which part of it, for example `entries[2]`.
        at: String,
    },
    /// The sandbox mode (`read-only`, `workspace-write`, `full-access`).
    Preset(&'static str),
    /// What every sandbox needs or hides, with the reason.
    Baseline(&'static str),
    /// A protected name such as `.git`; the text says which and why.
    Protected(String),
    /// The table of credential stores.
    Secret(&'static str),
    /// GPU passthrough; the text says which GPU and what for.
    Gpu(String),
    /// A deny glob that matched, as it was written, and who wrote it.
    Glob(String, Box<Origin>),
}

impl Origin {
    /// Whether both stand in one file, or one profile.
    #[must_use]
    pub fn is_in_the_file_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path: one, .. }, Self::File { path: other, .. }) => one == other,
            (Self::Profile { name: one, .. }, Self::Profile { name: other, .. }) => one == other,
            _ => false,
        }
    }

    /// Whether the user said it, or named a profile that does, as opposed to a preset, a baseline or a table of ours.
    #[must_use]
    pub fn is_explicit(&self) -> bool {
        self.is_profile() || matches!(self, Self::Flag(_) | Self::File { .. } | Self::Json { .. } | Self::Glob(..))
    }

    /// Whether a profile said it.
    #[must_use]
    pub fn is_profile(&self) -> bool {
        matches!(self, Self::Profile { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Profile { name, line } => write!(f, "profile {name}:{line}"),
            Self::BuiltIn(what) => write!(f, "built-in {what}"),
            Self::Json { source, at } => write!(f, "{source}: {at}"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::Baseline(why) => write!(f, "baseline: {why}"),
            Self::Protected(what) => write!(f, "protected: {what}"),
            Self::Secret(what) => write!(f, "secret: {what}"),
            Self::Gpu(what) => write!(f, "gpu: {what}"),
            Self::Glob(glob, by) => write!(f, "glob {glob} ({by})"),
        }
    }
}

/// A value and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<T> {
    /// What was said.
    pub value: T,
    /// Who said it.
    pub by: Origin,
}

impl<T> Said<T> {
    /// Joins a value with its origin.
    pub fn new(value: T, by: Origin) -> Self {
        Self { value, by }
    }
}

/// How much of the machine may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing on the host can be written.
    ReadOnly,
    /// The workspace (the working directory) can be written, the rest is read-only.
    WorkspaceWrite,
    /// No sandbox at all.
    #[serde(alias = "danger-full-access")]
    #[value(alias = "danger-full-access")]
    FullAccess,
}

impl Mode {
    /// The word used in flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::FullAccess => "full-access",
        }
    }
}

/// Which network the command gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// A network namespace of its own with nothing but loopback.
    None,
    /// As `none`, and the proxies of the host's loopback interface that the proxy variables name.
    Proxy,
    /// As `none`, and the hosts that `--allow-host` names, through a proxy of ringfence's own.
    Allow,
    /// The host's network.
    Host,
}

impl Net {
    /// The word used in flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Proxy => "proxy",
            Self::Allow => "allow",
            Self::Host => "host",
        }
    }
}

/// What `/tmp` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tmp {
    /// An empty tmpfs that ends with the command.
    Private,
    /// The host's `/tmp`, writable.
    Host,
    /// The host's `/tmp`, as the path rules say: policies that have their own word for it.
    #[serde(skip)]
    #[value(skip)]
    Rules,
}

/// What may be written below `.git`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Git {
    /// Nothing.
    Protect,
    /// What `git add` and `git commit` write; hooks, config and all else that runs code stay read-only.
    Commit,
}

/// What enforces the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The strongest that this machine offers.
    Auto,
    /// Namespaces and mounts made by ringfence itself.
    Native,
    /// Namespaces and mounts made by bubblewrap.
    Bwrap,
    /// Landlock and seccomp alone, without namespaces: for policies that can be said in it.
    Landlock,
    /// bubblewrap where it is installed, else native: what users of `codex-linux-sandbox` were promised.
    #[serde(skip)]
    #[value(skip)]
    BwrapFirst,
}

impl Backend {
    /// The word used in flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Bwrap => "bwrap",
            Self::Landlock => "landlock",
            Self::BwrapFirst => "bwrap first",
        }
    }
}

/// The language of a policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// TOML with the words of the flags.
    Toml,
    /// A policy of OpenShell, in YAML.
    Openshell,
    /// A policy of Codex in JSON, or its settings in TOML (config.toml).
    Codex,
    /// Settings of sandbox-runtime (srt), in JSON.
    Srt,
}

/// Whose words a request is made of: what it leaves open is filled in as its writer expects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Our own.
    #[default]
    Ringfence,
    /// Codex's policies: every path rule is in the policy, and what no rule names is denied.
    Codex,
    /// OpenShell's policies: every path rule is in the policy or in the baseline, and what no rule names is denied.
    OpenShell,
}

/// Where a policy came from: fixed when it is loaded, never inferred from what it says. It decides what becomes of a
/// rule that a baseline wants more than.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// This program.
    BuiltIn,
    /// The policy file of an image (`/etc/openshell/policy.yaml`).
    Image,
    /// A file of `/etc/ringfence` that only root can write.
    Admin,
    /// Flags, and every other file.
    #[default]
    User,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built-in",
            Self::Image => "image",
            Self::Admin => "admin",
            Self::User => "user",
        })
    }
}

/// What happens where the kernel's Landlock cannot do all that a plan asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Landlock {
    /// Nothing runs.
    Required,
    /// It runs, and what is lost is told.
    BestEffort,
}

impl Landlock {
    /// The word used in flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::BestEffort => "best-effort",
        }
    }
}

/// What is asked of the walls that a command stands behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wall {
    /// What happens where it cannot do all.
    pub landlock: Option<Said<Landlock>>,
    /// Whether denials go to the audit log.
    pub audit: Option<Said<bool>>,
    /// `--explain`: what is noted at the filter of system calls.
    pub watch: Option<Said<Watch>>,
}

/// Where policies came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The one as a whole, if there is one.
    pub policy: Option<Source>,
    /// Files, by the name in [`Origin::File`]; one that is not listed is the user's.
    pub files: Vec<(PathBuf, Source)>,
}

/// Whose process the command is to be: a name or a number, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `run_as_user`.
    pub user: Option<Said<String>>,
    /// `run_as_group`.
    pub group: Option<Said<String>>,
}

/// A system call family that is denied unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// `ptrace`, `process_vm_*`, `kcmp`, `pidfd_getfd` among the sandbox's own processes: debuggers need them.
    Ptrace,
}

/// What is noted of a command's calls while it runs, by the sandbox's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// What it may be refused (`--explain`).
    Refusals,
    /// All that it touches (`ringfence learn`).
    Everything,
}

/// All that flags and files can say. `None` and empty mean "not said".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `--profile`, by name.
    pub profile: Vec<Said<String>>,
    /// `--sandbox`.
    pub sandbox: Option<Said<Mode>>,
    /// `--read`, absolute paths.
    pub read: Vec<Said<PathBuf>>,
    /// `--write`, absolute paths.
    pub write: Vec<Said<PathBuf>>,
    /// `--modify`, absolute paths.
    pub modify: Vec<Said<PathBuf>>,
    /// Paths of rules of the same file that need not exist; absolute.
    pub optional: Vec<Said<PathBuf>>,
    /// `--deny`, absolute paths or globs.
    pub deny: Vec<Said<PathBuf>>,
    /// `--device`, absolute paths.
    pub device: Vec<Said<PathBuf>>,
    /// `--unix`, absolute paths of sockets.
    pub unix: Vec<Said<PathBuf>>,
    /// `--gpu`, unparsed.
    pub gpu: Option<Said<String>>,
    /// What else is said about GPUs.
    pub gpu_options: gpu::GpuOptions,
    /// `--net`.
    pub net: Option<Said<Net>>,
    /// `--git`.
    pub git: Option<Said<Git>>,
    /// `--tmp`.
    pub tmp: Option<Said<Tmp>>,
    /// `--backend`.
    pub backend: Option<Said<Backend>>,
    /// `--env K` (value `None`: let it through) and `--env K=V`.
    pub env: Vec<Said<(OsString, Option<OsString>)>>,
    /// `--env-clear`.
    pub env_clear: Option<Said<bool>>,
    /// `proc = false`, `--no-proc`.
    pub proc: Option<Said<bool>>,
    /// `--inherit-pid-namespace` (`false`).
    pub pid_namespace: Option<Said<bool>>,
    /// What may be used of the machine.
    pub limits: limits::Limits,
    /// `--allow`.
    pub allow: Vec<Said<Allow>>,
    /// `--landlock`, `--audit`, `--explain`.
    pub wall: Wall,
    /// What may be reached of the network, and what of a policy cannot be enforced.
    pub reach: network::Reach,
    /// What is added to a policy, and what becomes of rules that say less.
    pub baseline: baseline::Baseline,
    /// Whose process the command is to be.
    pub identity: Identity,
    /// `workdir = true`: the workspace can be written, in a policy whose rules are complete.
    pub workdir: Option<Said<bool>>,
    /// Where policies came from.
    pub provenance: Provenance,
    /// `--pass-fd`.
    pub pass_fd: Vec<i32>,
    /// The files that this was read from.
    pub files: Vec<PathBuf>,
    /// `--cd`: the working directory and workspace; absolute.
    pub cd: Option<PathBuf>,
    /// Where the command starts, when that is not the workspace; absolute.
    pub start_in: Option<PathBuf>,
    /// Whose words these are.
    pub dialect: Dialect,
    /// How deep deny globs are searched for, in directories below their start.
    pub glob_depth: Option<std::num::NonZeroUsize>,
    /// Remarks about what was said: parts that have no effect.
    pub notes: Vec<String>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}
