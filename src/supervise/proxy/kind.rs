//! Which language a client of the proxy's one port speaks.

/// What the first byte of a connection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An HTTP request: a character of a method, or the empty line that may stand before one.
    Http,
    /// SOCKS 5.
    Socks5,
    /// SOCKS 4 or 4a, which are not spoken here.
    Socks4,
    /// TLS to the proxy itself, as for a proxy that is named with `https://`; not spoken here.
    Tls,
    /// Nothing that is known, or no byte at all.
    Unknown,
}

/// Tells the kinds apart by the first byte alone: no two of them share one, so a client cannot be both.
pub fn kind(first: &[u8]) -> Kind {
    match first.first() {
        Some(5) => Kind::Socks5,
        Some(4) => Kind::Socks4,
        Some(22) => Kind::Tls,
        Some(byte) if *byte == b'\r' || byte.is_ascii_graphic() => Kind::Http,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides() {
        let table: &[(&[u8], Kind)] = &[
            (b"GET http://a/ HTTP/1.1", Kind::Http),
            (b"\r\nGET", Kind::Http),
            (b"connect", Kind::Http),
            (&[5, 1, 0], Kind::Socks5),
            (&[4, 1], Kind::Socks4),
            (&[22, 3, 1], Kind::Tls),
            (&[0x80, 46, 1], Kind::Unknown),
            (b"\n", Kind::Unknown),
            (b" GET", Kind::Unknown),
            (&[0], Kind::Unknown),
            (&[], Kind::Unknown),
        ];
        for (bytes, expected) in table {
            assert_eq!(kind(bytes), *expected, "{bytes:?}");
        }
    }
}
