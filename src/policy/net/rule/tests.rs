//! What rules mean, what is no rule, and what they cover.

use proptest::prelude::*;

use super::*;

fn told(read: Result<Target, Fault>) -> String {
    match read {
        Ok(target) => target.to_string(),
        Err(fault) => format!("{}{}", fault.what, fault.cure.map(|cure| format!("; {cure}")).unwrap_or_default()),
    }
}

#[test]
fn rules() {
    for (text, want) in [
        ("example.com", "example.com"),
        ("Example.COM.:443", "example.com:443"),
        ("bücher.example:*", "xn--bcher-kva.example:*"),
        ("localhost:8080", "localhost:8080"),
        ("*.example.com", "*.example.com"),
        ("**.Example.com.:1", "**.example.com:1"),
        ("API-*.example.com:65535", "api-*.example.com:65535"),
        ("api.*.example.com", "api.*.example.com"),
        ("*.*.example.com", "*.*.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.example\u{3002}com", "*.example.com"),
        ("10.0.0.5", "10.0.0.5"),
        ("127.1:80", "127.0.0.1:80"),
        ("0x7f000001:*", "127.0.0.1:*"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::0]:443", "[2001:db8::]:443"),
        ("[::ffff:10.0.0.5]:443", "10.0.0.5:443"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.5/32", "10.0.0.5"),
        ("10.0.0.0/8:443", "10.0.0.0/8:443"),
        ("10.0.0.0/8:*", "10.0.0.0/8:*"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("[::]/0:443", "[::]/0:443"),
        ("[fd00::]/8", "[fd00::]/8"),
        ("fd00::/8", "[fd00::]/8"),
        ("fd00::/8:443", "[fd00::]/8:443"),
        ("[fd00::]/8:*", "[fd00::]/8:*"),
        ("[::ffff:10.0.0.0]/104", "10.0.0.0/8"),
        ("*:443", "*:443"),
        ("*:*", "*:*"),
    ] {
        assert_eq!(told(text.parse()), want, "{text}");
        assert_eq!(told(Target::denied(text)), want, "{text}");
    }
}

fn check(rows: &[(&str, String)]) {
    for (text, want) in rows {
        assert_eq!(told(text.parse()), *want, "{text}");
        assert_eq!(told(Target::denied(text)), *want, "{text}");
    }
}

#[test]
fn no_rules() {
    const CURE: &str = "; for example `*.example.com`, `api-*.example.com` or `**.example.com`";
    const HOST: &str = "; for example `example.com:443` or `*.example.com`";
    const PORT: &str = "the port is no number from 1 to 65535, and not `*`";
    check(&[
        ("", format!("there is no host{HOST}")),
        (":443", format!("there is no host{HOST}")),
        (" example.com", format!("a host cannot have a blank in it{HOST}")),
        ("example.com\0", format!("a host cannot have NUL in it{HOST}")),
        ("user@example.com", format!("a host cannot have `@` in it{HOST}")),
        ("https://u:p@example.com/x?y", "a rule is about a host, not a URL; write `example.com`".to_owned()),
        ("http://example.com:8080", "a rule is about a host, not a URL; write `example.com:8080`".to_owned()),
        ("https://", "a rule is about a host, not a URL".to_owned()),
        ("example.com/x", "a rule is about a host, not a path on it; write `example.com`".to_owned()),
        ("example.com/x:80", "a rule is about a host, not a path on it; write `example.com`".to_owned()),
        ("%65xample.com", "a host cannot be percent-encoded".to_owned()),
        ("example.com:", PORT.to_owned()),
        ("example.com:0", PORT.to_owned()),
        ("example.com:65536", PORT.to_owned()),
        ("example.com:+80", PORT.to_owned()),
        ("example.com: 80", PORT.to_owned()),
        ("example.com:**", PORT.to_owned()),
        ("example.com:http", PORT.to_owned()),
        ("*", "`*` alone would be every host; name a port, as in `*:443`, or all, as in `*:*`".to_owned()),
        ("**:443", format!("a wildcard alone would be every host{CURE}")),
        ("a**.example.com", format!("`**` must be the whole first label{CURE}")),
        ("***.example.com", format!("`**` must be the whole first label{CURE}")),
        ("api.**.example.com", format!("after the first label a wildcard must be a whole label `*`{CURE}")),
        ("api.example.*", format!("the last label cannot be a wildcard{CURE}")),
        ("api.example.c*", format!("after the first label a wildcard must be a whole label `*`{CURE}")),
        ("*.", format!("there is no host{HOST}")),
        ("*..com", "the host has an empty label".to_owned()),
        (".*.example.com", "the host has an empty label".to_owned()),
        ("*.bücher-*.example", "beside a wildcard there can only be ASCII; write these labels as `xn--`".to_owned()),
        ("*\u{3002}com", "beside a wildcard there can only be ASCII; write these labels as `xn--`".to_owned()),
        ("*.0.0.1", "an address has no wildcards; write a network, as in `10.0.0.0/8`".to_owned()),
        ("10.*", format!("the last label cannot be a wildcard{CURE}")),
        (
            "*@x.example.com",
            "a host has only letters, digits, `-`, `_`, `.` and wildcards; no scheme, port or path".into(),
        ),
        ("{a,b}.example.com", format!("a host cannot have `{{` in it{HOST}")),
    ]);
    let fault = Target::from_str("a\u{1b}b").unwrap_err();
    assert_eq!(fault.to_string(), "`a\\u{1b}b`: a host cannot have `\\u{1b}` in it");
    assert_eq!(fault.hint(), fault.cure);
}

#[test]
fn no_addresses() {
    const NET: &str = "it is no network; for example `10.0.0.0/8` or `[fd00::]/8`";
    check(&[
        ("1.2.3.4.5", "it looks like an IPv4 address and is none; for example `10.0.0.5`, or `10.0.0.0/8`".to_owned()),
        (
            "[10.0.0.5]",
            "it looks like an IPv6 address and is none; for example `[fd00::5]:443`, or `[fd00::]/8`".into(),
        ),
        ("[fe80::1%eth0]:80", "an IPv6 address cannot have a zone here; leave out what stands from `%` on".to_owned()),
        ("::1", "it has more than one colon: an IPv6 address stands in brackets; write `[::1]`".to_owned()),
        ("example.com:80:443", "it has more than one colon: an IPv6 address stands in brackets".to_owned()),
        ("10.0.0.5/8", "the address has bits behind the prefix; write `10.0.0.0/8`".to_owned()),
        ("[fd00::1]/8", "the address has bits behind the prefix; write `[fd00::]/8`".to_owned()),
        ("[::ffff:10.0.0.5]/104", "the address has bits behind the prefix; write `10.0.0.0/8`".to_owned()),
        ("10.0.0.0/33", NET.to_owned()),
        ("10.0.0.0/08", NET.to_owned()),
        ("10.0.0.0/+8", NET.to_owned()),
        ("10.0.0.0/", NET.to_owned()),
        ("10.0.0.0/8/8", NET.to_owned()),
        ("10/8", NET.to_owned()),
        ("127.1/32", NET.to_owned()),
        ("[10.0.0.0]/8", NET.to_owned()),
        ("[fd00::/8]", NET.to_owned()),
        ("fd00::/129", NET.to_owned()),
        ("*/0:443", NET.to_owned()),
    ]);
}

/// Who forbids more than was meant does no harm.
#[test]
fn whole_domains_can_only_be_denied() {
    for text in ["*.com", "*.com.", "**.org", "*-api.com", "*.*.com", "a*", "*.com\u{3002}"] {
        let fault = Target::from_str(text).unwrap_err();
        assert_eq!(fault.what, "the wildcard would cover a whole top-level domain", "{text}");
        assert!(Target::denied(text).is_ok(), "{text}");
    }
}

#[test]
fn covers() {
    for (rule, host, want) in [
        ("example.com", "EXAMPLE.com.", true),
        ("example.com", "a.example.com", false),
        ("example.com", "notexample.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "aexample.com", false),
        ("*.example.com", "example.com.evil.example", false),
        ("**.example.com", "a.b.example.com", true),
        ("**.example.com", "example.com", false),
        ("**.example.com", "aexample.com", false),
        ("api-*.example.com", "api-1.example.com", true),
        ("api-*.example.com", "api-.example.com", true),
        ("api-*.example.com", "api.example.com", false),
        ("api-*.example.com", "api-1.b.example.com", false),
        ("a.*.example.com", "a.b.example.com", true),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "[::ffff:10.0.0.1]", true),
        ("10.0.0.0/8", "[::10.0.0.1]", false),
        ("0.0.0.0/0", "[::1]", false),
        ("[::]/0", "127.0.0.1", false),
        ("[::]/0", "[::1]", true),
        ("127.0.0.1", "2130706433", true),
        ("127.0.0.1", "localhost", false),
        ("*:*", "example.com", true),
        ("*:*", "[::1]", true),
    ] {
        let rule: Target = rule.parse().unwrap();
        assert_eq!(rule.host.covers(&Host::parse(host).unwrap()), want, "{rule} {host}");
    }
    for (ports, want) in [
        (Ports::Web, [false, true, true, false, false]),
        (Ports::All, [false, true, true, true, true]),
        (Ports::One(8080), [false, false, false, true, false]),
        (Ports::One(0), [false; 5]),
    ] {
        assert_eq!([0, 80, 443, 8080, 65535].map(|port| ports.cover(port)), want, "{ports:?}");
    }
}

fn rule(hosts: &[&str], addresses: &[&str]) -> NetworkRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    NetworkRule { name: "r".to_owned(), hosts: owned(hosts), programs: Vec::new(), addresses: owned(addresses) }
}

#[test]
fn rules_of_files() {
    let read = |hosts: &[&str], addresses: &[&str]| match Allowed::from_rule(&rule(hosts, addresses)) {
        Ok(all) => {
            let one = |Allowed { target, addresses }: &Allowed| {
                format!("{target} {}", addresses.iter().map(shown).collect::<Vec<_>>().join(" "))
            };
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Err(fault) => fault.to_string(),
    };
    assert_eq!(read(&["a.example:443", "[fd00::5]:80"], &[]), "a.example:443 , [fd00::5]:80 ");
    assert_eq!(read(&["*:443"], &["10.0.0.5", "fd00::/8"]), "*:443 10.0.0.5 [fd00::]/8");
    assert_eq!(read(&["a.example"], &["10.0.0.5/8", "[fd00::1]/8", "::ffff:10.0.0.1"]), {
        "a.example 10.0.0.0/8 [fd00::]/8 10.0.0.1"
    });
    assert_eq!(read(&[], &[]), "");
    assert_eq!(read(&["*.com:443"], &[]), "`*.com:443`: the wildcard would cover a whole top-level domain");
    for address in ["10.0.0.0/33", "example.com", "", "*", "example.com/8", "[10.0.0.0]/8"] {
        assert_eq!(read(&["a.example:1"], &[address]), format!("`{address}`: it is neither an address nor a network"));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,30}|[a-c0-9.:*/\\[\\]]{0,24}") {
        for target in [text.parse::<Target>(), Target::denied(&text)].into_iter().flatten() {
            prop_assert_eq!(Target::denied(&target.to_string()), Ok(target));
        }
        // What may be allowed may be denied.
        prop_assert!(text.parse::<Target>().is_err() || text.parse::<Target>() == Target::denied(&text));
    }

    #[test]
    fn rules_come_back(
        text in "(\\*\\*\\.|\\*\\.|[a-c]\\*\\.)?([a-c]{1,3}\\.){1,2}[a-c]{2}(:\\*|:[1-9][0-9]{0,3})?",
    ) {
        let target: Target = text.parse().unwrap();
        prop_assert_eq!(target.to_string(), text);
    }

    #[test]
    fn networks_come_back(bytes in any::<[u8; 16]>(), v4 in any::<[u8; 4]>(), prefix in 0u8..=128, port in 1u16..) {
        let nets = [IpNet::new(bytes.into(), prefix), IpNet::new(v4.into(), prefix % 33)];
        for net in nets.map(|net| canonical(net.unwrap()).trunc()) {
            let target = Target { host: HostPattern::Net(net), ports: Ports::One(port) };
            prop_assert_eq!(target.to_string().parse(), Ok(target));
        }
    }
}
