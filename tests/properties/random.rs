//! Many cases, by several threads.

use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::bench::Bench;
use crate::case::{Case, cases};
use crate::judge::{self, Count};

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

pub fn run() {
    let policies = number("RINGFENCE_POLICIES").map_or(POLICIES, |many| u32::try_from(many).unwrap());
    let chosen = number("RINGFENCE_SEED");
    let new =
        chosen.unwrap_or_else(|| u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    println!("seed {new}: RINGFENCE_SEED={new} RINGFENCE_POLICIES={policies} does the same again");
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
}
