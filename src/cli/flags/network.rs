//! Flags about the network.

use clap::Args;

use super::{heading, said};
use crate::request::network::{PortPair, Reach};
use crate::request::{Net, Origin, Said};

/// The options about the network.
#[derive(Debug, Default, Args)]
pub(super) struct NetworkFlags {
    /// Which network.
    ///
    /// None (usual), the hosts of --allow-host, the proxies that the proxy variables name, or the host's.
    #[arg(long, value_enum, value_name = "WHICH", help_heading = heading::NETWORK)]
    net: Option<Net>,
    /// Let a host be reached: pypi.org, '*.example.com:443'.
    ///
    /// At ports 80 and 443, or the one that is named; `:*` means all. Networks too: 10.0.0.0/8:22.
    #[arg(long, value_name = "HOST[:PORT]", help_heading = heading::NETWORK)]
    allow_host: Vec<String>,
    /// Let a host not be reached, whatever --allow-host says.
    #[arg(long, value_name = "HOST[:PORT]", help_heading = heading::NETWORK, hide_short_help = true)]
    deny_host: Vec<String>,
    /// Let plain HTTP requests have these methods only, for example GET,HEAD.
    #[arg(long, value_name = "METHODS", value_delimiter = ',', help_heading = heading::NETWORK, hide_short_help = true)]
    http_methods: Vec<String>,
    /// Serve programs that ignore proxy variables too: names of allowed hosts can be resolved inside.
    #[arg(long, help_heading = heading::NETWORK, hide_short_help = true)]
    transparent: bool,
    /// Let the host's loopback reach a port of the command.
    #[arg(long, value_name = "[HOSTPORT:]PORT", help_heading = heading::NETWORK)]
    publish: Vec<PortPair>,
    /// Let the command reach a port of the host's loopback interface.
    #[arg(long, value_name = "[HOSTPORT:]PORT", help_heading = heading::NETWORK, hide_short_help = true)]
    expose_host: Vec<PortPair>,
    /// Let the command make no unix sockets, but pairs.
    #[arg(long, help_heading = heading::NETWORK, hide_short_help = true)]
    no_unix: bool,
}

impl NetworkFlags {
    pub(super) fn net(&self) -> Option<Net> {
        self.net
    }

    pub(super) fn reach(self, allow_unenforced: Option<Said<bool>>) -> Reach {
        let Self { net: _, allow_host, deny_host, http_methods, transparent, publish, expose_host, no_unix } = self;
        Reach {
            allow: each(allow_host, "--allow-host"),
            deny: each(deny_host, "--deny-host"),
            methods: said((!http_methods.is_empty()).then_some(http_methods), "--http-methods"),
            transparent: said(transparent.then_some(true), "--transparent"),
            publish: each(publish, "--publish"),
            expose: each(expose_host, "--expose-host"),
            no_unix: said(no_unix.then_some(true), "--no-unix"),
            allow_unenforced,
            ..Reach::default()
        }
    }
}

fn each<T>(values: Vec<T>, flag: &'static str) -> Vec<Said<T>> {
    values.into_iter().map(|value| Said::new(value, Origin::Flag(flag))).collect()
}
