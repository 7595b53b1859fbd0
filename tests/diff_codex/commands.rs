//! Command lines: exit codes where no policy is at work, or before one is.

/// A name, and the arguments; `{P}` is a profile with a readable root.
pub const COMMANDS: &[(&str, &[&str])] = &[
    ("malformed JSON", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{\"type\":", "true"]),
    ("trailing JSON", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{\"type\":\"disabled\"} x", "true"]),
    ("no command", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}"]),
    ("nothing behind --", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--"]),
    ("no profile", &["--sandbox-policy-cwd", "{W}", "true"]),
    ("no policy cwd", &["--permission-profile", "{P}", "true"]),
    (
        "profile twice",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--permission-profile", "{P}", "true"],
    ),
    ("unknown flag", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--nonsense", "true"]),
    ("a flag of the command", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "echo", "--no-proc"]),
    ("-- of the command", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "echo", "--", "x"]),
    (
        "inner stage",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--apply-seccomp-then-exec", "true"],
    ),
    (
        "inner check",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--verify-fd-mount", "3:/tmp", "true"],
    ),
    (
        "managed network, nothing set",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--managed-network", "{}", "true"],
    ),
    (
        "managed network, malformed",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--managed-network", "{", "true"],
    ),
    ("not found", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "no-such-command"]),
    ("not found by path", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "{W}/none"]),
    ("not executable", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "/etc/passwd"]),
    ("a directory", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "/etc"]),
    ("a missing policy cwd", &["--sandbox-policy-cwd", "{W}/none", "--permission-profile", "{P}", "--", "true"]),
    ("a relative policy cwd", &["--sandbox-policy-cwd", ".", "--permission-profile", "{P}", "--", "true"]),
    ("killed", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "sh", "-c", "kill -KILL $$"]),
    (
        "segmentation fault",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "sh", "-c", "kill -SEGV $$"],
    ),
    ("exit 255", &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "sh", "-c", "exit 255"]),
    (
        "output of both kinds",
        &["--sandbox-policy-cwd", "{W}", "--permission-profile", "{P}", "--", "sh", "-c", "echo out; echo err >&2"],
    ),
];

/// What `{P}` stands for.
pub const READ_ONLY: &str = r#"{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}"#;
