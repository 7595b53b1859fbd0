//! Who runs the commands.

use std::fmt;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An ordinary user without an account: 65534 is no good, inside every foreign file seems to be its own.
const ORDINARY: u32 = 54321;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the suite.
    Caller,
    /// A user with this id.
    Ordinary(u32),
}

impl User {
    /// The least privileged one comes last.
    pub fn all() -> Vec<Self> {
        if Self::Caller.is_root() { vec![Self::Caller, Self::Ordinary(ORDINARY)] } else { vec![Self::Caller] }
    }

    pub fn is_root(self) -> bool {
        self == Self::Caller && rustix::process::geteuid().is_root()
    }

    /// Makes a path the user's own.
    pub fn give(self, path: &Path) {
        if let Self::Ordinary(id) = self {
            chown(path, Some(id), Some(id)).unwrap();
        }
    }

    /// Lets a command start as this user; the standard library drops the supplementary groups of root by itself.
    pub fn becomes(self, command: &mut Command) {
        if let Self::Ordinary(id) = self {
            command.uid(id).gid(id);
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller if self.is_root() => f.write_str("root"),
            Self::Caller => f.write_str("caller"),
            Self::Ordinary(id) => write!(f, "uid {id}"),
        }
    }
}

/// The binary under test; a copy in the lab where the user cannot walk to it.
pub fn reachable_binary(user: User, lab: &Path) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_ringfence"));
    let open_to_all = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o001 != 0);
    if user == User::Caller || built.ancestors().all(open_to_all) {
        return built;
    }
    let copy = lab.join("ringfence");
    std::fs::hard_link(&built, &copy).or_else(|_| std::fs::copy(&built, &copy).map(drop)).unwrap();
    copy
}
