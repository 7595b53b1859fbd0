//! `network_policies`: which program may reach which host. What needs a look into requests cannot be had here, and is
//! left out rather than let through.

use std::collections::BTreeSet;

use super::endpoint::{self, Endpoint};
use super::host;
use super::middleware::Middleware;
use super::reader::{Field, Reader, Section, Spot, shown};
use crate::request::Said;
use crate::request::network::{NetworkRule, Unenforced};

/// Each endpoint is compared with each.
const MOST_ENDPOINTS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Network {
    pub rules: Vec<Said<NetworkRule>>,
    pub unenforced: Vec<Said<Unenforced>>,
}

/// An entry of `network_policies`.
#[derive(Debug)]
struct Policy {
    name: String,
    endpoints: Vec<Endpoint>,
    programs: Vec<String>,
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>, middlewares: &[Middleware]) -> Network {
    let section = reader.names(top, "network_policies");
    let fields: Vec<Field<'_>> = section.iter().flat_map(Section::fields).collect();
    let policies: Vec<Policy> = fields.iter().filter_map(|field| policy(reader, field)).collect();
    let all: Vec<(&str, &Endpoint)> = policies
        .iter()
        .flat_map(|policy| policy.endpoints.iter().map(|endpoint| (policy.name.as_str(), endpoint)))
        .collect();
    match section {
        Some(section) if all.len() > MOST_ENDPOINTS => {
            let message = format!("{} endpoints, {MOST_ENDPOINTS} are allowed", all.len());
            reader.refuse(&section.spot, "net.too_many_endpoints", message);
        }
        _ => refuse_ambiguous(reader, &all),
    }
    refuse_uninspected(reader, &all, middlewares);
    let mut network = Network::default();
    for middleware in middlewares {
        network.unenforced.push(unsupported(reader, middleware, &all));
    }
    // An entry without programs is nobody's; a rule without them would be everybody's.
    for policy in policies.iter().filter(|policy| !policy.programs.is_empty()) {
        for endpoint in &policy.endpoints {
            decide(reader, &mut network, policy, endpoint, middlewares);
        }
    }
    network
}

