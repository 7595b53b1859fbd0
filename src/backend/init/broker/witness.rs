//! Notes what the command's calls name, each thing once, before the calls go on.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::memory::Memory;
use super::place::{Place, place};
use super::words::{self, How, Word};
use crate::backend::init::message::{Report, report, report_now};
use crate::plan::seen::{Act, Seen};
use crate::plan::syscalls::Watch;
use crate::sys::seccomp::{Listener, Notification};

/// So many different things are noted, with names of so many bytes: a command must not fill the memory of who watches it.
const MOST: usize = 50_000;
const MOST_BYTES: usize = 8 << 20;

/// What has been noted of one command.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Whether more is noted than what may be refused.
    everything: bool,
    /// The acts and words that were noted, as they were said.
    known: HashSet<(Act, Vec<u8>)>,
    /// How long the words are together.
    bytes: usize,
    /// What has not been told yet.
    untold: VecDeque<Seen>,
}

impl Witness {
    pub(super) fn new(watch: Watch) -> Self {
        Self { everything: watch == Watch::Everything, ..Self::default() }
    }

    /// Notes what a waiting call names.
    pub(super) fn note(&mut self, listener: &Listener, proc: &OwnedFd, call: &Notification) {
        let memory = Memory { proc, thread: call.tid };
        let address =
            words::address(call.number, &call.args).and_then(|address| memory.bytes(address.at, address.length));
        let paths = words::paths(call.number, &call.args);
        let named: Vec<_> =
            paths.into_iter().flatten().filter_map(|word| Some((word, said(memory, word, call)?))).collect();
        // Now it is certain that all this was said of the caller, and not of another thread that got its number.
        if !listener.is_waiting(call.id) {
            return;
        }
        if let Some(address) = address {
            self.note_address(proc, memory, &address);
        }
        for (word, path) in named {
            if let Some(how) = as_opened(memory, call, word.how) {
                self.note_path(proc, Word { how, ..word }, &path);
            }
        }
    }

    /// Notes a call that is refused, and why.
    pub(super) fn note_refusal(&mut self, call: &str, why: &str) {
        let text = format!("{call} {why}");
        self.add((Act::Call, text.clone().into_bytes()), || Some(text.into()));
    }

    /// Tells what has been noted, without waiting for room on the line.
    pub(super) fn tell(&mut self, control: BorrowedFd<'_>) {
        while let Some(seen) = self.untold.pop_front() {
            let told = Report::Seen(seen);
            if let (false, Report::Seen(seen)) = (report_now(control, &told), told) {
                self.untold.push_front(seen);
                return;
            }
        }
    }

    /// Tells the rest, when the command has ended and the supervisor listens.
    pub(super) fn finish(self, control: BorrowedFd<'_>) {
        for seen in self.untold {
            report(control, &Report::Seen(seen));
        }
    }

    fn note_path(&mut self, proc: &OwnedFd, word: Word, path: &Path) {
        let how = word.how;
        let bytes = path.as_os_str().as_bytes().to_vec();
        // What is known need not be looked up.
        if acts(how).iter().all(|act| self.known.contains(&(*act, bytes.clone()))) {
            return;
        }
        let Place { path: at, there } = place(proc, path, word.follows);
        if let Some(act) = act(how, there) {
            // By which links it went there, the path tells.
            let is_plain = !path.components().any(|part| part == Component::ParentDir);
            if there && self.everything && at != path && is_plain {
                self.add((Act::Look, bytes.clone()), || Some(path.into()));
            }
            self.add((act, bytes), || Some(at.into_os_string()));
        }
    }

    fn note_address(&mut self, proc: &OwnedFd, memory: Memory<'_>, address: &[u8]) {
        let Some((family, rest)) = address.split_first_chunk::<2>() else { return };
        match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_UNIX => {
                // A name that begins with a zero is no path.
                let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                let Some(path) = (!name.is_empty()).then(|| Path::new(OsStr::from_bytes(name))) else { return };
                let Some(path) = whole(memory, None, path) else { return };
                let Place { path: at, there } = place(proc, &path, true);
                let act = if there { Act::Unix } else { Act::UnixAbsent };
                self.add((act, path.into_os_string().into_vec()), || Some(at.into_os_string()));
            }
            family => {
                if let Some(address) = internet(family, rest) {
                    let text = address.to_string();
                    self.add((Act::Internet, text.clone().into_bytes()), || Some(text.into()));
                }
            }
        }
    }

    fn add(&mut self, key: (Act, Vec<u8>), what: impl FnOnce() -> Option<OsString>) {
        let is_full = |witness: &Self| witness.known.len() > MOST || witness.bytes > MOST_BYTES;
        if is_full(self) || self.known.contains(&key) {
            return;
        }
        let act = key.0;
        self.bytes += key.1.len();
        self.known.insert(key);
        if is_full(self) {
            self.untold.push_back(Seen { act: Act::More, what: OsString::new() });
        } else if let Some(what) = what() {
            self.untold.push_back(Seen { act, what });
        }
    }
}

