//! Errors and hints, the way people read them.

use crate::backend::StepError;
use crate::plan::PlanError;
use crate::policy::check::PolicyError;
use crate::request::Request;
use crate::request::load::LoadError;
use crate::request::openshell::{Rejected, Violation};

/// What went wrong and what to do about it.
#[derive(Debug)]
pub struct Problem {
    /// Lower case, one or more lines.
    pub what: String,
    /// One command or one sentence.
    pub hint: Option<String>,
    /// The exit code, where nothing worse went wrong.
    exit: i32,
}

impl Problem {
    /// Of ringfence itself.
    pub fn new(what: impl Into<String>, hint: Option<String>) -> Self {
        Self { what: what.into(), hint, exit: OURS }
    }

    /// Every fault of a policy is a problem of its own.
    pub fn of_file(error: LoadError) -> Vec<Self> {
        match error {
            LoadError::Codex(error) => vec![error.into()],
            LoadError::OpenShell(Rejected(violations)) => {
                let rejected = |fault: Violation| Self { what: fault.to_string(), hint: fault.hint, exit: REJECTED };
                violations.into_iter().map(rejected).collect()
            }
            LoadError::Read { .. } | LoadError::Parse { .. } | LoadError::TooLarge { .. } => {
                vec![Self::new(error.to_string(), None)]
            }
        }
    }
}

impl Problem {
    /// Every part of a policy that nothing here enforces.
    pub fn of_unenforced(request: &Request) -> Vec<Self> {
        crate::policy::check::unenforced(request).map(Self::from).collect()
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        let exit =
            if matches!(error, PolicyError::Unenforced { .. } | PolicyError::NoGrants) { REJECTED } else { OURS };
        Self { hint: error.hint(), what: error.to_string(), exit }
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        let exit =
            if matches!(error, PlanError::Unenforced { .. } | PlanError::Baseline { .. }) { REJECTED } else { OURS };
        Self { hint: error.hint(), what: error.to_string(), exit }
    }
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

/// The exit code of a policy that says what cannot be meant or enforced: nothing was looked at or started for it.
const REJECTED: i32 = 2;

/// The exit code for ringfence's own failures.
pub const OURS: i32 = 125;

/// Tells all problems, the hints after them, each hint once.
pub fn problems(problems: &[Problem]) -> i32 {
    let mut text = String::new();
    for problem in problems {
        text += &format!("error: {}\n", problem.what);
    }
    let mut hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.as_deref()).collect();
    hints.dedup();
    if !hints.is_empty() {
        text.push('\n');
    }
    for hint in hints {
        text += &format!("hint: {hint}\n");
    }
    // Standard error may be closed: there is nobody left to tell.
    drop(std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()));
    problems.iter().map(|problem| problem.exit).max().unwrap_or(OURS)
}

/// Tells something that is no error.
pub fn note(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("note: {text}\n").as_bytes()));
}

/// Prints to standard output; a reader that has gone away (`ringfence plan | head -1`) is no error.
pub fn print(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()));
}
