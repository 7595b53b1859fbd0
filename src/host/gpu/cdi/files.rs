//! Directories and files: which there are, whose word they are, and their text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::spec::{self, MAX_BYTES, Spec, Wrong};
use crate::host::paths::{FileId, Kind, PathFact, Root, id_of};
use crate::host::repo::{each_entry, open_directory};

/// Where engines look for files, in rising priority.
pub const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

/// A directory of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdiDir {
    /// Its absolute path.
    pub path: PathBuf,
    /// Whether the user named it: then it may be his own, and it has to be there.
    pub explicit: bool,
}

impl CdiDir {
    /// Those of every machine, then those that the user named; the last have the highest priority.
    #[must_use]
    pub fn list<'a>(named: impl IntoIterator<Item = &'a Path>) -> Vec<Self> {
        let usual = DIRECTORIES.iter().map(|path| Self { path: path.into(), explicit: false });
        let named = named.into_iter().map(|path| Self { path: path.to_owned(), explicit: true });
        usual.chain(named).collect()
    }
}

/// A file or directory that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file, or the directory where none of its files is used.
    pub path: PathBuf,
    /// Place of its directory in the order of priority.
    pub(super) priority: usize,
    /// Vendor and class of its devices, where they can be told.
    pub kind: Option<(String, String)>,
    /// Why.
    pub problem: FileProblem,
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileProblem {
    /// A directory that the user named is not there.
    Missing,
    /// Somebody else could have written it.
    Untrusted {
        /// The file, or the directory above it.
        at: PathBuf,
        /// Who.
        why: Distrust,
    },
    /// It is something else than a file, or than a directory.
    WrongKind {
        /// What it is.
        found: &'static str,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        errno: i32,
    },
    /// It has more than [`MAX_BYTES`].
    TooLarge,
    /// It is not text in UTF-8.
    NoText,
    /// Its content is wrong, in all these ways.
    Content(Vec<Wrong>),
}

