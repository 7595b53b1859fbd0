//! What is at a path: canonical form, kind and identity, without opening anything for reading.

pub(super) mod steps;

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::placeholder::is_marked;
use super::repo::{each_entry, open_directory};
use super::trouble::heard;
use crate::policy::paths::normal;

/// Device and inode: what a path named when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
}

/// What kind of file a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link that leads nowhere, or was looked at without following it.
    Symlink,
    /// A character device and its number.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block,
    /// A unix socket.
    Socket,
    /// A named pipe.
    Fifo,
}

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathFact {
    /// It exists.
    Present(Present),
    /// It does not exist, and neither does this entry of an existing directory on the way.
    Missing {
        /// Canonical path of the deepest existing directory.
        parent: PathBuf,
        /// The first missing component.
        name: OsString,
    },
    /// A symbolic link on the way leads nowhere or in a circle.
    Dangling {
        /// The link, below its canonical parent.
        link: PathBuf,
        /// The link's own identity.
        id: FileId,
    },
    /// The caller may not look.
    Unreachable {
        /// `errno` of the lookup.
        errno: i32,
    },
}

impl PathFact {
    /// Where a path leads: itself, where nothing is there.
    #[must_use]
    pub fn leads_to<'a>(&'a self, written: &'a Path) -> &'a Path {
        match self {
            Self::Present(present) => &present.path,
            Self::Missing { .. } | Self::Dangling { .. } | Self::Unreachable { .. } => written,
        }
    }
}

/// An existing path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Canonical: absolute, no links, no dots.
    pub path: PathBuf,
    /// Identity, compared again when the path is used.
    pub id: FileId,
    /// Kind.
    pub kind: Kind,
    /// Where the last component was a symbolic link: the link itself, below its canonical parent.
    pub link: Option<(PathBuf, FileId)>,
}

/// The directory that all looking happens below: `/`, or a fixture.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    prefix: PathBuf,
}

