use proptest::prelude::*;

use super::*;

/// Bytes, and what they are read as.
type Row<'a, T> = (&'a [u8], Result<Option<T>, Fault>);

#[test]
fn greetings_choose_the_least() {
    let table: &[Row<(usize, Choice)>] = &[
        (&[5, 1, 0], Ok(Some((3, Choice::Nothing)))),
        (&[5, 2, 0, 2], Ok(Some((4, Choice::Nothing)))),
        (&[5, 3, 0x80, 2, 0], Ok(Some((5, Choice::Nothing)))),
        (&[5, 1, 2], Ok(Some((3, Choice::Password)))),
        (&[5, 2, 1, 2, 5], Ok(Some((4, Choice::Password)))),
        (&[], Ok(None)),
        (&[5], Ok(None)),
        (&[5, 2, 0], Ok(None)),
        (&[5, 0], Err(Fault::NoMethod)),
        (&[5, 1, 1], Err(Fault::NoMethod)),
        (&[5, 2, 1, 0xFF, 0], Err(Fault::NoMethod)),
        (&[4, 1, 0, 80], Err(Fault::Socks4)),
        (&[6, 1, 0], Err(Fault::Version)),
        (b"GET /", Err(Fault::Version)),
    ];
    for (bytes, expected) in table {
        assert_eq!(greeting(bytes), *expected, "{bytes:?}");
    }
    assert_eq!((Choice::Nothing.reply(), Choice::Password.reply()), ([5, 0], [5, 2]));
}

#[test]
fn credentials_are_skipped() {
    let table: &[Row<usize>] = &[
        (b"\x01\x01u\x02pw", Ok(Some(6))),
        (b"\x01\x01u\x02pwX", Ok(Some(6))),
        (b"\x01\x00\x00", Ok(Some(3))),
        (b"", Ok(None)),
        (b"\x01", Ok(None)),
        (b"\x01\x01u", Ok(None)),
        (b"\x01\x01u\x02p", Ok(None)),
        (b"\x05\x01u\x02pw", Err(Fault::Credentials)),
    ];
    for (bytes, expected) in table {
        assert_eq!(credentials(bytes), *expected, "{bytes:?}");
    }
    let longest = [vec![1, 255], vec![b'u'; 255], vec![255], vec![b'p'; 255]].concat();
    assert_eq!(credentials(&longest), Ok(Some(513)));
}

fn named(name: &[u8], port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[5, 1, 0, 3, length], name, &port.to_be_bytes()].concat()
}

fn host(bytes: &[u8]) -> Result<Option<String>, Fault> {
    request(bytes).map(|found| {
        found.map(|(length, address)| {
            assert!(length <= bytes.len());
            format!("{}:{}", address.host, address.port)
        })
    })
}

#[test]
fn requests_connect_to_hosts_that_can_exist() {
    let good = [
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0, 80], "10.0.0.1:80"),
        ([&[5, 1, 0, 4][..], &[0; 15], &[1, 1, 187]].concat(), "[::1]:443"),
        ([&[5, 1, 0, 4][..], &[0; 10], &[255, 255, 10, 0, 0, 1, 1, 187]].concat(), "[::ffff:10.0.0.1]:443"),
        (named(b"Example.com.", 65535), "Example.com.:65535"),
        (named(b"10.1", 1), "10.1:1"),
        (named(b"::1", 1), "[::1]:1"),
        (named(b"[::1]", 1), "[::1]:1"),
        (named(&[b'a'; 255], 1), &format!("{}:1", "a".repeat(255))),
    ];
    for (bytes, expected) in &good {
        assert_eq!(host(bytes), Ok(Some((*expected).to_owned())));
        for cut in 0..bytes.len() {
            assert_eq!(host(&bytes[..cut]), Ok(None), "{expected} up to {cut}");
        }
        let behind = [bytes.as_slice(), b"\x16\x03\x01"].concat();
        assert_eq!(request(&behind).unwrap().unwrap().0, bytes.len());
    }
}

#[test]
fn other_requests_are_refused() {
    let to = |command, reserved, kind| vec![5, command, reserved, kind, 10, 0, 0, 1, 0, 80];
    assert!(host(&to(1, 0, 1)).is_ok());
    let mut bad = vec![
        (to(2, 0, 1), Fault::Command),
        (to(3, 0, 1), Fault::Command),
        (to(0, 0, 1), Fault::Command),
        (to(0xF0, 0, 1), Fault::Command),
        (to(1, 1, 1), Fault::Reserved),
        (to(1, 0, 0), Fault::AddressType),
        (to(1, 0, 2), Fault::AddressType),
        (to(1, 0, 5), Fault::AddressType),
        (vec![4, 1, 0, 80, 10, 0, 0, 1, 0], Fault::Version),
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0, 0], Fault::Port),
        (named(b"a", 0), Fault::Port),
    ];
    let names: &[&[u8]] = &[
        b"",
        b"a\0",
        b"\0",
        b"a\0.example",
        b"a b",
        b"a\r\n",
        b"a/b",
        b"u@a",
        b"a:80",
        b"a%00",
        b"a\\",
        b"\xc3\xa4",
        b"\xff",
        b"*",
        b"[::1",
        b"fe80::1%eth0",
        b"[a]",
        b"a\t",
    ];
    bad.extend(names.iter().map(|name| (named(name, 80), Fault::Host)));
    for (bytes, fault) in bad {
        assert_eq!(host(&bytes), Err(fault), "{bytes:?}");
    }
}

#[test]
fn each_outcome_has_its_code() {
    let outcomes = [
        Reply::Succeeded,
        Reply::Failed,
        Reply::NotAllowed,
        Reply::NetworkUnreachable,
        Reply::HostUnreachable,
        Reply::Refused,
        Reply::TimedOut,
        Reply::Command,
        Reply::AddressType,
    ];
    for (outcome, code) in outcomes.into_iter().zip(0..) {
        assert_eq!(reply(outcome), [5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let faults: &[(Fault, &[u8])] = &[
        (Fault::Socks4, &[0, 0x5B, 0, 0, 0, 0, 0, 0]),
        (Fault::Version, &[]),
        (Fault::NoMethod, &[5, 0xFF]),
        (Fault::Credentials, &[1, 1]),
        (Fault::Command, &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]),
        (Fault::AddressType, &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
        (Fault::Reserved, &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        (Fault::Host, &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        (Fault::Port, &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
    ];
    let mut words: Vec<_> = faults.iter().map(|(fault, _)| fault.code()).collect();
    for (fault, bytes) in faults {
        assert_eq!(fault.reply(), *bytes, "{fault}");
    }
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), faults.len(), "a word stands for one fault");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(prop_oneof![0..6_u8, any::<u8>()], 0..300),
        cut in any::<prop::sample::Index>(),
    ) {
        let piece = &bytes[..cut.index(bytes.len() + 1)];
        for read in [
            |bytes: &[u8]| greeting(bytes).map(|found| found.map(|(length, choice)| (length, format!("{choice:?}")))),
            |bytes: &[u8]| credentials(bytes).map(|found| found.map(|length| (length, String::new()))),
            |bytes: &[u8]| request(bytes).map(|found| found.map(|(length, address)| (length, format!("{address:?}")))),
        ] {
            let whole = read(&bytes);
            prop_assert!(whole.as_ref().ok().and_then(Option::as_ref).is_none_or(|(length, _)| *length <= bytes.len()));
            prop_assert!(read(piece) == Ok(None) || read(piece) == whole);
        }
    }
}
