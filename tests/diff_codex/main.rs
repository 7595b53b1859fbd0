//! The same policies on two helpers: the reference, which is the published binary of Codex, and ours. Every probe of
//! every policy must say the same, and leave the same on the host, unless `differences.rs` says why not.
//!
//! The reference is found through `RINGFENCE_REFERENCE`, or where `npm i --no-save @openai/codex@0.169.0` or
//! `just diff-codex` put it. Without it this test says so and passes; `RINGFENCE_MUST=codex` turns that into a failure.
//! `RINGFENCE_DIFF_OURS` names another helper to compare with; the reference itself differs in nothing.
//! `RINGFENCE_DIFF_ONLY` is a pattern of policies; `RINGFENCE_DIFF_REPORT` is a file that gets every difference.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where something is wrong, and tells what it skips"
)]

mod commands;
mod compare;
mod differences;
mod find;
mod policies;
mod policy;
mod run;
mod tree;
#[path = "../e2e/lab/user.rs"]
mod user;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use compare::{Difference, Report, grouped, matches};
use find::Helper;
use policy::Policy;
use run::{Results, Suite};
use user::User;

/// Removed at the end, also of a test that fails: there are plain files in it, and no mounts.
struct OwnDirectory(PathBuf);

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// What the reference leaves in `/tmp` for its user, if it was not there before.
fn leftovers(user: User) -> Vec<PathBuf> {
    let id = match user {
        User::Caller => rustix::process::geteuid().as_raw(),
        User::Ordinary(id) => id,
    };
    let registry = format!("/tmp/codex-bwrap-synthetic-mount-targets-{id}");
    let paths = [format!("{registry}/lock"), registry, format!("/tmp/codex-daemon-{id}")];
    paths.into_iter().map(PathBuf::from).filter(|path| !path.exists()).collect()
}

/// Both helpers, and where their runs take place.
struct Bench {
    suite: Suite,
    reference: Helper,
    ours: Helper,
}

