//! Where sessions stand: a directory of the user's that nobody else can enter, with one directory for each.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Flock, FlockType, Pid, PidfdFlags, Signal};

use super::terms::Terms;

/// How long a session that is stopped may take: its commands have two seconds of grace.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many callers may wait to be heard.
const BACKLOG: i32 = 1024;

const LOCK: &str = "lock";
const SOCKET: &str = "socket";
const TERMS: &str = "terms";

/// What may be wrong with a session, as its user sees it.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no private directory for the user.
    #[error("there is no directory for sessions: {0}")]
    NoPlace(String),
    /// No name of a session.
    #[error(
        "`{0}` is no name for a session: letters, digits, `-`, `_` and `.`, at most 64, and no dot at the beginning"
    )]
    Name(String),
    /// It runs already.
    #[error("session `{0}` runs already")]
    Runs(String),
    /// It does not run.
    #[error("there is no session `{0}`")]
    Missing(String),
    /// It is not ready.
    #[error("session `{0}` is still starting")]
    Starting(String),
    /// It does not end.
    #[error("session `{name}` does not end: process {process} keeps it")]
    Stuck {
        /// Its name.
        name: String,
        /// Its supervisor.
        process: i32,
    },
    /// A step failed.
    #[error("{step} `{}`: {error}", path.display())]
    Step {
        /// In words.
        step: &'static str,
        /// What it was about.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl SessionError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPlace(_) => {
                "export XDG_RUNTIME_DIR=DIR, a directory of yours that nobody else can enter".to_owned()
            }
            Self::Runs(name) => {
                format!("ringfence exec {name} -- COMMAND runs a command in it, ringfence session stop {name} ends it")
            }
            Self::Missing(name) => {
                format!("ringfence session start {name} makes it, ringfence session list shows what there is")
            }
            Self::Starting(_) => "try again in a moment".to_owned(),
            Self::Stuck { process, .. } => format!("kill -KILL {process}"),
            Self::Step { error, .. } if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                "a socket's path has at most 107 bytes: export XDG_RUNTIME_DIR=DIR, with a shorter one".to_owned()
            }
            Self::Step { error, .. } if error.kind() == std::io::ErrorKind::InvalidData => {
                "start it again with this version".to_owned()
            }
            Self::Name(_) | Self::Step { .. } => return None,
        })
    }

    fn step(step: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Step { step, path: path.to_owned(), error }
    }
}

/// The sessions of this user.
#[derive(Debug, Clone)]
pub struct Place {
    directory: PathBuf,
}

/// A session that this process keeps. It is gone with this.
#[derive(Debug)]
pub struct Claim {
    /// What callers know it by.
    pub directory: PathBuf,
    keeper: Pid,
    _lock: File,
    /// Where commands are asked for.
    pub listener: OwnedFd,
}

/// A session that runs.
#[derive(Debug)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its supervisor.
    pub process: Pid,
    /// Its terms, once it stands.
    pub terms: Option<Terms>,
}

