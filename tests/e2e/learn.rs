//! `ringfence learn`: the policy that is learned runs the same command, and is no larger than it need be.

use crate::lab::{Lab, Need, Ran};

const NONE: [&str; 0] = [];

/// What is printed of a command and the policy that is learned from it, kept in `home/learned.toml`.
fn learn(lab: &Lab, options: &[&str], script: &str) -> (Ran, String) {
    let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
    let policy = lab.path("home/learned.toml");
    drop(std::fs::remove_file(&policy));
    let words = [&[binary.as_str(), "learn", "--output", &policy], options, &["--", "sh", "-c", script]].concat();
    let ran = lab.sandbox(NONE).without().run(words);
    let text = if lab.exists("home/learned.toml") { lab.content("home/learned.toml") } else { String::new() };
    (ran, text)
}

fn with<'a>(lab: &'a Lab, options: &[&str]) -> crate::lab::Sandbox<'a> {
    let policy = lab.path("home/learned.toml");
    lab.sandbox([options, &["--config", &policy]].concat())
}

#[test]
fn the_learned_policy_runs_the_same_command() {
    let commands = [
        "echo hello; cat /etc/hostname /etc/passwd | sort | head -1 > /dev/null",
        "python3 -c 'import json, http.client, ssl, socket; print(json.dumps(1))'",
        "mkdir -p a/b && echo x > a/b/c && mv a/b/c d && ln -s d e && cat e && rm -r a d e",
        "awk 'BEGIN { print 2 }' && perl -e 'print 3'",
        "git status --porcelain && git log --format=%s -1",
        "echo 1 > /tmp/x && cat /tmp/x && ls /proc/self/fd | wc -l && date +%Y && : > /dev/null",
        "(for i in 1 2 3; do sh -c 'echo $0' $i & done; wait) | sort",
    ];
    for lab in Lab::every_user(&[Need::Tool("git"), Need::Tool("perl"), Need::Tool("python3")]) {
        let git = "git init -q . && git config user.name a && git config user.email a@b && git commit -q --allow-empty -m one";
        lab.outside(git).assert_works();
        for script in commands {
            let engine = ["--backend", if lab.is_native() { "native" } else { "bwrap" }];
            let (taught, policy) = learn(&lab, &engine, script);
            taught.assert_works();
            let ran = with(&lab, &[]).sh(script);
            assert_eq!((ran.stdout(), ran.code()), (taught.stdout(), 0), "{ran}\n{policy}");
        }
    }
}

#[test]
fn what_was_not_touched_is_out_of_reach() {
    for lab in Lab::every_user(&[]) {
        lab.file("home/notes/one", "1");
        lab.file("home/other/two", "2");
        let (one, two) = (lab.path("home/notes/one"), lab.path("home/other/two"));
        let (ran, policy) = learn(&lab, &[], &format!("cat {one}"));
        ran.assert_works();
        assert!(policy.contains(&format!("\"{}\" = \"read\"", lab.path("home/notes"))), "{policy}");
        with(&lab, &[]).run(["cat", &one]).assert_prints("1");
        with(&lab, &[]).run(["cat", &two]).assert_refused_for(&two);
        with(&lab, &[]).sh("echo x > made").assert_refused();
        // The control.
        lab.sandbox(NONE).run(["cat", &two]).assert_prints("2");
    }
}

#[test]
fn what_lies_beside_the_workspace_and_in_the_home_is_named_by_itself() {
    for lab in Lab::every_user(&[]) {
        let beside = lab.file("data/set/one", "1");
        lab.file("others/two", "2");
        lab.file("beside", "3");
        let script = format!("cat {beside} {}; cat /etc/mtab > /dev/null; ls /etc > /dev/null", lab.path("beside"));
        let (ran, policy) = learn(&lab, &[], &script);
        ran.assert_works();
        let ran = with(&lab, &[]).sh(&script);
        assert_eq!((ran.code(), ran.stdout()), (0, "13".to_owned()), "{ran}\n{policy}");
        let other = lab.path("others/two");
        with(&lab, &[]).run(["cat", &other]).assert_refused_for(&other);
        assert!(policy.contains("\"/etc\" = \"read\"") || !policy.contains("\"/etc/mtab\""), "{policy}");
    }
}

