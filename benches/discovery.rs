//! How long it takes to find GPUs: on a machine with 16 of them and 64 MIG instances, made as files, and on this one.
//!
//! `cargo bench --bench discovery`; `RUNS` sets how often, 300 unless said.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence::host::gpu::{CallerIds, HostNodes, Look, NodeFact, NodeLookup, probe};
use ringfence::host::paths::Kind;
use ringfence::policy::gpu::{Classes, GpuWish};

#[path = "../tests/gpu_hosts/many.rs"]
mod many;

/// Device nodes cannot be made as an ordinary user: a look at a file of the same directory, and then the number.
struct Nodes {
    files: HostNodes,
    nodes: std::collections::HashMap<PathBuf, (u32, u32)>,
}

impl NodeLookup for Nodes {
    fn node(&self, path: &Path) -> Option<NodeFact> {
        let (major, minor) = *self.nodes.get(path)?;
        let fact = self.files.node(path)?;
        Some(NodeFact { kind: Kind::Char { major, minor }, mode: 0o666, ..fact })
    }

    fn may_open(&self, path: &Path, permissions: u32) -> Option<bool> {
        self.files.may_open(path, permissions)
    }
}

fn main() {
    let root = tempfile::tempdir().unwrap();
    let listed = many::make(root.path());
    std::fs::create_dir_all(root.path().join("dev/nvidia-caps")).unwrap();
    for (path, ..) in &listed {
        std::fs::write(root.path().join(path.strip_prefix("/").unwrap()), "").unwrap();
    }
    let nodes = listed.into_iter().map(|(path, major, minor)| (path, (major, minor))).collect();
    let nodes = Nodes { files: HostNodes::below(root.path()), nodes };
    let caller = CallerIds { uid: 1000, gid: 1000, groups: Vec::new() };
    let look = |wish: &GpuWish, root: &Path, nodes: &dyn NodeLookup| {
        let look = Look { wish, classes: &Classes::default(), all: false };
        probe(root, nodes, &caller, &look)
    };
    let all = look(&GpuWish::All, root.path(), &nodes);
    assert_eq!((all.gpus.len(), all.gpus.iter().map(|gpu| gpu.mig.len()).sum::<usize>()), (16, 64));
    let live = HostNodes::below(Path::new("/"));
    println!("| discovery | median µs | p99 µs |\n|---|---|---|");
    measure("16 GPUs, 64 MIG instances", || look(&GpuWish::All, root.path(), &nodes).gpus.len());
    measure("this machine, auto", || look(&GpuWish::Auto, Path::new("/"), &live).gpus.len());
    println!("limit for the first: 2000 µs");
}

fn measure(what: &str, run: impl Fn() -> usize) {
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1000.0;
    println!("| {what} | {:.0} | {:.0} |", at(50), at(99));
}
