//! Making, replacing and ending processes.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The caller, with the new process and a descriptor of it.
    Parent(Pid, OwnedFd),
}

/// Forks with new namespaces (clone3(2)); `namespaces` are `CLONE_NEW*` bits.
///
/// The caller must have no other thread: the child gets a copy of this one only, and a lock held by another would stay
/// locked. Only the `ringfence` binary comes here, and it starts no thread; the library starts that binary.
///
/// Where `clone3` does not exist or a filter says so, as in containers and in our own sandboxes, `clone` does the same.
///
/// # Errors
/// `EPERM` when user namespaces are forbidden, `ENOSPC` when there are too many.
pub fn fork_into(namespaces: u64) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args is valid: it is plain data, and zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: `args` is a live local of the size passed. Without CLONE_VM and with stack 0 this is a fork: the child
    // runs on a copy of this stack and memory. `pidfd` is a live local that the kernel writes in the parent.
    let mut pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        let flags = args.flags | args.exit_signal;
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above; with CLONE_PIDFD the third argument is where the kernel stores the descriptor, on both
        // architectures, and the other two are not used.
        pid = unsafe { libc::syscall(libc::SYS_clone, flags, null, &raw mut pidfd, null, null) };
    }
    // A negative number is no process: `Pid` refuses it with a panic where debug assertions are on.
    match i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) {
        // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
        Some(pid) => Ok(Forked::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ if pid == 0 => Ok(Forked::Child),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tries something in new namespaces, in a process that ends at once. `namespaces` are `CLONE_NEW*` bits.
///
/// # Errors
/// As [`fork_into`], or what the attempt said.
pub fn try_inside(namespaces: i32, attempt: impl FnOnce() -> Result<(), Errno>) -> io::Result<()> {
    match fork_into(u64::from(namespaces.cast_unsigned()))? {
        Forked::Child => exit_now(attempt().map_or_else(Errno::raw_os_error, |()| 0)),
        Forked::Parent(pid, _) => result_of(pid),
    }
}

/// Tries something in a process that ends at once, and waits no longer than this for it: what keeps a driver busy cannot
/// always be killed, but left alone.
///
/// # Errors
/// As [`fork_into`], what the attempt said, or `ETIMEDOUT`.
pub fn try_for(limit: Duration, attempt: impl FnOnce() -> Result<(), Errno>) -> io::Result<()> {
    try_telling(limit, (limit, &|| {}), attempt)
}

/// As [`try_for`], and calls a function where it takes longer than a while.
///
/// # Errors
/// As [`try_for`].
pub fn try_telling(
    limit: Duration,
    (while_, tell): (Duration, &dyn Fn()),
    attempt: impl FnOnce() -> Result<(), Errno>,
) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (pid, pidfd) = match fork_into(0)? {
        Forked::Child => exit_now(attempt().map_or_else(Errno::raw_os_error, |()| 0)),
        Forked::Parent(pid, pidfd) => (pid, pidfd),
    };
    let too_long = |time: Duration| {
        let wait = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&wait)) == Ok(0)
    };
    let quick = while_.min(limit);
    let slow = too_long(quick);
    if slow {
        tell();
    }
    if slow && too_long(limit - quick) {
        super::ignore(super::signal::send(pid.as_raw_nonzero().get(), false, libc::SIGKILL));
        return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    result_of(pid)
}

/// What the process of an attempt has ended with.
fn result_of(pid: Pid) -> io::Result<()> {
    let ended = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::empty()))?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.unwrap_or(libc::EPERM))),
    }
}

/// Moves the calling thread into a new network namespace (unshare(2)); its other namespaces stay as they are.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` when there are too many.
pub fn own_network() -> io::Result<()> {
    // SAFETY: unshare takes an integer. A new network namespace changes nothing that this process has in memory, and
    // open sockets stay in the old one.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The user namespace that has rights over another namespace (ioctl_ns(2), `NS_GET_USERNS`).
///
/// # Errors
/// `EPERM` when it lies outside the caller's user namespace.
pub fn owner_of_namespace(namespace: &OwnedFd) -> Result<OwnedFd, Errno> {
    // SAFETY: the opcode takes no argument and returns a descriptor, as NoArgGetter says of it.
    unsafe { rustix::ioctl::ioctl(namespace, GetOwner) }
}

struct GetOwner;

// SAFETY: NS_GET_USERNS reads and writes no memory of the caller; what it returns is a new descriptor, close-on-exec,
// that nobody else owns.
unsafe impl rustix::ioctl::Ioctl for GetOwner {
    type Output = OwnedFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        /// `NSIO` of linux/nsfs.h.
        const GROUP: u8 = 0xb7;
        rustix::ioctl::opcode::none(GROUP, 1)
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(fd: rustix::ioctl::IoctlOutput, _: *mut rustix::ffi::c_void) -> Result<OwnedFd, Errno> {
        // SAFETY: the call has succeeded, so this is the descriptor that it made.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Has the program that a command starts inherit a descriptor under its number.
pub fn inherit(command: &mut std::process::Command, fd: OwnedFd) {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let give = move || {
        // SAFETY: numbers only, no memory; the closure owns `fd`, so it is open.
        let kept = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
        if kept < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec the closure makes one call that is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(give) };
}

/// Ends this process at once: no destructors, no exit handlers, no flushing of buffers copied by fork.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces this process (execve(2)); returns only when that failed.
///
/// # Errors
/// As execve(2).
pub fn execute(path: &CStr, argv: &[CString], environment: &[CString]) -> io::Result<Infallible> {
    let argv = null_terminated(argv);
    let environment = null_terminated(environment);
    // SAFETY: all three are NUL-terminated strings; the two arrays end with a null pointer and point to strings that
    // the borrows keep alive; the kernel copies them before it drops this memory.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    Err(io::Error::last_os_error())
}

fn null_terminated(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// Waits for any child without blocking: its id and raw wait status (waitpid(2) with WNOHANG and WUNTRACED).
#[must_use]
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live local that the kernel writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        if pid >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return (pid > 0).then_some((pid, status));
        }
    }
}

/// The caller's process group; `None` when its leader is outside of the caller's PID namespace, where the kernel says 0
/// (as for what a container engine starts). rustix takes it for a valid number.
#[must_use]
pub fn own_group() -> Option<Pid> {
    // SAFETY: takes no argument and cannot fail.
    Pid::from_raw(unsafe { libc::getpgrp() })
}
