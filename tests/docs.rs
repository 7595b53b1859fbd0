//! Executes the README and the pages of `docs/`: every ```` ```console ```` block, command by command, in a project directory of its
//! own, and compares what it prints.
//!
//! A line `$ COMMAND` is run by one bash per page, so variables and files last to the end of the page; `> ` continues a
//! command. The lines below are what it prints, output and errors together, and `[exit N]` where N is not 0. A line
//! `…` stands for any lines, a `…` in a line for any text; runs of blanks count as one. The project is shown as
//! `/home/you/project`. `needs-root` and `needs-/PATH` after `console` name what the block cannot do without: it is
//! left out, loudly, where that is missing, unless `RINGFENCE_MUST` names it.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn readme() {
    run("../README.md", include_str!("../README.md"));
}

#[test]
fn demo() {
    run("demo.md", include_str!("../docs/demo.md"));
}

#[test]
fn install() {
    run("install.md", include_str!("../docs/install.md"));
}

#[test]
fn sessions() {
    run("sessions.md", include_str!("../docs/sessions.md"));
}

#[test]
fn limits() {
    run("limits.md", include_str!("../docs/limits.md"));
}

#[test]
fn policy() {
    run("policy.md", include_str!("../docs/policy.md"));
}

#[test]
fn convert() {
    run("convert.md", include_str!("../docs/convert.md"));
}

#[test]
fn profiles() {
    run("profiles.md", include_str!("../docs/profiles.md"));
}

#[test]
fn gpu() {
    run("gpu.md", include_str!("../docs/gpu.md"));
}

#[test]
fn codex() {
    run("codex.md", include_str!("../docs/codex.md"));
}

#[test]
fn openshell() {
    run("openshell.md", include_str!("../docs/openshell.md"));
}

#[test]
fn denials() {
    run("denials.md", include_str!("../docs/denials.md"));
}

#[test]
fn landlock() {
    run("landlock.md", include_str!("../docs/landlock.md"));
}

#[test]
fn network() {
    run("network.md", include_str!("../docs/network.md"));
}

#[test]
fn processes() {
    run("processes.md", include_str!("../docs/processes.md"));
}

#[test]
fn embedding() {
    run("embedding.md", include_str!("../docs/embedding.md"));
}

/// Their blocks are executed by the suites of the packages: `just python`, `just node`, `just mcp`.
#[test]
fn packages() {
    for (page, text, language, suite) in [
        ("python.md", include_str!("../docs/python.md"), "python", include_str!("../python/tests/test_docs.py")),
        ("node.md", include_str!("../docs/node.md"), "js", include_str!("../node/test/ringfence.test.js")),
        ("mcp.md", include_str!("../docs/mcp.md"), "json", include_str!("mcp/client.py")),
    ] {
        let block = format!("```{language}\n");
        assert!(text.contains(&block), "{page} has no block that its suite executes");
        assert!(suite.contains(&block.replace('\n', "\\n")), "the suite of {page} executes no {language} blocks");
        assert!(!text.contains("```console"), "{page} has a block that nobody executes");
    }
}

#[test]
fn slurm() {
    run("slurm.md", include_str!("../docs/slurm.md"));
}

#[test]
fn ray() {
    run("ray.md", include_str!("../docs/ray.md"));
}

#[test]
fn kubernetes() {
    run("kubernetes.md", include_str!("../docs/kubernetes.md"));
}

#[test]
fn oci() {
    run("oci.md", include_str!("../docs/oci.md"));
}

