//! The decision as a table, and next to a second model that is slow and obvious.

use proptest::prelude::*;

use super::*;
use crate::request::network::NetworkRule;

fn by(text: &'static str) -> Origin {
    Origin::Flag(text)
}

/// A rule, behind a blank the addresses that it lists.
fn allowed(text: &str) -> Vec<Allowed> {
    let mut words = text.split(' ').map(str::to_owned);
    let hosts = vec![words.next().unwrap()];
    let rule = NetworkRule { hosts, addresses: words.collect(), ..NetworkRule::default() };
    Allowed::from_rule(&rule).unwrap()
}

fn rules(allow: &[&str], deny: &[&str]) -> HostRules {
    let allow = allow.iter().flat_map(|text| allowed(text));
    let deny = deny.iter().map(|text| Target::denied(text).unwrap());
    HostRules {
        allow: allow.map(|rule| Said::new(rule, by("--allow-host"))).collect(),
        deny: deny.map(|rule| Said::new(rule, by("--deny-host"))).collect(),
        methods: None,
    }
}

/// By name, then by each address.
fn decide(rules: &HostRules, ask: &str, addresses: &str, is_own: bool) -> Result<(), Refusal> {
    let (host, port) = Host::parse_with_port(ask).unwrap();
    rules.by_name(&host, port, None)?;
    let literal = match host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    let resolved = addresses.split(' ').filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    resolved.chain(literal).try_for_each(|address| rules.by_address(&host, port, address, is_own))
}

fn code(decided: Result<(), Refusal>) -> &'static str {
    decided.map_or_else(|refusal| refusal.code(), |()| "ok")
}

/// Rules that allow and deny, who is asked for, the addresses of that name, and what comes out.
type Row = (&'static [&'static str], &'static [&'static str], &'static str, &'static str, &'static str);

fn check(rows: &[Row]) {
    for (allow, deny, ask, addresses, want) in rows {
        let decided = decide(&rules(allow, deny), ask, addresses, false);
        assert_eq!(code(decided), *want, "{allow:?} {deny:?} {ask} {addresses}");
    }
}

#[test]
fn decisions_about_names() {
    let public = "1.1.1.1 2606:4700::1111";
    check(&[
        // No rule, no access.
        (&[], &[], "a.example:443", public, "no-rule"),
        (&[], &[], "1.1.1.1:443", "", "no-rule"),
        (&["a.example"], &[], "a.example:443", public, "ok"),
        (&["a.example"], &[], "a.example:80", public, "ok"),
        (&["a.example"], &[], "a.example:8080", public, "no-rule"),
        (&["a.example"], &[], "b.example:443", public, "no-rule"),
        (&["a.example:*"], &[], "a.example:8080", public, "ok"),
        (&["*.a.example"], &[], "x.a.example:443", public, "ok"),
        (&["*.a.example"], &[], "x.y.a.example:443", public, "no-rule"),
        (&["*:443"], &[], "x.y.a.example:443", public, "ok"),
        (&["*:443"], &[], "1.1.1.1:443", "", "ok"),
        (&["*:443"], &[], "x.a.example:80", public, "no-rule"),
        // Deny comes first, and is not narrower than it looks.
        (&["**.a.example"], &["x.a.example"], "x.a.example:443", public, "denied"),
        (&["**.a.example"], &["x.a.example"], "y.a.example:443", public, "ok"),
        (&["**.a.example"], &["*.b.a.example"], "x.y.b.a.example:443", public, "denied"),
        (&["**.a.example"], &["*.b.a.example"], "b.a.example:443", public, "ok"),
        (&["*:*"], &["a.example"], "a.example:8443", public, "denied"),
        (&["*:*"], &["a.example:443"], "a.example:8443", public, "ok"),
        (&["*:*"], &["*:25"], "a.example:25", public, "denied"),
        (&["*:*"], &["*.zip"], "a.b.zip:443", public, "denied"),
        (&["*:*"], &["1.1.1.0/24"], "a.example:443", "1.0.0.1 1.1.1.1", "denied"),
        (&["*:*"], &["1.1.1.0/24"], "1.1.1.1:443", "", "denied"),
        (&["*:*"], &["1.1.1.0/24"], "[64:ff9b::1.1.1.1]:443", "", "denied"),
        (&["*:*"], &["1.1.1.0/24"], "1.0.0.1:443", "", "ok"),
        (&["10.0.0.0/8"], &["10.0.0.5"], "10.0.0.5:443", "", "denied"),
        (&["[::]/0"], &["10.0.0.0/8"], "[2002:a00:1::]:443", "", "denied"),
        (&["0.0.0.0/0"], &["10.0.0.0/8"], "[::ffff:10.0.0.1]:443", "", "denied"),
        // A name that is denied is not known by its address.
        (&["*:*"], &["a.example"], "1.1.1.1:443", "", "ok"),
    ]);
}

