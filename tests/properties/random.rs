//! Many cases, by several threads.

use std::process::{Child, Command, Stdio};

use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::bench::Bench;
use crate::case::{Case, cases};
use crate::differences::ROWS;
use crate::judge::{self, Count};
use crate::user::{User, reachable_binary};

/// From how many cases on shares mean something.
const ENOUGH: usize = 100;

/// How many cases show every listed difference.
const LONG: usize = 1000;

/// How many failures are told, and how often the first one is tried in a smaller form.
const FAILURES: usize = 5;
const SHRINKS: usize = 60;

/// How many policies where nothing else is said.
const POLICIES: u32 = 150;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn seed(number: u64, thread: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    seed[8..16].copy_from_slice(&thread.to_le_bytes());
    seed
}

/// What a thread found.
#[derive(Default)]
struct Found {
    count: Count,
    failures: Vec<String>,
}

/// So many cases of a seed. The first one that fails is made smaller.
fn some(policies: u32, seed: [u8; 32]) -> Found {
    let bench = Bench::new();
    let mut found = Found::default();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    for _ in 0..policies {
        let mut tree = cases().new_tree(&mut runner).unwrap();
        match judge::check(&bench, &tree.current()) {
            Ok(one) => found.count.add(&one),
            Err(why) => {
                let smaller = if found.failures.is_empty() { smaller(&bench, &mut tree) } else { None };
                let (case, why) = smaller.unwrap_or((tree.current(), why));
                println!("{why}\n{case:?}");
                found.failures.push(format!("{why}\n{case:?}"));
            }
        }
        if found.failures.len() == FAILURES {
            break;
        }
    }
    found
}

/// A smaller case that fails too.
fn smaller(bench: &Bench, tree: &mut impl ValueTree<Value = Case>) -> Option<(Case, String)> {
    let mut smallest = None;
    let mut more = tree.simplify();
    for _ in 0..SHRINKS {
        if !more {
            break;
        }
        let case = tree.current();
        more = match judge::check(bench, &case) {
            Err(why) => {
                smallest = Some((case, why));
                tree.simplify()
            }
            Ok(_) => tree.complicate(),
        };
    }
    smallest
}

/// Starts the same for an ordinary user, with fewer policies, where this is root.
fn as_ordinary_user(policies: u32, seed: u64) -> Option<(tempfile::TempDir, Child)> {
    let user = *User::all().last()?;
    if user == User::Caller {
        return None;
    }
    let lab = tempfile::Builder::new().prefix("ringfence-properties-").tempdir_in("/var/tmp").unwrap();
    user.give(lab.path());
    let (own, copy) = (std::env::current_exe().unwrap(), lab.path().join("properties"));
    std::fs::hard_link(&own, &copy).or_else(|_| std::fs::copy(&own, &copy).map(drop)).unwrap();
    let mut command = Command::new(copy);
    command.args(["--exact", "every_engine_does_what_the_plan_says", "--nocapture"]).current_dir("/");
    command.env_clear().env("PATH", "/usr/bin:/bin").env("RINGFENCE_SEED", seed.to_string());
    command.env("RINGFENCE_POLICIES", policies.to_string());
    command.env("RINGFENCE_PROPERTIES_BINARY", reachable_binary(user, lab.path()));
    user.becomes(&mut command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    Some((lab, child))
}

pub fn run() {
    let policies = number("RINGFENCE_POLICIES").map_or(POLICIES, |many| u32::try_from(many).unwrap());
    let chosen = number("RINGFENCE_SEED");
    let time = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let new = chosen.unwrap_or_else(|| u64::from(std::process::id()) ^ time);
    println!("again: RINGFENCE_SEED={new} RINGFENCE_POLICIES={policies}");
    let other = as_ordinary_user(policies / 5, new);
    let work = [seed(chosen.unwrap_or(1), 0), seed(new, 1)];
    let found = std::thread::scope(|scope| {
        let threads = work.map(|seed| scope.spawn(move || some(policies.div_ceil(2), seed)));
        threads.map(|thread| thread.join().unwrap())
    });
    let (mut count, mut failures) = (Count::default(), Vec::new());
    for one in found {
        count.add(&one.count);
        failures.extend(one.failures);
    }
    println!("{count:?}");
    assert!(failures.is_empty(), "seed {new}:\n{}", failures.join("\n"));
    if let Some((_lab, child)) = other {
        let ran = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "as an ordinary user:\n{said}");
    }
    compares_something(&count);
}

/// The control: most policies start, with every engine, and of the attempts many succeed; in a long run every listed
/// difference occurs.
fn compares_something(count: &Count) {
    if count.cases < ENOUGH {
        return;
    }
    let [native, bwrap, landlock] = count.started;
    assert!(native * 2 > count.cases && bwrap * 2 > count.cases && landlock * 3 > count.cases, "{count:?}");
    assert!(count.allowed * 10 > count.attempts && count.allowed * 2 < count.attempts, "{count:?}");
    let stale: Vec<_> =
        ROWS.iter().map(|(name, ..)| *name).filter(|row| !count.differences.contains_key(row)).collect();
    assert!(count.cases < LONG || stale.is_empty(), "differences that do not occur: {stale:?}");
}
