//! What a command was seen to touch: told by the sandbox's first process, where the plan has it ask.

use std::ffi::OsString;

/// Names that mean another file for each process, and its own.
pub const OF_EACH_PROCESS: [&str; 5] = ["/proc", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];

/// What a call does with what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Looks at it: its attributes, where a link leads, whether it is there.
    Look,
    /// Opens it for reading, or lists it.
    Read,
    /// Executes it.
    Execute,
    /// Changes what is there: its content, or its attributes.
    Change,
    /// Makes it, removes it, or moves it here or away.
    Make,
    /// Makes it where something is already, so it fails with `EEXIST`.
    MakeAgain,
    /// Connects to a unix socket at a path.
    Unix,
    /// The same, where its view has nothing at that path.
    UnixAbsent,
    /// Connects to an address and port, or sends a datagram there.
    Internet,
    /// Makes a system call that is refused.
    Call,
    /// Nothing: from here on nothing more was noted, because there was too much.
    More,
}

impl Act {
    /// All of them; the place of one is its number.
    pub const ALL: [Self; 11] = [
        Self::Look,
        Self::Read,
        Self::Execute,
        Self::Change,
        Self::Make,
        Self::MakeAgain,
        Self::Unix,
        Self::UnixAbsent,
        Self::Internet,
        Self::Call,
        Self::More,
    ];

    /// Whether a file is changed, or which files there are.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Change | Self::Make)
    }
}

/// One thing that was named in a call, as it was before the call was carried out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// What was done, or tried.
    pub act: Act,
    /// A path as it leads there, without links; `address:port`; or the name of a call.
    pub what: OsString,
}
