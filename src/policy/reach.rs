//! Which network, and what of it: rules read, contradictions refused.

use std::collections::BTreeSet;

use super::error::PolicyError;
use super::net::rule::Fault;
use super::net::{Allowed, HostRules, Target};
use crate::request::network::PortPair;
use crate::request::{Mode, Net, Origin, Request, Said};

/// What may be reached beyond the sandbox's own loopback interface, and what may reach in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts, where the network is [`Net::Allow`].
    pub hosts: HostRules,
    /// Whether names can be resolved and connected to without a proxy, and who asked.
    pub transparent: Option<Origin>,
    /// Ports of the sandbox that the host's loopback interface has too.
    pub publish: Vec<Said<PortPair>>,
    /// Ports of the host's loopback interface that the sandbox has too.
    pub expose: Vec<Said<PortPair>>,
    /// Whether the command may make no unix sockets but pairs, and who asked.
    pub no_unix: Option<Origin>,
    /// The only ports that a proxy of the host's may have.
    pub proxy_ports: Option<Said<Vec<u16>>>,
}

/// Where names are asked for inside, with `--transparent`.
const DNS: u16 = 53;

/// The network that a request means: whoever names hosts wants to reach them.
pub(super) fn net(request: &Request, mode: Mode) -> Said<Net> {
    if let Some(net) = &request.net {
        return net.clone();
    }
    if mode == Mode::FullAccess {
        return super::check::said(Net::Host);
    }
    let rules = request.reach.rules.iter().filter(|rule| rule.value.is_everybodys()).map(|rule| &rule.by);
    let by = request.reach.allow.iter().map(|said| &said.by).chain(rules).next();
    by.map_or_else(|| super::check::said(Net::None), |by| Said::new(Net::Allow, by.clone()))
}

/// The rest of what is said about the network.
pub(super) fn reach(request: &Request, net: &Said<Net>, errors: &mut Vec<PolicyError>) -> Reach {
    let said = &request.reach;
    let on = |said: &Option<Said<bool>>| said.as_ref().filter(|said| said.value).map(|said| said.by.clone());
    refuse_unused(request, net, errors);
    refuse_twice("--publish", said.publish.iter().map(|pair| (pair.value.host, &pair.by)), errors);
    refuse_twice("--expose-host", said.expose.iter().map(|pair| (pair.value.inside, &pair.by)), errors);
    let transparent = on(&said.transparent).filter(|_| net.value == Net::Allow);
    if transparent.is_some() {
        let dns = said.expose.iter().filter(|pair| pair.value.inside == DNS);
        errors.extend(dns.map(|pair| PolicyError::PortOfNames { by: pair.by.clone() }));
    }
    Reach {
        hosts: if net.value == Net::Allow { hosts(request, errors) } else { HostRules::default() },
        transparent,
        publish: said.publish.clone(),
        expose: said.expose.clone(),
        no_unix: on(&said.no_unix),
        proxy_ports: said.proxy_ports.clone(),
    }
}

fn hosts(request: &Request, errors: &mut Vec<PolicyError>) -> HostRules {
    let said = &request.reach;
    let mut read = |said: &Said<String>, target: Result<Target, Fault>| match target {
        Ok(target) => Some(Said::new(target, said.by.clone())),
        Err(fault) => {
            errors.push(refused(&said.by, fault));
            None
        }
    };
    let own: Vec<_> = said.allow.iter().filter_map(|said| read(said, said.value.parse())).collect();
    let deny = said.deny.iter().filter_map(|said| read(said, Target::denied(&said.value))).collect();
    let mut allow: Vec<_> = own
        .into_iter()
        .map(|Said { value, by }| Said::new(Allowed { target: value, addresses: Vec::new() }, by))
        .collect();
    for Said { value: rule, by } in said.rules.iter().filter(|rule| rule.value.is_everybodys()) {
        match Allowed::from_rule(rule) {
            Ok(rules) => allow.extend(rules.into_iter().map(|rule| Said::new(rule, by.clone()))),
            Err(fault) => errors.push(refused(by, fault)),
        }
    }
    HostRules { allow, deny, methods: methods(request, errors) }
}

fn refused(by: &Origin, fault: Fault) -> PolicyError {
    PolicyError::Host { by: by.clone(), fault }
}