#[test]
fn decisions_about_addresses() {
    check(&[
        // Special addresses, resolved or literal.
        (&["a.example"], &[], "a.example:443", "1.1.1.1 10.0.0.5", "special-address"),
        (&["a.example"], &[], "a.example:443", "169.254.169.254", "special-address"),
        (&["a.example"], &[], "a.example:443", "fd00:ec2::254", "special-address"),
        (&["localhost:*"], &[], "localhost:80", "127.0.0.1", "special-address"),
        (&["localhost:*", "127.0.0.1:80"], &[], "localhost:80", "127.0.0.1", "ok"),
        (&["localhost:*", "127.0.0.1:80"], &[], "localhost:81", "127.0.0.1", "special-address"),
        (&["localhost:*", "127.0.0.1:80"], &[], "localhost:80", "127.0.0.1 ::1", "special-address"),
        (&["*:*"], &[], "127.1:80", "", "special-address"),
        (&["*:*"], &[], "0x7f000001:80", "", "special-address"),
        (&["*:*"], &[], "[::1]:80", "", "special-address"),
        (&["*:*"], &[], "[::ffff:7f00:1]:80", "", "special-address"),
        (&["*:*"], &[], "[64:ff9b::7f00:1]:80", "", "special-address"),
        (&["*:*"], &[], "[64:ff9b::101:101]:80", "", "ok"),
        (&["127.0.0.1:80"], &[], "[::ffff:127.0.0.1]:80", "", "ok"),
        (&["127.0.0.1:80"], &[], "127.0.0.1:81", "", "no-rule"),
        (&["127.0.0.1:80"], &[], "127.0.0.2:80", "", "no-rule"),
        (&["10.0.0.0/8"], &[], "10.9.9.9:80", "", "ok"),
        (&["10.0.0.0/8"], &[], "intranet:80", "10.9.9.9", "no-rule"),
        (&["10.0.0.0/8", "[64:ff9b::a00:0]/104"], &[], "[64:ff9b::10.9.9.9]:80", "", "ok"),
        (&["10.0.0.0/8", "*:*"], &[], "[64:ff9b::10.9.9.9]:80", "", "special-address"),
        // What a rule lists holds for its hosts and ports only.
        (&["a.example 10.0.0.0/8", "b.example"], &[], "a.example:80", "10.1.1.1", "ok"),
        (&["a.example 10.0.0.0/8", "b.example"], &[], "b.example:80", "10.1.1.1", "special-address"),
        (&["a.example 10.0.0.0/8"], &[], "a.example:80", "192.168.0.1", "special-address"),
        (&["a.example 10.0.0.0/8"], &[], "a.example:80", "1.1.1.1", "not-listed"),
        (&["a.example 10.0.0.0/8", "*:*"], &[], "a.example:80", "1.1.1.1", "ok"),
        (&["*:443 10.0.0.0/8"], &[], "a.example:443", "10.1.1.1", "ok"),
        (&["*:443 10.0.0.0/8"], &[], "10.1.1.1:443", "", "ok"),
        (&["*:443 10.0.0.0/8"], &[], "a.example:443", "1.1.1.1", "not-listed"),
        (&["*:443 10.0.0.0/8"], &[], "1.1.1.1:443", "", "not-listed"),
        (&["10.0.0.5:443 192.168.0.0/16"], &[], "10.0.0.5:443", "", "special-address"),
        // Never.
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "0:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "[::]:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "224.0.0.251:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "255.255.255.255:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "[ff02::1]:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "a.example:80", "::ffff:1.1.1.1", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "[64:ff9b::]:80", "", "never"),
        (&["*:*", "0.0.0.0/0:*", "[::]/0:*"], &[], "[::1]:80", "", "ok"),
        (&[], &[], "0.0.0.0:80", "", "never"),
    ]);
}

