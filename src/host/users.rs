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
    let fields = fields_of(&database, uid);
    let field = |number: usize| fields.as_ref().and_then(|fields| fields.get(number));
    let home = field(5).map(|home| PathBuf::from(OsStr::from_bytes(home)));
    homes.extend(home.filter(|home| home != Path::new("/") && !homes.contains(home)));
    let user = field(0).map(|name| String::from_utf8_lossy(name).into_owned());
    Caller { ids: CallerIds { uid, gid, groups }, homes, user, group: None }
}

/// The name of a group.
#[must_use]
pub fn group_name(root: &Root, gid: u32) -> Option<String> {
    let database = super::read::whole(&root.real(Path::new("/etc/group"))).unwrap_or_default();
    let fields = fields_of(&database, gid)?;
    fields.first().map(|name| String::from_utf8_lossy(name).into_owned())
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

/// The fields of the line of `id`, the third of passwd(5) and group(5).
fn fields_of(database: &[u8], id: u32) -> Option<Vec<&[u8]>> {
    let wanted = id.to_string();
    database.split(|byte| *byte == b'\n').find_map(|line| {
        let is_it = line.split(|byte| *byte == b':').nth(2) == Some(wanted.as_bytes());
        is_it.then(|| line.split(|byte| *byte == b':').collect())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_found_by_its_third_field() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\nbad:x\n";
        assert_eq!(super::fields_of(text, 1000).and_then(|fields| fields.get(5).copied()), Some(&b"/home/u"[..]));
        assert_eq!(super::fields_of(text, 7), None);
    }
}
