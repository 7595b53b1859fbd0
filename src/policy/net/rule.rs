//! What stands in a rule.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::host::{self, Host};
use super::{Allowed, Target};
use crate::request::network::NetworkRule;
use crate::request::pattern::{self, Wild};

/// Hosts that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `example.com`: this name.
    Name(String),
    /// `*.example.com` (one label), `**.example.com` (one or more), `api-*.example.com`; in lower case and ASCII.
    Wildcard(String),
    /// `10.0.0.5`, `10.0.0.0/8`, `[fd00::]/8`: addresses. Names are none of them, whatever they resolve to: to resolve
    /// a name is to tell it to others.
    ///
    /// `0.0.0.0/0` and `[::]/0` are every address of a kind, so all special ones too.
    Net(IpNet),
    /// `*`: every host.
    Any,
}

/// Ports that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// None was named: those of the web, 80 and 443.
    Web,
    /// `:*`.
    All,
    /// `:443`.
    One(u16),
}

impl HostPattern {
    /// Whether a host is one of these.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Name(own), Host::Name(name)) => own == name,
            (Self::Wildcard(own), Host::Name(name)) => pattern::overlap(own, name),
            (Self::Net(net), Host::Address(address)) => net.contains(address),
            (Self::Name(_) | Self::Wildcard(_), Host::Address(_)) | (Self::Net(_), Host::Name(_)) => false,
        }
    }
}

impl Ports {
    /// Whether a port is one of these; 0 is none.
    #[must_use]
    pub fn cover(self, port: u16) -> bool {
        match self {
            Self::Web => matches!(port, 80 | 443),
            Self::All => port != 0,
            Self::One(own) => port == own && port != 0,
        }
    }
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {what}", text.escape_debug())]
pub struct Fault {
    /// The rule, as it is written.
    pub text: String,
    /// What is wrong with it.
    pub what: String,
    /// One thing to do about it.
    pub cure: Option<String>,
}

impl Fault {
    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.cure.clone()
    }
}

/// What is wrong, and what to write instead.
type Wrong = (String, Option<String>);

fn wrong<T>(what: &str, cure: Option<String>) -> Result<T, Wrong> {
    Err((what.to_owned(), cure))
}

fn write(text: impl fmt::Display) -> Option<String> {
    Some(format!("write `{text}`"))
}

impl FromStr for Target {
    type Err = Fault;

    /// Reads `HOST[:PORT|:*]`, in any spelling of the host.
    ///
    /// A host is a name, a name with wildcards, an address, a network such as `10.0.0.0/8` or `[fd00::]/8`, or, with
    /// ports, `*`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        read(text, true).map_err(|(what, cure)| Fault { text: text.to_owned(), what, cure })
    }
}

impl Target {
    /// Reads what may not be reached: as [`Target::from_str`], but a wildcard may take a whole top-level domain (`*.zip`).
    ///
    /// # Errors
    /// What is no rule, with a cure.
    pub fn denied(text: &str) -> Result<Self, Fault> {
        read(text, false).map_err(|(what, cure)| Fault { text: text.to_owned(), what, cure })
    }
}

fn read(text: &str, narrow: bool) -> Result<Target, Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let cure = read(host, narrow).ok().and_then(write);
        return wrong("a rule is about a host, not a URL", cure);
    }
    let (host, ports) = split(text)?;
    let ports = match ports {
        None => Ports::Web,
        Some("*") => Ports::All,
        Some(port) => match host::port(port) {
            Some(port) => Ports::One(port),
            None => return wrong("the port is no number from 1 to 65535, and not `*`", None),
        },
    };
    let host = pattern(host, narrow)?;
    if host == HostPattern::Any && ports == Ports::Web {
        return wrong(
            "`*` alone would be every host",
            Some("name a port, as in `*:443`, or all, as in `*:*`".to_owned()),
        );
    }
    Ok(Target { host, ports })
}

/// The host, and the port behind it.
fn split(text: &str) -> Result<(&str, Option<&str>), Wrong> {
    let bracket = text.rfind(']').filter(|_| text.starts_with('['));
    // Behind a prefix length there can only be a port.
    let from = bracket.or_else(|| text.find('/')).unwrap_or(0);
    let (before, behind) = text.split_at(from);
    let Some((rest, port)) = behind.split_once(':') else { return Ok((text, None)) };
    if from == 0 && port.contains(':') {
        let cure = Host::parse(text).ok().and_then(write);
        return wrong("it has more than one colon: an IPv6 address stands in brackets", cure);
    }
    let host = text.get(..before.len() + rest.len()).unwrap_or_default();
    Ok((host, Some(port)))
}

fn pattern(host: &str, narrow: bool) -> Result<HostPattern, Wrong> {
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some((address, prefix)) = host.split_once('/') {
        return net(address, prefix).map(HostPattern::Net);
    }
    if host.contains('*') {
        return wildcard(host, narrow).map(HostPattern::Wildcard);
    }
    match Host::parse(host) {
        Ok(Host::Name(name)) => Ok(HostPattern::Name(name)),
        Ok(Host::Address(address)) => Ok(HostPattern::Net(address.into())),
        Err(fault) => wrong(&fault.to_string(), cure(&fault)),
    }
}

