//! Full disks, in mounts of this process's own: the program is started again in a mount namespace for that.

use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Need};
use crate::place::{self, Place};

/// The word that makes this program the one with private mounts.
pub const WORD: &str = "with-private-mounts";

/// Which directory of the lab is full, what the run comes to, and what it says. Nothing can be made there.
const FULL: &[(&str, &[&str], &[i32], &str)] = &[
    // Placeholders cannot be made, where an engine needs some; else the command finds out for itself.
    ("work", &["native", "bwrap"], &[125], "make room on the disk of the workspace"),
    ("work", &["landlock"], &[98], ""),
    // Landlock's command has its temporary files there.
    ("tmp", &["landlock"], &[125], "No space left on device"),
    ("tmp", &["native", "bwrap"], &[place::CODE], ""),
    // What is remembered of a bubblewrap is no more than a help.
    ("cache", place::ENGINES, &[place::CODE], ""),
];

/// Starts it; what went wrong comes back, and how many cells there were.
pub fn check() -> (usize, Vec<String>) {
    if Lab::as_root(&[Need::Tool("unshare"), Need::Tool("mount")]).is_empty() {
        return (0, Vec::new());
    }
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap()).arg(WORD);
    let output = again.output().unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let cells = told.lines().filter(|line| line.starts_with("cell: ")).count();
    let wrong = (!output.status.success()).then(|| format!("full disks: {told}"));
    (cells, wrong.into_iter().collect())
}

/// Inside: mounts, runs, judges.
pub fn main() -> i32 {
    let mut wrong = 0;
    for mut place in Place::all() {
        let engine = place.engine;
        for (full, _, codes, says) in FULL.iter().filter(|(_, engines, ..)| engines.contains(&engine)) {
            println!("cell: {place}: {full} is full");
            let path = place.lab.path(full);
            let mounted = Mounted::on(&path);
            place.look();
            let ran = place.run(None);
            drop(mounted);
            place.look();
            let told = ran.story.stderr.contains(says);
            if let Some(wrong_with) = place.judge(&ran, codes).or_else(|| (!told).then(|| format!("no word of {says}")))
            {
                println!("{place}: {full} is full: {wrong_with}\n    {:?}", ran.story);
                wrong += 1;
            }
        }
    }
    i32::from(wrong > 0)
}

/// A file system without room for another entry, over a directory.
struct Mounted<'a>(&'a str);

impl<'a> Mounted<'a> {
    fn on(path: &'a str) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "nr_inodes=1,size=16k,mode=0777", "full"])
            .arg(path)
            .status();
        assert!(mounted.unwrap().success() && std::fs::write(Path::new(path).join("more"), "").is_err());
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}
