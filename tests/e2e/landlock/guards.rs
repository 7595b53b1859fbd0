//! Names that only the user may make: nothing can be mounted on them, so whoever makes one is ended.

use std::path::PathBuf;

use super::{NONE, alone, labs};
use crate::lab::{Lab, Ran};

const MESSAGE: &str = "the command made what only you may make, so it was ended";

/// Where what was made stands now.
fn aside(lab: &Lab, directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lab.path(directory)).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().contains(".refused-by-ringfence-")).collect()
}

#[track_caller]
fn assert_held(lab: &Lab, name: &str, ran: &Ran) {
    ran.assert_error(MESSAGE).assert_says(&lab.path(format!("work/{name}")));
    assert!(!lab.exists(format!("work/{name}")), "it is still there: {ran}");
    let aside = aside(lab, "work");
    assert_eq!(aside.len(), 1, "{ran}");
    crate::landlock::clean(lab);
}

#[test]
fn whoever_makes_a_guarded_name_is_ended_and_the_entry_is_put_aside() {
    for lab in labs(&[]) {
        for (name, script) in [
            (".git", "mkdir .git; echo hook > .git/x"),
            (".claude", "mkdir .claude"),
            ("ringfence.toml", "echo net = > ringfence.toml"),
            (".mcp.json", "ln -s /etc/passwd .mcp.json"),
            (".vscode", "mkdir d; mv d .vscode"),
            (".idea", "sleep 0.3; mkdir .idea; sleep 100"),
            (".git", "sleep 0.3; mkdir a; mv -T a .git; sleep 100"),
            (".git", "(sleep 0.2; mkdir .git) & sleep 100"),
        ] {
            let ran = alone(&lab, NONE).sh(script);
            assert!(ran.took.as_secs() < 30, "{ran}");
            assert_held(&lab, name, &ran);
        }
        // The control: other names are no offence.
        alone(&lab, NONE).sh("mkdir .github git; echo x > ringfence.toml2").assert_works();
    }
}

#[test]
fn what_is_made_and_removed_again_is_gone_or_told() {
    for lab in labs(&[]) {
        for script in
            ["mkdir .git; rmdir .git", "sleep 0.3; mkdir .git; rmdir .git", "sleep 0.3; mkdir .git; mv .git other"]
        {
            let ran = alone(&lab, NONE).sh(script);
            assert!([0, 1, 125].contains(&ran.code()), "{ran}");
            assert!(!lab.exists("work/.git"), "{ran}");
            crate::landlock::clean(&lab);
        }
    }
}

