//! One endpoint of `network_policies`: its keys, and what they must not say together.

use super::options::{self, Options};
use super::reader::{Field, Reader, Section, Spot, Word, is_set, shown};
use super::rules::{self, Context};
use super::{addresses, host};
use crate::request::near::nearest;

const KEYS: &[&str] = &[
    "host",
    "port",
    "ports",
    "path",
    "protocol",
    "tls",
    "enforcement",
    "access",
    "rules",
    "deny_rules",
    "allowed_ips",
    "allow_encoded_slash",
    "websocket_credential_rewrite",
    "request_body_credential_rewrite",
    "allow_uninspected_credentials",
    "credential_signing",
    "signing_service",
    "signing_region",
    "credential_binding",
    "persisted_queries",
    "graphql_persisted_queries",
    "graphql_max_body_bytes",
    "json_rpc",
    "mcp",
];

/// What protocol tcp has nothing to do with.
const NOT_FOR_TCP: &[&str] = &[
    "path",
    "enforcement",
    "access",
    "rules",
    "deny_rules",
    "websocket_credential_rewrite",
    "request_body_credential_rewrite",
    "persisted_queries",
    "graphql_persisted_queries",
    "graphql_max_body_bytes",
    "json_rpc",
    "mcp",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Nothing is said: connections through the proxy.
    Unset,
    /// Connections, whoever makes them.
    Tcp,
    Rest,
    Websocket,
    Graphql,
    Sql,
    JsonRpc,
    Mcp,
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("tcp", Protocol::Tcp),
    ("rest", Protocol::Rest),
    ("websocket", Protocol::Websocket),
    ("graphql", Protocol::Graphql),
    ("sql", Protocol::Sql),
    ("json-rpc", Protocol::JsonRpc),
    ("mcp", Protocol::Mcp),
];

impl Protocol {
    /// Whether requests are looked into.
    pub(super) fn inspects(self) -> bool {
        !matches!(self, Self::Unset | Self::Tcp)
    }
}

/// An endpoint, as far as it is of use here.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub spot: Spot,
    /// Lower case; `None`: any host with one of the addresses.
    pub host: Option<String>,
    pub ports: Vec<u16>,
    pub protocol: Protocol,
    pub skips_tls: bool,
    /// Whether `tls` says anything.
    pub has_tls: bool,
    /// Whether `enforcement` says anything, and whether that is `enforce`.
    pub has_enforcement: bool,
    pub enforces: bool,
    pub path: String,
    /// Whether path, rules or access narrow down what may be asked.
    pub narrows_requests: bool,
    pub addresses: Vec<String>,
    pub credentials: Vec<(&'static str, String)>,
    pub options: Options,
    pub encoded_slash: bool,
}

impl Endpoint {
    /// `HOST:PORT`, for each port.
    pub(super) fn hosts(&self) -> Vec<String> {
        let host = self.host.as_deref().unwrap_or("*");
        self.ports.iter().map(|port| format!("{host}:{port}")).collect()
    }
}

