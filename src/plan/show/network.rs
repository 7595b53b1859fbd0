//! The network, as the plan tells it.

use super::Line;
use crate::plan::choose::Engine;
use crate::plan::network::NetworkPlan;
use crate::plan::{Confinement, Plan};
use crate::policy::net::rule::Ports;
use crate::policy::net::{Allowed, HostRules};
use crate::request::{Net, Said};

/// A port of the sandbox's.
pub(super) fn port(port: u16) -> String {
    if port == 0 { "one that the kernel chooses".to_owned() } else { port.to_string() }
}

/// Which network there is.
pub(super) fn which(plan: &Plan, confinement: &Confinement) -> Line {
    let alone = plan.choice.engine == Engine::Landlock;
    let what = match confinement.net.value {
        Net::None if alone => "none: system calls of sockets are refused",
        Net::None => "loopback only, in a namespace of its own",
        Net::Allow if alone => "allowed hosts, through a proxy on a port of the host; no namespace of its own",
        Net::Allow => "allowed hosts, through a proxy outside; a namespace of its own",
        Net::Proxy if alone => "the ports of the host's proxies; no namespace of its own",
        Net::Proxy => "the host's proxies, in a namespace of its own",
        Net::Host => "the host's",
    };
    Line::new("network", what, &confinement.net.by)
}

/// The ways out, and in.
pub(super) fn lines(confinement: &Confinement) -> Vec<Line> {
    let Some(plan) = &confinement.network else { return Vec::new() };
    let NetworkPlan { doors, publish, hosts, rewritten: _, transparent } = plan;
    let mut lines = Vec::new();
    for door in doors {
        lines.push(Line::new("listen on loopback", format!("{} for {}", port(door.port), door.leads), &door.because));
    }
    if let Some(by) = transparent {
        lines.push(Line::new("resolve names of allowed hosts", "at 127.0.0.1:53", by));
    }
    for Said { value: pair, by } in publish {
        lines.push(Line::new("listen on the host's loopback", format!("{} for port {}", pair.host, pair.inside), by));
    }
    let HostRules { allow, deny, methods } = hosts;
    for Said { value: Allowed { target, addresses }, by } in allow {
        let only: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let only = if only.is_empty() { String::new() } else { format!(" at {} only", only.join(" ")) };
        let ports = if target.ports == Ports::Web { ", ports 80 and 443" } else { "" };
        lines.push(Line::new("allow", format!("{target}{ports}{only}"), by));
    }
    if let Some(door) = plan.filter().filter(|_| allow.is_empty()) {
        lines.push(Line::new("allow", "no host", &door.because));
    }
    lines.extend(deny.iter().map(|Said { value, by }| Line::new("deny", value.to_string(), by)));
    if let Some(Said { value, by }) = methods {
        lines.push(Line::new("plain HTTP by", value.join(" "), by));
    }
    lines
}
