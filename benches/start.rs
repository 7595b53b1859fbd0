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

/// The policy that both helpers get.
const POLICY: &str = r#"{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"},{"path":{"type":"special","value":{"kind":"project_roots"}},"access":"write"}]},"network":"restricted"}"#;

/// A helper under the name that it is called by, in a directory of its own.
fn helper(program: &Path, directory: &Path, name: &str) -> String {
    let place = directory.join(name);
    std::fs::create_dir_all(&place).unwrap();
    let link = place.join("codex-linux-sandbox");
    std::os::unix::fs::symlink(program, &link).unwrap();
    format!("{} --sandbox-policy-cwd . --permission-profile {POLICY} true", link.display())
}

/// Codex's own helper, where `just diff-codex` has installed it or `RINGFENCE_REFERENCE` names it.
fn codex() -> PathBuf {
    let installed = "target/reference/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    std::env::var_os("RINGFENCE_REFERENCE").map_or_else(installed, PathBuf::from)
}

const ALONE: &str = "ringfence run --backend landlock";

/// A command line with a complete policy of many paths, as the list of a Jetson is one.
fn paths(binary: &Path, directory: &Path, count: u32, backend: &str) -> String {
    let place = directory.join("paths");
    std::fs::create_dir_all(&place).unwrap();
    let files: Vec<_> = (0..count).map(|number| place.join(format!("libnv{number}.so"))).collect();
    files.iter().for_each(|file| std::fs::write(file, "").unwrap());
    let system = ["/usr", "/bin", "/lib", "/lib64"].into_iter().map(str::to_owned);
    let read: Vec<_> = system.chain(files.iter().map(|file| file.to_str().unwrap().to_owned())).collect();
    let policy = directory.join("paths.toml");
    std::fs::write(&policy, format!("complete = true\nworkdir = true\nread = {read:?}\n")).unwrap();
    format!("{} run --backend {backend} --config {} -- true", binary.display(), policy.display())
}

/// How long a start with many writable roots takes, by the command's own clock.
fn many_roots(binary: &Path, directory: &Path, count: u32) -> String {
    let roots: Vec<_> = (0..count).map(|number| directory.join(format!("roots/{number}"))).collect();
    roots.iter().for_each(|root| std::fs::create_dir_all(root).unwrap());
    let list: Vec<_> = roots.iter().map(|root| format!("{:?}", root.to_str().unwrap())).collect();
    let policy = format!(r#"{{"type":"workspace-write","writable_roots":[{}]}}"#, list.join(","));
    let mut command = Command::new(binary);
    command.args(["codex-linux-sandbox", "--sandbox-policy-cwd", ".", "--sandbox-policy", &policy, "date", "+%s.%N"]);
    command.current_dir(directory).stdin(Stdio::null());
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let output = command.output().unwrap();
    let told: Option<f64> = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    told.map_or("failed".to_owned(), |at| format!("{:.0} ms", (at - before.as_secs_f64()) * 1000.0))
}

fn main() {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let empty = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let empty = empty.path().to_str().unwrap();
    let here = env!("CARGO_MANIFEST_DIR");
    let binary = release_binary();
    let ringfence = format!("{} run -- true", binary.display());
    let bwrap = "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all true";
    let helpers = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let of_codex = helper(&codex(), helpers.path(), "reference");
    let of_ours = helper(&binary, helpers.path(), "ours");
    let mut cases: Vec<Case> = [
        case("true", "true", empty),
        case("unshare -Urpfn --mount-proc", "unshare -Urpfn --mount-proc true", empty),
        case("bwrap --unshare-all", bwrap, empty),
        case("ringfence run", &ringfence, empty),
        case("ringfence run, in this repository", &ringfence, here),
        case(ALONE, &format!("{} run --backend landlock -- true", binary.display()), empty),
        case("ringfence run, 301 paths", &paths(&binary, helpers.path(), 301, "native"), empty),
        case("ringfence run, 301 paths, landlock", &paths(&binary, helpers.path(), 301, "landlock"), empty),
        case("codex-linux-sandbox of Codex", &of_codex, empty),
        case("codex-linux-sandbox of ringfence", &of_ours, empty),
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
    let median = |name: &str| cases.iter().find(|case| case.name == name).map(|case| case.percentile(50));
    if let (Some(alone), Some(bare)) = (median(ALONE), median("true")) {
        let limit = bare.mul_f64(1.3) + Duration::from_millis(1);
        println!("landlock alone: {} µs, of 1.3 x true + 1 ms = {} µs", alone.as_micros(), limit.as_micros());
    }
    println!("start with 400 writable roots: {}", many_roots(&binary, helpers.path(), 400));
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
