//! Room 2, *what it means*: a [`Policy`] is valid by construction and touches no machine.

pub mod baseline;
pub mod check;
mod dialect;
pub mod env;
pub mod error;
pub mod globs;
pub mod gpu;
mod limits;
pub mod net;
pub mod paths;
pub mod reach;
pub mod tables;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::request::limits::Limits;
use crate::request::network::{NetworkRule, Unenforced};
use crate::request::{Allow, Backend, Dialect, Git, Identity, Landlock, Mode, Net, Origin, Said, Source, Tmp, Watch};
use env::EnvPolicy;
use gpu::{Classes, GpuWish};
use paths::{Access, Glob, Rule};

/// What was asked for, checked: absolute, lexically normal paths, parsed selectors, no contradictions.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The sandbox mode.
    pub mode: Mode,
    /// Whose words it was made of.
    pub dialect: Dialect,
    /// The workspace: in workspace-write, what the command may write.
    pub workspace: PathBuf,
    /// Where the command starts: the workspace, unless another directory was named.
    pub start_in: PathBuf,
    /// Path rules, unordered; which one wins is decided by [`crate::plan::mounts::Tree`].
    pub rules: Vec<Rule>,
    /// Paths of rules of the same file that need not exist; absolute and normal.
    pub optional: Vec<Said<PathBuf>>,
    /// Deny globs, expanded at start by the host room.
    pub globs: Vec<Glob>,
    /// Device nodes asked for by path.
    pub devices: Vec<Said<PathBuf>>,
    /// Host sockets that may be connected to.
    pub unix: Vec<Said<PathBuf>>,
    /// Which GPUs.
    pub gpu: Said<GpuWish>,
    /// What they are for.
    pub gpu_class: Said<Classes>,
    /// Where else CDI files are looked for; absolute.
    pub cdi_dirs: Vec<Said<PathBuf>>,
    /// Whether what the driver tells of other GPUs is hidden; `None`: nothing was said, or that it is not.
    pub gpu_hide_others: Option<Said<bool>>,
    /// Which network.
    pub net: Said<Net>,
    /// What may be reached of it.
    pub reach: reach::Reach,
    /// How `.git` is protected.
    pub git: Said<Git>,
    /// What `/tmp` is.
    pub tmp: Said<Tmp>,
    /// A fresh procfs, or none.
    pub proc: Said<bool>,
    /// A PID namespace of the sandbox's own, or the caller's.
    pub pid_namespace: Said<bool>,
    /// Who enforces.
    pub backend: Said<Backend>,
    /// What becomes of the environment.
    pub env: EnvPolicy,
    /// What it may use of the machine.
    pub limits: Limits,
    /// System call families let through.
    pub allow: Vec<Said<Allow>>,
    /// What happens where Landlock cannot do all that is asked of it; `None`: nothing was said.
    pub landlock: Option<Said<Landlock>>,
    /// What is added, and what becomes of rules that say less.
    pub baseline: baseline::Settings,
    /// What may be reached of the network, where the network is neither off nor open.
    pub network: Vec<Said<NetworkRule>>,
    /// What the request says and nothing here enforces: left out, because the user allowed it.
    pub unenforced: Vec<Said<Unenforced>>,
    /// Whether what cannot be enforced may be left out.
    pub allow_unenforced: bool,
    /// Whose process the command is to be.
    pub identity: Identity,
    /// Where the policy as a whole came from.
    pub source: Source,
    /// Where files came from; one that is not listed is the user's.
    pub sources: Vec<(PathBuf, Source)>,
    /// Whether what Landlock denies goes to the kernel's audit log.
    pub audit: Option<Said<bool>>,
    /// What is noted of the command's calls.
    pub watch: Option<Said<Watch>>,
    /// Descriptors above 2 that stay open.
    pub pass_fd: Vec<i32>,
    /// Configuration files that the policy was read from.
    pub files: Vec<PathBuf>,
    /// Remarks about parts of the request that have no effect.
    pub notes: Vec<String>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

impl Policy {
    /// Whether anything is confined at all.
    #[must_use]
    pub fn confines(&self) -> bool {
        self.mode != Mode::FullAccess
    }

    /// Where a rule came from.
    #[must_use]
    pub fn source_of(&self, by: &Origin) -> Source {
        source_of(&self.sources, by)
    }

    /// Whether the policy lets something of the network be reached.
    #[must_use]
    pub fn has_network(&self) -> bool {
        !self.network.is_empty() || !self.unenforced.is_empty() || self.net.value == Net::Host
    }

    /// Whether a writable path that does not exist is skipped, and not an error.
    #[must_use]
    pub fn skips_missing(&self, rule: &Rule) -> bool {
        let required = self.landlock.as_ref().is_some_and(|said| said.value == Landlock::Required);
        let system = matches!(rule.because, Origin::BuiltIn(_));
        let optional = |said: &Said<PathBuf>| said.value == rule.path && said.by.is_in_the_file_of(&rule.because);
        self.optional.iter().any(optional)
            || self.dialect.skips_missing()
            || self.dialect == Dialect::OpenShell && (system || !required)
    }

    /// Whether nothing is shown that no rule names.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.rules.iter().any(|rule| rule.access == Access::None && rule.path == Path::new("/"))
    }

    /// Whether files are not restricted at all, and only the network is.
    #[must_use]
    pub fn restricts_no_files(&self) -> bool {
        let whole = |rule: &Rule| rule.path == Path::new("/");
        self.dialect == Dialect::Codex
            && self.globs.is_empty()
            && self.rules.iter().any(whole)
            && self.rules.iter().all(|rule| rule.access == Access::Write)
    }
}

/// Where a rule came from, by who wrote it.
fn source_of(sources: &[(PathBuf, Source)], by: &Origin) -> Source {
    match by {
        Origin::File { path, .. } => {
            sources.iter().find(|(file, _)| file == path).map_or(Source::User, |(_, source)| *source)
        }
        Origin::Glob(_, by) => source_of(sources, by),
        Origin::Flag(_) | Origin::Json { .. } => Source::User,
        Origin::BuiltIn(_)
        | Origin::Profile { .. }
        | Origin::Preset(_)
        | Origin::Baseline(_)
        | Origin::Protected(_)
        | Origin::Secret(_)
        | Origin::Gpu(_) => Source::BuiltIn,
    }
}
