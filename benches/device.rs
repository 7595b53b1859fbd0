//! What a call on a granted device node costs inside, next to outside: reads, ioctls and mappings. `just bench-device`.
//!
//! The first row is a call that has nothing to do with a device: what the others cost more than it is the grant's.
//!
//! Rounds of outside and each engine in turn, so that a busy moment of the machine meets all of them. `/dev/zero` is read
//! and mapped; the ioctl goes to `/dev/kvm` or `/dev/fuse` where there is one, granted by `--device`, else to `/dev/zero`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, reason = "a benchmark")]
#![allow(unsafe_code, reason = "a mapping is measured")]

use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 15;
const CALLS: u32 = 200_000;
const LENGTH: usize = 1 << 16;
const KINDS: [&str; 4] = ["getppid, no device", "read of 1 byte", "ioctl", "mmap and munmap of 64 KiB"];

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let Some(node) = arguments.iter().position(|word| word == "--inside").and_then(|at| arguments.get(at + 1)) {
        let times = [parents(), reads(), ioctls(Path::new(node)), mappings()].map(|time| time.to_string());
        return println!("{}", times.join(" "));
    }
    let node = ["/dev/kvm", "/dev/fuse", "/dev/zero"].into_iter().find(|node| opens(node)).unwrap();
    let engines = ["outside", "native", "bwrap", "landlock"];
    let mut all: Vec<Vec<[f64; 4]>> = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        for (engine, times) in engines.iter().zip(&mut all) {
            times.extend(measured(engine, node));
        }
    }
    println!("ioctl on {node}; medians of {ROUNDS} rounds, ns a call (ratio to outside)\n");
    println!("| call | {} |\n|---|{}", engines.join(" | "), "---|".repeat(engines.len()));
    for (kind, name) in KINDS.iter().enumerate() {
        let medians: Vec<_> = all.iter().map(|times| median(times.iter().map(|time| time[kind]).collect())).collect();
        let cells = medians.iter().map(|time| format!("{time:.0} ({:.2})", time / medians[0]));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

fn opens(node: &str) -> bool {
    OpenOptions::new().read(true).write(true).open(node).is_ok()
}

/// The release binary, beside this one.
fn ringfence() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet"]).status().unwrap();
    assert!(built.success(), "cargo build --release failed");
    std::env::current_exe().unwrap().parent().unwrap().with_file_name("ringfence")
}

/// Nanoseconds of each kind of call; nothing where the engine is not there.
fn measured(engine: &str, node: &str) -> Option<[f64; 4]> {
    static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let this = std::env::current_exe().unwrap();
    let mut command = if engine == "outside" {
        Command::new(&this)
    } else {
        let mut command = Command::new(PROGRAM.get_or_init(ringfence));
        command.args(["run", "-s", "read-only", "--backend", engine, "--device", node, "--"]).arg(&this);
        command
    };
    let output = command.args(["--inside", node]).output().unwrap();
    if !output.status.success() {
        println!("left out: {engine}: {}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default());
        return None;
    }
    let times: Vec<f64> =
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect();
    times.try_into().ok()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn per_call(calls: u32, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// What any call costs: a filter of system calls is asked about each.
fn parents() -> f64 {
    per_call(CALLS, || _ = std::hint::black_box(std::os::unix::process::parent_id()))
}

fn reads() -> f64 {
    let mut zero = std::fs::File::open("/dev/zero").unwrap();
    let mut byte = [1_u8];
    per_call(CALLS, || zero.read_exact(&mut byte).unwrap())
}

fn ioctls(node: &Path) -> f64 {
    let node = OpenOptions::new().read(true).write(true).open(node).unwrap();
    // KVM_GET_API_VERSION; other devices refuse it after the same checks.
    // SAFETY: the descriptor is open for the whole call, and the command takes no pointer.
    per_call(CALLS, || _ = unsafe { libc::ioctl(node.as_raw_fd(), 0xAE00, 0) })
}

fn mappings() -> f64 {
    let zero = std::fs::File::open("/dev/zero").unwrap();
    per_call(CALLS / 10, || {
        // SAFETY: the kernel chooses the place of a new private mapping, so no other memory is touched.
        let place = unsafe {
            libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_READ, libc::MAP_PRIVATE, zero.as_raw_fd(), 0)
        };
        assert_ne!(place, libc::MAP_FAILED);
        // SAFETY: exactly what was mapped above, to which nothing refers.
        unsafe { libc::munmap(place, LENGTH) };
    })
}
