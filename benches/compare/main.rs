//! What a sandbox costs, next to the programs that people compare with: `just bench [PART]...`.
//!
//! The parts are `start`, `calls`, `work`, `rules` and `crowd`; all of them where none is named. All commands of a part are
//! run in turn, round after round, so that a busy moment of the machine meets all of them; read the ratios. Programs that
//! are not installed are left out, and it says which. The whole run writes `docs/benchmarks/README.md` and `start.svg`
//! there. `RUNS` says how many rounds; `SHORT=1` only shows that everything runs.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

mod calls;
mod crowd;
mod peers;
mod place;
mod plot;
mod report;
mod rules;
mod start;
mod work;

use place::Place;
use report::Report;

/// How much is done.
#[derive(Clone, Copy)]
struct Rounds {
    starts: usize,
    others: usize,
    crowd: usize,
}

impl Rounds {
    fn wanted() -> Self {
        if std::env::var_os("SHORT").is_some() {
            return Self { starts: 2, others: 1, crowd: 16 };
        }
        let starts = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
        Self { starts, others: 15, crowd: 500 }
    }
}

fn main() {
    // Cargo says --bench to every benchmark.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let all = ["start", "calls", "work", "rules", "crowd"];
    let unknown = wanted.iter().find(|part| !all.contains(&part.as_str()));
    assert!(unknown.is_none(), "there is no part {unknown:?}: {all:?}");
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    let (rounds, place) = (Rounds::wanted(), Place::make());
    let peers = peers::all(&place);
    let mut report = Report::new(&place);
    if wants("start") {
        start::measure(&place, &peers, rounds, &mut report);
    }
    if wants("calls") {
        calls::measure(&place, &peers, rounds, &mut report);
    }
    if wants("crowd") {
        crowd::measure(&place, &peers, rounds, &mut report);
    }
    if wants("rules") {
        rules::measure(&place, rounds, &mut report);
    }
    if wants("work") {
        work::measure(&place, &peers, rounds, &mut report);
    }
    if wanted.is_empty() && std::env::var_os("SHORT").is_none() {
        report.write();
    }
}
