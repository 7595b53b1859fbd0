//! What may be reached of the network, as files say it; and what of a policy cannot be enforced.

use super::Said;

/// Hosts that may be reached, by whom.
///
/// Shape: a TOML table of `[[network]]`; an entry of OpenShell's `network_policies` that needs no look into requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRule {
    /// For messages.
    pub name: String,
    /// `HOST:PORT`; a host is a name in lower case, or one with `*` (one label) or `**` (one or more) in it. IPv6
    /// addresses stand in brackets. `*:PORT` is any host whose address is listed.
    pub hosts: Vec<String>,
    /// Programs that may do so, as absolute paths or globs; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Private addresses that the hosts may have, as IP or CIDR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// What a request says about what can be reached, and what of it cannot be enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts that may be reached.
    pub rules: Vec<Said<NetworkRule>>,
    /// Parts of a policy that this program cannot enforce.
    pub unenforced: Vec<Said<Unenforced>>,
    /// `--allow-unenforced`: those parts are left out, which only takes access away.
    pub allow_unenforced: Option<Said<bool>>,
}

impl Reach {
    /// Lays `later` over `self`.
    #[must_use]
    pub fn overlaid_by(mut self, Self { rules, unenforced, allow_unenforced }: Self) -> Self {
        self.rules.extend(rules);
        self.unenforced.extend(unenforced);
        Self { allow_unenforced: allow_unenforced.or(self.allow_unenforced), ..self }
    }
}

/// One thing to do about what cannot be enforced.
pub const LEAVE_OUT: &str = "--allow-unenforced leaves it out, which only takes access away, and plan lists it";

/// A part of a policy that this program cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unenforced {
    /// Stable, for programs: `net.l7_unenforceable`.
    pub code: &'static str,
    /// What it is, and what becomes of it, in words.
    pub what: String,
}
