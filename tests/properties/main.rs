//! Random policies over random trees: what `why` says, what each engine does, and what is on disk afterwards agree.
//!
//! `RINGFENCE_POLICIES` says how many, `RINGFENCE_SEED` which ones; else they are half the same as ever and half new.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where something is wrong, and tells what it did"
)]

mod bench;
mod case;
mod cases;
mod denials;
mod differences;
mod judge;
mod model;
mod probes;
mod random;
mod tree;
#[path = "../e2e/lab/user.rs"]
mod user;

#[test]
fn what_was_found_once_is_kept() {
    let bench = bench::Bench::new();
    for case in cases::found() {
        let checked = judge::check(&bench, &case);
        assert!(checked.is_ok(), "{}\n{case:?}", checked.unwrap_err());
    }
}

#[test]
fn every_engine_does_what_the_plan_says() {
    random::run();
}
