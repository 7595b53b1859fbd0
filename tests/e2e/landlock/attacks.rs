//! What a hostile command would try.

use std::process::Command;

use super::{NONE, alone, check, labs};
use crate::lab::{Lab, Need, eventually, in_private_mounts};

#[test]
fn what_is_denied_is_denied_by_every_mount_that_shows_it() {
    in_private_mounts(|| {
        for lab in labs(&[]) {
            let hidden = lab.file("t/hidden", "x");
            let beside = lab.file("t/beside", "x");
            let store = lab.file("t/store/file", "x");
            let bind = |from: &str, to: &str| {
                assert!(Command::new("mount").args(["--bind", from, to]).status().unwrap().success());
            };
            bind(&lab.path("t"), &lab.dir("whole"));
            bind(&lab.path("t/store"), &lab.dir("part"));
            let words = [
                format!("read:{hidden}"),
                format!("read:{store}"),
                format!("read:{}", lab.path("whole/hidden")),
                format!("read:{}", lab.path("whole/store/file")),
                format!("read:{}", lab.path("part/file")),
            ];
            let rules = ["--deny", &hidden, "--deny", &lab.path("t/store")].map(str::to_owned);
            let rules: Vec<_> = rules.iter().map(String::as_str).collect();
            let table: Vec<_> = words.iter().map(|word| (word.as_str(), "EACCES")).collect();
            check(&lab, &rules, &table);
            check(
                &lab,
                &rules,
                &[(&format!("read:{beside}"), "yes"), (&format!("read:{}", lab.path("whole/beside")), "yes")],
            );
            check(&lab, &[], &words.iter().map(|word| (word.as_str(), "yes")).collect::<Vec<_>>());
            for point in ["part", "whole"] {
                assert!(Command::new("umount").arg(lab.path(point)).status().unwrap().success());
            }
        }
    });
}

#[test]
fn a_second_name_of_a_home_is_told_and_gives_nothing() {
    in_private_mounts(|| {
        for lab in labs(&[]) {
            lab.file("home/.ssh/id", "secret");
            let second = lab.dir("second");
            assert!(Command::new("mount").args(["--bind", &lab.path("home"), &second]).status().unwrap().success());
            let ran = alone(&lab, NONE).run(super::START);
            super::assert_not_run(&lab, &ran);
            ran.assert_error("has this name too").assert_says(&second);
            assert!(Command::new("umount").arg(&second).status().unwrap().success());
            alone(&lab, NONE).run(super::START).assert_works();
        }
    });
}

#[test]
fn forking_without_end_outlives_nothing() {
    let script = r"
import os, signal
for number in range(24):
    if os.fork() == 0:
        os.setsid()
        for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(one, signal.SIG_IGN)
        while True:
            try: child = os.fork()
            except OSError: continue
            if child: os._exit(0)
os._exit(0)
";
    for lab in labs(&[]) {
        let ran = alone(&lab, NONE).python(script);
        assert!(ran.took.as_secs() < 60, "{ran}");
        assert!(eventually(|| lab.processes().is_empty()), "{}", lab.user);
    }
}

#[test]
fn calls_that_dig_below_are_refused() {
    let script = r"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
calls = {'unshare': (272, 0x10000000), 'userns': (56, 0x10000011, 0, 0, 0, 0), 'clone3': (435, buffer, 88), 'mount': (165, b'/', b'/mnt', None, 4096, None),
    'open_tree': (428, -100, b'/', 1), 'fsopen': (430, b'tmpfs', 0), 'chroot': (161, b'.'), 'pivot': (155, b'.', b'.'), 'bpf': (321, 0, buffer, 120),
    'perf': (298, buffer, 0, -1, -1, 0), 'uffd': (323, 0x80000), 'io_uring': (425, 8, buffer), 'keyctl': (250, 0, -3, 0), 'add_key': (248, b'user', b'x', b'y', 1, -3),
    'handle': (304, -100, buffer, 0), 'openat2': (437, -100, b'/etc/passwd', buffer, 24), 'fanotify': (300, 0, 0), 'setns': (308, 0, 0), 'syslog': (103, 3, buffer, 10),
    'suid': (90, b'file', 0o4755), 'device': (133, b'node', 0o20666, 0x103), 'quota': (179, 0, 0, 0, 0)}
open('file', 'w').close()
for name, call in calls.items():
    if libc.syscall(*call) != -1: print(name, 'worked')
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS): print(name, errno.errorcode[ctypes.get_errno()])
";
    for lab in labs(&[]) {
        alone(&lab, NONE).python(script).assert_prints("");
        alone(&lab, ["--allow", "ptrace", "--net", "host"]).python(script).assert_prints("");
    }
}

