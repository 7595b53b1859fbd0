//! What real work costs inside, next to outside, by the command's own clock: without the start.

use std::process::Stdio;

use crate::Rounds;
use crate::peers::Peer;
use crate::place::Place;
use crate::report::Report;

/// How many files `git status` looks at.
const FILES: usize = 20_000;
const FORKS: &str = "500";
const IMPORTS: &str = "import argparse, asyncio, concurrent.futures, csv, ctypes, decimal, email, http.client, json, \
    logging, multiprocessing, sqlite3, ssl, subprocess, tarfile, unittest, urllib.request, uuid, xml.dom, zipfile";

fn repository(place: &Place) {
    let work = place.work();
    for number in 0..FILES {
        let directory = work.join(format!("tree/{}", number / 200));
        if number % 200 == 0 {
            std::fs::create_dir_all(&directory).unwrap();
        }
        std::fs::write(directory.join(format!("{number}.txt")), number.to_string()).unwrap();
    }
    for arguments in [vec!["init", "-q"], vec!["add", "tree"]] {
        assert!(place.command(&[vec!["git"], arguments].concat()).status().unwrap().success());
    }
}

pub fn measure(place: &Place, peers: &[Peer], rounds: Rounds, report: &mut Report) {
    repository(place);
    let program = place.inside().to_str().unwrap().to_owned();
    let kinds: [(&str, Vec<&str>); 3] = [
        ("git status, 20,000 files", vec![&program, "clock", "git", "--no-optional-locks", "status", "--porcelain"]),
        ("python, 21 imports", vec![&program, "clock", "python3", "-c", IMPORTS]),
        ("500 × /bin/true", vec![&program, "forks", FORKS]),
    ];
    let peers: Vec<_> = peers.iter().filter(|peer| peer.inside).collect();
    let mut times = vec![vec![Vec::new(); kinds.len()]; peers.len()];
    for _ in 0..rounds.others {
        for (peer, times) in peers.iter().zip(&mut times) {
            for ((_, command), times) in kinds.iter().zip(times) {
                let output = place.command(&peer.line(command)).stdout(Stdio::piped()).output().unwrap();
                times.extend(String::from_utf8_lossy(&output.stdout).trim().parse::<f64>());
            }
        }
    }
    report.heading("Work inside");
    report.line(&format!(
        "Milliseconds by the command's own clock, medians of {} rounds, and the ratio to outside.\n",
        rounds.others
    ));
    report.ratios(&kinds.each_ref().map(|(name, _)| *name), &peers, &times);
}
