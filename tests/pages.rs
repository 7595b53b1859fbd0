//! Manual pages: each command has one, and the programs that show them take them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

#[allow(dead_code, unreachable_pub, reason = "a program of its own, of which the writing is what is tested")]
#[path = "../examples/man.rs"]
mod man;
#[allow(unreachable_pub, reason = "shared by tests")]
mod tools;

/// All pages, in a directory.
fn pages() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tools::directory();
    let mut command = ringfence::command_line();
    command.build();
    man::write(&command, directory.path(), "2026-01-02").unwrap();
    let mut pages: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    (directory, pages)
}

/// Names of the pages of a command and of all below it.
fn names(command: &clap::Command, name: &str) -> BTreeSet<String> {
    let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    let below = below.flat_map(|sub| names(sub, &format!("{name}-{}", sub.get_name())));
    below.chain([format!("{name}.1")]).collect()
}

#[test]
fn every_command_has_a_page_with_all_its_options() {
    let (_directory, pages) = pages();
    let there: BTreeSet<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(there, names(&ringfence::command_line(), "ringfence"));
    assert!(there.len() > 10 && there.contains("ringfence-session-start.1"), "{there:?}");
    let command = ringfence::command_line();
    let run = command.find_subcommand("run").unwrap();
    let page = std::fs::read_to_string(pages.iter().find(|page| page.ends_with("ringfence-run.1")).unwrap()).unwrap();
    let page = page.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\'", "'");
    for option in run.get_opts() {
        let help = option.get_help().unwrap().to_string();
        let words = help.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert!(page.contains(&words), "the page of run lacks `{words}`");
    }
    assert!(page.contains(" 2026-01-02 "), "{page}");
}

#[test]
fn mandoc_takes_the_pages() {
    if !tools::have("mandoc") {
        return;
    }
    let (directory, pages) = pages();
    let lint = |page: &PathBuf| {
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(page).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for page in &pages {
        assert_eq!(lint(page), (true, String::new()), "{}", page.display());
    }
    // The control: it finds what is wrong.
    let bad = directory.path().join("bad.1");
    std::fs::write(&bad, ".TH BAD 1 2026-01-02\n.nosuchmacro\n.RE 7\n.EN\n").unwrap();
    assert!(!lint(&bad).0);
}

#[test]
fn man_shows_the_pages() {
    if !tools::have("man") {
        return;
    }
    let (_directory, pages) = pages();
    for page in &pages {
        let output = Command::new("man").args(["--warnings", "-l"]).arg(page).env("MANPAGER", "cat").output().unwrap();
        let said = (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(said, (true, String::new()), "{}", page.display());
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("DESCRIPTION") && shown.contains("ringfence"), "{}", page.display());
    }
}
