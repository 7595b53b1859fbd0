//! The plan as a tree and as a page.

use std::path::PathBuf;

use expect_test::expect_file;
use ringfence::plan::show;

use super::{DESK, Host, planned};

const WISHES: &str = "read = ['/home/you/data']\nwrite = ['/home/you/data/sets']\ndeny = ['**/*.env']\n\
                      allow_host = ['pypi.org']\ntimeout = '5m'\n";

fn tree(toml: &str, host: &Host) -> String {
    format!("{toml}---\n{}", show::outline(&planned(toml, host).unwrap()))
}

fn page(toml: &str, host: &Host) -> String {
    show::page(&planned(toml, host).unwrap())
}

#[test]
fn the_tree_of_the_default() {
    expect_file!["snapshots/tree-default.txt"].assert_eq(&tree("", &DESK));
}

#[test]
fn the_tree_of_rules_hosts_and_gpus() {
    let host = Host { gpus: "two-gpus", ..DESK };
    expect_file!["snapshots/tree-wishes.txt"].assert_eq(&tree(&format!("{WISHES}gpu = '1'\n"), &host));
}

#[test]
fn the_tree_of_no_sandbox_says_so() {
    let shown = tree("sandbox = 'full-access'\n", &DESK);
    assert!(shown.contains("write") && shown.contains("sandbox full-access"), "{shown}");
    assert!(page("sandbox = 'full-access'\n", &DESK).contains("the machine is writable"));
}

/// Landlock alone decides by its rules, and the tree says what they come to.
#[test]
fn the_tree_follows_the_engine() {
    let shown = tree("backend = 'landlock'\nlandlock = 'best-effort'\n", &DESK);
    let level = |name: &str| {
        let line = shown.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}\n{shown}"));
        line.split_whitespace().find(|word| ["hidden", "read", "modify", "write", "protected"].contains(word)).unwrap()
    };
    assert!(shown.contains("enforced by Landlock and system calls alone"), "{shown}");
    assert_eq!((level("preset workspace-write"), level("shadow")), ("write", "hidden"), "{shown}");
}

#[test]
fn the_page_tells_what_the_plan_tells() {
    let host = Host { gpus: "two-gpus", ..DESK };
    let page = page(&format!("{WISHES}gpu = '1'\n"), &host);
    for wanted in [
        "<h1>true</h1>",
        "in <code>/home/you/project</code>",
        "/home/you/data/sets</code>",
        "nodes of GPUs",
        "/dev/nvidia0",
        "listed hosts only",
        "pypi.org",
        "2 dropped",
        "GITHUB_TOKEN",
        "end after 300s",
        "ringfence itself",
        "deny globs hide what matches at the start",
        "System calls (",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    assert!(!page.contains("nvidia1"), "a GPU that is not granted is not there");
}

/// It stands alone: nothing is loaded, nothing runs, and its own policy forbids both.
#[test]
fn the_page_stands_alone() {
    let page = page(WISHES, &DESK);
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    for forbidden in ["<script", "src=", "href=", "url(", "@import", " on", "javascript:"] {
        let found = page.find(forbidden).filter(|at| forbidden != " on" || page[*at..].starts_with(" onclick"));
        assert_eq!(found, None, "{forbidden}");
    }
    let (opened, closed) = (page.matches("<details").count(), page.matches("</details>").count());
    assert_eq!(opened, closed);
    assert_eq!(page.matches("<ul").count(), page.matches("</ul>").count());
}

/// Names are anybody's.
#[test]
fn names_are_text_on_the_page_and_one_line_in_the_tree() {
    let mut plan = planned("", &DESK).unwrap();
    let evil = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a\nb", "\u{202e}cba", "&lt;"];
    plan.process.command = evil.iter().map(Into::into).collect();
    let confinement = plan.confinement.as_mut().unwrap();
    let one = confinement.mounts.ops.last().unwrap().clone();
    for name in evil {
        let target = PathBuf::from("/home/you/project").join(name.replace('/', "|"));
        confinement.mounts.ops.push(ringfence::plan::mounts::MountOp { target, ..one.clone() });
    }
    let not_text = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/home/you/<b>\xff\xfe");
    confinement.mounts.ops.push(ringfence::plan::mounts::MountOp { target: not_text.into(), ..one });
    let page = show::page(&plan);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>\u{fffd}"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&amp;lt;"), "{page}");
    assert!(page.contains("&lt;b&gt;\u{fffd}\u{fffd}") && !page.contains('\u{202e}'), "{page}");
    let tree = show::outline(&plan);
    assert!(tree.contains("a\\nb") && !tree.contains("a\nb") && !tree.contains('\u{202e}'), "{tree}");
}
