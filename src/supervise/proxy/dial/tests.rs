//! Names whose answers a hostile server of names makes up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream as Client};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts};
use tokio::time::Instant;

use super::*;
use crate::policy::net::{Allowed, Target};
use crate::request::network::NetworkRule;
use crate::request::{Origin, Said};

#[test]
fn addresses_of_this_machine_are_told_from_others() {
    for (address, want) in [("127.0.0.1", true), ("::1", true), ("192.0.2.1", false), ("2001:db8::1", false)] {
        let address = address.parse().unwrap();
        assert_eq!(sends_to_itself(address) || can_be_bound(address), want, "{address}");
    }
}

/// One record of an answer.
#[derive(Debug, Clone)]
enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(&'static str),
}

/// What is answered to a question for a name, of IPv6 addresses or not; `None`: nothing at all.
type Script = Box<dyn Fn(&str, bool) -> Option<Vec<Record>> + Send>;

/// A server of names by UDP and TCP. By UDP, what is too long is cut off.
struct FakeNames {
    port: u16,
}

const LONGEST_DATAGRAM: usize = 512;

impl FakeNames {
    fn new(script: impl Fn(&str, bool) -> Option<Vec<Record>> + Send + 'static) -> Self {
        let script: Script = Box::new(script);
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let port = udp.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(script));
        let other = Arc::clone(&script);
        std::thread::spawn(move || by_udp(&udp, &other));
        std::thread::spawn(move || tcp.incoming().flatten().for_each(|client| by_tcp(client, &script)));
        Self { port }
    }

    fn names(&self) -> Names {
        let mut server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let connection = |mut connection: ConnectionConfig| {
            connection.port = self.port;
            connection
        };
        server.connections = server.connections.into_iter().map(connection).collect();
        let mut options = ResolverOpts::default();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = Duration::from_millis(500);
        options.attempts = 1;
        Names::with(ResolverConfig::from_parts(None, vec!["corp.test.".parse().unwrap()], vec![server]), options)
            .unwrap()
    }

    fn dialer(&self, allow: &[(&str, &[&str])], deny: &[&str]) -> Dialer {
        let by = || Origin::Flag("--allow-host");
        let rule = |(host, addresses): &(&str, &[&str])| {
            let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
            let rule = NetworkRule { hosts: vec![(*host).to_owned()], addresses, ..NetworkRule::default() };
            Allowed::from_rule(&rule).unwrap()
        };
        let allow = allow.iter().flat_map(rule).map(|rule| Said::new(rule, by())).collect();
        let deny = deny.iter().map(|text| Said::new(Target::denied(text).unwrap(), by())).collect();
        Dialer { rules: HostRules { allow, deny, methods: None }, names: self.names(), routes: Routes::new().ok() }
    }
}

type Shared = Arc<Mutex<Script>>;

fn by_udp(socket: &UdpSocket, script: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some(mut answer) = answer(&buffer[..length], script) else { continue };
        if answer.len() > LONGEST_DATAGRAM {
            // Only the question, and the bit that says that there is more.
            answer = reply(&buffer[..length], &[]);
            answer[2] |= 2;
        }
        socket.send_to(&answer, from).unwrap();
    }
}

fn by_tcp(mut client: Client, script: &Shared) {
    loop {
        let mut length = [0; 2];
        if client.read_exact(&mut length).is_err() {
            return;
        }
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        client.read_exact(&mut question).unwrap();
        let Some(answer) = answer(&question, script) else { return };
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        client.write_all(&[&length, answer.as_slice()].concat()).unwrap();
    }
}

fn answer(message: &[u8], script: &Shared) -> Option<Vec<u8>> {
    let (name, end) = name(message, 12);
    let records = script.lock().unwrap()(&name, message[end + 1] == 28)?;
    Some(reply(message, &records))
}

