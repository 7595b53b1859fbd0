//! What supervisor and init say to each other: one datagram of a SOCK_SEQPACKET pair each. And how a process of ours
//! passes a descriptor to another.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use crate::backend::StepError;
use crate::plan::seen::{Act, Seen};
use crate::sys;

/// From init, the command before exec, or the janitor, to the supervisor.
#[derive(Debug)]
pub enum Report {
    /// The private terminal's master; the descriptor comes with it.
    Terminal(OwnedFd),
    /// The mount namespace.
    MountNamespace(OwnedFd),
    /// The root of the view, which stands.
    Root(OwnedFd),
    /// A step failed.
    Failed(StepError),
    /// The command's program could not be started.
    NotExecuted(StepError),
    /// The command was stopped by a signal (job control).
    Stopped(i32),
    /// The command named something in a call.
    Seen(Seen),
    /// The command ended, with its raw wait status.
    Ended(i32),
}

/// From init to the bridge. A descriptor comes with it, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// The listening socket of a door, by its number in the plan; there may be two of one.
    Door(u16),
    /// A socket of the resolver: the one for datagrams, then the one for connections.
    Resolver,
    /// The socket for a wish of this number.
    Socket(u16),
    /// The listening socket at this address.
    Listener(Ipv4Addr, u16),
}

/// From the bridge to init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A socket to connect with; the number comes back.
    Socket(u16),
    /// A socket that listens at this address.
    Listener(Ipv4Addr, u16),
}

/// From the supervisor to init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// So many placeholders are there, in the order of the plan: go on with them.
    Go(i32),
    /// Send this signal to the command's process group.
    Signal(i32),
    /// End the command and all that it has started.
    End,
}

/// A tag, a port or number, an address.
fn packed(tag: u8, number: u16, address: Ipv4Addr) -> [u8; 7] {
    let ([a, b], [c, d, e, f]) = (number.to_ne_bytes(), address.octets());
    [tag, a, b, c, d, e, f]
}

fn unpacked(bytes: &[u8]) -> Option<(u8, u16, Ipv4Addr)> {
    let [tag, a, b, c, d, e, f] = *bytes else { return None };
    Some((tag, u16::from_ne_bytes([a, b]), Ipv4Addr::new(c, d, e, f)))
}

/// Hands a socket to the bridge.
///
/// # Errors
/// As sendmsg(2).
pub fn hand(line: BorrowedFd<'_>, what: Handed, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let none = Ipv4Addr::UNSPECIFIED;
    let bytes = match what {
        Handed::Door(number) => packed(b'D', number, none),
        Handed::Resolver => packed(b'R', 0, none),
        Handed::Socket(number) => packed(b'S', number, none),
        Handed::Listener(address, port) => packed(b'L', port, address),
    };
    send(line, &bytes, fd)
}

/// Takes what init hands over, without waiting.
///
/// # Errors
/// `EAGAIN` when nothing is there, `EPIPE` when init is gone, `EPROTO` for what is no message.
pub fn take_handed(line: BorrowedFd<'_>) -> Result<(Handed, Option<OwnedFd>), Errno> {
    let mut buffer = [0_u8; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(line, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags)?;
    let fd = passed(&mut ancillary);
    let bytes = buffer.get(..received.bytes).filter(|bytes| !bytes.is_empty()).ok_or(Errno::PIPE)?;
    let what = match unpacked(bytes).ok_or(Errno::PROTO)? {
        (b'D', number, _) => Handed::Door(number),
        (b'R', ..) => Handed::Resolver,
        (b'S', number, _) => Handed::Socket(number),
        (b'L', port, address) => Handed::Listener(address, port),
        _ => return Err(Errno::PROTO),
    };
    Ok((what, fd))
}

/// Asks init for a socket.
///
/// # Errors
/// As send(2).
pub fn want(line: BorrowedFd<'_>, wanted: Wanted) -> Result<(), Errno> {
    let bytes = match wanted {
        Wanted::Socket(number) => packed(b'S', number, Ipv4Addr::UNSPECIFIED),
        Wanted::Listener(address, port) => packed(b'L', port, address),
    };
    rustix::net::send(line, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(drop)
}

/// Reads what the bridge asks for; `None` when it is gone.
#[must_use]
pub fn next_wanted(line: BorrowedFd<'_>) -> Option<Wanted> {
    let mut buffer = [0_u8; 8];
    let (_, length) = rustix::net::recv(line, &mut buffer, RecvFlags::DONTWAIT).ok()?;
    match unpacked(buffer.get(..length)?)? {
        (b'S', number, _) => Some(Wanted::Socket(number)),
        (b'L', port, address) => Some(Wanted::Listener(address, port)),
        _ => None,
    }
}

/// How often a word is said again, and how long after the last time.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

const LARGEST: usize = 64 + libc::PATH_MAX as usize;

fn tagged(tag: u8, number: i32, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&number.to_ne_bytes());
    bytes.extend_from_slice(text);
    bytes
}

fn failure(tag: u8, error: &StepError) -> Vec<u8> {
    let mut text = error.step.as_bytes().to_vec();
    if let Some(path) = &error.path {
        text.push(0);
        text.extend_from_slice(path.as_os_str().as_bytes());
    }
    text.truncate(LARGEST - 8);
    tagged(tag, error.errno, &text)
}

/// Sends a report. A supervisor that is gone has ended this sandbox anyway, so an error is not told.
pub fn report(socket: BorrowedFd<'_>, report: &Report) {
    let (bytes, fd) = packet(report);
    sys::ignore(send(socket, &bytes, fd.map(AsFd::as_fd)));
}

/// Sends a report without a descriptor, if there is room for it now.
#[must_use]
pub fn report_now(socket: BorrowedFd<'_>, report: &Report) -> bool {
    let (bytes, _) = packet(report);
    // Where nobody listens any more, it is as good as told.
    !matches!(
        rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT),
        Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::INTR)
    )
}

