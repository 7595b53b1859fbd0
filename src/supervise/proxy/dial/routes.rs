//! Whether an address belongs to this machine, as the kernel's routes say it (rtnetlink(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A line to the kernel's routes. The confined bridge could not make it any more.
#[derive(Debug)]
pub struct Routes(OwnedFd);

const REQUEST: u16 = 1;
/// Offset of the type in a route message: behind nlmsghdr and seven bytes of rtmsg.
const TYPE: usize = 16 + 7;

impl Routes {
    /// # Errors
    /// As socket(2): a sandbox around this one may forbid it.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// Whether the address is local: it may be one of many that a route makes so, which no interface has.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.kind(address).is_ok_and(|kind| kind == libc::RTN_LOCAL)
    }

    /// The type of the route to an address, such as `RTN_UNICAST`.
    fn kind(&self, address: IpAddr) -> io::Result<u8> {
        rustix::net::send(&self.0, &question(address), SendFlags::empty())?;
        let mut answer = [0; 4096];
        // The kernel has answered when the question has been sent.
        let (_, length) = rustix::net::recv(&self.0, &mut answer[..], RecvFlags::DONTWAIT)?;
        let answer = answer.get(..length).unwrap_or_default();
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
        match (kind, answer.get(TYPE)) {
            (Some(libc::RTM_NEWROUTE), Some(kind)) => Ok(*kind),
            // There is no way there.
            _ => Err(io::ErrorKind::NetworkUnreachable.into()),
        }
    }
}

/// nlmsghdr, rtmsg and the destination.
fn question(address: IpAddr) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let (family, length) = (family.to_ne_bytes(), u8::try_from(bytes.len()).unwrap_or_default());
    let long = |number: u32| number.to_ne_bytes().to_vec();
    let short = |number: u16| number.to_ne_bytes().to_vec();
    // AF_INET and AF_INET6 fit into the byte that there is; where it is depends on the order of bytes.
    let family = family.into_iter().find(|byte| *byte != 0).unwrap_or_default();
    [
        long(16 + 12 + 4 + u32::from(length)),
        [short(libc::RTM_GETROUTE), short(REQUEST), long(0), long(0)].concat(),
        vec![family, 8 * length, 0, 0, 0, 0, 0, 0],
        long(0),
        [short(4 + u16::from(length)), short(libc::RTA_DST)].concat(),
        bytes,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_local_and_others_are_not() {
        let routes = Routes::new().unwrap();
        for (address, local) in [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("224.0.0.1", false)] {
            assert_eq!(routes.is_local(address.parse().unwrap()), local, "{address}");
        }
        assert_ne!(routes.kind("192.0.2.1".parse().unwrap()).ok(), Some(libc::RTN_LOCAL));
    }
}
