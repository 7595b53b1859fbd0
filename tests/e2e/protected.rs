//! Names directly under a writable directory that run code or steer agents later: read-only, or blocked when missing,
//! and nothing of the blocking stays behind.

use rustix::process::Signal;

use crate::lab::{Lab, Running, signal, until};

const NONE: [&str; 0] = [];
const NAMES: &[&str] = &[".git", ".codex", ".agents", ".claude", ".aws", ".vscode", ".idea", "ringfence.toml"];

/// Prints each name that something was done to although it must not.
fn attack(tries: &str) -> String {
    format!("for n in {}; do ({tries}) 2>/dev/null && echo $n; done; true", NAMES.join(" "))
}

#[test]
fn existing_protected_names_can_be_read_and_not_written() {
    for lab in Lab::every_user(&[]) {
        for name in NAMES {
            lab.file(format!("work/{name}/f"), "old");
        }
        lab.sandbox(NONE).sh("cat .vscode/f .claude/f").assert_prints("oldold");
        let tries = ["echo x > $n/f", "echo x > $n/new", "rm -rf $n", "mv $n gone", "mv $n/f gone", "chmod 700 $n/f"];
        for one in tries {
            lab.sandbox(NONE).sh(&attack(one)).assert_prints("");
        }
        assert!(NAMES.iter().all(|name| lab.content(format!("work/{name}/f")) == "old"));
        let lifted: Vec<_> = NAMES.iter().flat_map(|name| ["--write", name]).collect();
        lab.sandbox(lifted).sh(&attack("echo new > $n/f")).assert_prints(&NAMES.join("\n"));
        assert!(NAMES.iter().all(|name| lab.content(format!("work/{name}/f")) == "new\n"));
    }
}

#[test]
fn missing_protected_names_cannot_be_made() {
    for lab in Lab::every_user(&[]) {
        let tries = [
            "mkdir $n",
            "mkdir -p $n && echo x > $n/f",
            "echo x > $n",
            "ln -s /tmp $n",
            "mkdir mine; rmdir $n; mv -T mine $n",
            "rmdir $n",
            "mv $n gone",
        ];
        for one in tries {
            lab.sandbox(NONE).sh(&attack(one)).assert_prints("");
        }
        lab.sandbox(NONE).sh("mkdir .other && echo x > .other/f && echo x > .gitignore").assert_works();
        lab.sandbox(NONE).without().sh(&attack("mkdir $n")).assert_prints(&NAMES.join("\n"));
    }
}

#[test]
fn protection_covers_every_writable_directory() {
    for lab in Lab::every_user(&[]) {
        let other = lab.dir("other");
        lab.dir("other/.vscode");
        let write = ["--write", other.as_str()];
        lab.sandbox(write).sh(&format!("mkdir {other}/.git")).assert_refused_for(".git");
        lab.sandbox(write).sh(&format!("touch {other}/.vscode/x")).assert_refused_for(".vscode");
        lab.sandbox(write).sh(&format!("touch {other}/x")).assert_works();
        lab.sandbox(["-s", "full-access"]).sh(&format!("mkdir {other}/.git")).assert_works();
    }
}

/// A command that runs in the workspace while its placeholders are there.
fn running(lab: &Lab) -> Running {
    let running = lab.sandbox(NONE).waiting().start(["sh", "-c", "echo ready; cat; mkdir .git && echo made"]);
    running.wait_for("ready");
    assert!(lab.exists("work/.git"), "a missing name is blocked while the command runs");
    running
}

