//! What a command was refused is told once, at the end: what, which rule, and what would allow it.

use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::lab::{Lab, Need, Ran};

const NONE: [&str; 0] = [];

/// Every lab with each of its engines. Landlock alone leaves out what it cannot keep.
fn each(check: impl Fn(&Lab, &'static str, &[&str])) {
    for lab in Lab::every_user(&[Need::Tool("python3")]) {
        for engine in lab.engines() {
            let alone = if engine == "landlock" { ["--landlock", "best-effort"].as_slice() } else { &[] };
            check(&lab, engine, alone);
        }
    }
}

/// What `--json-outcome` says of a command in `sh`.
fn outcome(lab: &Lab, engine: &'static str, options: &[&str], script: &str) -> Value {
    let words = [options, &["--json-outcome", "3"]].concat();
    let ran = lab.sandbox(words).backend(engine).by("\"$@\" 3> outcome").sh(script);
    let text = lab.content("work/outcome");
    assert_eq!(text.lines().count(), 1, "{text} by {ran}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["code"], ran.code(), "{value}");
    value
}

/// The denial of this, if there is one.
fn denial<'a>(outcome: &'a Value, what: &str) -> Option<&'a Value> {
    outcome["denials"].as_array().unwrap().iter().find(|denial| denial["what"] == what)
}

#[test]
fn a_write_that_a_process_of_a_process_is_refused_is_told_even_if_all_ends_well() {
    each(|lab, engine, alone| {
        let home = lab.dir("home/made");
        let script = format!("sh -c 'sh -c \"touch {home}/note {home}/other 2> /dev/null\"; exit 0'");
        let explained = [&["--explain"], alone].concat();
        let ran = lab.sandbox(&explained).backend(engine).sh(&script);
        ran.assert_works();
        let told = ran.stderr();
        let line = format!("note: {home}/note, and 1 more, could not be made or removed (");
        assert!(told.contains(&line) && told.contains(&format!("): --write {home} allows it")), "{ran}");
        assert!(told.contains("the root is read-only") || told.contains("Landlock's rules"), "{ran}");
        // The controls: what it names is what helps, and where nothing is refused nothing is told.
        let allowed = [&["--explain", "--write", &home], alone].concat();
        let ran = lab.sandbox(allowed).backend(engine).sh(&script);
        ran.assert_works();
        assert!(!ran.stderr().contains("could not") && lab.exists("home/made/note"), "{ran}");
        lab.outside(&format!("rm {home}/note {home}/other")).assert_works();
        let quiet = lab.sandbox([explained.as_slice(), &["--quiet"]].concat()).backend(engine).sh("touch /etc/x 2>&-");
        assert_eq!(quiet.stderr(), "", "{quiet}");
    });
}

