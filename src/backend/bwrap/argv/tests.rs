//! Codex's profiles → plan → arguments, on a small machine: the forms that its own helper gives to bubblewrap.

use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;
use crate::host::bwrap::{Bwrap, Features, Stamp};
use crate::host::engines::{Engines, Usable};
use crate::host::{self, Caller};
use crate::plan;
use crate::policy::Policy;
use crate::request::codex::{self, Surroundings};
use crate::request::{Backend, Origin, Said};

/// A trailing `/` makes a directory.
const MACHINE: &[&str] = &[
    "bin/",
    "dev/shm/",
    "etc/",
    "usr/lib/",
    "proc/",
    "run/",
    "tmp/",
    "blk/allowed/.git/",
    "blk/secret.txt",
    "w/.git/",
    "w/.agents/",
    "w/.codex/",
    "w/.aws/",
    "w/docs/public/",
    "w/docs/private/",
    "w/a.env",
    "real/sub/",
];

/// The options for a profile's entries, one to a line, without what is the same for all.
fn check(entries: &str, want: Expect) {
    let root = tempfile::tempdir().unwrap();
    for entry in MACHINE {
        let path = root.path().join(entry);
        if entry.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }
    std::os::unix::fs::symlink("real", root.path().join("link")).unwrap();
    let around = Surroundings { workspace: Path::new("/w"), tmpdir: None };
    let text = format!(
        r#"{{"type":"managed","file_system":{{"type":"restricted","entries":[{entries}]}},"network":"restricted"}}"#
    );
    let mut request = codex::profile(&text, "p", around).unwrap();
    request.backend = Some(Said::new(Backend::Bwrap, Origin::Flag("--backend")));
    request.start_in = Some("/".into());
    request.command = vec!["true".into()];
    let policy = Policy::new(request, Path::new("/w")).unwrap();
    let mut facts = host::probe(root.path(), &policy, Vec::new()).unwrap();
    let program = Bwrap { path: "/usr/bin/bwrap".into(), setuid: false, stamp: Stamp::default() };
    let usable = Usable { program, features: Features { perms: true, argv0: true, size: true } };
    facts.engines = Engines { bwrap: Some(Ok(usable)), fresh_proc: true, ..Engines::default() };
    facts.caller = Caller::default();
    facts.caller.ids.uid = 1000;
    facts.landlock_abi = 6;
    facts.own_files.clear();
    let plan = plan::build(&policy, &facts).unwrap();
    let confinement = plan.confinement.unwrap();
    let inner = Program::Path("/usr/bin/ringfence".into());
    let options = options(&confinement, &confinement.mounts.ops, &PathBuf::from("/"), &inner).unwrap();
    want.assert_eq(&lines(&options));
}

fn lines(options: &[Argument]) -> String {
    let mut out = String::new();
    for option in options {
        match option {
            Argument::Text(text) if text.to_string_lossy().starts_with("--") => {
                let same_line = out.ends_with(" 000") || out.ends_with(" 111");
                out += if same_line || out.is_empty() { "" } else { "\n" };
                out += if same_line { " " } else { "" };
                out += &text.to_string_lossy();
            }
            Argument::Text(text) => out += &format!(" {}", text.to_string_lossy()),
            Argument::Empty | Argument::Inner | Argument::Data(_) => out += " FD",
        }
    }
    let common = |line: &&str| {
        !line.contains("/dev/") && !line.starts_with("--unshare") && !line.starts_with("--perms 755 --tmpfs /run")
    };
    out.lines().filter(common).map(|line| format!("{line}\n")).collect()
}