fn packet(report: &Report) -> (Vec<u8>, Option<&OwnedFd>) {
    match report {
        Report::Terminal(fd) => (tagged(b'T', 0, b""), Some(fd)),
        Report::MountNamespace(fd) => (tagged(b'M', 0, b""), Some(fd)),
        Report::Root(fd) => (tagged(b'R', 0, b""), Some(fd)),
        Report::Failed(error) => (failure(b'F', error), None),
        Report::NotExecuted(error) => (failure(b'X', error), None),
        Report::Stopped(signal) => (tagged(b'S', *signal, b""), None),
        Report::Seen(seen) => {
            let (act, what) = seen_as(seen);
            (tagged(b'W', act, what.get(..LARGEST - 8).unwrap_or(what)), None)
        }
        Report::Ended(status) => (tagged(b'E', *status, b""), None),
    }
}

fn seen_as(seen: &Seen) -> (i32, &[u8]) {
    let number = Act::ALL.iter().position(|act| *act == seen.act).unwrap_or_default();
    (i32::try_from(number).unwrap_or_default(), seen.what.as_bytes())
}

fn as_seen(number: i32, what: &[u8]) -> Option<Seen> {
    let act = *Act::ALL.get(usize::try_from(number).ok()?)?;
    Some(Seen { act, what: OsStr::from_bytes(what).to_owned() })
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    patiently(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)).map(drop)
}

/// A word that does not arrive would be waited for without end: where the kernel has no memory for it, it is said again.
fn patiently<T>(mut say: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..TRIES {
        match say() {
            Err(Errno::NOBUFS | Errno::NOMEM | Errno::INTR) => std::thread::sleep(PAUSE),
            said => return said,
        }
    }
    say()
}

/// Passes a descriptor to a process of ours.
///
/// # Errors
/// As sendmsg(2).
pub fn pass(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    send(socket, &tagged(b'D', 0, b""), Some(fd))
}

/// Takes a descriptor that was passed; `None` when there is none, and will not be.
#[must_use]
pub fn take(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut buffer = [0_u8; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags).ok()?;
    passed(&mut ancillary)
}

fn passed(ancillary: &mut RecvAncillaryBuffer<'_>) -> Option<OwnedFd> {
    ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    })
}

/// Receives a report; `None` when init is gone or nothing is there to read.
#[must_use]
pub fn receive(socket: BorrowedFd<'_>) -> Option<Report> {
    let mut buffer = vec![0_u8; LARGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let mut receive =
        || patiently(|| rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags));
    // An init that ended without reading an order resets the line, once: what it said before is still there.
    let received = receive().or_else(|error| if error == Errno::CONNRESET { receive() } else { Err(error) }).ok()?;
    let bytes = buffer.get(..received.bytes)?;
    let (tag, rest) = bytes.split_first()?;
    let (number, text) = rest.split_first_chunk::<4>()?;
    let number = i32::from_ne_bytes(*number);
    let mut passed = || passed(&mut ancillary);
    match tag {
        b'T' => passed().map(Report::Terminal),
        b'M' => passed().map(Report::MountNamespace),
        b'R' => passed().map(Report::Root),
        b'F' => Some(Report::Failed(step_error(number, text))),
        b'X' => Some(Report::NotExecuted(step_error(number, text))),
        b'S' => Some(Report::Stopped(number)),
        b'W' => as_seen(number, text).map(Report::Seen),
        b'E' => Some(Report::Ended(number)),
        _ => None,
    }
}

fn step_error(errno: i32, text: &[u8]) -> StepError {
    let mut parts = text.splitn(2, |byte| *byte == 0);
    let step = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let path = parts.next().map(|path| PathBuf::from(OsStr::from_bytes(path)));
    StepError { step: Cow::Owned(step), path, errno }
}

/// Sends an order. An init that is gone is noticed elsewhere, so an error is not told.
pub fn order(socket: BorrowedFd<'_>, order: Order) {
    let bytes = match order {
        Order::Go(made) => tagged(b'G', made, b""),
        Order::End => tagged(b'Q', 0, b""),
        Order::Signal(signal) => tagged(b'K', signal, b""),
    };
    sys::ignore(patiently(|| rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL)));
}

/// Waits for an order; `None` when the supervisor is gone.
#[must_use]
pub fn next_order(socket: BorrowedFd<'_>) -> Option<Order> {
    let mut buffer = [0_u8; 8];
    let (_, length) = patiently(|| rustix::net::recv(socket, &mut buffer, RecvFlags::empty())).ok()?;
    let (tag, rest) = buffer.get(..length)?.split_first()?;
    let number = i32::from_ne_bytes(*rest.first_chunk::<4>()?);
    match tag {
        b'G' => Some(Order::Go(number)),
        b'K' => Some(Order::Signal(number)),
        b'Q' => Some(Order::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_arrives() {
        for act in Act::ALL {
            let seen = Seen { act, what: OsStr::from_bytes(b"/a\n\xff").to_owned() };
            let (number, what) = seen_as(&seen);
            assert_eq!(as_seen(number, what), Some(seen));
        }
        assert_eq!(as_seen(11, b""), None);
    }
}
