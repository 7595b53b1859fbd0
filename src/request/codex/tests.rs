use std::path::Path;

use super::*;

fn around() -> Surroundings<'static> {
    Surroundings { workspace: Path::new("/w"), tmpdir: Some(OsStr::new("/var/t")) }
}

/// Lists of a request as `r PATH`, `w PATH`, `d PATH`, in the order of the lists.
fn told(request: Request) -> String {
    let lists = [("r", &request.read), ("w", &request.write), ("d", &request.deny)];
    let rules = lists.iter().flat_map(|(letter, list)| {
        list.iter().map(move |said| format!("{letter} {} by {}\n", said.value.display(), said.by))
    });
    let word = |said: Option<String>| said.unwrap_or_else(|| "-".to_owned());
    let mode = word(request.sandbox.map(|said| said.value.name().to_owned()));
    let net = word(request.net.map(|said| format!("{:?}", said.value)));
    let gpu = word(request.gpu.map(|said| said.value));
    let notes = request.notes.iter().map(|note| format!("note: {note}\n"));
    format!("{mode}, net {net}, gpu {gpu}\n{}{}", rules.collect::<String>(), notes.collect::<String>())
}

fn check(text: &str, want: expect_test::Expect) {
    want.assert_eq(&any(text, "p", around()).map_or_else(|error| format!("refused: {error}\n"), told));
}

fn managed(entries: &str) -> String {
    format!(
        r#"{{"type":"managed","file_system":{{"type":"restricted","entries":[{entries}]}},"network":"restricted"}}"#
    )
}