fn entry(path: &str, access: &str) -> String {
    format!(r#"{{"path":{{"type":"path","path":"{path}"}},"access":"{access}"}}"#)
}

fn special(kind: &str, access: &str) -> String {
    format!(r#"{{"path":{{"type":"special","value":{{"kind":"{kind}"}}}},"access":"{access}"}}"#)
}

fn all(entries: &[String]) -> String {
    entries.join(",")
}

#[test]
fn a_readable_root() {
    check(
        &special("root", "read"),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --perms 755
        --tmpfs /run
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn a_workspace_in_a_readable_root() {
    check(
        &all(&[special("root", "read"), special("project_roots", "write")]),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --perms 755
        --tmpfs /run
        --bind /w /w
        --ro-bind /w/.agents /w/.agents
        --ro-bind /w/.aws /w/.aws
        --ro-bind /w/.codex /w/.codex
        --ro-bind /w/.git /w/.git
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn the_minimal_system_and_a_workspace() {
    check(
        &all(&[special("minimal", "read"), special("project_roots", "write")]),
        expect![[r#"
        --new-session
        --die-with-parent
        --tmpfs /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --ro-bind /bin /bin
        --ro-bind /etc /etc
        --perms 755
        --tmpfs /run
        --ro-bind /usr /usr
        --bind /w /w
        --ro-bind /w/.agents /w/.agents
        --ro-bind /w/.aws /w/.aws
        --ro-bind /w/.codex /w/.codex
        --ro-bind /w/.git /w/.git
        --as-pid-1
        --proc /proc
        --remount-ro /
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn a_writable_child_of_a_denied_directory() {
    let entries = [special("root", "read"), entry("/blk", "deny"), entry("/blk/allowed", "write")];
    check(
        &all(&entries),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --perms 111 --tmpfs /blk
        --bind /blk/allowed /blk/allowed
        --ro-bind /blk/allowed/.git /blk/allowed/.git
        --perms 755
        --tmpfs /run
        --remount-ro /blk
        --ro-bind-try /blk/allowed/.agents /blk/allowed/.agents
        --ro-bind-try /blk/allowed/.codex /blk/allowed/.codex
        --ro-bind-try /blk/allowed/.aws /blk/allowed/.aws
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn carve_outs_in_the_workspace() {
    let entries = [
        special("root", "read"),
        special("project_roots", "write"),
        entry("/w/docs", "read"),
        entry("/w/docs/public", "write"),
        entry("/w/docs/private", "deny"),
    ];
    check(
        &all(&entries),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --perms 755
        --tmpfs /run
        --bind /w /w
        --ro-bind /w/.agents /w/.agents
        --ro-bind /w/.aws /w/.aws
        --ro-bind /w/.codex /w/.codex
        --ro-bind /w/.git /w/.git
        --ro-bind /w/docs /w/docs
        --perms 000 --tmpfs /w/docs/private
        --remount-ro /w/docs/private
        --bind /w/docs/public /w/docs/public
        --ro-bind-try /w/docs/public/.git /w/docs/public/.git
        --ro-bind-try /w/docs/public/.agents /w/docs/public/.agents
        --ro-bind-try /w/docs/public/.codex /w/docs/public/.codex
        --ro-bind-try /w/docs/public/.aws /w/docs/public/.aws
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn denied_files_by_name_and_by_glob() {
    let glob = r#"{"path":{"type":"glob_pattern","pattern":"/w/**/*.env"},"access":"deny"}"#.to_owned();
    check(
        &all(&[special("root", "read"), entry("/blk/secret.txt", "deny"), glob]),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --perms 000 --ro-bind-data FD /blk/secret.txt
        --perms 755
        --tmpfs /run
        --perms 000 --ro-bind-data FD /w/a.env
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn a_writable_root_with_something_denied() {
    check(
        &all(&[special("root", "write"), entry("/blk", "deny")]),
        expect![[r#"
        --new-session
        --die-with-parent
        --bind / /
        --dev /dev
        --remount-ro /dev
        --perms 000 --tmpfs /blk
        --remount-ro /blk
        --perms 755
        --tmpfs /run
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn a_root_that_is_a_link_is_bound_where_it_leads() {
    check(
        &all(&[special("root", "read"), entry("/link", "write")]),
        expect![[r#"
        --new-session
        --die-with-parent
        --ro-bind / /
        --dev /dev
        --perms 1777
        --remount-ro /dev
        --bind /real /real
        --perms 755
        --tmpfs /run
        --ro-bind-try /real/.git /real/.git
        --ro-bind-try /real/.agents /real/.agents
        --ro-bind-try /real/.codex /real/.codex
        --ro-bind-try /real/.aws /real/.aws
        --as-pid-1
        --proc /proc
        --chdir /
        --cap-drop ALL
    "#]],
    );
}

#[test]
fn content_of_its_own_is_read_from_a_descriptor() {
    let because = Origin::Flag("--test");
    let what = Mount::Data { bytes: b"x".to_vec(), make: false };
    let mut out = Arguments { words: Vec::new(), size: None };
    out.operation(&MountOp { target: "/proc/driver/params".into(), what, because }).unwrap();
    expect![[r#"
        --perms 444
        --ro-bind-data FD /proc/driver/params
    "#]]
    .assert_eq(&lines(&out.words));
    assert!(out.words.contains(&Argument::Data(b"x".to_vec())));
}

#[test]
fn other_names() {
    let device = |source: Option<&str>| Mount::Device {
        source: source.map(PathBuf::from),
        major: 1,
        minor: 5,
        read_only: false,
    };
    let id = crate::host::paths::FileId { dev: 1, ino: 2 };
    let other = Mount::Other { source: "/opt/a".into(), id, dir: true, onto: None };
    let mut out = Arguments { words: Vec::new(), size: None };
    for what in [device(None), device(Some("/dev/zero")), other] {
        let op = MountOp { target: "/dev/shown".into(), what, because: Origin::Flag("--test") };
        assert!(out.operation(&op).is_ok());
    }
    expect![""].assert_eq(&lines(&out.words));
}