#[test]
fn own_addresses_are_special() {
    for (allow, ask, want) in [
        (&["*:*"][..], "a.example:80", "own-address"),
        (&["*:*"], "1.1.1.1:80", "own-address"),
        (&["*:*", "1.1.1.1"], "a.example:80", "ok"),
        (&["*:*", "1.1.1.1:81"], "a.example:80", "own-address"),
        (&["a.example 1.1.1.1"], "a.example:80", "ok"),
    ] {
        let rules = rules(allow, &[]);
        let addresses = if ask.starts_with('a') { "1.1.1.1" } else { "" };
        assert_eq!(code(decide(&rules, ask, addresses, true)), want, "{allow:?} {ask}");
    }
}

#[test]
fn methods() {
    let mut limited = rules(&["a.example", "1.1.1.1"], &[]);
    limited.methods = Some(Said::new(vec!["GET".to_owned(), "HEAD".to_owned()], Origin::Flag("--http-methods")));
    let ask = |rules: &HostRules, host: &str, method| {
        code(rules.by_name(&Host::parse(host).unwrap(), 80, method).map(|_| ()))
    };
    for (host, method, want) in [
        ("a.example", Some("GET"), "ok"),
        ("1.1.1.1", Some("HEAD"), "ok"),
        ("a.example", None, "ok"),
        ("a.example", Some("POST"), "method"),
        ("1.1.1.1", Some("POST"), "method"),
        ("a.example", Some("get"), "method"),
        ("a.example", Some("GET "), "method"),
        ("a.example", Some(""), "method"),
        // Who may not be reached at all is not told which methods there are.
        ("b.example", Some("POST"), "no-rule"),
    ] {
        assert_eq!(ask(&limited, host, method), want, "{host} {method:?}");
    }
    assert_eq!(ask(&rules(&["a.example"], &[]), "a.example", Some("POST")), "ok");
}

