//! From a host to a connection: what may not be reached is never resolved, and of what was resolved only what may be
//! reached is connected to.

mod routes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use hickory_proto::op::Message;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, timeout};

use super::relay::Patience;
use super::stream::Stream;
use crate::plan::network::Endpoint;
use crate::policy::net::HostRules;
use crate::policy::net::decide::Refusal;
use crate::policy::net::host::Host;
pub use routes::Routes;

/// So many addresses of a host are tried.
const TRIED: usize = 8;

/// How long one address is tried before the next one is.
const EACH: Duration = Duration::from_secs(8);

/// Why there is no connection.
#[derive(Debug)]
pub enum NoWay {
    /// The rules do not allow it.
    Refused(Box<Refusal>),
    /// The name has no address, or nobody could be asked.
    Unresolved(Host),
    /// All addresses that may be reached failed; what the last one said.
    Unreachable(io::Error),
}

impl NoWay {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unresolved(_) => "dns",
            Self::Unreachable(error) => match error.kind() {
                io::ErrorKind::TimedOut => "timeout",
                io::ErrorKind::ConnectionRefused => "refused",
                _ => "unreachable",
            },
        }
    }
}

impl std::fmt::Display for NoWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Unresolved(host) => write!(f, "{host} has no address"),
            Self::Unreachable(error) => write!(f, "the host cannot be reached: {error}"),
        }
    }
}

/// Asks for addresses. What the machine's files say of resolving is read when it is made.
pub struct Names(TokioResolver);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// As `/etc/resolv.conf` and `/etc/hosts` say. Without the first, only hosts of the second have addresses.
    ///
    /// # Errors
    /// As the library says it.
    pub fn of_system() -> io::Result<Self> {
        let (config, mut options) = hickory_resolver::system_conf::read_system_conf()
            .unwrap_or_else(|_| (ResolverConfig::default(), ResolverOpts::default()));
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = 256;
        Self::with(config, options)
    }

    /// As these say.
    fn with(config: ResolverConfig, options: ResolverOpts) -> io::Result<Self> {
        // Questions have random numbers, whose source the confined bridge could not open for the first one any more.
        drop(Message::query());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build().map(Self).map_err(io::Error::other)
    }

    /// The addresses of a name, IPv4 first.
    async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        // A name with dots is a whole one: a search list must not make another host of what the rules are about.
        let whole = if name.contains('.') { format!("{name}.") } else { name.to_owned() };
        let Ok(found) = self.0.lookup_ip(whole).await else { return Vec::new() };
        let mut found: Vec<IpAddr> = found.iter().collect();
        found.sort_by_key(IpAddr::is_ipv6);
        found.dedup();
        found
    }
}

/// Connects to what the rules allow.
#[derive(Debug)]
pub struct Dialer {
    /// What may be reached.
    pub rules: HostRules,
    /// Who is asked for addresses.
    pub names: Names,
    /// Who knows which are this machine's, where it may be asked.
    pub routes: Option<Routes>,
}

impl Dialer {
    /// A connection to a host that was allowed by name. Each address is judged again at each dial, so what a name meant
    /// before does not count.
    ///
    /// # Errors
    /// [`NoWay`].
    pub async fn dial(&self, host: &Host, port: u16, patience: &Patience) -> Result<TcpStream, NoWay> {
        let late = || NoWay::Unreachable(io::ErrorKind::TimedOut.into());
        timeout(patience.dial, self.try_each(host, port)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn try_each(&self, host: &Host, port: u16) -> Result<TcpStream, NoWay> {
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.names.addresses(name).await,
        };
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in addresses {
            match self.rules.by_address(host, port, address, self.is_own(address)) {
                Ok(()) => allowed.push(address),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        if allowed.is_empty() {
            return Err(
                refused.map_or_else(|| NoWay::Unresolved(host.clone()), |refusal| NoWay::Refused(Box::new(refusal)))
            );
        }
        // Of a name that means what may be reached and what may not, the first is connected to and nothing else.
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in allowed.into_iter().take(TRIED) {
            match connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(NoWay::Unreachable(last))
    }

    /// Whether an address belongs to this machine. Nothing is sent to find out.
    fn is_own(&self, address: IpAddr) -> bool {
        self.routes.as_ref().is_some_and(|routes| routes.is_local(address))
            || sends_to_itself(address)
            || can_be_bound(address)
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(EACH, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Of several addresses of an interface the kernel sends from the first one, but each can be listened at; unless that can
/// be said of every address (ip(7), `ip_nonlocal_bind`).
fn can_be_bound(address: IpAddr) -> bool {
    /// Nobody's (RFC 5737 and RFC 3849).
    const NOBODY: [IpAddr; 2] =
        [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let nobody = NOBODY.into_iter().find(|nobody| nobody.is_ipv4() == address.is_ipv4());
    binds(address) && !nobody.is_some_and(binds)
}

/// The kernel sends from an own address to it.
fn sends_to_itself(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let route = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    // What cannot be routed cannot be connected to either.
    route().is_ok_and(|from: SocketAddr| from.ip() == address)
}

/// Connects to a proxy of the host's.
///
/// # Errors
/// As connect(2), or `TimedOut`.
pub async fn to_endpoint(endpoint: &Endpoint, patience: &Patience) -> io::Result<Stream> {
    let v4 = |port: u16| connect(SocketAddr::from(([127, 0, 0, 1], port)));
    let v6 = |port: u16| connect(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
    let connected = async {
        match endpoint {
            Endpoint::V4(port) => v4(*port).await.map(Stream::Tcp),
            Endpoint::V6(port) => v6(*port).await.map(Stream::Tcp),
            Endpoint::Localhost(port) => match v4(*port).await {
                Ok(stream) => Ok(Stream::Tcp(stream)),
                Err(_) => v6(*port).await.map(Stream::Tcp),
            },
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        }
    };
    timeout(patience.dial, connected).await?
}

#[cfg(test)]
mod tests;
