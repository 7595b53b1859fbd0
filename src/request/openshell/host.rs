//! Host names and patterns of policies: which are allowed.

use std::net::IpAddr;

pub(super) use crate::request::pattern::overlap;
use crate::request::pattern::{self, Wild};

/// Why a host cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// The host in lower case, addresses in their shortest form, IPv6 in brackets. `transparent`: it is reached without a
/// proxy that is told the name, so it must be a name.
pub(super) fn check(host: &str, transparent: bool) -> Result<String, Fault> {
    let code = if transparent { "net.tcp_host" } else { "net.host" };
    let fault = |message: &str| Fault { code, message: message.to_owned(), hint: None };
    if host.trim() != host {
        return Err(fault("there are blanks around the host"));
    }
    if let Some(address) = address(host) {
        return if transparent { Err(fault("protocol tcp needs a host name, not an address")) } else { Ok(address) };
    }
    if let Some(name) = host.strip_suffix('.') {
        let hint = Some(format!("write `{}`", super::reader::shown(name)));
        return Err(Fault { hint, ..fault("the host ends with a dot") });
    }
    if host.contains(['{', '}']) {
        return Err(Fault { code: "net.host_wildcard", ..fault("braces are not known in hosts") });
    }
    let host = host.to_ascii_lowercase();
    pattern::check_wildcards(&host).map_err(of_wildcard)?;
    pattern::check_labels(&host).map_err(fault)?;
    Ok(host)
}

fn address(host: &str) -> Option<String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse().ok()? {
        IpAddr::V4(address) if bare == host => Some(address.to_string()),
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(format!("[{address}]")),
    }
}

fn of_wildcard(wild: Wild) -> Fault {
    let code = if wild == Wild::TopLevel { "net.tld_wildcard" } else { "net.host_wildcard" };
    Fault { code, message: wild.to_string(), hint: Some(Wild::CURE.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(host: &str, transparent: bool) -> String {
        match check(host, transparent) {
            Ok(host) => host,
            Err(fault) => fault.code.to_owned(),
        }
    }

    #[test]
    fn hosts() {
        let label = "a".repeat(64);
        let long = format!("{}example.com", "abcdefg.".repeat(32));
        for (host, l4, tcp) in [
            ("example.com", "example.com", "example.com"),
            ("API.Example.COM", "api.example.com", "api.example.com"),
            ("localhost", "localhost", "localhost"),
            ("a_b.example.com", "a_b.example.com", "a_b.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("10.0.0.5", "10.0.0.5", "net.tcp_host"),
            ("::1", "[::1]", "net.tcp_host"),
            ("[2001:DB8::1]", "[2001:db8::1]", "net.tcp_host"),
            ("[10.0.0.5]", "net.host", "net.tcp_host"),
            ("127.1", "net.host", "net.tcp_host"),
            ("0x7f000001", "net.host", "net.tcp_host"),
            ("2130706433", "net.host", "net.tcp_host"),
            ("example.com.", "net.host", "net.tcp_host"),
            (" example.com", "net.host", "net.tcp_host"),
            ("example.com ", "net.host", "net.tcp_host"),
            ("example..com", "net.host", "net.tcp_host"),
            (".example.com", "net.host", "net.tcp_host"),
            ("-a.example.com", "net.host", "net.tcp_host"),
            ("a-.example.com", "net.host", "net.tcp_host"),
            ("exam ple.com", "net.host", "net.tcp_host"),
            ("https://example.com", "net.host", "net.tcp_host"),
            ("example.com:443", "net.host", "net.tcp_host"),
            ("example.com/x", "net.host", "net.tcp_host"),
            ("bücher.example", "net.host", "net.tcp_host"),
            ("fe80::1%eth0", "net.host", "net.tcp_host"),
            (&format!("{label}.example.com"), "net.host", "net.tcp_host"),
            (&long, "net.host", "net.tcp_host"),
        ] {
            assert_eq!((code(host, false), code(host, true)), (l4.to_owned(), tcp.to_owned()), "{host}");
        }
    }

    #[test]
    fn wildcards() {
        for host in [
            "*.example.com",
            "**.example.com",
            "*-api.example.com",
            "api-*.example.com",
            "a*b*.example.com",
            "*.*.example.com",
            "api.*.example.com",
            "**.*.example.com",
        ] {
            assert_eq!(code(host, false), host);
            assert_eq!(code(host, true), host);
        }
        for (host, want) in [
            ("*", "net.host_wildcard"),
            ("**", "net.host_wildcard"),
            ("**-api.example.com", "net.host_wildcard"),
            ("a**.example.com", "net.host_wildcard"),
            ("***.example.com", "net.host_wildcard"),
            ("api.*-x.example.com", "net.host_wildcard"),
            ("api.**.example.com", "net.host_wildcard"),
            ("api.example.*", "net.host_wildcard"),
            ("api.example.c*", "net.host_wildcard"),
            ("{a,b}.example.com", "net.host_wildcard"),
            ("*.com", "net.tld_wildcard"),
            ("**.org", "net.tld_wildcard"),
            ("*-api.com", "net.tld_wildcard"),
            ("*.*.com", "net.tld_wildcard"),
            ("a*", "net.tld_wildcard"),
            ("*.", "net.host"),
        ] {
            assert_eq!(code(host, false), want, "{host}");
        }
    }
}
