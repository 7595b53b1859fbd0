//! Any host against any rule: hosts have one spelling, what is denied is denied, and names do not lead to special addresses.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use ringfence::policy::net::host::Host;
use ringfence::policy::net::{Allowed, HostRules, Target};
use ringfence::request::{Origin, Said};

fn rules(allow: &[&Target], deny: &[&Target]) -> HostRules {
    let by = || Origin::Flag("--allow-host");
    let allowed = |target: &&Target| Said::new(Allowed { target: (*target).clone(), addresses: vec![] }, by());
    HostRules {
        allow: allow.iter().map(allowed).collect(),
        deny: deny.iter().map(|target| Said::new((*target).clone(), by())).collect(),
        methods: None,
    }
}

fuzz_target!(|input: (u16, &str)| {
    let (port, text) = input;
    let (rule, host) = text.split_once('\n').unwrap_or((text, text));
    let (target, denied) = (rule.parse::<Target>(), Target::denied(rule));
    let Ok(host) = Host::parse(host) else { return };
    let shown = host.to_string();
    assert_eq!(Host::parse(&shown).as_ref(), Ok(&host), "one spelling");
    assert!(shown.is_ascii() && shown == shown.to_ascii_lowercase() && !shown.ends_with('.'));
    assert!(rules(&[], &[]).by_name(&host, port, None).is_err(), "no rule, no access");

    let Ok(target) = target else { return };
    let allowed = rules(&[&target], &[]);
    let passes = allowed.by_name(&host, port, None).is_ok();
    assert!(!passes || target.host.covers(&host) && target.ports.cover(port));
    if let Ok(denied) = denied {
        assert!(rules(&[&target], &[&denied]).by_name(&host, port, None).is_err(), "a denial comes first");
    }
    for never in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        assert!(allowed.by_address(&host, port, IpAddr::V4(never), false).is_err());
    }
    if matches!(host, Host::Name(_)) {
        let metadata = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
        assert!(allowed.by_address(&host, port, metadata, false).is_err(), "a name leads to no special address");
        let public = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));
        assert_eq!(allowed.by_address(&host, port, public, false).is_ok(), passes);
        assert!(allowed.by_address(&host, port, public, true).is_err(), "nor to this machine");
    }
});
