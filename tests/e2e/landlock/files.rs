//! What can be read and written, and by which names.

use super::{NONE, START, alone, assert_not_run, check, check_outside, labs};
use crate::lab::Need;

#[test]
fn the_workspace_is_writable_and_the_machine_is_not() {
    for lab in labs(&[]) {
        let other = lab.file("other/file", "old");
        let beside = lab.path("other/new");
        check(
            &lab,
            &[],
            &[
                ("make:new", "yes"),
                ("mkdir:dir", "yes"),
                ("rename:new>dir/moved", "yes"),
                ("link:dir/moved>linked", "yes"),
                ("fifo:fifo", "yes"),
                ("otrunc:linked", "yes"),
                (&format!("read:{other}"), "yes"),
                (&format!("write:{other}"), "EACCES"),
                (&format!("otrunc:{other}"), "EACCES"),
                (&format!("rtrunc:{other}"), "EACCES"),
                (&format!("trunc:{other}"), "EACCES"),
                (&format!("make:{beside}"), "EACCES"),
                (&format!("mkdir:{beside}"), "EACCES"),
                (&format!("symlink:/etc>{beside}"), "EACCES"),
                (&format!("fifo:{beside}"), "EACCES"),
                (&format!("tmpfile:{}", lab.path("other")), "EACCES"),
                (&format!("rm:{other}"), "EACCES"),
                (&format!("rename:{other}>{beside}"), "EACCES"),
                (&format!("rename:{other}>here"), "EACCES"),
                (&format!("rename:linked>{beside}"), "EACCES"),
                (&format!("link:{other}>here"), "EXDEV"),
                (&format!("link:linked>{beside}"), "EACCES"),
                ("read:/etc/passwd", "yes"),
                ("list:/usr", "yes"),
            ],
        );
        assert_eq!(lab.content("other/file"), "old");
        assert!(!lab.exists("other/new") && !lab.exists("work/here") && lab.exists("work/dir/moved"));
        let all: Vec<_> = ["write", "otrunc"].map(|verb| format!("{verb}:{other}")).into();
        check_outside(
            &lab,
            &[&all[0], &all[1], &format!("make:{beside}"), &format!("link:{other}>here"), &format!("rename:{other}>x")],
        );
    }
}

#[test]
fn secrets_cannot_be_read_by_any_name_and_their_siblings_can() {
    for lab in labs(&[]) {
        let key = lab.file("home/.ssh/id", "secret");
        let token = lab.file("home/.config/gh/hosts.yml", "secret");
        let netrc = lab.file("home/.netrc", "secret");
        let siblings = [lab.file("home/.config/beside", "plain"), lab.file("home/beside", "plain")];
        lab.link("other/to-key", &key);
        lab.link("other/to-store", lab.path("home/.ssh"));
        lab.link("work/to-key", &key);
        let here = lab.path("");
        let denied = [
            format!("read:{key}"),
            format!("read:{token}"),
            format!("read:{netrc}"),
            format!("write:{key}"),
            format!("trunc:{key}"),
            format!("read:{here}/other/to-key"),
            format!("read:{here}/other/to-store/id"),
            "read:to-key".to_owned(),
            "read:../home/.ssh/id".to_owned(),
            format!("read:/proc/self/root{key}"),
            "read:/proc/self/cwd/../home/.ssh/id".to_owned(),
            "read:/proc/thread-self/cwd/../home/.netrc".to_owned(),
            format!("list:{here}/home/.ssh"),
            format!("list:{here}/home/.config/gh"),
            "list:/proc/self/cwd/../home/.ssh".to_owned(),
        ];
        let table: Vec<_> = denied.iter().map(|word| (word.as_str(), "EACCES")).collect();
        check(&lab, &[], &table);
        check(&lab, &["-s", "read-only"], &table);
        check_outside(
            &lab,
            &denied.iter().filter(|word| !word.starts_with("trunc")).map(String::as_str).collect::<Vec<_>>(),
        );
        lab.file("home/.ssh/id", "secret");
        check(
            &lab,
            &[],
            &siblings
                .iter()
                .map(|path| format!("read:{path}"))
                .collect::<Vec<_>>()
                .iter()
                .map(|word| (word.as_str(), "yes"))
                .collect::<Vec<_>>(),
        );
        check(&lab, &[], &[(&format!("link:{netrc}>mine"), "EXDEV"), (&format!("rename:{netrc}>mine"), "EACCES")]);
        // The control: a rule that shows it.
        let shown = lab.path("home/.ssh");
        check(
            &lab,
            &["--read", &shown],
            &[(&format!("read:{key}"), "yes"), (&format!("list:{shown}"), "yes"), (&format!("read:{netrc}"), "EACCES")],
        );
    }
}

