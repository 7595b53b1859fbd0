//! What the host does meanwhile: files that are hidden or protected are replaced and removed by other programs.

use crate::lab::{Lab, Need, until};

const NONE: [&str; 0] = [];

#[test]
fn a_denied_file_that_an_editor_saves_is_hidden_again() {
    for lab in Lab::every_user(&[]) {
        let secret = lab.file("work/.env", "old secret");
        let other = lab.file("work/plain", "old");
        let watched = "while :; do cat .env; cat plain; sleep 0.02; done 2>/dev/null";
        let running = lab.sandbox(["--deny", &secret]).waiting().start(["sh", "-c", watched]);
        running.wait_for("old");
        for number in 0..3 {
            for (path, text) in [(&secret, "secret"), (&other, "seen")] {
                let fresh = lab.file("work/fresh", &format!("{text} {number} "));
                std::fs::rename(fresh, path).unwrap();
            }
            running.wait_for(&format!("seen {number}"));
            // From here on the file is hidden: the look in between is what a mount cannot keep from it.
            std::thread::sleep(std::time::Duration::from_millis(150));
            lab.file("work/plain", &format!("mark {number} "));
            running.wait_for(&format!("mark {number}"));
        }
        running.signal(rustix::process::Signal::TERM);
        let ran = running.finish();
        for number in 0..3 {
            let shown = ran.stdout();
            let after = shown.split(&format!("mark {number}")).nth(1).unwrap_or_default();
            let until_next = after.split("seen").next().unwrap_or_default();
            // The next one may be seen already: that it is hidden is asked after its own mark.
            assert!(!until_next.contains(&format!("secret {number}")), "{number}: {ran}");
        }
    }
}

#[test]
fn a_protected_file_that_a_host_program_replaces_stays_read_only() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("work/.mcp.json", "old");
        let script = "while ! grep -q new .mcp.json; do sleep 0.01; done; sleep 0.3; echo evil > .mcp.json; echo tried";
        let running = lab.sandbox(NONE).start(["sh", "-c", &format!("echo ready; {script}")]);
        running.wait_for("ready");
        std::fs::rename(lab.file("work/fresh", "new"), &file).unwrap();
        let ran = running.finish();
        assert_eq!((lab.content("work/.mcp.json").as_str(), ran.stdout().contains("tried")), ("new", true), "{ran}");
    }
}

#[test]
fn a_command_that_makes_files_without_end_does_not_make_the_supervisor_deaf() {
    for lab in Lab::native(&[]) {
        for number in 0..300 {
            lab.file(format!("work/s{number}.env"), "secret");
        }
        let flood = "for i in 1 2 3; do (while :; do : > f$i; rm f$i; done) & done; wait";
        let ran = lab.sandbox(["--deny", "*.env", "--timeout", "1s"]).sh(flood);
        assert!(ran.code() == 124 && ran.took < std::time::Duration::from_secs(20), "{ran}");
    }
}

#[test]
fn a_placeholder_that_the_host_removes_ends_the_sandbox_before_the_command_can_use_it() {
    for lab in Lab::every_user(&[]) {
        let script = "echo ready; while :; do mkdir -p .git/hooks && echo evil > .git/hooks/x; done 2>/dev/null";
        let running = lab.sandbox(NONE).start(["sh", "-c", &format!("{script}; sleep 1")]);
        running.wait_for("ready");
        std::fs::remove_dir(lab.path("work/.git")).unwrap();
        let ran = running.finish();
        assert!(ran.code() == 125 && ran.stderr().contains(".git"), "{ran}");
        drop(std::fs::remove_dir_all(lab.path("work/.git")));
    }
}

#[test]
fn a_repository_can_be_cloned_into_an_empty_workspace_and_nothing_else_be_made() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        let make =
            "cd .. && git init -q src && cd src && git -c user.name=n -c user.email=e commit -q --allow-empty -m x";
        lab.outside(make).assert_works();
        let clone = format!("git clone -q {} . && git log --oneline | wc -l", lab.path("src"));
        let refused = lab.sandbox(NONE).sh(&clone);
        assert!(refused.code() != 0 && !lab.exists("work/.git"), "{refused}");
        let ran = lab.sandbox(["--git", "commit"]).start(["sh", "-c", &format!("{clone}; sleep 0.2")]).finish();
        ran.assert_prints("1");
        assert!(lab.exists("work/.git/HEAD"));
        // The next run finds a repository and protects what runs code in it.
        lab.sandbox(["--git", "commit"]).sh("echo x > .git/hooks/pre-commit").assert_code(2);
        std::fs::remove_dir_all(lab.path("work/.git")).unwrap();
        let planted = "mkdir .codex && echo evil > .codex/config.toml; echo made; sleep 5; echo survived";
        let ran = lab.sandbox(["--git", "commit"]).start(["sh", "-c", planted]).finish();
        assert!(ran.code() == 125 && ran.stderr().contains(".codex") && !ran.stdout().contains("survived"), "{ran}");
        until("it is put aside", || !lab.exists("work/.codex"));
        let aside = |lab: &Lab| {
            let names = std::fs::read_dir(lab.path("work")).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().starts_with(".codex.refused-by-ringfence-")).count()
        };
        assert_eq!(aside(&lab), 1);
        // Not where the command expects it, and not without a /proc either.
        for options in [&["--git", "commit"][..], &["--git", "commit", "--no-proc"]] {
            lab.outside("rm -rf .codex*").assert_works();
            let early = "mkdir -p .codex.refused-by-ringfence/x t; echo evil > t/config.toml; mv t .codex; sleep 5";
            let ran = lab.sandbox(options).start(["sh", "-c", early]).finish();
            assert!(ran.code() == 125 && !lab.exists("work/.codex"), "{ran}");
        }
        // Nor is it done before the watch looks.
        for _ in 0..20 {
            lab.outside("rm -rf .codex*").assert_works();
            let ran = lab.sandbox(["--git", "commit"]).run(["mkdir", ".codex"]);
            assert!(ran.code() == 125 && ran.stderr().contains(".codex") && !lab.exists("work/.codex"), "{ran}");
        }
        // Whatever ends the supervisor.
        lab.outside("rm -rf .codex*").assert_works();
        let waiting =
            lab.sandbox(["--git", "commit"]).start(["sh", "-c", "echo ready; sleep 1; mkdir .codex; sleep 9"]);
        waiting.wait_for("ready").signal(rustix::process::Signal::STOP);
        until("the command has made it", || lab.exists("work/.codex"));
        waiting.signal(rustix::process::Signal::KILL);
        drop(waiting.finish());
        until("it is put aside", || !lab.exists("work/.codex"));
        lab.outside("rm -rf .codex*").assert_works();
        lab.sandbox(NONE).sh("mkdir .codex").assert_code(1);
    }
}
