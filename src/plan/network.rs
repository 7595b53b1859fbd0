//! The way out of the sandbox's own network: listening sockets inside, and where what they accept is taken.
//!
//! Init makes the sockets while it still may, and hands them to a process outside, the bridge. So no process and no file
//! of the bridge's is inside, and what the command connects to was never the host's.

pub mod managed;
pub mod resolver;
pub mod variables;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use super::PlanError;
use super::env::EnvPlan;
use super::landlock::{LandlockPlan, Tcp};
use crate::host::Facts;
use crate::policy::Policy;
use crate::policy::net::HostRules;
use crate::request::network::PortPair;
use crate::request::{Net, Origin, Said};
use managed::Rewritten;

/// Where ringfence's own proxy listens inside; the next free one if the command is given that port for something else.
pub const PROXY_PORT: u16 = 3128;

/// Ports below need a capability (ip(7)).
const FIRST_UNPRIVILEGED: u16 = 1024;

/// What the bridge does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Listening sockets inside, in the order in which init hands them over.
    pub doors: Vec<Door>,
    /// Ports of the host's loopback interface that lead inside.
    pub publish: Vec<Said<PortPair>>,
    /// What [`Leads::Filter`] lets through.
    pub hosts: HostRules,
    /// Proxy variables of the caller's that name another port inside.
    pub rewritten: Vec<Rewritten>,
    /// Whether names of allowed hosts can be resolved and connected to without a proxy, and who asked.
    pub transparent: Option<Origin>,
}

/// A listening socket inside, on 127.0.0.1 and, where there is IPv6, on ::1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its port; 0: the kernel chooses one of the host's, where there is no network namespace.
    pub port: u16,
    /// Where its connections are taken.
    pub leads: Leads,
    /// Who asked.
    pub because: Origin,
}

/// Where the connections of a door are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// Where the client asks for, by HTTP or SOCKS, if the rules allow it.
    Filter,
    /// To a proxy, which is told nothing about it.
    Proxy(Endpoint),
    /// To a port of the host's loopback interface.
    Port(u16),
}

/// Where a proxy of the host's listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `127.0.0.1` and what means it.
    V4(u16),
    /// `[::1]`.
    V6(u16),
    /// `localhost`: the first of both that answers.
    Localhost(u16),
    /// `unix:/PATH`.
    Unix(PathBuf),
}

impl Endpoint {
    /// The port, where it has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::V4(port) | Self::V6(port) | Self::Localhost(port) => Some(*port),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(port) => write!(f, "127.0.0.1:{port}"),
            Self::V6(port) => write!(f, "[::1]:{port}"),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Leads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter => f.write_str("allowed hosts, by HTTP and SOCKS"),
            Self::Proxy(endpoint) => write!(f, "the proxy {endpoint}"),
            Self::Port(port) => write!(f, "port {port} of the host"),
        }
    }
}

/// Plans the way out; `None` where there is none, and nothing leads in.
///
/// # Errors
/// Every reason why the proxies of the host's cannot be used.
pub fn plan(policy: &Policy, facts: &Facts) -> Result<Option<NetworkPlan>, Vec<PlanError>> {
    let reach = &policy.reach;
    let mut plan = NetworkPlan {
        doors: Vec::new(),
        publish: reach.publish.clone(),
        hosts: reach.hosts.clone(),
        rewritten: Vec::new(),
        transparent: reach.transparent.clone(),
    };
    for Said { value: PortPair { host, inside }, by } in &reach.expose {
        plan.doors.push(Door { port: *inside, leads: Leads::Port(*host), because: by.clone() });
    }
    match policy.net.value {
        Net::Host => return Ok(None),
        Net::None => {}
        Net::Allow => {
            let port = plan.free(PROXY_PORT);
            plan.doors.push(Door { port, leads: Leads::Filter, because: policy.net.by.clone() });
        }
        Net::Proxy => plan.manage(policy, facts)?,
    }
    Ok((!plan.doors.is_empty() || !plan.publish.is_empty()).then_some(plan))
}

impl NetworkPlan {
    /// The port, or the next one that nothing listens on inside.
    fn free(&self, wanted: u16) -> u16 {
        let doors = self.doors.iter().map(|door| door.port);
        let used: BTreeSet<_> = doors.chain(self.publish.iter().map(|pair| pair.value.inside)).collect();
        let first = if wanted < FIRST_UNPRIVILEGED { PROXY_PORT } else { wanted };
        let after = (first..=u16::MAX).chain(FIRST_UNPRIVILEGED..first);
        after.into_iter().find(|port| !used.contains(port)).unwrap_or(first)
    }