fn children(running: &Running) -> Vec<i32> {
    let pid = running.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn nothing_stays_when_any_of_our_processes_is_killed() {
    for lab in Lab::every_user(&[]) {
        let kills: [fn(&Running); 7] = [
            |_| {},
            |running| running.signal(Signal::TERM),
            |running| running.signal(Signal::KILL),
            |running| signal(running.init(), Signal::KILL),
            // What the supervisor has started: init or bubblewrap first, the janitor last.
            |running| signal(*children(running).first().unwrap(), Signal::KILL),
            |running| signal(*children(running).last().unwrap(), Signal::KILL),
            |running| {
                running.signal(Signal::STOP);
                signal(running.init(), Signal::KILL);
                running.signal(Signal::KILL);
            },
        ];
        for (number, kill) in kills.iter().enumerate() {
            let running = running(&lab);
            kill(&running);
            let ran = running.finish();
            assert_eq!(ran.left, None, "kill {number}: {ran}");
            assert!(!ran.stdout().contains("made"), "{ran}");
            until("the sandbox is gone", || lab.processes().is_empty());
            assert_eq!(std::fs::read_dir(lab.path("work")).unwrap().count(), 0, "kill {number}");
        }
    }
}

#[test]
fn what_a_power_cut_left_is_reclaimed_by_the_next_run() {
    for lab in Lab::every_user(&[]) {
        let running = running(&lab);
        let others: Vec<_> = lab.processes().into_iter().filter(|pid| *pid != running.pid()).collect();
        // Everybody at once, the janitor first.
        others.iter().rev().for_each(|pid| signal(*pid, Signal::STOP));
        others.iter().rev().for_each(|pid| signal(*pid, Signal::KILL));
        signal(running.pid(), Signal::KILL);
        running.finish();
        lab.sandbox(NONE).sh("mkdir .git").assert_refused_for(".git");
        until("nothing is left", || std::fs::read_dir(lab.path("work")).unwrap().count() == 0);
    }
}

#[test]
fn of_two_runs_in_one_workspace_the_first_to_end_does_not_unprotect_the_other() {
    for lab in Lab::every_user(&[]) {
        for first_is_killed in [false, true] {
            let first = running(&lab);
            let second = running(&lab);
            if first_is_killed {
                first.signal(Signal::KILL);
            }
            first.finish();
            assert!(NAMES.iter().all(|name| lab.exists(format!("work/{name}"))));
            let third = lab.sandbox(NONE).start(["mkdir", ".git"]).finish();
            third.assert_refused_for(".git");
            let second = second.finish();
            second.assert_refused_for(".git");
            assert!(!second.stdout().contains("made"), "{second}");
            until("the last one has cleaned up", || std::fs::read_dir(lab.path("work")).unwrap().count() == 0);
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_protected_name_is_blocked_and_not_followed() {
    for lab in Lab::native(&[]) {
        lab.file("work/real/settings.json", "old");
        lab.link("work/.claude", "real");
        lab.link("work/.vscode", "nowhere");
        let tries = [
            "echo x > .claude/settings.json",
            "echo x > real/settings.json",
            "rm .claude",
            "ln -sfn other .claude",
            "mv .claude gone",
            "rm .vscode",
            "mv real elsewhere",
            "mkdir nowhere && touch nowhere/tasks.json && cat .vscode/tasks.json",
        ];
        for one in tries {
            let ran = lab.sandbox(NONE).sh(one);
            assert_ne!(ran.code(), 0, "{ran}");
        }
        lab.sandbox(NONE).sh("cat .claude/settings.json").assert_prints("old");
        assert_eq!(lab.content("work/real/settings.json"), "old");
        let other = "mkdir other; ln -s other link; echo x > link/settings.json; rm link";
        lab.sandbox(NONE).sh(other).assert_works();
    }
}

#[test]
fn why_and_plan_tell_what_is_protected() {
    for lab in Lab::every_user(&[]) {
        let tell = |arguments: &str| {
            let sandbox = lab.sandbox(NONE).without();
            let binary = sandbox.binary().to_owned();
            sandbox.by(arguments).run([binary])
        };
        let plan = tell("\"$@\" plan -- true");
        plan.assert_works();
        assert!(plan.stdout().contains(".git") && plan.stdout().contains(&lab.path("work")), "{plan}");
        let why = tell("\"$@\" why --write .git/hooks");
        assert!(why.stdout().contains(".git"), "{why}");
        assert!(!lab.exists("work/.git"), "asking leaves nothing behind");
    }
}
