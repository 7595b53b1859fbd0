//! Endpoints that look into requests: which keys need or exclude one another.

use expect_test::expect;

use super::{accept, check_endpoint, codes, policy};

fn endpoint(rest: &str) -> String {
    format!("{{host: a.example.com, port: 443, {rest}}}")
}

fn refuse(rest: &str, want: &[&str]) {
    assert_eq!(codes(&policy(&endpoint(rest))), want, "{rest}");
}

#[test]
fn protocol_tcp_takes_no_options() {
    check_endpoint(
        &endpoint(
            "protocol: tcp, path: /a, enforcement: audit,\naccess: full, rules: [{allow: {method: GET}}], deny_rules: [{method: GET}],\n\
             websocket_credential_rewrite: true, mcp: {max_body_bytes: 1}, json_rpc: {max_body_bytes: 1}",
        ),
        &expect![[r#"
            p.yaml:3:56: network_policies.x.endpoints[0].path: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:3:73: network_policies.x.endpoints[0].enforcement: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:4:10: network_policies.x.endpoints[0].access: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:4:23: network_policies.x.endpoints[0].rules: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:4:61: network_policies.x.endpoints[0].deny_rules: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:5:32: network_policies.x.endpoints[0].websocket_credential_rewrite: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:5:43: network_policies.x.endpoints[0].mcp: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
            p.yaml:5:74: network_policies.x.endpoints[0].json_rpc: has no meaning for protocol tcp, which looks into nothing [net.tcp_options]
        "#]],
    );
    accept(&policy(&endpoint(
        "protocol: tcp, path: '', rules: [], websocket_credential_rewrite: false, graphql_max_body_bytes: 0",
    )));
}

#[test]
fn a_protocol_needs_rules() {
    check_endpoint(
        &endpoint("protocol: rest"),
        &expect![[r#"
            p.yaml:3:2: network_policies.x.endpoints[0].rules: is missing, the protocol needs it or access [net.missing_rules]
        "#]],
    );
    for protocol in ["rest", "websocket", "graphql", "sql", "json-rpc", "mcp"] {
        refuse(&format!("protocol: {protocol}"), &["net.missing_rules"]);
        refuse(&format!("protocol: {protocol}, rules: []"), &["net.missing_rules"]);
    }
    for protocol in ["rest", "websocket", "graphql", "sql"] {
        accept(&policy(&endpoint(&format!("protocol: {protocol}, access: full"))));
    }
    refuse("protocol: json-rpc, access: full", &["net.access"]);
    refuse("protocol: mcp, access: full", &["net.access"]);
    accept(&policy(&endpoint("protocol: json-rpc, rules: [{allow: {method: '*'}}]")));
    accept(&policy(&endpoint("protocol: mcp, rules: [{allow: {method: initialize}}]")));
    accept(&policy(&endpoint("protocol: mcp, mcp: {allow_all_known_mcp_methods: true}")));
}

#[test]
fn cross_field_rules() {
    check_endpoint(
        &endpoint("protocol: rest, access: full, rules: [{allow: {method: GET}}]"),
        &expect![[r#"
            p.yaml:3:59: network_policies.x.endpoints[0].access: access and rules exclude each other [net.rules_and_access]
        "#]],
    );
    check_endpoint(
        &endpoint("protocol: sql, access: full, enforcement: enforce"),
        &expect![[r#"
            p.yaml:3:77: network_policies.x.endpoints[0].enforcement: protocol sql can only be audited [net.sql_enforce]
        "#]],
    );
    check_endpoint(
        &endpoint("protocol: rest, access: full, mcp: {strict_tool_names: false}"),
        &expect![[r#"
            p.yaml:3:65: network_policies.x.endpoints[0].mcp: is known for protocol mcp only [net.mcp_options]
        "#]],
    );
    check_endpoint(
        &endpoint("protocol: rest, access: full, json_rpc: {max_body_bytes: 1}"),
        &expect![[r#"
            landlock best-effort  <- p.yaml:1
            net `x` a.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
            note p.yaml:3: network_policies.x.endpoints[0]: without `enforcement: enforce` rules for requests are only audited: every request passes, and audit records will not be produced
            note p.yaml:3: network_policies.x.endpoints[0].json_rpc: has no effect: the protocol is neither json-rpc nor mcp
        "#]],
    );
    check_endpoint(
        &endpoint("deny_rules: [{method: GET}]"),
        &expect![[r#"
            p.yaml:3:47: network_policies.x.endpoints[0].deny_rules: can only take away from rules or access of a protocol that looks into requests [net.deny_without_base]
        "#]],
    );
    refuse("protocol: rest, deny_rules: [{method: GET}]", &["net.missing_rules", "net.deny_without_base"]);
    accept(&policy(&endpoint("protocol: rest, access: full, deny_rules: [{method: GET}]")));
    accept(&policy(&endpoint("protocol: mcp, mcp: {allow_all_known_mcp_methods: true}, deny_rules: [{method: ping}]")));
}

#[test]
fn rules_allow_something() {
    check_endpoint(
        &endpoint("protocol: rest, rules: [{allow: {}}, {allow: {query: {a: b}}}, {allow: }]"),
        &expect![[r#"
            p.yaml:3:58: network_policies.x.endpoints[0].rules: no rule has anything that it allows [net.rules_deny_all]
        "#]],
    );
    check_endpoint(
        &endpoint("protocol: rest, rules: [{}, {method: GET}, GET]"),
        &expect![[r#"
            p.yaml:3:59: network_policies.x.endpoints[0].rules[0].allow: is missing [policy.missing_key]
            p.yaml:3:63: network_policies.x.endpoints[0].rules[1].allow: is missing [policy.missing_key]
            p.yaml:3:64: network_policies.x.endpoints[0].rules[1].method: unknown key `method` [policy.unknown_key]
            p.yaml:3:78: network_policies.x.endpoints[0].rules[2]: expected a mapping, found the text `GET` [policy.type]
        "#]],
    );
    accept(&policy(&endpoint("protocol: rest, rules: [{allow: {}}, {allow: {method: GET}}]")));
    accept(&policy(&endpoint("protocol: mcp, mcp: {allow_all_known_mcp_methods: true}, rules: [{allow: {}}]")));
}

#[test]
fn matchers() {
    let query = |query: &str| endpoint(&format!("protocol: rest, rules: [{{allow: {{method: GET, query: {query}}}}}]"));
    for valid in ["{a: 'b*'}", "{a: {any: [b, 'c-*']}}", "{}", "{'a b': ''}"] {
        accept(&policy(&query(valid)));
    }
    check_endpoint(
        &query("{a: {any: []}, b: 1, c: [x], d: {any: [1]}, e: {any: x}}"),
        &expect![[r#"
            p.yaml:3:92: network_policies.x.endpoints[0].rules[0].allow.query.a: needs at least one pattern in `any` [net.rule]
            p.yaml:3:106: network_policies.x.endpoints[0].rules[0].allow.query.b: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:3:112: network_policies.x.endpoints[0].rules[0].allow.query.c: expected text, found a list [policy.type]
            p.yaml:3:127: network_policies.x.endpoints[0].rules[0].allow.query.d.any[0]: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:3:141: network_policies.x.endpoints[0].rules[0].allow.query.e.any: expected a list, found the text `x` [policy.type]
        "#]],
    );
}

#[test]
fn rules_of_json_rpc() {
    let rule = |rule: &str| format!("protocol: json-rpc, rules: [{{allow: {rule}}}]");
    for valid in ["{method: '*'}", "{method: reports.list}"] {
        accept(&policy(&endpoint(&rule(valid))));
    }
    check_endpoint(
        &endpoint(&rule("{method: 'a*', tool: x, params: {name: y}, path: /x, query: {a: b}}")),
        &expect![[r#"
            p.yaml:3:80: network_policies.x.endpoints[0].rules[0].allow.method: protocol json-rpc knows whole methods and `*` only [net.rule]
            p.yaml:3:92: network_policies.x.endpoints[0].rules[0].allow.tool: is known for protocol mcp only [net.rule]
            p.yaml:3:95: network_policies.x.endpoints[0].rules[0].allow.params: is known for protocol mcp only [net.rule]
            p.yaml:3:120: network_policies.x.endpoints[0].rules[0].allow.path: rules of this protocol match by method, not by path or query [net.rule]
            p.yaml:3:124: network_policies.x.endpoints[0].rules[0].allow.query: rules of this protocol match by method, not by path or query [net.rule]
        "#]],
    );
    refuse(&rule("{path: /x}"), &["net.rule"]);
}

#[test]
fn rules_of_mcp() {
    let rule = |options: &str, rule: &str| format!("protocol: mcp, mcp: {{{options}}}, rules: [{{allow: {rule}}}]");
    for (options, valid) in [
        ("", "{method: tools/call, tool: search}"),
        ("", "{method: tools/call, tool: {any: [a, 'b*']}}"),
        ("", "{method: tools/call, params: {name: a}}"),
        ("", "{method: 'tools/*'}"),
        ("strict_tool_names: false", "{method: tools/call, tool: a}"),
        ("allow_all_known_mcp_methods: true", "{tool: a}"),
    ] {
        accept(&policy(&endpoint(&rule(options, valid))));
    }
    for (options, bad) in [
        ("", "{tool: a}"),
        ("", "{method: initialize, tool: a}"),
        ("", "{method: 'init*'}"),
        ("", "{method: tools/call, tool: a, params: {name: a}}"),
        ("", "{method: tools/call, params: {arguments: {a: b}}}"),
        ("", "{method: initialize, path: /x}"),
        ("strict_tool_names: false", "{method: tools/call, tool: 'a*'}"),
    ] {
        refuse(&rule(options, bad), &["net.rule"]);
    }
    refuse(
        "protocol: mcp, rules: [{allow: {method: tools/call, tool: a}}, {allow: {method: tools/call}}]",
        &["net.rule"],
    );
    refuse("protocol: rest, rules: [{allow: {method: GET, tool: a}}]", &["net.rule"]);
}

#[test]
fn rules_of_graphql() {
    let rule = |protocol: &str, rule: &str| format!("protocol: {protocol}, rules: [{{allow: {rule}}}]");
    accept(&policy(&endpoint(&rule("graphql", "{operation_type: query, fields: [viewer]}"))));
    accept(&policy(&endpoint(&rule("websocket", "{operation_type: subscription, operation_name: 'On*'}"))));
    accept(&policy(&endpoint(&rule("websocket", "{method: WEBSOCKET_TEXT, path: /x}"))));
    check_endpoint(
        &endpoint(&rule("graphql", "{operation_type: select, fields: ['']}")),
        &expect![[r#"
            p.yaml:3:87: network_policies.x.endpoints[0].rules[0].allow.operation_type: `select` is neither query, mutation nor subscription [net.graphql_operation]
            p.yaml:3:104: network_policies.x.endpoints[0].rules[0].allow.fields[0]: a field is empty [net.rule]
        "#]],
    );
    refuse(&rule("graphql", "{operation_name: x}"), &["net.graphql_operation"]);
    refuse(&rule("websocket", "{operation_type: query, path: /x}"), &["net.rule"]);
    refuse(
        "protocol: websocket, rules: [{allow: {method: websocket_text}}, {allow: {operation_type: query}}]",
        &["net.rule"],
    );
    let registry =
        |operation: &str| format!("protocol: graphql, access: full, graphql_persisted_queries: {{h1: {operation}}}");
    accept(&policy(&endpoint(&registry("{operation_type: mutation, operation_name: a, fields: [b]}"))));
    check_endpoint(
        &endpoint(&registry("{operation_name: a}")),
        &expect![[r#"
            p.yaml:3:96: network_policies.x.endpoints[0].graphql_persisted_queries.h1.operation_type: is missing [net.graphql_operation]
        "#]],
    );
}
