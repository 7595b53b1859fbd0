//! Programs of the host that ringfence knows.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::paths::{Kind, PathFact, Root};

/// bubblewrap, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bwrap {
    /// The program, links resolved.
    pub path: PathBuf,
    /// Whether it runs as root for everybody.
    pub setuid: bool,
}

/// The first `bwrap` on `path` (the variable PATH) that is executable and lies outside `workspace`: the command could
/// have written what lies inside.
#[must_use]
pub fn bwrap(root: &Root, path: &OsStr, workspace: &Path) -> Option<Bwrap> {
    std::env::split_paths(path).filter(|directory| directory.is_absolute()).find_map(|directory| {
        let PathFact::Present(found) = root.look(&directory.join("bwrap")) else { return None };
        if found.kind != Kind::File || found.path.starts_with(workspace) || directory.starts_with(workspace) {
            return None;
        }
        let metadata = std::fs::metadata(root.real(&found.path)).ok()?;
        let mode = metadata.permissions().mode();
        let setuid = mode & libc::S_ISUID != 0 && metadata.uid() == 0;
        (mode & 0o111 != 0).then_some(Bwrap { path: found.path, setuid })
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
pub fn install_bwrap(root: &Root) -> Option<&'static str> {
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
        let find = |path: &str| bwrap(&root, OsStr::new(path), Path::new("/project"));
        let found = find("project/bin:/project/bin:/links:/opt:/missing:/usr/bin").unwrap();
        assert_eq!(found, Bwrap { path: "/usr/bin/bwrap".into(), setuid: false });
        assert_eq!(find("/opt:/project/bin"), None);
        assert_eq!(install_bwrap(&root), Some("sudo dnf install bubblewrap"));
    }
}
