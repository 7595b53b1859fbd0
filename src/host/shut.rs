//! Directories that uid 0 enters outside and not inside: in the sandbox's user namespace, where other users' ids are not
//! mapped, it has no rights over what is theirs (user_namespaces(7)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD};

use super::gpu::CallerIds;
use super::paths::{FileId, Kind, Root, id_of, kind_of};
use super::{Facts, siblings};

/// The topmost such directory above each of these canonical paths; none for other callers, who cannot look there either.
#[must_use]
pub fn above<'a>(root: &Root, caller: &CallerIds, paths: impl Iterator<Item = &'a Path>) -> BTreeMap<PathBuf, FileId> {
    let mut shut = BTreeMap::new();
    let mut known: BTreeMap<&Path, Option<FileId>> = BTreeMap::new();
    let mut parents: Vec<_> = paths.filter(|_| caller.uid == 0).filter_map(Path::parent).collect();
    // Many lie beside each other.
    parents.dedup();
    for parent in parents {
        let mut above: Vec<_> = parent.ancestors().collect();
        above.reverse();
        let found = above.into_iter().find_map(|directory| {
            let id = *known.entry(directory).or_insert_with(|| is_shut(root, caller, directory));
            id.map(|id| (directory.to_owned(), id))
        });
        shut.extend(found);
    }
    shut
}

/// Paths that may be hidden.
pub(super) fn hidden(facts: &Facts) -> impl Iterator<Item = &Path> {
    siblings::restricted(facts).chain(facts.sockets.iter().map(|socket| socket.path.as_path()))
}

fn is_shut(root: &Root, caller: &CallerIds, directory: &Path) -> Option<FileId> {
    let stat = rustix::fs::statat(CWD, root.real(directory), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let search = if stat.st_uid == caller.uid {
        0o100
    } else if stat.st_gid == caller.gid || caller.groups.contains(&stat.st_gid) {
        0o010
    } else {
        0o001
    };
    (kind_of(&stat) == Kind::Dir && stat.st_mode & search == 0).then(|| id_of(&stat))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_uid_0_has_what_it_enters_outside_alone_and_the_topmost_counts() {
        let top = tempfile::tempdir().unwrap();
        let dir = |name: &str, mode: u32| {
            std::fs::create_dir_all(top.path().join(name)).unwrap();
            std::fs::set_permissions(top.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        dir("a/b/c", 0o755);
        dir("open", 0o711);
        dir("a/b", 0o600);
        dir("a", 0o066);
        std::fs::set_permissions(top.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let root = Root::open(top.path()).unwrap();
        let shut = |caller: CallerIds| {
            let paths = ["/a/b/c/secret", "/open/secret"].map(Path::new);
            above(&root, &caller, paths.into_iter())
                .into_keys()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        let caller = |uid: u32| CallerIds { uid, gid: uid, groups: Vec::new() };
        assert_eq!(shut(caller(0)), ["/a"]);
        assert!(shut(caller(77)).is_empty());
    }
}
