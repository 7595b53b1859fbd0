//! How long a start takes, next to the programs that people compare with. `just bench-start` runs it.
//!
//! All commands are run in turn, round after round, so that a busy moment of the machine meets all of them. It prints
//! median and 99th percentile, the ratio to bubblewrap, the supervisor's peak memory and the binary's size. It judges
//! nothing: numbers belong to a machine.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a benchmark")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WARM_UP: usize = 20;

/// The release binary, made now if need be: the one that cargo makes for a benchmark unwinds, and is not what is shipped.
fn release_binary() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet"]).status().unwrap();
    assert!(built.success(), "cargo build --release failed");
    std::env::current_exe().unwrap().parent().unwrap().with_file_name("ringfence")
}

struct Case {
    name: &'static str,
    argv: Vec<String>,
    directory: String,
    times: Vec<Duration>,
}

fn case(name: &'static str, command: &str, directory: &str) -> Option<Case> {
    let argv = command.split(' ').map(str::to_owned).collect();
    let mut case = Case { name, argv, directory: directory.to_owned(), times: Vec::new() };
    match case.run() {
        Ok(_) => Some(case),
        Err(why) => {
            println!("left out: {name}: {why}");
            None
        }
    }
}

impl Case {
    /// From before the fork until the process has been waited for.
    fn run(&mut self) -> Result<Duration, String> {
        let (program, arguments) = self.argv.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().map_err(|error| format!("{program}: {error}"))?;
        let time = start.elapsed();
        if status.success() { Ok(time) } else { Err(format!("{program} failed: {status}")) }
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
    }
}

fn main() {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let empty = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let empty = empty.path().to_str().unwrap();
    let here = env!("CARGO_MANIFEST_DIR");
    let binary = release_binary();
    let ringfence = format!("{} run -- true", binary.display());
    let bwrap = "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all true";
    let mut cases: Vec<Case> = [
        case("true", "true", empty),
        case("unshare -Urpfn --mount-proc", "unshare -Urpfn --mount-proc true", empty),
        case("bwrap --unshare-all", bwrap, empty),
        case("ringfence run", &ringfence, empty),
        case("ringfence run, in this repository", &ringfence, here),
    ]
    .into_iter()
    .flatten()
    .collect();
    for round in 0..WARM_UP + runs {
        for case in &mut cases {
            let time = case.run().unwrap();
            if round >= WARM_UP {
                case.times.push(time);
            }
        }
    }
    let reference = cases.iter().find(|case| case.name.starts_with("bwrap")).map(|case| case.percentile(50));
    println!("{:36} {:>10} {:>10} {:>8}   ({runs} runs each, interleaved)", "", "median", "p99", "/ bwrap");
    for case in &cases {
        let [median, p99] = [50, 99].map(|percent| case.percentile(percent));
        let ratio =
            reference.map_or("-".to_owned(), |bwrap| format!("{:.2}", median.as_secs_f64() / bwrap.as_secs_f64()));
        println!("{:36} {:>7} µs {:>7} µs {ratio:>8}", case.name, median.as_micros(), p99.as_micros());
    }
    println!("peak memory of the supervisor: {}", peak_memory(&binary, empty));
    let size = std::fs::metadata(&binary).unwrap().len();
    println!("size of the binary: {:.2} MiB", size as f64 / f64::from(1 << 20));
}

/// `VmHWM` of the process outside while a command runs (proc(5)).
fn peak_memory(binary: &Path, directory: &str) -> String {
    let mut command = Command::new(binary);
    command.args(["run", "--", "sleep", "60"]).current_dir(directory).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    child.kill().unwrap();
    child.wait().unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    peak.map_or("unknown".to_owned(), |kib: f64| format!("{:.2} MiB", kib / 1024.0))
}
