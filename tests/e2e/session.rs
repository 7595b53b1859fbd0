//! Sessions: one sandbox for many commands. Each command has what it would have in a sandbox of its own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::lab::{Lab, Need, Ran, Sandbox, signal, until};
use crate::limits::is_old;

const NONE: [&str; 0] = [];

/// A session of a lab, by its options.
struct Session<'a> {
    lab: &'a Lab,
}

impl<'a> Session<'a> {
    fn start(lab: &'a Lab, engine: &str, options: &[&str]) -> Self {
        run_directory(lab);
        let session = Self { lab };
        session.ringfence(["session", "start", "s", "--backend", engine].iter().chain(options)).assert_works();
        session
    }

    fn ringfence<'s>(&self, words: impl IntoIterator<Item = &'s &'s str>) -> Ran {
        ringfence(self.lab, words)
    }

    /// `ringfence exec`, with these options.
    fn exec(&self, options: &[&str]) -> Sandbox<'a> {
        // As a wrapper: `"$@"` is the command.
        let words = [&["exec"], options, &["s", "--"]].concat();
        let script = format!("exec \"$RINGFENCE\" {} \"$@\"", words.join(" "));
        let sandbox = self.lab.sandbox(NONE).without();
        let binary = sandbox.binary().to_owned();
        sandbox.env("RINGFENCE", binary).env("XDG_RUNTIME_DIR", self.lab.path("run")).by(&script)
    }

    fn stop(self) {
        self.ringfence(&["session", "stop", "s"]).assert_works();
        assert!(!self.lab.exists("run/ringfence/s"), "nothing of it is left");
        until("no process of the session is left", || self.lab.processes().is_empty());
        assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&self.lab.path("work")));
    }
}

fn run_directory(lab: &Lab) {
    lab.dir("run");
    lab.chmod("run", 0o700);
}

fn ringfence<'s>(lab: &Lab, words: impl IntoIterator<Item = &'s &'s str>) -> Ran {
    let sandbox = lab.sandbox(NONE).without();
    let binary = sandbox.binary().to_string_lossy().into_owned();
    let words = words.into_iter().map(|word| (*word).to_owned());
    sandbox.env("XDG_RUNTIME_DIR", lab.path("run")).run([binary].into_iter().chain(words).collect::<Vec<_>>())
}

/// A field of a process's status.
fn of(pid: i32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
    line.unwrap_or_default().trim().to_owned()
}

/// The processes of a lab that are no part of the session itself.
fn commands(lab: &Lab) -> Vec<i32> {
    lab.processes()
        .into_iter()
        .filter(|pid| !["ringfence", "bwrap", ""].contains(&of(*pid, "Name:").as_str()))
        .collect()
}

/// Every lab with each of its engines.
fn each(needs: &[Need], check: impl Fn(&Lab, &'static str)) {
    for lab in Lab::every_user(&[needs, &[Need::Tool("bash")]].concat()) {
        for engine in lab.engines() {
            check(&lab, engine);
        }
    }
}

#[test]
fn a_command_has_what_it_has_in_a_sandbox_of_its_own() {
    let show = "grep -E '^(Sig[A-Z][a-z]|Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status; ulimit -Ha; ulimit -a; umask; \
        sed 's/^[0-9]* [0-9]* //; s/^0:[0-9]* \\/[0-9]* /private /; s/^0:[0-9]* //; s/bindfile[^/]*/bindfile/' /proc/self/mountinfo | \
        grep -v '/ringfence/s/socket\\| - devpts'; \
        ls -l /proc/self/fd | sed 's/.*[0-9] \\([0-9] ->\\)/\\1/; s/pipe:.*/pipe/' | grep -v '3 ->'; \
        env | grep -v '^_=\\|^RINGFENCE_LAB\\|^XDG_RUNTIME\\|^RINGFENCE=/' | sort; cat /proc/self/oom_score_adj; \
        id; readlink /proc/self/exe; nice; pwd";
    each(&[Need::Tool("python3")], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let cold = lab.sandbox(NONE).backend(engine).env("XDG_RUNTIME_DIR", lab.path("run")).bash(show);

        let (cold, warm) = (cold.stdout(), session.exec(&[]).bash(show).stdout());
        // But the scratch directories of Landlock alone, and sockets of other labs, which come and go meanwhile.
        let others = |line: &str| line.contains("/ringfence-e2e-") && !line.contains(&lab.path(""));
        let left_out = |line: &&str| others(line) || engine == "landlock" && line.contains("/ringfence-");
        let lines = |text: &str| text.lines().filter(|line| !left_out(line)).map(String::from).collect::<Vec<_>>();
        assert_eq!(lines(&warm), lines(&cold), "{engine}");
        assert!(warm.contains("Seccomp:\t2\n") && warm.contains("NoNewPrivs:\t1\n"), "{warm}");
        session.stop();
    });
}

