//! A program that is its own helper.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops where something is wrong"
)]

use ringfence::Sandbox;

fn main() {
    ringfence::dispatch();
    // Only the real test starts commands: lists (`--list`) are for test runners.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::workspace_write(dir.path());
    let plan = sandbox.command("true").plan().unwrap();
    assert!(plan.contains(dir.path().to_str().unwrap()), "{plan}");
    let output = sandbox.command("sh").args(["-c", "echo $0", "made by itself"]).output().unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("create namespaces") {
        let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
        assert!(!must.split(',').any(|need| need == "userns"), "{output:?}");
        eprintln!("SKIPPED: user namespaces are forbidden here");
        return;
    }
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"made by itself\n".as_slice()),
        "{output:?}"
    );
    println!("test a_program_is_its_own_helper ... ok");
}
