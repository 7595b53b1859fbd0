//! What a policy leaves open is filled in as the readers of its dialect expect.

use super::tables;
use crate::request::Dialect;

impl Dialect {
    /// Names directly below every writable directory that stay read-only, each with the reason.
    #[must_use]
    pub fn protected_names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ringfence | Self::OpenShell => tables::PROTECTED_NAMES,
            Self::Codex => tables::PROTECTED_NAMES_OF_CODEX,
        }
    }

    /// Whether credential stores are hidden and variables that look like secrets dropped although a wide rule covers
    /// them. A Codex policy is the whole word about what can be read.
    #[must_use]
    pub fn hides_secrets(self) -> bool {
        self != Self::Codex
    }

    /// Whether a writable path that does not exist is skipped, and not an error. Codex passes the same list of roots
    /// on every machine.
    #[must_use]
    pub fn skips_missing(self) -> bool {
        self == Self::Codex
    }

    /// Whether a workspace as wide as a home directory is refused unless it is named on purpose. In a Codex policy it
    /// is always named.
    #[must_use]
    pub fn refuses_wide_workspace(self) -> bool {
        self != Self::Codex
    }

    /// Whether the policy itself says what may be done in `/proc`: one that does not has none.
    #[must_use]
    pub fn names_proc(self) -> bool {
        self == Self::OpenShell
    }

    /// Whether the paths that the policy grants are expected to be there, and a missing one is told.
    #[must_use]
    pub fn expects_all(self) -> bool {
        self == Self::OpenShell
    }

    /// Whether the rules are all there is, and the mode adds none.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self != Self::Ringfence
    }
}
