//! What came out of a command, and what a test may say about it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;

pub struct Ran {
    pub what: String,
    pub output: Output,
    pub took: Duration,
    /// What the command left on the host that it must not leave.
    pub left: Option<String>,
}

/// How programs and kernels word a refusal.
const REFUSALS: &[&str] = &[
    "Permission denied",
    "Read-only file system",
    "Operation not permitted",
    "No such file or directory",
    "Device or resource busy",
    "Invalid cross-device link",
    "File exists",
];

impl Ran {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).trim_end().to_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The exit code as a shell would tell it.
    pub fn code(&self) -> i32 {
        let status = self.output.status;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "exit code of {self}");
        self
    }

    #[track_caller]
    pub fn assert_works(&self) -> &Self {
        self.assert_code(0)
    }

    #[track_caller]
    pub fn assert_prints(&self, text: &str) -> &Self {
        self.assert_works();
        assert_eq!(self.stdout(), text.trim_end(), "output of {self}");
        self
    }

    /// The command failed, because this path was refused.
    #[track_caller]
    pub fn assert_refused_for(&self, path: &str) -> &Self {
        let line = self.stderr();
        let refused = line.lines().any(|line| line.contains(path) && REFUSALS.iter().any(|word| line.contains(word)));
        assert!(self.code() != 0 && refused, "not refused for {path}: {self}");
        self
    }

    #[track_caller]
    pub fn assert_refused(&self) -> &Self {
        self.assert_refused_for("")
    }

    /// Standard error says this.
    #[track_caller]
    pub fn assert_says(&self, text: &str) -> &Self {
        assert!(self.stderr().contains(text), "no word of {text:?} by {self}");
        self
    }

    /// Ringfence itself refused: code 125, an `error:` line with this text, and never a panic.
    #[track_caller]
    pub fn assert_error(&self, text: &str) -> &Self {
        self.assert_code(125).assert_says("error: ").assert_says(text);
        assert!(!self.stderr().contains("panicked"), "{self}");
        self
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, output: _, took, left: _ } = self;
        write!(f, "{what}\n  code {} after {took:?}\n  stdout: {}\n  stderr: ", self.code(), self.stdout())?;
        f.write_str(self.stderr().trim_end())
    }
}
