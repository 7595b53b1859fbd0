//! Settings of the baseline: what is added to a policy so that programs and GPUs work, and what becomes of rules that say
//! less than it wants.

use super::{Said, Source};

/// What happens where the baseline wants more than a rule says. In ascending order of strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// The baseline's whole wish, as OpenShell grants it.
    Promote,
    /// Existing files can be written, nothing can be made or removed; a device node can be used.
    PromoteNarrow,
    /// The rule stays; a warning tells what will fail.
    Keep,
    /// Nothing runs.
    Refuse,
}

impl Conflict {
    /// The word used in flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::PromoteNarrow => "promote-narrow",
            Self::Keep => "keep",
            Self::Refuse => "refuse",
        }
    }
}

/// A rule about conflicts at some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictRule {
    /// An absolute path or glob, unparsed.
    pub pattern: String,
    /// Of which sources; empty: of all.
    pub sources: Vec<Source>,
    /// What happens.
    pub mode: Conflict,
    /// Why, in the words of whoever wrote it.
    pub reason: Option<String>,
}

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Paths and globs that are never added and never promoted.
    pub keep: Vec<Said<String>>,
    /// Of files, in their order: the first that fits counts.
    pub conflicts: Vec<Said<ConflictRule>>,
    /// `--baseline-conflict`.
    pub flags: Vec<Said<ConflictRule>>,
    /// `--baseline core`: the paths that every process needs, also where the policy has no network.
    pub core: Option<Said<bool>>,
    /// Whether [`Baseline::flags`] may be less strict than files and defaults.
    pub allow_cli_relax: Option<Said<bool>>,
    /// Whether [`Baseline::compat`] may be asked for.
    pub allow_compat: Option<Said<bool>>,
    /// `--openshell-compat`.
    pub compat: Option<Said<bool>>,
}

impl Baseline {
    /// Lays `later` over `self`.
    #[must_use]
    pub fn overlaid_by(mut self, later: Self) -> Self {
        let Self { keep, conflicts, flags, core, allow_cli_relax, allow_compat, compat } = later;
        self.keep.extend(keep);
        self.conflicts.extend(conflicts);
        self.flags.extend(flags);
        Self {
            core: core.or(self.core),
            allow_cli_relax: stricter(self.allow_cli_relax, allow_cli_relax),
            allow_compat: stricter(self.allow_compat, allow_compat),
            compat: compat.or(self.compat),
            ..self
        }
    }
}

/// An administrator's word about what users may do is not the user's to change, in whichever order files are read: `false`
/// stays.
fn stricter(first: Option<Said<bool>>, later: Option<Said<bool>>) -> Option<Said<bool>> {
    match (first, later) {
        (Some(first), Some(later)) => Some(if first.value && !later.value { later } else { first }),
        (first, later) => first.or(later),
    }
}
