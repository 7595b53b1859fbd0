//! The library against the real helper: each refusal with the grant that lifts it.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is wrong"
)]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use ringfence::{Backend, Command, Gpu, Landlock, Net, Sandbox, Tmp};

fn workspace(dir: &Path) -> Sandbox {
    Sandbox::workspace_write(dir).helper(env!("CARGO_BIN_EXE_ringfence"))
}

/// Whether sandboxes can be made here; where they cannot, the skip is loud, and a failure with `RINGFENCE_MUST=userns`.
fn sandboxes_work() -> bool {
    let output = Sandbox::read_only("/").helper(env!("CARGO_BIN_EXE_ringfence")).command("true").output().unwrap();
    if output.status.success() {
        return true;
    }
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    assert!(!must.split(',').any(|need| need == "userns"), "{output:?}");
    eprintln!("SKIPPED: no sandbox can be made here: {}", String::from_utf8_lossy(&output.stderr));
    false
}

macro_rules! need_sandboxes {
    () => {
        if !sandboxes_work() {
            return;
        }
    };
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn sh<'a>(command: &'a mut Command, script: &str) -> &'a mut Command {
    command.args(["-c", script])
}

#[test]
fn echo_prints() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(text(&workspace(dir.path()).command("echo").arg("hi").arg("-n").output().unwrap()), "hi -n\n");
}

#[test]
fn the_workspace_is_where_a_command_starts_and_all_it_can_write() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("planted");
    let script = format!("echo in > here && echo out > '{}'", target.display());
    let refused = sh(&mut workspace(dir.path()).read(outside.path()).command("sh"), &script).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("here")).unwrap(), "in\n");
    assert!(!target.exists());
    // The control: the same with one grant more.
    let allowed = sh(&mut workspace(dir.path()).write(outside.path()).command("sh"), &script).output().unwrap();
    assert!(allowed.status.success(), "{allowed:?}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "out\n");
}

#[test]
fn read_only_writes_nothing_and_full_access_everything() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let helper = env!("CARGO_BIN_EXE_ringfence");
    let read_only = Sandbox::read_only(dir.path()).read(dir.path()).helper(helper);
    assert!(!sh(&mut read_only.command("sh"), "touch x").output().unwrap().status.success());
    let full = Sandbox::full_access(dir.path()).helper(helper);
    assert!(sh(&mut full.command("sh"), "touch x").output().unwrap().status.success());
    assert!(dir.path().join("x").exists());
}

#[test]
fn the_exit_code_is_the_commands_own() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let code = |script| sh(&mut workspace(dir.path()).command("sh"), script).status().unwrap().code();
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -9 $$"), Some(137));
    let mut missing = workspace(dir.path()).env("PATH", "/usr/bin:/bin").command("no-such-program-here");
    assert_eq!(missing.stderr(Stdio::null()).status().unwrap().code(), Some(127));
}

#[test]
fn the_outcome_tells_what_was_refused_and_whether_there_was_a_sandbox() {
    use ringfence::outcome::Ending;
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    // Not in /tmp, which is private.
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let target = outside.path().join("planted").to_str().unwrap().to_owned();
    let sandbox = workspace(dir.path());
    let script = format!("echo hi; touch {target}; exit 125");
    let (output, outcome) = sh(&mut sandbox.clone().explain().command("sh"), &script).outcome().unwrap();
    assert_eq!((output.stdout.as_slice(), &outcome.ending), (b"hi\n".as_slice(), &Ending::Exit { code: 125 }));
    let [denial] = outcome.denials.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((denial.what.as_str(), denial.certain), (target.as_str(), true));
    assert_eq!(denial.remedy.as_ref().unwrap().flag, format!("--write {}", outside.path().display()));
    // A rule of the caller's would have to go: no other helps.
    let read = sandbox.clone().read(outside.path()).explain();
    let (_, outcome) = sh(&mut read.command("sh"), &script).outcome().unwrap();
    assert!(outcome.denials[0].remedy.is_none(), "{outcome:?}");
    // The control: that flag.
    let (_, outcome) = sh(&mut sandbox.write(outside.path()).explain().command("sh"), &script).outcome().unwrap();
    assert!(outcome.denials.is_empty() && std::path::Path::new(&target).exists(), "{outcome:?}");
    let missing = workspace(dir.path()).write("/none/at/all");
    let (_, outcome) = missing.command("true").outcome().unwrap();
    assert!(matches!(&outcome.ending, Ending::Failed { error, .. } if error.contains("/none/at/all")), "{outcome:?}");
}

