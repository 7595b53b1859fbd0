//! All cases on all engines for all users, and the table of what became of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::case::{Case, Engine};
use crate::lab::need::all_met;
use crate::lab::{Need, User};
use crate::run::{Outcome, Place, run};

/// One case for one user: its control first, then the engines.
struct Job<'a> {
    case: &'a Case,
    user: User,
}

#[derive(Default)]
struct Row {
    controls: usize,
    lacking: usize,
    held: BTreeMap<&'static str, usize>,
    unpromised: BTreeMap<&'static str, usize>,
    through: BTreeMap<&'static str, usize>,
}

#[derive(Default)]
struct Found {
    rows: BTreeMap<(&'static str, String), Row>,
    wrong: Vec<String>,
    lacking: BTreeMap<String, String>,
}

/// Runs them, tells the table, and fails if something is not as it must be.
pub fn run_all(cases: &[Case]) {
    let started = Instant::now();
    let wish = std::env::var("HOSTILE").unwrap_or_default();
    let wanted = cases.iter().filter(|case| case.full_name().contains(&wish));
    let jobs: Vec<_> = wanted.flat_map(|case| User::all().into_iter().map(move |user| Job { case, user })).collect();
    let (apart, together): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.case.mounts);
    let found = Mutex::new(Found::default());
    side_by_side(&together, &found);
    apart.iter().for_each(|job| job.run(&found));
    let found = found.into_inner().unwrap();
    tell(&found, started);
    assert!(found.wrong.is_empty(), "\n{}", found.wrong.join("\n\n"));
}

/// Most of a run is waiting: more threads than processors.
fn side_by_side(jobs: &[&Job<'_>], found: &Mutex<Found>) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 3;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    job.run(found);
                }
            });
        }
    });
}

/// How often a control is tried: on a busy machine the host's side may look at the wrong moment. What gets through once can.
const CONTROLS: u32 = 3;

impl Job<'_> {
    fn run(&self, found: &Mutex<Found>) {
        let Self { case, user } = self;
        if !case.is_for(*user) || !all_met(&case.needs, *user) {
            return;
        }
        let mut control = run(case, *user, Place::Control);
        for _ in 1..CONTROLS {
            if control.through.is_some() || control.lacks.is_some() {
                break;
            }
            control = run(case, *user, Place::Control);
        }
        self.tell(found, "control", &control);
        if let (Some(lacks), None) = (&control.lacks, &control.through) {
            self.note(found, |row| row.lacking += 1);
            found.lock().unwrap().lacking.insert(case.full_name(), lacks.clone());
            return;
        }
        self.note(found, |row| row.controls += 1);
        if control.through.is_none() {
            self.complain(found, "the control: it does not get through where it must", &control);
            return;
        }
        for engine in Engine::ALL {
            if engine == Engine::Landlock && !all_met(&[Need::Landlock(6)], *user) {
                continue;
            }
            let outcome = run(case, *user, Place::In(engine));
            self.tell(found, engine.name(), &outcome);
            self.judge(found, engine, &outcome);
        }
    }

    fn judge(&self, found: &Mutex<Found>, engine: Engine, outcome: &Outcome) {
        let excuse = self.case.excuse(engine);
        match (&outcome.through, excuse, &outcome.unclear) {
            (Some(_), Some(_), _) => self.note(found, |row| *row.unpromised.entry(engine.name()).or_default() += 1),
            (Some(how), None, _) => {
                self.note(found, |row| *row.through.entry(engine.name()).or_default() += 1);
                self.complain(found, &format!("{} let it through: {how}", engine.name()), outcome);
            }
            (None, _, Some(why)) => self.complain(found, &format!("{}: {why}", engine.name()), outcome),
            (None, Some(text), None) => {
                self.complain(
                    found,
                    &format!("{} held what is said not to be promised: {text:?}", engine.name()),
                    outcome,
                );
            }
            (None, None, None) => self.note(found, |row| *row.held.entry(engine.name()).or_default() += 1),
        }
    }

    fn note(&self, found: &Mutex<Found>, add: impl FnOnce(&mut Row)) {
        let mut found = found.lock().unwrap();
        add(found.rows.entry((self.case.class, self.user.to_string())).or_default());
    }

    fn complain(&self, found: &Mutex<Found>, what: &str, outcome: &Outcome) {
        let Self { case, user } = self;
        let end = outcome.said.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
        let text = format!("{} as {user}: {what}\n...{}", case.full_name(), &outcome.said[end..]);
        found.lock().unwrap().wrong.push(text);
    }

    /// One case alone is looked at closely.
    fn tell(&self, _found: &Mutex<Found>, place: &str, outcome: &Outcome) {
        if std::env::var("HOSTILE_TELL").is_ok() {
            eprintln!(
                "--- {} ms: {} as {} in {place}: {outcome:#?}",
                outcome.took.as_millis(),
                self.case.full_name(),
                self.user
            );
        }
    }
}

fn tell(found: &Found, started: Instant) {
    let mut text = String::new();
    for (name, why) in &found.lacking {
        writeln!(text, "SKIPPED {name}: this kernel has none of it: {why}").unwrap();
    }
    writeln!(
        text,
        "\n{:<14}{:<10}{:>9}  {:<22}{:<22}{:<22}",
        "class", "user", "controls", "native", "bwrap", "landlock"
    )
    .unwrap();
    for ((class, user), row) in &found.rows {
        let cell = |engine: &str| {
            let count = |of: &BTreeMap<&str, usize>| of.get(engine).copied().unwrap_or(0);
            let (held, through, unpromised) = (count(&row.held), count(&row.through), count(&row.unpromised));
            let more = if unpromised > 0 { format!(", {unpromised} no promise") } else { String::new() };
            let bad = if through > 0 { format!(", {through} THROUGH") } else { String::new() };
            format!("{held} held{more}{bad}")
        };
        let cells: String = Engine::ALL.iter().map(|engine| format!("{:<22}", cell(engine.name()))).collect();
        writeln!(text, "{class:<14}{user:<10}{:>9}  {cells}", row.controls).unwrap();
    }
    writeln!(text, "{} s", started.elapsed().as_secs()).unwrap();
    // Past the capture of the test harness.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
