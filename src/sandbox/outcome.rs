//! How a command ended, as `--json-outcome` tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run of ringfence ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "ringfence outcome")]
pub struct Outcome {
    /// Of this format.
    pub version: u32,
    /// The exit code of ringfence.
    pub code: i32,
    /// How the command ended, or why it did not run.
    pub ending: Ending,
    /// Which time-out ended it, if one did.
    pub timed_out: Option<TimedOut>,
    /// The limits that were hit, as far as the kernel tells.
    pub limits: Vec<LimitHit>,
    /// Whether the command's calls were noted (`--explain`). Without that, denials are those of the network, and guesses.
    pub explained: bool,
    /// What the command was refused.
    pub denials: Vec<Denial>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ending {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimedOut {
    /// `--timeout`.
    Timeout,
    /// `--idle-timeout`.
    IdleTimeout,
}

/// A limit that was hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitHit {
    /// `memory`, `pids`.
    pub limit: String,
    /// How often.
    pub hits: u64,
}

/// Something that the command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// A path, an address and port, a system call, a variable. What is not UTF-8 of it is replaced.
    pub what: String,
    /// What was tried with it.
    pub access: Tried,
    /// Which rule says so.
    pub because: String,
    /// What would allow it; null where nothing would, or where a rule of the user's would have to go.
    pub remedy: Option<Remedy>,
    /// Whether it is known, and not guessed.
    pub certain: bool,
    /// How often it was met, where that is counted; else 1.
    pub count: u64,
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tried {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remedy {
    /// The option of `ringfence run`.
    pub flag: String,
    /// The line of a policy file.
    pub toml: String,
    /// Whether its path has to be made outside first: only what is there can have a rule.
    #[serde(default)]
    pub missing: bool,
}
