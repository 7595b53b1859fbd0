//! The helper that Codex starts, by its own flags and policies: what its users complained about, and what they rely on.

use rustix::process::Signal;

use crate::lab::{Lab, Need, eventually, in_private_mounts};

const NONE: [&str; 0] = [];
const WORKSPACE: &str = r#"{"type":"workspace-write","exclude_slash_tmp":true,"exclude_tmpdir_env_var":true}"#;
const READ_ONLY: &str = r#"{"type":"read-only"}"#;

/// A profile with these entries, `PATH ACCESS` each; `:word` is a special.
fn profile(entries: &[&str]) -> String {
    let entry = |said: &&str| {
        let (path, access) = said.rsplit_once(' ').unwrap();
        match path.strip_prefix(':') {
            Some(kind) => {
                format!(r#"{{"path":{{"type":"special","value":{{"kind":"{kind}"}}}},"access":"{access}"}}"#)
            }
            None if path.contains('*') => {
                format!(r#"{{"path":{{"type":"glob_pattern","pattern":"{path}"}},"access":"{access}"}}"#)
            }
            None => format!(r#"{{"path":{{"type":"path","path":"{path}"}},"access":"{access}"}}"#),
        }
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    format!(
        r#"{{"type":"managed","file_system":{{"type":"restricted","entries":[{}]}},"network":"restricted"}}"#,
        entries.join(",")
    )
}

#[test]
fn both_generations_confine_writing_to_the_workspace() {
    for lab in Lab::every_user(&[]) {
        let outside = lab.dir("other");
        let script = format!("echo x > here; echo x > {outside}/there; mkdir .git; mkdir .codex");
        let new = profile(&[":root read", ":project_roots write"]);
        let files = r#"{"kind":"restricted","entries":[
            {"path":{"type":"special","value":{"kind":"root"}},"access":"read"},
            {"path":{"type":"special","value":{"kind":"project_roots"}},"access":"write"}]}"#;
        let split = ["--file-system-sandbox-policy", files, "--network-sandbox-policy", "\"restricted\""];
        let sandboxes = [
            lab.codex(["--sandbox-policy", WORKSPACE]),
            lab.codex(["--permission-profile", &new]),
            lab.codex(split),
            lab.codex([&split[..], &["--sandbox-policy", WORKSPACE]].concat()),
        ];
        for sandbox in sandboxes {
            let ran = sandbox.sh(&script);
            assert!(lab.exists("work/here") && !lab.exists("other/there"), "{ran}");
            assert!(!lab.exists("work/.git") && !lab.exists("work/.codex"), "{ran}");
            std::fs::remove_file(lab.path("work/here")).unwrap();
        }
        lab.codex(["--sandbox-policy", READ_ONLY]).sh(&script).assert_code(1);
        assert!(!lab.exists("work/here"));
        let plain = format!("echo x > here; echo x > {outside}/there");
        lab.codex(["--sandbox-policy", r#"{"type":"danger-full-access"}"#]).sh(&plain).assert_works();
        assert!(lab.exists("work/here") && lab.exists("other/there"));
    }
}

#[test]
fn a_policy_file_means_the_same_to_run() {
    for lab in Lab::every_user(&[]) {
        let other = lab.dir("other");
        let file = lab.file("policy.json", &profile(&[":root read", ":project_roots write"]));
        let script = format!("echo x > here && echo x > {other}/there");
        let ran = lab.sandbox(["--config", &file]).sh(&script);
        assert!(ran.code() != 0 && lab.exists("work/here") && !lab.exists("other/there"), "{ran}");
        lab.sandbox(["--config", &file, "--write", &other]).sh(&script).assert_works();
        let odd = lab.file("odd.json", r#"{"type":"read-only","wirtable":1}"#);
        lab.sandbox(["--config", &odd]).run(["true"]).assert_error("unknown field `wirtable`");
    }
}

#[test]
fn carve_outs_nest_in_every_order() {
    for lab in Lab::every_user(&[]) {
        for file in ["docs/f", "docs/public/f", "docs/private/f", "docs/private/open/f", "docs/private/seen/f", "a.env"]
        {
            lab.file(format!("work/{file}"), "old");
        }
        let work = lab.path("work");
        let entries = [
            ":root read".to_owned(),
            ":project_roots write".to_owned(),
            format!("{work}/docs read"),
            format!("{work}/docs/public write"),
            format!("{work}/docs/private deny"),
            format!("{work}/docs/private/open write"),
            format!("{work}/docs/private/seen read"),
            format!("{work}/**/*.env deny"),
        ];
        let orders = [entries.clone(), entries.into_iter().rev().collect::<Vec<_>>().try_into().unwrap()];
        for order in orders {
            let profile = profile(&order.iter().map(String::as_str).collect::<Vec<_>>());
            let sandbox = || lab.codex(["--permission-profile", &profile]);
            for (path, read, write) in [
                ("docs/f", true, false),
                ("docs/public/f", true, true),
                ("docs/private/f", false, false),
                ("docs/private/open/f", true, true),
                ("docs/private/seen/f", true, false),
                ("a.env", false, false),
                ("new", false, true),
            ] {
                let ran = sandbox().sh(&format!("cat {path} > /dev/null"));
                assert_eq!(ran.code() == 0, read, "read {path}: {ran}");
                let ran = sandbox().sh(&format!("echo new > {path}"));
                assert_eq!(ran.code() == 0, write, "write {path}: {ran}");
            }
            std::fs::remove_file(lab.path("work/new")).unwrap();
        }
    }
}

#[test]
fn local_communication_works_where_the_network_is_restricted() {
    let server = "import socket, threading
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b'served')).start()
print(socket.create_connection(server.getsockname()).recv(9).decode())";
    let spawn = "const r = require('child_process').spawnSync('echo', ['spawned']); console.log(String(r.stdout))";
    for lab in Lab::every_user(&[Need::Tool("python3"), Need::Tool("node")]) {
        let sandbox = || lab.codex(["--sandbox-policy", WORKSPACE]);
        sandbox().python("import asyncio; print(asyncio.run(asyncio.to_thread(lambda: 42)))").assert_prints("42");
        sandbox().python(server).assert_prints("served");
        sandbox().run(["node", "-e", spawn]).assert_prints("spawned");
        let away = "import socket; socket.create_connection(('127.0.0.1', 9), 2)";
        assert_ne!(sandbox().python(away).code(), 0);
    }
}

#[test]
fn git_works_in_an_empty_workspace_once_its_directory_is_granted() {
    for lab in Lab::every_user(&[Need::Tool("git")]) {
        lab.outside(
            "cd .. && git init -q src && cd src && git -c user.name=n -c user.email=e commit -q --allow-empty -m x",
        )
        .assert_works();
        let source = lab.path("src");
        let clone = format!("git clone -q {source} sub && git -C sub log --oneline | wc -l");
        lab.codex(["--sandbox-policy", WORKSPACE]).sh(&clone).assert_prints("1");
        std::fs::remove_dir_all(lab.path("work/sub")).unwrap();
        let here = format!("git clone -q {source} . && git log --oneline | wc -l");
        let ran = lab.codex(["--sandbox-policy", WORKSPACE]).sh(&here);
        assert!(ran.code() != 0 && !lab.exists("work/.git/config"), "{ran}");
        let granted = profile(&[":root read", ":project_roots write", &format!("{} write", lab.path("work/.git"))]);
        let ran = lab.codex(["--permission-profile", &granted]).start(["sh", "-c", &here]).finish();
        ran.assert_prints("1");
    }
}

#[test]
fn missing_roots_are_skipped_and_files_can_be_roots() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("other/file", "old");
        let other = lab.dir("other");
        let target = lab.path("work/target");
        let roots = format!(
            r#"{{"type":"workspace-write","writable_roots":["{target}","{other}/missing","{file}","/dev/nvidia7"]}}"#
        );
        let ran = lab.codex(["--sandbox-policy", &roots]).sh(&format!("mkdir {target} && echo new > {file}"));
        ran.assert_works();
        assert_eq!(lab.content("other/file"), "new\n");
        assert!(lab.exists("work/target"));
        let ran = lab.codex(["--sandbox-policy", &roots]).sh(&format!("echo x > {other}/beside"));
        assert!(ran.code() != 0 && !lab.exists("other/beside"), "{ran}");
    }
}

#[test]
fn names_that_are_not_utf_8_and_odd_temporary_directories_are_no_trouble() {
    use std::os::unix::ffi::OsStrExt;
    for lab in Lab::every_user(&[]) {
        let odd = std::ffi::OsStr::from_bytes(b"odd-\xff");
        let work = lab.dir(std::path::Path::new("work").join(odd));
        let _shown = work;
        let sandbox = lab.codex(["--sandbox-policy", WORKSPACE]).cwd(std::path::Path::new(&lab.path("work")).join(odd));
        sandbox.run([std::ffi::OsStr::new("touch"), std::ffi::OsStr::from_bytes(b"file-\xfe")]).assert_works();
        let made = std::path::Path::new(&lab.path("work")).join(odd).join(std::ffi::OsStr::from_bytes(b"file-\xfe"));
        assert!(made.exists());
        for tmpdir in ["/nonexistent/tmp", "relative", "", "/dev/null"] {
            let policy = r#"{"type":"workspace-write"}"#;
            let ran = lab.codex(["--sandbox-policy", policy]).env("TMPDIR", tmpdir).run(["echo", "works"]);
            ran.assert_prints("works");
        }
    }
}

#[test]
fn signals_reach_the_command_and_its_handlers_run() {
    for lab in Lab::every_user(&[]) {
        for (signal, name) in
            [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")]
        {
            let script = format!("trap 'echo handled; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
            let running = lab.codex(["--sandbox-policy", WORKSPACE]).start(["sh", "-c", &script]);
            running.wait_for("ready").signal(signal);
            let ran = running.finish();
            assert_eq!((ran.code(), ran.stdout().contains("handled")), (7, true), "{name}: {ran}");
        }
        let running = lab.codex(["--sandbox-policy", WORKSPACE]).waiting().start(["sh", "-c", "echo ready; cat"]);
        running.wait_for("ready").signal(Signal::KILL);
        assert_eq!(running.finish().left, None);
        assert!(eventually(|| std::fs::read_dir(lab.path("work")).unwrap().count() == 0), "{}", lab.user);
    }
}

#[test]
fn exit_codes_are_those_of_the_helper() {
    for lab in Lab::every_user(&[]) {
        let plain = lab.file("work/plain", "text");
        let sandbox = || lab.codex(["--sandbox-policy", WORKSPACE]);
        for (script, code) in [("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
            sandbox().sh(script).assert_code(code);
        }
        sandbox().run(["no-such-program"]).assert_code(127);
        sandbox().run([plain.as_str()]).assert_code(126);
        lab.codex(["--sandbox-policy", WORKSPACE, "--command-cwd", "/nonexistent"]).run(["true"]).assert_code(1);
        let denied = profile(&[":root read", &format!("{} deny", lab.path("work"))]);
        lab.codex(["--permission-profile", &denied]).run(["true"]).assert_code(1);
    }
}

#[test]
fn a_bad_command_line_is_code_2_and_one_clear_message() {
    let good = profile(&[":root read"]);
    for lab in Lab::every_user(&[]) {
        let table: [(&[&str], &str); 13] = [
            (&["--sandbox-policy", "{"], "EOF"),
            (&["--sandbox-policy", r#"{"type":"workspace"}"#], "unknown variant"),
            (&["--permission-profile", r#"{"type":"managed"}"#], "missing field"),
            (&["--permission-profile", &profile(&["rel write"])], "not absolute"),
            (&["--permission-profile", &profile(&[":galaxy read"])], "unknown variant"),
            (&["--permission-profile", &good, "--sandbox-policy", WORKSPACE], "cannot be used with"),
            (&["--file-system-sandbox-policy", r#"{"kind":"unrestricted"}"#], "--network-sandbox-policy"),
            (&["--permission-profile", &good, "--apply-seccomp-then-exec"], "inner stage"),
            (&["--permission-profile", &good, "--proxy-route-spec", "{}"], "inner stage"),
            (&["--permission-profile", &good, "--verify-fd-mount", "3:/etc"], "inner stage"),
            (&["--permission-profile", &good, "--managed-network", "[]"], "JSON object"),
            (&["--permission-profile", &good, "--no-such-flag"], "unexpected argument"),
            (&NONE, "no policy"),
        ];
        for (arguments, want) in table {
            let ran = lab.codex(arguments).run(["touch", "made"]);
            assert!(ran.code() == 2 && ran.stderr().contains(want), "{want}: {ran}");
            assert!(!lab.exists("work/made"), "{ran}");
        }
        let glob = profile(&[":root read", "/*.env deny"]);
        lab.codex(["--permission-profile", &glob]).run(["true"]).assert_code(1);
        let binary = lab.sandbox(NONE).binary().to_owned();
        for arguments in [&["ringfence-inner"][..], &["ringfence-inner", "0"], &["ringfence-inner", "x", "y"]] {
            let ran = lab.sandbox(NONE).without().run([binary.to_str().unwrap()].iter().chain(arguments));
            assert!(ran.code() == 2 && ran.stderr().contains("inside a sandbox"), "{ran}");
        }
    }
}

#[test]
fn a_gpu_comes_by_detection_by_a_switch_and_by_its_path() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            crate::devices::private_dev(&lab, &["standin c 1 3", "other c 1 5"]);
            let open = "test -c /dev/standin && echo x > /dev/standin && ! test -e /dev/other && echo opened";
            let roots = r#"{"type":"workspace-write","writable_roots":["/dev/standin"]}"#;
            lab.codex(["--sandbox-policy", roots]).sh(open).assert_prints("opened");
            let by_path = profile(&[":root read", ":project_roots write", "/dev/standin write"]);
            lab.codex(["--permission-profile", &by_path]).sh(open).assert_prints("opened");
            let read = profile(&[":root read", ":project_roots write", "/dev/standin read"]);
            lab.codex(["--permission-profile", &read]).sh("test -e /dev/standin").assert_code(1);
            lab.codex(["--sandbox-policy", WORKSPACE]).sh("test -e /dev/standin").assert_code(1);
            for (policy, works) in [
                (r#"{"type":"workspace-write","gpu_passthrough":false}"#, true),
                (r#"{"type":"workspace-write","gpu_passthrough":true}"#, true),
                (r#"{"type":"read-only","gpu_passthrough":true}"#, true),
                (r#"{"type":"read-only","gpu_passthrough":"yes"}"#, false),
            ] {
                assert_eq!(lab.codex(["--sandbox-policy", policy]).run(["true"]).code() == 0, works, "{policy}");
            }
            crate::devices::undo(&lab);
        }
    });
}

#[test]
fn in_the_callers_pid_namespace_nothing_survives_and_nobody_else_is_touched() {
    for lab in Lab::every_user(&[Need::Landlock(6), Need::Tool("prlimit")]) {
        for more in ["--inherit-pid-namespace", "--use-legacy-landlock"] {
            let sandbox = || lab.codex(["--sandbox-policy", WORKSPACE, more]);
            let script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo ready; sleep 1000; :";
            let running = sandbox().start(["sh", "-c", script]);
            running.wait_for("ready").signal(Signal::KILL);
            drop(running.finish());
            assert!(eventually(|| lab.processes().is_empty()), "{more} as {}", lab.user);
            let disarm = "prlimit --pid $PPID --nofile=0:0; setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 3";
            sandbox().sh(disarm).assert_code(3);
            assert!(eventually(|| lab.processes().is_empty()), "{more} as {}", lab.user);
            let outside = std::process::id();
            sandbox().sh(&format!("kill -0 {outside}")).assert_code(1);
            sandbox().sh(&format!("cat /proc/{outside}/environ | wc -c")).assert_prints("0");
        }
    }
}

#[test]
fn landlock_alone_confines_as_the_helper_does() {
    for lab in Lab::every_user(&[Need::Landlock(6), Need::Tool("python3")]) {
        let other = lab.dir("other");
        let script = format!("echo x > here; echo x > {other}/there; echo x > /dev/null && echo null");
        for switch in [&["--use-legacy-landlock"][..], &["-c", "use_legacy_landlock=true"]] {
            let sandbox = || lab.codex([&["--sandbox-policy", WORKSPACE], switch].concat());
            let ran = sandbox().sh(&script);
            assert!(lab.exists("work/here") && !lab.exists("other/there") && ran.stdout() == "null", "{ran}");
            let names = "open('/proc/self/comm', 'w').write('named'); print(open('/proc/self/comm').read().strip())";
            // Without a GPU nobody needs to write in /proc.
            sandbox().python(names).assert_says("Permission denied");
            lab.sandbox(["--modify", "/proc"]).backend("landlock").python(names).assert_prints("named");
            let pairs = "import asyncio; print(asyncio.run(asyncio.to_thread(lambda: 42)))";
            sandbox().python(pairs).assert_prints("42");
            let away = "import socket; socket.socket()";
            sandbox().python(away).assert_says("Operation not permitted");
            // The kernel makes datagrams of it.
            let raw = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_RAW)";
            sandbox().python(raw).assert_says("Operation not permitted");
            lab.sandbox(NONE).without().python(raw).assert_works();
            sandbox().sh("echo x > /proc/sys/kernel/core_pattern").assert_says("denied");
            // Another terminal of the same user could be read.
            let terminal = "import os; os.open('/dev/ptmx', os.O_RDONLY | os.O_NOCTTY)";
            sandbox().python(terminal).assert_says("Permission denied");
            lab.sandbox(NONE).without().python(terminal).assert_works();
            sandbox()
                .sh("ls / > /dev/null && ls /dev > /dev/null && head -c 1 /dev/urandom | wc -c")
                .assert_prints("1");
            let running = sandbox().waiting().start(["sh", "-c", "setsid sleep 1000 & echo ready; cat"]);
            running.wait_for("ready").signal(Signal::KILL);
            drop(running.finish());
            assert!(eventually(|| lab.processes().is_empty()), "orphans end with the sandbox");
        }
    }
}

#[test]
fn landlock_alone_refuses_what_it_cannot_say() {
    for lab in Lab::every_user(&[Need::Landlock(6)]) {
        let other = lab.dir("other");
        lab.dir("work/.git");
        let landlock =
            |profile: &str| lab.codex(["--permission-profile", profile, "--use-legacy-landlock"]).run(["true"]);
        landlock(&profile(&[":root read", ":project_roots write"])).assert_says("cannot keep");
        landlock(&profile(&[":minimal read"])).assert_works();
        let secret = lab.file("other/secret", "42");
        let reads = |rules: &[&str]| {
            let options = ["--permission-profile", &profile(rules), "--use-legacy-landlock"];
            lab.codex(options).run(["cat", &secret])
        };
        for rules in [&[":minimal read"][..], &[":root read", &format!("{other} deny")]] {
            reads(rules).assert_refused_for(&secret);
        }
        reads(&[":root read"]).assert_prints("42");
        landlock(&profile(&[":root read"])).assert_works();
    }
}
