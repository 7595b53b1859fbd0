//! Completions, in the shells that they are for: each loads its script and completes commands and values.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

#[allow(unreachable_pub, reason = "shared by tests")]
mod tools;

/// Plays a terminal.
const TERMINAL: &str = include_str!("e2e/terminal_driver.py");

/// What is typed, and words that must then be offered.
const TYPED: &[(&str, &[&str])] = &[
    ("ringfence ru", &["run"]),
    ("ringfence run --backend ", &["auto", "native", "bwrap", "landlock"]),
    ("ringfence run --gpu ", &["auto", "off", "all", "visible"]),
    ("ringfence plan --sand", &["--sandbox"]),
    ("ringfence session st", &["start", "stop"]),
];

fn script(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(["completions", shell]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell says to a script, given words.
fn said(shell: &str, options: &[&str], words: &[&str], home: &Path) -> Vec<String> {
    let mut command = Command::new(shell);
    command.args(options).args(words).env("HOME", home).env("XDG_CONFIG_HOME", home).current_dir(home);
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn assert_offers(shell: &str, typed: &str, offered: &[String], wanted: &[&str]) {
    for word in wanted {
        let there = offered.iter().any(|line| line.split_whitespace().next() == Some(word));
        assert!(there, "{shell} offers for `{typed}` no {word}, but {offered:?}");
    }
}

#[test]
fn bash_completes() {
    if !tools::have("bash") {
        return;
    }
    let home = tools::directory();
    let load = home.path().join("ringfence.bash");
    std::fs::write(&load, script("bash")).unwrap();
    // As readline does: by the function that was registered for the name.
    let ask = r#"source "$1" || exit; complete -p ringfence >/dev/null || exit
        read -ra COMP_WORDS <<<"$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$2; COMP_POINT=${#2}
        function=$(complete -p ringfence | sed 's/.*-F \([^ ]*\) .*/\1/')
        "$function" ringfence "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; printf '%s\n' "${COMPREPLY[@]}""#;
    for (typed, wanted) in TYPED {
        let words = ["-c", ask, "bash", load.to_str().unwrap(), typed];
        assert_offers("bash", typed, &said("bash", &["--norc"], &words, home.path()), wanted);
    }
}

#[test]
fn fish_completes() {
    if !tools::have("fish") {
        return;
    }
    let home = tools::directory();
    let load = home.path().join("ringfence.fish");
    std::fs::write(&load, script("fish")).unwrap();
    for (typed, wanted) in TYPED {
        let words = ["-c", "source $argv[1]; complete -C $argv[2]", load.to_str().unwrap(), typed];
        assert_offers("fish", typed, &said("fish", &["--no-config"], &words, home.path()), wanted);
    }
}

/// Its completions exist only at a prompt.
#[test]
fn zsh_completes() {
    if !tools::have("zsh") || !tools::have("python3") {
        return;
    }
    let home = tools::directory();
    std::fs::write(home.path().join("_ringfence"), script("zsh")).unwrap();
    let settings =
        "fpath=($ZDOTDIR $fpath)\nautoload -Uz compinit\ncompinit -u -D\nunset zle_bracketed_paste\nPS1='READY> '\n";
    std::fs::write(home.path().join(".zshrc"), settings).unwrap();
    let shown = |typed: &str, expect: &[String]| {
        let mut python = Command::new("python3");
        python.args(["-c", TERMINAL, "expect:READY> ", &format!("send:{typed}\t")]).args(expect);
        python.args(["send:\u{15}exit\n", "--", "zsh", "-d", "-i"]);
        python.env("ZDOTDIR", home.path()).env("TERM", "dumb").current_dir(home.path());
        let output = python.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (typed, wanted) in TYPED {
        // The last in the alphabet comes last, where several are listed.
        let last = wanted.iter().max().map(|word| format!("expect:{word}"));
        let (well, shown) = shown(typed, last.as_slice());
        assert!(well && wanted.iter().all(|word| shown.contains(word)), "zsh offers for `{typed}`: {shown}");
    }
    let (_, shown) = shown("ringfence xy", &[]);
    assert!(!shown.contains("run"), "{shown}");
}