#[test]
fn nothing_that_the_command_says_of_it_is_believed() {
    for lab in labs(&[]) {
        for script in [
            // The look of a placeholder.
            "mkdir -p .git/hooks; echo x > .git/hooks/h; chmod 555 .git; touch -d @173164878 .git",
            "mkdir -p .git; chmod 555 .git; touch -d @173164878 .git; sleep 0.4; chmod 755 .git; echo x > .git/config; \
             chmod 555 .git; touch -d @173164878 .git",
            // No permission to look, or to move it.
            "mkdir .git; chmod 000 .",
            "mkdir .git; chmod 555 .",
            "mkdir .git; chmod 000 .git; chmod 000 .",
            "sleep 0.3; chmod 300 .; mkdir .git; chmod 555 .",
        ] {
            // What was put aside still looks like a placeholder.
            let ran = alone(&lab, NONE).start(["sh", "-c", script]).finish();
            lab.chmod("work", 0o755);
            assert_held(&lab, ".git", &ran);
        }
        let ran = alone(&lab, NONE).sh("chmod 500 .; echo done");
        ran.assert_prints("done");
        assert_eq!(lab.outside("stat -c %a .").stdout(), "500", "without an offence, modes are left alone");
        lab.chmod("work", 0o755);
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_moves_nothing_of_the_host() {
    for lab in labs(&[]) {
        lab.file("other/project/.git/config", "the user's");
        lab.dir("area/work");
        let (area, work) = (lab.path("area"), lab.path("area/work"));
        let script = format!("cd ..; mv work real; ln -s {} work", lab.path("other/project"));
        let ran = alone(&lab, ["--cd", &work, "--write", &area]).cwd(&work).sh(&script);
        ran.assert_error(MESSAGE);
        assert_eq!(lab.content("other/project/.git/config"), "the user's");
        assert!(aside(&lab, "other/project").is_empty() && !lab.exists("area/work"), "{ran}");
        let outside = lab.path("area/real");
        // The directory moves away and comes back with something in it.
        std::fs::rename(outside, &work).unwrap();
        std::fs::remove_dir_all(&aside(&lab, "area")[0])
            .or_else(|_| std::fs::remove_file(&aside(&lab, "area")[0]))
            .unwrap();
        let script = "sleep 0.3; cd ..; mv work real; mkdir real/.git; mv real work";
        let ran = alone(&lab, ["--cd", &work, "--write", &area]).cwd(&work).sh(script);
        ran.assert_error(MESSAGE);
        assert!(!lab.exists("area/work/.git") && aside(&lab, "area/work").len() == 1, "{ran}");
    }
}

#[test]
fn long_names_are_put_aside_too() {
    for lab in labs(&[]) {
        let long = format!("{}/", "x".repeat(250)).trim_end_matches('/').to_owned();
        let path = lab.path(format!("work/{long}"));
        let ran = alone(&lab, ["--deny", &path]).sh(&format!("mkdir {long}"));
        ran.assert_code(125);
        assert!(!lab.exists(format!("work/{long}")), "{ran}");
    }
}

#[test]
fn placeholders_of_the_sandbox_around_are_no_offence() {
    for lab in labs(&[]) {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let inner = [&binary, "run", "--backend", "landlock", "--", "sh", "-c", "echo x > made; ls -A; sleep 0.4"];
        // Another run in the same workspace, which blocks the names by placeholders.
        let beside = lab.sandbox(NONE).waiting().start(["sh", "-c", "echo ready; cat"]);
        beside.wait_for("ready");
        alone(&lab, NONE).sh("echo x > made; sleep 0.4").assert_works();
        drop(beside.finish());
        lab.sandbox(NONE).run(inner).assert_works();
        // One that starts later makes them while this one runs.
        let running = alone(&lab, NONE).start(["sh", "-c", "echo ready; sleep 1; echo done"]);
        running.wait_for("ready");
        lab.sandbox(NONE).sh("sleep 0.2").assert_works();
        let ran = running.finish();
        assert_eq!((ran.code(), ran.stdout().contains("done")), (0, true), "{ran}");
    }
}

#[test]
fn the_death_of_the_supervisor_saves_nothing() {
    for lab in labs(&[]) {
        for pause in ["", "sleep 0.3;"] {
            let script = format!("{pause} echo ready; trap '' TERM; mkdir .git; chmod 555 .; sleep 100");
            let running = alone(&lab, NONE).start(["sh", "-c", &script]);
            running.wait_for("ready").signal(rustix::process::Signal::KILL);
            drop(running.finish());
            assert!(crate::lab::eventually(|| lab.processes().is_empty()), "{}", lab.user);
            assert!(crate::lab::eventually(|| !lab.exists("work/.git")), "{}", lab.user);
            lab.chmod("work", 0o755);
            crate::landlock::clean(&lab);
        }
    }
}

#[test]
fn what_is_denied_and_missing_is_guarded_with_all_that_is_missing_above_it() {
    for lab in labs(&[]) {
        for (rule, script, held) in [
            ("a/b/c", "mkdir -p a/b; echo x > a/b/c", true),
            ("a/b/c", "mkdir d; mkdir -p x/b/c; sleep 0.3; mv x a", true),
            ("plain", "echo x > plain", true),
            ("plain", "echo x > other", false),
        ] {
            let ran = alone(&lab, ["--deny", rule]).start(["sh", "-c", script]).finish();
            assert_eq!(ran.code(), if held { 125 } else { 0 }, "{rule}: {ran}");
            assert!(!lab.exists(format!("work/{rule}")), "{rule}: {ran}");
            crate::landlock::clean(&lab);
        }
    }
}

#[test]
fn a_repository_with_the_look_of_a_placeholder_is_a_repository() {
    for lab in labs(&[]) {
        lab.file("work/.git/hooks/post-checkout", "the user's");
        // Modes and times can be changed everywhere under Landlock alone, by an earlier run.
        let disguise = "chmod 555 .git; touch -d @173164878 .git";
        alone(&lab, ["-s", "read-only"]).sh(disguise).assert_works();
        assert_eq!(lab.outside("stat -c '%a %Y' .git").stdout(), "555 173164878");
        let attack = "chmod 755 .git; echo evil > .git/hooks/post-checkout; mkdir .git/new; chmod 555 .git; touch -d @173164878 .git";
        for sandbox in [alone(&lab, NONE), lab.sandbox(NONE), lab.sandbox(["--git", "commit"])] {
            let ran = sandbox.start(["sh", "-c", attack]).finish();
            assert_eq!(lab.content("work/.git/hooks/post-checkout"), "the user's", "{ran}");
            lab.outside(disguise).assert_works();
        }
        lab.chmod("work/.git", 0o755);
    }
}
