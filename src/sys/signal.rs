//! Signal masks, dispositions and signalfd.

use std::io;
use std::os::fd::OwnedFd;

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalSet")
    }
}

impl SignalSet {
    /// These signals.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        // SAFETY: sigset_t is plain data; sigemptyset initialises all of it.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a live local.
        unsafe { libc::sigemptyset(&raw mut set) };
        for signal in signals {
            // SAFETY: `set` is an initialised live local; a bad number gives an error and changes nothing.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// The numbers in it.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        // SAFETY: the set is initialised and borrowed during the call; a bad number gives an error.
        let has = |signal: &i32| unsafe { libc::sigismember(&raw const self.0, *signal) } == 1;
        (1..=libc::SIGRTMAX()).filter(has).collect()
    }

    /// Every signal.
    #[must_use]
    pub fn all() -> Self {
        // SAFETY: sigset_t is plain data; sigfillset initialises all of it.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a live local.
        unsafe { libc::sigfillset(&raw mut set) };
        Self(set)
    }

    /// Makes this the calling thread's mask of blocked signals; the old one is returned.
    #[must_use]
    pub fn block_only(&self) -> Self {
        // SAFETY: sigset_t is plain data, written by the call.
        let mut old: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: both sets are live and initialised; SIG_SETMASK is a valid operation, so the call cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, &raw mut old) };
        Self(old)
    }

    /// A descriptor that delivers these signals, which must be blocked (signalfd(2)).
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: -1 asks for a new descriptor; the set is live and initialised.
        let fd = unsafe { libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        super::fd::own(fd.into())
    }
}

/// Reads one signal from a signalfd, `None` when there is none.
#[must_use]
pub fn next(descriptor: &OwnedFd) -> Option<i32> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(descriptor, &mut buffer) {
        Ok(length) if length == buffer.len() => {
            // The number is the first field, 32 bits (signalfd(2)).
            let number = buffer.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))?;
            i32::try_from(number).ok()
        }
        _ => None,
    }
}

/// Gives a signal its default disposition.
pub fn set_default(signal: i32) {
    // SAFETY: SIG_DFL installs no handler code; a bad number gives an error and changes nothing.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no handler code; a bad number gives an error and changes nothing.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends a signal to a process group, or to the process where `group` is false.
///
/// # Errors
/// `ESRCH` when nobody is there.
pub fn send(pid: i32, group: bool, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    let result = unsafe { libc::kill(if group { -pid } else { pid }, signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
