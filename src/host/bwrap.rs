//! bubblewrap: which one would be used, and what it can do.

mod features;

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use features::{Features, cache_directory, features, trial};

use super::paths::{Kind, PathFact, Root};

/// bubblewrap, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bwrap {
    /// The program, links resolved.
    pub path: PathBuf,
    /// Whether it runs as root for everybody.
    pub setuid: bool,
    /// What tells this program from another version of it.
    pub stamp: Stamp,
}

/// Inode, time of change and size of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `st_ino`.
    pub inode: u64,
    /// Modification time in nanoseconds of the epoch.
    pub modified: i128,
    /// Bytes.
    pub size: u64,
}

/// The first `bwrap` on `path` (the variable PATH) that is executable and lies outside the directories of `avoided`:
/// what lies inside could have been written by an earlier command.
#[must_use]
pub fn find(root: &Root, path: &OsStr, avoided: &[&Path]) -> Option<Bwrap> {
    std::env::split_paths(path).filter(|directory| directory.is_absolute()).find_map(|directory| {
        let PathFact::Present(found) = root.look(&directory.join("bwrap")) else { return None };
        let inside = |path: &Path| avoided.iter().any(|avoided| path.starts_with(avoided));
        if found.kind != Kind::File || inside(&found.path) || inside(&directory) {
            return None;
        }
        let metadata = std::fs::metadata(root.real(&found.path)).ok()?;
        let mode = metadata.permissions().mode();
        let setuid = mode & libc::S_ISUID != 0 && metadata.uid() == 0;
        let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let stamp = Stamp { inode: metadata.ino(), modified, size: metadata.size() };
        (mode & 0o111 != 0).then_some(Bwrap { path: found.path, setuid, stamp })
    })
}

/// Package managers and the command of each that installs bubblewrap.
const INSTALLERS: &[(&str, &str)] = &[
    ("/usr/bin/apt-get", "sudo apt-get install bubblewrap"),
    ("/usr/bin/dnf", "sudo dnf install bubblewrap"),
    ("/usr/bin/zypper", "sudo zypper install bubblewrap"),
    ("/usr/bin/pacman", "sudo pacman -S bubblewrap"),
    ("/sbin/apk", "sudo apk add bubblewrap"),
];

/// The command that installs bubblewrap here, where the package manager is known.
#[must_use]
pub fn install(root: &Root) -> Option<&'static str> {
    INSTALLERS.iter().find(|(tool, _)| root.look_if_present(Path::new(tool)).is_some()).map(|(_, command)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(root: &Path, path: &str, mode: u32) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_executable_bwrap_outside_the_workspace_counts() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "project/bin/bwrap", 0o755);
        program(dir.path(), "opt/bwrap", 0o644);
        program(dir.path(), "usr/bin/bwrap", 0o755);
        program(dir.path(), "usr/bin/dnf", 0o755);
        std::fs::create_dir(dir.path().join("links")).unwrap();
        std::os::unix::fs::symlink("/project/bin/bwrap", dir.path().join("links/bwrap")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let find = |path: &str| find(&root, OsStr::new(path), &[Path::new("/project")]).map(|found| found.path);
        let found = find("project/bin:/project/bin:/links:/opt:/missing:/usr/bin");
        assert_eq!(found, Some("/usr/bin/bwrap".into()));
        assert_eq!(find("/opt:/project/bin"), None);
        assert_eq!(install(&root), Some("sudo dnf install bubblewrap"));
    }
}