/// Reads and checks an endpoint; `None` if anything is wrong with it, so that no second fault follows from the first.
pub(super) fn read(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<Endpoint> {
    let before = reader.violations.len();
    let endpoint = read_all(reader, item)?;
    (reader.violations.len() == before).then_some(endpoint)
}

fn read_all(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<Endpoint> {
    let section = reader.open(item, KEYS)?;
    let protocol = protocol(reader, &section);
    let addresses = addresses(reader, &section);
    let host = host(reader, &section, protocol);
    let ports = ports(reader, &section);
    let path = path(reader, &section);
    let (has_tls, skips_tls) = tls(reader, &section);
    let enforcement = one_of(reader, &section, "enforcement", &["enforce", "audit"], "net.enforcement");
    let access = one_of(reader, &section, "access", &["read-only", "read-write", "full"], "net.access");
    let options = options::read(reader, &section, protocol);
    let context = Context { protocol, strict_tools: options.strict_tools, all_methods: options.all_methods };
    rules::check(reader, &section, context, options.graphql);
    let credentials = options::credentials(reader, &section);
    uninspected(reader, &section);
    let encoded_slash = reader.flag(&section, "allow_encoded_slash").unwrap_or(false);
    let enforces = enforcement.as_ref().is_some_and(|word| word.text == "enforce");
    cross_check(reader, &section, context, enforces);
    let narrows = ["path", "rules", "deny_rules"].iter().any(|key| sets(&section, key));
    Some(Endpoint {
        spot: section.spot.clone(),
        host,
        ports,
        protocol: protocol.unwrap_or(Protocol::Unset),
        skips_tls,
        has_tls,
        has_enforcement: enforcement.is_some(),
        enforces,
        path: path.map(|word| word.text).unwrap_or_default(),
        narrows_requests: narrows || access.is_some_and(|word| word.text != "full"),
        addresses,
        credentials,
        options,
        encoded_slash,
    })
}

/// Where nothing is looked into there is nothing to allow.
fn uninspected(reader: &mut Reader<'_>, section: &Section<'_>) {
    const KEY: &str = "allow_uninspected_credentials";
    if reader.flag(section, KEY) == Some(true) {
        let spot = section.get(KEY).map_or_else(|| section.spot.clone(), |field| field.spot);
        reader.note(&spot, "has no effect: nothing is looked into");
    }
}

fn sets(section: &Section<'_>, key: &str) -> bool {
    section.get(key).is_some_and(|field| is_set(field.node))
}

/// `None`: one that is not known, which is told.
fn protocol(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Protocol> {
    let before = reader.violations.len();
    let Some(word) = reader.word(section, "protocol") else {
        return (reader.violations.len() == before).then_some(Protocol::Unset);
    };
    let name = word.text.to_ascii_lowercase();
    let known = PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, protocol)| *protocol);
    if known.is_none() {
        let names: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
        let message = format!("`{}` is none of {}", shown(&word.text), names.join(", "));
        reader.refuse(&word.spot, "net.unknown_protocol", message);
    }
    known
}

/// A word of a closed list, as it is written there.
fn one_of(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    known: &[&str],
    code: &'static str,
) -> Option<Word> {
    let word = reader.word(section, key)?;
    if known.contains(&word.text.as_str()) {
        return Some(word);
    }
    let message = format!("`{}` is none of {}", shown(&word.text), known.join(", "));
    let near = nearest(&word.text, known).map(|near| format!("did you mean `{near}`?"));
    reader.refuse_with(&word.spot, code, message, near);
    None
}

fn addresses(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<String> {
    let mut valid = Vec::new();
    for Word { text, spot } in reader.words(section, "allowed_ips") {
        match addresses::check(&text) {
            Ok(address) => valid.push(address),
            Err(why) => reader.refuse(&spot, "net.allowed_ips", format!("`{}` {why}", shown(&text))),
        }
    }
    valid
}

fn host(reader: &mut Reader<'_>, section: &Section<'_>, protocol: Option<Protocol>) -> Option<String> {
    let before = reader.violations.len();
    let Some(Word { text, spot }) = reader.word(section, "host") else {
        let needed = matches!(protocol, Some(Protocol::Tcp | Protocol::Mcp)) || !sets(section, "allowed_ips");
        if needed && reader.violations.len() == before {
            reader.refuse(&section.spot.below("host"), "net.missing_host", "is missing");
        }
        return None;
    };
    match host::check(&text, protocol == Some(Protocol::Tcp)) {
        Ok(host) => Some(host),
        Err(host::Fault { code, message, hint }) => {
            reader.refuse_with(&spot, code, format!("`{}`: {message}", shown(&text)), hint);
            None
        }
    }
}

fn ports(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<u16> {
    let before = reader.violations.len();
    let single = section.get("port").and_then(|field| reader.number(&field, &(0..=65_535), "net.invalid_port"));
    let single = single.filter(|port| *port != 0);
    let mut ports = Vec::new();
    for item in reader.list(section, "ports") {
        ports.extend(reader.number(&item, &(1..=65_535), "net.invalid_port"));
    }
    let several = section.get("ports").filter(|field| is_set(field.node));
    if let (Some(_), Some(field)) = (single, &several) {
        reader.refuse(&field.spot, "net.port_and_ports", "port and ports exclude each other");
    }
    ports.extend(single);
    if ports.is_empty() && reader.violations.len() == before {
        reader.refuse(&section.spot.below("port"), "net.missing_port", "is missing");
    }
    let mut seen = std::collections::BTreeSet::new();
    ports.into_iter().filter_map(|port| u16::try_from(port).ok()).filter(|port| seen.insert(*port)).collect()
}

fn path(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Word> {
    let word = reader.word(section, "path")?;
    if !word.text.starts_with('/') && word.text != "**" {
        let message = format!("`{}` neither begins with `/` nor is `**`", shown(&word.text));
        reader.refuse(&word.spot, "net.path", message);
    }
    Some(word)
}

/// Whether something is said, and whether that is `skip`.
fn tls(reader: &mut Reader<'_>, section: &Section<'_>) -> (bool, bool) {
    let Some(word) = one_of(reader, section, "tls", &["skip", "terminate", "passthrough"], "net.tls") else {
        return (false, false);
    };
    let skips = word.text == "skip";
    if !skips {
        reader.note(&word.spot, format!("`{}` is out of use and has no effect", word.text));
    }
    (true, skips)
}

/// What keys must not say together.
fn cross_check(reader: &mut Reader<'_>, section: &Section<'_>, context: Context, enforces: bool) {
    let Some(protocol) = context.protocol else { return };
    let at = |key: &str| section.get(key).filter(|field| is_set(field.node)).map(|field| field.spot);
    if protocol == Protocol::Tcp {
        for spot in NOT_FOR_TCP.iter().filter_map(|key| at(key)) {
            reader.refuse(&spot, "net.tcp_options", "has no meaning for protocol tcp, which looks into nothing");
        }
        return;
    }
    let (access, rules, deny) = (at("access"), at("rules"), at("deny_rules"));
    if let (Some(access), Some(_)) = (&access, &rules) {
        reader.refuse(access, "net.rules_and_access", "access and rules exclude each other");
    }
    let rpc = matches!(protocol, Protocol::JsonRpc | Protocol::Mcp);
    if let Some(access) = access.as_ref().filter(|_| rpc) {
        reader.refuse(access, "net.access", "is not known for protocols json-rpc and mcp, which need rules");
    }
    let profile = protocol == Protocol::Mcp && context.all_methods;
    let base = rules.is_some() || access.is_some();
    if protocol.inspects() && !base && !profile {
        let missing = section.spot.below("rules");
        let message =
            if rpc { "is missing, the protocol needs it" } else { "is missing, the protocol needs it or access" };
        reader.refuse(&missing, "net.missing_rules", message);
    }
    if let Some(deny) = deny.filter(|_| !protocol.inspects() || !base && !profile) {
        let message = "can only take away from rules or access of a protocol that looks into requests";
        reader.refuse(&deny, "net.deny_without_base", message);
    }
    if protocol == Protocol::Sql
        && enforces
        && let Some(spot) = at("enforcement")
    {
        reader.refuse(&spot, "net.sql_enforce", "protocol sql can only be audited");
    }
}
