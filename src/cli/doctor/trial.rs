//! What only trying tells: whether a sandbox starts, and whether the user's configuration is in order.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The result of starting `ringfence` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It works.
    Works,
    /// It does not: error and hint as they were told.
    Failed {
        /// The error, without the word.
        error: String,
        /// The hint that came with it.
        hint: Option<String>,
    },
    /// It could not be tried.
    NotTried(String),
}

/// Starts a sandbox for `true`, without the user's configuration: only the machine can be at fault.
pub fn sandbox() -> Trial {
    started_by("native")
}

/// The same by whatever engine `run` chooses here.
pub fn any_engine() -> Trial {
    started_by("auto")
}

fn started_by(engine: &str) -> Trial {
    let mut command = ringfence("run");
    command.args(["--backend", engine]);
    // Not a directory, so there is no configuration below it.
    command.env("XDG_CONFIG_HOME", "/dev/null").args(["--timeout", "20s", "--", "true"]);
    // A `true` that is not found, or not executable here, was looked for inside: the sandbox stood by then.
    judge(command.output(), &[0, 126, 127])
}

/// Makes a plan with the user's configuration.
pub fn configuration() -> Trial {
    let mut command = ringfence("plan");
    command.args(["--", "true"]);
    judge(command.output(), &[0])
}

/// The same program, in a directory that is visible in every sandbox.
fn ringfence(subcommand: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    // A program that is more than `ringfence` knows by its name that it is to be that now.
    command.arg0(std::env::args_os().next().unwrap_or_default());
    command.args([subcommand, "--sandbox", "read-only", "--cd", "/"]);
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn judge(output: std::io::Result<Output>, good: &[i32]) -> Trial {
    let output = match output {
        Ok(output) => output,
        Err(error) => return Trial::NotTried(format!("start `/proc/self/exe`: {error}")),
    };
    if output.status.code().is_some_and(|code| good.contains(&code)) {
        return Trial::Works;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let (error, hint) = match text.split_once("\n\nhint: ") {
        Some((error, hint)) => (error, hint.lines().next()),
        None => (text.trim_end(), None),
    };
    let error = error.trim().trim_start_matches("error: ");
    let error = if error.is_empty() { format!("it ended with {}", output.status) } else { one_line(error) };
    Trial::Failed { error, hint: hint.map(str::to_owned) }
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// What `PROGRAM --version` says, without the program's name.
pub fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").current_dir("/").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next()?.split_ascii_whitespace().last().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn ended(code: i32, stderr: &str) -> Trial {
        let output =
            Output { status: ExitStatus::from_raw(code << 8), stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() };
        judge(Ok(output), &[0, 126, 127])
    }

    #[test]
    fn a_program_that_is_not_found_was_looked_for_in_a_sandbox_that_stood() {
        assert_eq!(ended(0, ""), Trial::Works);
        assert_eq!(ended(127, "error: `true` was not found\n"), Trial::Works);
    }

    #[test]
    fn error_and_hint_are_taken_apart() {
        let text =
            "error: create namespaces: Operation not permitted\n  needed by: x\n\nhint: do this\nhint: or that\n";
        let want = Trial::Failed {
            error: "create namespaces: Operation not permitted; needed by: x".to_owned(),
            hint: Some("do this".to_owned()),
        };
        assert_eq!(ended(125, text), want);
        assert!(matches!(ended(125, ""), Trial::Failed { error, hint: None } if error.contains("125")));
    }
}
