//! The loopback interface of a new network namespace, and who is at the other end of a socket.

use std::ffi::CStr;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Gives `lo` all addresses of an IPv4 network, as it has those of 127.0.0.0/8 (netdevice(7)): to add an address of a
/// network to a loopback interface makes the whole network local.
///
/// # Errors
/// As ioctl(2); `EPERM` without `CAP_NET_ADMIN` in the network namespace.
pub fn add_pool((address, bits): (Ipv4Addr, u8)) -> io::Result<()> {
    let mask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(bits)));
    for (request, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, mask)] {
        set(c"lo:names", request, |ifreq| ifreq.ifr_ifru.ifru_addr = socket_address(value))?;
    }
    Ok(())
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "AF_INET is 2")]
    let mut plain = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: [0; 14] };
    // Behind the port, as in `sockaddr_in`.
    for (slot, byte) in plain.sa_data.iter_mut().skip(2).zip(address.octets()) {
        *slot = byte as libc::c_char;
    }
    plain
}

/// Brings `lo` up (netdevice(7), SIOCSIFFLAGS).
///
/// # Errors
/// As socket(2) and ioctl(2).
pub fn loopback_up() -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "IFF_UP and IFF_RUNNING are 1 and 64")]
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    set(c"lo", libc::SIOCSIFFLAGS, |ifreq| ifreq.ifr_ifru.ifru_flags = flags)
}

/// Sets something of an interface.
fn set(name: &CStr, what: libc::c_ulong, fill: impl FnOnce(&mut libc::ifreq)) -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid: it is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    let (slots, _) = request.ifr_name.split_at_mut(libc::IFNAMSIZ - 1);
    for (slot, byte) in slots.iter_mut().zip(name.to_bytes()) {
        *slot = *byte as libc::c_char;
    }
    fill(&mut request);
    // SAFETY: the requests that come here read one ifreq; `request` is one, alive during the call, its name
    // NUL-terminated.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what as libc::Ioctl, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The user who made the other end of a unix socket (unix(7), `SO_PEERCRED`), as a number of this user namespace. The
/// process is not told: it may be one that has no number here.
///
/// # Errors
/// As getsockopt(2).
pub fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: an all-zero ucred is valid: it is plain data.
    let mut found: libc::ucred = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `found` and `length` are live locals, and `length` is the size of what the kernel may write.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut found).cast(), &raw mut length) };
    if result == 0 { Ok(found.uid) } else { Err(io::Error::last_os_error()) }
}
