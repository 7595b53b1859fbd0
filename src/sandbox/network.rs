//! What commands may reach of the network, and what may reach them.

use super::Sandbox;

impl Sandbox {
    /// Lets a host be reached with [`Net::Allow`](crate::Net::Allow), at ports 80 and 443 or the one named: `pypi.org`,
    /// `*.example.com:443`, `10.0.0.0/8:22`.
    #[must_use]
    pub fn allow_host(self, host: impl AsRef<str>) -> Self {
        self.flag("--allow-host", host.as_ref())
    }

    /// Lets a host not be reached, whatever else allows it.
    #[must_use]
    pub fn deny_host(self, host: impl AsRef<str>) -> Self {
        self.flag("--deny-host", host.as_ref())
    }

    /// Lets plain HTTP requests have this method, and others of which this is said; all if this is not called.
    #[must_use]
    pub fn http_method(self, method: impl AsRef<str>) -> Self {
        self.flag("--http-methods", method.as_ref())
    }

    /// Serves programs that ignore proxy variables too: names of allowed hosts can be resolved inside.
    #[must_use]
    pub fn transparent(self) -> Self {
        self.switch("--transparent")
    }

    /// Lets port `host` of the host's loopback interface lead to port `inside` of a command.
    #[must_use]
    pub fn publish(self, host: u16, inside: u16) -> Self {
        self.flag("--publish", format!("{host}:{inside}"))
    }

    /// Lets port `inside` of a command's loopback interface lead to port `host` of the host's.
    #[must_use]
    pub fn expose_host(self, host: u16, inside: u16) -> Self {
        self.flag("--expose-host", format!("{host}:{inside}"))
    }

    /// Lets commands make no unix sockets, but pairs.
    #[must_use]
    pub fn no_unix(self) -> Self {
        self.switch("--no-unix")
    }

    /// Writes an event for each decision about the network, one JSON object a line, to the end of a file outside of what
    /// commands can write.
    #[must_use]
    pub fn log(self, file: impl AsRef<std::path::Path>) -> Self {
        self.flag("--log", file.as_ref())
    }
}
