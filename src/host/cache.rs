//! Where what a sandbox compiles outlives it: a directory for each workspace, in one of our own in the user's cache
//! directory.
//!
//! What is compiled is code, and who can write there decides what the next sandbox of that workspace runs: so nothing on
//! the way there may be a link or another user's. It is made when a sandbox starts; this room only looks.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Stat};
use sha2::{Digest, Sha256};

use super::bwrap::cache_directory;
use super::paths::{FileId, Kind, PathFact, Present, Root, id_of};

/// The names of our own directories, each in the one before, in the user's cache directory.
pub const OWN: [&str; 2] = ["ringfence", "gpu"];

/// Letters of a workspace's name that its directory's name begins with.
const READABLE: usize = 40;

/// Bytes of the digest that follow them.
const DIGEST: usize = 16;

/// A way to the directory of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The user's cache directory as the environment names it.
    pub written: PathBuf,
    /// The same without links, whether it exists or not.
    pub cache: PathBuf,
    /// The directory that the way begins in, which exists: the cache directory, or the one above where that is missing.
    pub base: PathBuf,
    /// Its identity.
    pub base_id: FileId,
    /// The names from there on. What is missing of them is made.
    pub way: Vec<OsString>,
    /// The identity of the last one, where all are there.
    pub id: Option<FileId>,
}

impl Place {
    /// The directory of the workspace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.way.iter().fold(self.base.clone(), |path, name| path.join(name))
    }
}

/// Why a directory cannot be trusted or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Neither variable names an absolute path.
    #[error("neither XDG_CACHE_HOME nor HOME names a directory")]
    Unnamed,
    /// Neither it nor what it lies in is there.
    #[error("there is no `{}`", .0.display())]
    Missing(PathBuf),
    /// A link, which somebody may have put there, or a file.
    #[error("`{}` is no directory but a link or a file", .0.display())]
    NoDirectory(PathBuf),
    /// It belongs to somebody else.
    #[error("`{}` is another user's", .0.display())]
    Foreign(PathBuf),
    /// Others may write in it.
    #[error("others may write in `{}`", .0.display())]
    Open(PathBuf),
    /// The caller may not write in it.
    #[error("`{}` cannot be written", .0.display())]
    Unwritable(PathBuf),
}

/// Looks for the place of a workspace, which is canonical. Nothing is made.
///
/// # Errors
/// Why there is none.
pub fn probe(root: &Root, env: &[(OsString, OsString)], workspace: &Path) -> Result<Place, Unfit> {
    let variable = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let written = cache_directory(&variable).ok_or(Unfit::Unnamed)?;
    let (start, first) = beginning(root, &written)?;
    let own = OWN.iter().map(OsString::from).chain([name_of(workspace).into()]);
    let way: Vec<OsString> = first.iter().cloned().chain(own).collect();
    let cache = first.iter().fold(start.path.clone(), |path, name| path.join(name));
    let found = |path: &Path| rustix::fs::lstat(root.real(path));
    // Its group may be the user's own, as on many systems: only what is ours is for nobody else.
    let stat = found(&start.path).map_err(|_| Unfit::Missing(start.path.clone()))?;
    trusted(&stat, &start.path, 0o002)?;
    let (mut last, mut id) = (start.path.clone(), None);
    for (index, name) in way.iter().enumerate() {
        let path = last.join(name);
        let Ok(stat) = found(&path) else { break };
        let is_last = index + 1 == way.len();
        // The last one is the command's to change; nobody comes through the others.
        let open = if is_last { 0 } else { 0o022 };
        trusted(&stat, &path, if path == cache { 0o002 } else { open })?;
        (last, id) = (path, is_last.then(|| id_of(&stat)));
    }
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    if rustix::fs::accessat(CWD, root.real(&last), wanted, AtFlags::EACCESS).is_err() {
        return Err(Unfit::Unwritable(last));
    }
    Ok(Place { written, cache, base: start.path, base_id: start.id, way, id })
}

/// What must not be changed by any command: our own directory in the user's cache directory, where that is there.
#[must_use]
pub fn own(root: &Root, env: &[(OsString, OsString)]) -> Option<PathFact> {
    let variable = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let cache = root.look_if_present(&cache_directory(&variable)?).filter(|found| found.kind == Kind::Dir)?;
    Some(root.look(&OWN.iter().fold(cache.path, |path, name| path.join(name))))
}

/// The cache directory, or the one above and the missing name in it.
fn beginning(root: &Root, written: &Path) -> Result<(Present, Option<OsString>), Unfit> {
    let none = || Unfit::Missing(written.to_owned());
    let directory = |path: &Path| root.look_if_present(path).filter(|found| found.kind == Kind::Dir);
    match root.look(written) {
        PathFact::Present(found) if found.kind == Kind::Dir => Ok((found, None)),
        PathFact::Present(found) => Err(Unfit::NoDirectory(found.path)),
        PathFact::Dangling { link, .. } => Err(Unfit::NoDirectory(link)),
        PathFact::Missing { .. } => {
            let (above, name) = written.parent().zip(written.file_name()).ok_or_else(none)?;
            Ok((directory(above).ok_or_else(none)?, Some(name.to_owned())))
        }
        PathFact::Unreachable { .. } => Err(none()),
    }
}

