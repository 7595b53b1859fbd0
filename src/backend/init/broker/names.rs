//! Opens names of threads for the command, where the wall lets it write nothing in `/proc`.
//!
//! A call that names a thread of its own caller is done here: the file is opened by init, which stands outside the wall,
//! and the caller gets the descriptor. Every other one, and one with any doubt about it, goes on to the kernel; there the
//! wall refuses all writing in `/proc`. What is opened is never the path in the caller's memory, but one made here of
//! numbers.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags};

use super::memory::{Memory, is_procfs, open};
use crate::sys::seccomp::{Listener, Notification};

const PROC: &[u8] = b"/proc/";

/// Longer than any path that names a thread.
const LONGEST: usize = 64;

/// The file that names the thread which the call names, if it is one of its caller's; and whether the caller wants it
/// closed on exec.
///
/// The caller's thread waits: as long as the call does, its number, its group's and the group in `/proc` are the same.
pub(super) fn open_name(listener: &Listener, proc: &OwnedFd, call: &Notification) -> Option<(OwnedFd, bool)> {
    let (path, flags) = words(call)?;
    let access = access(flags)?;
    let text = Memory { proc, thread: call.tid }.text(path, LONGEST)?;
    // Most calls end here, with one file read.
    if !text.starts_with(PROC) {
        return None;
    }
    let group = group_of(proc, call.tid)?;
    // Now it is certain that all this was said of the caller, and not of another thread that got its number.
    if !listener.is_waiting(call.id) {
        return None;
    }
    let thread = named_thread(&text, group, call.tid)?;
    let name = format!("{group}/task/{thread}/comm");
    let flags_of_ours = access | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(proc, name, flags_of_ours, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    let as_planned = kind == FileType::RegularFile && is_procfs(&file).ok()? && listener.is_waiting(call.id);
    as_planned.then_some((file, flags.contains(OFlags::CLOEXEC)))
}

/// Where the path lies in the caller's memory, and the flags.
fn words(call: &Notification) -> Option<(u64, OFlags)> {
    let args = call.args;
    // The kernel takes the low word.
    let flags = |word: u64| OFlags::from_bits_retain(u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0));
    match libc::c_long::from(call.number) {
        libc::SYS_openat => Some((args[1], flags(args[2]))),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => Some((args[0], flags(args[1]))),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat => Some((args[0], OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)),
        _ => None,
    }
}

/// What the file is opened for. `None` for flags with which the kernel would not open an existing file, or not for
/// that; the others make no difference to this one.
fn access(flags: OFlags) -> Option<OFlags> {
    let other = OFlags::PATH | OFlags::DIRECTORY | OFlags::DIRECT;
    if flags.intersects(other) || flags.contains(OFlags::CREATE | OFlags::EXCL) {
        return None;
    }
    let access = flags & (OFlags::WRONLY | OFlags::RDWR);
    [OFlags::WRONLY, OFlags::RDWR].contains(&access).then_some(access)
}

/// The process that a thread belongs to.
fn group_of(proc: &OwnedFd, thread: i32) -> Option<i32> {
    let mut status = Vec::new();
    open(proc, format!("{thread}/status"))?.read_to_end(&mut status).ok()?;
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:\t"))?;
    number(line)
}

/// The thread whose name is at a path, for a caller with these numbers: one of its own, and no spelling but the plain ones.
fn named_thread(path: &[u8], group: i32, thread: i32) -> Option<i32> {
    let parts: Vec<&[u8]> = path.strip_prefix(PROC)?.split(|byte| *byte == b'/').collect();
    let own = |part: &[u8]| part == b"self" || number(part) == Some(group);
    match *parts.as_slice() {
        [b"thread-self", b"comm"] => Some(thread),
        [process, b"comm"] if own(process) => Some(group),
        [process, b"task", named, b"comm"] if own(process) => number(named),
        _ => None,
    }
}

