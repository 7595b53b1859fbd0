//! Faults: each of our processes killed and stopped at each of its steps, each system call of the start failing, and a
//! machine that changes meanwhile. What must be true afterwards is looked at from outside, and by the command itself.
//!
//! `cargo test` takes a sample, the same each time; `RINGFENCE_FAULTS=all` (`just faults`) takes all. A word as an argument
//! picks the cells that have it in their name.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where something is wrong, and tells what it does"
)]

mod calls;
mod cells;
mod disturb;
mod full;
mod inside;
#[allow(dead_code, unused_imports, reason = "other tests use the rest of the lab")]
#[path = "../e2e"]
mod e2e {
    pub mod lab;
}
mod place;
mod ptrace;
mod tracer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cells::Cell;
use disturb::DISTURBANCES;
use e2e::lab;
use place::Place;

/// So many cells of a sort are taken in each place, unless all are.
const SAMPLE: usize = 5;

/// How often everything is disturbed, of which the sample takes the first.
const ROUNDS: u32 = 12;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(inside::WORD) => std::process::exit(inside::main(&arguments[1..])),
        Some(full::WORD) => std::process::exit(full::main()),
        _ => {}
    }
    // Lists are for test runners.
    if arguments.iter().any(|word| word == "--list") {
        return;
    }
    if !ptrace::KNOWN_HERE {
        return eprintln!("SKIPPED faults: the tracer knows the registers of x86_64 only");
    }
    let wanted = arguments.into_iter().find(|word| !word.starts_with('-'));
    let all = std::env::var("RINGFENCE_FAULTS").is_ok_and(|value| value == "all");
    let table = Table { wanted: wanted.as_deref(), all };
    let start = Instant::now();
    let wrong: Vec<_> = place::ENGINES.iter().flat_map(|engine| table.engine(engine)).chain(table.full()).collect();
    println!("faults: {} wrong, {} s", wrong.len(), start.elapsed().as_secs());
    assert!(wrong.is_empty(), "what went wrong:\n{}", wrong.join("\n"));
}

/// What is to be run of all.
struct Table<'a> {
    wanted: Option<&'a str>,
    all: bool,
}

/// One thing to be done in a place, and what is wrong then; `false` where its moment did not come.
type Job<'a> = Box<dyn Fn(&Place) -> Result<bool, String> + Send + Sync + 'a>;

impl Table<'_> {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_none_or(|wanted| name.contains(wanted))
    }

    /// One worker for each core; each has places of its own.
    fn engine(&self, engine: &'static str) -> Vec<String> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let places: Vec<Vec<Place>> = (0..workers).map(|_| Place::of(engine)).collect();
        let users = places.first().map_or(0, Vec::len);
        let of_user = |user: usize| self.place(&places.iter().map(|places| &places[user]).collect::<Vec<_>>());
        (0..users).flat_map(of_user).collect()
    }

    fn place(&self, places: &[&Place]) -> Vec<String> {
        let start = Instant::now();
        let first = places[0];
        let story = first.run(None).story;
        let cells: Vec<_> = cells::signals(first, &story).into_iter().chain(cells::errors(first, &story)).collect();
        let total = cells.len() + DISTURBANCES.len() * ROUNDS as usize;
        let taken = self.taken(cells);
        let mut jobs: Vec<Job<'_>> =
            taken.iter().map(|cell| Box::new(|place: &Place| cell.check(place)) as Job<'_>).collect();
        for round in 0..if self.all { ROUNDS } else { 1 } {
            let wanted = DISTURBANCES.iter().filter(|one| self.wants(&format!("{first}: {}", one.name)));
            jobs.extend(
                wanted.map(|one| Box::new(move |place: &Place| one.check(place, round).map(|()| true)) as Job<'_>),
            );
        }
        let (missed, wrong) = done(places, &jobs);
        let took = start.elapsed().as_millis();
        println!("{first}: {} cells of {total}, {missed} not reached, {} wrong, {took} ms", jobs.len(), wrong.len());
        wrong
    }

    /// Of each sort the same number, evenly spread.
    fn taken(&self, cells: Vec<Cell>) -> Vec<Cell> {
        let mut sorts: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
        for cell in cells.into_iter().filter(|cell| self.wants(&cell.name)) {
            sorts.entry(cell.kind.clone()).or_default().push(cell);
        }
        let of_sort = |cells: Vec<Cell>| {
            let step = if self.all { 1 } else { cells.len().div_ceil(SAMPLE).max(1) };
            cells.into_iter().step_by(step).collect::<Vec<_>>()
        };
        sorts.into_values().flat_map(of_sort).collect()
    }

    fn full(&self) -> Vec<String> {
        if !self.wants("full") {
            return Vec::new();
        }
        let (cells, wrong) = full::check();
        println!("full disks: {cells} cells of {cells}, {} wrong", wrong.len());
        wrong
    }
}

/// Does all of it, as many at once as there are places; how many missed their moment, and what is wrong.
fn done(places: &[&Place], jobs: &[Job<'_>]) -> (usize, Vec<String>) {
    let (next, missed, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for place in places {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match job(place) {
                        Ok(reached) => drop(missed.fetch_add(usize::from(!reached), Ordering::Relaxed)),
                        Err(what) => wrong.lock().unwrap().push(what),
                    }
                }
            });
        }
    });
    (missed.into_inner(), wrong.into_inner().unwrap())
}
