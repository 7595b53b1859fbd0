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
    applied(ops.into_iter().chain(inside(&top)).collect()).unwrap();
    let read = |path: &str| fs::read_to_string(top.join(path)).unwrap();
    assert_eq!((read("file"), read("directory/kept")), ("shown\n".to_owned(), "kept".to_owned()));
    assert!(read("directory/made") == large && read("/proc/version") == "of our own\n");
    for path in ["file", "directory/made", "/proc/version"] {
        // Not by permissions, which do not keep this user away.
        let opened = fs::OpenOptions::new().append(true).open(top.join(path));
        assert_eq!(opened.map(drop).map_err(|error| error.raw_os_error()), Err(Some(libc::EROFS)), "{path}");
    }
    for path in ["directory/new", "work/kept", "work/sub/new", "work/deep/kept"] {
        assert_eq!(written(&top.join(path)), Err(Some(libc::EROFS)), "{path}");
    }
    for path in ["work/other", "work/new", "work/deep/other"] {
        assert_eq!(written(&top.join(path)), Ok(()), "{path}");
    }
    assert_eq!(read("work/kept"), "kept", "and not emptied");
    // Not what was planned is under a name: nothing may be half protected.
    for (name, other) in [("kept", "other"), ("deep/kept", "deep/other")] {
        let work = op(top.join("work"), bound(&top.join("work"), true));
        let swapped = op(top.join("work").join(name), bound(&top.join("work").join(other), false));
        assert!(applied(vec![work, swapped]).is_err_and(|error| error.is_stale()), "{name}");
    }
}

fn applied(ops: Vec<MountOp>) -> Result<(), StepError> {
    apply(&MountPlan { root: RootView::HostReadOnly, ops, tmpfs_size: None }, &mut |_| Ok(()))
}

fn bound(path: &Path, writable: bool) -> Mount {
    let stat = rustix::fs::stat(path).unwrap();
    let dir = kind_of(&stat) == Kind::Dir;
    Mount::Bind { id: Some(id_of(&stat)), dir, writable, make: false }
}

/// A writable directory with entries that are read-only.
fn inside(top: &Path) -> Vec<MountOp> {
    let one = |name: &str, writable| op(top.join(name), bound(&top.join(name), writable));
    vec![one("work", true), one("work/deep/kept", false), one("work/kept", false), one("work/sub", false)]
}

fn written(path: &Path) -> Result<(), Option<i32>> {
    fs::File::create(path).map(drop).map_err(|error| error.raw_os_error())
}

#[test]
fn content_of_its_own_is_shown_and_the_hosts_stays() {
    let around = tempfile::tempdir().unwrap();
    let top = around.path().canonicalize().unwrap();
    for name in ["directory", "work/sub", "work/deep"] {
        fs::create_dir_all(top.join(name)).unwrap();
    }
    let files = ["directory/kept", "directory/other", "work/kept", "work/other", "work/deep/kept", "work/deep/other"];
    for (name, text) in [("file", "host's")].into_iter().chain(files.map(|name| (name, "kept"))) {
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
