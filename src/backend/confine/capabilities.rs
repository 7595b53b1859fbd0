//! Capabilities: none is left, in any set.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Drops every capability of the calling thread: bounding, ambient, inheritable, permitted and effective.
///
/// A caller that may not change its bounding set has no capability to gain from it: `no_new_privs`, which every sandbox
/// sets next, keeps programs from raising any. `bounded`: somebody has emptied that set already, who had to.
///
/// # Errors
/// As prctl(2) and capset(2); `EPERM` where that somebody did not.
pub fn drop_all(bounded: bool) -> Result<(), Errno> {
    let may = rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::SETPCAP);
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last capability that this kernel knows.
            Err(Errno::INVAL) if bit > 0 => break,
            Err(Errno::PERM) if !may && bounded => match rustix::thread::capability_is_in_bounding_set(capability) {
                Ok(false) => {}
                Err(Errno::INVAL) if bit > 0 => break,
                _ => return Err(Errno::PERM),
            },
            // An ordinary user outside a namespace of his own.
            Err(Errno::PERM) if !may => break,
            other => other?,
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
