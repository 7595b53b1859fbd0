//! Tests that mount do it in a mount namespace of their own, which takes the mounts along when it ends.

use std::any::type_name_of_val;
use std::io::Write as _;
use std::process::Command;

use super::{Need, User, need};

/// Names the test that a process was started for.
const INSIDE: &str = "RINGFENCE_E2E_PRIVATE";

/// Runs the body of a test in a fresh process with private mounts: the test binary is started again for this test only.
/// Needs root.
pub fn in_private_mounts(body: impl Fn()) {
    // `e2e::devices::a_test::{{closure}}`
    let name = type_name_of_val(&body).split_once("::").unwrap().1.trim_end_matches("::{{closure}}").to_owned();
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    if !need::all_met(&[Need::Root, Need::Tool("unshare")], User::Caller) {
        return;
    }
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    let ended = again.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(INSIDE, &name).output().unwrap();
    // What was told past the capture of that run goes past the capture of this one.
    drop(std::io::stderr().write_all(&ended.stderr));
    let told = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(ended.status.success() && told.contains("1 passed"), "{told}");
}
