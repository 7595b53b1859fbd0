//! Git repositories in and around a directory: where hooks and configuration really lie.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use super::gitconfig::{self, Setting};
use super::paths::{Kind, PathFact, Present, Root, fd_path, steps};
use super::trouble::{failed, heard};
use crate::policy::paths::normal;

/// How many directories the search for nested repositories reads at most, breadth first: a bound on the start time.
/// What lies beyond it is not protected, and the plan says so.
pub const NESTED_DIRECTORIES: usize = 256;

/// Directories that the search leaves out: what tools fill by the thousand and nobody runs git in.
pub const NOT_SEARCHED: &[&str] = &["node_modules", "target", "__pycache__", ".venv", "venv", ".tox", ".cache"];

/// How many configuration files of a repository are read at most, those that others include among them.
const CONFIG_FILES: usize = 64;

/// Largest configuration or pointer file that is read, in bytes.
const FILE_LIMIT: usize = 64 * 1024;

/// A git directory that belongs to a working tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// The working tree: the directory that holds `.git`.
    pub tree: PathBuf,
    /// The git directory itself: `.git`, or what a `.git` file or link points to.
    pub git_dir: Option<Present>,
    /// Where objects, refs and config are, when that is elsewhere (linked worktrees).
    pub common_dir: Option<Present>,
    /// Whether a git directory outside the working tree points back to it, as `git worktree add` leaves it.
    pub points_back: bool,
    /// Files and directories that the repository's configuration takes code or more configuration from.
    pub configured: Vec<(PathFact, &'static str)>,
}

/// The configuration of git that is the same for all repositories of a user.
#[derive(Debug, Default)]
pub struct OfUser {
    /// What `~/` is in it.
    home: Option<PathBuf>,
    /// Where it may lie.
    files: Vec<PathBuf>,
}

impl OfUser {
    /// By the environment, as git(1) and git-config(1) say; relative paths are those of git's own working directory and not
    /// known here.
    #[must_use]
    pub fn new(homes: &[PathBuf], env: &[(OsString, OsString)]) -> Self {
        let variable = |wanted: &str| {
            let value = env.iter().find(|(name, _)| name == wanted).map(|(_, value)| PathBuf::from(value));
            value.filter(|path| path.is_absolute())
        };
        let of_homes = homes.iter().flat_map(|home| [home.join(".gitconfig"), home.join(".config/git/config")]);
        let elsewhere = variable("XDG_CONFIG_HOME").map(|config| config.join("git/config"));
        let named = variable("GIT_CONFIG_GLOBAL");
        let system = variable("GIT_CONFIG_SYSTEM").unwrap_or_else(|| "/etc/gitconfig".into());
        let files = of_homes.chain(elsewhere).chain(named).chain([system]).collect();
        Self { home: homes.first().cloned(), files }
    }
}

/// Reads the repository whose working tree is `tree`, if there is one. `dot_git` is what was found at `tree/.git`.
#[must_use]
pub fn read(root: &Root, tree: &Path, dot_git: &PathFact, of_user: &OfUser) -> Option<Repo> {
    let PathFact::Present(entry) = dot_git else { return None };
    let git_dir = match entry.kind {
        Kind::Dir => Some(entry.clone()),
        Kind::File => pointer(root, &entry.path, "gitdir:")
            .and_then(|target| root.look_if_present(&below(entry.path.parent().unwrap_or(tree), &target))),
        _ => None,
    };
    let common_dir = git_dir.as_ref().and_then(|dir| {
        let target = pointer(root, &dir.path.join("commondir"), "")?;
        root.look_if_present(&below(&dir.path, &target))
    });
    let points_back = git_dir.as_ref().is_some_and(|dir| {
        let back = pointer(root, &dir.path.join("gitdir"), "").map(|target| below(&dir.path, &target));
        entry.kind == Kind::Dir || back == Some(tree.join(".git"))
    });
    let own = common_dir.as_ref().or(git_dir.as_ref()).map(|dir| dir.path.join("config"));
    let of_worktree = git_dir.as_ref().map(|dir| dir.path.join("config.worktree"));
    let files: Vec<_> = own.into_iter().chain(of_worktree).chain(of_user.files.iter().cloned()).collect();
    let configured = configured(root, tree, &files, of_user.home.as_deref());
    Some(Repo { tree: tree.to_owned(), git_dir, common_dir, points_back, configured })
}

