//! Whether a process of the sandbox is left, when another program stands between us and it.
//!
//! bubblewrap's second process waits for the first without being tied to it: killed at the wrong moment, the first one
//! leaves it behind for good. Every process of the sandbox but the command holds one end of a pipe, so what is left can
//! be found.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::sys;

/// How long processes may take to die of each other's death before they are looked for, in nanoseconds.
const MOMENT: i64 = 20_000_000;

/// The end of the pipe that hangs up.
#[derive(Debug)]
pub struct Lifeline(pub OwnedFd);

impl Lifeline {
    /// Waits until no process holds the other end, and ends those that do not go by themselves, unless init is one that
    /// has others to end before (`tied` is false then).
    pub fn wait(&self, tied: bool) {
        while !self.has_hung_up() {
            if tied {
                self.end_holders();
            }
        }
    }

    fn has_hung_up(&self) -> bool {
        let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: MOMENT })), Ok(1..))
    }

    fn end_holders(&self) {
        let Ok(stat) = rustix::fs::fstat(&self.0) else { return };
        let pipe = OsString::from(format!("pipe:[{}]", stat.st_ino));
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in numbers.filter(|pid| *pid != own).filter_map(Pid::from_raw) {
            let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // Looked at after it is held: the number cannot have become another process's.
            if holds(pid, &pipe) {
                sys::ignore(rustix::process::pidfd_send_signal(&process, Signal::KILL));
            }
        }
    }
}

/// Whether a process holds the end that is written to; supervisor and janitor hold the other one.
fn holds(pid: Pid, pipe: &OsString) -> bool {
    let directory = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let Ok(descriptors) = std::fs::read_dir(directory) else { return false };
    descriptors.flatten().any(|entry| {
        let is_pipe = std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == pipe);
        is_pipe && is_written_to(&entry.path())
    })
}

/// The mode of the link in /proc tells how the descriptor was opened (proc(5)).
fn is_written_to(link: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(link).is_ok_and(|metadata| metadata.mode() & 0o200 != 0)
}