#[test]
fn two_sandboxes_in_one_workspace_see_nothing_of_each_other_but_its_files() {
    for lab in labs(&[]) {
        let first = alone(&lab, NONE).waiting().start(["sh", "-c", "echo pid=$$; echo ready; cat > /dev/null"]);
        first.wait_for("ready");
        let pid = first.printed().lines().find_map(|line| line.strip_prefix("pid=").map(str::to_owned)).unwrap();
        let look = format!(
            "kill -URG {pid}; cat /proc/{pid}/environ /proc/{pid}/fdinfo/0; readlink /proc/{pid}/fd/0; ls /proc/{pid}/root; echo x > /proc/{pid}/oom_score_adj"
        );
        let ran = alone(&lab, NONE).sh(&look);
        assert!(ran.code() != 0 && ran.stdout().is_empty(), "{ran}");
        alone(&lab, NONE).sh("echo x > shared").assert_works();
        drop(first.finish());
        assert_eq!(lab.content("work/shared"), "x\n");
        // Many at once, each with a directory of its own.
        let many = "for n in $(seq 8); do \"$@\" & done; wait";
        let ran = alone(&lab, NONE).by(many).sh("echo $TMPDIR");
        let mut places: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 8, "{ran}");
        places.iter().for_each(|place| super::assert_gone(place));
    }
}

#[test]
fn what_runs_from_memory_is_behind_the_same_wall() {
    let script = r"
import os, sys
fd = os.memfd_create('program', 0)
os.write(fd, open('/bin/cat', 'rb').read())
os.execv(f'/proc/self/fd/{fd}', ['cat', sys.argv[1]])
";
    for lab in labs(&[]) {
        let key = lab.file("home/.ssh/id", "secret");
        let plain = lab.file("other/plain", "plain");
        alone(&lab, NONE).run(["python3", "-c", script, &key]).assert_refused_for(&key);
        alone(&lab, NONE).run(["python3", "-c", script, &plain]).assert_prints("plain");
    }
}

#[test]
fn streams_open_nothing_that_is_hidden_or_more_than_they_are() {
    for lab in labs(&[Need::Tool("bash")]) {
        let key = lab.file("home/.ssh/id", "secret");
        let plain = lab.file("other/plain", "plain");
        alone(&lab, NONE).by(&format!("\"$@\" < {key}")).run(["cat"]).assert_code(125);
        alone(&lab, NONE).by(&format!("\"$@\" < {}", lab.path("home"))).run(["true"]).assert_code(125);
        alone(&lab, NONE).by(&format!("\"$@\" < {plain}")).run(["cat"]).assert_prints("plain");
        for script in ["echo x > /proc/self/fd/0", "echo x >> /dev/stdin", ": > /dev/stdin"] {
            alone(&lab, NONE).by(&format!("\"$@\" < {plain}")).sh(script).assert_refused();
        }
        assert_eq!(lab.content("other/plain"), "plain");
        let out = lab.file("other/out", "");
        alone(&lab, NONE).by(&format!("\"$@\" >> {out}")).sh("echo x").assert_works();
        assert_eq!(lab.content("other/out"), "x\n");
        alone(&lab, NONE).by(&format!("\"$@\" >> {out}")).sh("echo y > /dev/stdout").assert_refused();
    }
}

/// Whoever asks for the kernel's own dump program gets none.
#[test]
fn no_core_is_written() {
    for lab in labs(&[]) {
        let ran = alone(&lab, NONE).sh("ulimit -c; ulimit -Hc; ulimit -c unlimited; kill -SEGV $$");
        assert!(ran.stdout().starts_with("0\n0"), "{ran}");
        assert!(!files(&lab).iter().any(|name| name.starts_with("core")), "{ran}");
    }
}

fn files(lab: &Lab) -> Vec<String> {
    let entries = std::fs::read_dir(lab.path("work")).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_variable_does_not_make_the_host_s_tmp_a_private_one() {
    in_private_mounts(|| {
        assert!(Command::new("mount").args(["-t", "tmpfs", "none", "/tmp"]).status().unwrap().success());
        std::fs::write("/tmp/of-the-host", "x").unwrap();
        for lab in labs(&[]) {
            let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
            let read = "cat /tmp/of-the-host";
            alone(&lab, NONE).env("RINGFENCE", "1").sh(read).assert_refused_for("/tmp/of-the-host");
            alone(&lab, ["--tmp", "host"]).env("RINGFENCE", "1").sh(read).assert_prints("x");
            // The control: inside a sandbox of ours it is private already.
            let inner = [
                &binary,
                "run",
                "--backend",
                "landlock",
                "--",
                "sh",
                "-c",
                "echo in > /tmp/made; cat /tmp/made; ls /tmp",
            ];
            lab.sandbox(NONE).run(inner).assert_prints("in\nmade");
        }
    });
}

#[test]
fn a_descriptor_of_a_hidden_file_is_linked_nowhere() {
    let script = r"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_PATH)
for directory, name, flags in [(fd, b'', 0x1000), (-100, b'/proc/self/fd/%d' % fd, 0x400)]:
    print(libc.linkat(directory, name, -100, b'mine', flags) == 0)
";
    for lab in labs(&[]) {
        let secret = lab.file("home/.ssh/id", "secret");
        alone(&lab, NONE).run(["python3", "-c", script, &secret]).assert_prints("False\nFalse");
        assert!(!lab.exists("work/mine"));
        let control = lab.sandbox(NONE).without().run(["python3", "-c", script, &secret]).stdout();
        assert!(control.contains("True"), "{control}");
    }
}
