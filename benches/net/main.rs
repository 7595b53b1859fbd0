//! What it costs to go out through the bridge, next to a plain connection and to Codex's bridge. `just bench-net` runs it.
//!
//! Server and client are this program too: the client is run inside the sandbox, and takes the times there. All ways are
//! gone in turn, round after round, so that a busy moment of the machine meets all of them. It judges nothing: numbers
//! belong to a machine, and ratios are what is to be read.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a benchmark"
)]

mod bridge;
mod client;
mod server;
mod ways;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ways::Way;

/// A small answer, in bytes: as large as one of a package index or an API is.
const SMALL: u64 = 1024;

const MIB: f64 = (1 << 20) as f64;

/// A number from the environment.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// The release binary, made now if need be: the one that cargo makes for a benchmark unwinds, and is not what is shipped.
fn release_binary() -> PathBuf {
    if let Some(given) = std::env::var_os("RINGFENCE_BINARY") {
        return given.into();
    }
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet"]).status().unwrap();
    assert!(built.success(), "cargo build --release failed");
    std::env::current_exe().unwrap().parent().unwrap().with_file_name("ringfence")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["client", rest @ ..] = arguments.as_slice() {
        return client::run(rest);
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = server::start(directory.path());
    if arguments == ["server"] {
        // For a look at one way by hand.
        println!("{server}");
        loop {
            std::thread::park();
        }
    }
    let binary = release_binary();
    let ways = ways::all(&binary, server, directory.path());
    let part = |name: &str| std::env::var("PARTS").map_or(true, |parts| parts.split(',').any(|part| part == name));
    if part("download") {
        downloads(&ways, server);
    }
    if part("small") {
        small_requests(&ways, server);
    }
    if part("memory") {
        bridge::memory(&ways, server);
    }
    if part("start") {
        starts(&binary, server, directory.path());
    }
}

/// Goes all ways in turn; the times of each.
fn rounds(ways: &[Way], rounds: u64, target: &str, count: u64) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            times.extend(way.get(target, count));
        }
    }
    times
}

fn url(server: SocketAddr, path: impl std::fmt::Display) -> String {
    format!("http://{server}/{path}")
}

fn downloads(ways: &[Way], server: SocketAddr) {
    let (size, count) = (setting("SIZE_MIB", 2048), setting("ROUNDS", 7));
    let times = rounds(ways, count, &url(server, size << 20), 1);
    println!("{:36} {:>10} {:>10} {:>8}   ({count} rounds of {size} MiB)", "download", "MiB/s", "best", "/ plain");
    let speed = |time: Duration| size as f64 / time.as_secs_f64();
    let plain = percentile(&times[0], 50);
    for (way, times) in ways.iter().zip(&times) {
        let median = percentile(times, 50);
        let [median_speed, best] = [median, percentile(times, 0)].map(speed);
        let ratio = plain.as_secs_f64() / median.as_secs_f64();
        println!("{:36} {median_speed:>10.0} {best:>10.0} {ratio:>8.2}", way.name);
    }
}

fn small_requests(ways: &[Way], server: SocketAddr) {
    let (count, each) = (setting("ROUNDS", 7), setting("REQUESTS", 1000));
    let times = rounds(ways, count, &url(server, SMALL), each);
    println!(
        "{:36} {:>10} {:>10} {:>10} {:>10}   ({count} rounds of {each})",
        "request", "median", "p99", "added", "p99"
    );
    let plain = [50, 99].map(|percent| percentile(&times[0], percent));
    for (way, times) in ways.iter().zip(&times) {
        let all = [50, 99].map(|percent| percentile(times, percent));
        let added = [0, 1].map(|at| all[at].as_micros() as i64 - plain[at].as_micros() as i64);
        let [median, p99] = all.map(|time| time.as_micros());
        println!("{:36} {median:>7} µs {p99:>7} µs {:>7} µs {:>7} µs", way.name, added[0], added[1]);
    }
}

/// From before the fork until the process has been waited for, with and without a network.
fn starts(binary: &Path, server: SocketAddr, directory: &Path) {
    let runs = setting("RUNS", 300);
    let networks: [(&str, &[&str]); 4] = [
        ("--net none", &["--net", "none"]),
        ("--net host", &["--net", "host"]),
        ("--net allow", &["--net", "allow", "--allow-host", "x.test"]),
        ("--net proxy", &["--net", "proxy"]),
    ];
    let start = |network: &[&str]| {
        let mut command = Command::new(binary);
        command.arg("run").args(network).args(["--", "true"]).current_dir(directory);
        command.env("HTTP_PROXY", format!("http://{server}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        let status = command.status().unwrap();
        assert!(status.success(), "{network:?}: {status}");
        begin.elapsed()
    };
    let mut times = vec![Vec::new(); networks.len()];
    for round in 0..runs + 10 {
        for ((_, network), times) in networks.iter().zip(&mut times) {
            let time = start(network);
            if round >= 10 {
                times.push(time);
            }
        }
    }
    println!("{:36} {:>10} {:>10} {:>10}   ({runs} runs each, interleaved)", "start", "median", "p99", "added");
    let none = percentile(&times[0], 50);
    for ((name, _), times) in networks.iter().zip(&times) {
        let [median, p99] = [50, 99].map(|percent| percentile(times, percent).as_micros() as i64);
        println!("{name:36} {median:>7} µs {p99:>7} µs {:>7} µs", median - none.as_micros() as i64);
    }
}
