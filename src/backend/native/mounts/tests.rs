//! Content of the sandbox's own, in a mount namespace of the test's own: this test binary again, below unshare(1).

use std::fs;
use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::request::Origin;

/// Tells the child that it is one: the directory to work in.
const TASK: &str = "RINGFENCE_MOUNT_PROBE";

fn op(target: PathBuf, what: Mount) -> MountOp {
    MountOp { target, what, because: Origin::Baseline("test") }
}

fn data(text: &str, make: bool) -> Mount {
    Mount::Data { bytes: text.into(), make }
}

/// Not a test of its own: what the other one starts in a mount namespace of its own.
#[test]
fn child() {
    let Ok(top) = std::env::var(TASK).map(PathBuf::from) else { return };
    let large = "x".repeat(300_000);
    let ops = vec![
        op(top.join("file"), data("shown\n", false)),
        op(top.join("directory"), Mount::Tmpfs { mode: 0o555, make: false }),
        op(top.join("directory/kept"), Mount::Bind { id: None, dir: false, writable: false, make: true }),
        op(top.join("directory/made"), data(&large, true)),
        op(top.join("directory"), Mount::Seal),
        op("/proc/version".into(), data("of our own\n", false)),
    ];
    apply(&MountPlan { root: RootView::HostReadOnly, ops, tmpfs_size: None }, &mut |_| Ok(())).unwrap();
    let read = |path: &str| fs::read_to_string(top.join(path)).unwrap();
    assert_eq!((read("file"), read("directory/kept")), ("shown\n".to_owned(), "kept".to_owned()));
    assert!(read("directory/made") == large && read("/proc/version") == "of our own\n");
    for path in ["file", "directory/made", "/proc/version"] {
        // Not by permissions, which do not keep this user away.
        let opened = fs::OpenOptions::new().append(true).open(top.join(path));
        assert_eq!(opened.map(drop).map_err(|error| error.raw_os_error()), Err(Some(libc::EROFS)), "{path}");
    }
    let made = fs::File::create(top.join("directory/new")).map(drop).map_err(|error| error.raw_os_error());
    assert_eq!(made, Err(Some(libc::EROFS)));
}

#[test]
fn content_of_its_own_is_shown_and_the_hosts_stays() {
    let around = tempfile::tempdir().unwrap();
    let top = around.path().canonicalize().unwrap();
    fs::create_dir(top.join("directory")).unwrap();
    for (name, text) in [("file", "host's"), ("directory/kept", "kept"), ("directory/other", "")] {
        fs::write(top.join(name), text).unwrap();
    }
    let name = concat!(module_path!(), "::child");
    let unshare = |program: &std::path::Path| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--propagation", "private"]).arg(program);
        command
    };
    if !unshare(Path::new("true")).output().is_ok_and(|tried| tried.status.success()) {
        let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
        assert!(!must.split(',').any(|name| name == "userns"), "RINGFENCE_MUST=userns: unshare makes no namespaces");
        // Past the capture of the test harness.
        let told = fs::OpenOptions::new().append(true).open("/dev/stderr");
        drop(
            told.map(|mut told| {
                writeln!(told, "SKIPPED a mount of content: no user namespaces (RINGFENCE_MUST=userns)")
            }),
        );
        return;
    }
    let mut again = unshare(&std::env::current_exe().unwrap());
    again.args([name.split_once("::").unwrap().1, "--exact", "--test-threads=1", "--nocapture"]).env(TASK, &top);
    let ended = again.output().unwrap();
    let told = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(ended.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(fs::read_to_string(top.join("file")).unwrap(), "host's");
    assert!(!top.join("directory/made").exists());
}
