//! May this host be reached?
//!
//! Asked twice: by name before anything is resolved, and for every address at every dial, so that nothing can change in
//! between. What is denied is denied whatever is allowed; what no rule allows is refused.

use core::net::IpAddr;
use std::fmt;

use super::address::{self, Range};
use super::host::Host;
use super::rule::{HostPattern, Ports};
use super::{Allowed, HostRules, Target};
use crate::request::{Origin, Said};

/// A host may be asked for; each of its addresses is then judged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass<'r> {
    /// The first rule that lets it through.
    pub rule: &'r Said<Allowed>,
}

/// Why a host is not reached.
///
/// What is printed is one sentence for the one who asked, without places in the caller's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody allowed it.
    NoRule {
        /// Who was asked for.
        host: Host,
        /// At which port.
        port: u16,
    },
    /// A rule forbids it.
    Denied {
        /// The host, or an address of it.
        host: Host,
        /// At which port.
        port: u16,
        /// The rule.
        rule: Target,
        /// Who made it.
        by: Origin,
    },
    /// An address that no rule can allow.
    Never {
        /// Which.
        address: IpAddr,
        /// What it is.
        range: &'static Range,
    },
    /// An address of a special range, which no rule lists.
    Special {
        /// Who was asked for.
        host: Host,
        /// At which port.
        port: u16,
        /// Which address of the host.
        address: IpAddr,
        /// What it is.
        range: &'static Range,
    },
    /// An address of this machine, which no rule lists.
    Own {
        /// Who was asked for.
        host: Host,
        /// At which port.
        port: u16,
        /// Which address of the host.
        address: IpAddr,
    },
    /// The rule lists addresses, and this one is not among them.
    NotListed {
        /// Who was asked for.
        host: Host,
        /// At which port.
        port: u16,
        /// Which address of the host.
        address: IpAddr,
    },
    /// A method of HTTP other than those that are allowed.
    Method {
        /// Which.
        method: String,
        /// Those that are.
        allowed: Vec<String>,
    },
}

impl HostRules {
    /// Decides before anything is resolved; about an address all but whether it belongs to this machine.
    ///
    /// `method` is that of a plain HTTP request, `None` for what shows none (`CONNECT`, SOCKS).
    ///
    /// # Errors
    /// Why not.
    pub fn by_name(&self, host: &Host, port: u16, method: Option<&str>) -> Result<Pass<'_>, Refusal> {
        let rule = match host {
            Host::Name(_) => {
                self.refuse_denied(host, port)?;
                self.allowing(host, port).next().ok_or_else(|| no_rule(host, port))?
            }
            Host::Address(address) => self.admit(host, port, *address, false)?,
        };
        match (method, &self.methods) {
            (Some(method), Some(Said { value: allowed, .. })) if !allowed.iter().any(|allowed| allowed == method) => {
                Err(Refusal::Method { method: method.to_owned(), allowed: allowed.clone() })
            }
            _ => Ok(Pass { rule }),
        }
    }

    /// Decides about one address of a host, or about the address that the host is.
    ///
    /// `is_own`: the address belongs to this machine.
    ///
    /// # Errors
    /// Why not.
    pub fn by_address(&self, host: &Host, port: u16, address: IpAddr, is_own: bool) -> Result<(), Refusal> {
        self.admit(host, port, address, is_own).map(|_| ())
    }

    fn admit(&self, host: &Host, port: u16, address: IpAddr, is_own: bool) -> Result<&Said<Allowed>, Refusal> {
        self.refuse_denied(host, port)?;
        // What is sent to an address in another one's clothes arrives there as well.
        let inner = address::embedded(address).map(IpAddr::V4);
        for address in std::iter::once(address).chain(inner) {
            self.refuse_denied(&Host::Address(address), port)?;
        }
        let special = address::special(address);
        if let Some(range) = special.filter(|range| range.never) {
            return Err(Refusal::Never { address, range });
        }
        let mut rules = self.allowing(host, port).peekable();
        if rules.peek().is_none() {
            return Err(no_rule(host, port));
        }
        let is_listed = self.allow.iter().any(|rule| lists_itself(&rule.value, port, address));
        let is_ordinary = special.is_none() && !is_own;
        let admits = |rule: &Allowed| match rule.addresses.as_slice() {
            [] => is_ordinary,
            listed => listed.iter().any(|net| net.contains(&address)),
        };
        rules.find(|rule| is_listed || admits(&rule.value)).ok_or_else(|| {
            let host = host.clone();
            match special {
                Some(range) => Refusal::Special { host, port, address, range },
                None if is_own => Refusal::Own { host, port, address },
                None => Refusal::NotListed { host, port, address },
            }
        })
    }

    fn allowing<'r>(&'r self, host: &Host, port: u16) -> impl Iterator<Item = &'r Said<Allowed>> {
        let covers = move |target: &Target| target.host.covers(host) && target.ports.cover(port);
        self.allow.iter().filter(move |rule| covers(&rule.value.target))
    }

    /// Whether a rule says that it may not be reached.
    #[must_use]
    pub fn denies(&self, host: &Host, port: u16) -> bool {
        self.refuse_denied(host, port).is_err()
    }

    fn refuse_denied(&self, host: &Host, port: u16) -> Result<(), Refusal> {
        match self.deny.iter().find(|rule| denies(&rule.value, host, port)) {
            Some(Said { value, by }) => {
                Err(Refusal::Denied { host: host.clone(), port, rule: value.clone(), by: by.clone() })
            }
            None => Ok(()),
        }
    }
}