#[test]
fn each_kind_of_refusal_has_its_word_rule_and_cure() {
    each(|lab, engine, alone| {
        let home = lab.path("home");
        let secret = lab.file("home/.ssh/key", "secret");
        let denied = lab.file("home/denied", "x");
        let socket = lab.path("home/socket");
        let listener = UnixListener::bind(&socket).unwrap();
        lab.user.give(std::path::Path::new(&socket));
        let script = format!(
            "cat {secret}; cat {denied}; echo x >> {home}/settings; echo x >> {home}/.profile; python3 -c '\
             import socket, os\n\
             def try_(what):\n  try: what()\n  except OSError: pass\n\
             try_(lambda: socket.socket(socket.AF_UNIX).connect(\"{socket}\"))\n\
             try_(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect((\"192.0.2.1\", 53)))\n\
             try_(lambda: socket.socket().connect((\"192.0.2.1\", 443)))\n\
             try_(lambda: os.open(\"/dev/kmsg\", os.O_RDONLY))'; unshare -U true; exit 7"
        );
        lab.file("home/settings", "");
        lab.file("home/.profile", "");
        let options = [&["--explain", "--deny", &denied], alone].concat();
        let outcome = outcome(lab, engine, &options, &script);
        assert_eq!(outcome["ending"], serde_json::json!({"kind": "exit", "code": 7}));
        assert_eq!(outcome["explained"], true);
        let cure = |what: &str| denial(&outcome, what).unwrap_or_else(|| panic!("{what}: {outcome:#}"));
        assert_eq!(cure(&secret)["remedy"]["toml"], format!("read = [\"{secret}\"]"));
        assert!(cure(&secret)["because"].as_str().unwrap().contains("SSH keys"));
        // A rule of the user's own is not offered back.
        assert_eq!((&cure(&denied)["access"], &cure(&denied)["remedy"]), (&"read".into(), &Value::Null));
        assert!(cure(&denied)["because"].as_str().unwrap().contains("--deny"));
        assert_eq!(cure(&format!("{home}/settings"))["remedy"]["flag"], format!("--write {home}/settings"));
        // From there something is started at the next login.
        assert_eq!(cure(&format!("{home}/.profile"))["remedy"], Value::Null);
        let refused = if engine == "landlock" { "socket" } else { "unshare" };
        assert_eq!(cure(refused)["access"], "call", "{outcome:#}");
        if engine != "landlock" {
            assert_eq!(cure(&socket)["remedy"]["flag"], format!("--unix {socket}"));
            assert_eq!(cure("192.0.2.1:443")["remedy"]["flag"], "--allow-host 192.0.2.1:443");
            assert_eq!(cure("192.0.2.1:53")["remedy"]["flag"], "--allow-host NAME");
        }
        drop(listener);
        std::fs::remove_file(&socket).unwrap();
    });
}

/// Init says no in the kernel's place: a call that is refused fails with the same error as unwatched, in every engine.
#[cfg(target_arch = "x86_64")]
#[test]
fn calls_that_are_refused_fail_as_they_do_unwatched() {
    let script = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n\
        for call in ((272, 0x10000000), (165, b'/', b'/mnt', None, 4096, None), (41, 16, 3, 9), (90, b'file', 0o4755), (250, 0, -3, 0)):\n  \
        print(libc.syscall(*call), errno.errorcode[ctypes.get_errno()])";
    each(|lab, engine, alone| {
        lab.file("work/file", "");
        let plain = lab.sandbox(alone).backend(engine).python(script).stdout();
        let watched = lab.sandbox([&["--explain"], alone].concat()).backend(engine).python(script).stdout();
        assert_eq!((watched.lines().count(), &watched), (5, &plain), "{engine}");
        assert!(watched.lines().all(|line| line.starts_with("-1 E")), "{watched}");
    });
}

#[test]
fn what_would_fail_without_a_sandbox_is_not_told() {
    for lab in Lab::as_ordinary_user(&[]) {
        let outcome = outcome(&lab, "native", &["--explain"], "cat /etc/shadow; touch /etc/x; cat /none; rmdir /usr");
        assert_eq!(outcome["denials"], serde_json::json!([]), "{outcome:#}");
    }
}

#[test]
fn what_git_writes_has_a_word_of_its_own() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        lab.outside("git init -q . && git config user.name a && git config user.email a@b && touch f").assert_works();
        let outcome = outcome(&lab, "native", &["--explain"], "git add f");
        let lock = denial(&outcome, &lab.path("work/.git/index.lock")).unwrap();
        assert_eq!(lock["remedy"]["flag"], "--git commit", "{outcome:#}");
        lab.sandbox(["--git", "commit"]).sh("git add f").assert_works();
        let hooks = self::outcome(&lab, "native", &["--explain"], "echo x > .git/hooks/post-commit");
        let hook = denial(&hooks, &lab.path("work/.git/hooks/post-commit")).unwrap();
        assert_eq!(hook["remedy"]["flag"], format!("--write {}", lab.path("work/.git/hooks")), "{hooks:#}");
        lab.sandbox(["--write", &lab.path("work/.git/hooks")]).sh("echo x > .git/hooks/post-commit").assert_works();
        // Below it, the repository is not in the workspace: all of .git is never offered.
        lab.dir("work/below");
        let below = self::outcome(&lab, "native", &["--explain", "--cd", "below"], "git add .; git config user.name b");
        let flag = |what: &str| denial(&below, &lab.path(what)).unwrap()["remedy"]["flag"].clone();
        assert_eq!(flag("work/.git/index.lock"), format!("--cd {} --git commit", lab.path("work")));
        assert_eq!(flag("work/.git/config.lock"), Value::Null, "{below:#}");
    }
}

