//! `allowed_ips`: addresses and networks, and those that nobody may list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network as IPv6: IPv4 is its mapped form, so that neither spelling escapes a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    prefix: u32,
}

const MAPPED: u32 = 96;

/// What stands for the machine itself, or for its link.
const NEVER: [(IpAddr, u32, &str); 6] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8, "loopback"),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16, "link-local"),
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32, "unspecified"),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, "loopback"),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10, "link-local"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, "unspecified"),
];

impl Network {
    fn new(address: IpAddr, prefix: u32) -> Self {
        match address {
            IpAddr::V4(address) => Self { bits: address.to_ipv6_mapped().to_bits(), prefix: prefix + MAPPED },
            IpAddr::V6(address) => Self { bits: address.to_bits(), prefix },
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(prefix) if super::reader::is_plain_decimal(prefix) => prefix.parse().ok().filter(|n| *n <= most)?,
            Some(_) => return None,
        };
        Some(Self::new(address, prefix))
    }

    fn overlaps(self, other: Self) -> bool {
        let free = 128 - self.prefix.min(other.prefix);
        // Shifting by all bits leaves nothing to differ.
        (self.bits ^ other.bits).checked_shr(free).unwrap_or(0) == 0
    }
}

/// The entry in lower case.
pub(super) fn check(text: &str) -> Result<String, String> {
    let Some(network) = Network::parse(text) else {
        return Err("is neither an address nor a network such as 10.0.0.0/8".to_owned());
    };
    match NEVER.iter().find(|(address, prefix, _)| network.overlaps(Network::new(*address, *prefix))) {
        Some((address, prefix, what)) => Err(format!("overlaps {address}/{prefix} ({what})")),
        None => Ok(text.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in
            ["10.40.0.0/16", "10.0.0.5", "192.168.1.0/24", "2001:DB8::/32", "fd00::1", "8.0.0.0/7", "169.253.0.1"]
        {
            assert_eq!(check(text).as_deref(), Ok(text.to_ascii_lowercase().as_str()));
        }
        for (text, want) in [
            ("127.0.0.1", "overlaps 127.0.0.0/8 (loopback)"),
            ("127.0.0.0/30", "overlaps 127.0.0.0/8 (loopback)"),
            ("126.0.0.0/7", "overlaps 127.0.0.0/8 (loopback)"),
            ("0.0.0.0/0", "overlaps 127.0.0.0/8 (loopback)"),
            ("0.0.0.0", "overlaps 0.0.0.0/32 (unspecified)"),
            ("0.0.0.0/8", "overlaps 0.0.0.0/32 (unspecified)"),
            ("169.254.169.254", "overlaps 169.254.0.0/16 (link-local)"),
            ("::1", "overlaps ::1/128 (loopback)"),
            ("::", "overlaps ::/128 (unspecified)"),
            ("::/0", "overlaps 127.0.0.0/8 (loopback)"),
            ("fe80::1", "overlaps fe80::/10 (link-local)"),
            ("fe00::/8", "overlaps fe80::/10 (link-local)"),
            ("::ffff:127.0.0.1", "overlaps 127.0.0.0/8 (loopback)"),
            ("::ffff:0:0/96", "overlaps 127.0.0.0/8 (loopback)"),
        ] {
            assert_eq!(check(text), Err(want.to_owned()), "{text}");
        }
        for text in
            ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "::/129", "example.com", "*"]
        {
            assert!(check(text).is_err_and(|why| why.starts_with("is neither")), "{text}");
        }
    }
}
