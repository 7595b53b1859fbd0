//! What this kernel can do, with the reason where it cannot.

/// Highest Landlock ABI version, 0 without Landlock (landlock_create_ruleset(2)).
#[must_use]
pub fn landlock_abi() -> u32 {
    crate::sys::landlock::abi()
}
