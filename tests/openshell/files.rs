//! `filesystem_policy`, `landlock` and `process`.

use expect_test::expect;

use super::{accept, check, codes};

fn files(read: &str, write: &str) -> String {
    format!("version: 1\nfilesystem_policy:\n  read_only: [{read}]\n  read_write: [{write}]\n")
}

#[test]
fn each_path_is_checked_in_every_way() {
    check(
        &files("usr, ./a, '', ~/x, '..', /a/../b, ../b", "tmp, /, //, ///, /., /.//, /a/.."),
        &expect![[r#"
        p.yaml:3:15: filesystem_policy.read_only[0]: `usr` is not absolute [fs.relative_path]
        p.yaml:3:20: filesystem_policy.read_only[1]: `./a` is not absolute [fs.relative_path]
        p.yaml:3:25: filesystem_policy.read_only[2]: `` is not absolute [fs.relative_path]
        p.yaml:3:29: filesystem_policy.read_only[3]: `~/x` is not absolute [fs.relative_path]
          hint: `~` is not known here, write the whole path
        p.yaml:3:34: filesystem_policy.read_only[4]: `..` is not absolute [fs.relative_path]
        p.yaml:3:34: filesystem_policy.read_only[4]: `..` has `..` in it [fs.path_traversal]
        p.yaml:3:40: filesystem_policy.read_only[5]: `/a/../b` has `..` in it [fs.path_traversal]
        p.yaml:3:49: filesystem_policy.read_only[6]: `../b` is not absolute [fs.relative_path]
        p.yaml:3:49: filesystem_policy.read_only[6]: `../b` has `..` in it [fs.path_traversal]
        p.yaml:4:16: filesystem_policy.read_write[0]: `tmp` is not absolute [fs.relative_path]
        p.yaml:4:21: filesystem_policy.read_write[1]: `/` would make everything writable [fs.overly_broad]
        p.yaml:4:24: filesystem_policy.read_write[2]: `//` would make everything writable [fs.overly_broad]
        p.yaml:4:28: filesystem_policy.read_write[3]: `///` would make everything writable [fs.overly_broad]
        p.yaml:4:33: filesystem_policy.read_write[4]: `/.` would make everything writable [fs.overly_broad]
        p.yaml:4:37: filesystem_policy.read_write[5]: `/.//` would make everything writable [fs.overly_broad]
        p.yaml:4:43: filesystem_policy.read_write[6]: `/a/..` has `..` in it [fs.path_traversal]
    "#]],
    );
    check(
        &files("/, /usr, /a.., /..a, /a...b", "/tmp"),
        &expect![[r#"
        read /  <- p.yaml:3
        read /usr  <- p.yaml:3
        read /a..  <- p.yaml:3
        read /..a  <- p.yaml:3
        read /a...b  <- p.yaml:3
        write /tmp  <- p.yaml:4
        landlock best-effort  <- p.yaml:1
    "#]],
    );
}

#[test]
fn paths_are_normal_before_they_are_compared() {
    check(
        &files("/a//b/, /c/./d/., //e", "/f/"),
        &expect![[r#"
        read /a/b  <- p.yaml:3
        read /c/d  <- p.yaml:3
        read /e  <- p.yaml:3
        write /f  <- p.yaml:4
        landlock best-effort  <- p.yaml:1
    "#]],
    );
    check(
        &files("/a, /b, /a/, //a/.", "/c, /c/"),
        &expect![[r#"
        read /a  <- p.yaml:3
        read /b  <- p.yaml:3
        write /c  <- p.yaml:4
        landlock best-effort  <- p.yaml:1
        note p.yaml:3: filesystem_policy.read_only[2]: `/a/` is there twice, first in line 3
        note p.yaml:3: filesystem_policy.read_only[3]: `//a/.` is there twice, first in line 3
        note p.yaml:4: filesystem_policy.read_write[1]: `/c/` is there twice, first in line 4
    "#]],
    );
    check(
        &files("/a/, /b", "//a/., /c, /b"),
        &expect![[r#"
        p.yaml:4:16: filesystem_policy.read_write[0]: `//a/.` is also in read_only, as `/a/` in line 3 [fs.conflicting_path]
        p.yaml:4:27: filesystem_policy.read_write[2]: `/b` is also in read_only, as `/b` in line 3 [fs.conflicting_path]
    "#]],
    );
    // The control: below or beside is another path.
    accept(&files("/a, /ab, /a/b", "/a/c, /abc"));
}

#[test]
fn paths_of_other_alphabets_are_paths() {
    check(
        &files("/daten/größe, \"/数据/集\"", "/tmp/naïve file"),
        &expect![[r#"
        read /daten/größe  <- p.yaml:3
        read /数据/集  <- p.yaml:3
        write /tmp/naïve file  <- p.yaml:4
        landlock best-effort  <- p.yaml:1
    "#]],
    );
}

#[test]
fn at_most_256_paths() {
    let many = |count: usize| (0..count).map(|n| format!("/p{n}")).collect::<Vec<_>>().join(", ");
    accept(&files(&many(256), ""));
    accept(&files(&many(255), "/w"));
    assert_eq!(codes(&files(&many(257), "")), ["fs.too_many_paths"]);
    check(
        &files(&many(256), "/w"),
        &expect![[r#"
        p.yaml:4:16: filesystem_policy: 257 paths, 256 are allowed [fs.too_many_paths]
    "#]],
    );
    // Those that are there twice count, and each is still checked.
    assert_eq!(codes(&files(&vec!["/p"; 257].join(", "), "w")), ["fs.too_many_paths", "fs.relative_path"]);
}

#[test]
fn at_most_4096_bytes() {
    accept(&files(&format!("/{}", "a".repeat(4095)), ""));
    check(
        &files(&format!("/{}", "a".repeat(4096)), ""),
        &expect![[r#"
        p.yaml:3:15: filesystem_policy.read_only[0]: `/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` has 4097 bytes, 4096 are allowed [fs.path_too_long]
    "#]],
    );
    // 77 bytes would end in the middle of a character; the other checks are left out.
    check(
        &files(&format!("../{}", "ü".repeat(2047)), ""),
        &expect![[r#"
        p.yaml:3:15: filesystem_policy.read_only[0]: `../üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü…` has 4097 bytes, 4096 are allowed [fs.path_too_long]
    "#]],
    );
}

#[test]
fn the_workspace_is_written_only_if_the_file_says_so() {
    let text = |workdir: &str| format!("version: 1\nfilesystem_policy:\n  read_only: [/usr]\n{workdir}\n");
    check(
        &text("  include_workdir: true"),
        &expect![[r#"
        read /usr  <- p.yaml:3
        write /project  <- p.yaml:4
        landlock best-effort  <- p.yaml:1
    "#]],
    );
    check(
        &text("  include_workdir: false"),
        &expect![[r#"
        read /usr  <- p.yaml:3
        landlock best-effort  <- p.yaml:1
    "#]],
    );
    check(
        &text(""),
        &expect![[r#"
        read /usr  <- p.yaml:3
        landlock best-effort  <- p.yaml:1
    "#]],
    );
    check(
        "version: 1\nfilesystem_policy: {include_workdir: true, read_write: [/project/]}",
        &expect![[r#"
        write /project  <- p.yaml:2
        landlock best-effort  <- p.yaml:1
    "#]],
    );
    check(
        "version: 1\nfilesystem_policy: {include_workdir: true, read_only: [/project/]}",
        &expect![[r#"
        p.yaml:2:56: filesystem_policy.read_only[0]: `/project/` is the workspace, which include_workdir makes writable [fs.conflicting_path]
    "#]],
    );
}

#[test]
fn a_section_that_is_not_there_grants_nothing() {
    check(
        "version: 1",
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
}

/// Whether that can be enforced depends on the engine.
#[test]
fn read_only_below_read_write_is_left_to_the_plan() {
    accept(
        "version: 1\nfilesystem_policy: {read_only: [/a/b], read_write: [/a]}\nlandlock: {compatibility: hard_requirement}",
    );
}

#[test]
fn how_strict_landlock_is() {
    let landlock = |value: &str| format!("version: 1\nlandlock:\n  compatibility: {value}\n");
    check(
        &landlock("hard_requirement"),
        &expect![[r#"
        landlock required  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &landlock("best_effort"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:3
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &landlock("''"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:2
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        "version: 1\nlandlock: {}",
        &expect![[r#"
        landlock best-effort  <- p.yaml:2
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &landlock("best-efort"),
        &expect![[r#"
        p.yaml:3:18: landlock.compatibility: `best-efort` is neither best_effort nor hard_requirement [landlock.compatibility]
          hint: did you mean `best_effort`?
    "#]],
    );
    check(
        &landlock("hard_requirment"),
        &expect![[r#"
        p.yaml:3:18: landlock.compatibility: `hard_requirment` is neither best_effort nor hard_requirement [landlock.compatibility]
          hint: did you mean `hard_requirement`?
    "#]],
    );
    check(
        &landlock("Hard_Requirement"),
        &expect![[r#"
        p.yaml:3:18: landlock.compatibility: `Hard_Requirement` is neither best_effort nor hard_requirement [landlock.compatibility]
          hint: did you mean `hard_requirement`?
    "#]],
    );
    check(
        &landlock("strict"),
        &expect![[r#"
        p.yaml:3:18: landlock.compatibility: `strict` is neither best_effort nor hard_requirement [landlock.compatibility]
    "#]],
    );
    check(
        &landlock("true"),
        &expect![[r#"
            p.yaml:3:18: landlock.compatibility: `true` is neither best_effort nor hard_requirement [landlock.compatibility]
        "#]],
    );
}

#[test]
fn as_whom_the_command_runs() {
    let process =
        |user: &str, group: &str| format!("version: 1\nprocess:\n  run_as_user: {user}\n  run_as_group: {group}\n");
    for valid in ["sandbox", "'1'", "'999'", "'4294967294'", "''"] {
        accept(&process(valid, "sandbox"));
        accept(&process("'1717'", valid));
    }
    accept("version: 1\nprocess: {}");
    check(
        &process("'1717'", "sandbox"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        user 1717  <- p.yaml:3
        group sandbox  <- p.yaml:4
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
    "#]],
    );
    check(
        &process("1500", "1501"),
        &expect![[r#"
        landlock best-effort  <- p.yaml:1
        user 1500  <- p.yaml:3
        group 1501  <- p.yaml:4
        note p.yaml:1: there is no filesystem_policy, so the policy grants no path
        note p.yaml:3: process.run_as_user: OpenShell takes text only: write run_as_user: "1500"
        note p.yaml:4: process.run_as_group: OpenShell takes text only: write run_as_group: "1501"
    "#]],
    );
    check(
        &process("'0'", "root"),
        &expect![[r#"
        p.yaml:3:16: process.run_as_user: `0` is neither `sandbox` nor a number in 1 to 4294967294 [process.identity]
        p.yaml:4:17: process.run_as_group: `root` is neither `sandbox` nor a number in 1 to 4294967294 [process.identity]
    "#]],
    );
    for bad in [
        "nobody",
        "root",
        "alice",
        "Sandbox",
        "0",
        "'4294967295'",
        "4294967295",
        "-1",
        "'-1'",
        "'+1'",
        "'007'",
        "007",
        "0x10",
        "'1 '",
        "99999999999999999999",
    ] {
        assert_eq!(codes(&process(bad, "sandbox")), ["process.identity"], "{bad}");
        assert_eq!(codes(&process("sandbox", bad)), ["process.identity"], "{bad}");
    }
}