#[test]
fn the_walls_stand_for_every_command() {
    each(&[Need::Tool("python3")], |lab, engine| {
        let outside = lab.file("home/notes", "mine");
        let session = Session::start(lab, engine, &[]);
        for _ in 0..2 {
            session.exec(&[]).sh("echo x > made && cat made").assert_prints("x");
            let refused = session.exec(&[]).sh(&format!("echo x > {outside}"));
            assert!(refused.code() != 0 && lab.content("home/notes") == "mine", "{refused}");
            for file in ["1/environ", "1/mem", "1/fd/0", "2/environ", "2/mem"] {
                let inside = session.exec(&[]).sh(&format!("read x < /proc/{file}"));
                assert!(inside.code() != 0, "{engine} {file}: {inside}");
            }
            let call = "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); print(l.unshare(0x10000000), ctypes.get_errno() > 0)";
            session.exec(&[]).python(call).assert_prints("-1 True");
            let connect =
                "import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('1.1.1.1', 80)) != 0)";
            session
                .exec(&[])
                .sh(&format!("python3 -c \"{connect}\" 2>&1 | tail -1 | grep -q 'True\\|denied\\|permitted'"))
                .assert_works();
        }
        assert!(!lab.outside(&format!("echo x > {outside}")).stderr().contains("denied"), "the control");
        session.stop();
    });
}

#[test]
fn exit_codes_streams_and_directories_are_the_command_s_own() {
    each(&[], |lab, engine| {
        lab.dir("work/below");
        let session = Session::start(lab, engine, &[]);
        for code in [0, 1, 37] {
            session.exec(&[]).sh(&format!("exit {code}")).assert_code(code);
        }
        session.exec(&[]).sh("kill -SEGV $$").assert_code(139);
        session.exec(&[]).run(["no-such-program"]).assert_code(127).assert_says("`no-such-program` was not found");
        session.exec(&["--cd", "below"]).run(["pwd"]).assert_prints(&lab.path("work/below"));
        session.exec(&[]).cwd(lab.path("work/below")).run(["pwd"]).assert_prints(&lab.path("work/below"));
        session
            .exec(&["--cd", "/none"])
            .run(["pwd"])
            .assert_code(125)
            .assert_says("enter the working directory `/none`");
        session.exec(&[]).typing("typed").run(["cat"]).assert_prints("typed");
        let ran = session.exec(&[]).sh("echo out; echo err >&2");
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out", "err\n"));
        session.exec(&["--timeout", "200ms"]).run(["sleep", "100"]).assert_code(124).assert_says("--timeout");
        session.exec(&["--timeout", "30s"]).sh("exit 3").assert_code(3);
        session.stop();
    });
}

#[test]
fn a_file_to_read_is_read_and_no_more() {
    each(&[], |lab, engine| {
        let file = lab.file("home/notes", "mine");
        lab.chmod("home/notes", 0o600);
        let session = Session::start(lab, engine, &[]);
        let from = || File::open(&file).unwrap();
        session.exec(&[]).input(from()).run(["cat"]).assert_prints("mine");
        session.exec(&[]).input(from()).run(["cat", "/dev/stdin"]).assert_prints("mine");
        let reopen = "(echo x > /proc/self/fd/0) 2>/dev/null; chmod 777 /proc/self/fd/0 2>/dev/null; cat";
        session.exec(&[]).input(from()).sh(reopen).assert_prints("mine");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        // Landlock alone keeps no mode: SECURITY.md says so.
        assert!(mode == 0o600 || engine == "landlock", "{mode:o} by {engine}");
        assert_eq!(lab.content("home/notes"), "mine");
        session.stop();
    });
}

