//! The one Landlock call that the landlock crate does not offer.

/// Highest Landlock ABI version, 0 without Landlock.
#[must_use]
pub fn abi() -> u32 {
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
    u32::try_from(version).unwrap_or(0)
}