    /// A door for each proxy that the variables name.
    fn manage(&mut self, policy: &Policy, facts: &Facts) -> Result<(), Vec<PlanError>> {
        let by = &policy.net.by;
        let found = managed::proxies(&facts.env, by, policy.reach.proxy_ports.as_ref())?;
        for (name, address) in found {
            let leads = Leads::Proxy(address.endpoint.clone());
            let port = match self.doors.iter().find(|door| door.leads == leads) {
                Some(door) => door.port,
                None => {
                    let port = self.free(address.endpoint.port().unwrap_or(PROXY_PORT));
                    self.doors.push(Door { port, leads, because: by.clone() });
                    port
                }
            };
            self.rewritten.push(Rewritten { name, address, port });
        }
        Ok(())
    }

    /// As it is where nothing has a network namespace of its own: ringfence's own proxy listens on a port of the host's
    /// loopback interface that is free then, and the proxies of the host's are connected to as they are.
    #[must_use]
    pub fn without_namespace(mut self) -> Option<Self> {
        self.doors.retain(|door| door.leads == Leads::Filter);
        self.doors.iter_mut().for_each(|door| door.port = 0);
        self.rewritten.clear();
        (!self.doors.is_empty()).then_some(self)
    }

    /// Fills in the ports that the doors have got, in the order of the doors.
    pub fn listens_on(&mut self, ports: &[u16], wall: &mut LandlockPlan, env: &mut EnvPlan) {
        for (door, port) in self.doors.iter_mut().zip(ports) {
            door.port = *port;
        }
        if let Tcp::Connect(rules) = &mut wall.tcp {
            *rules = ports.to_vec();
        }
        // What the user said of a variable was not set by the network.
        let by = self.filter().map(|door| door.because.clone());
        let ours: Vec<_> =
            env.set.iter().filter(|(_, setter)| Some(setter) == by.as_ref()).map(|(name, _)| name.clone()).collect();
        variables::set(self, env, &|name| !ours.iter().any(|known| known == name));
    }

    /// What of it needs rights over the network namespace when it is made (ip(7)), if something does.
    #[must_use]
    pub fn needs_rights(&self) -> Option<&'static str> {
        if self.transparent.is_some() {
            return Some("gives no rights over the network namespace, which --transparent needs");
        }
        let doors = self.doors.iter().map(|door| door.port);
        let low = |port: u16| (1..FIRST_UNPRIVILEGED).contains(&port);
        let any = doors.chain(self.publish.iter().map(|pair| pair.value.inside)).any(low);
        any.then_some(
            "gives no rights over the network namespace, which a port below 1024 needs: --expose-host 80:8080",
        )
    }

    /// The ports of the host that have to be connected to then.
    #[must_use]
    pub fn host_ports(&self) -> Vec<u16> {
        let port = |door: &Door| match &door.leads {
            Leads::Filter => Some(0),
            Leads::Proxy(endpoint) => endpoint.port(),
            Leads::Port(port) => Some(*port),
        };
        self.doors.iter().filter_map(port).collect()
    }

    /// Why it needs a network namespace, if it does.
    #[must_use]
    pub fn needs_namespace(&self) -> Option<&'static str> {
        let is_unix = |door: &Door| matches!(door.leads, Leads::Proxy(Endpoint::Unix(_)));
        let is_port = |door: &Door| matches!(door.leads, Leads::Port(_));
        if self.transparent.is_some() {
            Some("it cannot resolve names for the command alone (--transparent)")
        } else if !self.publish.is_empty() {
            Some("it cannot let the command listen on a port of its own (--publish)")
        } else if self.doors.iter().any(is_port) {
            Some("it cannot tell the host's port from that of another host (--expose-host)")
        } else if self.doors.iter().any(is_unix) {
            Some("it cannot lead to a proxy's unix socket")
        } else {
            None
        }
    }

    /// The door of ringfence's own proxy.
    #[must_use]
    pub fn filter(&self) -> Option<&Door> {
        self.doors.iter().find(|door| door.leads == Leads::Filter)
    }
}
