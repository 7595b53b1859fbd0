//! What single calls cost inside, next to outside.

use std::process::Stdio;

use crate::Rounds;
use crate::peers::Peer;
use crate::place::Place;
use crate::report::Report;

const CALLS: [&str; 5] = ["getppid", "read of 1 byte", "ioctl", "openat + close, 8 deep", "stat, 8 deep"];

pub fn measure(place: &Place, peers: &[Peer], rounds: Rounds, report: &mut Report) {
    let deep = place.work().join("a/b/c/d/file");
    std::fs::create_dir_all(deep.parent().unwrap()).unwrap();
    std::fs::write(&deep, "").unwrap();
    let program = place.inside().to_str().unwrap().to_owned();
    let command = [program.as_str(), "calls", deep.to_str().unwrap()];
    let peers: Vec<_> = peers.iter().filter(|peer| peer.inside).collect();
    let mut times = vec![vec![Vec::new(); CALLS.len()]; peers.len()];
    for _ in 0..rounds.others {
        for (peer, times) in peers.iter().zip(&mut times) {
            let output = place.command(&peer.line(&command)).stdout(Stdio::piped()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
            times.iter_mut().zip(numbers).for_each(|(times, number)| times.push(number));
        }
    }
    report.heading("Calls inside");
    report.line(&format!("Nanoseconds a call, medians of {} rounds, and the ratio to outside.\n", rounds.others));
    report.ratios(&CALLS, &peers, &times);
}