#[test]
fn a_policy_that_is_learned_on_keeps_what_it_grants() {
    for lab in Lab::every_user(&[]) {
        let (one, two) = (lab.file("home/one/x", "1"), lab.file("home/two/x", "2"));
        learn(&lab, &[], &format!("cat {one}; touch made")).0.assert_works();
        lab.outside(&format!("mv {} {}", lab.path("home/learned.toml"), lab.path("home/first.toml"))).assert_works();
        let first = lab.path("home/first.toml");
        let (ran, policy) = learn(&lab, &["--config", &first, "--read", &two], &format!("cat {two}"));
        ran.assert_works();
        let ran = with(&lab, &[]).sh(&format!("cat {one} {two}; touch again"));
        assert_eq!((ran.code(), ran.stdout()), (0, "12".to_owned()), "{ran}\n{policy}");
    }
}

#[test]
fn on_standard_output_there_is_a_policy_and_nothing_else() {
    for lab in Lab::native(&[]) {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let ran = lab.sandbox(NONE).without().run([&binary, "learn", "--", "echo", "printed"]);
        ran.assert_works().assert_says("printed");
        assert!(ran.stdout().starts_with("# Learned by") && !ran.stdout().contains("\nprinted"), "{ran}");
    }
}

#[test]
fn what_is_refused_is_a_comment_and_with_grant_a_rule_but_never_a_secret() {
    for lab in Lab::every_user(&[]) {
        lab.dir("home/.cache/tool");
        let secret = lab.file("home/.ssh/key", "secret");
        lab.file("home/private/x", "mine");
        let denied = lab.path("home/private");
        let script = format!(
            "touch ~/.cache/tool/made; cat {secret}; cat {denied}/x; echo x > .git/hooks/h; test -e ~/.cache/tool/made"
        );
        lab.outside("git init -q .").assert_works();
        let deny = ["--deny", denied.as_str()];
        let (ran, policy) = learn(&lab, &deny, &script);
        assert_eq!(ran.code(), 1, "{ran}");
        let rule = format!("\"{}\" = \"write\"", lab.path("home/.cache/tool"));
        assert!(policy.contains(&format!("# {rule}")), "{policy}");
        // Read and refused to be written: one path has one line, or nothing loads.
        lab.file("home/.cache/tool/there", "");
        let script = format!("cat ~/.cache/tool/there; {script}");
        let (_, policy) = learn(&lab, &[&deny[..], &["--grant"]].concat(), &script);
        assert!(policy.lines().any(|line| line.starts_with(&rule)), "{policy}");
        for kept in [&secret, &denied, ".git/hooks"] {
            let granted = |line: &&str| line.contains(kept) && !line.starts_with('#') && !line.contains("\"none\"");
            assert_eq!(policy.lines().find(granted), None, "{policy}");
        }
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let config = lab.path("home/learned.toml");
        lab.sandbox(NONE)
            .without()
            .run([&binary, "run", "--config", &config, "--", "sh", "-c", &script])
            .assert_works();
        lab.outside("rm ~/.cache/tool/made").assert_works();
        with(&lab, &[]).run(["cat", &secret]).assert_refused_for(&secret);
        with(&lab, &[]).run(["cat", &format!("{denied}/x")]).assert_refused();
    }
}

#[test]
fn what_the_user_said_is_never_widened() {
    for lab in Lab::every_user(&[]) {
        let public = lab.file("home/data/public/f", "1");
        let private = lab.file("home/data/private/f", "2");
        let options = ["--deny", &lab.path("home"), "--read", &lab.path("home/data/public")];
        learn(&lab, &options, &format!("cat {public}; ls -la {}/..", lab.path("home/data/public"))).0.assert_works();
        with(&lab, &[]).run(["cat", &public]).assert_prints("1");
        with(&lab, &[]).run(["cat", &private]).assert_refused();
        // A rule for less, in a directory with more.
        let kept = lab.path("home/data/kept");
        lab.file("home/data/kept/f", "3");
        let options = ["--write", &lab.path("home/data"), "--read", &kept];
        learn(&lab, &options, &format!("touch {}", lab.path("home/data/private/new"))).0.assert_works();
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let config = lab.path("home/learned.toml");
        let script = format!("cat {kept}/f; echo x > {kept}/f; echo y > {private}");
        let ran = lab.sandbox(NONE).without().run([&binary, "run", "--config", &config, "--", "sh", "-c", &script]);
        assert_eq!(
            (lab.content("home/data/kept/f").as_str(), lab.content("home/data/private/f").as_str()),
            ("3", "y\n"),
            "{ran}"
        );
    }
}

