//! What resolvers read inside, where the bridge answers them.

use core::net::IpAddr;

use crate::host::Facts;
use crate::host::paths::{Kind, PathFact, Present};
use crate::host::resolver::Resolver;
use crate::plan::mounts::{Mount, MountOp};
use crate::policy::Policy;

/// Where there is no such file, resolvers ask this one too.
const CONF: &str = "# by ringfence: names of allowed hosts are resolved here\nnameserver 127.0.0.1\n";

/// Of whom names are asked, and which names the sandbox has itself: those of the host's file that mean its own loopback.
/// The others could not be connected to by their addresses.
#[must_use]
pub fn files(policy: &Policy, facts: &Facts) -> Vec<MountOp> {
    let Some((by, resolver)) = policy.reach.transparent.as_ref().zip(facts.resolver.as_ref()) else {
        return Vec::new();
    };
    let Resolver { conf, hosts, known } = resolver;
    let shown = [(conf, CONF.to_owned()), (hosts, own_names(&String::from_utf8_lossy(known)))];
    let file = |(fact, text): (&PathFact, String)| {
        let PathFact::Present(Present { path, kind: Kind::File, .. }) = fact else { return None };
        let what = Mount::Data { bytes: text.into_bytes(), make: false };
        Some(MountOp { target: path.clone(), what, because: by.clone() })
    };
    shown.into_iter().filter_map(file).collect()
}

fn own_names(hosts: &str) -> String {
    let is_own = |line: &&str| {
        let address = line.split('#').next().and_then(|line| line.split_whitespace().next());
        address.is_some_and(|address| address.parse().is_ok_and(|address: IpAddr| address.is_loopback()))
    };
    let own: String = hosts.lines().filter(is_own).map(|line| format!("{line}\n")).collect();
    if own.is_empty() { "127.0.0.1 localhost\n::1 localhost\n".to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_hosts_are_left_to_the_bridge() {
        let hosts = "127.0.0.1 localhost # me\n# 127.0.0.1 no\n\n10.0.0.1 db\n127.0.1.1\tbox\n::1 localhost\n127.0.0.1.evil x\n";
        assert_eq!(own_names(hosts), "127.0.0.1 localhost # me\n127.0.1.1\tbox\n::1 localhost\n");
        assert_eq!(own_names("10.0.0.1 db"), "127.0.0.1 localhost\n::1 localhost\n");
    }
}