impl Place {
    /// `ringfence` below `$XDG_RUNTIME_DIR` or `/run/user/UID`; for root, who may have neither, below `/run`.
    ///
    /// # Errors
    /// Where none of them is there, is the user's, and is closed to others.
    pub fn of_user() -> Result<Self, SessionError> {
        let uid = rustix::process::geteuid();
        let said = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = said.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", uid.as_raw())));
        let base = if uid.is_root() && !base.exists() { PathBuf::from("/run") } else { base };
        if base != Path::new("/run") {
            is_private(&base, uid.as_raw())?;
        }
        let directory = base.join("ringfence");
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(SessionError::NoPlace(format!("{}: {error}", directory.display())));
            }
            _ => is_private(&directory, uid.as_raw())?,
        }
        Ok(Self { directory })
    }

    fn of(&self, name: &str) -> Result<PathBuf, SessionError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let good = (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed);
        if good { Ok(self.directory.join(name)) } else { Err(SessionError::Name(name.to_owned())) }
    }

    /// Takes a name for this process. What was left of a session that is gone is removed.
    ///
    /// # Errors
    /// When somebody has it, or there can be no socket.
    pub fn claim(&self, name: &str) -> Result<Claim, SessionError> {
        let directory = self.of(name)?;
        let lock = loop {
            if let Err(error) = fs::DirBuilder::new().mode(0o700).create(&directory)
                && error.kind() != std::io::ErrorKind::AlreadyExists
            {
                return Err(SessionError::step("make", &directory)(error));
            }
            let path = directory.join(LOCK);
            let opened =
                OpenOptions::new().write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path);
            let lock = match opened {
                // Who had it is removing it now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(SessionError::step("open", &path))?,
            };
            match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(SessionError::Runs(name.to_owned())),
                locked => locked.map_err(|error| SessionError::step("lock", &path)(error.into()))?,
            }
            let own = lock.metadata().map_err(SessionError::step("look at", &path))?.ino();
            if fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == own) {
                break lock;
            }
        };
        let path = directory.join(SOCKET);
        for left in [&path, &directory.join(TERMS)] {
            crate::sys::ignore(fs::remove_file(left));
        }
        let listener = listen(&path).map_err(|error| SessionError::step("listen at", &path)(error.into()))?;
        Ok(Claim { directory, keeper: rustix::process::getpid(), _lock: lock, listener })
    }

    /// A session that stands, by a line to its init.
    ///
    /// # Errors
    /// When there is none of this name, or it does not stand yet.
    pub fn connect(&self, name: &str) -> Result<(OwnedFd, Terms), SessionError> {
        let directory = self.of(name)?;
        Ok((line_to(&directory)?, terms_of(&directory)?))
    }

    /// The sessions that run, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Running>, SessionError> {
        let entries = fs::read_dir(&self.directory).map_err(SessionError::step("read", &self.directory))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let running = |name: String| {
            let directory = self.of(&name).ok()?;
            let process = holder(&directory)?;
            Some(Running { name, process, terms: terms(&directory).ok().flatten() })
        };
        let mut found: Vec<_> = names.filter_map(running).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Ends a session with all that runs in it.
    ///
    /// # Errors
    /// When there is none of this name, or it does not end.
    pub fn stop(&self, name: &str) -> Result<(), SessionError> {
        let directory = self.of(name)?;
        let missing = || SessionError::Missing(name.to_owned());
        let process = holder(&directory).ok_or_else(missing)?;
        let fail = |error: Errno| SessionError::step("end", &directory)(error.into());
        let pidfd = match rustix::process::pidfd_open(process, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Err(missing()),
            opened => opened.map_err(fail)?,
        };
        // The number may be another process's by now; the lock is not.
        if holder(&directory) != Some(process) {
            return Err(missing());
        }
        rustix::process::pidfd_send_signal(&pidfd, Signal::TERM).map_err(fail)?;
        let wait = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let ended = rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&wait)));
        match ended {
            Ok(0) => Err(SessionError::Stuck { name: name.to_owned(), process: process.as_raw_nonzero().get() }),
            ended => ended.map(drop).map_err(fail),
        }
    }
}

impl Claim {
    /// Tells what callers must know: from now on commands can be started.
    ///
    /// # Errors
    /// As write(2) and rename(2).
    pub fn stands(&self, terms: &Terms) -> std::io::Result<()> {
        let (new, path) = (self.directory.join("terms.new"), self.directory.join(TERMS));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&terms.to_bytes()?)?;
        fs::rename(new, path)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Children of the keeper have copies.
        if self.keeper != rustix::process::getpid() {
            return;
        }
        for name in [SOCKET, TERMS, "terms.new", LOCK] {
            crate::sys::ignore(fs::remove_file(self.directory.join(name)));
        }
        crate::sys::ignore(fs::remove_dir(&self.directory));
    }
}

/// A line to the init of the session that has this directory.
///
/// # Errors
/// When it does not run.
pub fn line_to(directory: &Path) -> Result<OwnedFd, SessionError> {
    let path = directory.join(SOCKET);
    match dial(&path) {
        Err(Errno::NOENT | Errno::CONNREFUSED) => Err(SessionError::Missing(name_of(directory))),
        line => line.map_err(|error| SessionError::step("connect to", &path)(error.into())),
    }
}

/// The terms of the session that has this directory.
///
/// # Errors
/// When it does not stand yet, or another version of this program keeps it.
pub fn terms_of(directory: &Path) -> Result<Terms, SessionError> {
    terms(directory)?.ok_or_else(|| SessionError::Starting(name_of(directory)))
}

fn name_of(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether nobody else gets into a directory.
fn is_private(directory: &Path, uid: u32) -> Result<(), SessionError> {
    let no = |why: String| Err(SessionError::NoPlace(format!("{} {why}", directory.display())));
    match fs::symlink_metadata(directory) {
        Err(error) => no(format!("cannot be used: {error}")),
        Ok(found) if !found.is_dir() => no("is no directory".to_owned()),
        Ok(found) if found.uid() != uid => no(format!("belongs to user {}", found.uid())),
        Ok(found) if found.mode() & 0o077 != 0 => {
            no(format!("can be entered by others (mode {:o})", found.mode() & 0o7777))
        }
        Ok(_) => Ok(()),
    }
}

fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Nobody is waited for by who accepts: a caller that has gone again is none.
fn listen(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn dial(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn terms(directory: &Path) -> Result<Option<Terms>, SessionError> {
    let path = directory.join(TERMS);
    match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.and_then(|bytes| Terms::from_bytes(&bytes)).map(Some).map_err(SessionError::step("read", &path)),
    }
}

/// The process that holds the lock of a session.
fn holder(directory: &Path) -> Option<Pid> {
    let lock = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(directory.join(LOCK)).ok()?;
    rustix::process::fcntl_getlk(&lock, &Flock::from(FlockType::WriteLock)).ok()??.pid
}
