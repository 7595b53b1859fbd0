//! What a person sees of the program without running anything in it: help, version, colours, the line of a slow start.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

#[allow(unreachable_pub, dead_code, reason = "shared by tests")]
mod tools;

/// Plays a terminal of 33 rows and 77 columns.
const TERMINAL: &str = include_str!("e2e/terminal_driver.py");

/// What whoever runs the tests may have said of colour; in CI there is colour even where `TERM=dumb`.
const SAID_OF_COLOUR: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

fn ringfence(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(words).current_dir("/var/tmp").output();
    output.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a script shows in a terminal, `$R` being the program.
fn at_terminal(script: &str, env: &[(&str, &str)]) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, "--", "bash", "-c", script]).current_dir("/var/tmp");
    for name in SAID_OF_COLOUR {
        python.env_remove(name);
    }
    python.env("TERM", "xterm").env("R", env!("CARGO_BIN_EXE_ringfence"));
    let output = python.envs(env.iter().copied()).output().unwrap();
    text(&output.stdout)
}

#[test]
fn version_says_more_with_verbose() {
    let short = format!("ringfence {}\n", env!("CARGO_PKG_VERSION"));
    for words in [&["--version"][..], &["-V"]] {
        assert_eq!(text(&ringfence(words).stdout), short);
    }
    for words in [&["--version", "--verbose"][..], &["--verbose", "--version"], &["-Vv"]] {
        let long = text(&ringfence(words).stdout);
        let lines: Vec<_> = long.lines().filter_map(|line| line.split_once(": ")).collect();
        let value = |name: &str| lines.iter().find(|(found, _)| *found == name).unwrap().1.to_owned();
        assert!(long.starts_with(&short), "{long}");
        assert!(value("target").contains("-linux-"), "{long}");
        assert_eq!(value("kernel"), std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
        assert!(value("landlock").starts_with("ABI ") || value("landlock") == "none", "{long}");
        assert!(!value("engines").is_empty(), "{long}");
    }
}

#[test]
fn a_command_line_that_says_too_little_or_nonsense_ends_with_2() {
    for (words, said) in [(&[][..], "Usage:"), (&["--verbose"], "--version"), (&["rum"], "run"), (&["-Vx"], "-x")] {
        let output = ringfence(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(text(&output.stderr).contains(said), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn help_is_the_same_however_it_is_asked_for() {
    let page = ringfence(&["--help"]);
    assert!(page.status.success());
    for words in [&["-h"][..], &["help"]] {
        assert_eq!(text(&ringfence(words).stdout), text(&page.stdout));
    }
    assert!(text(&page.stdout).contains("\nLook before:\n"), "no colour in a pipe");
    assert_eq!(text(&ringfence(&["help", "run"]).stdout), text(&ringfence(&["run", "--help"]).stdout));
}

/// The recording in the README is drawn from what the program printed, and is small.
#[test]
fn the_recording_is_drawn_from_its_session() {
    if !tools::have("python3") {
        return;
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recording");
    let check = Command::new("python3").args(["record.py", "--check"]).current_dir(directory).output().unwrap();
    assert!(check.status.success(), "{}", text(&check.stderr));
    let drawn = std::fs::read_to_string(format!("{directory}/session.svg")).unwrap();
    assert!(drawn.len() < 60 << 10 && !drawn.contains("<script"), "{}", drawn.len());
    assert!(drawn.contains("ringfence run") && drawn.contains("Read-only file system"));
}

#[test]
fn there_is_colour_on_a_terminal_and_only_there() {
    if !tools::have("python3") {
        return;
    }
    let scripts = ["$R --help", "$R run -h", "$R run --gpu nonsense -- true", "$R why"];
    for script in scripts {
        assert!(at_terminal(script, &[]).contains("\u{1b}["), "{script}: {}", at_terminal(script, &[]));
        for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let shown = at_terminal(script, &[(name, value)]);
            assert!(shown.len() > 20 && !shown.contains('\u{1b}'), "{script} with {name}={value}: {shown}");
        }
        let piped = at_terminal(&format!("{script} 2>&1 | cat"), &[]);
        assert!(piped.len() > 20 && !piped.contains('\u{1b}'), "{script} in a pipe: {piped}");
    }
}

/// A policy that comes late makes a start slow.
#[test]
fn a_start_that_takes_over_a_second_says_what_it_does_and_a_quick_one_nothing() {
    if !tools::have("python3") {
        return;
    }
    let slow = "$R run -s full-access --config <(sleep 1.2) --format toml -- echo done";
    let shown = at_terminal(slow, &[]);
    assert!(shown.contains("looking at this machine takes long"), "{shown:?}");
    assert!(shown.contains("\r\u{1b}[K") && shown.trim_end().ends_with("done"), "it is gone again: {shown:?}");
    let dumb = at_terminal(slow, &[("TERM", "dumb")]);
    assert!(dumb.contains("takes long …\r\n") && !dumb.contains('\u{1b}'), "{dumb:?}");
    let to_a_pipe = at_terminal(&format!("({slow}) 2>&1 | cat"), &[]);
    assert_eq!(to_a_pipe.trim(), "done");
    let quick = at_terminal("$R run -s full-access -- echo done", &[]);
    assert_eq!(quick.trim(), "done");
}
