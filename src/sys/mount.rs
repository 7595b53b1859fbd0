//! Mount attributes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Changes the attributes of a mount and, with `recursive`, of all mounts below it (mount_setattr(2)).
///
/// `set` holds `MOUNT_ATTR_*` bits; propagation becomes private.
///
/// # Errors
/// `ENOSYS` before Linux 5.12, `EPERM` without the capability, `EINVAL` when `fd` is no mount point.
pub fn set_attributes(fd: BorrowedFd<'_>, recursive: bool, set: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal, `attributes` is a live local of exactly the size passed, and the
    // kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the kernel would take [`set_attributes`]: the same call with a size of 0, which it refuses before it looks at
/// anything else.
///
/// # Errors
/// `ENOSYS` before Linux 5.12; `EPERM` or another one where a filter refuses the call.
pub fn attributes_are_settable() -> io::Result<()> {
    // SAFETY: with size 0 the kernel reads no attribute (a null pointer is as good as any) and returns EINVAL before it
    // looks up the path, which is a NUL-terminated literal; nothing is changed.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0_u32, std::ptr::null::<libc::c_void>(), 0_usize)
    };
    let error = io::Error::last_os_error();
    if result == 0 || error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) }
}