#[test]
fn variables_are_the_caller_s_without_secrets_and_tmp_lives_as_long_as_the_session() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &["--env", "PASSED_TOKEN"]);
        let show = "echo \"${GH_TOKEN-none} ${PASSED_TOKEN-none} ${PLAIN-none}\"";
        let exec = |options: &[&str]| {
            session.exec(options).env("GH_TOKEN", "secret").env("PASSED_TOKEN", "p").env("PLAIN", "x").sh(show)
        };
        exec(&[]).assert_prints("none p x");
        exec(&["--env", "GH_TOKEN", "--env", "PLAIN=y"]).assert_prints("secret p y");
        let display = |options: &[&str]| session.exec(options).env("DISPLAY", ":7").sh("echo ${DISPLAY-none}");
        display(&[]).assert_prints("none");
        display(&["--env", "DISPLAY"]).assert_prints(":7");
        session.exec(&["--env", "=x"]).run(["true"]).assert_code(125).assert_says("is not a variable name");
        let ran = session.exec(&[]).env("GH_TOKEN", "secret").sh("false GH_TOKEN || exec false GH_TOKEN");
        ran.assert_says("--env GH_TOKEN lets it through");
        session.exec(&[]).sh("echo kept > ${TMPDIR:-/tmp}/file").assert_works();
        session.exec(&[]).sh("cat ${TMPDIR:-/tmp}/file").assert_prints("kept");
        session.stop();
        let session = Session::start(lab, engine, &[]);
        session.exec(&[]).sh("cat ${TMPDIR:-/tmp}/file").assert_code(1);
        session.stop();
    });
}

#[test]
fn what_a_command_left_running_ends_with_it_and_no_other_does() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let other = session.exec(&[]).waiting().start(["sh", "-c", "echo ready; read x; echo done"]);
        other.wait_for("ready");
        let before = commands(lab);
        assert!(!before.is_empty(), "{engine}: the control");
        let daemon = "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid; while :; do sleep 1; done' >/dev/null 2>&1 &) ; \
            until [ -s pid ]; do sleep 0.01; done; exit 5";
        session.exec(&[]).sh(daemon).assert_code(5);
        until("what the command left is gone", || commands(lab) == before);
        other.finish().assert_prints("ready\ndone");
        session.stop();
    });
}

#[test]
fn a_command_ends_with_who_asked_for_it() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let script = "(setsid sleep 1000 &); trap '' TERM HUP INT; echo ready; sleep 1000";
        let running = session.exec(&[]).waiting().start(["sh", "-c", script]);
        running.wait_for("ready");
        assert!(!commands(lab).is_empty(), "{engine}: the control");
        signal(running.pid(), Signal::KILL);
        running.finish().assert_code(137);
        until("its command is gone, with all that it has started", || commands(lab).is_empty());
        session.exec(&[]).sh("echo alive").assert_prints("alive");
        let running = session.exec(&[]).waiting().start([
            "sh",
            "-c",
            "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
        ]);
        running.wait_for("ready");
        running.signal(Signal::TERM);
        running.finish().assert_code(7);
        session.stop();
    });
}

#[test]
fn whatever_becomes_of_a_keeper_its_command_ends_and_the_session_goes_on() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        for how in [Signal::KILL, Signal::STOP] {
            let script = "(setsid sleep 1000 &); echo ready; sleep 1000";
            let running = session.exec(&["--timeout", "1s"]).waiting().start(["sh", "-c", script]);
            running.wait_for("ready");
            // The keeper is what the session's init has started: the parent of the shell.
            let shell = commands(lab).into_iter().find(|pid| of(*pid, "Name:") == "sh");
            let keeper: i32 = of(shell.unwrap(), "PPid:").parse().unwrap();
            assert_ne!(keeper, running.pid(), "the shell has a keeper");
            assert_eq!(of(keeper, "Seccomp:") == "2", engine != "landlock", "{engine}: it is behind the filter too");
            signal(keeper, how);
            let code = running.finish().code();
            assert_eq!(code, if how == Signal::KILL { 137 } else { 124 }, "{engine} {how:?}");
            until("nothing of it is left", || commands(lab).is_empty());
        }
        session.exec(&[]).sh("echo alive").assert_prints("alive");
        session.stop();
    });
}

#[test]
fn whatever_becomes_of_the_keeper_that_stands_ready_the_next_command_runs() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let running = session.exec(&[]).waiting().start(["sh", "-c", "echo ready; read x; echo done"]);
        running.wait_for("ready");
        let shell = commands(lab).into_iter().find(|pid| of(*pid, "Name:") == "sh").unwrap();
        let keeper = of(shell, "PPid:");
        let init = of(keeper.parse().unwrap(), "PPid:");
        // Not all of them have the environment of the lab.
        let all = || {
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        };
        let ready = || all().find(|pid: &i32| of(*pid, "PPid:") == init && pid.to_string() != keeper);
        for how in [Signal::KILL, Signal::STOP, Signal::STOP] {
            until("one stands ready", || ready().is_some());
            let hit = ready().unwrap();
            signal(hit, how);
            session.exec(&[]).sh("echo alive").assert_prints("alive");
            until("it is gone", || of(hit, "Name:").is_empty());
        }
        running.finish().assert_prints("ready\ndone");
        session.stop();
    });
}

