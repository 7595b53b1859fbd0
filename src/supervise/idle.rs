//! Whether anything happens in the sandbox: processor time of its processes, as `/proc` tells it, and what is shown.
//!
//! Nothing in the sandbox is in the way of that, and nothing is asked of it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::backend::StepError;
use crate::plan::Plan;

/// Between two looks lies a quarter of the time, within these bounds.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// The watch over a sandbox that is to show signs of life.
#[derive(Debug)]
pub struct Idle {
    limit: Duration,
    process: Pid,
    seen: Signs,
    since: Instant,
    next: Instant,
}

/// What changes as long as something happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Signs {
    /// Time of processors, in ticks of the kernel, of those that are gone too.
    ticks: u64,
    processes: u64,
    /// Bytes shown on the terminal.
    shown: u64,
}

impl Idle {
    /// The watch that a plan wants over its first process.
    ///
    /// # Errors
    /// As [`Idle::watch`].
    pub fn planned(plan: &Plan, process: Option<Pid>) -> Result<Option<Self>, StepError> {
        plan.limits.idle.as_ref().zip(process).map(|(said, process)| Self::watch(process, said.value)).transpose()
    }

    /// Begins to watch a process with all that it has started.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn watch(process: Pid, limit: Duration) -> Result<Self, StepError> {
        let mut signs = Signs::default();
        let missing = || StepError::new("watch for idleness in", Some(Path::new("/proc")), rustix::io::Errno::NOENT);
        signs.add(process.as_raw_nonzero().get()).ok_or_else(missing)?;
        let now = Instant::now();
        Ok(Self { limit, process, seen: signs, since: now, next: now + between(limit) })
    }

    /// When to look the next time.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether nothing has happened for so long; `shown` is how many bytes the terminal has shown.
    pub fn look(&mut self, shown: u64) -> bool {
        let now = Instant::now();
        let mut signs = Signs { shown, ..Signs::default() };
        // A process that ends meanwhile is a change too.
        let _gone = signs.add(self.process.as_raw_nonzero().get());
        if signs != self.seen {
            self.seen = signs;
            self.since = now;
        }
        self.next = now + between(self.limit);
        now.duration_since(self.since) >= self.limit
    }

    /// Begins anew: the whole sandbox was stopped.
    pub fn restart(&mut self) {
        self.since = Instant::now();
    }
}

fn between(limit: Duration) -> Duration {
    (limit / 4).clamp(BETWEEN.0, BETWEEN.1)
}

impl Signs {
    /// Adds a process and its descendants; `None` when the first of them cannot be read.
    fn add(&mut self, process: i32) -> Option<()> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields = stat.rsplit_once(") ")?.1.split(' ');
        // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5), of which the state is the third.
        self.ticks += fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        self.processes += 1;
        for thread in std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
                let _gone = self.add(child);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell that does this counts as, until this has been looked for so often.
    fn check(script: &str, idle: bool) {
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).stdout(Stdio::null()).process_group(0).spawn().unwrap();
        // A busy machine lets nobody wait so long for a processor.
        let limit = Duration::from_millis(1500);
        let mut watch = Idle::watch(Pid::from_child(&child), limit).unwrap();
        let begun = Instant::now();
        let mut found = false;
        while !found && begun.elapsed() < limit * 4 {
            std::thread::sleep(watch.next().saturating_duration_since(Instant::now()));
            found = watch.look(0);
        }
        let _all = rustix::process::kill_process_group(Pid::from_child(&child), rustix::process::Signal::KILL);
        drop(child.wait());
        assert_eq!(found, idle, "{script}");
    }

    #[test]
    fn who_sleeps_is_idle_and_who_computes_is_not_nor_is_a_grandchild() {
        check("sleep 30; true", true);
        check("while :; do :; done", false);
        check("(while :; do :; done) & pid=$!; sleep 30; kill $pid", false);
    }
}