/// A number as the kernel writes it.
fn number(text: &[u8]) -> Option<i32> {
    let plain = text.iter().all(u8::is_ascii_digit) && text.first().is_some_and(|first| *first != b'0');
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::init::broker::memory::own_proc;

    #[test]
    fn exactly_the_callers_own_threads_have_names_here() {
        let own = [
            ("/proc/self/comm", 70),
            ("/proc/70/comm", 70),
            ("/proc/thread-self/comm", 71),
            ("/proc/self/task/72/comm", 72),
            ("/proc/70/task/72/comm", 72),
            // Whether there is such a thread in the group, its directory tells.
            ("/proc/self/task/1/comm", 1),
            ("/proc/70/task/2147483647/comm", i32::MAX),
        ];
        for (path, thread) in own {
            assert_eq!(named_thread(path.as_bytes(), 70, 71), Some(thread), "{path}");
        }
    }

    #[test]
    fn other_processes_files_and_spellings_do_not() {
        let none = [
            "",
            "/",
            "comm",
            "self/comm",
            "/proc",
            "/proc/",
            "/proc/comm",
            "/proc/self",
            "/proc/self/",
            "/proc/self/comm/",
            "/proc/self/comm2",
            "/proc/self/com",
            "/proc/self/Comm",
            "/proc/self/comm\n",
            "/proc/self/comm ",
            "/proc/Self/comm",
            "/proc//self/comm",
            "//proc/self/comm",
            "/./proc/self/comm",
            "/proc/./self/comm",
            "/proc/self/./comm",
            "/proc/self//comm",
            "/proc/self/../71/comm",
            "/proc/../proc/self/comm",
            "/proc/self/root/proc/self/comm",
            "/proc/self/cwd/comm",
            "/proc/self/task/comm",
            "/proc/self/task//comm",
            "/proc/self/task/self/comm",
            "/proc/self/task/72/comm/",
            "/proc/self/task/72/task/72/comm",
            "/proc/self/task/../comm",
            "/proc/self/task/72/../72/comm",
            "/proc/self/task/072/comm",
            "/proc/self/task/0/comm",
            "/proc/self/task/-72/comm",
            "/proc/self/task/+72/comm",
            "/proc/self/task/ 72/comm",
            "/proc/self/task/0x48/comm",
            "/proc/self/task/2147483648/comm",
            "/proc/self/task/99999999999999999999/comm",
            "/proc/self/task/72/oom_score_adj",
            "/proc/self/oom_score_adj",
            "/proc/thread-self/task/72/comm",
            "/proc/thread-self/oom_score_adj",
            // The thread's number is not the group's, nor is another process'.
            "/proc/71/comm",
            "/proc/71/task/72/comm",
            "/proc/1/comm",
            "/proc/1/task/72/comm",
            "/proc/070/comm",
            "/proc/70\0/comm",
            "/proc/sys/comm",
            "/proc/sys/kernel/hostname",
            "/tmp/proc/self/comm",
        ];
        for path in none {
            assert_eq!(named_thread(path.as_bytes(), 70, 71), None, "{path}");
        }
        assert_eq!(named_thread(b"/proc/self/comm\xff", 70, 71), None);
        assert_eq!(named_thread(b"/proc/self/task/\xff/comm", 70, 71), None);
    }

    #[test]
    fn only_the_access_mode_is_taken_over() {
        let [write, both] = [OFlags::WRONLY, OFlags::RDWR];
        let table = [
            (write, Some(write)),
            (both, Some(both)),
            (write | OFlags::CLOEXEC, Some(write)),
            (write | OFlags::CREATE | OFlags::TRUNC, Some(write)),
            (both | OFlags::APPEND | OFlags::NONBLOCK | OFlags::EXCL | OFlags::NOFOLLOW, Some(both)),
            (OFlags::empty(), None),
            (OFlags::CREATE | OFlags::TRUNC, None),
            (write | both, None),
            (write | OFlags::CREATE | OFlags::EXCL, None),
            (both | OFlags::PATH, None),
            (both | OFlags::DIRECTORY, None),
            (both | OFlags::TMPFILE, None),
            (write | OFlags::DIRECT, None),
        ];
        for (flags, want) in table {
            assert_eq!(access(flags), want, "{flags:?}");
        }
    }

    #[test]
    fn the_arguments_are_where_the_calls_have_them() {
        let words = |number: libc::c_long| {
            let number = i32::try_from(number).unwrap();
            let high = 0xdead_beef << 32;
            words(&Notification { id: 1, tid: 2, number, args: [high | 1, high | 2, high | 0o1002, 0o644, 0, 0] })
        };
        let high = 0xdead_beef_0000_0000;
        assert_eq!(words(libc::SYS_openat), Some((high | 2, OFlags::RDWR | OFlags::TRUNC)));
        assert_eq!(words(libc::SYS_read), None);
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!(words(libc::SYS_open), Some((high | 1, OFlags::RDWR)));
            let creat = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            assert_eq!(words(libc::SYS_creat), Some((high | 1, creat)));
        }
    }

    #[test]
    fn a_path_is_read_up_to_its_end_and_no_further_than_a_name_goes() {
        let proc = own_proc().unwrap();
        let caller = rustix::thread::gettid().as_raw_nonzero().get();
        let memory = Memory { proc: &proc, thread: caller };
        let read = |text: &[u8]| memory.text(text.as_ptr().addr() as u64, LONGEST);
        assert_eq!(read(b"/proc/self/comm\0more").unwrap(), b"/proc/self/comm");
        assert_eq!(read(&[b'x'; 200]), None);
        assert_eq!(memory.text(0, LONGEST), None);
        assert_eq!(memory.text(u64::MAX, LONGEST), None);
        assert_eq!(group_of(&proc, caller), Some(rustix::process::getpid().as_raw_nonzero().get()));
    }
}
