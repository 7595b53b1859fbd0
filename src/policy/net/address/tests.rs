//! Ends of each range, addresses in addresses, and places that must never be public.

use proptest::prelude::*;

use super::*;

fn of(text: &str) -> &'static str {
    special(text.parse().unwrap()).map_or("public", |range| range.name)
}

#[test]
fn addresses_of_ipv4() {
    for (text, want) in [
        ("0.0.0.0", "unspecified"),
        ("0.255.255.255", "unspecified"),
        ("1.0.0.0", "public"),
        ("9.255.255.255", "public"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("11.0.0.0", "public"),
        ("100.63.255.255", "public"),
        ("100.64.0.0", "shared"),
        ("100.127.255.255", "shared"),
        ("100.128.0.0", "public"),
        ("126.255.255.255", "public"),
        ("127.0.0.0", "loopback"),
        ("127.255.255.255", "loopback"),
        ("128.0.0.0", "public"),
        ("168.63.129.15", "public"),
        ("168.63.129.16", "platform"),
        ("169.253.255.255", "public"),
        ("169.254.0.0", "link-local"),
        ("169.254.255.255", "link-local"),
        ("169.255.0.0", "public"),
        ("172.15.255.255", "public"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", "public"),
        ("192.0.0.192", "protocol"),
        ("192.0.1.0", "public"),
        ("192.0.2.255", "public"),
        ("192.0.3.0", "public"),
        ("192.88.99.1", "6to4 relay"),
        ("192.167.255.255", "public"),
        ("192.168.0.0", "private"),
        ("192.168.255.255", "private"),
        ("192.169.0.0", "public"),
        ("198.17.255.255", "public"),
        ("198.18.0.0", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.20.0.0", "public"),
        ("198.51.100.7", "public"),
        ("203.0.113.7", "public"),
        ("223.255.255.255", "public"),
        ("224.0.0.0", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("8.8.8.8", "public"),
    ] {
        assert_eq!(of(text), want, "{text}");
    }
}

#[test]
fn addresses_of_ipv6() {
    for (text, want) in [
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "unspecified"),
        ("100::1", "discard-only"),
        ("100:0:0:1::1", "dummy"),
        ("100:0:0:2::1", "unassigned"),
        ("1fff:ffff::1", "unassigned"),
        ("2000::", "public"),
        ("2001:1::1", "protocol"),
        ("2001:1ff::1", "protocol"),
        ("2001:200::1", "public"),
        ("2001:db8::1", "public"),
        ("2606:4700::1111", "public"),
        ("3fff::1", "public"),
        ("3fff:1000::1", "public"),
        ("4000::1", "unassigned"),
        ("5f00::1", "segment"),
        ("9000::1", "unassigned"),
        ("fbff::1", "unassigned"),
        ("fc00::1", "unique local"),
        ("fdff::1", "unique local"),
        ("fe00::1", "unassigned"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("feff::1", "site-local"),
        ("ff02::1", "multicast"),
    ] {
        assert_eq!(of(text), want, "{text}");
    }
}

#[test]
fn addresses_in_addresses() {
    for (text, want) in [
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::224.0.0.1", "multicast"),
        ("::ffff:0:8.8.8.8", "IPv4-translated"),
        ("64:ff9b::8.8.8.8", "public"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b::0.0.0.0", "unspecified"),
        ("64:ff9b::255.255.255.255", "broadcast"),
        ("64:ff9b:0:0:1::8.8.8.8", "unassigned"),
        ("64:ff9b:1::8.8.8.8", "local NAT64"),
        ("64:ff9b:1::10.0.0.1", "local NAT64"),
        ("64:ff9b:1::224.0.0.1", "multicast"),
        ("64:ff9b:1:808:8:800::", "local NAT64"),
        ("64:ff9b:1:e000:0:100::", "multicast"),
        ("2002:808:808::1", "6to4"),
        ("2002:7f00:1::1", "6to4"),
        ("2002:e000:1::1", "multicast"),
        ("2002::1", "unspecified"),
        // Server 65.54.227.120, client 192.0.2.45.
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        // Client 224.0.0.1.
        ("2001:0:4136:e378:8000:63bf:1fff:fffe", "multicast"),
    ] {
        assert_eq!(of(text), want, "{text}");
    }
    let inner = |text: &str| embedded(text.parse().unwrap()).map(|inner| inner.to_string()).collect::<Vec<_>>();
    assert_eq!(inner("2001:0:4136:e378:8000:63bf:3fff:fdd2"), ["65.54.227.120", "192.0.2.45"]);
    assert_eq!(inner("2002:c000:0204::1"), ["192.0.2.4"]);
    assert_eq!(inner("64:ff9b:1:c000:2:2100::"), ["192.0.2.33"]);
    assert_eq!(inner("64:ff9b::192.0.2.33"), ["192.0.2.33"]);
    assert_eq!(inner("::1"), [""; 0]);
}

/// Who can ask there gets the credentials of the machine.
#[test]
fn metadata_of_clouds() {
    for text in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ] {
        assert_ne!(of(text), "public", "{text}");
    }
}

#[test]
fn rows_are_in_order() {
    for (index, range) in RANGES.iter().enumerate() {
        assert_eq!(range.net, range.net.trunc());
        let hidden = RANGES.iter().take(index).find(|before| before.net.contains(&range.net));
        assert_eq!(hidden, None, "{range:?} has no effect");
    }
}

proptest! {
    /// The standard library has its own tables, of which some are stable.
    #[test]
    fn what_std_knows_is_special(bytes in any::<[u8; 4]>()) {
        let address = Ipv4Addr::from(bytes);
        let known = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_broadcast() || address.is_unspecified();
        let range = special(address.into());
        prop_assert!(!known || range.is_some());
        let never = address.is_multicast() || address.is_broadcast() || address.is_unspecified();
        prop_assert!(!never || range.is_some_and(|range| range.never));
        // Behind the translator it is neither more nor less.
        let [a, b, c, d] = bytes.map(u16::from);
        let behind = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
        prop_assert_eq!(special(behind.into()), range);
        prop_assert!(special(address.to_ipv6_mapped().into()).is_some_and(|range| range.never));
    }

    #[test]
    fn only_global_unicast_is_public(bytes in any::<[u8; 16]>()) {
        let address = Ipv6Addr::from(bytes);
        let known = address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast();
        prop_assert!(!known || special(address.into()).is_some());
        prop_assert!(bytes[0] >> 5 == 1 || NAT64.contains(&address) || special(address.into()).is_some());
    }
}