#[test]
fn one_sandbox_serves_many_commands_from_many_threads() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let sandbox = workspace(dir.path());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for round in 0..3 {
                    let script = format!("echo {n}.{round} | tee file{n}");
                    assert_eq!(
                        text(&sh(&mut sandbox.command("sh"), &script).output().unwrap()),
                        format!("{n}.{round}\n")
                    );
                }
            });
        }
    });
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    // Nothing but what the commands made: no placeholder is left.
    assert_eq!(names, (0..8).map(|n| format!("file{n}").into()).collect::<Vec<std::ffi::OsString>>());
}

#[test]
fn arguments_and_paths_need_not_be_utf8_nor_look_harmless() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"--od\xff\n d");
    let path = dir.path().join(odd);
    std::fs::create_dir(&path).unwrap();
    let sandbox = Sandbox::workspace_write(&path).helper(env!("CARGO_BIN_EXE_ringfence"));
    let output = sandbox.command("printf").arg("%s").arg(odd).output().unwrap();
    assert_eq!(output.stdout, odd.as_bytes(), "{output:?}");
    assert!(sh(&mut sandbox.command("sh"), "echo > made").status().unwrap().success());
    assert!(path.join("made").exists());
    // Relative, and with a dash in front: still a path, not an option.
    let plan = workspace(dir.path()).read("--config").command("true").plan();
    assert!(plan.as_ref().err().is_none_or(|error| error.to_string().contains("--config")), "{plan:?}");
}

#[test]
fn streams_are_the_callers() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let mut command = workspace(dir.path()).command("tr");
    let mut child = command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"loud").unwrap();
    let mut loud = String::new();
    child.stdout.take().unwrap().read_to_string(&mut loud).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(loud, "LOUD");
}

#[test]
fn killing_the_child_ends_the_command() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let mut command = workspace(dir.path()).command("sh");
    let mut child = sh(&mut command, "echo started; sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut byte = [0];
    out.read_exact(&mut byte).unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // The pipe closes only when the command, its last writer, is dead.
    let began = Instant::now();
    out.read_to_end(&mut Vec::new()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_timeout_ends_the_command_with_124() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let mut command = workspace(dir.path()).timeout(Duration::from_millis(300)).command("sleep");
    assert_eq!(command.arg("1000").stderr(Stdio::null()).status().unwrap().code(), Some(124));
}

#[test]
fn variables_are_set_passed_and_cleared_and_their_values_are_not_on_the_command_line() {
    need_sandboxes!();
    let dir = tempfile::tempdir().unwrap();
    let sandbox = workspace(dir.path()).env("API_TOKEN", "s3cret").env("HOME", "/nowhere").env("PLAIN", "a=b");
    let script = "echo $API_TOKEN $HOME $PLAIN; read line";
    let mut command = sandbox.command("sh");
    let mut child = sh(&mut command, script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!line.windows(6).any(|part| part == b"s3cret"), "{}", String::from_utf8_lossy(&line));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output), "s3cret /nowhere a=b\n");

    let cleared = workspace(dir.path()).env_clear().env("PATH", "/usr/bin:/bin").env("ONLY", "1");
    let names = text(&cleared.command("env").output().unwrap());
    assert!(names.contains("ONLY=1") && !names.contains("CARGO"), "{names}");
}

#[test]
fn the_plan_names_what_is_granted_and_who_asked() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = workspace(dir.path()).device("/dev/fuse").net(Net::Host).tmp(Tmp::Host).gpu(Gpu::Off);
    let sandbox = if Path::new("/dev/fuse").exists() { sandbox } else { workspace(dir.path()).device("/dev/null") };
    let plan = sandbox.command("true").plan().unwrap();
    assert!(plan.contains("device ") && plan.contains("because --device"), "{plan}");
    let json: serde_json::Value = serde_json::from_str(&sandbox.command("true").plan_json().unwrap()).unwrap();
    assert_eq!(json["command"][0], "true");
}