fn no_rule(host: &Host, port: u16) -> Refusal {
    Refusal::NoRule { host: host.clone(), port }
}

/// Whether the rule is about this very address, so that it can be reached whatever it is called.
fn lists_itself(rule: &Allowed, port: u16, address: IpAddr) -> bool {
    let Allowed { target: Target { host, ports }, addresses } = rule;
    let is_its_own = matches!(host, HostPattern::Net(net) if net.contains(&address)) && ports.cover(port);
    is_its_own && (addresses.is_empty() || addresses.iter().any(|net| net.contains(&address)))
}

/// A rule that forbids is not narrower than it looks: without ports it means all, and `*.` any number of labels.
fn denies(target: &Target, host: &Host, port: u16) -> bool {
    let deeper = match &target.host {
        HostPattern::Wildcard(pattern) if pattern.starts_with("*.") => {
            HostPattern::Wildcard(format!("*{pattern}")).covers(host)
        }
        _ => false,
    };
    (deeper || target.host.covers(host)) && (target.ports == Ports::Web || target.ports.cover(port))
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRule { .. } => "no-rule",
            Self::Denied { .. } => "denied",
            Self::Never { .. } => "never",
            Self::Special { .. } => "special-address",
            Self::Own { .. } => "own-address",
            Self::NotListed { .. } => "not-listed",
            Self::Method { .. } => "method",
        }
    }

    /// The flag that would allow it; `None` where none can.
    #[must_use]
    pub fn allow_with(&self) -> Option<String> {
        match self {
            Self::NoRule { port: 0, .. } | Self::Denied { .. } | Self::Never { .. } => None,
            Self::NoRule { host, port } => Some(format!("--allow-host {host}:{port}")),
            Self::Special { port, address, .. }
            | Self::Own { port, address, .. }
            | Self::NotListed { port, address, .. } => Some(format!("--allow-host {}:{port}", Host::Address(*address))),
            Self::Method { method, allowed } => {
                let is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
                is_token.then(|| format!("--http-methods {},{method}", allowed.join(",")))
            }
        }
    }

    /// Who made the rule that forbids it.
    #[must_use]
    pub fn because(&self) -> Option<&Origin> {
        match self {
            Self::Denied { by, .. } => Some(by),
            _ => None,
        }
    }
}

/// An address of a host, told once where it is the host.
fn whose(host: &Host, address: IpAddr) -> String {
    let shown = Host::Address(address);
    if *host == shown { shown.to_string() } else { format!("{shown}, an address of {host},") }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule { host, port } => write!(f, "no rule allows {host}:{port}"),
            Self::Denied { host, port, rule, by: _ } => write!(f, "the rule `{rule}` denies {host}:{port}"),
            Self::Never { address, range: Range { name, holds, .. } } => {
                write!(f, "{} is {name} ({holds}), which no rule can allow", Host::Address(*address))
            }
            Self::Special { host, port, address, range: Range { name, holds, .. } } => {
                write!(f, "{} is {name} ({holds}), and no rule lists it for port {port}", whose(host, *address))
            }
            Self::Own { host, port, address } => {
                write!(f, "{} belongs to this machine, and no rule lists it for port {port}", whose(host, *address))
            }
            Self::NotListed { host, port, address } => {
                write!(f, "{} is not among the addresses that a rule lists for port {port}", whose(host, *address))
            }
            Self::Method { method, allowed } => {
                let method: String = method.chars().take(20).collect();
                write!(f, "the method `{}` is not one of {}", method.escape_debug(), allowed.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
