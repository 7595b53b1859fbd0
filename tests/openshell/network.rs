//! `network_policies`: entries, hosts, ports, addresses.

use expect_test::expect;

use super::{accept, check, check_endpoint, policy};

#[test]
fn endpoints_become_rules() {
    check(
        "version: 1\nnetwork_policies:\n  a:\n    name: Wheel Mirror\n    endpoints:\n      - {host: Wheels.Example.COM, port: 443}\n\
         \x20     - {host: '**.files.example.com', ports: [443, 8443, 443], allowed_ips: [10.0.0.0/8]}\n\
         \x20     - {allowed_ips: ['FD00::/8'], port: 22}\n      - {host: '2001:db8::1', port: 80}\n\
         \x20   binaries: [{path: /usr/bin/python3}, {path: /opt/**}]\n",
        &expect![[r#"
            landlock best-effort  <- p.yaml:1
            net `Wheel Mirror` wheels.example.com:443 programs ["/usr/bin/python3", "/opt/**"] addresses []  <- p.yaml:6
            net `Wheel Mirror` **.files.example.com:443 **.files.example.com:8443 programs ["/usr/bin/python3", "/opt/**"] addresses ["10.0.0.0/8"]  <- p.yaml:7
            net `Wheel Mirror` *:22 programs ["/usr/bin/python3", "/opt/**"] addresses ["fd00::/8"]  <- p.yaml:8
            net `Wheel Mirror` [2001:db8::1]:80 programs ["/usr/bin/python3", "/opt/**"] addresses []  <- p.yaml:9
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
    );
}

#[test]
fn an_entry_without_binaries_grants_nothing() {
    check(
        "version: 1\nnetwork_policies:\n  a:\n    endpoints: [{host: a.example.com, port: 443}]\n",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:3: network_policies.a: an entry without binaries never matches [net.entry_never_matches]
    "#]],
    );
    check(
        "version: 1\nnetwork_policies:\n  a:\n    endpoints: [{host: a.example.com}]\n    binaries: []\n",
        &expect![[r#"
            p.yaml:4:17: network_policies.a.endpoints[0].port: is missing [net.missing_port]
        "#]],
    );
    check(
        "version: 1\nnetwork_policies: {a: {}, b: {binaries: [{path: /a}]}}",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:2: network_policies.a: an entry without binaries never matches [net.entry_never_matches]
    "#]],
    );
}

#[test]
fn binaries_are_paths() {
    let text = |binaries: &str| {
        format!(
            "version: 1\nnetwork_policies:\n  a:\n    endpoints: [{{host: a.example.com, port: 443}}]\n    binaries: [{binaries}]\n"
        )
    };
    check(
        &text("{path: /a, harness: true}, {path: '**/python3'}"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `a` a.example.com:443 programs ["/a", "**/python3"] addresses []  <- p.yaml:4
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:5: network_policies.a.binaries[0].harness: is out of use and has no effect
    "#]],
    );
    check(
        &text("{path: curl}, {path: ''}, {harness: false}, /a, {path: ./a}"),
        &expect![[r#"
        p.yaml:5:23: network_policies.a.binaries[0].path: `curl` is neither an absolute path nor a glob of one [net.binary_path]
        p.yaml:5:30: network_policies.a.binaries[1].path: is missing [policy.missing_key]
        p.yaml:5:42: network_policies.a.binaries[2].path: is missing [policy.missing_key]
        p.yaml:5:60: network_policies.a.binaries[3]: expected a mapping, found the text `/a` [policy.type]
        p.yaml:5:71: network_policies.a.binaries[4].path: `./a` is neither an absolute path nor a glob of one [net.binary_path]
    "#]],
    );
}

#[test]
fn entries_of_the_gateway_are_remarked() {
    check(
        "version: 1\nnetwork_policies:\n  _provider_x:\n    endpoints: []\n    binaries: [{path: /a}]\n",
        &expect![[r#"
            landlock best-effort  <- p.yaml:1
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
            note p.yaml:3: network_policies._provider_x: keys with `_provider_` belong to OpenShell's gateway; the entry counts as written
        "#]],
    );
}

#[test]
fn an_endpoint_has_a_host_and_a_port() {
    for (endpoint, want) in [
        (
            "{port: 443}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].host: is missing [net.missing_host]
            "#]],
        ),
        (
            "{host: '', port: 443}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].host: is missing [net.missing_host]
            "#]],
        ),
        (
            "{port: 443, protocol: tcp, allowed_ips: [10.0.0.1]}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].host: is missing [net.missing_host]
            "#]],
        ),
        (
            "{host: a.example.com}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].port: is missing [net.missing_port]
            "#]],
        ),
        (
            "{host: a.example.com, port: 0}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].port: is missing [net.missing_port]
            "#]],
        ),
        (
            "{host: a.example.com, ports: []}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].port: is missing [net.missing_port]
            "#]],
        ),
        (
            "{host: a.example.com, ports: [0, 443, 65536]}",
            expect![[r#"
                p.yaml:3:32: network_policies.x.endpoints[0].ports[0]: `0` is not in 1 to 65535 [net.invalid_port]
                p.yaml:3:40: network_policies.x.endpoints[0].ports[2]: `65536` is not in 1 to 65535 [net.invalid_port]
            "#]],
        ),
        (
            "{host: a.example.com, port: 65536}",
            expect![[r#"
                p.yaml:3:30: network_policies.x.endpoints[0].port: `65536` is not in 0 to 65535 [net.invalid_port]
            "#]],
        ),
        (
            "{host: a.example.com, port: -1}",
            expect![[r#"
                p.yaml:3:30: network_policies.x.endpoints[0].port: `-1` is not in 0 to 65535 [net.invalid_port]
            "#]],
        ),
        (
            "{host: a.example.com, port: 99999999999999999999}",
            expect![[r#"
                p.yaml:3:30: network_policies.x.endpoints[0].port: `99999999999999999999` is not in 0 to 65535 [net.invalid_port]
            "#]],
        ),
        (
            "{host: a.example.com, port: 443, ports: [80]}",
            expect![[r#"
                p.yaml:3:42: network_policies.x.endpoints[0].ports: port and ports exclude each other [net.port_and_ports]
            "#]],
        ),
        (
            "{}",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].host: is missing [net.missing_host]
                p.yaml:3:2: network_policies.x.endpoints[0].port: is missing [net.missing_port]
            "#]],
        ),
        (
            "a.example.com:443",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0]: expected a mapping, found the text `a.example.com:443` [policy.type]
            "#]],
        ),
    ] {
        check_endpoint(endpoint, &want);
    }
    for endpoint in [
        "{host: a.example.com, port: 65535}",
        "{host: a.example.com, port: 0, ports: [443]}",
        "{host: a.example.com, port: 443, ports: []}",
        "{port: 443, allowed_ips: [10.0.0.1]}",
    ] {
        accept(&policy(endpoint));
    }
}

#[test]
fn hosts_are_names_addresses_or_patterns() {
    for (host, want) in [
        (
            "*",
            expect![[r#"
                p.yaml:3:9: network_policies.x.endpoints[0].host: `*`: a wildcard alone would be every host [net.host_wildcard]
                  hint: for example `*.example.com`, `api-*.example.com` or `**.example.com`
            "#]],
        ),
        (
            "*.com",
            expect![[r#"
                p.yaml:3:9: network_policies.x.endpoints[0].host: `*.com`: the wildcard would cover a whole top-level domain [net.tld_wildcard]
                  hint: for example `*.example.com`, `api-*.example.com` or `**.example.com`
            "#]],
        ),
        (
            "api.example.*",
            expect![[r#"
                p.yaml:3:9: network_policies.x.endpoints[0].host: `api.example.*`: the last label cannot be a wildcard [net.host_wildcard]
                  hint: for example `*.example.com`, `api-*.example.com` or `**.example.com`
            "#]],
        ),
        (
            "example.com.",
            expect![[r#"
                p.yaml:3:9: network_policies.x.endpoints[0].host: `example.com.`: the host ends with a dot [net.host]
                  hint: write `example.com`
            "#]],
        ),
        (
            "https://example.com",
            expect![[r#"
                p.yaml:3:9: network_policies.x.endpoints[0].host: `https://example.com`: a host has only letters, digits, `-`, `_`, `.` and wildcards; no scheme, port or path [net.host]
            "#]],
        ),
    ] {
        check_endpoint(&format!("{{host: '{host}', port: 443}}"), &want);
    }
    check_endpoint(
        "{host: 10.0.0.1, port: 443, protocol: tcp}",
        &expect![[r#"
            p.yaml:3:9: network_policies.x.endpoints[0].host: `10.0.0.1`: protocol tcp needs a host name, not an address [net.tcp_host]
        "#]],
    );
    accept(&policy("{host: 10.0.0.1, port: 443}"));
    accept(&policy("{host: a.example.com, port: 443, protocol: TCP}"));
}

#[test]
fn addresses_of_the_machine_itself_are_refused() {
    check_endpoint(
        "{host: a.example.com, port: 443, allowed_ips: [10.0.0.0/8, 127.0.0.1, 169.254.169.254, '::1', x, '']}",
        &expect![[r#"
            p.yaml:3:61: network_policies.x.endpoints[0].allowed_ips[1]: `127.0.0.1` overlaps 127.0.0.0/8 (loopback) [net.allowed_ips]
            p.yaml:3:72: network_policies.x.endpoints[0].allowed_ips[2]: `169.254.169.254` overlaps 169.254.0.0/16 (link-local) [net.allowed_ips]
            p.yaml:3:89: network_policies.x.endpoints[0].allowed_ips[3]: `::1` overlaps ::1/128 (loopback) [net.allowed_ips]
            p.yaml:3:96: network_policies.x.endpoints[0].allowed_ips[4]: `x` is neither an address nor a network such as 10.0.0.0/8 [net.allowed_ips]
            p.yaml:3:99: network_policies.x.endpoints[0].allowed_ips[5]: `` is neither an address nor a network such as 10.0.0.0/8 [net.allowed_ips]
        "#]],
    );
}

#[test]
fn words_of_closed_lists() {
    for (rest, want) in [
        (
            "protocol: http",
            expect![[r#"
                p.yaml:3:45: network_policies.x.endpoints[0].protocol: `http` is none of tcp, rest, websocket, graphql, sql, json-rpc, mcp [net.unknown_protocol]
            "#]],
        ),
        (
            "protocol: jsonrpc",
            expect![[r#"
                p.yaml:3:45: network_policies.x.endpoints[0].protocol: `jsonrpc` is none of tcp, rest, websocket, graphql, sql, json-rpc, mcp [net.unknown_protocol]
            "#]],
        ),
        (
            "tls: Skip",
            expect![[r#"
                p.yaml:3:40: network_policies.x.endpoints[0].tls: `Skip` is none of skip, terminate, passthrough [net.tls]
                  hint: did you mean `skip`?
            "#]],
        ),
        (
            "protocol: rest, access: readonly",
            expect![[r#"
                p.yaml:3:59: network_policies.x.endpoints[0].access: `readonly` is none of read-only, read-write, full [net.access]
                  hint: did you mean `read-only`?
            "#]],
        ),
        (
            "protocol: rest, access: full, enforcement: enforced",
            expect![[r#"
                p.yaml:3:78: network_policies.x.endpoints[0].enforcement: `enforced` is none of enforce, audit [net.enforcement]
                  hint: did you mean `enforce`?
            "#]],
        ),
        (
            "protocol: rest, access: full, path: api",
            expect![[r#"
                p.yaml:3:71: network_policies.x.endpoints[0].path: `api` neither begins with `/` nor is `**` [net.path]
            "#]],
        ),
        (
            "protocol: graphql, access: full, persisted_queries: allow",
            expect![[r#"
                p.yaml:3:87: network_policies.x.endpoints[0].persisted_queries: `allow` is neither deny nor allow_registered [net.persisted_queries]
            "#]],
        ),
        (
            "protocol: graphql, access: full, graphql_max_body_bytes: -1",
            expect![[r#"
                p.yaml:3:92: network_policies.x.endpoints[0].graphql_max_body_bytes: `-1` is not in 0 to 4294967295 [net.max_body_bytes]
            "#]],
        ),
    ] {
        check_endpoint(&format!("{{host: a.example.com, port: 443, {rest}}}"), &want);
    }
    for rest in [
        "protocol: REST, access: read-only",
        "tls: skip",
        "tls: ''",
        "protocol: rest, access: read-write, enforcement: audit, path: '**'",
        "protocol: graphql, access: full, persisted_queries: allow_registered, graphql_max_body_bytes: 0",
    ] {
        accept(&policy(&format!("{{host: a.example.com, port: 443, {rest}}}")));
    }
}

#[test]
fn old_words_for_tls_are_remarked() {
    check_endpoint(
        "{host: a.example.com, port: 443, tls: terminate}",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `x` a.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:3: network_policies.x.endpoints[0].tls: `terminate` is out of use and has no effect
    "#]],
    );
    check_endpoint(
        "{host: b.example.com, port: 443, tls: passthrough}",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        net `x` b.example.com:443 programs ["/bin/a"] addresses []  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:3: network_policies.x.endpoints[0].tls: `passthrough` is out of use and has no effect
    "#]],
    );
}

#[test]
fn at_most_1024_endpoints() {
    let many = |count: usize| {
        let one = |n| format!("{{host: h{n}.example.com, port: 443}}");
        policy(&(0..count).map(one).collect::<Vec<_>>().join(",\n"))
    };
    accept(&many(1024));
    check(
        &many(1025),
        &expect![[r#"
        p.yaml:2:1: network_policies: 1025 endpoints, 1024 are allowed [net.too_many_endpoints]
    "#]],
    );
}

#[test]
fn many_ports_are_compared_at_once() {
    let ports = |first: usize| (first..first + 90).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let one = |index: usize| format!("{{host: a{index}.b.c, ports: [{}]}}", ports(1 + index * 60));
    let several = (0..1024).map(one).collect::<Vec<_>>().join(",\n");
    let many = (1..=65_535).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let start = std::time::Instant::now();
    accept(&policy(&several));
    accept(&policy(&format!("{{host: a.b.c, ports: [{many}]}}")));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
