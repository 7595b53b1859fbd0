//! Where a container forbids namespaces and mounts: the engine that is chosen by itself.

use super::{NONE, alone, labs};
use crate::lab::{Lab, Need, Sandbox};

/// Starts a command as a container would: no capability, no namespaces, no mounts, a filter already on.
const CONTAINED: &str = r"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
eperm, enosys, allow = 0x50001, 0x50026, 0x7fff0000
denied = [272, 308, 165, 166, 155, 428, 429, 430, 431, 432, 433, 442]  # unshare, setns, mount and their kin
ops = [(0x20, 0, 0, 0)]
for call in denied: ops += [(0x15, 0, 1, call), (6, 0, 0, eperm)]
ops += [(0x15, 0, 1, 435), (6, 0, 0, enosys)]  # clone3
ops += [(0x15, 0, 3, 56), (0x20, 0, 0, 16), (0x45, 0, 1, 0x7e020000), (6, 0, 0, eperm), (6, 0, 0, allow)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *op) for op in ops))
class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('p', ctypes.c_void_p)]
program = Program(len(ops), ctypes.addressof(code))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0
os.execvp(sys.argv[1], sys.argv[1:])
";

/// The ways into a container that this user has.
fn containers(lab: &Lab) -> Vec<String> {
    let script = lab.file("contained.py", CONTAINED);
    let plain = format!("exec python3 {script} \"$@\"");
    let mut all = vec![plain];
    if lab.user.is_root() {
        let all_caps = "setpriv --bounding-set -all --inh-caps -all";
        all.push(format!("exec {all_caps} python3 {script} \"$@\""));
        all.push(format!(
            "exec unshare --mount --propagation private bash -c 'mount --bind /proc /proc && mount -o remount,bind,ro /proc && \
             exec {all_caps} python3 {script} \"$@\"' bash \"$@\""
        ));
    }
    all
}

fn auto<'a>(lab: &'a Lab, options: &[&str], by: &str) -> Sandbox<'a> {
    lab.sandbox(options).backend("auto").by(by)
}

#[test]
fn it_is_chosen_works_and_says_why() {
    for lab in labs(&[Need::Tool("setpriv")]) {
        lab.file("home/.ssh/id", "secret");
        let key = lab.path("home/.ssh/id");
        let beside = lab.path("other-new");
        for by in containers(&lab) {
            auto(&lab, &[], &by).sh("echo in > made && cat made").assert_prints("in");
            auto(&lab, &[], &by).sh(&format!("cat {key}")).assert_refused_for(&key);
            auto(&lab, &[], &by).sh(&format!("echo x > {beside}")).assert_refused();
            auto(&lab, &[], &by).sh("mkdir .git; sleep 0.2").assert_code(125);
            super::clean(&lab);
            auto(&lab, &[], &by).sh("exit 7").assert_code(7);
            auto(&lab, &["--timeout", "300ms"], &by).sh("sleep 100").assert_code(124);
            let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
            let plan = lab.sandbox(NONE).without().by(&by).run([binary.as_str(), "plan", "--", "true"]);
            plan.assert_works();
            let told = plan.stdout();
            assert!(told.contains("enforced by Landlock") && told.contains("native"), "{told}");
            // The control: the container really forbids them.
            for backend in ["native", "bwrap"] {
                let ran = lab.sandbox(NONE).backend(backend).by(&by).run(["true"]);
                assert_eq!(ran.code(), 125, "{ran}");
            }
            // The host's network is not given by itself: its sockets could not be kept away.
            auto(&lab, &["--net", "host"], &by).run(["true"]).assert_error("sockets of the host");
        }
        alone(&lab, NONE).run(["true"]).assert_works();
    }
}

#[test]
fn programs_work_there() {
    let needs = [Need::Tool("setpriv"), Need::Tool("git"), Need::Tool("cc")];
    for lab in labs(&needs) {
        lab.file("repo/file", "x");
        lab.outside("cd ../repo && git init -q && git add file && git -c user.name=n -c user.email=e commit -qm x")
            .assert_works();
        let repo = lab.path("repo");
        lab.file("work/hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
        for by in containers(&lab) {
            auto(&lab, &[], &by).python("import subprocess, threading; t = threading.Thread(target=print, args=['thread']); t.start(); t.join(); print(subprocess.check_output(['echo', 'child']).decode())").assert_prints("thread\nchild");
            auto(&lab, &[], &by).sh("cc -o hello hello.c && ./hello && rm hello").assert_prints("hello");
            let status = format!(
                "git -c safe.directory='*' -C {repo} status --short && git -c safe.directory='*' -C {repo} log --oneline | wc -l"
            );
            auto(&lab, &[], &by).sh(&status).assert_prints("1");
        }
    }
}
