//! What becomes of endpoints: those that cannot be enforced, and those that contradict one another.

use expect_test::expect;

use super::{accept, check, check_endpoint, codes, policy};

#[test]
fn what_cannot_be_enforced_is_left_out() {
    for (rest, want) in [
        (
            "protocol: rest, access: read-only",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
                note p.yaml:3: network_policies.x.endpoints[0]: without `enforcement: enforce` rules for requests are only audited: every request passes, and audit records will not be produced
            "#]],
        ),
        (
            "protocol: rest, access: read-only, enforcement: audit",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
                note p.yaml:3: network_policies.x.endpoints[0]: rules for requests are only audited: every request passes, and audit records will not be produced
            "#]],
        ),
        (
            "protocol: rest, access: read-only, enforcement: enforce",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                unenforced net.l7_unenforceable: endpoint a.example.com:443, a.example.com:80 of `x` has rules for requests to enforce, which cannot be looked into; the endpoint is left out  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
            "#]],
        ),
        (
            "protocol: rest, access: full, enforcement: enforce",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                unenforced net.l7_unenforceable: endpoint a.example.com:443, a.example.com:80 of `x` has rules for requests to enforce, which cannot be looked into; the endpoint is left out  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
            "#]],
        ),
        (
            "protocol: sql, access: full, enforcement: audit",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
                note p.yaml:3: network_policies.x.endpoints[0]: rules for requests are only audited: every request passes, and audit records will not be produced
            "#]],
        ),
        (
            "path: /api, enforcement: enforce",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                unenforced net.l7_unenforceable: endpoint a.example.com:443, a.example.com:80 of `x` has rules for requests to enforce, which cannot be looked into; the endpoint is left out  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
            "#]],
        ),
        (
            "enforcement: enforce",
            expect![[r#"
            landlock best-effort  <- p.yaml:1
            net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
        ),
        (
            "access: full",
            expect![[r#"
            landlock best-effort  <- p.yaml:1
            net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
        ),
        (
            "allow_uninspected_credentials: true",
            expect![[r#"
                landlock best-effort  <- p.yaml:1
                net `x` a.example.com:443 a.example.com:80 programs ["/bin/a"] addresses []  <- p.yaml:3
                note p.yaml:1: there is no filesystem_policy, so the policy grants no path
                note p.yaml:3: network_policies.x.endpoints[0].allow_uninspected_credentials: has no effect: nothing is looked into
            "#]],
        ),
        (
            "protocol: rest, access: full, request_body_credential_rewrite: true",
            expect![[r#"
            landlock best-effort  <- p.yaml:1
            unenforced net.credentials_unsupported: endpoint a.example.com:443, a.example.com:80 of `x` puts credentials into requests (request_body_credential_rewrite), which is not supported; the endpoint is left out  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
        ),
        (
            "credential_binding: {provider: p}",
            expect![[r#"
            landlock best-effort  <- p.yaml:1
            unenforced net.credentials_unsupported: endpoint a.example.com:443, a.example.com:80 of `x` puts credentials into requests (credential_binding), which is not supported; the endpoint is left out  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
        ),
        (
            "credential_signing: 'sigv4:body', signing_service: s3, signing_region: eu",
            expect![[r#"
            landlock best-effort  <- p.yaml:1
            unenforced net.credentials_unsupported: endpoint a.example.com:443, a.example.com:80 of `x` puts credentials into requests (credential_signing, signing_service, signing_region), which is not supported; the endpoint is left out  <- p.yaml:3
            note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        "#]],
        ),
    ] {
        check_endpoint(&format!("{{host: a.example.com, ports: [443, 80], {rest}}}"), &want);
    }
}

#[test]
fn credentials_are_checked_all_the_same() {
    for (rest, want) in [
        (
            "credential_signing: sigv5, signing_service: s3",
            expect![[r#"
                p.yaml:3:55: network_policies.x.endpoints[0].credential_signing: `sigv5` is neither sigv4, sigv4:body nor sigv4:no_body [net.credentials]
            "#]],
        ),
        (
            "credential_signing: sigv4",
            expect![[r#"
                p.yaml:3:2: network_policies.x.endpoints[0].signing_service: is missing, credential_signing needs it [net.credentials]
            "#]],
        ),
        (
            "credential_signing: sigv4, signing_service: s3, websocket_credential_rewrite: true",
            expect![[r#"
                p.yaml:3:55: network_policies.x.endpoints[0].credential_signing: signing and rewriting exclude each other [net.credentials]
            "#]],
        ),
        (
            "credential_binding: {}",
            expect![[r#"
                p.yaml:3:35: network_policies.x.endpoints[0].credential_binding.provider: is missing [policy.missing_key]
            "#]],
        ),
        (
            "credential_binding: {provider: 1}",
            expect![[r#"
                p.yaml:3:66: network_policies.x.endpoints[0].credential_binding.provider: expected text, found the number `1` [policy.type]
                  hint: write "1"
            "#]],
        ),
    ] {
        check_endpoint(&format!("{{host: a.example.com, port: 443, {rest}}}"), &want);
    }
}

#[test]
fn two_endpoints_for_one_connection_agree() {
    let pair = |a: &str, b: &str| policy(&format!("{{port: 443, {a}}},\n{{port: 443, {b}}}"));
    check(
        &pair("host: a.example.com, tls: skip", "host: '*.example.com'"),
        &expect![[r#"
            p.yaml:4:2: network_policies.x.endpoints[1]: means the same host and port as network_policies.x.endpoints[0] in line 3 and differs in tls [net.ambiguous_endpoint]
        "#]],
    );
    for (a, b) in [
        ("host: a.example.com, protocol: tcp", "host: A.example.com"),
        ("host: a.example.com", "host: a.example.com, allowed_ips: [10.0.0.1]"),
        ("allowed_ips: [10.0.0.1]", "host: a.example.com"),
        ("host: a.example.com, protocol: rest, access: full", "host: a.example.com, protocol: graphql, access: full"),
        (
            "host: a.example.com, protocol: rest, access: full, enforcement: enforce",
            "host: '**.example.com', protocol: rest, access: full",
        ),
    ] {
        assert_eq!(codes(&pair(a, b)), ["net.ambiguous_endpoint"], "{a} {b}");
        assert_eq!(codes(&pair(b, a)), ["net.ambiguous_endpoint"], "{b} {a}");
    }
    for (a, b) in [
        ("host: a.example.com, tls: skip", "host: b.example.com"),
        ("host: a.example.com, tls: skip", "host: '*.b.example.com'"),
        ("host: a.example.com", "host: a.example.com, protocol: rest, access: full"),
        (
            "host: a.example.com, protocol: rest, access: full, path: /a",
            "host: a.example.com, protocol: graphql, access: full, path: /b",
        ),
        ("host: a.example.com, protocol: rest, access: full", "host: a.example.com, protocol: rest, access: read-only"),
    ] {
        accept(&pair(a, b));
    }
    accept(&policy("{host: a.example.com, port: 443, tls: skip}, {host: a.example.com, port: 80}"));
}
