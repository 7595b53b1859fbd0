//! Errors and hints, the way people read them.

use crate::backend::StepError;
use crate::plan::PlanError;
use crate::policy::check::PolicyError;
use crate::request::load::LoadError;

/// What went wrong and what to do about it.
#[derive(Debug)]
pub struct Problem {
    /// Lower case, one or more lines.
    pub what: String,
    /// One command or one sentence.
    pub hint: Option<String>,
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Codex(error) => error.into(),
            error => Self { what: error.to_string(), hint: None },
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        Self { hint: error.hint(), what: error.to_string() }
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        Self { hint: error.hint(), what: error.to_string() }
    }
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        Self { hint: error.hint(), what: error.to_string() }
    }
}

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
    OURS
}

/// Tells something that is no error.
pub fn note(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("note: {text}\n").as_bytes()));
}

/// Prints to standard output; a reader that has gone away (`ringfence plan | head -1`) is no error.
pub fn print(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()));
}
