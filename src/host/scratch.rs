//! A name for a private directory where `/tmp` cannot be made private: nobody else knows it, or may enter it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use super::paths::{Kind, PathFact, Root};

/// Directories for temporary files, the usual one first.
pub const PLACES: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// How the name of each such directory begins.
pub const PREFIX: &str = "ringfence-";

/// Whether a name is one of those: other programs may begin theirs in the same way.
#[must_use]
pub fn is_name(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
    parts.is_some_and(|(process, moment)| {
        let is_number = !process.is_empty() && process.bytes().all(|digit| digit.is_ascii_digit());
        is_number && moment.len() >= 16 && moment.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// A name that nobody has taken; `None` where there is no room for it. It is made when the sandbox starts.
pub(super) fn name(root: &Root, env: &[(OsString, OsString)]) -> Option<PathBuf> {
    let usable = |place: &&Path| {
        let is_directory = matches!(root.look(place), PathFact::Present(found) if found.kind == Kind::Dir);
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        is_directory && rustix::fs::accessat(CWD, root.real(place), wanted, AtFlags::EACCESS).is_ok()
    };
    // Inside a sandbox like this one it is the only place.
    let said = env.iter().find(|(name, _)| name == "TMPDIR").map(|(_, value)| Path::new(value));
    let said = said.filter(|place| place.is_absolute());
    let place = said.into_iter().chain(PLACES.iter().map(Path::new)).find(usable)?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let own = rustix::process::getpid().as_raw_nonzero();
    Some(place.join(format!("{PREFIX}{own}-{:x}{:08x}", now.tv_sec, now.tv_nsec)))
}
