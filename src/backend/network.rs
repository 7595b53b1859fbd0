//! The listening sockets inside the sandbox's network, and how they get to the bridge outside: init makes them while it
//! still may, and passes them on. A socket belongs to the network that it was made in, whoever holds it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use super::StepError;
use super::init::message::{Handed, Wanted, hand, next_wanted};
use crate::plan::network::NetworkPlan;
use crate::plan::{Confinement, Plan};
use crate::sys;

/// The beginning of a step that has a cure.
pub const PUBLISH: &str = "publish port";

const LISTEN: &str = "listen inside for the bridge";

/// As many connections may wait for the bridge: what a program opens at once.
const BACKLOG: i32 = 1024;

/// The two ends of the line between init and the bridge.
#[derive(Debug)]
pub struct Line {
    /// Of the bridge.
    pub bridge: OwnedFd,
    /// Of init.
    pub init: OwnedFd,
}

impl Line {
    /// For a plan in which init has something to hand over.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn planned(plan: &Plan) -> Result<Option<Self>, StepError> {
        let network = plan.confinement.as_ref().and_then(|confinement| confinement.network.as_ref());
        if network.is_none() {
            return Ok(None);
        }
        let (bridge, init) = super::child::pair()?;
        Ok(Some(Self { bridge, init }))
    }
}

/// What init is to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Doors {
    /// Ports of loopback.
    pub ports: Vec<u16>,
    /// Whether the resolver has sockets too.
    pub resolver: bool,
    /// Whether ports below 1024 can be listened on by whoever is inside: init has no capability any more when it makes
    /// sockets for names, and the command never has one.
    pub low_ports: bool,
}

impl Doors {
    /// Those of a plan.
    #[must_use]
    pub fn of(plan: &NetworkPlan) -> Self {
        let NetworkPlan { doors, transparent, publish: _, hosts: _, rewritten: _ } = plan;
        Self {
            ports: doors.iter().map(|door| door.port).collect(),
            resolver: transparent.is_some(),
            low_ports: plan.needs_rights().is_some(),
        }
    }

    /// Makes them in this network and hands them over.
    ///
    /// # Errors
    /// A port that cannot be listened on. IPv6 may be missing.
    pub fn hand_over(&self, line: BorrowedFd<'_>) -> Result<(), StepError> {
        let fail = |error: Errno| StepError::new(LISTEN, None, error);
        if self.low_ports {
            std::fs::write(FIRST_PORT, "0")
                .map_err(|error| StepError::new(LOW_PORTS, Some(FIRST_PORT.as_ref()), error))?;
        }
        for (number, port) in (0..).zip(&self.ports) {
            for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
                match listen(SocketAddr::new(address, *port), SocketType::STREAM) {
                    Ok(socket) => hand(line, Handed::Door(number), Some(socket.as_fd())).map_err(fail)?,
                    Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) if address.is_ipv6() => {}
                    Err(error) => return Err(fail(error)),
                }
            }
        }
        if self.resolver {
            sys::net::add_pool(POOL).map_err(|error| StepError::new("give loopback the pool of names", None, error))?;
            for kind in [SocketType::DGRAM, SocketType::STREAM] {
                let socket = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, DNS)), kind).map_err(fail)?;
                hand(line, Handed::Resolver, Some(socket.as_fd())).map_err(fail)?;
            }
        }
        Ok(())
    }
}

const DNS: u16 = 53;

/// The first port that needs no capability, of the network namespace of whoever writes (ip(7)).
const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

const LOW_PORTS: &str = "let ports below 1024 be listened on inside";

/// Addresses that stand for names: for benchmarks of network devices (RFC 2544), so no host has one.
pub const POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 1), 15);

/// A socket that takes connections, or datagrams.
///
/// # Errors
/// As socket(2), bind(2) and listen(2).
pub fn listen(address: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        // Connections that have ended keep the port busy for a minute otherwise. One that somebody listens on stays refused.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

/// Does what the bridge asks for, in the network of init; `false` when the bridge is gone.
#[must_use]
pub fn serve(line: BorrowedFd<'_>) -> bool {
    let Some(wanted) = next_wanted(line) else { return false };
    let (made, answer) = match wanted {
        Wanted::Socket(number) => (connector(), Handed::Socket(number)),
        Wanted::Listener(address, port) => {
            let at = SocketAddr::from((address, port));
            (
                if in_pool(address) { listen(at, SocketType::STREAM) } else { Err(Errno::INVAL) },
                Handed::Listener(address, port),
            )
        }
    };
    // Without a descriptor, it could not be made.
    hand(line, answer, made.ok().as_ref().map(AsFd::as_fd)).is_ok()
}

/// Sockets for the ports of the host that lead inside, before anything runs.
///
/// # Errors
/// A port that cannot be listened on.
pub fn publish(plan: &Plan) -> Result<Vec<OwnedFd>, StepError> {
    let network = plan.confinement.as_ref().and_then(|confinement| confinement.network.as_ref());
    let ports = network.into_iter().flat_map(|network| &network.publish).map(|pair| pair.value.host);
    let listen = |port: u16| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        listen(address, SocketType::STREAM).map_err(|error| StepError {
            step: format!("{PUBLISH} {port}").into(),
            path: None,
            errno: error.raw_os_error(),
        })
    };
    ports.map(listen).collect()
}

/// A socket that the bridge connects with, inside.
fn connector() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))
}

fn in_pool(address: Ipv4Addr) -> bool {
    let (first, bits) = POOL;
    let mask = u32::MAX << (32 - u32::from(bits));
    address.to_bits() & mask == first.to_bits() & mask
}

/// What the bridge serves where there is no network namespace: sockets of the host's, made by the supervisor. The plan
/// learns which ports they have.
///
/// # Errors
/// As bind(2).
pub fn on_host(plan: &Plan) -> Result<(Plan, Vec<OwnedFd>), StepError> {
    let mut plan = plan.clone();
    let mut sockets = Vec::new();
    let Some(Confinement { network: Some(network), landlock, .. }) = &mut plan.confinement else {
        return Ok((plan, sockets));
    };
    let fail = |error: Errno| StepError::new("listen on loopback for the bridge", None, error);
    let mut ports = Vec::new();
    for door in &network.doors {
        let socket = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, door.port)), SocketType::STREAM).map_err(fail)?;
        let port = rustix::net::getsockname(&socket).ok().and_then(|name| SocketAddr::try_from(name).ok());
        ports.push(port.ok_or_else(|| fail(Errno::AFNOSUPPORT))?.port());
        sockets.push(socket);
    }
    network.listens_on(&ports, landlock, &mut plan.process.env);
    Ok((plan, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_pool_are_listened_on_for_names() {
        let table = [("198.18.0.0", true), ("198.19.255.255", true), ("198.17.255.255", false), ("198.20.0.0", false)];
        for (address, want) in table.into_iter().chain([("127.0.0.1", false), ("0.0.0.0", false)]) {
            assert_eq!(in_pool(address.parse().unwrap()), want, "{address}");
        }
    }
}