impl Root {
    /// Opens the root.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { prefix: std::fs::canonicalize(path)?, fd })
    }

    /// The path that reaches `inside` from the real root.
    #[must_use]
    pub fn real(&self, inside: &Path) -> PathBuf {
        if self.prefix == Path::new("/") {
            return inside.to_owned();
        }
        self.prefix.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Opens a path as a location, without links to leave the root by.
    fn open_location(&self, path: &Path, links: ResolveFlags) -> Result<OwnedFd, Errno> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | links;
        let opened = rustix::fs::openat2(&self.fd, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
        let opened = match opened {
            // Where something was renamed or mounted anywhere meanwhile, the kernel does not trust `..`: a link by which
            // something is denied would seem to lead nowhere.
            Err(Errno::NOSYS | Errno::AGAIN) => steps::open(&self.fd, relative, links.is_empty()),
            other => other,
        };
        heard(path, opened)
    }

    /// What `path` leads to, links followed.
    #[must_use]
    pub fn look(&self, path: &Path) -> PathFact {
        match self.present(path) {
            Ok(present) => PathFact::Present(present),
            Err(Errno::NOENT | Errno::NOTDIR) => self.missing(path),
            Err(Errno::LOOP) => self.dangling(path).unwrap_or(PathFact::Unreachable { errno: libc::ELOOP }),
            Err(errno) => PathFact::Unreachable { errno: errno.raw_os_error() },
        }
    }

    /// As [`Root::look`] where only existing paths matter: one system call for a missing one.
    #[must_use]
    pub fn look_if_present(&self, path: &Path) -> Option<Present> {
        self.present(path).ok()
    }

    fn present(&self, path: &Path) -> Result<Present, Errno> {
        // Most paths hold no link, and then they are canonical as they are: asking procfs costs ten times as much.
        match self.open_location(path, ResolveFlags::NO_SYMLINKS) {
            Ok(fd) => {
                let stat = heard(path, rustix::fs::fstat(&fd))?;
                if self.is_placeholder(path, &stat) {
                    return Err(Errno::NOENT);
                }
                return Ok(Present { path: normal(path), id: id_of(&stat), kind: kind_of(&stat), link: None });
            }
            Err(Errno::LOOP) => {}
            Err(error) => return Err(error),
        }
        let fd = self.open_location(path, ResolveFlags::empty())?;
        let stat = heard(path, rustix::fs::fstat(&fd))?;
        let canonical = heard(path, self.path_of(fd.as_fd()))?;
        Ok(Present { path: canonical, id: id_of(&stat), kind: kind_of(&stat), link: self.link_at(path) })
    }

    /// The link itself, when the last component of `path` is one.
    fn link_at(&self, path: &Path) -> Option<(PathBuf, FileId)> {
        let name = path.file_name()?;
        let parent = self.present(path.parent()?).ok()?;
        let link = parent.path.join(name);
        match self.look_at_entry(&link) {
            Some((id, Kind::Symlink)) => Some((link, id)),
            _ => None,
        }
    }

    /// An entry of a canonical directory, not followed when it is a link.
    #[must_use]
    pub fn look_at_entry(&self, canonical: &Path) -> Option<(FileId, Kind)> {
        self.entry(canonical).ok()
    }

    fn entry(&self, canonical: &Path) -> Result<(FileId, Kind), Errno> {
        let relative = canonical.strip_prefix("/").unwrap_or(canonical);
        let stat = heard(canonical, rustix::fs::statat(&self.fd, relative, AtFlags::SYMLINK_NOFOLLOW))?;
        if self.is_placeholder(canonical, &stat) {
            return Err(Errno::NOENT);
        }
        Ok((id_of(&stat), kind_of(&stat)))
    }

    /// As [`Root::look`] for an entry of a canonical directory: cheap when it is missing or no link.
    #[must_use]
    pub fn look_at_child(&self, directory: &Path, name: &Path) -> PathFact {
        let path = directory.join(name);
        if name.components().count() > 1 {
            return self.look(&path);
        }
        match self.entry(&path) {
            Ok((_, Kind::Symlink)) => self.look(&path),
            Ok((id, kind)) => PathFact::Present(Present { path, id, kind, link: None }),
            Err(Errno::NOENT) => PathFact::Missing { parent: directory.to_owned(), name: name.into() },
            Err(errno) => PathFact::Unreachable { errno: errno.raw_os_error() },
        }
    }

    /// As [`Root::look`] at one path after another: one call for each in a directory that the one before lies in.
    #[must_use]
    pub fn look_at_all<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Vec<PathFact> {
        let mut canonical: Option<PathBuf> = None;
        let look = |path: &Path| {
            let here = canonical.as_deref().filter(|known| path.parent() == Some(known));
            if let (Some(here), Some(name)) = (here, path.file_name())
                && here.join(name).as_os_str() == path.as_os_str()
            {
                return self.look_at_child(here, Path::new(name));
            }
            let fact = self.look(path);
            // What is there under the very name that it was looked for by.
            let is_canonical = matches!(&fact, PathFact::Present(found) if found.path.as_os_str() == path.as_os_str());
            canonical = path.parent().filter(|_| is_canonical).map(Path::to_owned);
            fact
        };
        paths.map(look).collect()
    }

    /// Whether the caller owns a directory whose permissions keep him from making entries. Not asked of uid 0, whom
    /// they do not keep outside.
    #[must_use]
    pub fn owner_may_not_write(&self, canonical: &Path) -> bool {
        let relative = canonical.strip_prefix("/").unwrap_or(canonical);
        let caller = rustix::process::geteuid();
        !caller.is_root()
            && heard(canonical, rustix::fs::statat(&self.fd, relative, AtFlags::SYMLINK_NOFOLLOW))
                .is_ok_and(|stat| stat.st_uid == caller.as_raw() && stat.st_mode & 0o300 != 0o300)
    }

    fn path_of(&self, fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
        let real = fd_path(fd)?;
        match real.strip_prefix(&self.prefix) {
            Ok(inside) => Ok(Path::new("/").join(inside)),
            Err(_) => Err(Errno::XDEV),
        }
    }

    /// Whether what was found stands for a missing entry: marked, and with nothing in it that a rule could be about.
    pub(super) fn is_placeholder(&self, path: &Path, stat: &Stat) -> bool {
        if !is_marked(stat) || kind_of(stat) != Kind::Dir {
            return is_marked(stat);
        }
        let Some(directory) = open_directory(&self.real(path)) else { return false };
        let mut empty = true;
        each_entry(&directory, |_, _| empty = false);
        empty
    }

    /// The first component that is missing, or the link that leads nowhere.
    fn missing(&self, path: &Path) -> PathFact {
        if let Some(dangling) = self.dangling(path) {
            return dangling;
        }
        for ancestor in path.ancestors().skip(1) {
            let Ok(parent) = self.present(ancestor) else { continue };
            let rest = path.strip_prefix(ancestor).unwrap_or(path);
            let Some(name) = rest.components().next() else { break };
            if parent.kind != Kind::Dir {
                return PathFact::Unreachable { errno: libc::ENOTDIR };
            }
            return PathFact::Missing { parent: parent.path, name: name.as_os_str().to_owned() };
        }
        PathFact::Unreachable { errno: libc::ENOENT }
    }

    fn dangling(&self, path: &Path) -> Option<PathFact> {
        for end in path.ancestors() {
            let parent = match end.parent() {
                Some(parent) => self.present(parent).ok(),
                None => return None,
            };
            let (Some(parent), Some(name)) = (parent, end.file_name()) else { continue };
            let link = parent.path.join(name);
            return match self.look_at_entry(&link) {
                Some((id, Kind::Symlink)) if self.present(end).is_err() => Some(PathFact::Dangling { link, id }),
                _ => None,
            };
        }
        None
    }
}

