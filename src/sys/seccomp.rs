//! seccomp(2): the one call that binds a filter to this thread and all its descendants, and the listener by which
//! another process answers calls in the kernel's place (seccomp_unotify(2)).
#![allow(unsafe_code, reason = "neither rustix nor std can load a seccomp filter, or listen to one")]

mod listener;

use std::io;
use std::os::fd::OwnedFd;

use super::fd;
pub use listener::{Listener, Notification};

/// Loads a classic BPF program as a seccomp filter of the calling thread.
///
/// It holds from the next system call on, for this thread, for threads and processes that it starts from now on, and
/// across `execve`; it cannot be taken back. Other threads that already run are not touched.
///
/// # Errors
/// The `errno` of seccomp(2): `EACCES` if neither `no_new_privs` is set nor `CAP_SYS_ADMIN` held, `EINVAL` if the
/// kernel does not accept the program or its length (1 to 4096), `ENOSYS` without seccomp in the kernel,
/// `ENOMEM` if all filters of the process together are too long.
///
/// Source: seccomp(2), `SECCOMP_SET_MODE_FILTER`.
pub fn load_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    if load(program, 0)? == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// As [`load_filter`]; what comes back is where the calls arrive that the program answers with
/// `SECCOMP_RET_USER_NOTIF`. It is closed on exec, and once it is closed everywhere, such calls fail with `ENOSYS`.
///
/// A call whose notification has been received is not interrupted by signals but those that kill, where the kernel can
/// do that (Linux 5.19): it would be made again after the handler, and a second descriptor be given for it.
///
/// # Errors
/// As [`load_filter`]; `EBUSY` if a filter that holds already has a listener, because there can be only one.
///
/// Source: seccomp(2), `SECCOMP_FILTER_FLAG_NEW_LISTENER`, `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
pub fn load_filter_with_listener(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let listens = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let unknown = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
    match fd::own(load(program, listens | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)?) {
        Err(error) if unknown(&error) => fd::own(load(program, listens)?),
        other => other,
    }
}

/// What the call returned; when that is negative, `errno` says why.
fn load(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // The worst that the instructions can do is to make later system calls fail, end the process, or wait for an answer
    // that does not come. What the flags of this file add is a new descriptor as the result.
    // SAFETY: `filter` lives on this stack during the call; its pointer and length are of one slice, borrowed as long.
    // The kernel copies `filter` and then `len` instructions, keeps no pointer and writes nothing, so `cast_mut` makes
    // nothing mutable.
    Ok(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) })
}

/// Harmless calls whose error tells whether a filter answered or the kernel.
#[cfg(test)]
pub(crate) mod probe {
    use std::ffi::CStr;
    use std::io;

    fn check(result: libc::c_long) -> io::Result<()> {
        if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Any call by number with null for all arguments.
    ///
    /// Only for calls that do no harm that way: that is why the list is closed.
    pub(crate) fn with_nulls(call: NullCall) -> io::Result<()> {
        let number = match call {
            NullCall::Unshare => libc::SYS_unshare,
            NullCall::Clone3 => libc::SYS_clone3,
            NullCall::Openat2 => libc::SYS_openat2,
            NullCall::Keyctl => libc::SYS_keyctl,
            NullCall::ProcessVmReadv => libc::SYS_process_vm_readv,
            #[cfg(target_arch = "x86_64")]
            NullCall::X32Getpid => 0x4000_0000 + libc::SYS_getpid,
        };
        // SAFETY: with zeros, unshare changes nothing, clone3 and openat2 refuse a size of 0 before they read anything,
        // keyctl(0, 0) looks up a keyring that has no id 0, process_vm_readv copies 0 bytes, getpid takes no argument.
        // None of them reads or writes memory of ours.
        check(unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) })
    }

    #[derive(Debug, Clone, Copy)]
    pub(crate) enum NullCall {
        Unshare,
        Clone3,
        Openat2,
        Keyctl,
        ProcessVmReadv,
        #[cfg(target_arch = "x86_64")]
        X32Getpid,
    }

    /// `fchmodat` with a mode of which the kernel ignores the upper half.
    pub(crate) fn chmod(path: &CStr, mode: u64) -> io::Result<()> {
        // SAFETY: `path` is terminated by a zero and lives until the call returns; the kernel only reads it.
        check(unsafe { libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, path.as_ptr(), mode) })
    }

    /// `openat`, and the descriptor closed again.
    pub(crate) fn open(path: &CStr, flags: libc::c_int, mode: u32) -> io::Result<()> {
        // SAFETY: `path` is terminated by a zero and lives until the call returns; the kernel only reads it.
        let fd = unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), flags, mode) };
        check(fd.into())?;
        // SAFETY: `fd` was opened above and nobody else has seen it.
        check(unsafe { libc::close(fd) }.into())
    }

    /// A socket that is closed again.
    pub(crate) fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<()> {
        // SAFETY: three integers, no memory.
        let fd = unsafe { libc::socket(domain, kind, protocol) };
        check(fd.into())?;
        // SAFETY: `fd` was opened above and nobody else has seen it.
        check(unsafe { libc::close(fd) }.into())
    }

    /// `mknodat` of an empty regular file (`S_IFREG`), a device (0:0, the whiteout that anybody may make) or a fifo.
    pub(crate) fn mknod(path: &CStr, mode: u32) -> io::Result<()> {
        // SAFETY: `path` is terminated by a zero and lives until the call returns; the kernel only reads it.
        check(unsafe { libc::mknodat(libc::AT_FDCWD, path.as_ptr(), mode, 0) }.into())
    }

    /// `getpid` through the 32-bit entry: with a filter for `x86_64` it does not come back.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn getpid_as_i386() -> i32 {
        let mut result = 20;
        // SAFETY: call 20 of i386 is getpid, which takes no argument and touches no memory; the kernel clobbers r8 to
        // r11 on this entry and returns in eax.
        unsafe {
            std::arch::asm!("int 0x80", inlateout("eax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        result
    }
}
