//! Why a request cannot become a policy, and the cure.

use std::path::PathBuf;

use super::baseline::SettingError;
use super::gpu::{ClassSyntax, GpuSyntax};
use super::net::rule::Fault;
use crate::request::network::LEAVE_OUT;
use crate::request::{Net, Origin, Said};

/// Why a request cannot become a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No command was given.
    #[error("no command was given")]
    NoCommand,
    /// An argument of the command holds a NUL byte.
    #[error("argument {0} of the command holds a NUL byte")]
    NulInCommand(usize),
    /// A path is not absolute where nothing says what it is relative to.
    #[error("{what} `{}` is not absolute ({by})", path.display())]
    NotAbsolute {
        /// Which option.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Who said it.
        by: Origin,
    },
    /// A path holds a NUL byte.
    #[error("path {path:?} holds a NUL byte ({by})")]
    NulInPath {
        /// The path.
        path: PathBuf,
        /// Who said it.
        by: Origin,
    },
    /// A glob where only a plain path is understood, or one that is too wide.
    #[error("glob `{glob}` ({by}) {why}")]
    Glob {
        /// As written.
        glob: String,
        /// Who said it.
        by: Origin,
        /// What is wrong.
        why: String,
    },
    /// `--gpu` is none of the known forms.
    #[error("{source} ({by})")]
    Gpu {
        /// What is wrong.
        source: GpuSyntax,
        /// Who said it.
        by: Origin,
    },
    /// `--gpu-class` has a word that is none.
    #[error("{source} ({by})")]
    GpuClass {
        /// What is wrong.
        source: ClassSyntax,
        /// Who said it.
        by: Origin,
    },
    /// Full access was asked for together with a restriction.
    #[error("full-access restricts nothing, but {by} asks for a restriction")]
    FullAccessRestricted {
        /// The restriction's origin.
        by: Origin,
    },
    /// What a command does cannot be noted without a `/proc`.
    #[error("without a /proc nothing can be seen of what the command does ({by})")]
    Unseen {
        /// Who wants to see it.
        by: Origin,
    },
    /// `--pass-fd` names a standard stream or a negative number.
    #[error("--pass-fd {0} is not a descriptor above 2")]
    PassFd(i32),
    /// A device is not below `/dev`.
    #[error("device `{}` is not below /dev ({by})", path.display())]
    DeviceElsewhere {
        /// The path.
        path: PathBuf,
        /// Who said it.
        by: Origin,
    },
    /// A complete policy that shows nothing at all.
    #[error("the policy grants no path at all, so nothing could run [fs.no_grants]")]
    NoGrants,
    /// A setting of the baseline.
    #[error(transparent)]
    Baseline(SettingError),
    /// A part of the policy that nothing here enforces.
    #[error("{by}: {what} [{code}]")]
    Unenforced {
        /// Stable, for programs.
        code: &'static str,
        /// What it is.
        what: String,
        /// Who said it.
        by: Origin,
    },
    /// A host in a rule that is none.
    #[error("{fault} ({by})")]
    Host {
        /// What is wrong.
        fault: Fault,
        /// Who said it.
        by: Origin,
    },
    /// A method of HTTP that is none.
    #[error("`{method}` is no HTTP method ({by})")]
    Method {
        /// As it is written.
        method: String,
        /// Who said it.
        by: Origin,
    },
    /// Something about the network that another word makes meaningless.
    #[error("{by} has no effect where the network is {} ({})", net.value.name(), net.by)]
    Unused {
        /// Who said it.
        by: Origin,
        /// What makes it meaningless.
        net: Said<Net>,
    },
    /// A limit that nothing could live with, or that is of nothing.
    #[error("{what} cannot be limited so ({by}): {why}")]
    Limit {
        /// What is to be limited.
        what: &'static str,
        /// Who said it.
        by: Origin,
        /// What is wrong.
        why: &'static str,
    },
    /// Two connections of ports that want the same one.
    #[error("port {port} is given away twice ({by})")]
    PortTwice {
        /// Which option.
        what: &'static str,
        /// The port.
        port: u16,
        /// Who said it.
        by: Origin,
    },
    /// A port inside that names are asked for at.
    #[error("port 53 inside is where --transparent answers questions for names ({by})")]
    PortOfNames {
        /// Who said it.
        by: Origin,
    },
    /// A variable name is empty or holds `=` or NUL.
    #[error("`{name}` is not a variable name ({by})")]
    EnvName {
        /// The name.
        name: String,
        /// Who said it.
        by: Origin,
    },
}

impl PolicyError {
    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCommand => "ringfence run -- COMMAND [ARGUMENT]...".to_owned(),
            Self::NotAbsolute { .. } => "write the whole path, from / on".to_owned(),
            Self::FullAccessRestricted { .. } => {
                "use --sandbox workspace-write with --write PATH for what must be writable".to_owned()
            }
            Self::Unseen { .. } => "leave out --no-proc, or proc = false, for this run".to_owned(),
            Self::DeviceElsewhere { .. } => "name the node as it is in /dev".to_owned(),
            Self::Glob { .. } => "name a directory in front of the first `*`, for example `./**/*.env`".to_owned(),
            Self::Baseline(SettingError::Glob { .. }) => {
                "patterns are whole paths, with *, ?, [set] and **: keep = [\"/proc\", \"/sys/**\"]".to_owned()
            }
            Self::NoGrants => "name what the command needs under read_only, or add --baseline core".to_owned(),
            Self::Unenforced { .. } => LEAVE_OUT.to_owned(),
            Self::Host { fault, .. } => return fault.hint(),
            Self::Method { .. } => "for example --http-methods GET,HEAD".to_owned(),
            Self::Unused { by: Origin::Flag("--publish" | "--expose-host"), .. } => {
                "leave it out, or say --net none or allow".to_owned()
            }
            Self::Unused { .. } => "leave it out, or say --net allow".to_owned(),
            Self::Limit { .. } => "leave it out, or say unlimited".to_owned(),
            Self::PortTwice { what, .. } => format!("give it another number: {what} HOST:INSIDE, as in 18080:8080"),
            Self::PortOfNames { .. } => "give it another number, as in 53:5353 (the host's first)".to_owned(),
            Self::Baseline(SettingError::Compat { .. })
            | Self::NulInCommand(_)
            | Self::NulInPath { .. }
            | Self::Gpu { .. }
            | Self::GpuClass { .. }
            | Self::PassFd(_)
            | Self::EnvName { .. } => return None,
        })
    }
}