fn below(base: &Path, target: &Path) -> PathBuf {
    normal(&base.join(target))
}

/// The path in a one-line pointer file such as `.git` (`gitdir: X`) or `commondir` (`X`).
fn pointer(root: &Root, file: &Path, label: &str) -> Option<PathBuf> {
    let text = read_small(root, file)?;
    let line = text.split(|byte| *byte == b'\n').next()?;
    let target = line.strip_prefix(label.as_bytes())?.trim_ascii();
    (!target.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(target)))
}

fn read_small(root: &Root, file: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    // O_NONBLOCK: a named pipe in the place of the file must not stop the start.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = heard(file, rustix::fs::open(root.real(file), flags, Mode::empty())).ok()?;
    if !FileType::from_raw_mode(heard(file, rustix::fs::fstat(&fd)).ok()?.st_mode).is_file() {
        return None;
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(fd).take(FILE_LIMIT as u64).read_to_end(&mut text);
    let read = read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    heard(file, read).ok()?;
    Some(text)
}

/// Paths that git takes code or configuration from, where they can be inside a workspace.
fn configured(root: &Root, tree: &Path, files: &[PathBuf], home: Option<&Path>) -> Vec<(PathFact, &'static str)> {
    let mut found = Vec::new();
    let mut files = files.to_vec();
    let mut next = 0;
    // The list grows by what a file includes.
    while let Some(file) = files.get(next).filter(|_| next < CONFIG_FILES).cloned() {
        next += 1;
        let Some(text) = read_small(root, &file) else { continue };
        for Setting { section, key, value } in gitconfig::parse(&String::from_utf8_lossy(&text)) {
            let (base, why) = match (section.as_str(), key.as_str()) {
                ("core", "hookspath") => (tree, "core.hooksPath: git runs the programs in it"),
                ("core", "fsmonitor") => (tree, "core.fsmonitor: git runs it"),
                ("core", "attributesfile") => (tree, "core.attributesFile: it selects filter programs"),
                ("include" | "includeif", "path") => {
                    (file.parent().unwrap_or(tree), "include.path: git reads configuration from it")
                }
                _ => continue,
            };
            let path = match (value.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                (Some(_), None) => continue,
                (None, _) => below(base, Path::new(&value)),
            };
            if value.is_empty() {
                continue;
            }
            if key == "path" && !files.contains(&path) {
                files.push(path.clone());
            }
            // Husky's directory of shims calls the scripts beside it.
            if let (true, Some(above)) = (path.ends_with("_"), path.parent()) {
                found.push((root.look(above), why));
            }
            found.push((root.look(&path), why));
        }
    }
    found
}

/// The repository that `tree` lies in without being its root.
#[must_use]
pub fn above(root: &Root, tree: &Path, of_user: &OfUser) -> Option<Repo> {
    tree.ancestors().skip(1).find_map(|ancestor| {
        let dot_git = root.look_at_child(ancestor, Path::new(".git"));
        read(root, ancestor, &dot_git, of_user)
    })
}

/// Where the links in a directory lead: protecting the link alone would leave what it runs.
#[must_use]
pub fn link_targets(root: &Root, directory: &Path) -> Vec<PathFact> {
    let mut names = Vec::new();
    if let Some(fd) = open_directory(&root.real(directory)) {
        each_entry(&fd, |name, kind| {
            if kind == FileType::Symlink {
                names.push(directory.join(OsStr::from_bytes(name)));
            }
        });
    }
    names.iter().map(|path| root.look(path)).collect()
}

/// What the search through a workspace finds.
#[derive(Debug, Default)]
pub struct Found {
    /// Directories that hold a `.git` of their own.
    pub repos: Vec<PathBuf>,
    /// Directories that cannot be searched: they become read-only, for their owner could open them later.
    pub closed: Vec<PathBuf>,
    /// Socket files.
    pub sockets: Vec<PathBuf>,
    /// Whether the bound ended the search.
    pub bounded: bool,
}

/// Searches the directories below `tree`, breadth first and up to [`NESTED_DIRECTORIES`] of them.
#[must_use]
pub fn search(root: &Root, tree: &Path) -> Found {
    let mut found = Found::default();
    let Some(base) = open_directory(&root.real(tree)) else { return found };
    let mut queue = VecDeque::from([PathBuf::new()]);
    let mut read = 0;
    while let Some(directory) = queue.pop_front() {
        if read == NESTED_DIRECTORIES {
            found.bounded = true;
            return found;
        }
        read += 1;
        let opened = if directory.as_os_str().is_empty() { None } else { Some(open_on_same_device(&base, &directory)) };
        let fd = match &opened {
            None => &base,
            Some(Ok(fd)) => fd,
            // Another mount, or gone.
            Some(Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => continue,
            Some(Err(_)) => {
                found.closed.push(tree.join(directory));
                continue;
            }
        };
        let mut is_repo = false;
        each_entry(fd, |name, kind| {
            if name == b".git" {
                is_repo = true;
            } else if kind == FileType::Directory && !NOT_SEARCHED.iter().any(|skipped| skipped.as_bytes() == name) {
                queue.push_back(directory.join(OsStr::from_bytes(name)));
            } else if kind == FileType::Socket {
                found.sockets.push(tree.join(&directory).join(OsStr::from_bytes(name)));
            }
        });
        if is_repo && !directory.as_os_str().is_empty() {
            found.repos.push(tree.join(directory));
        }
    }
    found
}

/// Opens a directory below `base` without following links or entering another mount.
fn open_on_same_device(base: &OwnedFd, directory: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let by_steps = || {
        let found = steps::open(base, directory, false)?;
        if rustix::fs::fstat(&found)?.st_dev != rustix::fs::fstat(base)?.st_dev {
            return Err(Errno::XDEV);
        }
        rustix::fs::openat(&found, ".", flags, Mode::empty())
    };
    let opened = rustix::fs::openat2(base, directory, flags, Mode::empty(), resolve);
    heard(directory, if matches!(opened, Err(Errno::NOSYS)) { by_steps() } else { opened })
}

/// Calls `visit` with name and type of each entry but `.` and `..`; entries of unknown type are looked at.
pub(super) fn each_entry(directory: &OwnedFd, mut visit: impl FnMut(&[u8], FileType)) {
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.inspect_err(|errno| failed(&place(directory), *errno));
        let Ok(entry) = entry else { return };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                rustix::fs::statat(directory, entry.file_name(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            known => known,
        };
        visit(name, kind);
    }
}

fn place(directory: &OwnedFd) -> PathBuf {
    fd_path(directory.as_fd()).unwrap_or_else(|_| "a directory".into())
}

/// Opens a directory for reading below the root, `None` when it cannot be read.
pub(super) fn open_directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    heard(path, rustix::fs::openat(CWD, path, flags, Mode::empty())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_looked_for_where_git_does() {
        let files = |env: &[(&str, &str)]| {
            let env: Vec<_> = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
            let found = OfUser::new(&["/home/you".into()], &env);
            found.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let usual = "/home/you/.gitconfig /home/you/.config/git/config";
        assert_eq!(files(&[]), format!("{usual} /etc/gitconfig"));
        let named = [("GIT_CONFIG_SYSTEM", "/s"), ("GIT_CONFIG_GLOBAL", "/g"), ("XDG_CONFIG_HOME", "/x")];
        assert_eq!(files(&named), format!("{usual} /x/git/config /g /s"));
        assert_eq!(files(&[("XDG_CONFIG_HOME", "conf"), ("GIT_CONFIG_GLOBAL", "")]), format!("{usual} /etc/gitconfig"));
    }
}
