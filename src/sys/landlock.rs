//! The one Landlock call that the landlock crate does not offer.

use rustix::io::Errno;

/// Highest Landlock ABI version.
///
/// # Errors
/// As landlock_create_ruleset(2); `ENOSYS` and `EOPNOTSUPP` without Landlock.
pub fn abi() -> Result<u32, Errno> {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with the version flag the kernel takes no attribute: a null pointer and size 0 are what it asks for,
    // and nothing in this process is read or written.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    let errno = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS);
    u32::try_from(version).map_err(|_| errno())
}
