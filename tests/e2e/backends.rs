//! Which engine enforces: what is chosen where something is missing, what none can do, and sandboxes in sandboxes.

use std::time::Duration;

use crate::lab::{Lab, Need, Sandbox};

const NONE: [&str; 0] = [];
const WORKSPACE: &str = r#"{"type":"workspace-write"}"#;

#[test]
fn what_bubblewrap_cannot_do_is_an_error_that_names_it() {
    for lab in Lab::every_user(&[]).into_iter().filter(|lab| !lab.is_native()) {
        lab.dir("work/real");
        lab.link("work/.codex", "real");
        lab.sandbox(NONE).run(["true"]).assert_error("cannot mount on the link");
        std::fs::remove_file(lab.path("work/.codex")).unwrap();
        lab.sandbox(NONE).run(["true"]).assert_works();
        let many: Vec<_> = (0..300).map(|number| lab.dir(format!("many/{number}"))).collect();
        let options: Vec<_> = many.iter().flat_map(|path| ["--deny", path]).collect();
        lab.sandbox(&options).run(["true"]).assert_error("too many for it");
    }
}

#[test]
fn a_bubblewrap_that_is_of_no_use_is_passed_over_with_a_word() {
    for lab in Lab::native(&[]) {
        let path = |directory: &str| format!("{}:/usr/bin:/bin", lab.path(directory));
        let scripts = [
            ("silent", "exit 0"),
            ("failing", "echo broken >&2; exit 3"),
            ("hanging", "exec sleep 60"),
            ("old", "echo '--ro-bind --unshare-user'"),
            ("endless", "exec yes"),
        ];
        for (name, script) in scripts {
            lab.script(&format!("{name}/bwrap"), &format!("#!/bin/sh\n{script}\n"));
            let ran = lab.codex(["--sandbox-policy", WORKSPACE]).env("PATH", path(name)).sh("echo works; mkdir .git");
            assert_eq!(ran.stdout(), "works", "{name}: {ran}");
            assert!(ran.stderr().contains("the built-in engine takes its place"), "{name}: {ran}");
            assert!(ran.took < Duration::from_secs(30), "{name}: {ran}");
            let ran = lab.sandbox(NONE).backend("bwrap").env("PATH", path(name)).run(["true"]);
            assert!(ran.code() == 125 && ran.stderr().contains("bwrap"), "{name}: {ran}");
        }
        // A lie is found out where it matters, and nothing runs unconfined.
        let lie = "[ \"$1\" = --help ] && echo '--ro-bind --unshare-user --perms --argv0' && exit 0\necho 'bwrap: no such option' >&2; exit 1";
        lab.script("lying/bwrap", &format!("#!/bin/sh\n{lie}\n"));
        let ran = lab.codex(["--sandbox-policy", WORKSPACE]).env("PATH", path("lying")).run(["touch", "made"]);
        assert!(ran.code() == 1 && ran.stderr().contains("no such option") && !lab.exists("work/made"), "{ran}");
        // A program of that name that runs the command itself does it without what only the outer stage can give.
        let mischief = "[ \"$1\" = --help ] && echo '--ro-bind --unshare-user --perms' && exit 0\nwhile [ \"$1\" != -- ]; do shift; done; shift\nexec \"$@\"";
        lab.script("mischief/bwrap", &format!("#!/bin/sh\n{mischief}\n"));
        let ran = lab.codex(["--sandbox-policy", WORKSPACE]).env("PATH", path("mischief")).run(["touch", "made"]);
        assert!(ran.code() == 1 && !lab.exists("work/made"), "{ran}");
    }
}

#[test]
fn a_bubblewrap_in_the_workspace_or_a_directory_of_that_name_is_never_started() {
    for lab in Lab::native(&[Need::Tool("bwrap")]) {
        lab.script("work/bin/bwrap", &format!("#!/bin/sh\ntouch {}\n", lab.path("work/planted")));
        lab.dir("dir/bwrap");
        lab.link("link/bwrap", lab.path("work/bin/bwrap"));
        let path = format!("{}:{}:{}:/usr/bin:/bin", lab.path("work/bin"), lab.path("link"), lab.path("dir"));
        let ran = lab.codex(["--sandbox-policy", WORKSPACE]).env("PATH", &path).run(["echo", "works"]);
        ran.assert_prints("works");
        assert!(!lab.exists("work/planted"), "{ran}");
    }
}

