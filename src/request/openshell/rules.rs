//! `rules` and `deny_rules`: what requests an endpoint allows. Nothing here looks into requests; the rules are checked
//! so that a policy which is refused elsewhere is refused here too.

use super::endpoint::Protocol;
use super::reader::{Field, Reader, Section, Spot, Word, shown};
use crate::request::yaml::Value;

const RULE: &[&str] =
    &["method", "path", "command", "query", "operation_type", "operation_name", "fields", "tool", "params"];
const OPERATIONS: &[&str] = &["query", "mutation", "subscription"];
const CODE: &str = "net.rule";

/// What the rules of an endpoint depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// `None`: an unknown one, which is told elsewhere.
    pub protocol: Option<Protocol>,
    /// `mcp.strict_tool_names`.
    pub strict_tools: bool,
    /// `mcp.allow_all_known_mcp_methods`.
    pub all_methods: bool,
}

/// A name or several, which may be globs.
struct Matcher {
    spot: Spot,
    globs: Vec<String>,
}

impl Matcher {
    fn has_wildcard(&self) -> bool {
        self.globs.iter().any(|glob| has_wildcard(glob))
    }
}

struct Rule {
    spot: Spot,
    method: Option<Word>,
    path: Option<Word>,
    command: Option<Word>,
    query: Option<Spot>,
    operation_type: Option<Word>,
    operation_name: Option<Word>,
    fields: bool,
    tool: Option<Matcher>,
    params: Option<Spot>,
    /// `params.name`, the long form of `tool`.
    params_name: Option<Matcher>,
}

impl Rule {
    fn method(&self) -> &str {
        self.method.as_ref().map(|word| word.text.as_str()).unwrap_or_default()
    }

    fn names_tools(&self) -> bool {
        self.tool.is_some() || self.params_name.is_some()
    }

    fn has_graphql(&self) -> bool {
        self.operation_type.is_some() || self.operation_name.is_some() || self.fields
    }

    /// Whether it allows anything: names of fields or parameters alone do not.
    fn is_effective(&self) -> bool {
        let Self { method, path, command, operation_type, operation_name, .. } = self;
        [method, path, command, operation_type, operation_name].into_iter().any(Option::is_some) || self.names_tools()
    }
}

fn has_wildcard(glob: &str) -> bool {
    glob.contains(['*', '?', '[', ']', '{', '}'])
}

/// Checks both lists of an endpoint. `graphql`: whether its other keys make a websocket's messages GraphQL.
pub(super) fn check(reader: &mut Reader<'_>, endpoint: &Section<'_>, context: Context, graphql: bool) {
    let items = reader.list(endpoint, "rules");
    let allow: Vec<Rule> = items.iter().filter_map(|item| allowed(reader, item)).collect();
    let denied = reader.list(endpoint, "deny_rules");
    let mut deny = Vec::new();
    for item in &denied {
        let section = reader.open(item, RULE);
        deny.extend(section.map(|section| rule(reader, &section)));
    }

    let deny_all = !allow.is_empty() && allow.len() == items.len() && !allow.iter().any(Rule::is_effective);
    let mcp_profile = context.protocol == Some(Protocol::Mcp) && context.all_methods;
    if deny_all
        && !mcp_profile
        && let Some(field) = endpoint.get("rules")
    {
        reader.refuse(&field.spot, "net.rules_deny_all", "no rule has anything that it allows");
    }
    let messages = graphql || allow.iter().chain(&deny).any(Rule::has_graphql);
    let tools = context.protocol == Some(Protocol::Mcp) && allow.iter().any(Rule::names_tools);
    for (rule, allows) in allow.iter().map(|rule| (rule, true)).chain(deny.iter().map(|rule| (rule, false))) {
        check_rule(reader, rule, context);
        check_graphql(reader, rule, context, messages && allows);
        if tools && takes_every_tool(rule, context.all_methods && allows) {
            let message = "the method is that of every tool call, though other rules name tools";
            reader.refuse(&rule.spot, CODE, message);
        }
    }
}

fn takes_every_tool(rule: &Rule, all_methods: bool) -> bool {
    let method = rule.method();
    let every = method.is_empty() && all_methods || matches!(method, "tools/call" | "*" | "tools/*" | "tools/**");
    every && !rule.names_tools()
}

