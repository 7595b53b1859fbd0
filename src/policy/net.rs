//! Which hosts may be reached: names, addresses and rules as data, and the decision about them as a pure function.

pub mod address;
pub mod decide;
pub mod host;
pub mod rule;

use ipnet::IpNet;

use crate::request::Said;
use rule::{HostPattern, Ports};

/// What may be reached of the network, where it is neither off nor open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRules {
    /// Who may be reached; nobody else is.
    pub allow: Vec<Said<Allowed>>,
    /// Who may not, whatever `allow` says.
    pub deny: Vec<Said<Target>>,
    /// The methods of plain HTTP requests, in upper case; `None`: all. What is encrypted shows none.
    pub methods: Option<Said<Vec<String>>>,
}

/// One rule that lets hosts be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Which.
    pub target: Target,
    /// The addresses that the hosts may have, special ones (private, loopback, link-local, ...) included; empty: all that
    /// are not special.
    pub addresses: Vec<IpNet>,
}

/// Hosts and ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which hosts.
    pub host: HostPattern,
    /// Which of their ports.
    pub ports: Ports,
}