#[test]
fn every_policy_does_what_the_reference_does() {
    let Some(reference) = find::reference() else { return };
    let own = OwnDirectory(PathBuf::from(format!("/var/tmp/ringfence-diff-{}", std::process::id())));
    let mut report = Report::default();
    let mut same = false;
    for user in User::all() {
        if !find::reachable(&reference, user) {
            find::skip(&format!("{user} cannot walk to {}", reference.display()));
            continue;
        }
        let left = leftovers(user);
        let bench = Bench::new(&own.0.join(user.to_string().replace(' ', "-")), user, &reference);
        same = bench.reference.binary == bench.ours.binary;
        compare_all(&bench, &mut report);
        for path in left {
            let _absent_or_still_used = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
    drop(own);
    let rows: Vec<_> = if same { Vec::new() } else { differences::all().collect() };
    judge(&report, &rows);
}

impl Bench {
    fn new(base: &Path, user: User, reference: &Path) -> Self {
        let scratch = base.join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        user.give(base);
        user.give(&scratch);
        let ours = find::ours(user, base);
        Self {
            reference: Helper::new(&base.join("reference"), reference),
            ours: Helper::new(&base.join("ours"), &ours),
            suite: Suite { base: base.to_owned(), scratch, user },
        }
    }

    /// The results of one policy on both sides.
    fn both(&self, number: usize, policy: &Policy) -> [Results; 2] {
        [("r", &self.reference), ("o", &self.ours)]
            .map(|(side, helper)| run::policy(&self.suite, policy, helper, &format!("{side}{number}")))
    }

    /// The results of one command line on both sides.
    fn both_raw(&self, number: usize, arguments: &[&str]) -> [Results; 2] {
        let arguments: Vec<_> = arguments.iter().map(|one| one.replace("{P}", commands::READ_ONLY)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        [("rc", &self.reference), ("oc", &self.ours)].map(|(side, helper)| {
            let ended = run::raw(&self.suite, helper, &format!("{side}{number}"), &arguments);
            Results::from([("exit".to_owned(), ended.status), ("stdout".to_owned(), ended.stdout)])
        })
    }
}

/// Adds all policies and command lines to the report, several at a time.
fn compare_all(bench: &Bench, report: &mut Report) {
    let only = std::env::var("RINGFENCE_DIFF_ONLY").unwrap_or_else(|_| "*".to_owned());
    let of_user =
        |name: &str| if bench.suite.user == User::Caller { name.to_owned() } else { format!("{name} as a user") };
    let policies = policies::all();
    let chosen: Vec<_> = policies.iter().filter(|policy| matches(&only, policy.name)).collect();
    let lines: Vec<_> =
        commands::COMMANDS.iter().filter(|(name, _)| matches(&only, &format!("call: {name}"))).collect();
    let results = Mutex::new(Vec::new());
    let (next, alone) = (AtomicUsize::new(0), Mutex::new(()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (name, sides) = if let Some(policy) = chosen.get(number) {
                // `/` and `/tmp` are the same for all runs, and what one leaves there another would see.
                let _alone = policy.is_shared().then(|| alone.lock());
                (of_user(policy.name), bench.both(number, policy))
            } else if let Some((name, arguments)) = lines.get(number - chosen.len()) {
                (of_user(&format!("call: {name}")), bench.both_raw(number, arguments))
            } else {
                break;
            };
            results.lock().unwrap().push((number, name, sides));
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(number, ..)| *number);
    // Two helpers that start nothing are equal in everything.
    for (_, name, [reference, _]) in results.iter().filter(|(_, name, _)| *name == of_user("read")) {
        if reference["ran"] == "no" {
            find::skip(&format!("{name}: the reference starts nothing here: {}", reference["stderr"]));
        }
    }
    for (_, name, [reference, ours]) in &results {
        report.add(name, reference, ours);
        write_report(name, reference, ours);
    }
}

/// Every difference on a line of its own, and what a side said that did not start.
fn write_report(policy: &str, reference: &Results, ours: &Results) {
    let Some(path) = std::env::var_os("RINGFENCE_DIFF_REPORT") else { return };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    let mut one = Report::default();
    one.add(policy, reference, ours);
    let ran = reference.get("ran").map_or("-", String::as_str);
    writeln!(file, "{policy}\t{} results, reference ran: {ran}, {} differ", reference.len(), one.found.len()).unwrap();
    for (side, results) in [("reference", reference), ("ours", ours)] {
        if let Some(stderr) = results.get("stderr") {
            writeln!(file, "{policy}\t{side} did not start\t{stderr:?}").unwrap();
        }
    }
    for found in one.found {
        writeln!(file, "{policy}\t{}\t{}\t{}", found.probe, found.reference, found.ours).unwrap();
    }
}

fn judge(report: &Report, table: &[&'static Difference]) {
    let (unlisted, stale) = report.judge(table);
    let only_some = std::env::var_os("RINGFENCE_DIFF_ONLY").is_some();
    let stale: Vec<_> = stale.into_iter().filter(|_| !only_some).collect();
    let summary = format!(
        "diff_codex: {} cases, {} probes: {} equal, {} differ as listed, {} differ otherwise, {} stale rows",
        report.cases,
        report.probes,
        report.probes - report.found.len(),
        report.found.len() - unlisted.len(),
        unlisted.len(),
        stale.len(),
    );
    drop(writeln!(std::io::stderr(), "{summary}"));
    let stale = stale.iter().map(|row| format!("  {row:?}\n")).collect::<String>();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "{summary}\nnot in differences.rs:\n{}in differences.rs, but not found:\n{stale}",
        grouped(&unlisted)
    );
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text) in [("*", ""), ("a*c", "abc"), ("x|a*", "ab"), ("*:read", "W:read"), ("a*b*c", "a1b2c")] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("a", "ab"), ("a*c", "abd"), ("x|y", "x|y"), ("", "a")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn policies_have_different_names() {
    let mut names: Vec<_> = policies::all().iter().map(|policy| policy.name).collect();
    assert!(names.len() >= 60, "{} policies", names.len());
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
}