#[test]
fn descriptors_that_lead_to_secrets_open_nothing() {
    let script = r"
import os, sys
store, home = sys.argv[1:]
def tried(what, act):
    try: act(); print(what, 'opened')
    except OSError as error: print(what, error.errno)
store_fd = os.open(store, os.O_PATH | os.O_DIRECTORY)
home_fd = os.open(home, os.O_PATH | os.O_DIRECTORY)
file_fd = os.open(store + '/id', os.O_PATH)
tried('at', lambda: os.open('id', os.O_RDONLY, dir_fd=store_fd))
tried('below', lambda: os.open('.ssh/id', os.O_RDONLY, dir_fd=home_fd))
tried('again', lambda: os.open(f'/proc/self/fd/{file_fd}', os.O_RDONLY))
tried('list', lambda: os.listdir(f'/proc/self/fd/{store_fd}'))
os.fchdir(store_fd)
tried('inside', lambda: os.open('id', os.O_RDONLY))
tried('dot', lambda: os.listdir('.'))
tried('map', lambda: os.open('/proc/self/cwd/id', os.O_RDONLY))
tried('run', lambda: os.execv('/proc/self/fd/%d' % file_fd, ['x']))
";
    for lab in labs(&[]) {
        lab.file("home/.ssh/id", "secret");
        lab.chmod("home/.ssh/id", 0o755);
        let (store, home) = (lab.path("home/.ssh"), lab.path("home"));
        let ran = alone(&lab, NONE).run(["python3", "-c", script, &store, &home]);
        ran.assert_prints("at 13\nbelow 13\nagain 13\nlist 13\ninside 13\ndot 13\nmap 13\nrun 13");
        let control = lab.sandbox(NONE).without().run(["python3", "-c", script, &store, &home]);
        assert!(!control.stdout().contains(" 13") && control.stdout().contains("map opened"), "{control}");
        // A descriptor that came in before the wall, of a directory beside it.
        let by = format!("exec 7<{home}; \"$@\"");
        let passed =
            "import os; print(os.open('beside', os.O_RDONLY, dir_fd=7) > 0); os.open('.ssh/id', os.O_RDONLY, dir_fd=7)";
        lab.file("home/beside", "plain");
        let ran = alone(&lab, ["--pass-fd", "7"]).by(&by).python(passed);
        assert!(ran.stdout() == "True" && ran.code() == 1, "{ran}");
        ran.assert_says("Permission denied");
    }
}

#[test]
fn password_hashes_are_hidden_from_root_and_the_rest_of_etc_is_not() {
    for lab in labs(&[Need::Root]).into_iter().filter(|lab| lab.user.is_root()) {
        check(
            &lab,
            &[],
            &[
                ("read:/etc/shadow", "EACCES"),
                ("read:/proc/self/root/etc/shadow", "EACCES"),
                ("read:/etc/passwd", "yes"),
            ],
        );
        check(&lab, &["--read", "/etc/shadow"], &[("read:/etc/shadow", "yes"), ("write:/etc/shadow", "EACCES")]);
    }
}