#[test]
fn placeholders_and_sockets_of_private_directories_are_told() {
    for lab in Lab::as_root(&[Need::Tool("python3")]) {
        let socket = format!("/run/ringfence-e2e-{}-{}", std::process::id(), lab.user);
        let socket = socket.replace(' ', "-");
        let listener = UnixListener::bind(&socket).unwrap();
        let script = format!(
            "mkdir .claude; python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{socket}\")'; mkdir -p /usr made"
        );
        let engine = if lab.is_native() { "native" } else { "bwrap" };
        let outcome = outcome(&lab, engine, &["--explain"], &script);
        std::fs::remove_file(&socket).unwrap();
        drop(listener);
        let what: Vec<_> = outcome["denials"].as_array().unwrap().iter().map(|denial| &denial["what"]).collect();
        assert_eq!(what, [&Value::from(socket.as_str()), &lab.path("work/.claude").into()], "{outcome:#}");
        assert_eq!(outcome["denials"][0]["remedy"]["flag"], format!("--unix {socket}"));
    }
}

#[test]
fn a_home_is_never_offered_for_one_name_in_it() {
    for lab in Lab::every_user(&[]) {
        let note = lab.path("home/note");
        let options = ["--explain"];
        let ran = lab.sandbox(options).run(["touch", &note]);
        assert!(ran.stderr().contains(&format!("--write {note} allows it once it is there")), "{ran}");
        let outcome = outcome(&lab, "native", &options, &format!("touch {note}; touch /x /etc/x"));
        for denial in outcome["denials"].as_array().unwrap() {
            assert_eq!(denial["remedy"]["flag"], format!("--write {}", denial["what"].as_str().unwrap()), "{denial}");
            assert_eq!(denial["remedy"]["missing"], true, "{denial}");
        }
        lab.file("home/note", "");
        lab.sandbox(["--write", &note]).sh(&format!("echo x > {note}")).assert_works();
    }
}

#[test]
fn unwatched_it_is_a_guess_and_a_success_needs_none() {
    for lab in Lab::every_user(&[]) {
        let target = lab.path("home/note");
        let ran = lab.sandbox(NONE).run(["touch", target.as_str()]);
        let guess = format!("note: a guess: {target} could not be made or removed (");
        assert!(ran.code() == 1 && ran.stderr().contains(&guess), "{ran}");
        let ran = lab.sandbox(NONE).run(["sh", "-c", "exit 5", "https://example.org/x"]);
        assert!(ran.stderr().contains("a guess: example.org could not be reached"), "{ran}");
        let fine = lab.sandbox(NONE).run(["sh", "-c", "exit 0", "https://example.org/x"]);
        assert_eq!(fine.stderr(), "");
        let outcome = outcome(&lab, "native", &[], "exit 3");
        assert_eq!((&outcome["explained"], &outcome["denials"]), (&false.into(), &serde_json::json!([])));
    }
}

#[test]
fn the_outcome_tells_every_way_to_end() {
    let ending = |lab: &Lab, options: &[&str], script: &str| {
        let outcome = outcome(lab, "native", options, script);
        (outcome["ending"]["kind"].as_str().unwrap().to_owned(), outcome)
    };
    for lab in Lab::native(&[]) {
        let (kind, _) = ending(&lab, &[], "exit 0");
        assert_eq!(kind, "exit");
        let (kind, outcome) = ending(&lab, &[], "kill -9 $$");
        assert_eq!((kind.as_str(), &outcome["ending"]["signal"]), ("signal", &9.into()));
        let (_, outcome) = ending(&lab, &["--timeout", "100ms"], "sleep 100");
        assert_eq!((&outcome["timed_out"], &outcome["code"]), (&"timeout".into(), &124.into()));
        let (kind, outcome) = ending(&lab, &["--read", "/none/at/all"], "true");
        assert_eq!(
            (kind.as_str(), &outcome["code"]),
            ("exit", &0.into()),
            "a path that is not there is nothing to read"
        );
        let (kind, outcome) = ending(&lab, &["--write", "/none/at/all"], "true");
        assert_eq!((kind.as_str(), &outcome["code"]), ("failed", &125.into()), "{outcome}");
        assert!(outcome["ending"]["error"].as_str().unwrap().contains("/none/at/all"), "{outcome}");
    }
}

