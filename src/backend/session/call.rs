//! How a command is asked for: one message with the job in a memory file, the caller's standard streams, and the
//! descriptors that it passes on. Reports and orders follow on the same line, as between any supervisor and init.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use crate::backend::job::Job;

/// As many descriptors as one message carries (unix(7), `SCM_MAX_FD`).
const MOST: usize = 253;

/// What goes with a job.
#[derive(Debug)]
pub struct Given {
    /// Standard input, output and error.
    pub streams: [OwnedFd; 3],
    /// Those that are passed on, in the order of the job.
    pub others: Vec<OwnedFd>,
}

/// Asks for a command.
///
/// # Errors
/// As memfd_create(2) and sendmsg(2): `EINVAL` for more descriptors than a message can carry.
pub fn ask(line: BorrowedFd<'_>, job: &Job, given: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut file = File::from(rustix::fs::memfd_create("ringfence-job", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(job)?)?;
    file.rewind()?;
    let fds: Vec<_> = [file.as_fd()].into_iter().chain(given.iter().copied()).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::INVAL.into());
    }
    rustix::net::sendmsg(line, &[IoSlice::new(b"J")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for what a caller asks for; `None` when it is gone.
///
/// # Errors
/// As recvmsg(2); `InvalidInput` for what is no such message.
pub fn hear(line: BorrowedFd<'_>) -> std::io::Result<Option<(Job, Given)>> {
    let mut byte = [0];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(line, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
        _ => Vec::new(),
    });
    let none = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let mut next = || fds.next().ok_or_else(none);
    let mut text = Vec::new();
    File::from(next()?).read_to_end(&mut text)?;
    let streams = [next()?, next()?, next()?];
    let job = serde_json::from_slice(&text).map_err(|_| none())?;
    Ok(Some((job, Given { streams, others: fds.collect() })))
}
