//! What the command gets as descriptors 0, 1 and 2.
//!
//! A descriptor of a host mount is a way out: `/proc/self/fd/0` re-opens a file for writing past the read-only view, and
//! a directory can be walked from. So each stream is looked at, and what is not safe as it is is replaced or refused.

use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, SeekFrom as Position};
use rustix::mount::OpenTreeFlags;
use rustix::net::AddressFamily;

use crate::backend::{STDIO, StepError};
use crate::host::paths::{FileId, Kind, fd_path, id_of, kind_of};
use crate::plan::mounts::{Mount, MountOp};
use crate::plan::{Confinement, Plan};
use crate::request::Net;
use crate::sys;

/// What one stream becomes.
#[derive(Debug)]
pub enum Stream {
    /// What it is: a pipe, a unix socket, a file that is written to under the Landlock wall.
    Keep,
    /// What the caller has opened through such a mount already as [`Stream::ReadOnly`] is about.
    Anchored,
    /// The private terminal.
    Terminal,
    /// The sandbox's own device node of this path.
    Node(&'static str, OFlags),
    /// A file or directory read through a read-only mount of nothing but itself, at the same offset.
    ReadOnly {
        /// Where it is on the host.
        path: PathBuf,
        /// What it is.
        id: FileId,
        /// Whether it is a directory.
        dir: bool,
        /// File offset in bytes.
        offset: u64,
    },
}

impl Stream {
    /// A node as it was written down: one of ours, or `/dev/null`.
    #[must_use]
    pub fn node(path: &str, flags: u32) -> Self {
        let known = crate::policy::tables::BASE_DEVICES.iter().find(|(known, ..)| *known == path);
        Self::Node(known.map_or("/dev/null", |(path, ..)| *path), OFlags::from_bits_retain(flags))
    }
}

/// Decides about the three streams.
///
/// # Errors
/// A stream that cannot be made safe: it is named, with the way around.
pub fn classify(plan: &Plan) -> Result<[Stream; 3], StepError> {
    let Some(confinement) = &plan.confinement else {
        return Ok([Stream::Keep, Stream::Keep, Stream::Keep]);
    };
    Judge::of(confinement).streams()
}

/// What streams are judged by: what a plan says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// Numbers of devices that are there for the command anyway.
    pub devices: Vec<(u32, u32)>,
    /// What the plan hides.
    pub hidden: Vec<PathBuf>,
    /// Whether the network is the host's.
    pub host_network: bool,
    /// Whether the Landlock wall stands: then a file of the host can be handed in for writing.
    pub wall: bool,
}

impl Judge {
    /// By this plan.
    #[must_use]
    pub fn of(confinement: &Confinement) -> Self {
        let ops = &confinement.mounts.ops;
        let device = |op: &MountOp| match op.what {
            Mount::Device { major, minor, .. } => Some((major, minor)),
            _ => None,
        };
        let hiding = |op: &&MountOp| matches!(op.what, Mount::Mask { .. } | Mount::Veil { .. });
        Self {
            devices: ops.iter().filter_map(device).collect(),
            hidden: ops.iter().filter(hiding).map(|op| op.target.clone()).collect(),
            host_network: confinement.net.value == Net::Host,
            wall: confinement.landlock.abi > 0,
        }
    }

    /// Decides about the caller's three streams.
    ///
    /// # Errors
    /// As [`classify`].
    pub fn streams(&self) -> Result<[Stream; 3], StepError> {
        Ok([self.decide(0)?, self.decide(1)?, self.decide(2)?])
    }

    /// Whether a device is there for the command anyway.
    fn grants(&self, number: (u32, u32)) -> bool {
        self.devices.contains(&number)
    }

    /// Whether the plan hides the file that a descriptor is open on: through it, it could be read.
    fn hides(&self, fd: BorrowedFd<'_>) -> bool {
        fd_path(fd).map_or(true, |path| self.hidden.iter().any(|hidden| path.starts_with(hidden)))
    }

    /// Whether the plan hides something in the directory that a descriptor is open on, or the directory itself.
    fn hides_below(&self, fd: BorrowedFd<'_>) -> bool {
        let Ok(path) = fd_path(fd) else { return true };
        self.hides(fd) || self.hidden.iter().any(|hidden| hidden.starts_with(&path))
    }

