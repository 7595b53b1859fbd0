//! Proxies that the caller's variables name.

use core::net::IpAddr;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Endpoint;
use crate::plan::PlanError;
use crate::request::{Origin, Said};

/// The variables that are looked at, in any case.
pub const VARIABLES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "WS_PROXY",
    "WSS_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
    "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
    "NPM_CONFIG_HTTP_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "NPM_CONFIG_PROXY",
    "BUNDLE_HTTP_PROXY",
    "BUNDLE_HTTPS_PROXY",
    "PIP_PROXY",
    "DOCKER_HTTP_PROXY",
    "DOCKER_HTTPS_PROXY",
];

/// The address of a proxy, as a variable has it: `SCHEME://USER:PASSWORD@HOST:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What stands before the host.
    before: String,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What stands behind the port.
    after: String,
}

/// A variable that names a port inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The variable.
    pub name: OsString,
    /// What it names outside.
    pub address: Address,
    /// The port inside.
    pub port: u16,
}

impl Rewritten {
    /// Its value inside.
    #[must_use]
    pub fn value(&self) -> String {
        let Self { name: _, address: Address { before, endpoint, after }, port } = self;
        match endpoint {
            Endpoint::V6(_) => format!("{before}[::1]:{port}{after}"),
            Endpoint::V4(_) | Endpoint::Localhost(_) | Endpoint::Unix(_) => format!("{before}127.0.0.1:{port}{after}"),
        }
    }
}