fn allowed(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<Rule> {
    let outer = reader.open(item, &["allow"])?;
    if !outer.has("allow") {
        reader.refuse(&outer.spot.below("allow"), "policy.missing_key", "is missing");
        return None;
    }
    match reader.section(&outer, "allow", RULE) {
        Some(section) => Some(rule(reader, &section)),
        // Nothing behind `allow:` is a rule that allows nothing.
        None => outer.get("allow").filter(|field| matches!(field.node.value, Value::Scalar(_))).map(|field| Rule {
            spot: field.spot,
            method: None,
            path: None,
            command: None,
            query: None,
            operation_type: None,
            operation_name: None,
            fields: false,
            tool: None,
            params: None,
            params_name: None,
        }),
    }
}

fn rule(reader: &mut Reader<'_>, section: &Section<'_>) -> Rule {
    let query = reader.names(section, "query");
    for field in query.iter().flat_map(Section::fields) {
        matcher(reader, &field);
    }
    let params = reader.names(section, "params");
    let params_name = params.as_ref().and_then(|params| params.get("name")).and_then(|name| matcher(reader, &name));
    let tool = section.get("tool").and_then(|field| matcher(reader, &field));
    Rule {
        spot: section.spot.clone(),
        method: reader.word(section, "method"),
        path: reader.word(section, "path"),
        command: reader.word(section, "command"),
        query: query.filter(|query| !query.is_empty()).map(|query| query.spot),
        operation_type: operation_type(reader, section),
        operation_name: reader.word(section, "operation_name"),
        fields: fields(reader, section),
        tool,
        params: params.filter(|params| !params.is_empty()).map(|params| only_name(reader, &params)),
        params_name,
    }
}

/// Of the parameters only the tool's name can be matched.
fn only_name(reader: &mut Reader<'_>, params: &Section<'_>) -> Spot {
    for field in params.fields().filter(|field| field.name != "name") {
        reader.refuse(&field.spot, CODE, "only params.name can be matched");
    }
    params.spot.clone()
}

/// A glob, or `{any: [globs]}`.
fn matcher(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Matcher> {
    let spot = field.spot.clone();
    if !matches!(field.node.value, Value::Map(_)) {
        return reader.text(field).map(|word| Matcher { spot, globs: vec![word.text] });
    }
    let section = reader.open(field, &["any"])?;
    let before = reader.violations.len();
    let globs: Vec<String> = reader.words(&section, "any").into_iter().map(|word| word.text).collect();
    if globs.is_empty() && reader.violations.len() == before {
        reader.refuse(&spot, CODE, "needs at least one pattern in `any`");
    }
    Some(Matcher { spot, globs })
}

/// `operation_type` of a GraphQL operation.
pub(super) fn operation_type(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Word> {
    let word = reader.word(section, "operation_type")?;
    if !OPERATIONS.contains(&word.text.as_str()) {
        let message = format!("`{}` is neither query, mutation nor subscription", shown(&word.text));
        reader.refuse(&word.spot, "net.graphql_operation", message);
    }
    Some(word)
}

/// `fields` of a GraphQL operation: whether there are any.
pub(super) fn fields(reader: &mut Reader<'_>, section: &Section<'_>) -> bool {
    let fields = reader.words(section, "fields");
    for word in fields.iter().filter(|word| word.text.is_empty()) {
        reader.refuse(&word.spot, CODE, "a field is empty");
    }
    !fields.is_empty()
}

fn check_rule(reader: &mut Reader<'_>, rule: &Rule, context: Context) {
    match context.protocol {
        None => {}
        Some(Protocol::JsonRpc) => check_json_rpc(reader, rule),
        Some(Protocol::Mcp) => check_mcp(reader, rule, context),
        Some(_) => refuse_tools(reader, rule),
    }
    if matches!(context.protocol, Some(Protocol::JsonRpc | Protocol::Mcp)) {
        for spot in rule.path.iter().map(|word| &word.spot).chain(&rule.query) {
            reader.refuse(spot, CODE, "rules of this protocol match by method, not by path or query");
        }
    }
}

fn refuse_tools(reader: &mut Reader<'_>, rule: &Rule) {
    for spot in rule.tool.iter().map(|tool| &tool.spot).chain(&rule.params) {
        reader.refuse(spot, CODE, "is known for protocol mcp only");
    }
}

fn check_json_rpc(reader: &mut Reader<'_>, rule: &Rule) {
    match &rule.method {
        None => reader.refuse(&rule.spot.below("method"), CODE, "is missing, protocol json-rpc needs it"),
        Some(word) if word.text != "*" && has_wildcard(&word.text) => {
            reader.refuse(&word.spot, CODE, "protocol json-rpc knows whole methods and `*` only");
        }
        Some(_) => {}
    }
    refuse_tools(reader, rule);
}

fn check_mcp(reader: &mut Reader<'_>, rule: &Rule, context: Context) {
    match &rule.method {
        None if !context.all_methods => {
            reader.refuse(&rule.spot.below("method"), CODE, "is missing, and allow_all_known_mcp_methods is not set");
        }
        Some(word) if has_wildcard(&word.text) && !word.text.starts_with("tools/") => {
            reader.refuse(&word.spot, CODE, "wildcards are known in methods of tools/ only");
        }
        Some(word) if rule.names_tools() && word.text != "tools/call" => {
            reader.refuse(&word.spot, CODE, "must be tools/call where a tool is named");
        }
        None | Some(_) => {}
    }
    if let (Some(tool), Some(_)) = (&rule.tool, &rule.params_name) {
        reader.refuse(&tool.spot, CODE, "a rule has either tool or params.name");
    }
    for matcher in rule.tool.iter().chain(&rule.params_name) {
        if !context.strict_tools && matcher.has_wildcard() {
            reader.refuse(&matcher.spot, CODE, "wildcards in tools need mcp.strict_tool_names");
        }
    }
}

fn check_graphql(reader: &mut Reader<'_>, rule: &Rule, context: Context, messages: bool) {
    let websocket = context.protocol == Some(Protocol::Websocket);
    let graphql = context.protocol == Some(Protocol::Graphql) && (rule.is_effective() || rule.fields);
    if (graphql || websocket && rule.has_graphql()) && rule.operation_type.is_none() {
        reader.refuse(&rule.spot.below("operation_type"), "net.graphql_operation", "is missing");
    }
    let transport = rule.method.is_some() || rule.path.is_some() || rule.query.is_some();
    if websocket && rule.has_graphql() && transport {
        reader.refuse(&rule.spot, CODE, "method, path and query cannot stand with a GraphQL operation");
    }
    if websocket && messages && rule.method().eq_ignore_ascii_case("WEBSOCKET_TEXT") {
        reader.refuse(&rule.spot, CODE, "WEBSOCKET_TEXT cannot stand where other rules are GraphQL operations");
    }
}