    fn decide(&self, number: i32) -> Result<Stream, StepError> {
        let Some(fd) = sys::fd::borrow_if_open(number) else {
            return Ok(Stream::Node("/dev/null", if number == 0 { OFlags::RDONLY } else { OFlags::WRONLY }));
        };
        let name =
            Path::new(["standard input", "standard output", "standard error"][usize::try_from(number).unwrap_or(0)]);
        let refuse = |errno| StepError { step: STDIO.into(), path: Some(name.to_owned()), errno };
        let stat = rustix::fs::fstat(fd).map_err(|errno| StepError::new(STDIO, Some(name), errno))?;
        let flags = rustix::fs::fcntl_getfl(fd).map_err(|errno| StepError::new(STDIO, Some(name), errno))?;
        if flags.contains(OFlags::PATH) {
            return Err(refuse(libc::EBADF));
        }
        let reads_only = flags & OFlags::RWMODE == OFlags::RDONLY;
        match kind_of(&stat) {
            Kind::Fifo => Ok(Stream::Keep),
            Kind::Char { .. } if rustix::termios::isatty(fd) => Ok(Stream::Terminal),
            Kind::Char { major, minor } => match node(major, minor) {
                // Denied by its name, it leads nowhere else either.
                Some(_) if !self.grants((major, minor)) => Ok(Stream::Keep),
                Some(path) => Ok(Stream::Node(path, flags & (OFlags::RWMODE | OFlags::APPEND))),
                None if self.grants((major, minor)) => Ok(Stream::Keep),
                None => Err(refuse(libc::EPERM)),
            },
            Kind::Socket if self.host_network || is_unix(fd) => Ok(Stream::Keep),
            // An internet socket of the host could be connected elsewhere from inside.
            Kind::Socket => Err(refuse(libc::EPERM)),
            Kind::Block => Err(refuse(libc::EPERM)),
            // Deleted, as the files of here-documents are, or never named (memfd): nobody else finds it by its name.
            Kind::File if stat.st_nlink == 0 => Ok(Stream::Keep),
            Kind::File if !reads_only && self.wall && !self.hides(fd) => Ok(Stream::Keep),
            Kind::File if !reads_only => Err(refuse(libc::EPERM)),
            Kind::Dir if self.hides_below(fd) => Err(refuse(libc::EPERM)),
            Kind::File if self.hides(fd) => Err(refuse(libc::EPERM)),
            kind => {
                read_only(fd, kind == Kind::Dir, id_of(&stat)).map_err(|errno| StepError::new(STDIO, Some(name), errno))
            }
        }
    }
}

fn read_only(fd: BorrowedFd<'_>, dir: bool, id: FileId) -> Result<Stream, rustix::io::Errno> {
    let path = fd_path(fd)?;
    let offset = if dir { 0 } else { rustix::fs::seek(fd, Position::Current(0))? };
    Ok(Stream::ReadOnly { path, id, dir, offset })
}

/// Harmless memory devices, by number.
fn node(major: u32, minor: u32) -> Option<&'static str> {
    crate::policy::tables::BASE_DEVICES
        .iter()
        .find(|(path, known, known_minor)| (major, minor) == (*known, *known_minor) && *path != "/dev/tty")
        .map(|(path, ..)| *path)
}

fn is_unix(fd: BorrowedFd<'_>) -> bool {
    rustix::net::sockopt::socket_domain(fd).is_ok_and(|family| family == AddressFamily::UNIX)
}

/// Opens a [`Stream::Node`]: the sandbox's own.
///
/// # Errors
/// As open(2).
pub fn open_node(path: &str, flags: OFlags) -> Result<OwnedFd, StepError> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
        .map_err(|error| StepError::new("open", Some(Path::new(path)), error))
}

/// Opens the streams anew where they can be seen, by an init that cannot mount: what it opens is what the command could
/// open.
///
/// # Errors
/// A stream whose file is hidden, or is another one by now.
pub fn open_in_place(streams: &[Stream; 3]) -> Result<[Option<OwnedFd>; 3], StepError> {
    let mut opened = [const { None }; 3];
    for (slot, stream) in opened.iter_mut().zip(streams) {
        *slot = match stream {
            Stream::Keep | Stream::Anchored | Stream::Terminal => None,
            Stream::Node(path, flags) => Some(open_node(path, *flags)?),
            Stream::ReadOnly { path, id, dir, offset } => Some(open_visible(path, *id, *dir, *offset)?),
        };
    }
    Ok(opened)
}

fn open_visible(path: &Path, id: FileId, dir: bool, offset: u64) -> Result<OwnedFd, StepError> {
    let fail = |error: rustix::io::Errno| StepError::new(STDIO, Some(path), error);
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | if dir { OFlags::DIRECTORY } else { OFlags::NOCTTY };
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
    if id_of(&rustix::fs::fstat(&opened).map_err(fail)?) != id {
        return Err(StepError::changed(STDIO, path));
    }
    at_offset(opened, offset).map_err(|error| StepError::new(STDIO, Some(path), error))
}

fn at_offset(opened: OwnedFd, offset: u64) -> std::io::Result<OwnedFd> {
    if offset == 0 {
        return Ok(opened);
    }
    let mut file = std::fs::File::from(opened);
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.into())
}

/// Opens a [`Stream::ReadOnly`] through a detached read-only mount of just that file. Runs in the new mount namespace,
/// before anything is mounted over the path.
///
/// # Errors
/// When the path leads elsewhere by now, or cannot be mounted.
pub fn open_read_only(path: &Path, id: FileId, dir: bool, offset: u64) -> Result<OwnedFd, StepError> {
    let fail = |error: rustix::io::Errno| StepError::new(STDIO, Some(path), error);
    let found = rustix::fs::openat2(
        rustix::fs::CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(fail)?;
    if id_of(&rustix::fs::fstat(&found).map_err(fail)?) != id {
        return Err(StepError::changed(STDIO, path));
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&found, "", flags).map_err(fail)?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    sys::mount::set_attributes(tree.as_fd(), false, attributes)
        .map_err(|error| StepError::new(STDIO, Some(path), error))?;
    let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&tree));
    let kind = if dir { OFlags::DIRECTORY } else { OFlags::NOCTTY };
    let opened = rustix::fs::open(magic, OFlags::RDONLY | OFlags::CLOEXEC | kind, Mode::empty()).map_err(fail)?;
    at_offset(opened, offset).map_err(|error| StepError::new(STDIO, Some(path), error))
}