#[test]
fn carve_outs_nest_and_globs_hide_what_matches() {
    for lab in labs(&[]) {
        for file in [
            "t/x",
            "t/a/x",
            "t/a/b/x",
            "t/a/b/c/x",
            "t/a/b/d/x",
            "t/one.key",
            "t/two.key",
            "t/three.txt",
            "t/e/four.key",
            "t/e/y",
        ] {
            lab.file(file, "text");
        }
        let at = |path: &str| lab.path(format!("t/{path}"));
        let (a, b, c) = (at("a"), at("a/b"), at("a/b/c"));
        let rules = ["--deny", &a, "--read", &b, "--deny", &c, "--deny", &at("**/*.key")].map(str::to_owned);
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        let table = [
            ("read", "x", true),
            ("read", "a/x", false),
            ("read", "a/b/x", true),
            ("read", "a/b/d/x", true),
            ("read", "a/b/c/x", false),
            ("list", "a", false),
            ("list", "a/b/c", false),
            ("list", "a/b/d", true),
            ("read", "one.key", false),
            ("read", "e/four.key", false),
            ("read", "e/y", true),
            ("list", "e", true),
            ("read", "three.txt", true),
        ];
        let words: Vec<_> = table.iter().map(|(verb, path, _)| format!("{verb}:{}", at(path))).collect();
        let want = table.iter().map(|(.., seen)| if *seen { "yes" } else { "EACCES" });
        check(&lab, &rules, &words.iter().map(String::as_str).zip(want).collect::<Vec<_>>());
        check(&lab, &[], &words.iter().map(|word| (word.as_str(), "yes")).collect::<Vec<_>>());
        let file = at("x");
        check(
            &lab,
            &["--deny", &file],
            &[(&format!("read:{file}"), "EACCES"), (&format!("read:{}", at("a/x")), "yes")],
        );
    }
}

#[test]
fn what_cannot_be_carved_out_is_refused_and_the_rule_is_named() {
    for lab in labs(&[]) {
        let hidden = lab.file("many/hidden", "x");
        let inside = lab.file("work/inside", "x");
        for number in 0..4095 {
            std::fs::write(lab.path(format!("many/{number}")), "").unwrap();
        }
        check(
            &lab,
            &["--deny", &hidden],
            &[(&format!("read:{hidden}"), "EACCES"), (&format!("read:{}", lab.path("many/7")), "yes")],
        );
        lab.file("many/one-more", "");
        let effort = ["--landlock", "best-effort"];
        for more in [&[][..], &effort] {
            let ran = alone(&lab, [&["--deny", hidden.as_str()][..], more].concat()).run(START);
            assert_not_run(&lab, &ran);
            ran.assert_says("more than 4096 entries").assert_says("--deny").assert_says(&hidden);
            // In a writable directory nothing can be hidden; what the user denies is never lost.
            let ran = alone(&lab, [&["--deny", "inside"][..], more].concat()).run(START);
            assert_not_run(&lab, &ran);
            ran.assert_says("hide").assert_says(&inside).assert_says("--deny");
        }
        alone(&lab, NONE).run(START).assert_works();
        std::fs::remove_file(lab.path("work/started")).unwrap();
        if !lab.user.is_root() {
            let closed = lab.file("closed/hidden", "x");
            lab.chmod("closed", 0o311);
            let ran = alone(&lab, ["--deny", &closed]).run(START);
            assert_not_run(&lab, &ran);
            ran.assert_says("cannot be listed").assert_says("--deny");
            lab.chmod("closed", 0o711);
            alone(&lab, ["--deny", &closed]).run(["true"]).assert_works();
        }
    }
}

#[test]
fn a_repository_in_the_workspace_is_refused_unless_effort_is_enough() {
    for lab in labs(&[]) {
        lab.file("work/.git/config", "old");
        let ran = alone(&lab, NONE).run(START);
        assert_not_run(&lab, &ran);
        ran.assert_says(&format!("keep {} read-only in a writable directory", lab.path("work/.git")))
            .assert_says("protected");
        let ran = alone(&lab, ["--landlock", "required"]).run(START);
        assert_not_run(&lab, &ran);
        let ran = alone(&lab, ["--landlock", "best-effort"]).run(["true"]);
        ran.assert_works().assert_says("best effort").assert_says(&lab.path("work/.git"));
        // What is lost is that, and the rest of the workspace is as writable as ever.
        alone(&lab, ["--landlock", "best-effort"]).sh("echo x > made && echo y > .git/made").assert_works();
        assert!(lab.exists("work/made") && lab.exists("work/.git/made"));
        // Where nothing is writable it is as read-only as the rest.
        check(
            &lab,
            &["-s", "read-only"],
            &[("read:.git/config", "yes"), ("write:.git/config", "EACCES"), ("make:.git/x", "EACCES")],
        );
    }
}

