//! The escape suite: small hostile programs, each run in every engine and for every user that this run may be, and what
//! became of each is decided from outside. The same program without the sandbox is its control: there it must get through,
//! so a broken attack is noticed.
//!
//! `HOSTILE=sockets/ cargo test --test hostile -- --nocapture` runs the cases with that in `class/name` and tells more.
//! The rules about skips and `RINGFENCE_MUST` are those of `tests/e2e/`.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test stops where something is wrong, tells what it skips, and its cases are tables"
)]

mod case;
mod classes;
mod run;
mod seen;
mod table;

/// The lab of the end-to-end tests.
#[path = "../e2e"]
mod e2e {
    #[allow(dead_code, unused_imports, reason = "what only the end-to-end tests use")]
    pub mod lab;
}

use e2e::lab;

use case::Case;

#[test]
fn every_case_is_held() {
    // Some of root's cases mount.
    if lab::User::Caller.is_root() {
        lab::in_private_mounts(|| table::run_all(&classes::all()))
    } else {
        table::run_all(&classes::all())
    }
}

#[test]
fn what_is_not_promised_stands_in_security_md() {
    let page = include_str!("../../SECURITY.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let missing = |case: &Case| -> Vec<String> {
        let texts = case.unpromised.iter().filter(|(_, text)| !page.contains(text));
        let litters = case.litters.iter().filter(|text| !page.contains(**text));
        let litters = litters.map(|text| format!("{}: {text:?}", case.full_name()));
        texts.map(|(engine, text)| format!("{}: {engine:?}: {text:?}", case.full_name())).chain(litters).collect()
    };
    let missing: Vec<_> = classes::all().iter().flat_map(missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_name_is_used_once() {
    let mut names: Vec<_> = classes::all().iter().map(Case::full_name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
