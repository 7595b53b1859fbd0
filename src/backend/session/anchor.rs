//! A file to read, opened through a read-only mount of nothing but itself: the session's init can mount no more, so the
//! caller does, in namespaces that end at once.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use crate::backend::child::pair;
use crate::backend::init::message::{pass, take};
use crate::backend::init::stdio::{self, Stream};
use crate::backend::{StepError, native};
use crate::sys;

/// The file of a stream that is to be read; `None` for every other stream, and where nobody may make namespaces: the
/// session opens it where it can be seen then.
///
/// # Errors
/// When another file is there by now.
pub fn anchored(stream: &Stream) -> Result<Option<OwnedFd>, StepError> {
    let Stream::ReadOnly { path, id, dir, offset } = stream else { return Ok(None) };
    let (ours, theirs) = pair()?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let refused = |error: StepError| if error.is_stale() { Errno::STALE } else { Errno::PERM };
    let opened = sys::process::try_inside(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, || {
        native::map_ids(uid, gid).map_err(refused)?;
        let file = stdio::open_read_only(path, *id, *dir, *offset).map_err(refused)?;
        pass(theirs.as_fd(), file.as_fd())
    });
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Err(StepError::changed(super::super::STDIO, path)),
        Err(_) => Ok(None),
        Ok(()) => Ok(take(ours.as_fd())),
    }
}
