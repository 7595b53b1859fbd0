//! Errors and hints, the way people read them.

use std::io::Write;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

use crate::backend::StepError;
use crate::plan::PlanError;
use crate::policy::error::PolicyError;
use crate::request::load::LoadError;
use crate::request::near::nearest;
use crate::request::openshell::{Rejected, Violation};
use crate::request::profiles;
use crate::request::{Request, bwrap};

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
            LoadError::NoProfile { ref name, .. } => {
                let names: Vec<_> = profiles::PROFILES.iter().map(|profile| profile.name).collect();
                let hint = nearest(name, &names).map_or_else(
                    || "ringfence profiles lists them".to_owned(),
                    |near| format!("did you mean `{near}`? ringfence profiles lists them"),
                );
                vec![Self::new(error.to_string(), Some(hint))]
            }
            LoadError::Read { .. } | LoadError::Parse { .. } | LoadError::TooLarge { .. } => {
                vec![Self::new(error.to_string(), None)]
            }
        }
    }

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

impl From<bwrap::Fault> for Problem {
    fn from(fault: bwrap::Fault) -> Self {
        Self { what: fault.to_string(), hint: fault.cure, exit: REJECTED }
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

/// Text for a terminal. Names in it may be a command's choice: they must not steer the terminal, turn the order of the
/// letters around, or begin a line that looks like ours.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let turns =
            matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match letter {
            '\n' if letters.peek().is_some_and(|next| !next.is_whitespace()) => plain.push_str("\n  "),
            '\n' => plain.push(letter),
            _ if letter.is_control() || turns => plain.extend(letter.escape_unicode()),
            _ => plain.push(letter),
        }
    }
    plain
}

/// Tells all problems, the hints after them, each hint once.
pub fn problems(problems: &[Problem]) -> i32 {
    let mut text = String::new();
    for problem in problems {
        text += &told(Word::Error, &problem.what);
    }
    let mut hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.as_deref()).collect();
    hints.dedup();
    if !hints.is_empty() {
        text.push('\n');
    }
    for hint in hints {
        text += &told(Word::Hint, hint);
    }
    say(&text);
    problems.iter().map(|problem| problem.exit).max().unwrap_or(OURS)
}

/// Tells something that is no error.
pub fn note(text: &str) {
    say(&told(Word::Note, text));
}

/// What a line begins with, and so its colour.
#[derive(Debug, Clone, Copy)]
enum Word {
    Error,
    Hint,
    Note,
}

/// A line for a terminal; [`say`] takes the colour out where it is not wanted.
fn told(word: Word, text: &str) -> String {
    let (name, color) = match word {
        Word::Error => ("error:", AnsiColor::Red),
        Word::Hint => ("hint:", AnsiColor::Green),
        Word::Note => ("note:", AnsiColor::Yellow),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{name}{style:#} {}\n", plain(text))
}

/// Writes to standard error, with colours where that is a terminal that has them and `NO_COLOR` is not set.
fn say(text: &str) {
    super::run::progress::clear();
    let stderr = std::io::stderr();
    let colors = AutoStream::choice(&stderr) != ColorChoice::Never;
    let text = if colors { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() };
    // Standard error may be closed: there is nobody left to tell.
    drop((&stderr).write_all(text.as_bytes()));
}

/// Prints to standard output; a reader that has gone away (`ringfence plan | head -1`) is no error.
pub fn print(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_coloured_and_the_text_is_not() {
        let line = told(Word::Error, "no \u{1b}[31mred");
        assert_eq!(line, "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no \\u{1b}[31mred\n");
        assert_eq!(anstream::adapter::strip_str(&line).to_string(), "error: no \\u{1b}[31mred\n");
    }

    #[test]
    fn names_steer_no_terminal_and_begin_no_line() {
        let table = [
            ("no backend\n  landlock: no\n\n über é 日本", "no backend\n  landlock: no\n\n über é 日本"),
            ("`a\u{1b}]0;x\u{7}\r\t\u{9b}b`", "`a\\u{1b}]0;x\\u{7}\\u{d}\\u{9}\\u{9b}b`"),
            ("`x\nerror: y` is", "`x\n  error: y` is"),
            ("/usr/\u{202e}txt.\u{2066}", "/usr/\\u{202e}txt.\\u{2066}"),
        ];
        for (text, want) in table {
            assert_eq!(plain(text), want);
        }
    }
}