#[test]
fn an_openshell_policy_and_landlock_alone_can_be_asked_for() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let policy = dir.path().join("policy.yaml");
    let network = "network_policies: {a: {endpoints: [{host: a.example.net, port: 443}], binaries: [{path: /bin/x}]}}";
    std::fs::write(
        &policy,
        format!("version: 1\nfilesystem_policy: {{read_only: [/usr, /bin, /lib, /lib64]}}\n{network}\n"),
    )
    .unwrap();
    let refused = workspace(dir.path()).config(&policy).command("true").plan().unwrap_err().to_string();
    assert!(refused.contains("net.binary_identity_unavailable"), "{refused}");
    let sandbox = workspace(dir.path()).config(&policy).allow_unenforced();
    let sandbox = sandbox.backend(Backend::Landlock).landlock(Landlock::BestEffort);
    let plan = sandbox.command("true").plan().unwrap();
    assert!(
        plan.contains("Landlock and system calls alone") && plan.contains("net.binary_identity_unavailable"),
        "{plan}"
    );
}

#[test]
fn hosts_and_ports_are_granted_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    let sandbox = workspace(dir.path()).net(Net::Allow).allow_host("*.example.net:443").deny_host("a.example.net");
    let sandbox = sandbox.http_method("GET").http_method("HEAD").transparent().no_unix();
    let sandbox = sandbox.publish(18080, 8080).expose_host(5432, 15432).log(log.path());
    let plan = sandbox.command("true").plan().unwrap();
    for line in ["allow *.example.net:443", "deny a.example.net", "by GET HEAD", "127.0.0.1:53", "18080 for port 8080"]
    {
        assert!(plan.split_whitespace().collect::<Vec<_>>().join(" ").contains(line), "{line}: {plan}");
    }
    assert!(plan.contains("15432") && plan.contains("5432"), "{plan}");
    need_sandboxes!();
    let ask = "import os,socket,urllib.parse as u; p=u.urlparse(os.environ['HTTP_PROXY']); s=socket.create_connection((\
               p.hostname,p.port)); s.sendall(b'CONNECT a.example.net:443 HTTP/1.1\\r\\n\\r\\n'); print(s.recv(99)[:12])";
    let output = text(&sandbox.command("python3").args(["-c", ask]).output().unwrap());
    assert_eq!(output, "b'HTTP/1.1 403'\n");
    let events = std::fs::read_to_string(log.path()).unwrap();
    assert!(events.contains("a.example.net"), "{events}");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_that_names_the_wish() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = workspace(dir.path()).gpu(Gpu::Indices(vec![97]));
    let error = sandbox.command("true").plan().unwrap_err().to_string();
    assert!(error.contains("GPU") && error.contains("needed by: --gpu 97"), "{error}");
    let output = sandbox.command("true").output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    // Auto is quiet where there is none.
    assert!(workspace(dir.path()).gpu(Gpu::Auto).command("true").plan().is_ok());
}

#[test]
fn a_helper_that_is_missing_is_told_with_the_cure() {
    let mut command = Sandbox::read_only("/").helper("/nowhere/ringfence").command("true");
    let error = command.status().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("/nowhere/ringfence") && text.contains("Sandbox::helper"), "{text}");
    assert!(command.plan().unwrap_err().to_string().contains("/nowhere/ringfence"));
}

#[test]
fn a_name_that_no_variable_can_have_is_an_error() {
    for name in ["", "A=B"] {
        let error = workspace(Path::new("/")).env(name, "x").command("true").spawn().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{name:?}");
    }
}

