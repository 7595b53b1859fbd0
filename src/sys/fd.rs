//! Descriptors.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Closes all descriptors from `first` to `last`, both included (close_range(2)).
///
/// # Errors
/// `ENOSYS` before Linux 5.9.
pub fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the call takes three integers. Closing descriptors that Rust objects own would be a logic error of the
    // caller, not memory unsafety; the callers are processes that exec or that list what they keep.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the table of descriptors be as large as it will have to be; where it cannot be, it grows later or not at all.
pub fn make_room(any: BorrowedFd<'_>, count: u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    if let Ok(last) = RawFd::try_from(count.min(limit.saturating_sub(1))) {
        drop(rustix::io::fcntl_dupfd_cloexec(any, last));
    }
}

/// Closes one descriptor that nobody in this process uses any more: a copy of what its maker owns.
///
/// # Errors
/// As close_range(2).
pub fn close(fd: RawFd) -> io::Result<()> {
    u32::try_from(fd).map_or_else(|_| Err(io::ErrorKind::InvalidInput.into()), |fd| close_range(fd, fd))
}

/// Closes all descriptors from `first` on but the ones to keep.
///
/// # Errors
/// As [`close_range`].
pub fn close_all_but(mut first: u32, keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    for kept in keep.into_iter().chain([u32::MAX]) {
        if kept > first {
            close_range(first, kept.saturating_sub(1))?;
        }
        first = kept.saturating_add(1).max(first);
    }
    Ok(())
}

/// Makes `target` another name of `fd`, open across exec (dup2(2)).
///
/// # Errors
/// As dup2(2).
pub fn duplicate_onto(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    if fd.as_raw_fd() == target {
        return keep_across_exec(target);
    }
    // SAFETY: dup2 takes two integers and touches no memory of this process.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), target) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens `/dev/null` in the place of closed standard streams, so that nothing else gets their numbers.
///
/// # Errors
/// As open(2).
pub fn fill_standard_streams() -> io::Result<()> {
    for number in 0..=2 {
        if borrow_if_open(number).is_none() {
            // The lowest free number is this one; it must stay open across exec.
            let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
            let _kept = std::os::fd::IntoRawFd::into_raw_fd(null);
        }
    }
    Ok(())
}

/// Puts `/dev/null` in the place of a descriptor.
///
/// # Errors
/// As open(2) and dup2(2).
pub fn replace_by_null(target: RawFd) -> io::Result<()> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    duplicate_onto(std::os::fd::AsFd::as_fd(&null), target)
}

/// Clears `FD_CLOEXEC`.
///
/// # Errors
/// `EBADF` when the descriptor is closed.
pub fn keep_across_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: fcntl with F_SETFD takes integers only.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Borrows a descriptor by number, if it is open.
#[must_use]
pub fn borrow_if_open(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD takes integers only.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: just seen open. Standard streams and descriptors that the user passes by number are never closed by this
    // process while it still looks at them, so the borrow does not outlive them.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes a descriptor that the kernel just returned.
pub(super) fn own(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the caller passes the return value of a system call that makes a new descriptor, which nobody else
        // owns yet.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes over a descriptor that this process was started with; it will not cross another exec.
///
/// # Errors
/// `EBADF` when there is none of this number, or it is a standard stream.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    if fd <= 2 || borrow_if_open(fd).is_none() {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and was opened by the program that this process was before: no object here owns it yet. The
    // callers adopt each number once, first thing.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(owned.as_fd(), rustix::io::FdFlags::CLOEXEC)?;
    Ok(owned)
}

/// Asks a driver for something that few know (ioctl(2) with `_IO(0xae, 0)`, in which KVM tells its version), to see
/// whether it is asked at all. It takes no argument and changes nothing.
///
/// # Errors
/// `ENOTTY` or `EINVAL` of a driver that does not know it; `EACCES` where Landlock lets no driver be asked.
pub fn ask_driver(fd: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    const QUESTION: libc::Ioctl = 0xae00;
    // SAFETY: the number says that there is no argument, and 0 is passed for it: a driver that reads one nevertheless
    // finds no address in it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), QUESTION, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