#[test]
fn what_appears_later_beside_something_hidden_cannot_be_read() {
    for lab in labs(&[]) {
        let hidden = lab.file("t/hidden", "x");
        lab.file("t/there", "there");
        let (late, replaced) = (lab.path("t/late"), lab.path("t/there"));
        let script = format!("echo ready; read line; cat {late}; cat {replaced}; cat {hidden}; ls -d {late}");
        let (read, write) = std::io::pipe().unwrap();
        let running = alone(&lab, ["--deny", &hidden]).input(read).start(["sh", "-c", &script]);
        running.wait_for("ready");
        lab.file("t/late", "late");
        lab.file("t/new", "new");
        std::fs::rename(lab.path("t/new"), &replaced).unwrap();
        std::io::Write::write_all(&mut &write, b"go\n").unwrap();
        drop(write);
        let ran = running.finish();
        assert_eq!(ran.stdout(), format!("ready\n{late}"), "{ran}");
        for path in [&late, &replaced, &hidden] {
            assert!(ran.stderr().contains(&format!("{path}: Permission denied")), "{ran}");
        }
        alone(&lab, ["--deny", &hidden]).run(["cat", &late]).assert_prints("late");
    }
}

/// What is found out when the command's streams are the command's already is told: nothing runs without them.
#[test]
fn whoever_runs_has_the_callers_streams_although_the_plan_grew_stale() {
    for lab in labs(&[Need::Tool("python3")]) {
        let file = lab.file("t/dir/id", "plain");
        lab.file("other/id", "another");
        lab.link("t/link", lab.path("other"));
        let swap = lab.file(
            "swap.py",
            "import ctypes, os\nos.chdir('t')\nlibc = ctypes.CDLL(None)\n\
             while os.getppid() != 1: libc.renameat2(-100, b'dir', -100, b'link', 2)\n",
        );
        let race = format!(
            "cd {}; python3 {swap} & for n in $(seq 40); do out=$(\"$@\" 2> err); \
             [ \"$out\" = said ] && echo ran && continue; grep -q ^error: err && echo told || {{ echo lost; cat err; }}; \
             done; kill $!; wait",
            lab.path("")
        );
        let options = ["-s", "read-only", "--cd", &lab.path("work"), "--write", &file];
        let ran = alone(&lab, options).by(&race).start(["echo", "said"]).finish();
        assert!(!ran.stdout().contains("lost") && ran.stdout().contains("ran"), "{ran}");
    }
}

#[test]
fn a_sibling_that_becomes_a_link_is_never_followed() {
    for lab in labs(&[]) {
        let hidden = lab.file("t/hidden", "x");
        let secret = lab.file("home/.ssh/id", "secret");
        let sibling = lab.file("t/sibling", "plain");
        lab.dir("t/dir");
        lab.file("t/dir/id", "plain");
        let store = lab.path("home/.ssh");
        // Replaces them again and again while sandboxes start.
        let race = format!(
            "cd {}; (while :; do ln -s {secret} l; mv -T l sibling; mv dir real; ln -s {store} dir; rm dir; mv real dir; \
             rm sibling; echo plain > sibling; done) & for n in $(seq 25); do \"$@\"; done; kill $!; wait",
            lab.path("t")
        );
        let look = format!("cat {sibling} {secret} {store}/id {}/dir/id; :", lab.path("t"));
        let sandbox = alone(&lab, ["--cd", &lab.path("work"), "--deny", &hidden]).by(&race);
        let ran = sandbox.start(["sh", "-c", &look]).finish();
        assert!(!ran.stdout().contains("secret"), "{ran}");
        assert!(ran.stdout().contains("plain") || ran.stderr().contains("error: "), "{ran}");
    }
}

