//! Kernels without Landlock, and sandboxes around this one that forbid it: nothing is enforced by halves.

use super::{NONE, START, alone, assert_not_run, labs};
use crate::lab::Lab;

const CREATE_RULESET: u32 = 444;
const ADD_RULE: u32 = 445;
const RESTRICT_SELF: u32 = 446;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EOPNOTSUPP: u32 = 95;

/// A prefix that runs a command where a system call fails.
fn failing(lab: &Lab, call: u32, errno: u32) -> String {
    let script = format!(
        "import ctypes, os, struct, sys\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         ops = [(0x20, 0, 0, 0), (0x15, 0, 1, {call}), (6, 0, 0, 0x50000 | {errno}), (6, 0, 0, 0x7fff0000)]\n\
         code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *op) for op in ops))\n\
         class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('p', ctypes.c_void_p)]\n\
         program = Program(len(ops), ctypes.addressof(code))\n\
         assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0\n\
         os.execvp(sys.argv[1], sys.argv[1:])\n"
    );
    let path = lab.file(format!("failing-{call}-{errno}.py").as_str(), &script);
    format!("python3 {path} \"$@\"")
}

#[test]
fn without_landlock_nothing_runs_that_needs_it() {
    for lab in labs(&[]) {
        for errno in [ENOSYS, EOPNOTSUPP, EPERM] {
            let by = failing(&lab, CREATE_RULESET, errno);
            for mode in ["read-only", "workspace-write"] {
                for effort in [&[][..], &["--landlock", "required"], &["--landlock", "best-effort"]] {
                    let ran = alone(&lab, [&["-s", mode], effort].concat()).by(&by).run(START);
                    assert_not_run(&lab, &ran);
                    ran.assert_error("needs ABI ").assert_says("this kernel has 0");
                }
            }
            let ran = lab.sandbox(["--landlock", "required"]).by(&by).run(START);
            assert_not_run(&lab, &ran);
            ran.assert_says("Landlock").assert_says("--landlock");
            let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
            let plan = lab.sandbox(NONE).without().by(&by).run([binary.as_str(), "plan", "--", "true"]);
            plan.assert_works();
            assert!(plan.stdout().contains("this kernel has no Landlock wall"), "{plan}");
            lab.sandbox(NONE).by(&by).run(START).assert_works();
            std::fs::remove_file(lab.path("work/started")).unwrap();
        }
    }
}

#[test]
fn a_wall_that_cannot_be_raised_ends_the_run() {
    for lab in labs(&[]) {
        for call in [ADD_RULE, RESTRICT_SELF] {
            let by = failing(&lab, call, EPERM);
            for effort in [&[][..], &["--landlock", "best-effort"]] {
                let ran = alone(&lab, effort).by(&by).run(START);
                assert_not_run(&lab, &ran);
                ran.assert_error("landlock");
                let ran = lab.sandbox(effort).by(&by).run(START);
                assert_not_run(&lab, &ran);
            }
        }
        alone(&lab, NONE).run(START).assert_works();
    }
}
