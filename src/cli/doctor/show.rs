//! The checks as a table for people and as JSON.

use std::path::PathBuf;

use serde_json::json;

use super::checks::{Check, State};

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Degraded => "degraded",
        State::Missing => "missing",
    }
}

/// A line for each check; what it is needed for and the cure below those that are not ok.
pub fn table(checks: &[Check], removed: &[PathBuf]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let Check { name, state, found, needed_for, cure } = check;
        text += &format!("{name:width$}  {:8}  {found}\n", word(*state));
        if *state == State::Ok {
            continue;
        }
        let indent = " ".repeat(width + 12);
        text += &format!("{indent}needed for: {needed_for}\n");
        if let Some(cure) = cure {
            text += &format!("{indent}cure: {cure}\n");
        }
    }
    for path in removed {
        text += &format!("removed {}\n", path.display());
    }
    text
}

/// `{run_works, checks: [{name, state, found, needed_for, cure}], removed}`.
pub fn json(checks: &[Check], run_works: bool, removed: &[PathBuf]) -> String {
    let removed: Vec<_> = removed.iter().map(|path| path.to_string_lossy()).collect();
    format!("{:#}\n", json!({ "run_works": run_works, "checks": checks, "removed": removed }))
}

#[cfg(test)]
mod tests {
    use super::super::checks::{missing, ok};
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_cure_is_below_what_is_not_ok() {
        let checks = [
            Check::new("seccomp", "filters", ok("available")),
            Check::new("user namespaces", "every sandbox", missing("forbidden", "sudo sysctl -w a=1")),
        ];
        expect_test::expect![[r#"
            seccomp          ok        available
            user namespaces  missing   forbidden
                                       needed for: every sandbox
                                       cure: sudo sysctl -w a=1
            removed /w/.codex
        "#]]
        .assert_eq(&table(&checks, &["/w/.codex".into()]));
        let json: serde_json::Value = serde_json::from_str(&json(&checks, false, &[])).unwrap();
        assert_eq!(json["run_works"], false);
        assert_eq!(json["checks"][1]["state"], "missing");
        assert_eq!(json["checks"][0]["cure"], serde_json::Value::Null);
    }
}