#[test]
fn a_session_without_room_says_so_and_goes_on_when_there_is_some() {
    let fill = "import os, time\n\
         end, full = time.monotonic() + 4, False\n\
         while time.monotonic() < end:\n\
         \x20 try:\n\
         \x20   if os.fork() == 0: time.sleep(100)\n\
         \x20 except OSError:\n\
         \x20   if not full: print('full', flush=True)\n\
         \x20   full = True\n";
    // Of others, each command has a limit of its own, which the session does not.
    let labs = Lab::as_root(&[Need::UserNamespaces, Need::Tool("python3"), Need::Tool("bash")]);
    for lab in labs.into_iter().filter(Lab::is_native).filter(|_| !is_old()) {
        let session = Session::start(&lab, "native", &["--pids", "400"]);
        let running = session.exec(&[]).waiting().start(["python3", "-c", fill]);
        running.wait_for("full");
        for _ in 0..4 {
            let ran = session.exec(&[]).sh("echo alive");
            assert!(ran.code() == 125 && ran.stderr().contains("Resource temporarily unavailable"), "{ran}");
        }
        running.finish().assert_code(0);
        session.exec(&[]).sh("echo alive").assert_prints("alive");
        session.stop();
    }
}

#[test]
fn a_session_ends_with_all_that_runs_in_it() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let asked = session.exec(&[]).waiting().start([
            "sh",
            "-c",
            "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
        ]);
        let deaf = session.exec(&[]).waiting().start([
            "sh",
            "-c",
            "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done",
        ]);
        asked.wait_for("ready");
        deaf.wait_for("ready");
        session.stop();
        let asked = asked.finish();
        asked.assert_code(3);
        assert_eq!(asked.stdout(), "ready\nasked");
        deaf.finish().assert_code(137);
        let session = Session::start(lab, engine, &["--timeout", "300ms"]);
        session.exec(&[]).waiting().run(["sleep", "100"]).assert_code(143);
        until("the session's time is over", || !lab.exists("run/ringfence/s"));
        ringfence(lab, &["session", "stop", "s"]).assert_code(125);
    });
}

#[test]
fn a_session_does_not_outlive_its_keeper_and_its_name_is_free_again() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let running = session.exec(&[]).waiting().start(["sh", "-c", "trap '' TERM HUP; echo ready; sleep 1000"]);
        running.wait_for("ready");
        let list = session.ringfence(&["session", "list"]).stdout();
        let keeper: i32 = list.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(list.starts_with("s ") && list.contains(engine) && list.ends_with(&lab.path("work")), "{list}");
        signal(keeper, Signal::KILL);
        running.finish().assert_code(137);
        until("everything is gone", || lab.processes().is_empty());
        session.ringfence(&["session", "list"]).assert_prints("");
        session.exec(&[]).run(["true"]).assert_code(125).assert_says("there is no session `s`");
        let session = Session::start(lab, engine, &[]);
        session.exec(&[]).sh("echo again").assert_prints("again");
        session.stop();
    });
}

#[test]
fn what_cannot_be_is_said_with_the_cure_and_leaves_nothing() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let start = |words: &[&str]| session.ringfence([&["session", "start"], words].concat().iter());
        start(&["s"]).assert_code(125).assert_says("session `s` runs already");
        start(&["../x"]).assert_code(125).assert_says("is no name for a session");
        start(&["t", "--", "true"]).assert_code(125).assert_says("started without a command");
        start(&["t", "-s", "full-access"]).assert_code(125).assert_says("keeps nothing");
        start(&["t", "--write", "/no/such/path"]).assert_code(125).assert_says("/no/such/path");
        session.ringfence(&["exec", "t", "--", "true"]).assert_code(125).assert_says("there is no session `t`");
        session.ringfence(&["session", "stop", "t"]).assert_code(125).assert_says("there is no session `t`");
        assert!(!lab.exists("run/ringfence/t"), "what did not start left nothing");
        lab.chmod("run", 0o755);
        session.exec(&[]).run(["true"]).assert_code(125).assert_says("can be entered by others (mode 755)");
        lab.chmod("run", 0o700);
        session.stop();
    });
}

