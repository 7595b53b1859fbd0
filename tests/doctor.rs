//! `ringfence doctor` on this machine: what it prints, what it exits with, what `--fix` removes and what it leaves.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

fn doctor(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence")).arg("doctor").args(args).output().unwrap()
}

fn json(args: &[&str]) -> serde_json::Value {
    let args: Vec<_> = args.iter().chain(&["--json"]).copied().collect();
    serde_json::from_slice(&doctor(&args).stdout).unwrap()
}

fn state<'a>(report: &'a serde_json::Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()["state"].as_str().unwrap()
}

/// A placeholder as a power cut leaves it: bare, and marked by its modification time.
fn leave_placeholder(path: &Path, mode: u32) {
    if mode == 0o555 {
        std::fs::create_dir(path).unwrap()
    } else {
        std::fs::write(path, "").unwrap()
    }
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(0x0A52_494E)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_verdict_is_the_exit_code_and_the_same_in_both_forms() {
    let text = doctor(&["--cd", "/"]);
    let report = json(&["--cd", "/"]);
    let works = report["run_works"].as_bool().unwrap();
    assert_eq!(text.status.code(), Some(i32::from(!works)), "{text:?}");
    let run = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["run", "--sandbox", "read-only", "--cd", "/", "--", "true"])
        .status()
        .unwrap();
    assert_eq!(run.success(), works);
    let text = String::from_utf8(text.stdout).unwrap();
    for check in report["checks"].as_array().unwrap() {
        for key in ["name", "state", "found", "needed_for", "cure"] {
            assert!(check.get(key).is_some(), "{key}: {check}");
        }
        assert!(text.lines().any(|line| line.starts_with(check["name"].as_str().unwrap())), "{check}\n{text}");
        assert!(check["state"] != "ok" || check["cure"].is_null(), "{check}");
    }
}

#[test]
fn a_broken_configuration_stops_run_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("ringfence")).unwrap();
    std::fs::write(dir.path().join("ringfence/config.toml"), "wirte = []\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command.args(["doctor", "--json"]).env("XDG_CONFIG_HOME", dir.path()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    if state(&report, "sandbox") == "ok" {
        assert_eq!(state(&report, "configuration"), "missing");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_workspace_that_is_not_there_is_an_error_with_a_cure() {
    let output = doctor(&["--cd", "/nowhere/at/all"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/nowhere/at/all") && text.contains("--cd DIR"), "{text}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn leftovers_are_reported_and_with_fix_removed_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path(".git/objects")).unwrap();
    std::fs::write(path(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let placeholders = [(".codex", 0o555), ("ringfence.toml", 0o555), (".git/config", 0o444), (".git/info", 0o555)];
    for (name, mode) in placeholders {
        leave_placeholder(&path(name), mode);
    }
    // The user's own: empty, read-only, but without the mark.
    std::fs::create_dir(path(".vscode")).unwrap();
    std::fs::set_permissions(path(".vscode"), std::fs::Permissions::from_mode(0o555)).unwrap();
    // In use: a run holds its lock.
    leave_placeholder(&path(".idea"), 0o555);
    let held = std::fs::File::open(path(".idea")).unwrap();
    held.lock_shared().unwrap();

    let cd = dir.path().to_str().unwrap();
    let report = json(&["--cd", cd]);
    assert_eq!(state(&report, "leftovers"), "degraded");
    let text = report.to_string();
    assert!(text.contains("ringfence doctor --fix") && text.contains("/.git/info"), "{text}");
    assert!(!text.contains("/.idea") && !text.contains("/.vscode"), "{text}");
    assert!(path(".codex").exists());

    let fixed = json(&["--cd", cd, "--fix"]);
    // What other runs left on this machine is removed with it.
    let removed = fixed["removed"].as_array().unwrap().iter().filter_map(|path| path.as_str());
    assert_eq!(removed.filter(|path| path.starts_with(cd)).count(), placeholders.len(), "{fixed}");
    for (name, _) in placeholders {
        assert!(!path(name).exists(), "{name}");
    }
    for name in [".vscode", ".idea", ".git/HEAD", ".git/objects"] {
        assert!(path(name).exists(), "{name}");
    }
    assert_eq!(state(&json(&["--cd", cd]), "leftovers"), "ok");

    drop(held);
    let last = String::from_utf8(doctor(&["--cd", cd, "--fix"]).stdout).unwrap();
    assert!(last.contains("removed ") && last.contains("/.idea"), "{last}");
}

#[test]
fn forbidden_user_namespaces_are_named_with_the_command_that_allows_them() {
    // The limit counts per namespace: in a new one it can be set without touching the machine.
    let inside = |args: &[&str]| {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-Ur", "sh", "-c", script, env!("CARGO_BIN_EXE_ringfence")]).args(args).output()
    };
    let output = match inside(&["doctor", "--cd", "/", "--json"]) {
        Ok(output) if !output.stdout.is_empty() => output,
        other => {
            let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
            assert!(!must.split(',').any(|need| need == "userns"), "unshare -Ur does not work: {other:?}");
            eprintln!("SKIPPED: unshare -Ur does not work: {other:?}");
            return;
        }
    };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Landlock alone takes their place, where this kernel's can.
    let run = inside(&["run", "--sandbox", "read-only", "--cd", "/", "--", "true"]).unwrap();
    let works = run.status.success();
    assert_eq!((output.status.code(), &report["run_works"]), (Some(i32::from(!works)), &works.into()), "{run:?}");
    assert_eq!(state(&report, "sandbox"), if works { "degraded" } else { "missing" });
    assert_eq!(state(&report, "user namespaces"), "missing");
    let text = report.to_string();
    assert!(text.contains("sudo sysctl -w user.max_user_namespaces=15000"), "{text}");
    assert!(text.contains("create namespaces: No space left on device") && !text.contains("panicked"), "{text}");
}
