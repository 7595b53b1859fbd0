//! The real kernel: each probe runs in a child process once with the filter and once without, as the control.

use super::compile;
use crate::plan::syscalls::{Modes, plan};
use crate::sys::seccomp::probe::{self, NullCall};
use crate::sys::seccomp::{Listener, load_filter, load_filter_with_listener};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::{env, fs, io, thread};

/// Tells the child what to do, and that it is one: `<filter or control>:<probes or i386>:<directory>`.
const TASK: &str = "RINGFENCE_SECCOMP_PROBE";

const OK: i32 = 0;

/// Runs this test binary again, with nothing but the test `child`.
fn child_process(filter: &str, what: &str, dir: &Path) -> ExitStatus {
    let name = concat!(module_path!(), "::child");
    let name = name.split_once("::").unwrap().1;
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--test-threads=1"]);
    command.env(TASK, format!("{filter}:{what}:{}", dir.to_str().unwrap())).output().unwrap().status
}

/// Not a test of its own: what the other tests start in a process of its own.
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let mut task = task.splitn(3, ':');
    let mut next = || task.next().unwrap();
    let (filter, what, dir) = (next(), next(), next());
    if filter == "filter" {
        rustix::thread::set_no_new_privs(true).unwrap();
        load_filter(compile(&plan(Modes::STRICT)).unwrap().instructions()).unwrap();
    }
    match what {
        "probes" => fs::write(Path::new(dir).join("report"), report(&probes(Path::new(dir)))).unwrap(),
        #[cfg(target_arch = "x86_64")]
        "i386" => assert!(probe::getpid_as_i386() > 0),
        other => panic!("no task {other}"),
    }
}

fn report(probes: &[(&str, io::Result<()>)]) -> String {
    let line = |(name, result): &(&str, io::Result<()>)| match result {
        Ok(()) => format!("{name} {OK}\n"),
        Err(error) => format!("{name} {}\n", error.raw_os_error().unwrap_or(-1)),
    };
    probes.iter().map(line).collect()
}

/// Runs every probe; the name of each is what the expectations below are written in.
fn probes(dir: &Path) -> Vec<(&'static str, io::Result<()>)> {
    let path = |name: &str| CString::new(dir.join(name).as_os_str().as_bytes()).unwrap();
    let create = libc::O_CREAT | libc::O_WRONLY;
    fs::write(dir.join("file"), "").unwrap();
    vec![
        ("unshare", probe::with_nulls(NullCall::Unshare)),
        ("clone3", probe::with_nulls(NullCall::Clone3)),
        ("openat2", probe::with_nulls(NullCall::Openat2)),
        ("keyctl", probe::with_nulls(NullCall::Keyctl)),
        ("process_vm_readv", probe::with_nulls(NullCall::ProcessVmReadv)),
        ("chmod-755", probe::chmod(&path("file"), 0o755)),
        ("chmod-4755", probe::chmod(&path("file"), 0o4755)),
        ("chmod-4755-garbage", probe::chmod(&path("file"), 0xffff_ffff_0000_0000 | 0o4755)),
        ("open-create-644", probe::open(&path("plain"), create, 0o644)),
        ("open-create-2755", probe::open(&path("setgid"), create, 0o2755)),
        ("open-tmpfile-4755", probe::open(&path("."), libc::O_TMPFILE | libc::O_RDWR, 0o4755)),
        ("open-existing-garbage", probe::open(&path("file"), libc::O_RDONLY, 0o6755)),
        ("mknod-fifo", probe::mknod(&path("fifo"), libc::S_IFIFO | 0o600)),
        ("mknod-setuid", probe::mknod(&path("suid"), libc::S_IFREG | 0o4755)),
        ("socket-unix", probe::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)),
        ("socket-inet", probe::socket(libc::AF_INET, libc::SOCK_STREAM, 0)),
        ("socket-route", probe::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)),
        ("socket-uevent", probe::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT)),
        ("socket-vsock", probe::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        ("thread", thread::Builder::new().spawn(|| ()).map(|thread| thread.join().unwrap())),
        ("exec", Command::new("/bin/true").status().map(|status| assert!(status.success()))),
        ("thread-unshare", thread::spawn(|| probe::with_nulls(NullCall::Unshare)).join().unwrap()),
        #[cfg(target_arch = "x86_64")]
        ("x32-getpid", probe::with_nulls(NullCall::X32Getpid)),
    ]
}

