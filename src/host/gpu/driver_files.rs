//! Files of the NVIDIA driver that a sandbox may have its own version of. Read only where there is a GPU.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::host::paths::{FileId, Kind, Root};

/// Where the driver tells its parameters.
pub const PARAMS: &str = "/proc/driver/nvidia/params";

/// Where the driver has a directory for each GPU, named by its bus id.
pub const GPUS: &str = "/proc/driver/nvidia/gpus";

/// Where the system's administrator says what the driver does for which program.
///
/// Source: NVIDIA driver README, "Application profiles".
pub const PROFILES: &str = "/etc/nvidia/nvidia-application-profiles-rc.d";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverFiles {
    /// The text of [`PARAMS`]; `None` where it cannot be read.
    pub params: Option<String>,
    /// What is in [`PROFILES`], by name; `None` where that is no directory.
    pub profiles: Option<Vec<Profile>>,
}

/// An entry of [`PROFILES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its path.
    pub path: PathBuf,
    /// Its identity.
    pub id: FileId,
    /// Its kind; a link is not followed.
    pub kind: Kind,
}

/// Looks at them; two look-ups and the entries of one directory.
#[must_use]
pub fn probe(root: &Root) -> DriverFiles {
    let real = root.real(Path::new("/"));
    DriverFiles { params: super::read(&real, PARAMS), profiles: profiles(root) }
}

fn profiles(root: &Root) -> Option<Vec<Profile>> {
    // A link to another place is another place's directory.
    root.look_at_entry(Path::new(PROFILES)).filter(|(_, kind)| *kind == Kind::Dir)?;
    let entries = std::fs::read_dir(root.real(Path::new(PROFILES))).ok()?;
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let found = names.into_iter().filter_map(|name| {
        let path = Path::new(PROFILES).join(name);
        root.look_at_entry(&path).map(|(id, kind)| Profile { path, id, kind })
    });
    Some(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_links_are_links() {
        let machine = tempfile::tempdir().unwrap();
        let root = Root::open(machine.path()).unwrap();
        assert_eq!(probe(&root), DriverFiles::default());
        let below = |path: &str| machine.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(below(PROFILES)).unwrap();
        std::fs::create_dir_all(below("/proc/driver/nvidia")).unwrap();
        std::fs::write(below(PARAMS), "ModifyDeviceFiles: 1\n").unwrap();
        std::fs::write(below(PROFILES).join("a"), "{}").unwrap();
        std::os::unix::fs::symlink("a", below(PROFILES).join("b")).unwrap();
        let found = probe(&root);
        assert_eq!(found.params.as_deref(), Some("ModifyDeviceFiles: 1\n"));
        let kinds = found.profiles.unwrap().into_iter().map(|profile| (profile.path, profile.kind));
        let want = [("a", Kind::File), ("b", Kind::Symlink)].map(|(name, kind)| (Path::new(PROFILES).join(name), kind));
        assert_eq!(kinds.collect::<Vec<_>>(), want);
    }
}
