//! Spellings that agree, spellings that are refused.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> String {
    Host::parse(text).map_or_else(|fault| format!("{fault:?}"), |host| host.to_string())
}

#[test]
fn names() {
    for (text, want) in [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("localhost.", "localhost"),
        ("LOCALHOST", "localhost"),
        ("a_b.example", "a_b.example"),
        ("_dmarc.example", "_dmarc.example"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("BÜCHER.EXAMPLE", "xn--bcher-kva.example"),
        // The same letters as a base and a mark.
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        // Full-width letters, and the other dots of IDNA.
        ("ｅｘａｍｐｌｅ.ｃｏｍ", "example.com"),
        ("example\u{3002}com", "example.com"),
        ("example\u{ff0e}com\u{ff61}", "example.com"),
        // Soft hyphen, zero-width space, word joiner: nobody sees them.
        ("exa\u{ad}mple.com", "example.com"),
        ("exa\u{200b}mple\u{2060}.com", "example.com"),
        // Kelvin sign and Roman numeral.
        ("\u{212a}elvin.example", "kelvin.example"),
        ("\u{2160}.example", "i.example"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn addresses() {
    for text in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "2130706433.",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "0177.0x0.1",
        "017700000001",
        "00000177.00.00.01",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "::ffff:127.0.0.1",
        "１２７.０.０.１",
        "127\u{3002}0\u{ff0e}0\u{ff61}1",
        "①②⑦.0.0.1",
        "127.0.0.\u{ad}1",
    ] {
        assert_eq!(read(text), "127.0.0.1", "{text:?}");
    }
    for (text, want) in [
        ("0", "0.0.0.0"),
        ("0.", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("0.0", "0.0.0.0"),
        ("4294967295", "255.255.255.255"),
        ("1.16777215", "1.255.255.255"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("::", "[::]"),
        ("[::]", "[::]"),
        ("[::1]", "[::1]"),
        ("[0:0::0:1]", "[::1]"),
        ("[2001:DB8::00A]", "[2001:db8::a]"),
        ("[::127.0.0.1]", "[::7f00:1]"),
        ("[64:ff9b::10.0.0.1]", "[64:ff9b::a00:1]"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn lengths() {
    let label = "a".repeat(64);
    let long = "abcdefg.".repeat(32);
    let wide = "ａ".repeat(2000);
    for (text, want) in [
        ("", "Empty"),
        ("\u{ad}", "Empty"),
        (".", "EmptyLabel"),
        ("..", "EmptyLabel"),
        ("a..b", "EmptyLabel"),
        (".a", "EmptyLabel"),
        ("a..", "EmptyLabel"),
        ("127.0.0.1..", "EmptyLabel"),
        (&label, "LongLabel"),
        (&format!("{label}.example"), "LongLabel"),
        (&long, "LongName"),
        (&wide, "LongName"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
    let most = format!("{}{}", "abcdefg.".repeat(31), "abcde");
    assert_eq!((most.len(), read(&most)), (253, most.clone()));
    assert_eq!(read(&format!("{most}.")), most, "the last dot does not count");
    assert_eq!(read(&"a".repeat(63)), "a".repeat(63));
}

#[test]
fn no_addresses() {
    for (text, want) in [
        ("1.2.3.4.5", "Ipv4"),
        ("256.256.256.256", "Ipv4"),
        ("1.2.3.256", "Ipv4"),
        ("4294967296", "Ipv4"),
        ("1.16777216", "Ipv4"),
        ("08", "Ipv4"),
        ("127.0.0.09", "Ipv4"),
        ("a.1", "Ipv4"),
        ("example.0x4", "Ipv4"),
        ("1..1", "Ipv4"),
        ("[127.0.0.1]", "Ipv6"),
        ("[::1", "Ipv6"),
        ("::1]", "Ipv6"),
        ("[[::1]]", "Ipv6"),
        ("[]", "Ipv6"),
        ("[::1]x", "Ipv6"),
        ("[::1::]", "Ipv6"),
        ("[1:2:3:4:5:6:7:8:9]", "Ipv6"),
        ("[::ffff:127.1]", "Ipv6"),
        ("[::ffff:0177.0.0.1]", "Ipv6"),
        ("[example.com]", "Ipv6"),
        ("example.com:80", "Ipv6"),
        ("http://example.com", "Ipv6"),
        ("[fe80::1%eth0]", "Zone"),
        ("[fe80::1%25eth0]", "Zone"),
        ("fe80::1%1", "Zone"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn characters() {
    for (text, want) in [
        ("%65vil.example", "Percent"),
        ("127%2e0.0.1", "Percent"),
        ("example.com%00", "Percent"),
        ("example.com\0", "Character('\\0')"),
        ("a\0.allowed.example", "Character('\\0')"),
        (" example.com", "Character(' ')"),
        ("example.com\t", "Character('\\t')"),
        ("example.com\r\nx", "Character('\\r')"),
        ("allowed@evil.example", "Character('@')"),
        ("evil.example#allowed", "Character('#')"),
        ("evil.example/allowed", "Character('/')"),
        ("evil.example\\allowed", "Character('\\\\')"),
        ("evil.example?allowed", "Character('?')"),
        ("*.example.com", "Character('*')"),
        ("a,b.example", "Character(',')"),
        ("$(id).example", "Character('$')"),
        ("a\u{7f}.example", "Character('\\u{7f}')"),
        // These become `@`, `/`, `%` and a blank.
        ("allowed＠evil.example", "Idna"),
        ("evil.example／allowed", "Idna"),
        ("％65vil.example", "Idna"),
        ("a\u{a0}b.example", "Idna"),
        ("a\u{2028}b.example", "Idna"),
        ("xn--.example", "Idna"),
        ("xn--a.example", "Idna"),
        ("xn--zz--zz.example", "Idna"),
        // Punycode of what needs none: another spelling of an ASCII name.
        ("xn--localhost-.example", "Idna"),
        ("xn--example-.com", "Idna"),
        ("a\u{202e}b.example", "Idna"),
        ("\u{fffd}.example", "Idna"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn ports() {
    let read = |text: &str| match Host::parse_with_port(text) {
        Ok((host, port)) => format!("{host} {port}"),
        Err(fault) => format!("{fault:?}"),
    };
    for (text, want) in [
        ("example.com:443", "example.com 443"),
        ("Example.COM.:1", "example.com 1"),
        ("127.1:65535", "127.0.0.1 65535"),
        ("[::1]:80", "[::1] 80"),
        ("[::ffff:7f00:1]:80", "127.0.0.1 80"),
        ("example.com", "PortMissing"),
        ("[::1]", "PortMissing"),
        ("", "PortMissing"),
        (":80", "Empty"),
        ("example.com:", "Port"),
        ("example.com:0", "Port"),
        ("example.com:65536", "Port"),
        ("example.com:4294967376", "Port"),
        ("example.com:+80", "Port"),
        ("example.com:-1", "Port"),
        ("example.com: 80", "Port"),
        ("example.com:80 ", "Port"),
        ("example.com:080", "Port"),
        ("example.com:0x50", "Port"),
        ("example.com:８０", "Port"),
        ("example.com:80:443", "Ipv6"),
        ("::1:80", "Ipv6"),
        ("[::1]80", "Ipv6"),
        ("[::1]:80]:90", "Ipv6"),
        ("[::1:80", "Ipv6"),
        ("example.com:80@evil.example:443", "Ipv6"),
        ("allowed@evil.example:443", "Character('@')"),
        ("example.com\0:443", "Character('\\0')"),
        ("[fe80::1%1]:80", "Zone"),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn faults_are_told_without_doing_anything_to_a_terminal() {
    assert_eq!(HostFault::Character('\u{1b}').to_string(), "a host cannot have `\\u{1b}` in it");
    assert_eq!(HostFault::Character('\0').to_string(), "a host cannot have NUL in it");
    assert_eq!(HostFault::Character(' ').to_string(), "a host cannot have a blank in it");
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}|[a-z0-9.:%\\[\\]xX-]{0,30}|[\u{0}-\u{ff}.]{0,20}") {
        if let Ok(host) = Host::parse(&text) {
            let told = host.to_string();
            prop_assert!(told.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(Host::parse(&told), Ok(host.clone()), "{}", told);
            prop_assert_eq!(Host::parse_with_port(&format!("{told}:443")), Ok((host, 443)));
        }
        // Must not panic either.
        drop(Host::parse_with_port(&text));
    }

    #[test]
    fn case_and_the_last_dot_say_nothing(name in "[a-z0-9_]{1,9}(\\.[a-z0-9_-]{1,9}){0,3}\\.[a-z]{1,5}") {
        let host = Host::parse(&name);
        if name.split('.').all(|label| !label.starts_with("xn--")) {
            prop_assert_eq!(&host, &Ok(Host::Name(name.clone())));
        }
        prop_assert_eq!(&Host::parse(&name.to_uppercase()), &host);
        prop_assert_eq!(&Host::parse(&format!("{name}.")), &host);
        prop_assert_eq!(&Host::parse(&name.replace('.', "\u{3002}")), &host);
        let wide = |c: char| match c {
            '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
            other => other,
        };
        prop_assert_eq!(&Host::parse(&name.chars().map(wide).collect::<String>()), &host);
    }

    #[test]
    fn spellings_of_an_address_agree(address in any::<[u8; 4]>()) {
        let [a, b, c, d] = address;
        let whole = u32::from_be_bytes(address);
        let host = Ok(Host::Address(address.into()));
        for text in [
            format!("{a}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.{d}."),
            format!("{a}.{b}.{}", whole & 0xffff),
            format!("{a}.{}", whole & 0xff_ffff),
            format!("{whole}"),
            format!("{whole:#x}"),
            format!("0{whole:o}"),
            format!("{a:#x}.0{b:o}.{c}.{d:#X}").replace("0X", "0x"),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[::ffff:{a:x}{b:02x}:{c:x}{d:02x}]"),
        ] {
            prop_assert_eq!(&Host::parse(&text), &host, "{}", text);
        }
    }

    #[test]
    fn addresses_come_back(address in any_address()) {
        let host = Host::from(address);
        prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
    }
}
