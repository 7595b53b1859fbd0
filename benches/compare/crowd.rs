//! Many sandboxes, 16 at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::Rounds;
use crate::peers::Peer;
use crate::place::Place;
use crate::report::{Report, median, percentile};

const AT_ONCE: usize = 16;

pub fn measure(place: &Place, peers: &[Peer], rounds: Rounds, report: &mut Report) {
    report.heading("Many at once");
    report.line(&format!("{} runs of `true`, {AT_ONCE} at a time.\n", rounds.crowd));
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            let line = peer.line(&["true"]);
            let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let times = Mutex::new(Vec::new());
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        while next.fetch_add(1, Ordering::Relaxed) < rounds.crowd {
                            let begun = Instant::now();
                            let worked = place.command(&line).status().is_ok_and(|status| status.success());
                            times.lock().unwrap().push(begun.elapsed().as_secs_f64() * 1e3);
                            failures.fetch_add(usize::from(!worked), Ordering::Relaxed);
                        }
                    });
                }
            });
            let each = begun.elapsed().as_secs_f64() * 1e3 / rounds.crowd as f64;
            let times = times.into_inner().unwrap();
            let (middle, p99) = (median(&times), percentile(&times, 99));
            vec![
                peer.name.to_owned(),
                format!("{each:.2}"),
                format!("{middle:.1}"),
                format!("{p99:.1}"),
                format!("{:.1}", p99 / middle),
                failures.into_inner().to_string(),
            ]
        })
        .collect();
    report.table(&["", "ms each", "median ms", "p99 ms", "p99 / median", "failures"], &rows);
}
