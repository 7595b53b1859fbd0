//! The other side of a filter: calls arrive, and are answered.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Names it until it is answered or its caller is gone.
    pub id: u64,
    /// The calling thread, as this process would name it; 0 where it has no name here.
    pub tid: i32,
    /// The number of the call, on the architecture that the filter let pass.
    pub number: i32,
    /// Its arguments as they are in the registers.
    pub args: [u64; 6],
}

/// Where the calls arrive.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A structure as this program knows it, and room for what later kernels may add behind it.
#[repr(C)]
struct Roomy<T> {
    known: T,
    more: [u64; MORE],
}

const MORE: usize = 64;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE` of linux/seccomp.h; libc has it as a `long`, the structure as 32 bits.
const GO_ON: u32 = 1;

/// `SECCOMP_ADDFD_FLAG_SEND`, as above (Linux 5.14).
const AND_ANSWER: u32 = 2;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of linux/seccomp.h (Linux 6.6).
const TAKE_TURNS: libc::c_ulong = 1;

impl<T> Roomy<T> {
    fn new(known: T) -> Self {
        Self { known, more: [0; MORE] }
    }
}

/// Makes the call again until no signal interrupts it.
fn check(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

impl Listener {
    /// Takes over what [`super::load_filter_with_listener`] made, perhaps in another process.
    ///
    /// # Errors
    /// `EOVERFLOW` if this kernel's structures have outgrown the room for them; else as seccomp(2).
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
        // SAFETY: `sizes` is a live local of the type that this operation fills; the kernel keeps no pointer to it.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let fits = usize::from(sizes.seccomp_notif) <= size_of::<Roomy<libc::seccomp_notif>>()
            && usize::from(sizes.seccomp_notif_resp) <= size_of::<Roomy<libc::seccomp_notif_resp>>();
        if !fits {
            return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
        }
        // Only faster, and not in every kernel: caller and answerer take turns, so they may as well share a processor.
        // SAFETY: the argument is the flags themselves, no pointer; no memory is touched.
        let _faster = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, TAKE_TURNS) };
        Ok(Self(fd))
    }

    /// The next call. It waits until there is one, so poll first: what has been seen readable by its only reader does
    /// not wait, not even when the caller is gone by then.
    ///
    /// # Errors
    /// `ENOENT` if the caller was killed or interrupted meanwhile.
    pub fn receive(&self) -> io::Result<Notification> {
        let data = libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] };
        let mut call = Roomy::new(libc::seccomp_notif { id: 0, pid: 0, flags: 0, data });
        // SAFETY: `call` is a live local, all zeros as the kernel demands, and not smaller than the kernel's structure:
        // `new` has compared them. The kernel writes one structure there and keeps no pointer.
        check(|| unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) })?;
        let libc::seccomp_notif { id, pid, flags: _, data } = call.known;
        Ok(Notification { id, tid: i32::try_from(pid).unwrap_or(0), number: data.nr, args: data.args })
    }

    /// Whether the caller still waits: then what was found out about its thread by number was about no other one.
    #[must_use]
    pub fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: `id` is a live local that the kernel reads as the 64 bits it is.
        check(|| unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) }).is_ok()
    }

    /// Lets the kernel carry out the call as if no filter had asked. No decision of ours stands behind that: what was
    /// looked at in the caller's memory may be something else by now.
    ///
    /// # Errors
    /// `ENOENT` if the caller is gone.
    pub fn let_go_on(&self, id: u64) -> io::Result<()> {
        self.answer(libc::seccomp_notif_resp { id, val: 0, error: 0, flags: GO_ON })
    }

    /// Makes the call fail with an error number.
    ///
    /// # Errors
    /// `ENOENT` if the caller is gone.
    pub fn refuse(&self, id: u64, errno: u16) -> io::Result<()> {
        self.answer(libc::seccomp_notif_resp { id, val: 0, error: -i32::from(errno), flags: 0 })
    }

    fn answer(&self, answer: libc::seccomp_notif_resp) -> io::Result<()> {
        let mut answer = Roomy::new(answer);
        // SAFETY: `answer` is a live local, zeros behind what this program knows, and not smaller than the kernel's
        // structure: `new` has compared them. The kernel reads one structure there and keeps no pointer.
        check(|| unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) })
    }

    /// Gives the caller a copy of a descriptor, and its number as what the call returns, in one step (Linux 5.14).
    ///
    /// # Errors
    /// `ENOENT` if the caller is gone, `EMFILE` if it has no room, `EINVAL` on an older kernel.
    pub fn give(&self, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<()> {
        let given = libc::seccomp_notif_addfd {
            id,
            flags: AND_ANSWER,
            srcfd: fd.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
        };
        // SAFETY: `given` is a live local whose size is part of the request's number, so the kernel reads no byte more;
        // `fd` is open during the call. The descriptor appears in the caller, not here.
        check(|| unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const given) })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_those_of_libc() {
        assert_eq!(libc::c_ulong::from(GO_ON), libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE);
        assert_eq!(libc::c_ulong::from(AND_ANSWER), libc::SECCOMP_ADDFD_FLAG_SEND);
    }
}