/// The name at a place, and where it ends.
fn name(message: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    while message[at] > 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

fn encoded(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

/// A header, the question, and records: each of the name that the CNAME before it gave.
fn reply(message: &[u8], records: &[Record]) -> Vec<u8> {
    let (_, end) = name(message, 12);
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let header = [message[0], message[1], 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
    let mut bytes = [&header, &message[12..end + 4]].concat();
    let mut owner = vec![0xC0, 12];
    for record in records {
        let (kind, data) = match record {
            Record::A(address) => (1, address.octets().to_vec()),
            Record::Aaaa(address) => (28, address.octets().to_vec()),
            Record::Cname(name) => (5, encoded(name)),
        };
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        // Class IN, and a life of no seconds: nothing of it is to be remembered.
        bytes.extend([owner.as_slice(), &[0, kind, 0, 1, 0, 0, 0, 0], &length, &data].concat());
        if let Record::Cname(name) = record {
            owner = encoded(name);
        }
    }
    bytes
}

/// Dials, and says what came of it.
fn dial(dialer: &Dialer, name: &str, port: u16) -> String {
    dial_for(dialer, name, port, Duration::from_secs(5))
}

fn dial_for(dialer: &Dialer, name: &str, port: u16, patience: Duration) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(dialled(dialer, name, port, patience))
}

async fn dialled(dialer: &Dialer, name: &str, port: u16, patience: Duration) -> String {
    let host = Host::parse(name).unwrap();
    let patience = Patience { dial: patience, ..Patience::USUAL };
    match dialer.dial(&host, port, &patience).await {
        Ok(stream) => stream.peer_addr().unwrap().ip().to_string(),
        Err(why) => why.code().to_owned(),
    }
}

fn v4(text: &str) -> Record {
    Record::A(text.parse().unwrap())
}

fn v6(text: &str) -> Record {
    Record::Aaaa(text.parse().unwrap())
}

/// Answers the same records to each question for their kind.
fn always(records: Vec<Record>) -> FakeNames {
    FakeNames::new(move |_, six| {
        let of_kind = |record: &&Record| match record {
            Record::A(_) => !six,
            Record::Aaaa(_) => six,
            Record::Cname(_) => true,
        };
        Some(records.iter().filter(of_kind).cloned().collect())
    })
}

/// A server at several addresses of loopback, and whether anybody has called since the last look.
struct Servers(Vec<TcpListener>, u16);

impl Servers {
    fn at(addresses: &[&str]) -> Self {
        loop {
            let first = TcpListener::bind((addresses[0], 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            let rest: Vec<_> = addresses[1..].iter().flat_map(|address| TcpListener::bind((*address, port))).collect();
            if rest.len() == addresses.len() - 1 {
                let all: Vec<_> = std::iter::once(first).chain(rest).collect();
                all.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
                return Self(all, port);
            }
        }
    }

    fn called(&self) -> Vec<bool> {
        self.0.iter().map(|listener| listener.accept().is_ok()).collect()
    }
}

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

#[test]
fn a_name_is_reached_at_the_addresses_that_its_rule_lists_and_no_others() {
    let servers = Servers::at(&["127.0.0.1", "127.0.0.2"]);
    let (rule, port) = (format!("a.test:{}", servers.1), servers.1);
    let table: [(&[Record], &[&str], &str); 12] = [
        (&[v4("127.0.0.1")], &["127.0.0.1/32"], "127.0.0.1"),
        (&[v4("127.0.0.1")], &[], "special-address"),
        (&[v4("127.0.0.2")], &["127.0.0.1/32"], "special-address"),
        (&[v4("127.0.0.2"), v4("127.0.0.1")], &["127.0.0.1/32"], "127.0.0.1"),
        (&[v4("10.0.0.1")], &[], "special-address"),
        (&[v4("169.254.169.254")], &[], "special-address"),
        (&[v4("0.0.0.0")], &["0.0.0.0/0"], "never"),
        (&[v4("224.0.0.1"), v4("255.255.255.255")], &["0.0.0.0/0"], "never"),
        (&[v6("::ffff:127.0.0.1")], &["::/0", "127.0.0.0/8"], "never"),
        (&[v6("::1")], &[], "special-address"),
        (&[v6("64:ff9b::127.0.0.1")], &[], "special-address"),
        (&[], &["127.0.0.1/32"], "dns"),
    ];
    for (records, addresses, want) in table {
        let dialer = always(records.to_vec()).dialer(&[(&rule, addresses)], &[]);
        assert_eq!(dial(&dialer, "a.test", port), want, "{records:?} {addresses:?}");
        assert_eq!(servers.called(), [want == "127.0.0.1", false], "{records:?} {addresses:?}");
    }
}

#[test]
fn denied_addresses_are_refused_by_any_name_and_behind_any_chain() {
    let servers = Servers::at(&["127.0.0.1"]);
    let port = servers.1;
    let chain = || always(vec![Record::Cname("b.test"), Record::Cname("c.test"), v4("127.0.0.1")]);
    let rule: &[(&str, &[&str])] = &[("a.test:*", LOOPBACK)];
    assert_eq!(dial(&chain().dialer(rule, &[]), "a.test", port), "127.0.0.1");
    assert_eq!(servers.called(), [true]);
    assert_eq!(dial(&chain().dialer(rule, &["127.0.0.1:*"]), "a.test", port), "denied");
    assert_eq!(dial(&chain().dialer(rule, &["127.0.0.0/8"]), "a.test", port), "denied");
    assert_eq!(servers.called(), [false]);
}

#[test]
fn a_name_that_changes_its_address_between_two_dials_is_judged_anew() {
    let servers = Servers::at(&["127.0.0.1", "127.0.0.2"]);
    let asked = AtomicU32::new(0);
    let names = FakeNames::new(move |_, six| {
        let first = !six && asked.fetch_add(1, Ordering::Relaxed) == 0;
        let address = if first { "127.0.0.1" } else { "127.0.0.2" };
        Some(if six { Vec::new() } else { vec![v4(address)] })
    });
    let rule = format!("a.test:{}", servers.1);
    let dialer = names.dialer(&[(&rule, &["127.0.0.1/32"])], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = runtime.block_on(async {
        let patience = Duration::from_secs(5);
        let first = dialled(&dialer, "a.test", servers.1, patience).await;
        (first, dialled(&dialer, "a.test", servers.1, patience).await)
    });
    assert_eq!((first.as_str(), second.as_str()), ("127.0.0.1", "special-address"));
    assert_eq!(servers.called(), [true, false]);
}

#[test]
fn chains_without_end_and_servers_without_an_answer_cost_no_more_than_the_time_for_a_dial() {
    let table: [(FakeNames, &str); 3] = [
        (
            FakeNames::new(|name, _| Some(vec![Record::Cname(if name == "a.test" { "b.test" } else { "a.test" })])),
            "dns",
        ),
        (always(vec![Record::Cname("b.test"), Record::Cname("a.test"), Record::Cname("b.test")]), "dns"),
        (FakeNames::new(|_, _| None), "timeout"),
    ];
    for (names, want) in table {
        let dialer = names.dialer(&[("a.test", LOOPBACK)], &[]);
        let begin = Instant::now();
        assert_eq!(dial_for(&dialer, "a.test", 80, Duration::from_millis(400)), want);
        assert!(begin.elapsed() < Duration::from_secs(4), "{want} after {:?}", begin.elapsed());
    }
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_comes_by_tcp_and_has_an_end() {
    let servers = Servers::at(&["127.0.0.1"]);
    let port = servers.1;
    let many = |last: &str| {
        let refused = (0..499_u32).map(|number| Record::A(Ipv4Addr::from(0x0A00_0001 + number)));
        always(refused.chain([v4(last)]).collect())
    };
    let rule: &[(&str, &[&str])] = &[("a.test:*", LOOPBACK)];
    assert_eq!(dial(&many("127.0.0.1").dialer(rule, &[]), "a.test", port), "127.0.0.1");
    assert_eq!(servers.called(), [true]);
    assert_eq!(dial(&many("10.1.0.1").dialer(rule, &[]), "a.test", port), "special-address");
    // Of five hundred that may be reached, the first few are tried: a name is no port scan.
    let dead = (0..499_u32).map(|number| Record::A(Ipv4Addr::from(0x7F00_0100 + number)));
    let names = always(dead.chain([v4("127.0.0.1")]).collect());
    assert_eq!(dial(&names.dialer(rule, &[]), "a.test", port), "refused");
    assert_eq!(servers.called(), [false]);
}

#[test]
fn what_is_refused_by_name_is_never_asked_for() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let names = FakeNames::new(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(Vec::new())
    });
    let dialer = names.dialer(&[("a.test", &[])], &["b.a.test"]);
    let asks = || asked.load(Ordering::Relaxed);
    for name in ["secret.evil.test", "b.a.test", "a.test"] {
        let host = Host::parse(name).unwrap();
        if dialer.rules.by_name(&host, 80, None).is_ok() {
            dial(&dialer, name, 80);
        }
        assert_eq!(asks() > 0, name == "a.test", "{name}");
    }
}

#[test]
fn a_search_list_makes_no_other_host_of_a_name() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let names = FakeNames::new(move |name, _| {
        log.lock().unwrap().push(name.to_owned());
        Some(Vec::new())
    });
    let dialer = names.dialer(&[("a.test", &[]), ("short", &[])], &[]);
    dial(&dialer, "short", 80);
    assert!(heard.lock().unwrap().iter().any(|name| name == "short.corp.test"), "the control: there is a search list");
    heard.lock().unwrap().clear();
    dial(&dialer, "a.test", 80);
    let heard = heard.lock().unwrap();
    assert!(!heard.is_empty() && heard.iter().all(|name| name == "a.test"), "{heard:?}");
}

#[test]
fn every_address_that_can_be_listened_at_is_an_own_one() {
    for (address, own) in [("127.0.0.1", true), ("127.9.9.9", true), ("192.0.2.1", false), ("198.51.100.9", false)] {
        assert_eq!(can_be_bound(address.parse().unwrap()), own, "{address}");
    }
}
