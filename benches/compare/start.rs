//! How long a start takes: `true`, from before the fork until it has been waited for.

use std::process::Stdio;
use std::time::Instant;

use crate::Rounds;
use crate::peers::{PLAIN, Peer, WARM};
use crate::place::Place;
use crate::report::{Report, median, percentile};

const WARM_UP: usize = 20;

pub fn measure(place: &Place, peers: &[Peer], rounds: Rounds, report: &mut Report) {
    let mut times = vec![Vec::new(); peers.len()];
    for round in 0..WARM_UP.min(rounds.starts) + rounds.starts {
        for (peer, times) in peers.iter().zip(&mut times) {
            let mut command = place.command(&peer.line(&["true"]));
            let begun = Instant::now();
            assert!(command.status().unwrap().success(), "{}", peer.name);
            if round >= WARM_UP.min(rounds.starts) {
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    report.heading("Start");
    report.line(&format!(
        "`true`, {} runs each, interleaved. *best bwrap* is the faster one of those here. Processor time and memory \
         are those of all processes that were waited for, of one run; calls and execs as `strace -f` counts them.\n",
        rounds.starts
    ));
    let of = |name: &str| peers.iter().position(|peer| peer.name == name).map(|at| median(&times[at]));
    let best = ["bwrap", "bwrap of Codex"].into_iter().filter_map(of).min_by(f64::total_cmp);
    let ratio = |value: f64, other: Option<f64>| other.map_or("-".into(), |other| format!("{:.2}", value / other));
    let rows: Vec<_> = peers
        .iter()
        .zip(&times)
        .map(|(peer, times)| {
            let middle = median(times);
            report.bars.push((peer.name.to_owned(), middle));
            let (processor, memory) = usage(place, peer);
            let (calls, execs) = traced(place, peer);
            vec![
                peer.name.to_owned(),
                format!("{middle:.0}"),
                format!("{:.0}", percentile(times, 99)),
                ratio(middle, best),
                ratio(middle, of("unshare -Urpfn --mount-proc")),
                ratio(middle, of("codex sandbox")),
                format!("{processor:.1}"),
                format!("{memory:.1}"),
                calls,
                execs,
            ]
        })
        .collect();
    let head =
        ["", "median µs", "p99 µs", "/ best bwrap", "/ unshare", "/ codex", "CPU ms", "peak MiB", "calls", "execs"];
    report.table(&head, &rows);
    if let (Some(warm), Some(plain)) = (of(WARM), of(PLAIN)) {
        report.line(&format!("\nA command in a session takes {:.0} µs more than one without a sandbox.", warm - plain));
    }
    report.line(&format!("The supervisor of a command that sleeps has had {} in memory at most.", peak(place)));
}

/// Processor time in milliseconds and the largest resident set in MiB, as GNU time would tell: of what is waited for.
fn usage(place: &Place, peer: &Peer) -> (f64, f64) {
    let line = [vec![place.inside().to_str().unwrap().to_owned(), "usage".into()], peer.line(&["true"])].concat();
    let output = place.command(&line).stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    (numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN))
}

/// System calls and execs of one run.
fn traced(place: &Place, peer: &Peer) -> (String, String) {
    let log = place.path("trace");
    let strace = ["strace", "-f", "-o", log.to_str().unwrap()].map(str::to_owned).to_vec();
    let status = place.command(&[strace, peer.line(&["true"])].concat()).status();
    if !status.is_ok_and(|status| status.success()) {
        return ("-".into(), "-".into());
    }
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let calls = text.lines().filter(|line| line.contains('(') && !line.contains(" resumed>"));
    let execs = text.lines().filter(|line| line.contains(" execve(") && !line.contains("ENOENT"));
    (calls.count().to_string(), execs.count().to_string())
}

/// `VmHWM` of the process outside while a command runs (proc(5)).
fn peak(place: &Place) -> String {
    let argv = [place.ringfence.to_str().unwrap(), "run", "--", "sleep", "60"];
    let mut child = place.command(&argv).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    child.kill().unwrap();
    child.wait().unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    peak.map_or("unknown".to_owned(), |kib: f64| format!("{:.2} MiB", kib / 1024.0))
}
