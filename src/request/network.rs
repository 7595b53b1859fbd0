//! What may be reached of the network, as files say it; and what of a policy cannot be enforced.

use std::fmt;
use std::str::FromStr;

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
    /// The only addresses that the hosts may have, as IP or CIDR, private ones among them; empty: all that are public.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl NetworkRule {
    /// Whether it holds for every program: who connects cannot be told from outside.
    #[must_use]
    pub fn is_everybodys(&self) -> bool {
        self.programs.is_empty() || self.programs.iter().any(|program| matches!(program.as_str(), "/**" | "**"))
    }
}

/// A port of the host and one of the sandbox, which are connected.
///
/// Source: `8080` (both), or `18080:8080` (the host's first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortPair {
    /// On the host's loopback interface.
    pub host: u16,
    /// On the sandbox's.
    pub inside: u16,
}

impl FromStr for PortPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, inside) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str| match text.parse() {
            Ok(port @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(format!("`{text}` is no port from 1 to 65535, as in 8080 or 18080:8080 (the host's first)")),
        };
        Ok(Self { host: port(host)?, inside: port(inside)? })
    }
}

impl fmt::Display for PortPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, inside } = self;
        if host == inside { write!(f, "{host}") } else { write!(f, "{host}:{inside}") }
    }
}

/// What a request says about what can be reached, and what of it cannot be enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts that may be reached, by whom.
    pub rules: Vec<Said<NetworkRule>>,
    /// `--allow-host`, as it is written.
    pub allow: Vec<Said<String>>,
    /// `--deny-host`, as it is written.
    pub deny: Vec<Said<String>>,
    /// `--http-methods`.
    pub methods: Option<Said<Vec<String>>>,
    /// `--transparent`.
    pub transparent: Option<Said<bool>>,
    /// `--publish`.
    pub publish: Vec<Said<PortPair>>,
    /// `--expose-host`.
    pub expose: Vec<Said<PortPair>>,
    /// `--no-unix`.
    pub no_unix: Option<Said<bool>>,
    /// The only ports that a proxy of the host's may have (`loopbackPorts` of Codex).
    pub proxy_ports: Option<Said<Vec<u16>>>,
    /// Parts of a policy that this program cannot enforce.
    pub unenforced: Vec<Said<Unenforced>>,
    /// `--allow-unenforced`: those parts are left out, which only takes access away.
    pub allow_unenforced: Option<Said<bool>>,
}

impl Reach {
    /// Lays `later` over `self`.
    #[must_use]
    pub fn overlaid_by(mut self, later: Self) -> Self {
        let Self {
            rules,
            allow,
            deny,
            methods,
            transparent,
            publish,
            expose,
            no_unix,
            proxy_ports,
            unenforced,
            allow_unenforced,
        } = later;
        self.rules.extend(rules);
        self.allow.extend(allow);
        self.deny.extend(deny);
        self.publish.extend(publish);
        self.expose.extend(expose);
        self.unenforced.extend(unenforced);
        Self {
            methods: methods.or(self.methods),
            transparent: transparent.or(self.transparent),
            no_unix: no_unix.or(self.no_unix),
            proxy_ports: proxy_ports.or(self.proxy_ports),
            allow_unenforced: allow_unenforced.or(self.allow_unenforced),
            ..self
        }
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
