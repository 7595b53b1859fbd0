//! Many sandboxes, in a row and many at a time, and whether anything grows: `just soak [N]`.
//!
//! Engines, users and options take turns: short commands, placeholders that runs share, networks, time-outs, signals,
//! orphans, supervisors that are killed. What is counted in between must be what it was after the first runs. It ends with 1
//! where a run came to something else, where something is left, or where the time is over.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::exit, unreachable_pub, reason = "a program that judges")]

mod counts;
mod runs;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use counts::Counts;
use runs::Ground;

/// How many at a time, in the second half.
const AT_ONCE: usize = 16;

/// How many of them before anything is counted: the first fill caches.
const WARM_UP: usize = 400;

/// How often it is counted in each half.
const ROUNDS: usize = 10;

/// It takes no longer, or has gone wrong.
const LIMIT: Duration = Duration::from_secs(15 * 60);

fn main() {
    // Orphans of runs become children of this process, so none can hide.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let wanted = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20_000_usize);
    let ground = Ground::make();
    let start = Instant::now();
    let mut wrong = batch(&ground, 0..WARM_UP, AT_ONCE);
    let first = Counts::settled(&ground);
    println!("{:>7} {:>6} {first}", "runs", "s");
    let half = wanted / 2;
    let mut done = 0;
    for (at_once, end) in [(1, half), (AT_ONCE, wanted)] {
        let size = (end - done).div_ceil(ROUNDS).max(1);
        while done < end && wrong.is_empty() && start.elapsed() < LIMIT {
            let next = (done + size).min(end);
            wrong.extend(batch(&ground, done..next, at_once));
            done = next;
            let now = Counts::settled(&ground);
            println!("{done:>7} {:>6} {now}", start.elapsed().as_secs());
            wrong.extend(first.compare(&now, done));
        }
    }
    if start.elapsed() >= LIMIT {
        wrong.push(format!("only {done} runs in {LIMIT:?}"));
    }
    println!("{done} runs in {:.1?}, {} wrong", start.elapsed(), wrong.len());
    for what in wrong.iter().take(20) {
        println!("  {what}");
    }
    drop(ground);
    std::process::exit(i32::from(!wrong.is_empty()));
}

/// Runs of these numbers, so many at a time; what went wrong.
fn batch(ground: &Ground, numbers: std::ops::Range<usize>, at_once: usize) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(numbers.start), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end || wrong.lock().unwrap().len() > 5 {
                        return;
                    }
                    if let Err(what) = ground.run(number) {
                        wrong.lock().unwrap().push(format!("run {number}: {what}"));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}