/// The path of a word, from the root on, as it is said.
fn said(memory: Memory<'_>, word: Word, call: &Notification) -> Option<PathBuf> {
    let path = memory.text(*call.args.get(word.path)?, libc::PATH_MAX as usize)?;
    let directory = word.dir.and_then(|dir| call.args.get(dir)).copied();
    whole(memory, directory, Path::new(OsStr::from_bytes(&path)))
}

/// A path from the root on: relative ones belong to a descriptor of the caller's, or to its working directory.
fn whole(memory: Memory<'_>, directory: Option<u64>, path: &Path) -> Option<PathBuf> {
    if path.is_absolute() {
        return Some(path.to_owned());
    }
    // The kernel takes the low word.
    let number = directory.and_then(|word| u32::try_from(word & u64::from(u32::MAX)).ok()).map(u32::cast_signed);
    let directory = match number {
        None | Some(libc::AT_FDCWD) => memory.link("cwd")?,
        Some(number) => memory.link(&format!("fd/{number}"))?,
    };
    // Pipes and such have names that are no paths.
    directory.is_absolute().then(|| if path.as_os_str().is_empty() { directory.clone() } else { directory.join(path) })
}

/// With the flags of openat2, which lie in memory.
fn as_opened(memory: Memory<'_>, call: &Notification, how: How) -> Option<How> {
    let How::OpenAs(word) = how else { return Some(how) };
    let flags = memory.bytes(*call.args.get(word)?, 8)?;
    let flags = u64::from_ne_bytes(*flags.first_chunk::<8>()?);
    Some(How::Open(OFlags::from_bits_retain(u32::try_from(flags & u64::from(u32::MAX)).ok()?)))
}

/// All that a call may turn out to do.
fn acts(how: How) -> Vec<Act> {
    [true, false].into_iter().filter_map(|there| act(how, there)).collect()
}

/// What a call does where something is, or is not. `None` where it fails anyway, and where nothing is touched.
fn act(how: How, there: bool) -> Option<Act> {
    Some(match how {
        How::Open(flags) if flags.contains(OFlags::TMPFILE) => Act::Make,
        How::Open(flags) if flags.contains(OFlags::PATH) => Act::Look,
        How::Open(flags) if flags.contains(OFlags::CREATE) && !there => Act::Make,
        How::Open(flags) if flags.contains(OFlags::CREATE | OFlags::EXCL) => Act::MakeAgain,
        How::Open(flags) if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) => Act::Change,
        How::Open(_) | How::OpenAs(_) => Act::Read,
        How::Make => {
            if there {
                Act::MakeAgain
            } else {
                Act::Make
            }
        }
        How::Remove if there => Act::Make,
        How::Replace => Act::Make,
        How::Change if there => Act::Change,
        How::Execute => Act::Execute,
        How::Remove | How::Change | How::Look => Act::Look,
    })
}

fn internet(family: i32, rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match family {
        libc::AF_INET => Some((Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into()),
        // Behind the flow label.
        libc::AF_INET6 => Some((Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?), port).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_does_depends_on_what_is_there() {
        let open = |flags| How::Open(flags);
        let make = OFlags::WRONLY | OFlags::CREATE;
        let table = [
            (open(OFlags::RDONLY), [Act::Read, Act::Read]),
            (open(OFlags::RDONLY | OFlags::TRUNC), [Act::Change, Act::Change]),
            (open(OFlags::PATH), [Act::Look, Act::Look]),
            (open(OFlags::RDWR), [Act::Change, Act::Change]),
            (open(make), [Act::Change, Act::Make]),
            (open(make | OFlags::EXCL), [Act::MakeAgain, Act::Make]),
            (open(OFlags::RDWR | OFlags::TMPFILE), [Act::Make, Act::Make]),
            (How::Make, [Act::MakeAgain, Act::Make]),
            (How::Remove, [Act::Make, Act::Look]),
            (How::Replace, [Act::Make, Act::Make]),
            (How::Change, [Act::Change, Act::Look]),
        ];
        for (how, want) in table {
            assert_eq!([true, false].map(|there| act(how, there).unwrap()), want, "{how:?}");
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let four = [0x1f, 0x90, 192, 0, 2, 7];
        assert_eq!(internet(libc::AF_INET, &four), Some("192.0.2.7:8080".parse().unwrap()));
        let mut six = vec![0, 53, 0, 0, 0, 0];
        six.extend([0; 15]);
        six.push(1);
        assert_eq!(internet(libc::AF_INET6, &six), Some("[::1]:53".parse().unwrap()));
        assert_eq!(internet(libc::AF_INET6, &four), None);
        assert_eq!(internet(libc::AF_NETLINK, &four), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_noted() {
        let mut witness = Witness::default();
        for number in 0..2 * MOST {
            witness.note_refusal("call", &number.to_string());
            witness.note_refusal("call", "again");
        }
        assert_eq!(witness.untold.len(), MOST + 1);
        assert_eq!(witness.untold.back().unwrap().act, Act::More);
        let mut witness = Witness::default();
        for number in 0..4000 {
            witness.note_refusal("call", &format!("{number}{}", "x".repeat(4000)));
        }
        assert!(witness.untold.len() < 2200 && witness.bytes < MOST_BYTES + 5000, "{}", witness.untold.len());
        assert_eq!(witness.untold.back().unwrap().act, Act::More);
    }
}