#[test]
fn modify_changes_what_is_there_and_nothing_else() {
    for lab in labs(&[]) {
        let file = lab.file("data/file", "old");
        let data = lab.path("data");
        lab.file("work/mine", "x");
        check(
            &lab,
            &["--modify", &data],
            &[
                (&format!("read:{file}"), "yes"),
                (&format!("write:{file}"), "yes"),
                (&format!("otrunc:{file}"), "yes"),
                (&format!("trunc:{file}"), "yes"),
                (&format!("make:{data}/new"), "EACCES"),
                (&format!("mkdir:{data}/new"), "EACCES"),
                (&format!("fifo:{data}/new"), "EACCES"),
                (&format!("symlink:x>{data}/new"), "EACCES"),
                (&format!("rm:{file}"), "EACCES"),
                (&format!("rename:{file}>{data}/new"), "EACCES"),
                (&format!("rename:{file}>here"), "EACCES"),
                (&format!("rename:mine>{data}/new"), "EACCES"),
                (&format!("link:{file}>here"), "EXDEV"),
                (&format!("link:{file}>{data}/new"), "EACCES"),
                (&format!("link:mine>{data}/new"), "EACCES"),
            ],
        );
        assert_eq!(lab.content("data/file"), "");
        check(&lab, &[], &[(&format!("write:{file}"), "EACCES")]);
        check(
            &lab,
            &["--write", &data],
            &[(&format!("make:{data}/new"), "yes"), (&format!("rename:{file}>{data}/x"), "yes")],
        );
    }
}

#[test]
fn a_directory_above_siblings_that_becomes_a_link_is_never_followed() {
    let racer = r"
import ctypes, random, sys, time
libc = ctypes.CDLL(None)
print('racing', flush=True)
while True:
    libc.syscall(316, -100, b'dir', -100, b'link', 2)
    time.sleep(random.random() / 300)
";
    for lab in labs(&[]) {
        let secret = lab.file("home/.ssh/id", "secret");
        lab.file("t/dir/id", "plain");
        let hidden = lab.file("t/dir/hidden", "x");
        lab.link("t/link", lab.path("home/.ssh"));
        let racing = lab.sandbox(NONE).without().cwd(lab.path("t")).start(["python3", "-c", racer]);
        racing.wait_for("racing");
        let many = "for n in $(seq 120); do \"$@\"; done 2>&1";
        let sandbox = alone(&lab, ["-s", "read-only", "--deny", &hidden]).by(many);
        let ran = sandbox.start(["sh", "-c", &format!("cat {secret}; echo started")]).finish();
        racing.signal(rustix::process::Signal::KILL);
        assert!(ran.stdout().contains("started"), "{ran}");
        assert!(!ran.stdout().lines().any(|line| line.starts_with("secret")), "{ran}");
    }
}

#[test]
fn a_store_that_is_a_link_hides_what_it_leads_to() {
    for lab in labs(&[]) {
        let key = lab.file("dotfiles/ssh/id", "secret");
        lab.link("home/.ssh", lab.path("dotfiles/ssh"));
        let beside = lab.file("dotfiles/vimrc", "plain");
        let words = [format!("read:{key}"), format!("read:{}", lab.path("home/.ssh/id"))];
        check(&lab, &[], &[(&words[0], "EACCES"), (&words[1], "EACCES"), (&format!("read:{beside}"), "yes")]);
        check_outside(&lab, &words.each_ref().map(String::as_str));
    }
}

#[test]
fn a_home_in_a_directory_that_cannot_be_listed_is_a_home_all_the_same() {
    for lab in labs(&[]).into_iter().filter(|lab| !lab.user.is_root()) {
        let key = lab.file("homes/me/.ssh/id", "secret");
        let (plain, other) = (lab.file("homes/me/plain", "plain"), lab.file("homes/you/plain", "plain"));
        let work = lab.dir("homes/me/work");
        lab.chmod("homes", 0o311);
        let script = format!("cat {plain}; echo x > made && cat made; cat {other} {key}");
        let sandbox = alone(&lab, NONE).cwd(&work).env("HOME", lab.path("homes/me"));
        let ran = sandbox.start(["sh", "-c", &script]).finish();
        assert_eq!(ran.stdout(), "plainx", "{ran}");
        ran.assert_says(&format!("{other}: Permission denied")).assert_says(&format!("{key}: Permission denied"));
        let open = lab.path("homes/you");
        let sandbox = alone(&lab, ["--read", &open]).cwd(&work).env("HOME", lab.path("homes/me"));
        sandbox.run(["cat", &other]).assert_prints("plain");
        lab.chmod("homes", 0o711);
    }
}