fn special(kind: &str, access: &str) -> String {
    format!(r#"{{"path":{{"type":"special","value":{{"kind":"{kind}"}}}},"access":"{access}"}}"#)
}

#[test]
fn sandbox_policies_of_the_first_generation() {
    check(
        r#"{"type":"workspace-write","writable_roots":["/x/./y","/dev/nvidia0"]}"#,
        expect_test::expect![[r"
            workspace-write, net None, gpu auto
            r / by preset workspace-write
            w /dev/nvidia0 by p: writable_roots[1]
            w /tmp by preset workspace-write
            w /var/t by preset workspace-write
            w /w by preset workspace-write
            w /x/y by p: writable_roots[0]
        "]],
    );
    check(
        r#"{"type":"workspace-write","exclude_slash_tmp":true,"exclude_tmpdir_env_var":true,"network_access":true,
            "gpu_passthrough":false}"#,
        expect_test::expect![[r"
            workspace-write, net Host, gpu off
            r / by preset workspace-write
            w /w by preset workspace-write
        "]],
    );
    check(
        r#"{"type":"read-only","gpu_passthrough":true}"#,
        expect_test::expect![[r"
            read-only, net None, gpu auto
            r / by preset read-only
        "]],
    );
    check(r#"{"type":"danger-full-access"}"#, expect_test::expect!["full-access, net -, gpu -\n"]);
    check(
        r#"{"type":"external-sandbox"}"#,
        expect_test::expect![[r"
            workspace-write, net None, gpu auto
            w / by p: file_system
        "]],
    );
}

#[test]
fn permission_profiles_tagged_and_untagged() {
    let entries = [
        special("root", "read"),
        special("current_working_directory", "write"),
        special("tmpdir", "write"),
        special("slash_tmp", "none"),
        r#"{"path":{"type":"glob_pattern","pattern":"**/[a.env"},"access":"deny"}"#.to_owned(),
        r#"{"path":{"type":"special","value":{"kind":"project_roots","subpath":"docs"}},"access":"read"}"#.to_owned(),
        r#"{"path":{"type":"special","value":{"kind":"unknown","path":":new"}},"access":"read"}"#.to_owned(),
        r#"{"path":{"type":"path","path":"/same"},"access":"deny","missing_path_behavior":"skip"}"#.to_owned(),
        r#"{"path":{"type":"path","path":"/same"},"access":"write"}"#.to_owned(),
    ];
    check(
        &managed(&entries.join(",")),
        expect_test::expect![[r"
            workspace-write, net None, gpu auto
            r / by p: entries[0]
            r /w/docs by p: entries[5]
            w /var/t by p: entries[2]
            w /w by p: entries[1]
            d **/[[]a.env by p: entries[4]
            d /same by p: entries[7]
            d /tmp by p: entries[3]
            note: p: entries[6]: the special path `:new` is not known here and has no effect
        "]],
    );
    check(
        r#"{"file_system":{"read":["/r"],"write":["/x"]},"network":{"enabled":true},"gpu":[1,0]}"#,
        expect_test::expect![[r"
            workspace-write, net Host, gpu 1,0
            r /r by p: entries[0]
            w /x by p: entries[1]
        "]],
    );
    check("{}", expect_test::expect!["read-only, net None, gpu off\n"]);
    check(r#"{"type":"disabled"}"#, expect_test::expect!["full-access, net -, gpu -\n"]);
    check(r#"{"type":"external","network":"enabled"}"#, expect_test::expect!["full-access, net -, gpu -\n"]);
    check(r#"{"kind":"restricted","entries":[]}"#, expect_test::expect!["read-only, net None, gpu off\n"]);
}

#[test]
fn what_is_unknown_or_unclear_is_refused_with_its_place() {
    let path = |path: &str, access: &str| {
        managed(&format!(r#"{{"path":{{"type":"path","path":"{path}"}},"access":"{access}"}}"#))
    };
    let glob = |pattern: &str, access: &str| {
        managed(&format!(r#"{{"path":{{"type":"glob_pattern","pattern":"{pattern}"}},"access":"{access}"}}"#))
    };
    let table = [
        ("{".to_owned(), "EOF"),
        ("[]".to_owned(), "a policy is a JSON object"),
        (r#"{"type":"managed"}"#.to_owned(), "missing field `file_system`"),
        (r#"{"type":"wild"}"#.to_owned(), "unknown variant `wild`"),
        (r#"{"network":[true]}"#.to_owned(), "`network` is a list"),
        (r#"{"type":"managed","file_system":["restricted",[]]}"#.to_owned(), "`file_system` is a list"),
        (managed("[1]"), "is a list"),
        (r#"{"file_sytem":{}}"#.to_owned(), "unknown field `file_sytem`"),
        (r#"{"type":"read-only","netwrok_access":true}"#.to_owned(), "unknown field `netwrok_access`"),
        (r#"{"file_system":{"read":["/r"],"entries":[]},"network":"on"}"#.to_owned(), "network is"),
        (path("rel", "read"), "entries[0]: path `rel` is not absolute"),
        (path("/x", "rw"), "unknown variant `rw`"),
        (managed(&special("galaxy", "read")), "unknown variant `galaxy`"),
        (
            managed(r#"{"path":{"type":"special","value":{"kind":"project_roots","subpath":"../x"}},"access":"read"}"#),
            "subpath `../x` leaves",
        ),
        (glob("/*.env", "deny"), "the whole machine"),
        (glob("/**/x", "deny"), "the whole machine"),
        (glob("/a/{b,c}", "deny"), "has braces"),
        (glob("/a/b", "deny"), "has no metacharacter"),
        (glob("/a/*", "write"), "can only be denied"),
    ];
    for (text, want) in table {
        match any(&text, "p", around()) {
            Ok(request) => panic!("{text} was accepted: {request:?}"),
            Err(error) => assert!(error.to_string().contains(want), "{text}: {error}"),
        }
    }
}

#[test]
fn split_policies_must_not_be_wider_than_the_policy_beside_them() {
    let entry = |path: &str| {
        format!(r#"{{"kind":"restricted","entries":[{{"path":{{"type":"path","path":"{path}"}},"access":"write"}}]}}"#)
    };
    let workspace = r#"{"type":"workspace-write"}"#;
    let agree = |files: &str, network: &str, legacy: &str| {
        split_policies(files, network, Some(legacy), around()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(agree(&entry("/w/sub"), r#""restricted""#, workspace), Ok(()));
    assert_eq!(agree(r#"{"kind":"unrestricted"}"#, r#""enabled""#, r#"{"type":"danger-full-access"}"#), Ok(()));
    for (files, network, legacy) in [
        (entry("/etc"), r#""restricted""#, workspace),
        (entry("/w"), r#""enabled""#, workspace),
        (r#"{"kind":"unrestricted"}"#.to_owned(), r#""restricted""#, workspace),
        (entry("/w"), r#""restricted""#, r#"{"type":"danger-full-access"}"#),
    ] {
        let error = agree(&files, network, legacy).expect_err(&files);
        assert!(error.contains("contradict"), "{error}");
    }
}
