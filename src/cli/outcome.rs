//! How a run ended, as JSON for other programs: `--json-outcome`.

use std::fs::File;
use std::io::Write;

use super::report::Problem;
use crate::plan::denial;
use crate::plan::seen::Act;
use crate::sandbox::outcome::{Denial, Ending, LimitHit, Outcome, Remedy, TimedOut, Tried};
use crate::supervise::outcome as supervise;
use crate::supervise::outcome::Expired;

/// Of a command that ran, or whose program could not be started.
pub fn of(outcome: &supervise::Outcome, explained: bool, denials: &[denial::Denial]) -> Outcome {
    Outcome {
        version: VERSION,
        code: outcome.code(),
        ending: ending(&outcome.ending),
        timed_out: outcome.expired.map(|expired| match expired {
            Expired::Time => TimedOut::Timeout,
            Expired::Idle => TimedOut::IdleTimeout,
        }),
        limits: outcome
            .hits
            .iter()
            .map(|(what, hits)| LimitHit { limit: what.name().to_owned(), hits: *hits })
            .collect(),
        explained,
        denials: denials.iter().map(told).collect(),
    }
}

/// Of a sandbox that there could not be.
pub fn of_failure(code: i32, found: &[Problem]) -> Outcome {
    let error = found.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("\n");
    let hint = found.iter().find_map(|problem| problem.hint.clone());
    Outcome {
        version: VERSION,
        code,
        ending: Ending::Failed { error, hint },
        timed_out: None,
        limits: Vec::new(),
        explained: false,
        denials: Vec::new(),
    }
}

/// Writes it. Who asked for it and has gone away misses it.
pub fn write(outcome: &Outcome, mut file: &File) {
    if let Ok(text) = serde_json::to_string(outcome) {
        drop(file.write_all(format!("{text}\n").as_bytes()));
    }
}
/// Raised when a reader of an older one would misread it.
const VERSION: u32 = 1;

fn ending(ending: &supervise::Ending) -> Ending {
    match ending {
        supervise::Ending::Exit(code) => Ending::Exit { code: *code },
        supervise::Ending::Signal(signal) => Ending::Signal { signal: *signal },
        supervise::Ending::NotExecuted(error) => Ending::NotExecuted { error: error.to_string() },
        supervise::Ending::Failed(error) => Ending::Failed { error: error.to_string(), hint: error.hint() },
    }
}

fn told(denial: &denial::Denial) -> Denial {
    let denial::Denial { act, what, because, remedy, certain, times } = denial;
    Denial {
        what: what.to_string_lossy().into_owned(),
        access: match act {
            Act::Look | Act::Read | Act::More => Tried::Read,
            Act::Change | Act::Make | Act::MakeAgain => Tried::Write,
            Act::Execute => Tried::Execute,
            Act::Unix | Act::UnixAbsent | Act::Internet => Tried::Connect,
            Act::Call => Tried::Call,
        },
        because: because.clone(),
        remedy: remedy.clone().map(|denial::Remedy { flag, toml, missing }| Remedy { flag, toml, missing }),
        certain: *certain,
        count: *times,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Outcome)).unwrap() + "\n";
        expect_test::expect_file!["../../docs/outcome.schema.json"].assert_eq(&schema);
    }
}
