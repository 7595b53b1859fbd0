//! What must not grow.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::WaitOptions;

use crate::runs::Ground;

/// So long may be cleaned up after the last run of a batch.
const SETTLED: Duration = Duration::from_secs(10);

/// Of the kernel's memory, what is made for each sandbox.
const SLABS: &[&str] =
    &["mnt_cache", "net_namespace", "pid_namespace", "user_namespace", "uts_namespace", "nsproxy", "cred_jar"];

/// What is there at one moment, when nothing runs.
pub struct Counts {
    /// Processes that runs have left.
    children: Vec<String>,
    descriptors: usize,
    mounts: usize,
    cgroups: usize,
    listing: Vec<PathBuf>,
    /// Of this process, in KiB.
    memory: i64,
    /// Objects of the kernel's, where they can be counted: other programs make some too.
    slabs: BTreeMap<String, i64>,
    /// What the kernel cannot give back, in KiB.
    unreclaimable: i64,
}

impl Counts {
    /// As soon as nothing is left of the last runs, or when that takes too long.
    pub fn settled(ground: &Ground) -> Self {
        let deadline = Instant::now() + SETTLED;
        while !children().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self {
            children: children(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            mounts: text("/proc/self/mountinfo").lines().count(),
            cgroups: directories("/sys/fs/cgroup"),
            listing: ground.listing(),
            memory: field(&text("/proc/self/status"), "VmRSS:"),
            slabs: slabs(),
            unreclaimable: field(&text("/proc/meminfo"), "SUnreclaim:"),
        }
    }

    /// What is more than it was, after so many runs.
    pub fn compare(&self, now: &Self, runs: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
        expect(now.children.is_empty(), format!("processes are left: {:?}", now.children));
        expect(
            now.descriptors <= self.descriptors,
            format!("descriptors: {}, now {}", self.descriptors, now.descriptors),
        );
        expect(now.mounts <= self.mounts, format!("mounts: {}, now {}", self.mounts, now.mounts));
        expect(now.cgroups <= self.cgroups, format!("cgroups: {}, now {}", self.cgroups, now.cgroups));
        let more: Vec<_> = now.listing.iter().filter(|path| !self.listing.contains(path)).collect();
        let lost: Vec<_> = self.listing.iter().filter(|path| !now.listing.contains(path)).collect();
        expect(more.is_empty() && lost.is_empty(), format!("files: left {more:?}, lost {lost:?}"));
        expect(now.memory < self.memory + 16 * 1024, format!("own memory: {} KiB, now {}", self.memory, now.memory));
        // Something lost in each run, or in every tenth, is seen; what other programs do meanwhile is not.
        let runs = i64::try_from(runs).unwrap();
        for (name, before) in &self.slabs {
            let after = now.slabs.get(name).copied().unwrap_or(0);
            expect(after < before + 2000 + runs / 10, format!("{name} in the kernel: {before}, now {after}"));
        }
        let (before, after) = (self.unreclaimable, now.unreclaimable);
        expect(after < before + 100 * 1024 + 4 * runs, format!("the kernel's memory: {before} KiB, now {after}"));
        wrong
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { children, descriptors, mounts, cgroups, listing, memory, slabs, unreclaimable } = self;
        write!(f, "processes {}, descriptors {descriptors}, mounts {mounts}, cgroups {cgroups}, ", children.len())?;
        write!(f, "files {}, own {memory} KiB, kernel {unreclaimable} KiB", listing.len())?;
        slabs.iter().try_for_each(|(name, objects)| write!(f, ", {name} {objects}"))
    }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Children that live; orphans that have ended are waited for.
fn children() -> Vec<String> {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    let own = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let numbers = own.map(|task| text(&task.path().join("children").to_string_lossy()));
    let numbers: Vec<_> =
        numbers.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let name = |number: &String| format!("{number} ({})", text(&format!("/proc/{number}/comm")).trim_end());
    numbers.iter().map(name).collect()
}

fn directories(top: &str) -> usize {
    let mut queue = vec![PathBuf::from(top)];
    let mut count = 0;
    while let Some(directory) = queue.pop() {
        count += 1;
        let below = std::fs::read_dir(directory).into_iter().flatten().flatten();
        queue.extend(below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
    count
}

/// A number behind a name.
fn field(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Objects in use; only root may read that.
fn slabs() -> BTreeMap<String, i64> {
    let table = text("/proc/slabinfo");
    let row = |name: &&str| Some(((*name).to_owned(), field(&table, &format!("{name} "))));
    SLABS.iter().filter_map(row).filter(|(_, objects)| *objects > 0).collect()
}