#[test]
fn names_of_all_sorts_leave_a_policy_that_loads() {
    for lab in Lab::every_user(&[]) {
        lab.dir("home/a\nb = \u{7f}");
        lab.file("home/a\nb = \u{7f}/x", "1");
        let script = "cat ~/a*/x; ls -la ~ ~/.. > /dev/null; touch \"$HOME/c\nd\" 2> /dev/null; cat ~/a*/x";
        let (ran, policy) = learn(&lab, &["--grant"], script);
        ran.assert_prints("11");
        assert!(!policy.lines().any(|line| line.starts_with('"') && line.contains("..")), "{policy}");
        let beside = lab.file("home/.profile", "mine");
        let ran = with(&lab, &[]).sh("cat \"$(printf '%s/a\\nb = \\177/x' \"$HOME\")\"");
        assert_eq!(ran.stdout(), "1", "{ran}\n{policy}");
        with(&lab, &[]).run(["cat", &beside]).assert_refused_for(&beside);
    }
}

#[test]
fn the_command_writes_no_policy_of_its_own() {
    for lab in Lab::native(&[]) {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let ran = lab.sandbox(NONE).without().run([&binary, "learn", "--output", "own.toml", "--", "true"]);
        ran.assert_code(125).assert_says("could write its own policy");
        assert!(!lab.exists("work/own.toml"));
        let both = lab.sandbox(NONE).without().by("\"$@\" > ../both 2>&1").run([&binary, "learn", "--", "true"]);
        both.assert_code(125);
        assert!(lab.content("both").contains("--output FILE"), "{both}");
        // Where a login starts programs is never granted, and a store of secrets that is not there neither.
        let script = "echo x >> ~/.bashrc; mkdir ~/.ssh; mkdir ~/.aws; true";
        lab.file("home/.bashrc", "");
        let (_, policy) = learn(&lab, &["--grant"], script);
        for name in [".bashrc", ".ssh", ".aws"] {
            let granted = |line: &&str| line.contains(name) && line.contains(" = \"");
            assert_eq!(policy.lines().find(granted), None, "{policy}");
        }
    }
}

#[test]
fn hosts_that_were_refused_are_named() {
    for lab in Lab::native(&[Need::Tool("python3")]) {
        let script = "python3 -c '\nimport socket\ntry: socket.getaddrinfo(\"models.example.com\", 443)\nexcept OSError as e: print(\"no name\")'";
        let (ran, policy) = learn(&lab, &[], script);
        ran.assert_prints("no name");
        assert!(policy.contains("# allow_host = [\"models.example.com:443\"]"), "{policy}");
        assert!(policy.contains("net = \"none\""), "{policy}");
        let (_, policy) = learn(&lab, &["--net", "none"], "true");
        assert!(policy.contains("net = \"none\""), "{policy}");
    }
}

#[test]
fn what_cannot_be_learned_from_is_said() {
    for lab in Lab::native(&[]) {
        let (ran, _) = learn(&lab, &["--sandbox", "full-access"], "true");
        ran.assert_code(125);
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        lab.sandbox(NONE).without().run([&binary, "learn"]).assert_code(2).assert_says("without a command");
        let there = lab.file("home/there", "kept");
        lab.sandbox(NONE)
            .without()
            .run([&binary, "learn", "--output", &there, "--", "true"])
            .assert_code(125)
            .assert_says("File exists");
        assert_eq!(lab.content("home/there"), "kept");
        // The command's own exit code.
        let (ran, policy) = learn(&lab, &[], "exit 9");
        ran.assert_code(9);
        assert!(policy.starts_with("# Learned by"), "{policy}");
    }
}