fn trusted(stat: &Stat, path: &Path, open: u32) -> Result<(), Unfit> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Unfit::NoDirectory(path.to_owned()));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Unfit::Foreign(path.to_owned()));
    }
    if stat.st_mode & open != 0 { Err(Unfit::Open(path.to_owned())) } else { Ok(()) }
}

/// The name of a workspace's directory: one that a reader knows again, and a digest of the whole path.
#[must_use]
pub fn name_of(workspace: &Path) -> String {
    let last = workspace.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' };
    let readable: String = last.chars().take(READABLE).map(plain).collect();
    let digest = Sha256::digest(workspace.as_os_str().as_bytes());
    let digits: String = digest.iter().take(DIGEST).map(|byte| format!("{byte:02x}")).collect();
    let readable = readable.trim_start_matches('.');
    if readable.is_empty() { digits } else { format!("{readable}-{digits}") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn each_workspace_has_a_name_of_its_own() {
        let table = [
            ("/home/you/project", "project-55e8fbffcaa6d84b1296156f59f85bd7"),
            ("/home/you/project2", "project2-"),
            ("/srv/project", "project-"),
            ("/srv/a b/..c\n/d", "d-"),
            ("/srv/.hidden", "hidden-"),
            ("/", "8a5edab282632443219e051e4ade2d1d"),
        ];
        let names: std::collections::BTreeSet<_> = table.iter().map(|(path, _)| name_of(Path::new(path))).collect();
        assert_eq!(names.len(), table.len());
        for (path, start) in table {
            let name = name_of(Path::new(path));
            assert!(name.starts_with(start) && name.len() >= 2 * DIGEST, "{path}: {name}");
        }
    }

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(directories: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for directory in directories {
                fs::create_dir_all(root.path().join(directory)).unwrap();
            }
            Self(root)
        }

        fn chmod(&self, path: &str, mode: u32) {
            fs::set_permissions(self.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn look(&self) -> Result<Place, Unfit> {
            let root = Root::open(self.0.path()).unwrap();
            probe(&root, &[("HOME".into(), "/home".into())], Path::new("/w"))
        }
    }

    fn key() -> String {
        name_of(Path::new("/w"))
    }

    #[test]
    fn what_is_missing_is_to_be_made_and_what_is_there_is_known() {
        let names = |place: &Place| place.way.iter().map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        let place = Machine::new(&["home"]).look().unwrap();
        assert_eq!((place.base.as_path(), place.cache.as_path()), (Path::new("/home"), Path::new("/home/.cache")));
        assert_eq!(names(&place), [".cache", "ringfence", "gpu", &key()]);
        let place = Machine::new(&["home/.cache/ringfence"]).look().unwrap();
        assert_eq!((place.base.as_path(), place.id), (Path::new("/home/.cache"), None));
        assert_eq!(place.path(), Path::new("/home/.cache/ringfence/gpu").join(key()));
        let place = Machine::new(&[&format!("home/.cache/ringfence/gpu/{}", key())]).look().unwrap();
        assert!(place.id.is_some());
        assert!(matches!(Machine::new(&["w"]).look(), Err(Unfit::Missing(_))));
        let elsewhere = Machine::new(&["home", "disk/cache"]);
        symlink("/disk/cache", elsewhere.0.path().join("home/.cache")).unwrap();
        assert_eq!(elsewhere.look().unwrap().base, Path::new("/disk/cache"), "the user's own link");
    }

    #[test]
    fn nothing_on_the_way_may_be_a_link_or_open_to_others() {
        let whole = format!("home/.cache/ringfence/gpu/{}", key());
        for link in ["home/.cache/ringfence", "home/.cache/ringfence/gpu", &whole] {
            let machine = Machine::new(&["elsewhere", &Path::new(link).parent().unwrap().to_string_lossy()]);
            symlink("/elsewhere", machine.0.path().join(link)).unwrap();
            assert_eq!(machine.look(), Err(Unfit::NoDirectory(format!("/{link}").into())));
        }
        let open = [("home/.cache", 0o707), ("home/.cache/ringfence", 0o770), ("home/.cache/ringfence/gpu", 0o702)];
        for (path, mode) in open {
            let machine = Machine::new(&[&whole]);
            assert!(machine.look().is_ok(), "the control");
            machine.chmod(path, mode);
            assert_eq!(machine.look(), Err(Unfit::Open(format!("/{path}").into())));
        }
        let machine = Machine::new(&[&whole]);
        machine.chmod(&whole, 0o777);
        assert!(machine.look().is_ok(), "the command may have opened its own, which nobody else comes to");
    }
}
