//! What one run may prepare for the next: modes, links, moves and marks that the command leaves in its workspace.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Lab, Need, signal, until};

const NONE: [&str; 0] = [];

#[test]
fn a_workspace_made_unwritable_does_not_open_the_protected_names() {
    for lab in Lab::as_ordinary_user(&[]) {
        for mode in ["0300", "0555", "0111"] {
            lab.sandbox(NONE).run(["chmod", mode, "."]).assert_works();
            let ran = lab.sandbox(NONE).sh("chmod 755 .; mkdir .git && echo made");
            assert!(!ran.stdout().contains("made") && !lab.exists("work/.git"), "{mode}: {ran}");
            lab.chmod("work", 0o755);
        }
        lab.outside("mkdir .git").assert_works();
    }
}

#[test]
fn placeholders_go_whatever_the_directory_does_to_them() {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        lab.sandbox(NONE).run(["chmod", "0555", "."]).assert_works();
        assert_eq!(lab.outside("ls -A").stdout(), "", "after a chmod");
        lab.chmod("work", 0o2755);
        lab.sandbox(NONE).run(["true"]).assert_works();
        assert_eq!(lab.outside("ls -A").stdout(), "", "in a set-group-ID directory");
        lab.chmod("work", 0o755);
    }
}

#[test]
fn a_closed_directory_is_not_left_out_of_a_search() {
    for lab in Lab::as_ordinary_user(&[Need::Tool("git")]) {
        lab.outside("git init -q sub; echo secret > sub/.env").assert_works();
        lab.sandbox(NONE).run(["chmod", "0311", "sub"]).assert_works();
        let hook = "chmod 755 sub; echo evil > sub/.git/hooks/post-commit && echo planted";
        let ran = lab.sandbox(NONE).sh(hook);
        assert!(!ran.stdout().contains("planted"), "{ran}");
        let ran = lab.sandbox(["--deny", "**/.env"]).sh("chmod 711 sub; cat sub/.env");
        assert!(!ran.stdout().contains("secret"), "{ran}");
        lab.chmod("work/sub", 0o755);
        lab.sandbox(NONE).run(["cat", "sub/.env"]).assert_prints("secret");
    }
}

#[test]
fn what_is_denied_cannot_be_moved_to_where_the_next_run_does_not_look() {
    for lab in Lab::every_user(&[]) {
        lab.file("work/sub/.env", "secret");
        let deny = ["--deny", "sub/.env"];
        lab.sandbox(deny).run(["mv", "sub", "sub2"]).assert_refused();
        lab.sandbox(deny).run(["cat", "sub/.env"]).assert_refused_for(".env");
        lab.sandbox(NONE).run(["mv", "sub", "sub2"]).assert_works();
    }
}

#[test]
fn a_planted_link_does_not_turn_a_grant_into_one_outside() {
    for lab in Lab::every_user(&[]) {
        lab.dir("other/host");
        lab.dir("work/data");
        let grant = ["--write", "data"];
        lab.sandbox(grant).run(["touch", "data/x"]).assert_works();
        lab.sandbox(NONE).sh("rm -r data && ln -s ../other/host data").assert_works();
        let ran = lab.sandbox(grant).run(["touch", "data/x"]);
        assert_eq!(ran.code(), 125, "{ran}");
        ran.assert_says("leads out of the workspace");
        assert!(!lab.exists("other/host/x"));
    }
}

#[test]
fn a_directory_that_looks_like_a_placeholder_is_still_denied() {
    for lab in Lab::every_user(&[]) {
        lab.file("work/priv/deep/k", "secret");
        lab.outside("touch -d @173164878 priv && chmod 555 priv && touch -d @173164878 priv").assert_works();
        let ran = lab.sandbox(["--deny", "priv"]).run(["cat", "priv/deep/k"]);
        assert!(ran.code() != 0 && !ran.stdout().contains("secret"), "{ran}");
        lab.sandbox(NONE).run(["cat", "priv/deep/k"]).assert_prints("secret");
        lab.chmod("work/priv", 0o755);
    }
}

#[test]
fn links_in_protected_directories_protect_what_they_lead_to() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        lab.outside("git init -q . && mkdir scripts && echo true > scripts/pc").assert_works();
        lab.outside("ln -s ../../scripts/pc .git/hooks/pre-commit").assert_works();
        lab.sandbox(NONE).sh("echo evil > scripts/pc").assert_refused();
        lab.sandbox(NONE).sh("echo fine > scripts/other").assert_works();
    }
}

#[test]
fn the_hooks_of_the_repository_around_the_workspace_are_protected() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        lab.outside("git init -q . && mkdir -p fe/.husky && git config core.hooksPath fe/.husky").assert_works();
        let inside = lab.path("work/fe");
        lab.sandbox(NONE).cwd(&inside).sh("echo evil > .husky/pre-commit").assert_refused();
        lab.sandbox(NONE).cwd(&inside).sh("echo fine > other").assert_works();
    }
}

#[test]
fn a_missing_configuration_of_ours_cannot_be_made() {
    for lab in Lab::every_user(&[]) {
        let config = lab.dir("work/.config");
        let with = |script: &str| lab.sandbox(NONE).env("XDG_CONFIG_HOME", &config).sh(script);
        with("mkdir -p .config/ringfence && echo 'sandbox = \"full-access\"' > .config/ringfence/config.toml")
            .assert_refused();
        with("mkdir .config/other").assert_works();
        assert!(!lab.exists("work/.config/ringfence/config.toml"));
    }
}

#[test]
fn a_command_that_stops_itself_does_not_stop_its_timeout() {
    for lab in Lab::every_user(&[]) {
        let started = Instant::now();
        lab.sandbox(["--timeout", "500ms"]).sh("kill -STOP $$").assert_code(124);
        assert!(started.elapsed() < Duration::from_secs(8));
    }
}

#[test]
fn no_moment_of_the_start_lets_a_sandbox_outlive_its_supervisor() {
    for lab in Lab::every_user(&[]) {
        for step in 0..60 {
            let running = lab.sandbox(NONE).start(["sleep", "1000"]);
            std::thread::sleep(Duration::from_micros(200 * step));
            signal(running.pid(), Signal::KILL);
            running.finish();
            until("the sandbox is gone", || lab.processes().is_empty());
        }
        assert_eq!(lab.outside("ls -A").stdout(), "");
    }
}
