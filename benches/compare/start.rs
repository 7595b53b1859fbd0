//! How long a start takes: `true`, from before the fork until it has been waited for.

use std::process::Stdio;
use std::time::Instant;

use crate::Rounds;
use crate::peers::{PLAIN, Peer, WARM};
use crate::place::Place;
use crate::report::{Report, median, percentile};

const WARM_UP: usize = 20;

/// What a program with the library does, which starts no other.
const LIBRARY: &str = "session.exec(…)";

/// In which order they take their turns: another one each time. Some leave the kernel work to do after they have ended, which
/// would always meet the same successor.
struct Order {
    turns: Vec<usize>,
    state: u64,
}

impl Order {
    fn new(count: usize) -> Self {
        Self { turns: (0..count).collect(), state: 1 }
    }

    fn next(&mut self) -> Vec<usize> {
        for last in (1..self.turns.len()).rev() {
            // Knuth's generator of MMIX; its upper bits are the random ones.
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.turns.swap(last, (self.state >> 33) as usize % (last + 1));
        }
        self.turns.clone()
    }
}

/// Microseconds of each run: of the peers in their order, then of the library.
fn race(place: &Place, peers: &[Peer], rounds: Rounds) -> Vec<Vec<f64>> {
    let session = place.library_session();
    let mut times = vec![Vec::new(); peers.len() + 1];
    let mut order = Order::new(times.len());
    for round in 0..WARM_UP.min(rounds.starts) + rounds.starts {
        for at in order.next() {
            let mut command = peers.get(at).map(|peer| place.command(&peer.line(&["true"])));
            let begun = Instant::now();
            let ended = match &mut command {
                Some(command) => command.status(),
                None => session.exec("true").env("LD_LIBRARY_PATH", "").output().map(|output| output.status),
            };
            let took = begun.elapsed().as_secs_f64() * 1e6;
            assert!(ended.unwrap().success(), "{at}");
            if round >= WARM_UP.min(rounds.starts) {
                times[at].push(took);
            }
        }
    }
    session.stop().unwrap();
    times
}

pub fn measure(place: &Place, peers: &[Peer], rounds: Rounds, report: &mut Report) {
    let mut times = race(place, peers, rounds);
    let library = times.pop().unwrap();
    report.heading("Start");
    report.line(&format!(
        "`true`, {} runs each, in turn, each round in another order. *best bwrap* is the faster one of those here. Processor time and memory \
         are those of all processes that were waited for, of one run; calls and execs as `strace -f` counts them.\n",
        rounds.starts
    ));
    let of = |name: &str| peers.iter().position(|peer| peer.name == name).map(|at| median(&times[at]));
    let best = ["bwrap", "bwrap of Codex"].into_iter().filter_map(of).min_by(f64::total_cmp);
    let ratio = |value: f64, other: Option<f64>| other.map_or("-".into(), |other| format!("{:.2}", value / other));
    let mut rows: Vec<_> = peers
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
    let (middle, none) = (median(&library), || "-".to_owned());
    rows.push(vec![
        LIBRARY.to_owned(),
        format!("{middle:.0}"),
        format!("{:.0}", percentile(&library, 99)),
        ratio(middle, best),
        ratio(middle, of("unshare -Urpfn --mount-proc")),
        ratio(middle, of("codex sandbox")),
        none(),
        none(),
        none(),
        none(),
    ]);
    report.bars.push((LIBRARY.to_owned(), middle));
    let head =
        ["", "median µs", "p99 µs", "/ best bwrap", "/ unshare", "/ codex", "CPU ms", "peak MiB", "calls", "execs"];
    report.table(&head, &rows);
    if let (Some(warm), Some(plain)) = (of(WARM), of(PLAIN)) {
        report.line(&format!(
            "\nA command in a session takes {:.0} µs more than one without a sandbox; one that a program asks for by the \
             library, {:.0} µs more.",
            warm - plain,
            middle - plain
        ));
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
