//! Options of an endpoint's protocol, and its credentials.

use super::endpoint::Protocol;
use super::reader::{Reader, Section, is_set, shown};
use super::rules;
use crate::request::yaml::Kind;
use crate::request::yaml::Value;

const DEFAULT_BODY: i64 = 65_536;
const BODY: std::ops::RangeInclusive<i64> = 0..=u32::MAX as i64;

/// What of the options must agree where two endpoints can mean the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub strict_tools: bool,
    pub all_methods: bool,
    pub rpc_body: i64,
    pub graphql_body: i64,
    /// Whether a registry or its mode makes messages GraphQL.
    pub graphql: bool,
}

pub(super) fn read(reader: &mut Reader<'_>, endpoint: &Section<'_>, protocol: Option<Protocol>) -> Options {
    let graphql = graphql(reader, endpoint);
    let graphql_body = body(reader, endpoint, "graphql_max_body_bytes");
    let json_rpc = reader.section(endpoint, "json_rpc", &["max_body_bytes"]);
    let json_rpc_body = json_rpc.as_ref().map(|section| body(reader, section, "max_body_bytes"));
    let mcp = reader.section(endpoint, "mcp", &["max_body_bytes", "strict_tool_names", "allow_all_known_mcp_methods"]);
    let mcp_body = mcp.as_ref().map(|section| body(reader, section, "max_body_bytes"));
    let strict_tools = mcp.as_ref().and_then(|section| reader.flag(section, "strict_tool_names"));
    let all_methods = mcp.as_ref().and_then(|section| reader.flag(section, "allow_all_known_mcp_methods"));
    // Protocol tcp refuses all of these, once.
    let elsewhere = matches!(protocol, None | Some(Protocol::Tcp));
    if let Some(section) = mcp.filter(|_| !elsewhere && protocol != Some(Protocol::Mcp)) {
        reader.refuse(&section.spot, "net.mcp_options", "is known for protocol mcp only");
    }
    if let Some(section) =
        json_rpc.filter(|_| !elsewhere && !matches!(protocol, Some(Protocol::JsonRpc | Protocol::Mcp)))
    {
        reader.note(&section.spot, "has no effect: the protocol is neither json-rpc nor mcp");
    }
    if !elsewhere && !matches!(protocol, Some(Protocol::Graphql | Protocol::Websocket)) {
        for key in ["persisted_queries", "graphql_persisted_queries", "graphql_max_body_bytes"] {
            if let Some(field) = endpoint.get(key).filter(|field| is_set(field.node)) {
                reader.note(&field.spot, "has no effect: the protocol is neither graphql nor websocket");
            }
        }
    }
    Options {
        strict_tools: strict_tools.unwrap_or(true),
        all_methods: all_methods.unwrap_or(false),
        rpc_body: mcp_body.or(json_rpc_body).unwrap_or(DEFAULT_BODY),
        graphql_body,
        graphql,
    }
}

/// 0 is the default, as if nothing were said.
fn body(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> i64 {
    let value = section.get(key).and_then(|field| reader.number(&field, &BODY, "net.max_body_bytes"));
    value.filter(|bytes| *bytes != 0).unwrap_or(DEFAULT_BODY)
}

fn graphql(reader: &mut Reader<'_>, endpoint: &Section<'_>) -> bool {
    let mode = reader.word(endpoint, "persisted_queries");
    if let Some(word) = mode.as_ref().filter(|word| !["deny", "allow_registered"].contains(&word.text.as_str())) {
        let message = format!("`{}` is neither deny nor allow_registered", shown(&word.text));
        reader.refuse(&word.spot, "net.persisted_queries", message);
    }
    let registry = reader.names(endpoint, "graphql_persisted_queries");
    for field in registry.iter().flat_map(Section::fields) {
        let Some(section) = reader.open(&field, &["operation_type", "operation_name", "fields"]) else { continue };
        // A wrong word or type is told where it is read.
        let said = section.get("operation_type").is_some_and(|field| is_set(field.node));
        rules::operation_type(reader, &section);
        if !said {
            reader.refuse(&section.spot.below("operation_type"), "net.graphql_operation", "is missing");
        }
        reader.word(&section, "operation_name");
        rules::fields(reader, &section);
    }
    registry.is_some_and(|registry| !registry.is_empty()) || mode.is_some_and(|word| word.text != "deny")
}

/// Keys that put credentials into requests, with what they say; checked.
pub(super) fn credentials(reader: &mut Reader<'_>, endpoint: &Section<'_>) -> Vec<(&'static str, String)> {
    let mut used = Vec::new();
    for key in ["websocket_credential_rewrite", "request_body_credential_rewrite"] {
        if reader.flag(endpoint, key) == Some(true) {
            used.push((key, "true".to_owned()));
        }
    }
    let rewrites = !used.is_empty();
    let signing = reader.word(endpoint, "credential_signing");
    let service = reader.word(endpoint, "signing_service");
    let region = reader.word(endpoint, "signing_region");
    if let Some(word) = &signing {
        if !["sigv4", "sigv4:body", "sigv4:no_body"].contains(&word.text.as_str()) {
            let message = format!("`{}` is neither sigv4, sigv4:body nor sigv4:no_body", shown(&word.text));
            reader.refuse(&word.spot, "net.credentials", message);
        }
        if !endpoint.get("signing_service").is_some_and(|field| is_set(field.node)) {
            let spot = endpoint.spot.below("signing_service");
            reader.refuse(&spot, "net.credentials", "is missing, credential_signing needs it");
        }
        if rewrites {
            reader.refuse(&word.spot, "net.credentials", "signing and rewriting exclude each other");
        }
    }
    let binding = reader.section(endpoint, "credential_binding", &["provider"]);
    let provider = binding.as_ref().and_then(|section| reader.word(section, "provider"));
    if let Some(section) = binding.as_ref().filter(|section| !named(section)) {
        reader.refuse(&section.spot.below("provider"), "policy.missing_key", "is missing");
    }
    let words = [
        ("credential_signing", signing),
        ("signing_service", service),
        ("signing_region", region),
        ("credential_binding", provider),
    ];
    used.extend(words.into_iter().filter_map(|(key, word)| word.map(|word| (key, word.text))));
    used
}

/// Whether a provider is there, if only one of the wrong type.
fn named(section: &Section<'_>) -> bool {
    section.get("provider").is_some_and(|field| match &field.node.value {
        Value::Scalar(scalar) => scalar.kind() != Kind::Text || !scalar.text.is_empty(),
        Value::List(_) | Value::Map(_) => true,
    })
}
