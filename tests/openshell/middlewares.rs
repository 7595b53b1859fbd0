//! `network_middlewares`.

use expect_test::expect;

use super::{accept, check, codes};

fn text(middlewares: &str) -> String {
    format!("version: 1\nnetwork_middlewares:\n{middlewares}\n")
}

fn many(count: usize) -> String {
    let one = |n| {
        format!(
            "  m{n}: {{middleware: lab/m, order: {n}, on_error: fail_open, endpoints: {{include: [a.example.com]}}}}"
        )
    };
    text(&(0..count).map(one).collect::<Vec<_>>().join("\n"))
}

const NETWORK: &str = "network_policies:
  a:
    binaries: [{path: /bin/a}]
    endpoints:
      - {host: api.example.com, port: 443}
      - {host: '*.example.com', port: 8443}
      - {host: pypi.example.org, port: 443}
      - {allowed_ips: [10.0.0.1], port: 22}
";

#[test]
fn what_a_closed_middleware_selects_is_left_out() {
    let one = |rest: &str| format!("{}{NETWORK}", text(&format!("  m: {{middleware: lab/m, {rest}}}")));
    check(
        &one("endpoints: {include: ['**.example.com'], exclude: [api.example.com]}"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `a` api.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:8
        net `a` pypi.example.org:443 programs ["/bin/a"] addresses []  <- p.yaml:10
        unenforced net.middleware_unsupported: middleware `m` must not fail and is not supported; the endpoints that it selects are left out: *.example.com:8443 of `a`; *:22 of `a`  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &one("name: All, on_error: fail_closed, endpoints: {include: ['*']}"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        unenforced net.middleware_unsupported: middleware `All` must not fail and is not supported; the endpoints that it selects are left out: api.example.com:443 of `a`; *.example.com:8443 of `a`; pypi.example.org:443 of `a`; *:22 of `a`  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &one("endpoints: {include: [a.example.net]}"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `a` api.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:8
        net `a` *.example.com:8443 programs ["/bin/a"] addresses []  <- p.yaml:9
        net `a` pypi.example.org:443 programs ["/bin/a"] addresses []  <- p.yaml:10
        unenforced net.middleware_unsupported: middleware `m` must not fail and is not supported; the endpoints that it selects are left out: *:22 of `a`  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &one("on_error: fail_open, endpoints: {include: ['**']}"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `a` api.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:8
        net `a` *.example.com:8443 programs ["/bin/a"] addresses []  <- p.yaml:9
        net `a` pypi.example.org:443 programs ["/bin/a"] addresses []  <- p.yaml:10
        net `a` *:22 programs ["/bin/a"] addresses ["10.0.0.1"]  <- p.yaml:11
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:3: network_middlewares.m: middlewares are not supported; this one may fail, so it is left out
    "#]],
    );
}

#[test]
fn entries_are_checked() {
    check(
        &text("  m: {}"),
        &expect![[r#"
        p.yaml:3:3: network_middlewares.m.middleware: is missing [policy.missing_key]
        p.yaml:3:3: network_middlewares.m.endpoints: is missing [net.middleware_endpoints]
    "#]],
    );
    check(
        &text("  m: {middleware: '', on_error: fail, endpoints: {}, order: 2147483648, config: x}"),
        &expect![[r#"
        p.yaml:3:3: network_middlewares.m.middleware: is missing [policy.missing_key]
        p.yaml:3:33: network_middlewares.m.on_error: `fail` is neither fail_closed nor fail_open [net.middleware_on_error]
        p.yaml:3:39: network_middlewares.m.endpoints.include: needs at least one host pattern [net.middleware_endpoints]
        p.yaml:3:61: network_middlewares.m.order: `2147483648` is not in -2147483648 to 2147483647 [net.middleware_order]
        p.yaml:3:81: network_middlewares.m.config: expected a mapping, found the text `x` [policy.type]
    "#]],
    );
    check(
        &text(
            "  m: {middleware: 1, endpoints: {include: ['', 'a b', '{a}.b.c', '**x.a.b', 'a.b.', '*.c om', a.**.b]}}",
        ),
        &expect![[r#"
            p.yaml:3:19: network_middlewares.m.middleware: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:3:44: network_middlewares.m.endpoints.include[0]: ``: the host has an empty label [net.middleware_endpoints]
            p.yaml:3:48: network_middlewares.m.endpoints.include[1]: `a b`: a host has only letters, digits, `-`, `_`, `.` and wildcards; no scheme, port or path [net.middleware_endpoints]
            p.yaml:3:55: network_middlewares.m.endpoints.include[2]: `{a}.b.c`: braces are not known in hosts [net.middleware_endpoints]
            p.yaml:3:66: network_middlewares.m.endpoints.include[3]: `**x.a.b`: `**` must be the whole first label [net.middleware_endpoints]
              hint: for example `*.example.com`, `api-*.example.com` or `**.example.com`
            p.yaml:3:77: network_middlewares.m.endpoints.include[4]: `a.b.`: the host ends with a dot [net.middleware_endpoints]
              hint: write `a.b`
            p.yaml:3:85: network_middlewares.m.endpoints.include[5]: `*.c om`: a host has only letters, digits, `-`, `_`, `.` and wildcards; no scheme, port or path [net.middleware_endpoints]
            p.yaml:3:95: network_middlewares.m.endpoints.include[6]: `a.**.b`: after the first label a wildcard must be a whole label `*` [net.middleware_endpoints]
              hint: for example `*.example.com`, `api-*.example.com` or `**.example.com`
        "#]],
    );
    accept(&text(
        "  m: {middleware: m, order: -5, config: {a: [1, {b: ~}]}, endpoints: {include: ['*', '**', '*.com', a.b]}}",
    ));
}

#[test]
fn at_most_10() {
    accept(&many(10));
    check(
        &many(11),
        &expect![[r#"
        p.yaml:2:1: network_middlewares: 11 middlewares, 10 are allowed [net.middleware_count]
    "#]],
    );
}

#[test]
fn at_most_32_patterns() {
    let patterns = |count: usize| {
        let hosts: Vec<_> = (1..count).map(|n| format!("h{n}.example.com")).collect();
        text(&format!(
            "  m: {{middleware: m, endpoints: {{include: [{}], exclude: [x.example.com]}}}}",
            hosts.join(", ")
        ))
    };
    accept(&patterns(32));
    check(
        &patterns(33),
        &expect![[r#"
        p.yaml:3:22: network_middlewares.m.endpoints: 33 patterns, 32 are allowed [net.middleware_patterns]
    "#]],
    );
}

#[test]
fn orders_differ() {
    let two = |a: &str, b: &str| {
        let one =
            |name: &str, order: &str| format!("  {name}: {{middleware: m, {order} endpoints: {{include: [a.b]}}}}");
        text(&format!("{}\n{}", one("a", a), one("b", b)))
    };
    accept(&two("order: 1,", "order: 2,"));
    check(
        &two("order: 1,", "order: 1,"),
        &expect![[r#"
        p.yaml:4:29: network_middlewares.b.order: 1 is also the order of the middleware in line 3 [net.middleware_order]
    "#]],
    );
    assert_eq!(codes(&two("", "order: 0,")), ["net.middleware_order"]);
}

#[test]
fn what_is_not_decrypted_is_not_selected() {
    let with = |on_error: &str, tls: &str| {
        let policies = format!(
            "network_policies: {{x: {{binaries: [{{path: /a}}], endpoints: [{{host: a.b.c, port: 443{tls}}}]}}}}"
        );
        format!(
            "{}{policies}\n",
            text(&format!("  m: {{middleware: m, on_error: {on_error}, endpoints: {{include: ['*.b.c']}}}}"))
        )
    };
    check(
        &with("''", ", tls: skip"),
        &expect![[r#"
        p.yaml:3:3: network_middlewares.m: selects a.b.c:443 of `x`, which has `tls: skip` [net.middleware_tls_skip]
    "#]],
    );
    accept(&with("fail_open", ", tls: skip"));
    accept(&with("fail_closed", ""));
}