/// Root without a right can no more read others' files than anybody: what is theirs is kept already, and need not be hidden.
#[test]
fn root_in_a_sandbox_starts_another_where_a_store_is_somebody_else_s() {
    for lab in Lab::as_root(&[Need::Landlock(3)]).into_iter().filter(Lab::is_native) {
        let key = lab.file("home/.ssh/key", "secret");
        std::os::unix::fs::chown(lab.path("home/.ssh"), Some(54321), None).unwrap();
        lab.chmod("home/.ssh", 0o700);
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let inner = [&binary, "run", "--backend", "landlock", "--", "sh", "-c"];
        let words = |script| [&inner[..], &[script]].concat();
        lab.sandbox(NONE).backend("landlock").run(words("echo started")).assert_prints("started");
        let read = format!("cat {key}");
        lab.sandbox(NONE).backend("landlock").run(words(&read)).assert_refused();
        lab.outside(&read).assert_prints("secret");
    }
}

#[test]
fn a_sandbox_in_a_sandbox_starts_and_keeps_both_policies() {
    for lab in Lab::every_user(&[Need::Landlock(6)]) {
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        let other = lab.dir("other");
        let script = format!("echo x > here; echo x > {other}/there; mkdir .git; echo in $RINGFENCE");
        let inner = [&binary, "run", "--", "sh", "-c", &script];
        let ran = lab.sandbox(NONE).run(inner);
        assert!(ran.stdout() == "in 1" && lab.exists("work/here") && !lab.exists("other/there"), "{ran}");
        assert!(!lab.exists("work/.git"), "{ran}");
        // The outer one would let it: only the inner one is in the way.
        let ran = lab.sandbox(["--write", &other]).run(inner);
        assert!(ran.stdout() == "in 1" && !lab.exists("other/there"), "{ran}");
        lab.sandbox(["--write", &other]).sh(&format!("echo x > {other}/there")).assert_works();
        // Bare permissions are no protection: their owner can change them.
        let open = "chmod 600 sec; cat sec";
        let ran = lab
            .sandbox(NONE)
            .sh(&format!("echo s3cret > sec; chmod 000 sec; {binary} run --deny $PWD/sec -- sh -c '{open}'"));
        assert!(!ran.stdout().contains("s3cret"), "{ran}");
        let codex = [&binary, "codex-linux-sandbox", "--sandbox-policy-cwd", ".", "--sandbox-policy", WORKSPACE];
        lab.sandbox(NONE).run(codex.iter().copied().chain(["echo", "works"])).assert_prints("works");
        lab.codex(["--sandbox-policy", WORKSPACE])
            .run(codex.iter().copied().chain(["echo", "works"]))
            .assert_prints("works");
    }
}

#[test]
fn other_sandboxes_around_it_are_no_trouble_or_told() {
    for lab in Lab::native(&[Need::Tool("bwrap"), Need::Landlock(6)]) {
        let run = |by: &str| lab.sandbox(NONE).by(by).sh("echo works; echo x > /etc/made");
        let around = "exec bwrap --bind / / --dev /dev --proc /proc -- \"$@\"";
        let ran = run(around);
        assert_eq!(ran.stdout(), "works", "{ran}");
        let no_proc = "exec bwrap --bind / / --dev /dev --tmpfs /proc -- \"$@\"";
        let ran = run(no_proc);
        assert!(ran.stdout() == "works" || ran.code() == 125 && ran.stderr().starts_with("error: "), "{ran}");
        let no_namespaces =
            "exec unshare -Urm sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"' sh \"$@\"";
        let alone =
            |sandbox: Sandbox<'_>| sandbox.backend("auto").by(no_namespaces).sh("echo works; echo x > /etc/made");
        let ran = alone(lab.sandbox(NONE));
        assert!(ran.stdout() == "works" && ran.stderr().contains("denied"), "{ran}");
        lab.dir("work/.git");
        let ran = alone(lab.sandbox(NONE));
        let told = |what| ran.stderr().contains(what);
        assert!(ran.code() == 125 && told("native: ") && told("landlock: ") && told("--landlock best-effort"), "{ran}");
        let ran = alone(lab.sandbox(["--landlock", "best-effort"]));
        assert!(ran.stdout() == "works" && ran.stderr().contains("cannot keep"), "{ran}");
        // Another sandbox's programs cannot make one of bubblewrap's inside ours.
        let ran = lab.sandbox(NONE).run(["bwrap", "--ro-bind", "/", "/", "true"]);
        assert!(ran.code() != 0 && ran.stderr().contains("namespace"), "{ran}");
    }
}