#[test]
fn a_flood_of_refusals_is_told_in_bounds() {
    let script = "import os\nfor n in range(6000):\n  try: os.mkdir('/etc/%d%s' % (n, 'x' * 200))\n  except OSError: pass\n\
        for n in range(3000):\n  try: os.mkdir('/etc/' + '/'.join(['a'] * 1500) + str(n))\n  except OSError: pass\nraise SystemExit(3)";
    for lab in Lab::as_root(&[Need::Tool("python3")]) {
        let words = ["--explain", "--json-outcome", "3", "--timeout", "60s"];
        let ran = lab.sandbox(words).by("\"$@\" 3> outcome").python(script);
        ran.assert_code(3);
        let text = lab.content("work/outcome");
        let outcome: Value = serde_json::from_str(&text).unwrap();
        let told = outcome["denials"].as_array().unwrap().len();
        assert!((100..=1000).contains(&told) && text.len() < 4 << 20, "{told} {}", text.len());
        assert!(ran.stderr().lines().count() < 12, "{ran}");
    }
}

#[test]
fn the_descriptor_of_the_outcome_is_not_the_command_s() {
    for lab in Lab::every_user(&[]) {
        for engine in lab.engines() {
            let ran = lab.sandbox(["--json-outcome", "3"]).backend(engine).by("\"$@\" 3> out").sh("echo x >&3");
            assert!(ran.code() != 0 && !lab.content("work/out").contains("x\n{"), "{ran}");
        }
        let closed = lab.sandbox(["--json-outcome", "9"]).sh("true");
        closed.assert_code(125).assert_says("descriptor 9");
        let forged = lab.sandbox(["--json-outcome", "3", "--pass-fd", "3"]).by("\"$@\" 3> out").sh("true");
        forged.assert_code(125).assert_says("write its own outcome");
    }
}

#[test]
fn programs_run_as_they_do_unwatched() {
    // Threads, signals and many processes: calls that wait for init are neither lost nor made twice.
    // A handler that lets calls start again: one that comes before init has looked interrupts the call (docs/denials.md).
    let script = "import os, subprocess, threading, signal\n\
        hits = []\n\
        signal.signal(signal.SIGALRM, lambda *_: hits.append(1))\n\
        signal.siginterrupt(signal.SIGALRM, False)\n\
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n\
        def work(n):\n  for i in range(100):\n    name = f'{n}-{i}'\n    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)\n    os.close(fd); os.rename(name, name + 'x'); os.unlink(name + 'x')\n\
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n\
        [t.start() for t in threads]; [t.join() for t in threads]\n\
        signal.setitimer(signal.ITIMER_REAL, 0)\n\
        print(subprocess.run('for i in 1 2 3 4 5; do sh -c \"true\" & done; wait; echo done | cat', shell=True, capture_output=True, text=True).stdout, [name for name in os.listdir('.') if name[0].isdigit()])";
    each(|lab, engine, alone| {
        let ran: Ran = lab.sandbox([&["--explain"], alone].concat()).backend(engine).python(script);
        ran.assert_prints("done\n []");
    });
}

#[test]
fn without_proc_nothing_can_be_explained_and_a_session_has_many_commands() {
    for lab in Lab::native(&[]) {
        lab.sandbox(["--explain", "--no-proc"]).sh("true").assert_code(125).assert_says("without a /proc");
        let binary = lab.sandbox(NONE).binary().to_owned();
        let words = [binary.to_str().unwrap(), "session", "start", "x", "--explain"];
        lab.sandbox(NONE).without().run(words).assert_code(125).assert_says("ringfence run --explain");
    }
}