/// In upper case: methods are compared as they are, and no server knows others.
fn methods(request: &Request, errors: &mut Vec<PolicyError>) -> Option<Said<Vec<String>>> {
    let Said { value, by } = request.reach.methods.as_ref().filter(|said| !said.value.is_empty())?;
    let methods: Vec<_> = value.iter().map(|method| method.trim().to_ascii_uppercase()).collect();
    let is_token = |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    errors.extend(
        methods
            .iter()
            .filter(|method| !is_token(method))
            .map(|method| PolicyError::Method { method: method.clone(), by: by.clone() }),
    );
    Some(Said::new(methods, by.clone()))
}

/// What a flag asks for and another flag makes meaningless, or a line of a file and another one of the same file. A flag
/// may well overrule a file.
fn refuse_unused(request: &Request, net: &Said<Net>, errors: &mut Vec<PolicyError>) {
    let Request { reach, .. } = request;
    let is_meant = |by: &&Origin| matches!(by, Origin::Flag(_)) || by.is_in_the_file_of(&net.by);
    let hosts = reach.allow.iter().chain(&reach.deny).map(|said| &said.by);
    let others = [
        reach.methods.as_ref().map(|said| &said.by),
        reach.transparent.as_ref().filter(|said| said.value).map(|said| &said.by),
    ];
    let of_allow = hosts.chain(others.into_iter().flatten()).filter(|_| net.value != Net::Allow);
    let ports = reach.publish.iter().chain(&reach.expose).map(|said| &said.by).filter(|_| net.value == Net::Host);
    let unix = reach.no_unix.iter().filter(|said| said.value).map(|said| &said.by);
    let flags = |by: &&Origin| matches!(by, Origin::Flag(_));
    let unix = unix.filter(|_| request.sandbox.as_ref().is_some_and(|mode| mode.value == Mode::FullAccess));
    let unused: BTreeSet<_> = of_allow.chain(ports).filter(is_meant).chain(unix.filter(flags)).collect();
    errors.extend(unused.into_iter().map(|by| PolicyError::Unused { by: by.clone(), net: net.clone() }));
}

fn refuse_twice<'a>(what: &'static str, ports: impl Iterator<Item = (u16, &'a Origin)>, errors: &mut Vec<PolicyError>) {
    let mut known = BTreeSet::new();
    let again = ports.filter(|(port, _)| !known.insert(*port));
    errors.extend(again.map(|(port, by)| PolicyError::PortTwice { what, port, by: by.clone() }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::network::Reach as SaidReach;

    fn line(line: usize) -> Origin {
        Origin::File { path: "/a.toml".into(), line }
    }

    fn told(net: Said<Net>, reach: SaidReach) -> Vec<String> {
        let request = Request { net: Some(net.clone()), reach, ..Request::default() };
        let mut errors = Vec::new();
        super::reach(&request, &net, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_can_have_no_effect_is_refused_unless_something_stronger_overrules_it() {
        let flag = Origin::Flag("--net");
        let other = Origin::File { path: "/b.toml".into(), line: 1 };
        let allow = |by: &Origin| SaidReach {
            allow: vec![Said::new("pypi.org".to_owned(), by.clone())],
            transparent: Some(Said::new(true, by.clone())),
            ..SaidReach::default()
        };
        let table = [
            (Net::Host, line(1), line(2), 1),
            (Net::None, line(1), line(2), 1),
            (Net::Allow, line(1), line(2), 0),
            (Net::Host, flag.clone(), line(2), 0),
            (Net::Host, other, line(2), 0),
            (Net::Host, line(1), Origin::Flag("--allow-host"), 1),
            (Net::Host, flag, Origin::Flag("--allow-host"), 1),
        ];
        for (net, by, said_by, errors) in table {
            let told = told(Said::new(net, by.clone()), allow(&said_by));
            assert_eq!(told.len(), errors, "{net:?} by {by}, hosts by {said_by}: {told:?}");
        }
    }

    #[test]
    fn the_port_where_names_are_asked_for_is_not_given_away() {
        let ports = |transparent| SaidReach {
            expose: vec![Said::new(PortPair { host: 5000, inside: DNS }, line(3))],
            transparent: Some(Said::new(transparent, line(2))),
            ..SaidReach::default()
        };
        let net = || Said::new(Net::Allow, line(1));
        assert_eq!(told(net(), ports(false)), Vec::<String>::new());
        assert!(told(net(), ports(true))[0].contains("port 53"));
    }
}