/// The path a descriptor was opened by, as the kernel knows it now.
///
/// # Errors
/// Why it cannot be read; `ENOENT` when the file has been deleted.
pub fn fd_path(fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlink(link, Vec::with_capacity(256))?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// Identity of what was looked at.
#[must_use]
pub fn id_of(stat: &Stat) -> FileId {
    #[allow(clippy::useless_conversion, reason = "the field widths differ between architectures")]
    FileId { dev: stat.st_dev.into(), ino: stat.st_ino.into() }
}

/// Kind of what was looked at.
#[must_use]
pub fn kind_of(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => {
            Kind::Char { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) }
        }
        FileType::BlockDevice => Kind::Block,
        FileType::Socket => Kind::Socket,
        FileType::Fifo => Kind::Fifo,
        FileType::RegularFile | FileType::Unknown => Kind::File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn looking_finds_the_canonical_path_the_first_missing_part_and_dangling_links() {
        let dir = tempfile::tempdir().expect("a directory");
        let real = dir.path().canonicalize().expect("its path");
        std::fs::create_dir_all(real.join("a/b")).expect("mkdir");
        symlink("a/b", real.join("link")).expect("link");
        symlink("nowhere", real.join("lost")).expect("link");
        symlink("circle", real.join("circle")).expect("link");
        let root = Root::open(&real).expect("root");
        let look = |path: &str| root.look(Path::new(path));
        let PathFact::Present(found) = look("/link") else { panic!("{:?}", look("/link")) };
        assert_eq!((found.path, found.kind), ("/a/b".into(), Kind::Dir));
        assert_eq!(found.link.map(|(link, _)| link), Some("/link".into()));
        let missing = |parent: &str, name: &str| PathFact::Missing { parent: parent.into(), name: name.into() };
        assert_eq!(look("/link/x/y"), missing("/a/b", "x"));
        assert_eq!(look("/a/q"), missing("/a", "q"));
        assert!(matches!(look("/lost"), PathFact::Dangling { link, .. } if link == Path::new("/lost")));
        assert!(matches!(look("/lost/x"), PathFact::Dangling { link, .. } if link == Path::new("/lost")));
        assert!(matches!(look("/circle"), PathFact::Dangling { .. }));
        assert!(matches!(look("/"), PathFact::Present(found) if found.path == Path::new("/")));
    }

    #[test]
    fn looking_at_all_finds_what_looking_at_each_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let real = dir.path().canonicalize().expect("its path");
        std::fs::create_dir_all(real.join("a/b")).expect("mkdir");
        for name in ["a/one", "a/two", "a/b/three"] {
            std::fs::write(real.join(name), "").expect("a file");
        }
        symlink("a", real.join("link")).expect("link");
        symlink("two", real.join("a/three")).expect("link");
        symlink("nowhere", real.join("a/lost")).expect("link");
        let root = Root::open(&real).expect("root");
        let paths = [
            "/a/one",
            "/a/two",
            "/a/two/",
            "/a/three",
            "/a/lost",
            "/a/none",
            "/a/b",
            "/a/b/three",
            "/a/b/../one",
            "/link/one",
            "/link/two",
            "/link/b",
            "/a/one/x",
            "/a/one/y",
            "/a/one",
            "/a//two",
            "/a/./two",
            "/a/b/",
            "/",
            "/a",
            "/link",
        ];
        let paths = paths.map(Path::new);
        let each: Vec<_> = paths.iter().map(|path| root.look(path)).collect();
        assert_eq!(root.look_at_all(paths.into_iter()), each);
    }
}