/// Every variable that names a proxy of the host's loopback interface, and which.
///
/// # Errors
/// Where there is none, or one has a port that is not to be used.
pub fn proxies(
    env: &[(OsString, OsString)],
    by: &Origin,
    ports: Option<&Said<Vec<u16>>>,
) -> Result<Vec<(OsString, Address)>, Vec<PlanError>> {
    let (mut found, mut unusable, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in env.iter().filter(|(name, _)| is_proxy_variable(name)) {
        let text = value.to_string_lossy();
        if text.trim().is_empty() {
            continue;
        }
        match address(text.trim()) {
            Ok(address) => {
                let port = address.endpoint.port();
                let refused = ports.filter(|ports| port.is_some_and(|port| !ports.value.contains(&port)));
                errors.extend(refused.zip(port).map(|(ports, port)| PlanError::ProxyPort {
                    variable: name.to_string_lossy().into_owned(),
                    port,
                    by: ports.by.clone(),
                }));
                found.push((name.clone(), address));
            }
            Err(why) => unusable.push(format!("{} {why}", name.to_string_lossy())),
        }
    }
    if found.is_empty() {
        errors.push(PlanError::NoProxy { by: by.clone(), unusable });
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// Whether a variable can name a proxy.
#[must_use]
pub fn is_proxy_variable(name: &std::ffi::OsStr) -> bool {
    VARIABLES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Reads an address. What is wrong never repeats the value: there may be a password in it.
fn address(text: &str) -> Result<Address, &'static str> {
    let (scheme, rest) = text.split_once("://").map_or(("http", text), |(scheme, rest)| (scheme, rest));
    if let Some(path) = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
        let path = PathBuf::from(path);
        let endpoint = Endpoint::Unix(path);
        return match &endpoint {
            Endpoint::Unix(path) if path.is_absolute() => {
                Ok(Address { before: "http://".to_owned(), endpoint, after: String::new() })
            }
            _ => Err("names a unix socket by a relative path"),
        };
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = authority.split_at(at);
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port = match port {
        Some("") | None => default_port(scheme),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or("has a port that is none")?
        }
        Some(_) => return Err("has a port that is none"),
    };
    let endpoint = loopback(host, port).ok_or("does not name the host's loopback interface")?;
    Ok(Address { before: format!("{scheme}://{user}"), endpoint, after: after.to_owned() })
}

fn default_port(scheme: &str) -> u16 {
    match scheme.to_ascii_lowercase().as_str() {
        "https" => 443,
        scheme if scheme.starts_with("socks") => 1080,
        _ => 80,
    }
}

fn loopback(host: &str, port: u16) -> Option<Endpoint> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Endpoint::Localhost(port));
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse().ok()? {
        IpAddr::V4(address) if address == core::net::Ipv4Addr::LOCALHOST && bare == host => Some(Endpoint::V4(port)),
        IpAddr::V6(address) if address == core::net::Ipv6Addr::LOCALHOST && bare != host => Some(Endpoint::V6(port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> String {
        match address(value) {
            Ok(address) => {
                let inside = Rewritten { name: "X".into(), address: address.clone(), port: 9 }.value();
                format!("{} {inside}", address.endpoint)
            }
            Err(why) => why.to_owned(),
        }
    }

    #[test]
    fn addresses_keep_all_but_their_port() {
        let table = [
            ("http://127.0.0.1:3128", "127.0.0.1:3128 http://127.0.0.1:9"),
            ("http://LocalHost:3128/", "localhost:3128 http://127.0.0.1:9/"),
            ("127.0.0.1:8080", "127.0.0.1:8080 http://127.0.0.1:9"),
            ("localhost", "localhost:80 http://127.0.0.1:9"),
            ("https://localhost", "localhost:443 https://127.0.0.1:9"),
            ("socks5h://127.0.0.1", "127.0.0.1:1080 socks5h://127.0.0.1:9"),
            ("SOCKS4A://localhost:", "localhost:1080 SOCKS4A://127.0.0.1:9"),
            ("http://[::1]:3128/p?q=1", "[::1]:3128 http://[::1]:9/p?q=1"),
            ("http://me:p%40ss@localhost:1/x", "localhost:1 http://me:p%40ss@127.0.0.1:9/x"),
            ("http://a@b@127.0.0.1:1", "127.0.0.1:1 http://a@b@127.0.0.1:9"),
            ("unix:/run/proxy.sock", "unix:/run/proxy.sock http://127.0.0.1:9"),
            ("unix:///run/proxy.sock", "unix:/run/proxy.sock http://127.0.0.1:9"),
            ("unix:proxy.sock", "names a unix socket by a relative path"),
            ("http://proxy.corp:3128", "does not name the host's loopback interface"),
            ("http://127.0.0.1@evil:3128", "does not name the host's loopback interface"),
            ("http://127.0.0.1.evil:3128", "does not name the host's loopback interface"),
            ("http://127.1:3128", "does not name the host's loopback interface"),
            ("http://::1:3128", "does not name the host's loopback interface"),
            ("http://[127.0.0.1]:3128", "does not name the host's loopback interface"),
            ("http://localhost.:3128", "does not name the host's loopback interface"),
            ("http://:3128", "does not name the host's loopback interface"),
            ("http://localhost:0", "has a port that is none"),
            ("http://localhost:65536", "has a port that is none"),
            ("http://localhost:+80", "has a port that is none"),
            ("http://localhost:80 80", "has a port that is none"),
        ];
        for (value, want) in table {
            assert_eq!(read(value), want, "{value}");
        }
    }

    #[test]
    fn without_a_proxy_it_is_told_what_was_looked_at_and_no_password() {
        let proxies = |env: &[(&str, &str)], ports: Option<&[u16]>| {
            let env: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let ports = ports.map(|ports| Said::new(ports.to_vec(), Origin::Flag("--ports")));
            let by = Origin::Flag("--net");
            super::proxies(&env, &by, ports.as_ref())
                .map(|found| found.into_iter().map(|(name, _)| name.into_string().unwrap()).collect::<Vec<_>>())
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())
        };
        let both =
            [("http_proxy", " http://localhost:1 "), ("NO_PROXY", "x"), ("Pip_Proxy", "localhost:2"), ("A", "b")];
        assert_eq!(proxies(&both, None), Ok(vec!["http_proxy".to_owned(), "Pip_Proxy".to_owned()]));
        assert_eq!(proxies(&both, Some(&[1, 2])), Ok(vec!["http_proxy".to_owned(), "Pip_Proxy".to_owned()]));
        assert!(proxies(&both, Some(&[1])).unwrap_err().contains("port 2"));
        let told = proxies(&[("HTTP_PROXY", "http://me:hush@far:1"), ("ALL_PROXY", "  ")], None).unwrap_err();
        assert!(told.contains("HTTP_PROXY does not name") && !told.contains("hush"), "{told}");
        assert!(proxies(&[], None).unwrap_err().contains("DOCKER_HTTPS_PROXY"));
    }
}
