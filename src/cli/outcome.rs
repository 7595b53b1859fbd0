//! How a run ended, as JSON for other programs: `--json-outcome`.

use std::fs::File;
use std::io::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::report::Problem;
use crate::plan::denial::{self, Remedy};
use crate::plan::seen::Act;
use crate::supervise::outcome::{Ending, Expired, Outcome};

/// How a run of ringfence ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "ringfence outcome")]
pub struct Report {
    /// Of this format.
    version: u32,
    /// The exit code of ringfence.
    code: i32,
    /// How the command ended, or why it did not run.
    ending: End,
    /// Which time-out ended it, if one did.
    timed_out: Option<TimedOut>,
    /// The limits that were hit, as far as the kernel tells.
    limits: Vec<Hit>,
    /// Whether the command's calls were noted (`--explain`). Without that, denials are those of the network, and guesses.
    explained: bool,
    /// What the command was refused.
    denials: Vec<Denial>,
}

/// How a command ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum End {
    /// It exited.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// A signal killed it.
    Signal {
        /// The number of the signal.
        signal: i32,
    },
    /// Its program could not be started in the sandbox.
    NotExecuted {
        /// Why.
        error: String,
    },
    /// There was no sandbox, and the command has not run.
    Failed {
        /// Why.
        error: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A time-out.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum TimedOut {
    /// `--timeout`.
    Timeout,
    /// `--idle-timeout`.
    IdleTimeout,
}

/// A limit that was hit.
#[derive(Debug, Serialize, JsonSchema)]
struct Hit {
    /// `memory`, `pids`.
    limit: String,
    /// How often.
    hits: u64,
}

/// Something that the command was refused.
#[derive(Debug, Serialize, JsonSchema)]
struct Denial {
    /// A path, an address and port, a system call, a variable. What is not UTF-8 of it is replaced.
    what: String,
    /// What was tried with it.
    access: Access,
    /// Which rule says so.
    because: String,
    /// What would allow it; null where nothing would, or where a rule of the user's would have to go.
    remedy: Option<Cure>,
    /// Whether it is known, and not guessed.
    certain: bool,
    /// How often it was met, where that is counted; else 1.
    count: u64,
}

/// What was tried.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Access {
    /// To read or list it, or to look at it.
    Read,
    /// To make, change, move or remove it.
    Write,
    /// To execute it.
    Execute,
    /// To connect to it.
    Connect,
    /// To make the call.
    Call,
}

/// What would allow it.
#[derive(Debug, Serialize, JsonSchema)]
struct Cure {
    /// The option of `ringfence run`.
    flag: String,
    /// The line of a policy file.
    toml: String,
}

impl Report {
    /// Of a command that ran, or whose program could not be started.
    pub fn of(outcome: &Outcome, explained: bool, denials: &[denial::Denial]) -> Self {
        Self {
            version: VERSION,
            code: outcome.code(),
            ending: End::of(&outcome.ending),
            timed_out: outcome.expired.map(|expired| match expired {
                Expired::Time => TimedOut::Timeout,
                Expired::Idle => TimedOut::IdleTimeout,
            }),
            limits: outcome
                .hits
                .iter()
                .map(|(what, hits)| Hit { limit: what.name().to_owned(), hits: *hits })
                .collect(),
            explained,
            denials: denials.iter().map(Denial::of).collect(),
        }
    }

    /// Of a sandbox that there could not be.
    pub fn of_failure(code: i32, found: &[Problem]) -> Self {
        let error = found.iter().map(|problem| problem.what.as_str()).collect::<Vec<_>>().join("\n");
        let hint = found.iter().find_map(|problem| problem.hint.clone());
        Self {
            version: VERSION,
            code,
            ending: End::Failed { error, hint },
            timed_out: None,
            limits: Vec::new(),
            explained: false,
            denials: Vec::new(),
        }
    }

    /// Writes it. Who asked for it and has gone away misses it.
    pub fn write(&self, mut file: &File) {
        if let Ok(text) = serde_json::to_string(self) {
            drop(file.write_all(format!("{text}\n").as_bytes()));
        }
    }
}

/// Raised when a reader of an older one would misread it.
const VERSION: u32 = 1;

impl End {
    fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Exit(code) => Self::Exit { code: *code },
            Ending::Signal(signal) => Self::Signal { signal: *signal },
            Ending::NotExecuted(error) => Self::NotExecuted { error: error.to_string() },
            Ending::Failed(error) => Self::Failed { error: error.to_string(), hint: error.hint() },
        }
    }
}

impl Denial {
    fn of(denial: &denial::Denial) -> Self {
        let denial::Denial { act, what, because, remedy, certain, times } = denial;
        Self {
            what: what.to_string_lossy().into_owned(),
            access: match act {
                Act::Look | Act::Read | Act::More => Access::Read,
                Act::Change | Act::Make => Access::Write,
                Act::Execute => Access::Execute,
                Act::Unix | Act::Internet => Access::Connect,
                Act::Call => Access::Call,
            },
            because: because.clone(),
            remedy: remedy.clone().map(|Remedy { flag, toml }| Cure { flag, toml }),
            certain: *certain,
            count: *times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap() + "\n";
        expect_test::expect_file!["../../docs/outcome.schema.json"].assert_eq(&schema);
    }
}
