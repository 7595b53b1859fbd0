//! Who runs ringfence, and where that user's home is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Caller;
use super::gpu::CallerIds;
use super::paths::Root;

/// Reads the caller's ids, and the homes of `$HOME` and `/etc/passwd`.
///
/// Both homes count: `sudo` and containers often leave `$HOME` pointing at another user's, and credentials lie in both.
#[must_use]
pub fn caller(root: &Root, home: Option<&OsStr>) -> Caller {
    let CallerIds { uid, gid, groups } = ids();
    let mut homes: Vec<PathBuf> = home.map(PathBuf::from).into_iter().filter(|home| home.is_absolute()).collect();
    let database = super::read::whole(&root.real(Path::new("/etc/passwd"))).unwrap_or_default();
    if let Some(home) = home_of(&database, uid).filter(|home| home != Path::new("/") && !homes.contains(home)) {
        homes.push(home);
    }
    Caller { ids: CallerIds { uid, gid, groups }, homes }
}

/// The caller's ids.
#[must_use]
pub fn ids() -> CallerIds {
    let groups = rustix::process::getgroups().unwrap_or_default();
    CallerIds {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
    }
}

/// The home directory of `uid` in the text of a passwd(5) file.
fn home_of(database: &[u8], uid: u32) -> Option<PathBuf> {
    let wanted = uid.to_string();
    database.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        (fields.next()? == wanted.as_bytes())
            .then(|| fields.nth(2))
            .flatten()
            .map(|home| OsStr::from_bytes(home).into())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_home_is_the_sixth_field_of_the_line_with_the_uid() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\nbad:x\n";
        assert_eq!(super::home_of(text, 1000), Some("/home/u".into()));
        assert_eq!(super::home_of(text, 7), None);
    }
}