#[test]
fn only_the_user_reaches_a_session_and_no_command_inside_does() {
    let knock = |path: &str| {
        format!(
            "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5); s.connect('{path}'); \
            \ntry: s.send(b'J'); print('heard', len(s.recv(100)))\nexcept (ConnectionResetError, BrokenPipeError): print('heard 0')"
        )
    };
    each(&[Need::Tool("python3")], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        let path = lab.path("run/ringfence/s/socket");
        let control = lab.sandbox(NONE).without().python(&knock(&path));
        assert!(
            control.stdout().starts_with("heard ") && control.stdout() != "heard 0",
            "its user is told why not: {control}"
        );
        let inside = session.exec(&[]).python(&knock(&path));
        assert!(inside.code() != 0, "{engine}: {inside}");
        // Nor one of another session, which was not there yet when this one was made.
        session.ringfence(&["session", "start", "t", "--backend", engine]).assert_works();
        let other = lab.path("run/ringfence/t/socket");
        assert!(lab.sandbox(NONE).without().python(&knock(&other)).stdout().starts_with("heard "), "the control");
        let inside = session.exec(&[]).python(&knock(&other));
        assert!(inside.code() != 0, "{engine}: {inside}");
        session.ringfence(&["session", "stop", "t"]).assert_works();
        let mode = |name: &str| std::fs::metadata(lab.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("run/ringfence"), 0o700);
        assert_eq!(mode("run/ringfence/s"), 0o700);
        if !lab.user.is_root() && rustix::process::getuid().is_root() {
            // Root gets to the socket, and is not the user.
            let other = std::process::Command::new("python3").args(["-c", &knock(&path)]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&other.stdout).trim(), "heard 0", "{other:?}");
        }
        session.stop();
    });
}

#[test]
fn a_tied_session_ends_with_who_holds_its_input() {
    each(&[], |lab, engine| {
        run_directory(lab);
        let start = || {
            let sandbox = lab.sandbox(NONE).without();
            let binary = sandbox.binary().to_string_lossy().into_owned();
            let words = [&binary, "session", "start", "--tied", "--backend", engine, "s"];
            sandbox.env("XDG_RUNTIME_DIR", lab.path("run")).waiting().start(words)
        };
        let tied = start();
        tied.wait_for("\n");
        let session = Session { lab };
        session.exec(&[]).sh("echo here").assert_prints("here");
        let deaf = session.exec(&[]).waiting().start([
            "sh",
            "-c",
            "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done",
        ]);
        deaf.wait_for("ready");
        // From a terminal, say: what does not listen to it has two seconds.
        tied.signal(Signal::INT);
        deaf.finish().assert_code(137);
        drop(tied.finish());
        let tied = start();
        tied.wait_for("\n");
        // Its input ends.
        tied.finish().assert_works();
        assert!(!lab.exists("run/ringfence/s"));
        until("nothing is left", || lab.processes().is_empty());
    });
}

#[test]
fn descriptors_are_passed_on_by_number() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        lab.file("work/seven", "in seven");
        let around =
            "exec 3<&0 7<seven 200>two; exec \"$RINGFENCE\" exec --pass-fd 7 --pass-fd 200 --pass-fd 3 s -- \"$@\"";
        let ran =
            session.exec(&[]).by(around).typing("in three").bash("cat <&7; cat <&3; echo out >&200; ls /proc/self/fd");
        ran.assert_works();
        assert!(ran.stdout().starts_with("in sevenin three0\n1\n2\n200\n"), "{ran}");
        assert_eq!(lab.content("work/two"), "out\n");
        // Whatever numbers they have on the way, each gets its own.
        let numbers = ["9", "4", "6", "3", "8", "5", "7"];
        let opened: Vec<_> = numbers.iter().map(|number| format!("{number}<<<{number}")).collect();
        let asked: Vec<_> = numbers.iter().map(|number| format!("--pass-fd {number}")).collect();
        let around = format!("exec {}; exec \"$RINGFENCE\" exec {} s -- \"$@\"", opened.join(" "), asked.join(" "));
        let read = "for fd in 3 4 5 6 7 8 9; do cat <&$fd; done";
        session.exec(&[]).by(&around).bash(read).assert_prints("3\n4\n5\n6\n7\n8\n9");
        session.exec(&["--pass-fd", "9"]).run(["true"]).assert_code(125).assert_says("pass on `descriptor 9`");
        session.stop();
    });
}

#[test]
fn many_commands_run_at_once_and_in_a_row() {
    each(&[], |lab, engine| {
        let session = Session::start(lab, engine, &[]);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let session = &session;
                scope.spawn(move || {
                    for turn in 0..12 {
                        let said = format!("{thread} {turn}");
                        session.exec(&[]).run(["echo", &said]).assert_prints(&said);
                    }
                });
            }
        });
        session.stop();
    });
}
