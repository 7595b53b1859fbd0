//! What a call names lies in its caller's memory, and what that is relative to in its caller's `/proc`.
//!
//! It can be read of every process of the sandbox that may be looked into: all are init's descendants, and its user's. It
//! fails for one that has made itself unreadable, and wherever the kernel lets init look into none (Yama's `ptrace_scope` 2
//! and 3).

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;

/// A thread that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) proc: &'a OwnedFd,
    pub(super) thread: i32,
}

impl Memory<'_> {
    /// So many bytes at an address, or fewer where the memory ends.
    pub(super) fn bytes(self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = open(self.proc, format!("{}/mem", self.thread))?.read_at(&mut bytes, address).ok()?;
        bytes.truncate(read);
        Some(bytes)
    }

    /// The text at an address, without the zero that ends it; none if that does not come within `longest` bytes.
    pub(super) fn text(self, address: u64, longest: usize) -> Option<Vec<u8>> {
        let mut text = self.bytes(address, longest)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        text.truncate(end);
        Some(text)
    }

    /// Where a link of the thread's directory leads: `cwd`, `fd/3`.
    pub(super) fn link(self, name: &str) -> Option<PathBuf> {
        let target = rustix::fs::readlinkat(self.proc, format!("{}/{name}", self.thread), Vec::new()).ok()?;
        Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }
}

/// `/proc`, unless it shows another PID namespace than this one: its numbers would be those of other processes.
pub(super) fn own_proc() -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    let shown = rustix::fs::readlinkat(&proc, "self", Vec::new())?;
    if shown.to_bytes() == own.as_bytes() && is_procfs(&proc)? { Ok(proc) } else { Err(Errno::NOENT) }
}

pub(super) fn is_procfs(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == PROC_SUPER_MAGIC)
}

pub(super) fn open(proc: &OwnedFd, name: String) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Some(rustix::fs::openat(proc, name, flags, Mode::empty()).ok()?.into())
}