fn policy(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Policy> {
    let section = reader.open(field, &["name", "endpoints", "binaries"])?;
    if field.name.starts_with("_provider_") {
        reader.note(&section.spot, "keys with `_provider_` belong to OpenShell's gateway; the entry counts as written");
    }
    let name = reader.word(&section, "name").map_or_else(|| field.name.to_owned(), |word| word.text);
    let before = reader.violations.len();
    let binaries = reader.list(&section, "binaries");
    let programs: Vec<String> = binaries.iter().filter_map(|item| binary(reader, item)).collect();
    if programs.is_empty() && reader.violations.len() == before {
        reader.note(&section.spot, "an entry without binaries never matches [net.entry_never_matches]");
    }
    let items = reader.list(&section, "endpoints");
    let endpoints = items.iter().filter_map(|item| endpoint::read(reader, item)).collect();
    Some(Policy { name, endpoints, programs })
}

fn binary(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<String> {
    let section = reader.open(item, &["path", "harness"])?;
    if section.has("harness") {
        reader.flag(&section, "harness");
        reader.note(&section.spot.below("harness"), "is out of use and has no effect");
    }
    let before = reader.violations.len();
    let Some(word) = reader.word(&section, "path") else {
        if reader.violations.len() == before {
            reader.refuse(&section.spot.below("path"), "policy.missing_key", "is missing");
        }
        return None;
    };
    if !word.text.starts_with(['/', '*']) {
        let message = format!("`{}` is neither an absolute path nor a glob of one", shown(&word.text));
        reader.refuse(&word.spot, "net.binary_path", message);
    }
    Some(word.text)
}

/// What becomes of one endpoint.
fn decide(
    reader: &mut Reader<'_>,
    network: &mut Network,
    policy: &Policy,
    endpoint: &Endpoint,
    middlewares: &[Middleware],
) {
    let place = endpoint.spot.place;
    let which = format!("endpoint {} of `{}`", endpoint.hosts().join(", "), shown(&policy.name));
    if let Some((code, why)) = unenforceable(endpoint) {
        let what = format!("{which} {why}; the endpoint is left out");
        network.unenforced.push(reader.said(Unenforced { code, what }, place));
        return;
    }
    // That it is left out is told with the middleware.
    if middlewares.iter().any(|middleware| middleware.covers(endpoint.host.as_deref())) {
        return;
    }
    if endpoint.protocol.inspects() || endpoint.narrows_requests {
        let audit = if endpoint.has_enforcement { "" } else { "without `enforcement: enforce` " };
        let message = format!(
            "{audit}rules for requests are only audited: every request passes, and audit records will not be produced"
        );
        reader.note(&endpoint.spot, message);
    }
    let rule = NetworkRule {
        name: policy.name.clone(),
        hosts: endpoint.hosts(),
        programs: policy.programs.clone(),
        addresses: endpoint.addresses.clone(),
    };
    network.rules.push(reader.said(rule, place));
}

fn unenforceable(endpoint: &Endpoint) -> Option<(&'static str, String)> {
    if !endpoint.credentials.is_empty() {
        let keys: Vec<&str> = endpoint.credentials.iter().map(|(key, _)| *key).collect();
        let why = format!("puts credentials into requests ({}), which is not supported", keys.join(", "));
        return Some(("net.credentials_unsupported", why));
    }
    let enforced = endpoint.enforces && (endpoint.protocol.inspects() || endpoint.narrows_requests);
    enforced.then(|| {
        let why = "has rules for requests to enforce, which cannot be looked into".to_owned();
        ("net.l7_unenforceable", why)
    })
}

fn unsupported(reader: &Reader<'_>, middleware: &Middleware, all: &[(&str, &Endpoint)]) -> Said<Unenforced> {
    let covered = all.iter().filter(|(_, endpoint)| middleware.covers(endpoint.host.as_deref()));
    let covered: Vec<String> =
        covered.map(|(name, endpoint)| format!("{} of `{}`", endpoint.hosts().join(", "), shown(name))).collect();
    let rest = match covered.is_empty() {
        true => "it selects no endpoint".to_owned(),
        false => format!("the endpoints that it selects are left out: {}", covered.join("; ")),
    };
    let what = format!("middleware `{}` must not fail and is not supported; {rest}", shown(&middleware.name));
    reader.said(Unenforced { code: "net.middleware_unsupported", what }, middleware.spot.place)
}

/// What is not decrypted cannot be shown to a middleware.
fn refuse_uninspected(reader: &mut Reader<'_>, all: &[(&str, &Endpoint)], middlewares: &[Middleware]) {
    for middleware in middlewares {
        let skips = |endpoint: &Endpoint| {
            endpoint.skips_tls && endpoint.host.as_deref().is_some_and(|host| middleware.covers(Some(host)))
        };
        for (name, endpoint) in all.iter().filter(|(_, endpoint)| skips(endpoint)) {
            let hosts = endpoint.hosts().join(", ");
            let message = format!("selects {hosts} of `{}`, which has `tls: skip`", shown(name));
            reader.refuse(&middleware.spot, "net.middleware_tls_skip", message);
        }
    }
}

/// Two endpoints for one connection must agree on how it is made.
fn refuse_ambiguous(reader: &mut Reader<'_>, all: &[(&str, &Endpoint)]) {
    let ports: Vec<BTreeSet<u16>> = all.iter().map(|(_, endpoint)| endpoint.ports.iter().copied().collect()).collect();
    for (index, ((_, right), of_right)) in all.iter().zip(&ports).enumerate() {
        for ((_, left), of_left) in all.iter().zip(&ports).take(index) {
            if of_left.is_disjoint(of_right) {
                continue;
            }
            let differs = differences(left, right);
            let (a, b) = (left.host.as_deref(), right.host.as_deref());
            let same_host = || a.zip(b).is_none_or(|(a, b)| host::overlap(a, b));
            if !differs.is_empty() && same_host() {
                refuse_pair(reader, &left.spot, &right.spot, &differs);
                break;
            }
        }
    }
}

fn refuse_pair(reader: &mut Reader<'_>, left: &Spot, right: &Spot, differs: &[&'static str]) {
    let message = format!(
        "means the same host and port as {} in line {} and differs in {}",
        left.key,
        left.place.line,
        differs.join(", ")
    );
    reader.refuse(right, "net.ambiguous_endpoint", message);
}

fn differences(left: &Endpoint, right: &Endpoint) -> Vec<&'static str> {
    use endpoint::Protocol::{Graphql, JsonRpc, Mcp, Tcp, Unset};
    let sorted = |endpoint: &Endpoint| {
        let mut addresses = endpoint.addresses.clone();
        addresses.sort();
        addresses.dedup();
        addresses
    };
    let both = |protocol| left.protocol == protocol && right.protocol == protocol;
    let connection = [
        ("protocol tcp", (left.protocol == Tcp) != (right.protocol == Tcp)),
        ("tls", left.skips_tls != right.skips_tls),
        ("allowed_ips", left.addresses != right.addresses && sorted(left) != sorted(right)),
    ];
    let (a, b) = (&left.options, &right.options);
    let plain = |endpoint: &Endpoint| if endpoint.protocol == Tcp { Unset } else { endpoint.protocol };
    let request = [
        ("protocol", plain(left) != plain(right)),
        ("enforcement", left.enforces != right.enforces),
        ("allow_encoded_slash", left.encoded_slash != right.encoded_slash),
        ("credentials", left.credentials != right.credentials),
        ("graphql_max_body_bytes", both(Graphql) && a.graphql_body != b.graphql_body),
        ("max_body_bytes", (both(JsonRpc) || both(Mcp)) && a.rpc_body != b.rpc_body),
        ("mcp.strict_tool_names", both(Mcp) && a.strict_tools != b.strict_tools),
    ];
    let request = request.iter().filter(|_| same_request(left, right));
    connection.iter().chain(request).filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
}

/// Whether both say how one request is to be handled. Of two paths the longer one wins, so only equals compete.
fn same_request(left: &Endpoint, right: &Endpoint) -> bool {
    let says = |endpoint: &Endpoint| {
        endpoint.protocol.inspects()
            || !endpoint.addresses.is_empty()
            || endpoint.has_tls
            || !endpoint.credentials.is_empty()
    };
    let path = |endpoint: &Endpoint| if endpoint.path == "**" { String::new() } else { endpoint.path.clone() };
    says(left) && says(right) && path(left) == path(right)
}
