//! Which addresses are special: not of the public network, or of nobody.
//!
//! Source: IANA's registries of special-purpose addresses for IPv4 and IPv6, and what clouds say about themselves. What a
//! registry calls special and globally reachable (AS112) is left out; IPv6 addresses that nobody was given are in.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses that are reached only if a rule lists them, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Which.
    pub net: IpNet,
    /// The standard's name, so that a sentence can go on with it.
    pub name: &'static str,
    /// What lives there.
    pub holds: &'static str,
    /// Which document says so.
    pub source: &'static str,
    /// Whether no rule can list them: there is no one host behind such an address, or it is this host by a second name.
    pub never: bool,
}

const fn v4(address: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = address;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(first: [u16; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = first;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix))
}

const fn row(net: IpNet, name: &'static str, holds: &'static str, source: &'static str) -> Range {
    Range { net, name, holds, source, never: false }
}

const fn never(net: IpNet, name: &'static str, holds: &'static str, source: &'static str) -> Range {
    Range { net, name, holds, source, never: true }
}

const ZERO: [u16; 4] = [0; 4];
const LOW: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
const TRANSLATED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0);

/// IPv4 addresses behind a translator (RFC 6052): as public as the IPv4 address is.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Narrow ranges before those around them. Ranges for documentation (RFC 5737, RFC 3849, RFC 9637) are not among them:
/// nobody's network is there, and closed test networks use them as public ones.
pub const RANGES: &[Range] = &[
    never(v4([0, 0, 0, 0], 8), "unspecified", "this host, to programs that connect there", "RFC 1122"),
    row(v4([10, 0, 0, 0], 8), "private", "local networks", "RFC 1918"),
    row(v4([100, 64, 0, 0], 10), "shared", "carriers' networks, and metadata of clouds", "RFC 6598"),
    row(v4([127, 0, 0, 0], 8), "loopback", "this host", "RFC 1122"),
    row(v4([168, 63, 129, 16], 32), "platform", "the host below a virtual machine of Azure", "Azure's manual"),
    row(v4([169, 254, 0, 0], 16), "link-local", "this link, and metadata of clouds", "RFC 3927"),
    row(v4([172, 16, 0, 0], 12), "private", "local networks", "RFC 1918"),
    row(v4([192, 0, 0, 0], 24), "protocol", "protocols, and metadata of clouds", "RFC 6890"),
    row(v4([192, 88, 99, 0], 24), "6to4 relay", "relays that are no longer used", "RFC 7526"),
    row(v4([192, 168, 0, 0], 16), "private", "local networks", "RFC 1918"),
    row(v4([198, 18, 0, 0], 15), "benchmarking", "test networks", "RFC 2544"),
    never(v4([224, 0, 0, 0], 4), "multicast", "groups of hosts", "RFC 5771"),
    never(v4([255, 255, 255, 255], 32), "broadcast", "all hosts of this link", "RFC 919"),
    row(v4([240, 0, 0, 0], 4), "reserved", "nobody, or networks of clouds", "RFC 1112"),
    never(v6(ZERO, 128), "unspecified", "this host, to programs that connect there", "RFC 4291"),
    row(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)), "loopback", "this host", "RFC 4291"),
    never(IpNet::V6(Ipv6Net::new_assert(LOW, 96)), "IPv4-mapped", "IPv4 addresses, by a second name", "RFC 4291"),
    row(IpNet::V6(Ipv6Net::new_assert(TRANSLATED, 96)), "IPv4-translated", "IPv4 addresses", "RFC 7915"),
    row(v6(ZERO, 96), "IPv4-compatible", "IPv4 addresses, no longer used", "RFC 4291"),
    row(v6([0x64, 0xff9b, 1, 0], 48), "local NAT64", "IPv4 addresses, behind a translator of this network", "RFC 8215"),
    row(v6([0x100, 0, 0, 0], 64), "discard-only", "nobody", "RFC 6666"),
    row(v6([0x100, 0, 0, 1], 64), "dummy", "nobody", "RFC 9780"),
    row(v6(ZERO, 3), "unassigned", "nobody", "RFC 4291"),
    row(v6([0x2001, 0, 0, 0], 32), "Teredo", "IPv4 addresses, behind a tunnel", "RFC 4380"),
    row(v6([0x2001, 0, 0, 0], 23), "protocol", "protocols", "RFC 2928"),
    row(v6([0x2002, 0, 0, 0], 16), "6to4", "IPv4 addresses, behind a tunnel", "RFC 3056"),
    row(v6([0x5f00, 0, 0, 0], 16), "segment", "parts of routes", "RFC 9602"),
    row(v6([0x4000, 0, 0, 0], 2), "unassigned", "nobody", "RFC 4291"),
    row(v6([0xfc00, 0, 0, 0], 7), "unique local", "local networks, and metadata of clouds", "RFC 4193"),
    row(v6([0xfe80, 0, 0, 0], 10), "link-local", "this link", "RFC 4291"),
    row(v6([0xfec0, 0, 0, 0], 10), "site-local", "local networks, no longer used", "RFC 3879"),
    never(v6([0xff00, 0, 0, 0], 8), "multicast", "groups of hosts", "RFC 4291"),
    row(v6([0x8000, 0, 0, 0], 1), "unassigned", "nobody", "RFC 4291"),
];

/// The range that makes an address special, by itself or by an IPv4 address in it, whichever is stricter.
///
/// A translator with a prefix of its own (RFC 6052, section 2.2) cannot be told from other public addresses.
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static Range> {
    let own = range_of(address);
    let inner = || embedded(address).filter_map(|address| range_of(IpAddr::V4(address)));
    own.filter(|range| range.never).or_else(|| inner().find(|range| range.never)).or(own).or_else(|| inner().next())
}

fn range_of(address: IpAddr) -> Option<&'static Range> {
    let translated = matches!(address, IpAddr::V6(address) if NAT64.contains(&address));
    RANGES.iter().find(|range| range.net.contains(&address) && !translated)
}

/// IPv4 addresses that what is sent to an IPv6 address may end up at.
pub(super) fn embedded(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let found = match address {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(address) => in_ipv6(address),
    };
    found.into_iter().flatten()
}

fn in_ipv6(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bytes = address.octets();
    let at = |places: [usize; 4]| Some(Ipv4Addr::from(places.map(|at| bytes.get(at).copied().unwrap_or_default())));
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [last, None],
        // Of the local prefix's two usual forms, the one with nothing at the end (RFC 6052, section 2.2).
        [0x64, 0xff9b, 1, .., 0, 0] => [at([6, 7, 9, 10]), None],
        [0x64, 0xff9b, 1, ..] => [last, None],
        _ if NAT64.contains(&address) => [last, None],
        // The server, and the client with all bits turned over.
        [0x2001, 0, ..] => [at([4, 5, 6, 7]), last.map(|client| Ipv4Addr::from_bits(!client.to_bits()))],
        [0x2002, ..] => [at([2, 3, 4, 5]), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests;
