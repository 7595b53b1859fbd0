//! How a placeholder is known: what a run of ringfence puts in the place of a missing protected entry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Stat};

use super::paths::{Kind, PathFact, Present, Root};
use super::trouble::heard;

/// Modification time of a placeholder, in seconds of the epoch: "\nRIN" as a number, a moment in 1975.
pub const MARK: i64 = 0x0A_52_49_4E;

/// Whether it looks like a placeholder, marked or not yet.
#[must_use]
pub fn is_bare(stat: &Stat) -> bool {
    // A set-group-ID directory hands its bit down.
    let permissions = stat.st_mode & 0o5777;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => permissions == 0o555,
        FileType::RegularFile => permissions == 0o444 && stat.st_size <= 2,
        _ => false,
    }
}

/// Whether it is one of ours.
#[must_use]
pub fn is_marked(stat: &Stat) -> bool {
    is_bare(stat) && stat.st_mtime == MARK
}

/// How often, and how long each time, an entry is watched that may be about to be marked.
pub const MOMENTS: u32 = 100;
/// See [`MOMENTS`].
pub const MOMENT: Duration = Duration::from_millis(1);

/// Whether it was made or changed within the last seconds: an older one waits for no mark.
#[must_use]
pub fn is_young(stat: &Stat) -> bool {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec - stat.st_ctime <= 2
}

/// Takes a placeholder of another run, or of one that was cut off, for what it is: nothing.
///
/// A plan that binds it would fail when that run removes it, or worse, lose the mount on it. A plan that blocks the
/// entry joins that run's placeholder instead, and the last run removes it.
pub(super) fn seen_through(root: &Root, fact: PathFact) -> PathFact {
    match fact {
        PathFact::Present(Present { ref path, kind: Kind::Dir | Kind::File, link: None, .. }) => {
            missing_in_truth(root, path).unwrap_or(fact)
        }
        // The entry is missing in a placeholder that stands for its parent.
        PathFact::Missing { ref parent, .. } => missing_in_truth(root, parent).unwrap_or(fact),
        fact => fact,
    }
}

fn missing_in_truth(root: &Root, path: &Path) -> Option<PathFact> {
    let (parent, name) = (path.parent()?, path.file_name()?);
    let missing = || Some(PathFact::Missing { parent: PathBuf::from(parent), name: name.to_owned() });
    let real = root.real(path);
    // Between making it and marking it another run needs some microseconds, or its next turn on a busy machine.
    for _ in 0..MOMENTS {
        let stat = match heard(path, rustix::fs::lstat(&real)) {
            Ok(stat) => stat,
            // It was another run's, which has ended since it was looked at.
            Err(rustix::io::Errno::NOENT) => return missing(),
            Err(_) => return None,
        };
        // The mark alone could be anybody's: modes and times are not kept from a command everywhere.
        if root.is_placeholder(path, &stat) {
            return missing();
        }
        if !is_bare(&stat) || !is_young(&stat) {
            return None;
        }
        std::thread::sleep(MOMENT);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;

    fn directory(path: &Path, mode: u32, seconds: u64) {
        std::fs::create_dir(path).unwrap();
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        std::fs::File::open(path).unwrap().set_modified(moment).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_placeholder_is_seen_as_the_missing_entry_that_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        directory(&dir.path().join(".codex"), 0o555, MARK.unsigned_abs());
        directory(&dir.path().join(".idea"), 0o755, MARK.unsigned_abs());
        directory(&dir.path().join(".aws"), 0o555, 1_700_000_000);
        std::fs::create_dir_all(dir.path().join(".vscode")).unwrap();
        std::fs::write(dir.path().join(".vscode/tasks.json"), "the user's").unwrap();
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(MARK.unsigned_abs());
        std::fs::File::open(dir.path().join(".vscode")).unwrap().set_modified(moment).unwrap();
        std::fs::set_permissions(dir.path().join(".vscode"), std::fs::Permissions::from_mode(0o555)).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let look = |name: &str| seen_through(&root, root.look_at_child(Path::new("/"), Path::new(name)));
        let missing = |name: &str| PathFact::Missing { parent: "/".into(), name: name.into() };
        assert_eq!(look(".codex"), missing(".codex"));
        assert_eq!(look(".codex/below"), missing(".codex"));
        assert!(matches!(look(".idea"), PathFact::Present(_)));
        assert!(matches!(look(".aws"), PathFact::Present(_)));
        assert!(matches!(look(".vscode"), PathFact::Present(_)), "there is something in it");
        assert_eq!(look(".git"), missing(".git"));
        // One that was there a moment ago.
        let fact = root.look_at_child(Path::new("/"), Path::new(".aws"));
        std::fs::remove_dir(dir.path().join(".aws")).unwrap();
        assert_eq!(seen_through(&root, fact), missing(".aws"));
    }
}