/// The engines that there are here; of those that `RINGFENCE_MUST` names, and the first, none is skipped.
fn engines() -> Vec<Backend> {
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    let works = |engine: &Backend| {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let output = workspace(dir.path()).backend(*engine).command("true").output().unwrap();
        let needed = *engine == Backend::Native || must.split(',').any(|need| need == engine.name());
        assert!(output.status.success() || !needed, "{engine:?}: {output:?}");
        if !output.status.success() {
            eprintln!("SKIPPED: {engine:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    };
    [Backend::Native, Backend::Bwrap, Backend::Landlock].into_iter().filter(works).collect()
}

/// A directory with a workspace in it, and a sandbox whose helper keeps sessions there; no other test of this program looks.
fn with_sessions(engine: Backend) -> (tempfile::TempDir, Sandbox) {
    // Not in /tmp, which Landlock alone keeps away.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let (runtime, work, helper) = (dir.path().join("run"), dir.path().join("work"), dir.path().join("helper"));
    std::fs::create_dir(&runtime).unwrap();
    mode(&runtime, 0o700);
    let program = env!("CARGO_BIN_EXE_ringfence");
    let script = format!("#!/bin/sh\nexport XDG_RUNTIME_DIR={}\nexec {program} \"$@\"\n", runtime.display());
    std::fs::write(&helper, script).unwrap();
    mode(&helper, 0o755);
    std::fs::create_dir(&work).unwrap();
    let sandbox = Sandbox::workspace_write(&work).backend(engine).helper(&helper).env("SET_TOKEN", "value");
    (dir, sandbox)
}

#[test]
fn a_session_runs_many_commands_with_one_policy_and_ends_with_its_value() {
    need_sandboxes!();
    let (dir, sandbox) = with_sessions(Backend::Native);
    let (runtime, work) = (dir.path().join("run"), dir.path().join("work"));
    let session = sandbox.start().unwrap();
    let run = |script: &str| text(&sh(&mut session.command("sh"), script).output().unwrap());
    assert_eq!(run("echo kept > /tmp/file; pwd; echo $SET_TOKEN"), format!("{}\nvalue\n", work.display()));
    assert_eq!(run("cat /tmp/file"), "kept\n");
    let outside = dir.path().join("outside");
    session.command("touch").arg(&outside).output().unwrap();
    assert!(!outside.exists());
    assert!(std::process::Command::new("touch").arg(&outside).status().unwrap().success() && outside.exists());
    let mut child = session.command("sleep").arg("1000").spawn().unwrap();
    session.stop().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(std::fs::read_dir(runtime.join("ringfence")).unwrap().next().is_none(), "nothing of it is left");
    let error = sandbox.write("/no/such/place").start().unwrap_err().to_string();
    assert!(error.contains("/no/such/place"), "{error}");
}

#[test]
fn a_session_is_asked_without_a_process_in_between() {
    need_sandboxes!();
    engines().into_iter().for_each(is_asked_without_a_process);
}

fn is_asked_without_a_process(engine: Backend) {
    let (dir, sandbox) = with_sessions(engine);
    let work = dir.path().join("work");
    let session = sandbox.start().unwrap();
    let run = |script: &str| session.exec("sh").args(["-c", script]).output().unwrap();

    let output = run("pwd; echo $SET_TOKEN; cat; readlink /proc/self/fd/0 >&2; exit 3");
    let written = String::from_utf8_lossy(&output.stdout);
    assert_eq!(written, format!("{}\nvalue\n", work.display()));
    assert_eq!((output.stderr.as_slice(), output.status.code()), (&b"/dev/null\n"[..], Some(3)));
    assert_eq!(run("kill -USR1 $$").status.signal(), Some(10));

    let mut counted = session.exec("sh");
    counted
        .args(["-c", "wc -c; pwd; echo $A_KEY"])
        .input(vec![7; 200_000])
        .current_dir("/usr")
        .env("A_KEY", "of this one");
    assert_eq!(text(&counted.output().unwrap()), "200000\n/usr\nof this one\n");
    let much = run("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    assert_eq!((much.stdout.len(), much.stderr.len()), (1_000_000, 1_000_000));

    // It ends with the command, whatever that has left, and nothing of it stays.
    let before = std::time::Instant::now();
    assert_eq!(text(&run("sleep 1000.25 & sleep 0.1; echo done")), "done\n");
    assert!(before.elapsed() < std::time::Duration::from_secs(100));
    assert_eq!(text(&run("pgrep -xf 'sleep 1000.25' | wc -l")), "0\n");

    let outside = dir.path().join("outside");
    session.exec("touch").arg(&outside).output().unwrap();
    assert!(!outside.exists());
    assert!(std::process::Command::new("touch").arg(&outside).status().unwrap().success() && outside.exists());
    assert_eq!(text(&run("test -w /proc/self/fd/1 && echo pipe")), "pipe\n");

    let missing = session.exec("no-such-program").output().unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(missing.to_string().contains("no-such-program"), "{missing}");
    for name in ["", "A=B"] {
        let bad = session.exec("true").env(name, "x").output().unwrap_err();
        assert_eq!(bad.kind(), std::io::ErrorKind::InvalidInput, "{name:?}");
    }
    let bad = session.exec("echo").arg("zero\0").output().unwrap_err();
    assert_eq!(bad.kind(), std::io::ErrorKind::InvalidInput);
    let refused = session.exec("true").current_dir("/no/such/place").output().unwrap_err().to_string();
    assert!(refused.contains("/no/such/place"), "{refused}");
    session.stop().unwrap();
}

#[test]
fn a_command_of_a_session_ends_with_its_time_and_with_the_session() {
    need_sandboxes!();
    engines().into_iter().for_each(ends_with_its_time_and_with_the_session);
}

fn ends_with_its_time_and_with_the_session(engine: Backend) {
    let (dir, sandbox) = with_sessions(engine);
    let session = sandbox.start().unwrap();
    let time = std::time::Duration::from_millis(200);
    let output = session.exec("sh").args(["-c", "echo first; sleep 1000"]).timeout(time).output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"first\n"[..], Some(124)));
    // Who does not end by TERM ends by KILL.
    let mut stubborn = session.exec("sh");
    stubborn.args(["-c", "trap '' TERM; while :; do sleep 1; done"]).timeout(time);
    assert_eq!(stubborn.output().unwrap().status.code(), Some(124));
    // Many at once, from threads of this program.
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..16)
            .map(|number| {
                let session = &session;
                scope.spawn(move || text(&session.exec("echo").arg(number.to_string()).output().unwrap()))
            })
            .collect();
        for (number, started) in started.into_iter().enumerate() {
            assert_eq!(started.join().unwrap(), format!("{number}\n"));
        }
    });
    // Without namespaces nobody can listen on a socket.
    if engine != Backend::Landlock {
        who_holds_its_pipe_keeps_nobody_waiting(&session);
    }
    std::thread::scope(|scope| {
        let flag = dir.path().join("work/runs");
        let script = format!("touch {}; sleep 1000", flag.display());
        let session = &session;
        let command = scope.spawn(move || session.exec("sh").args(["-c", &script]).output().unwrap());
        while !flag.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut stop = std::process::Command::new(dir.path().join("helper"));
        assert!(stop.args(["session", "stop", session.name()]).status().unwrap().success());
        let ended = command.join().unwrap().status;
        assert!(ended.signal().is_some(), "{ended}");
    });
    let gone = session.exec("true").output().unwrap_err().to_string();
    assert!(gone.contains("there is no session") && gone.contains(session.name()), "{gone}");
}

/// Somebody else in the session, who lets go when the command has been told of as ended: else its time would be over.
fn who_holds_its_pipe_keeps_nobody_waiting(session: &ringfence::Session) {
    std::thread::scope(|scope| {
        let socket = "import os, socket, time\ns = socket.socket(socket.AF_UNIX)\nat = '/tmp/socket'\n";
        let takes = format!(
            "{socket}s.bind(at); s.listen(); c = s.accept()[0]; f = socket.recv_fds(c, 1, 1)\n\
             while not os.path.exists('/tmp/told'): time.sleep(0.01)"
        );
        let gives = format!(
            "{socket}while s.connect_ex(at): time.sleep(0.01)\nos.write(1, b'given'); socket.send_fds(s, [b'x'], [1])"
        );
        let time = Duration::from_secs(20);
        let taker = scope.spawn(move || session.exec("python3").args(["-c", &takes]).timeout(time).output().unwrap());
        let giver = session.exec("python3").args(["-c", &gives]).output().unwrap();
        assert_eq!(text(&giver), "given");
        assert!(session.exec("touch").arg("/tmp/told").output().unwrap().status.success());
        assert_eq!(taker.join().unwrap().status.code(), Some(0));
    });
}
