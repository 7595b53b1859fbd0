//! Kernels without Landlock, and sandboxes around this one that forbid it: nothing is enforced by halves.

use super::{NONE, START, alone, assert_not_run, labs};
use crate::kernels::{ENOSYS, LANDLOCK_CREATE_RULESET, failing};

const ADD_RULE: u32 = 445;
const RESTRICT_SELF: u32 = 446;

const EPERM: u32 = 1;
const EOPNOTSUPP: u32 = 95;

#[test]
fn without_landlock_nothing_runs_that_needs_it() {
    for lab in labs(&[]) {
        for errno in [ENOSYS, EOPNOTSUPP, EPERM] {
            let by = failing(&lab, LANDLOCK_CREATE_RULESET, errno);
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