fn cure(fault: &host::HostFault) -> Option<String> {
    let cure = match fault {
        host::HostFault::Empty | host::HostFault::Character(_) => "for example `example.com:443` or `*.example.com`",
        host::HostFault::Zone => "leave out what stands from `%` on",
        host::HostFault::Ipv4 => "for example `10.0.0.5`, or `10.0.0.0/8`",
        host::HostFault::Ipv6 => "for example `[fd00::5]:443`, or `[fd00::]/8`",
        _ => return None,
    };
    Some(cure.to_owned())
}

/// What is fixed is read as a host is, so IDN becomes ASCII; what is not can only be ASCII.
fn wildcard(host: &str, narrow: bool) -> Result<String, Wrong> {
    let star = host.rfind('*').unwrap_or_default();
    let end = host.get(star..).and_then(|rest| rest.find('.')).map_or(host.len(), |dot| star + dot);
    let (wild, fixed) = host.split_at(end);
    let mut all = wild.to_ascii_lowercase();
    if !wild.is_ascii() {
        return wrong("beside a wildcard there can only be ASCII", Some("write these labels as `xn--`".to_owned()));
    }
    if let Some(fixed) = fixed.strip_prefix('.') {
        match Host::parse(fixed) {
            Ok(Host::Name(name)) => all.extend([".", &name]),
            Ok(Host::Address(_)) => {
                return wrong("an address has no wildcards", Some("write a network, as in `10.0.0.0/8`".to_owned()));
            }
            Err(fault) => return wrong(&fault.to_string(), cure(&fault)),
        }
    }
    match pattern::check_wildcards(&all) {
        Err(Wild::TopLevel) if !narrow => {}
        checked => checked.map_err(|wild| (wild.to_string(), Some(Wild::CURE.to_owned())))?,
    }
    pattern::check_labels(&all).map_err(|what| (what.to_owned(), None))?;
    Ok(all)
}

/// A network without bits behind its prefix.
fn net(address: &str, prefix: &str) -> Result<IpNet, Wrong> {
    let net = network(address, prefix)?;
    let whole = net.trunc();
    if net == whole { Ok(net) } else { wrong("the address has bits behind the prefix", write(shown(&whole))) }
}

/// Networks that differ in spelling only are one.
fn network(address: &str, prefix: &str) -> Result<IpNet, Wrong> {
    let inside = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = match inside {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => address.parse().ok(),
    };
    let plain = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    let prefix = prefix.parse().ok().filter(|_| plain);
    if let Some(net) = parsed.zip(prefix).and_then(|(address, prefix)| IpNet::new(address, prefix).ok()) {
        return Ok(canonical(net));
    }
    match Host::parse(address) {
        Ok(host @ Host::Name(_)) => wrong("a rule is about a host, not a path on it", write(host)),
        _ => wrong("it is no network", Some("for example `10.0.0.0/8` or `[fd00::]/8`".to_owned())),
    }
}

/// Mapped IPv4 is IPv4.
fn canonical(net: IpNet) -> IpNet {
    let mapped = match net.addr() {
        IpAddr::V6(address) => address.to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
        IpAddr::V4(_) => None,
    };
    mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(net, IpNet::V4)
}

/// A network of one address as that address, IPv6 in brackets.
fn shown(net: &IpNet) -> String {
    let host = Host::Address(net.addr());
    if net.prefix_len() == net.max_prefix_len() { host.to_string() } else { format!("{host}/{}", net.prefix_len()) }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) | Self::Wildcard(name) => f.write_str(name),
            Self::Net(net) => f.write_str(&shown(net)),
            Self::Any => f.write_str("*"),
        }
    }
}

impl fmt::Display for Target {
    /// As a rule is written; what it reads as is the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, ports } = self;
        match ports {
            Ports::Web => write!(f, "{host}"),
            Ports::All => write!(f, "{host}:*"),
            Ports::One(port) => write!(f, "{host}:{port}"),
        }
    }
}

impl Allowed {
    /// What a rule of a file lets be reached, a piece for each of its hosts.
    ///
    /// Which programs may do so (`programs`) is not asked here: whoever cannot tell programs apart must leave out rules
    /// that are not for all.
    ///
    /// # Errors
    /// The first host or address that is none. Of an address, bits behind the prefix are cut off, as OpenShell does.
    pub fn from_rule(rule: &NetworkRule) -> Result<Vec<Self>, Fault> {
        let NetworkRule { name: _, hosts, programs: _, addresses } = rule;
        let addresses = addresses.iter().map(|text| listed(text)).collect::<Result<Vec<_>, _>>()?;
        let allowed = |host: &String| Ok(Self { target: host.parse()?, addresses: addresses.clone() });
        hosts.iter().map(allowed).collect()
    }
}

/// An address that hosts may have, as IP or CIDR.
fn listed(text: &str) -> Result<IpNet, Fault> {
    let found = match text.split_once('/') {
        Some((address, prefix)) => network(address, prefix).ok().map(|net| net.trunc()),
        None => match Host::parse(text) {
            Ok(Host::Address(address)) => Some(address.into()),
            _ => None,
        },
    };
    found.ok_or_else(|| Fault {
        text: text.to_owned(),
        what: "it is neither an address nor a network".to_owned(),
        cure: Some("for example `10.0.0.5` or `10.0.0.0/8`".to_owned()),
    })
}

#[cfg(test)]
mod tests;
