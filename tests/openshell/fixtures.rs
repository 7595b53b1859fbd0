//! Sample policies and the built-in one.

use expect_test::expect;
use proptest::prelude::*;
use ringfence::request::openshell::{built_in, looks_like, parse};
use ringfence::request::{Origin, Provenance, Source};

use super::{Path, check, codes, show};

fn fixture(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openshell").join(name)).unwrap()
}

#[test]
fn valid_policies() {
    check(
        &fixture("valid-gpu-train.yaml"),
        &expect![[r#"
        read /usr  <- p.yaml:6
        read /lib  <- p.yaml:7
        read /lib64  <- p.yaml:8
        read /etc  <- p.yaml:9
        read /opt/conda  <- p.yaml:10
        read /srv/datasets/tiles-2025  <- p.yaml:11
        read /sys  <- p.yaml:12
        read /dev/urandom  <- p.yaml:13
        write /tmp  <- p.yaml:15
        write /dev/null  <- p.yaml:16
        write /dev/shm  <- p.yaml:17
        write /srv/checkpoints/run-17  <- p.yaml:18
        write /project  <- p.yaml:4
        landlock required  <- p.yaml:20
        user 1717  <- p.yaml:22
        group 1717  <- p.yaml:23
    "#]],
    );
    check(
        &fixture("valid-net-mixed.yaml"),
        &expect![[r#"
            read /usr  <- p.yaml:5
            read /lib  <- p.yaml:5
            read /etc  <- p.yaml:5
            read /proc  <- p.yaml:5
            read /dev/urandom  <- p.yaml:5
            write /tmp  <- p.yaml:6
            write /dev/null  <- p.yaml:6
            write /project  <- p.yaml:4
            landlock best-effort  <- p.yaml:8
            user sandbox  <- p.yaml:10
            group sandbox  <- p.yaml:11
            net `internal wheel mirror` wheels.lab.example.net:443 programs ["/usr/bin/python3.12", "/opt/uv/bin/*"] addresses []  <- p.yaml:16
            net `internal wheel mirror` **.files.example.org:443 **.files.example.org:8443 programs ["/usr/bin/python3.12", "/opt/uv/bin/*"] addresses []  <- p.yaml:19
            net `model_hub` hub.models.example.com:443 programs ["/opt/tools/**"] addresses ["10.40.0.0/16"]  <- p.yaml:26
            unenforced net.l7_unenforceable: endpoint tracker.example.com:443 of `issue tracker` has rules for requests to enforce, which cannot be looked into; the endpoint is left out  <- p.yaml:35
        "#]],
    );
    check(
        &fixture("valid-user-ro-proc.yaml"),
        &expect![[r#"
            read /usr  <- p.yaml:6
            read /lib  <- p.yaml:7
            read /etc  <- p.yaml:8
            read /proc  <- p.yaml:9
            read /dev/nvidiactl  <- p.yaml:10
            read /dev/urandom  <- p.yaml:11
            read /home/user/notebooks  <- p.yaml:12
            write /home/user/out  <- p.yaml:14
            write /dev/null  <- p.yaml:15
            landlock best-effort  <- p.yaml:17
            net `notes_mcp` mcp.notes.example.com:443 programs ["/usr/bin/node"] addresses []  <- p.yaml:21
            note p.yaml:21: network_policies.notes_mcp.endpoints[0]: rules for requests are only audited: every request passes, and audit records will not be produced
            note p.yaml:34: network_middlewares.tag-requests: middlewares are not supported; this one may fail, so it is left out
        "#]],
    );
}

#[test]
fn invalid_policies() {
    check(
        &fixture("invalid-compat-typo.yaml"),
        &expect![[r#"
        p.yaml:8:18: landlock.compatibility: `hard-requirement` is neither best_effort nor hard_requirement [landlock.compatibility]
          hint: did you mean `hard_requirement`?
    "#]],
    );
    check(
        &fixture("invalid-version.yaml"),
        &expect![[r#"
        p.yaml:2:10: version: `2` is not 1, the only version there is [policy.version]
    "#]],
    );
    check(
        &fixture("invalid-root-rw.yaml"),
        &expect![[r#"
        p.yaml:4:16: filesystem_policy.read_write[0]: `//` would make everything writable [fs.overly_broad]
    "#]],
    );
    check(
        &fixture("invalid-unknown-key.yaml"),
        &expect![[r#"
        p.yaml:6:3: filesystem_policy.readwrite: unknown key `readwrite` [policy.unknown_key]
          hint: did you mean `read_write`?
    "#]],
    );
    check(
        &fixture("invalid-identity-and-traversal.yaml"),
        &expect![[r#"
        p.yaml:4:21: filesystem_policy.read_only[1]: `/srv/in/../../etc/shadow` has `..` in it [fs.path_traversal]
        p.yaml:7:16: process.run_as_user: `0` is neither `sandbox` nor a number in 1 to 4294967294 [process.identity]
    "#]],
    );
}

#[test]
fn all_of_them_look_like_what_they_are() {
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openshell")).unwrap() {
        let path = file.unwrap().path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(looks_like(&text), yaml, "{}", path.display());
    }
}

/// The four ways by which a policy comes are told apart by what is said of them, never by what they say.
#[test]
fn the_source_changes_nothing_else() {
    for name in ["valid-gpu-train.yaml", "valid-net-mixed.yaml", "invalid-root-rw.yaml"] {
        let text = fixture(name);
        let one = |source| parse(&text, Path::new(name), source, Path::new("/project"));
        let sources = [Source::BuiltIn, Source::Image, Source::Admin, Source::User];
        for source in sources {
            let sourceless = |source| {
                one(source).map(|mut request| {
                    let provenance = Provenance { policy: Some(source), files: vec![(name.into(), source)] };
                    assert_eq!(std::mem::take(&mut request.provenance), provenance);
                    request
                })
            };
            assert_eq!(sourceless(source), sourceless(Source::User));
        }
    }
}

#[test]
fn the_built_in_policy() {
    let request = built_in(Path::new("/project"));
    assert_eq!(request.provenance, Provenance { policy: Some(Source::BuiltIn), files: Vec::new() });
    assert_eq!(request.net.as_ref().map(|net| &net.by), Some(&Origin::BuiltIn("OpenShell policy")));
    expect![[r#"
        read /usr  <- built-in OpenShell policy
        read /lib  <- built-in OpenShell policy
        read /proc  <- built-in OpenShell policy
        read /dev/urandom  <- built-in OpenShell policy
        read /app  <- built-in OpenShell policy
        read /etc  <- built-in OpenShell policy
        read /var/log  <- built-in OpenShell policy
        write /project  <- built-in OpenShell policy
        write /tmp  <- built-in OpenShell policy
        write /dev/null  <- built-in OpenShell policy
        landlock required  <- built-in OpenShell policy
    "#]]
    .assert_eq(&show(request));
}

#[test]
fn version_is_the_number_1() {
    for (text, want) in [
        (
            "landlock: {}",
            expect![[r#"
            p.yaml:1:1: version: is missing [policy.version]
              hint: begin the file with `version: 1`
        "#]],
        ),
        (
            "version: 99",
            expect![[r#"
            p.yaml:1:10: version: `99` is not 1, the only version there is [policy.version]
        "#]],
        ),
        (
            "version: '1'",
            expect![[r#"
            p.yaml:1:10: version: `1` is text here, a number without quotes is expected [policy.version]
        "#]],
        ),
        (
            "version: 1.0",
            expect![[r#"
            p.yaml:1:10: version: `1.0` is not 1, the only version there is [policy.version]
        "#]],
        ),
        (
            "version: 01",
            expect![[r#"
            p.yaml:1:10: version: `01` is not 1, the only version there is [policy.version]
        "#]],
        ),
        (
            "version: -1",
            expect![[r#"
            p.yaml:1:10: version: `-1` is not 1, the only version there is [policy.version]
        "#]],
        ),
        (
            "version:",
            expect![[r#"
                p.yaml:1:1: version: is empty, the number 1 is expected [policy.version]
            "#]],
        ),
        (
            "version: [1]",
            expect![[r#"
            p.yaml:1:10: version: is not the number 1, the only version there is [policy.version]
        "#]],
        ),
        (
            "version: true",
            expect![[r#"
            p.yaml:1:10: version: `true` is not 1, the only version there is [policy.version]
        "#]],
        ),
    ] {
        check(text, &want);
    }
    check(
        "version: 1",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    check(
        "version: 1\nfilesystem: {}\nfilesystem_policy: {readonly: []}\nlandlok: {}\nlandlock: {compat: x}\n\
         process: {run-as-user: '1'}\nnetwork_policies:\n  a.b:\n    endpoint: []\n    binaries: [{path: /a, sha: b}]\n\
         network_middlewares:\n  m: {middleware: m, endpoints: {include: [a.b], excludes: []}, Order: 1}\n",
        &expect![[r#"
            p.yaml:2:1: filesystem: unknown key `filesystem` [policy.unknown_key]
              hint: did you mean `filesystem_policy`?
            p.yaml:3:21: filesystem_policy.readonly: unknown key `readonly` [policy.unknown_key]
              hint: did you mean `read_only`?
            p.yaml:4:1: landlok: unknown key `landlok` [policy.unknown_key]
              hint: did you mean `landlock`?
            p.yaml:5:12: landlock.compat: unknown key `compat` [policy.unknown_key]
              hint: did you mean `compatibility`?
            p.yaml:6:11: process.run-as-user: unknown key `run-as-user` [policy.unknown_key]
              hint: did you mean `run_as_user`?
            p.yaml:9:5: network_policies."a.b".endpoint: unknown key `endpoint` [policy.unknown_key]
              hint: did you mean `endpoints`?
            p.yaml:10:27: network_policies."a.b".binaries[0].sha: unknown key `sha` [policy.unknown_key]
            p.yaml:12:50: network_middlewares.m.endpoints.excludes: unknown key `excludes` [policy.unknown_key]
              hint: did you mean `exclude`?
            p.yaml:12:65: network_middlewares.m.Order: unknown key `Order` [policy.unknown_key]
              hint: did you mean `order`?
        "#]],
    );
    for endpoint in [
        "{host: a.b, port: 1, hosts: []}",
        "{host: a.b, port: 1, json_rpc: {max: 1}}",
        "{host: a.b, port: 1, protocol: mcp, mcp: {allow_all_known_mcp_methods: true, max: 1}}",
        "{host: a.b, port: 1, protocol: rest, rules: [{allow: {method: GET}, deny: {}}]}",
        "{host: a.b, port: 1, protocol: rest, rules: [{allow: {methods: GET, method: GET}}]}",
        "{host: a.b, port: 1, protocol: rest, access: full, deny_rules: [{allow: {method: GET}}]}",
        "{host: a.b, port: 1, protocol: rest, rules: [{allow: {query: {a: {all: [x], any: [y]}}, path: /}}]}",
        "{host: a.b, port: 1, credential_binding: {provider: p, name: n}}",
        "{host: a.b, port: 1, protocol: graphql, access: full, graphql_persisted_queries: {h: {operation_type: query, x: 1}}}",
    ] {
        assert_eq!(codes(&super::policy(endpoint)), ["policy.unknown_key"], "{endpoint}");
    }
}

#[test]
fn wrong_types_name_key_expectation_and_finding() {
    check(
        "version: 1\nfilesystem_policy: {include_workdir: 'true', read_only: /usr, read_write: [1, ~, [a], /ok, true]}\n\
         landlock: best_effort\nprocess: {run_as_user: 1.5, run_as_group: [a]}\nnetwork_policies: []\n\
         network_middlewares: x\n",
        &expect![[r#"
            p.yaml:2:38: filesystem_policy.include_workdir: expected true or false, found the text `true` [policy.type]
            p.yaml:2:57: filesystem_policy.read_only: expected a list, found the text `/usr` [policy.type]
            p.yaml:2:76: filesystem_policy.read_write[0]: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:2:79: filesystem_policy.read_write[1]: expected text, found nothing [policy.type]
              hint: leave it out if nothing is meant
            p.yaml:2:82: filesystem_policy.read_write[2]: expected text, found a list [policy.type]
            p.yaml:2:92: filesystem_policy.read_write[4]: expected text, found `true` [policy.type]
              hint: write "true"
            p.yaml:3:11: landlock: expected a mapping, found the text `best_effort` [policy.type]
            p.yaml:4:24: process.run_as_user: expected text, found the number `1.5` [policy.type]
              hint: write "1.5"
            p.yaml:4:43: process.run_as_group: expected text, found a list [policy.type]
            p.yaml:5:19: network_policies: expected a mapping, found a list [policy.type]
            p.yaml:6:22: network_middlewares: expected a mapping, found the text `x` [policy.type]
        "#]],
    );
    check_endpoint_types();
    // Nothing where a list or a mapping may stand is an empty one.
    for text in [
        "version: 1\nfilesystem_policy:\nlandlock:\nprocess:\nnetwork_policies:\nnetwork_middlewares:\n",
        "version: 1\nfilesystem_policy:\n  read_only:\n  read_write:\n",
        "version: 1\nlandlock: {compatibility: ''}\nprocess: {run_as_user: ''}\n",
    ] {
        super::accept(text);
    }
}

fn check_endpoint_types() {
    super::check_endpoint(
        "{host: 1, port: '443', ports: [a, 1.5, 0x1bb, 0443], path: [], protocol: true,\n\
         tls: 1, allow_encoded_slash: yes, access: {}, rules: {}, deny_rules: x, allowed_ips: 10.0.0.1,\n\
         graphql_max_body_bytes: many, mcp: 1, json_rpc: [], credential_binding: p}",
        &expect![[r#"
            p.yaml:3:9: network_policies.x.endpoints[0].host: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:3:18: network_policies.x.endpoints[0].port: expected a whole number, found the text `443` [policy.type]
            p.yaml:3:33: network_policies.x.endpoints[0].ports[0]: expected a whole number, found the text `a` [policy.type]
            p.yaml:3:36: network_policies.x.endpoints[0].ports[1]: expected a whole number, found the number `1.5` [policy.type]
            p.yaml:3:41: network_policies.x.endpoints[0].ports[2]: `0x1bb` is not a plain decimal number [policy.type]
              hint: without a plus sign, zeros before it, 0x or 0o
            p.yaml:3:48: network_policies.x.endpoints[0].ports[3]: `0443` is not a plain decimal number [policy.type]
              hint: without a plus sign, zeros before it, 0x or 0o
            p.yaml:3:61: network_policies.x.endpoints[0].path: expected text, found a list [policy.type]
            p.yaml:3:75: network_policies.x.endpoints[0].protocol: expected text, found `true` [policy.type]
              hint: write "true"
            p.yaml:4:7: network_policies.x.endpoints[0].tls: expected text, found the number `1` [policy.type]
              hint: write "1"
            p.yaml:4:31: network_policies.x.endpoints[0].allow_encoded_slash: expected true or false, found the text `yes` [policy.type]
            p.yaml:4:44: network_policies.x.endpoints[0].access: expected text, found a mapping [policy.type]
            p.yaml:4:55: network_policies.x.endpoints[0].rules: expected a list, found a mapping [policy.type]
            p.yaml:4:71: network_policies.x.endpoints[0].deny_rules: expected a list, found the text `x` [policy.type]
            p.yaml:4:87: network_policies.x.endpoints[0].allowed_ips: expected a list, found the text `10.0.0.1` [policy.type]
            p.yaml:5:26: network_policies.x.endpoints[0].graphql_max_body_bytes: expected a whole number, found the text `many` [policy.type]
            p.yaml:5:37: network_policies.x.endpoints[0].mcp: expected a mapping, found the number `1` [policy.type]
            p.yaml:5:50: network_policies.x.endpoints[0].json_rpc: expected a mapping, found a list [policy.type]
            p.yaml:5:74: network_policies.x.endpoints[0].credential_binding: expected a mapping, found the text `p` [policy.type]
        "#]],
    );
}

#[test]
fn what_is_no_policy_at_all_is_told_with_its_place() {
    let deep = format!("version: 1\na: {}", "[".repeat(40));
    for (text, want) in [
        (
            "",
            expect![[r#"
            p.yaml:1:1: the file is empty [policy.yaml]
        "#]],
        ),
        (
            "- version: 1",
            expect![[r#"
            p.yaml:1:1: the top level is a list, a mapping of keys is expected [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nversion: 1",
            expect![[r#"
            p.yaml:2:1: key `version` is there twice, first in line 1 [policy.yaml]
        "#]],
        ),
        (
            "version: 1\n---\nversion: 1",
            expect![[r#"
            p.yaml:2:1: a second document begins here [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nlandlock: &a {}\nprocess: *a",
            expect![[r#"
            p.yaml:2:11: anchors are not allowed [policy.yaml]
              hint: a value that begins with `*` or `&` must stand in quotes, for example "*.example.com"
        "#]],
        ),
        (
            "version: 1\nlandlock: *a",
            expect![[r#"
            p.yaml:2:11: aliases are not allowed [policy.yaml]
              hint: a value that begins with `*` or `&` must stand in quotes, for example "*.example.com"
        "#]],
        ),
        (
            "version: !!int 1",
            expect![[r#"
            p.yaml:1:10: tags are not allowed [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nlandlock:\n  <<: {}\n",
            expect![[r#"
            p.yaml:3:3: merge keys (`<<`) are not allowed [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nlandlock:\n\tcompatibility: best_effort",
            expect![[r#"
            p.yaml:3:2: tabs disallowed within this context (block indentation) [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nfilesystem_policy: {read_only: [\"/a\\tb\"]}",
            expect![[r#"
            p.yaml:2:33: control character \u{9} in a value [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nfilesystem_policy: {read_only: [\"/a\\0b\"]}",
            expect![[r#"
            p.yaml:2:33: control character \u{0} in a value [policy.yaml]
        "#]],
        ),
        (
            "version: 1\nfilesystem_policy: {read_only: [\"/a\\nb\"]}",
            expect![[r#"
            p.yaml:2:33: filesystem_policy.read_only[0]: a line break in a value [policy.yaml]
        "#]],
        ),
        (
            &deep,
            expect![[r#"
            p.yaml:2:35: lists and mappings lie more than 32 deep in one another [policy.yaml]
        "#]],
        ),
    ] {
        check(text, &want);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(!(looks_like(&text) && text.trim().is_empty()));
        prop_assert!(super::parse(&text).is_err_and(|rejected| !rejected.0.is_empty()));
    }

    /// Keys that are known, with values that make no sense.
    #[test]
    fn no_policy_makes_it_panic(lines in proptest::collection::vec(
        "( ){0,8}(- )?(version|filesystem_policy|read_only|read_write|landlock|compatibility|process|run_as_user|\
         network_policies|endpoints|binaries|host|ports?|rules|allow|any|query|tool|mcp|network_middlewares|include|[a-z*])\
         : ?([1\\[\\]{}'\"*/.a-z,:-]{0,8}|hard_requirement|\\[\\]|\\{\\})", 0..20)) {
        let text = format!("version: 1\n{}", lines.join("\n"));
        prop_assert!(super::parse(&text).map_or_else(|rejected| !rejected.0.is_empty(), |_| true));
    }
}
