//! Mappings that are made to see whether they can be, and undone.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reserves addresses and gives them back.
///
/// # Errors
/// `ENOMEM` where a limit of the address space is lower.
pub fn reserve(bytes: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    map(bytes, libc::PROT_NONE, flags, -1)
}

/// Maps a file shared and writable, and unmaps it.
///
/// # Errors
/// As mmap(2).
pub fn map_shared(file: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    map(bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd())
}

fn map(bytes: usize, protection: i32, flags: i32, fd: i32) -> io::Result<()> {
    // SAFETY: with a null address and without MAP_FIXED the kernel chooses a range that nobody uses; nothing is accessed
    // through it.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly the range that was just mapped, to which no pointer exists.
    let result = unsafe { libc::munmap(at, bytes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for the memory policy of this thread (get_mempolicy(2)).
///
/// # Errors
/// `ENOSYS` without NUMA in the kernel; `EPERM` where a filter refuses the call.
pub fn policy() -> io::Result<()> {
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: null pointers mean that nothing is to be written; the rest are integers.
    let result = unsafe { libc::syscall(libc::SYS_get_mempolicy, null, null, 0_usize, null, 0_usize) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_that_cannot_be_is_an_error() {
        assert!(reserve(1 << 30).is_ok());
        assert_eq!(reserve(usize::MAX >> 1).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
        assert!(reserve(0).is_err());
    }
}