/// One command of a page and what it should print.
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn run(page: &str, text: &str) {
    let steps = steps(page, text);
    assert!(!steps.is_empty(), "{page} has no console block");
    let home = tempfile::Builder::new().prefix("ringfence-docs-").tempdir_in("/var/tmp").unwrap();
    let printed = execute(&steps, &home.path().canonicalize().unwrap());
    // std stops at a directory that its owner may not read, as one in a bundle is; rm(1) does not.
    let removed = Command::new("rm").args(["-rf", "--one-file-system"]).arg(home.path()).status().unwrap();
    assert!(removed.success(), "{page} leaves what cannot be removed");
    let mut wrong = String::new();
    for (step, printed) in steps.iter().zip(printed.into_iter().chain(std::iter::repeat(None))) {
        let printed = printed.unwrap_or_else(|| "(never ran)\n".to_owned());
        let lines: Vec<_> = printed.lines().map(squeezed).collect();
        if !fits(&step.expected, &lines) {
            let expected = step.expected.join("\n");
            writeln!(
                wrong,
                "docs/{page}:{}: $ {}\n--- expected\n{expected}\n--- printed\n{printed}",
                step.line, step.command
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn steps(page: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut wanted = None;
    for (line, number) in text.lines().zip(1..) {
        if let Some(info) = line.strip_prefix("```") {
            wanted = match wanted {
                None => Some(info.split(' ').next() == Some("console") && can_run(page, number, info)),
                Some(_) => None,
            };
            continue;
        }
        if wanted != Some(true) {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: number, command: command.to_owned(), expected: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ").or((line == ">").then_some("")) {
                Some(more) if step.expected.is_empty() => step.command += &format!("\n{more}"),
                _ => step.expected.push(squeezed(line)),
            }
        }
    }
    steps
}

fn can_run(page: &str, line: usize, info: &str) -> bool {
    let missing = info.split(' ').filter_map(|word| word.strip_prefix("needs-")).find(|need| match *need {
        "root" => !is_root(),
        path => !Path::new(path).exists(),
    });
    let Some(need) = missing else { return true };
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    assert!(!must.split(',').any(|word| word == need), "docs/{page}:{line} needs {need}, and RINGFENCE_MUST names it");
    eprintln!("SKIPPED: docs/{page}:{line}: there is no {need} here");
    false
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// Runs all steps in one bash. Each ends with a line of its own that tells its exit code.
fn execute(steps: &[Step], home: &Path) -> Vec<Option<String>> {
    let project = home.join("project");
    std::fs::create_dir(&project).unwrap();
    let mut script = String::from("exec 2>&1\n");
    for step in steps {
        writeln!(script, "{}\nprintf '\\036%d\\036' $?", step.command).unwrap();
    }
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_ringfence"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.parent().unwrap().display());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script])
        .current_dir(&project)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .env_clear();
    bash.env("PATH", path).env("HOME", home).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = bash.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace(home.to_str().unwrap(), "/home/you");
    let mut parts = text.split('\u{1e}');
    let mut printed = Vec::new();
    while let (Some(lines), Some(code)) = (parts.next(), parts.next()) {
        let newline = if lines.is_empty() || lines.ends_with('\n') { "" } else { "\n" };
        let exit = if code == "0" { String::new() } else { format!("[exit {code}]\n") };
        printed.push(Some(format!("{lines}{newline}{exit}")));
    }
    printed
}

fn squeezed(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    words.join(" ")
}

/// Whether the printed lines are the expected ones.
fn fits(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => (0..=printed.len()).any(|skip| fits(rest, &printed[skip..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, below)| line_fits(first, line) && fits(rest, below))
        }
    }
}

fn line_fits(expected: &str, printed: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else { return expected == printed };
    let Some(printed) = printed.strip_prefix(start) else { return false };
    (0..=printed.len()).filter(|at| printed.is_char_boundary(*at)).any(|at| line_fits(rest, &printed[at..]))
}

#[test]
fn wildcards_stand_for_text_and_for_lines_and_nothing_else_fits() {
    let lines = |text: &str| text.lines().map(squeezed).collect::<Vec<_>>();
    let table = [
        ("a\nb", "a\nb", true),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a …", "a 1 2", true),
        ("a … c", "a  b", false),
        ("a", "a\nb", false),
        ("", "a", false),
    ];
    for (expected, printed, want) in table {
        assert_eq!(fits(&lines(expected), &lines(printed)), want, "{expected:?} {printed:?}");
    }
}

/// Tables of the code that a page must repeat in full.
#[test]
fn tables_of_the_code_are_complete_in_the_pages() {
    let policy = include_str!("../docs/policy.md");
    for (name, why) in ringfence::policy::tables::PROTECTED_NAMES {
        assert!(policy.contains(&format!("| `{name}` | {why} |")), "docs/policy.md lacks protected name {name}");
    }
    for (name, ..) in ringfence::policy::tables::GIT_CODE {
        assert!(policy.contains(&format!("`{name}`")), "docs/policy.md lacks git entry {name}");
    }
}

/// Every row of the baseline stands in the page about it, with its level and its reason.
#[test]
fn every_row_of_the_baseline_is_documented() {
    let page = include_str!("../docs/openshell.md");
    for row in ringfence::policy::baseline::rows::ROWS {
        let start = format!("| `{}` | {} |", row.path, row.want);
        let found =
            page.lines().any(|line| line.starts_with(&start) && line.ends_with(&format!("| {} |", row.needed_for)));
        assert!(found, "docs/openshell.md lacks {start} … | {} |", row.needed_for);
    }
}

/// The error about an unknown key lists all keys: each must be in the page about files.
#[test]
fn every_key_of_a_file_is_documented() {
    let refused = ringfence::request::load::parse("no_such_key = 1", Path::new("x.toml"), Path::new("/"), None);
    let message = refused.unwrap_err().to_string();
    let keys: Vec<_> = message.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).collect();
    assert!(keys.len() > 10, "{message}");
    let page = include_str!("../docs/policy.md");
    for key in keys {
        let shown = [format!("> {key} = "), format!("> # {key} = "), format!("> [{key}]"), format!("{key} = true")];
        assert!(shown.iter().any(|shown| page.contains(shown)), "docs/policy.md lacks the key {key}");
    }
}