/// Why a file or directory is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It is neither root's nor, where that is enough, the caller's.
    Owner {
        /// Whose it is.
        uid: u32,
        /// Whether the caller's own would have done.
        explicit: bool,
    },
    /// Its group or everybody can write it.
    Writable {
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for FileFault {
    /// `path: what`; of content that is wrong, a line for each fault, with its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            FileProblem::Missing => write!(f, "{path}: no such directory"),
            FileProblem::Untrusted { at, why } => {
                let what = if *at == self.path { "it".to_owned() } else { format!("`{}`", at.display()) };
                match why {
                    Distrust::Owner { uid, explicit: false } => {
                        write!(f, "{path}: {what} belongs to uid {uid}, not to root")
                    }
                    Distrust::Owner { uid, explicit: true } => {
                        write!(f, "{path}: {what} belongs to uid {uid}, neither to root nor to you")
                    }
                    Distrust::Writable { mode } => {
                        write!(f, "{path}: others than its owner can write {what} (mode {mode:04o})")
                    }
                }
            }
            FileProblem::WrongKind { found } => write!(f, "{path}: it is {found}"),
            FileProblem::Unreadable { errno } => {
                write!(f, "{path}: it cannot be read: {}", std::io::Error::from_raw_os_error(*errno))
            }
            FileProblem::TooLarge => write!(f, "{path}: it has more than {MAX_BYTES} bytes"),
            FileProblem::NoText => write!(f, "{path}: it is not text in UTF-8"),
            FileProblem::Content(wrong) => {
                let lines: Vec<_> = wrong.iter().map(|one| format!("{path}:{one}")).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// A file that can be used.
#[derive(Debug)]
pub(super) struct Loaded {
    pub path: PathBuf,
    /// Place of its directory in the order of priority.
    pub priority: usize,
    pub spec: Spec,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub loaded: Vec<Loaded>,
    pub faults: Vec<FileFault>,
}

/// Reads all files of all directories. One directory under two names counts once, where it is named last.
pub(super) fn read(root: &Root, dirs: &[CdiDir], uid: u32) -> Files {
    let mut files = Files::default();
    let mut opened: Vec<(usize, &CdiDir, OwnedFd, FileId)> = Vec::new();
    for (priority, dir) in dirs.iter().enumerate() {
        match open(root, dir, uid) {
            Ok(None) => {}
            Ok(Some((fd, id))) => {
                opened.retain(|(.., known)| *known != id);
                opened.push((priority, dir, fd, id));
            }
            Err(problem) => {
                files.faults.push(FileFault { path: dir.path.clone(), priority, kind: None, problem });
            }
        }
    }
    for (priority, dir, fd, _) in opened {
        directory(&mut files, priority, dir, &fd, uid);
    }
    files
}

/// Opens a directory step by step, and judges each step by the descriptor that the next one begins at.
fn open(root: &Root, dir: &CdiDir, uid: u32) -> Result<Option<(OwnedFd, FileId)>, FileProblem> {
    if !dir.explicit && root.look_if_present(&dir.path).is_none() {
        // As on most machines: one call for each.
        return Ok(None);
    }
    let present = match root.look(&dir.path) {
        PathFact::Present(present) if present.kind == Kind::Dir => present,
        PathFact::Present(_) => return Err(FileProblem::WrongKind { found: "no directory" }),
        PathFact::Unreachable { errno } if errno != libc::ENOENT => return Err(FileProblem::Unreadable { errno }),
        _ if dir.explicit => return Err(FileProblem::Missing),
        _ => return Ok(None),
    };
    let fail = |errno: Errno| FileProblem::Unreadable { errno: errno.raw_os_error() };
    let mut at = PathBuf::from("/");
    let mut fd = open_directory(&root.real(&at)).ok_or(FileProblem::Unreadable { errno: libc::EACCES })?;
    let last = present.path.components().count() - 1;
    let judged = |fd: &OwnedFd, at: &Path, above: bool| {
        let stat = rustix::fs::fstat(fd).map_err(fail)?;
        let why = distrust(&stat, dir.explicit, uid, above);
        why.map_or(Ok(stat), |why| Err(FileProblem::Untrusted { at: at.to_owned(), why }))
    };
    let mut stat = judged(&fd, &at, last > 0)?;
    for (step, name) in present.path.components().enumerate().skip(1) {
        at.push(name);
        let kind = if step == last { OFlags::RDONLY } else { OFlags::PATH };
        let flags = kind | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fd = rustix::fs::openat(&fd, name.as_os_str(), flags, Mode::empty()).map_err(fail)?;
        stat = judged(&fd, &at, step < last)?;
    }
    Ok(Some((fd, id_of(&stat))))
}

/// Who else could have written it. A directory above, in which others may make entries but not move those of root and
/// the caller (a sticky one, as `/tmp`), is as good as one that they cannot write: what is in it is judged next.
fn distrust(stat: &Stat, explicit: bool, uid: u32, above: bool) -> Option<Distrust> {
    if stat.st_uid != 0 && !(explicit && stat.st_uid == uid) {
        return Some(Distrust::Owner { uid: stat.st_uid, explicit });
    }
    let sticky = above && stat.st_mode & 0o1000 != 0;
    (stat.st_mode & 0o022 != 0 && !sticky).then_some(Distrust::Writable { mode: stat.st_mode & 0o7777 })
}

fn directory(files: &mut Files, priority: usize, dir: &CdiDir, fd: &OwnedFd, uid: u32) {
    let mut names: Vec<OsString> = Vec::new();
    each_entry(fd, |name, kind| {
        let counts = name.ends_with(b".json") || name.ends_with(b".yaml");
        // Directories are not searched, whatever they are called.
        if counts && kind != FileType::Directory {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    });
    names.sort();
    for name in names {
        let path = dir.path.join(&name);
        let text = text(fd, &name, &path, dir.explicit, uid);
        let parsed = text.map_err(|problem| (None, problem)).and_then(|text| {
            spec::parse(&text).map_err(|unusable| (unusable.kind, FileProblem::Content(unusable.wrong)))
        });
        match parsed {
            Ok(spec) => files.loaded.push(Loaded { path, priority, spec }),
            Err((kind, problem)) => files.faults.push(FileFault { path, priority, kind, problem }),
        }
    }
}

/// The text of a file, by a descriptor that was judged.
fn text(directory: &OwnedFd, name: &OsStr, path: &Path, explicit: bool, uid: u32) -> Result<String, FileProblem> {
    use std::io::Read;
    let fail = |errno: Errno| FileProblem::Unreadable { errno: errno.raw_os_error() };
    // A named pipe in its place must not stop the start.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::LOOP) => return Err(FileProblem::WrongKind { found: "a symbolic link" }),
        Err(errno) => return Err(fail(errno)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(FileProblem::WrongKind { found: "no regular file" });
    }
    if let Some(why) = distrust(&stat, explicit, uid, false) {
        return Err(FileProblem::Untrusted { at: path.to_owned(), why });
    }
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    std::fs::File::from(fd)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| FileProblem::Unreadable { errno: error.raw_os_error().unwrap_or(libc::EIO) })?;
    if bytes.len() > MAX_BYTES {
        return Err(FileProblem::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| FileProblem::NoText)
}