/// What a child found, by probe.
fn results(filter: &str) -> BTreeMap<String, i32> {
    let dir = tempfile::tempdir().unwrap();
    let status = child_process(filter, "probes", dir.path());
    assert!(status.success(), "the child with {filter}: {status}");
    let report = fs::read_to_string(dir.path().join("report")).unwrap();
    let line = |line: &str| line.split_once(' ').map(|(name, errno)| (name.to_owned(), errno.parse().unwrap()));
    report.lines().filter_map(line).collect()
}

/// Whether the tests themselves run below a filter, as in most containers: it may refuse the same before ours does.
fn already_filtered() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line == "Seccomp:\t2")
}

#[test]
fn the_kernel_refuses_what_the_table_refuses_and_nothing_more() {
    let (with, without) = (results("filter"), results("control"));
    let refused = [
        ("unshare", libc::EPERM),
        ("thread-unshare", libc::EPERM),
        ("clone3", libc::ENOSYS),
        ("openat2", libc::ENOSYS),
        ("keyctl", libc::EPERM),
        ("process_vm_readv", libc::EPERM),
        ("chmod-4755", libc::EPERM),
        ("chmod-4755-garbage", libc::EPERM),
        ("open-create-2755", libc::EPERM),
        ("open-tmpfile-4755", libc::EPERM),
        ("mknod-setuid", libc::EPERM),
        ("socket-uevent", libc::EPERM),
        ("socket-vsock", libc::EPERM),
    ];
    for (probe, errno) in refused {
        assert_eq!(with[probe], errno, "{probe} with the filter");
        let proven = without[probe] != errno || already_filtered();
        assert!(proven, "{probe} proves nothing: the same without the filter");
    }
    let granted = [
        "chmod-755",
        "open-create-644",
        "open-existing-garbage",
        "mknod-fifo",
        "socket-unix",
        "socket-inet",
        "socket-route",
        "thread",
        "exec",
    ];
    for probe in granted {
        assert_eq!((with[probe], without[probe]), (OK, OK), "{probe}");
    }
    // No control: most kernels have no x32.
    #[cfg(target_arch = "x86_64")]
    assert_eq!(with["x32-getpid"], libc::ENOSYS);
}

/// A filter holds for the thread that loads it, so one thread asks and another answers.
#[test]
fn a_call_that_asks_waits_until_it_may_go_on_or_gets_a_descriptor() {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let (sender, receiver) = mpsc::channel();
    let asking = thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let program = compile(&plan(Modes { names_threads: true, ..Modes::STRICT })).unwrap();
        sender.send(load_filter_with_listener(program.instructions()).unwrap()).unwrap();
        let write = || fs::OpenOptions::new().write(true).open("/nonexistent/file");
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::NotFound);
        // Nobody is asked about reading, nor where a row refuses.
        fs::read("/proc/self/comm").unwrap();
        let made = probe::open(c"/nonexistent/file", libc::O_CREAT | libc::O_WRONLY, 0o4755);
        assert_eq!(made.unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(write().unwrap().metadata().unwrap().file_type().is_char_device());
        let second = load_filter_with_listener(program.instructions()).unwrap_err();
        assert_eq!(second.raw_os_error(), Some(libc::EBUSY));
        rustix::thread::gettid().as_raw_nonzero().get()
    });
    let listener = Listener::new(receiver.recv().unwrap()).unwrap();
    let call = listener.receive().unwrap();
    assert!(listener.is_waiting(call.id) && !listener.is_waiting(call.id + 1));
    listener.let_go_on(call.id).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    // EINPROGRESS as long as the caller has not yet taken notice.
    let gone = |result: io::Result<()>| {
        assert!([libc::ENOENT, libc::EINPROGRESS].contains(&result.unwrap_err().raw_os_error().unwrap()));
    };
    gone(listener.give(call.id, null.as_fd(), true));
    gone(listener.let_go_on(call.id));
    let call = listener.receive().unwrap();
    listener.give(call.id, null.as_fd(), true).unwrap();
    assert!(!listener.is_waiting(call.id));
    assert_eq!(call.tid, asking.join().unwrap());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernel_kills_on_the_32_bit_entry() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    let control = child_process("control", "i386", dir.path());
    let filtered = child_process("filter", "i386", dir.path());
    // A kernel without 32-bit programs ends the control, too, before any filter is asked.
    let signal = if control.success() { Some(libc::SIGSYS) } else { control.signal() };
    assert!(signal.is_some());
    assert_eq!(filtered.signal(), signal);
}
