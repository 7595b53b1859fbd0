//! How a start grows with the rules of a policy.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use crate::Rounds;
use crate::place::Place;
use crate::report::{Report, median};

const COUNTS: [usize; 4] = [10, 100, 1000, 10_000];

/// A workspace with so many files, and a policy by which each may only be read.
fn policy(place: &Place, count: usize) -> String {
    let directory = workspace(place, count);
    std::fs::create_dir_all(&directory).unwrap();
    let mut text = String::from("[paths]\n");
    for number in 0..count {
        let file = directory.join(number.to_string());
        std::fs::write(&file, "").unwrap();
        writeln!(text, "{:?} = \"read\"", file.to_str().unwrap()).unwrap();
    }
    let path = place.path(format!("rules-{count}.toml"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn workspace(place: &Place, count: usize) -> PathBuf {
    place.path(format!("rules-{count}"))
}

pub fn measure(place: &Place, rounds: Rounds, report: &mut Report) {
    let policies = COUNTS.map(|count| policy(place, count));
    let engines = ["native", "landlock"];
    let mut times = vec![vec![Vec::new(); COUNTS.len()]; engines.len()];
    for _ in 0..rounds.others {
        for (engine, times) in engines.iter().zip(&mut times) {
            for ((policy, count), times) in policies.iter().zip(COUNTS).zip(times) {
                let ours = place.ringfence.to_str().unwrap();
                let mut command = place.command(&[ours, "run", "--backend", engine, "--config", policy, "--", "true"]);
                command.current_dir(workspace(place, count));
                let begun = Instant::now();
                // Landlock alone refuses what its rules cannot say.
                if command.status().unwrap().success() {
                    times.push(begun.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    report.heading("Rules");
    report.line(&format!(
        "Milliseconds of a whole run of `true` with so many rules, each of which makes a file in the workspace read-only; \
         medians of {} rounds.\n",
        rounds.others
    ));
    let cell = |times: &Vec<f64>| if times.is_empty() { "refused".to_owned() } else { format!("{:.1}", median(times)) };
    let row = |(engine, times): (&&str, &Vec<Vec<f64>>)| {
        [(*engine).to_owned()].into_iter().chain(times.iter().map(cell)).collect()
    };
    let rows: Vec<_> = engines.iter().zip(&times).map(row).collect();
    report.table(&["", "10", "100", "1,000", "10,000"], &rows);
}
