//! Whether a process of the sandbox is left, when another program stands between us and it.
//!
//! bubblewrap's second process waits for the first without being tied to it: killed at the wrong moment, the first one
//! leaves it behind for good. Every process of the sandbox but the command holds one end of a line, so what is left can
//! be found. A process that dies lets go of its descriptors before the kernel ends what is in its PID namespace, so init
//! says a word on the line, with which the kernel tells who it is: only its own end is the end of all.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::inner::NAME;
use crate::sys;

/// How long processes may take to die of each other's death before they are looked for, in nanoseconds.
const MOMENT: i64 = 20_000_000;

/// The end of the line that hangs up.
#[derive(Debug)]
pub struct Lifeline {
    ours: OwnedFd,
    /// The other end's name in `/proc/PID/fd`.
    theirs: OsString,
}

impl Lifeline {
    /// A line, and the sandbox's end of it.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::net::sockopt::set_socket_passcred(&ours, true)?;
        let name = OsString::from(format!("socket:[{}]", rustix::fs::fstat(&theirs)?.st_ino));
        Ok((Self { ours, theirs: name }, theirs))
    }

    /// Init's word.
    pub fn greet(theirs: BorrowedFd<'_>) -> io::Result<()> {
        rustix::net::send(theirs, b"!", SendFlags::NOSIGNAL).map(drop).map_err(Into::into)
    }

    /// Init, when it has said its word and has not been waited for. To be asked while it lives: a number that is free
    /// again may become another process's.
    pub fn init(&self) -> Option<OwnedFd> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut word = [0];
        let buffer = &mut [io::IoSliceMut::new(&mut word)];
        // Left there: supervisor and janitor share the line.
        rustix::net::recvmsg(&self.ours, buffer, &mut control, RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
        let pid = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(who) => Some(who.pid),
            _ => None,
        })?;
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
    }

    /// Waits until no process holds the other end, and until the whole of the sandbox has ended with `init`. Ends those
    /// that do not go by themselves, unless init is one that has others to end before (`tied` is false then).
    pub fn wait(&self, mut init: Option<OwnedFd>, tied: bool) {
        while !self.hangs_up_within(MOMENT) {
            // It may come to life only now: then its maker was killed while it made it.
            init = init.or_else(|| self.init());
            if tied {
                self.end_what_is_left();
            }
        }
        if let Some(init) = init {
            while poll(&mut [PollFd::new(&init, PollFlags::IN)], None).is_err() {}
        }
    }

    fn hangs_up_within(&self, nanoseconds: i64) -> bool {
        // What waits to be read is left there, so only the hang-up, which is always told, must wake it.
        let mut watched = [PollFd::new(&self.ours, PollFlags::empty())];
        matches!(poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: nanoseconds })), Ok(1..))
    }

    /// Ends what is found of the sandbox, for whom everything in it ends with init.
    pub fn end_what_is_left(&self) {
        // Then init's number may be another process's by now.
        if self.hangs_up_within(0) {
            return;
        }
        // What it holds cannot be seen any more when it has made itself unreadable.
        if let Some(init) = self.init() {
            sys::ignore(rustix::process::pidfd_send_signal(init, Signal::KILL));
        }
        end_orphans();
        self.end_holders();
    }

    fn end_holders(&self) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in numbers.filter(|pid| *pid != own).filter_map(Pid::from_raw) {
            let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // Looked at after it is held: the number cannot have become another process's.
            if self.is_held_by(pid) {
                sys::ignore(rustix::process::pidfd_send_signal(&process, Signal::KILL));
            }
        }
    }

    fn is_held_by(&self, pid: Pid) -> bool {
        let directory = format!("/proc/{}/fd", pid.as_raw_nonzero());
        let Ok(descriptors) = std::fs::read_dir(directory) else { return false };
        let mut targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| target.as_os_str() == self.theirs)
    }
}

/// Ends what bubblewrap has left to us when it was killed: see [`adopt_orphans`]. An ordinary user cannot see what such a
/// process holds.
fn end_orphans() {
    let Ok(children) = std::fs::read_to_string("/proc/thread-self/children") else { return };
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        if matches!(name.trim_end(), "bwrap" | NAME) {
            // Our own child, so its number is its own until we have waited for it.
            sys::ignore(rustix::process::kill_process(pid, Signal::KILL));
        }
    }
}

/// Makes this process the parent of what bubblewrap leaves behind.
pub(super) fn adopt_orphans() {
    sys::ignore(rustix::process::set_child_subreaper(Some(rustix::process::getpid())));
}

impl AsFd for Lifeline {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}