#[test]
fn refusals_are_told() {
    let told = |rules: &HostRules, ask: &str, addresses: &str, is_own| {
        let refusal = decide(rules, ask, addresses, is_own).unwrap_err();
        let because = refusal.because().map(ToString::to_string);
        format!("{refusal} | {} | {}", refusal.allow_with().unwrap_or_default(), because.unwrap_or_default())
    };
    let some = rules(&["a.example", "*:443 10.0.0.0/8"], &["*.evil.example", "8.8.8.8"]);
    expect_test::expect![[r"
        no rule allows b.example:80 | --allow-host b.example:80 | 
        no rule allows [::1]:80 | --allow-host [::1]:80 | 
        the rule `*.evil.example` denies a.b.evil.example:80 |  | --deny-host
        the rule `8.8.8.8` denies 8.8.8.8:443 |  | --deny-host
        [::] is unspecified (this host, to programs that connect there), which no rule can allow |  | 
        10.0.0.5, an address of a.example, is private (local networks), and no rule lists it for port 80 | --allow-host 10.0.0.5:80 | 
        [fe80::1] is link-local (this link), and no rule lists it for port 443 | --allow-host [fe80::1]:443 | 
        1.1.1.1, an address of a.example, belongs to this machine, and no rule lists it for port 80 | --allow-host 1.1.1.1:80 | 
        1.1.1.1 is not among the addresses that a rule lists for port 443 | --allow-host 1.1.1.1:443 | "]]
    .assert_eq(
        &[
            told(&some, "b.example:80", "", false),
            told(&some, "[::1]:80", "", false),
            told(&some, "a.b.evil.example:80", "", false),
            told(&some, "a.example:443", "8.8.8.8", false),
            told(&some, "[::]:80", "", false),
            told(&some, "a.example:80", "10.0.0.5", false),
            told(&some, "[fe80::1]:443", "", false),
            told(&some, "a.example:80", "1.1.1.1", true),
            told(&some, "1.1.1.1:443", "", false),
        ]
        .join("\n"),
    );
    let method = |method: &str| Refusal::Method { method: method.to_owned(), allowed: vec!["GET".to_owned()] };
    assert_eq!(method("PUT").to_string(), "the method `PUT` is not one of GET");
    assert_eq!(method("PUT").allow_with().as_deref(), Some("--http-methods GET,PUT"));
    assert_eq!(method("P\x1b[").to_string(), "the method `P\\u{1b}[` is not one of GET");
    assert_eq!(method("P; rm").allow_with(), None);
    assert_eq!(no_rule(&Host::Name("a".to_owned()), 0).allow_with(), None);
}

const NAMES: &[&str] = &["a.example", "b.a.example", "c.b.a.example", "other.test"];
const ADDRESSES: &[&str] =
    &["1.1.1.1", "1.1.1.2", "10.0.0.5", "127.0.0.1", "0.0.0.0", "::1", "fd00::5", "2606:4700::1", "64:ff9b::a00:5"];
const SPECIAL: &[&str] = &["10.0.0.5", "127.0.0.1", "::1", "fd00::5", "64:ff9b::a00:5"];
const PORTS: &[u16] = &[80, 443, 22];
/// Names and networks, and whom of those above they cover.
const HOSTS: &[(&str, &[&str])] = &[
    ("a.example", &["a.example"]),
    ("other.test", &["other.test"]),
    ("*.a.example", &["b.a.example"]),
    ("**.a.example", &["b.a.example", "c.b.a.example"]),
    ("b*.a.example", &["b.a.example"]),
    ("1.1.1.0/24", &["1.1.1.1", "1.1.1.2"]),
    ("1.1.1.1", &["1.1.1.1"]),
    ("10.0.0.0/8", &["10.0.0.5"]),
    ("0.0.0.0/0", &["1.1.1.1", "1.1.1.2", "10.0.0.5", "127.0.0.1", "0.0.0.0"]),
    ("[fd00::]/8", &["fd00::5"]),
    ("[::]/0", &["::1", "fd00::5", "2606:4700::1", "64:ff9b::a00:5"]),
];

/// Host, port (empty, `*` or a number) and listed networks, as places in the tables.
#[derive(Debug, Clone)]
struct Rule {
    host: Option<usize>,
    port: &'static str,
    lists: Vec<usize>,
}

impl Rule {
    fn text(&self) -> String {
        let host = self.host.map_or("*", |host| HOSTS[host].0);
        let port = match (self.port, self.host) {
            ("", None) => ":*".to_owned(),
            ("", Some(_)) => String::new(),
            (port, _) => format!(":{port}"),
        };
        let lists: String = self.lists.iter().map(|list| format!(" {}", HOSTS[*list].0)).collect();
        format!("{host}{port}{lists}")
    }

    fn is_about(&self, host: &str) -> bool {
        self.host.is_none_or(|own| HOSTS[own].1.contains(&host))
    }

    fn has_port(&self, port: u16, by_default: bool) -> bool {
        match (self.port, self.host) {
            ("*", _) | ("", None) => true,
            ("", Some(_)) => by_default || port == 80 || port == 443,
            (own, _) => own == port.to_string(),
        }
    }

    fn lists(&self, address: &str) -> bool {
        self.lists.iter().any(|list| HOSTS[*list].1.contains(&address))
    }
}

const FIRST_NET: usize = 5;

fn rule() -> impl Strategy<Value = Rule> {
    let host = proptest::option::weighted(0.8, 0..HOSTS.len());
    let lists = proptest::collection::vec(FIRST_NET..HOSTS.len(), 0..2);
    let port = proptest::sample::select(vec!["", "*", "443", "22"]);
    (host, port, lists).prop_map(|(host, port, lists)| Rule { host, port, lists })
}

/// What the design says, word for word.
fn model(allow: &[Rule], deny: &[Rule], (host, port): (&str, u16), address: &str, is_own: bool) -> bool {
    let denies = |rule: &Rule| {
        let deeper = rule.host.is_some_and(|own| HOSTS[own].0 == "*.a.example") && host == "c.b.a.example";
        let inner = address == "64:ff9b::a00:5" && rule.is_about("10.0.0.5");
        (deeper || rule.is_about(host) || rule.is_about(address) || inner) && rule.has_port(port, true)
    };
    if deny.iter().any(denies) || address == "0.0.0.0" {
        return false;
    }
    let by_itself = allow.iter().any(|rule| {
        let is_net = rule.host.is_some_and(|own| own >= FIRST_NET);
        is_net && rule.is_about(address) && rule.has_port(port, false) && (rule.lists.is_empty() || rule.lists(address))
    });
    let public = !SPECIAL.contains(&address) && !is_own;
    allow
        .iter()
        .filter(|rule| rule.is_about(host) && rule.has_port(port, false))
        .any(|rule| by_itself || rule.lists(address) || rule.lists.is_empty() && public)
}

fn made(allow: &[Rule], deny: &[Rule]) -> HostRules {
    let texts = |rules: &[Rule]| rules.iter().map(Rule::text).collect::<Vec<_>>();
    let (allow, deny) = (texts(allow), texts(deny));
    let first = |text: &String| text.split(' ').next().unwrap().to_owned();
    let deny: Vec<_> = deny.iter().map(first).collect();
    let borrowed = |texts: &[String]| texts.iter().map(|text| text.clone().leak() as &str).collect::<Vec<_>>();
    rules(&borrowed(&allow), &borrowed(&deny))
}

/// A name and one of its addresses, or an address twice.
fn ask() -> impl Strategy<Value = (&'static str, &'static str, u16)> {
    let address = proptest::sample::select(ADDRESSES);
    let name = proptest::option::weighted(0.6, proptest::sample::select(NAMES));
    (name, address, proptest::sample::select(PORTS))
        .prop_map(|(name, address, port)| (name.unwrap_or(address), address, port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_decision_is_that_of_the_model(
        allow in proptest::collection::vec(rule(), 0..4),
        deny in proptest::collection::vec(rule(), 0..2),
        more in rule(),
        (name, at, port) in ask(),
        is_own in any::<bool>(),
    ) {
        let host = Host::parse(name).unwrap();
        let address: IpAddr = at.parse().unwrap();
        let rules = made(&allow, &deny);
        let early = rules.by_name(&host, port, None);
        let late = rules.by_address(&host, port, address, is_own);
        prop_assert_eq!(late.is_ok(), model(&allow, &deny, (name, port), at, is_own), "{:?}", late);
        // Who may not be asked for has no address that may be dialled, and of a literal all but `is_own` is known.
        prop_assert!(early.is_ok() || late.is_err());
        if name == at && !is_own {
            prop_assert_eq!(early.is_ok(), late.is_ok());
        }
        if allow.is_empty() {
            prop_assert!(early.is_err() && late.is_err());
        }
        let denied_more = made(&allow, &[deny.clone(), vec![more.clone()]].concat());
        let later = denied_more.by_address(&host, port, address, is_own);
        prop_assert!(late.is_ok() || later.is_err(), "a rule that denies allowed something");
        // Nor does a rule that allows take away.
        let allowed_more = made(&[allow.clone(), vec![more]].concat(), &deny);
        prop_assert!(late.is_err() || allowed_more.by_address(&host, port, address, is_own).is_ok());
        // The flag that is offered is enough.
        if let Err(refusal) = late && let Some(flag) = refusal.allow_with() {
            let target = flag.strip_prefix("--allow-host ").unwrap().parse::<Target>().unwrap();
            let mut rules = rules.clone();
            rules.allow.push(Said::new(Allowed { target, addresses: Vec::new() }, by("--allow-host")));
            let again = rules.by_address(&host, port, address, is_own);
            let then = again.as_ref().map_or_else(Refusal::code, |()| "ok");
            // Of a name it can be that an address of it needs another flag.
            let next = refusal.code() == "no-rule" && ["special-address", "own-address"].contains(&then);
            prop_assert!(then == "ok" || name != at && next, "{} {:?}", flag, again);
        }
    }

    /// Whatever is said about names, special addresses stay out until an address is listed.
    #[test]
    fn special_addresses_need_a_list(bytes in any::<[u8; 16]>(), v4 in any::<[u8; 4]>(), port in 1u16..) {
        let rules = rules(&["*:*", "a.example:*", "*.example.com:*"], &[]);
        for address in [IpAddr::from(bytes), IpAddr::from(v4)] {
            for host in [Host::Name("a.example".to_owned()), Host::Address(address)] {
                let decided = rules.by_address(&host, port, address, false);
                prop_assert_eq!(decided.is_ok(), address::special(address).is_none());
                prop_assert!(rules.by_address(&host, port, address, true).is_err());
            }
        }
    }
}
