//! Why there can be no plan, and the cure.

use std::path::PathBuf;

use super::baseline::Event;
use super::gpu::GpuError;
use super::gpu::cdi::CdiError;
use super::limits::TMP;
use super::network::managed::VARIABLES;
use crate::request::Origin;
use crate::request::network::LEAVE_OUT;

/// Where nobody makes files by hand.
const MADE_BY_THE_SYSTEM: &[&str] = &["/dev", "/proc", "/sys", "/run"];

/// Why there can be no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// The working directory does not exist or cannot be reached.
    #[error("working directory `{}`: {why}", path.display())]
    Workspace {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The workspace is so wide that protecting the rest would be a joke.
    #[error("the workspace would be `{}`, {what}", path.display())]
    WideWorkspace {
        /// The directory.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The command would start in a directory that the policy hides.
    #[error("working directory `{}` is hidden by {by}", path.display())]
    HiddenWorkspace {
        /// The directory.
        path: PathBuf,
        /// Who hides it.
        by: Origin,
    },
    /// A path that is to be writable does not exist.
    #[error("`{}` does not exist, but {by} wants to write it", path.display())]
    MissingWritable {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// A path of a policy that wants all or nothing does not exist.
    #[error("`{}` does not exist, but {by} requires it", path.display())]
    MissingRequired {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// A path that is to be granted cannot be reached.
    #[error("`{}` cannot be reached ({by}): {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
        /// Why.
        errno: i32,
    },
    /// `/dev`, or a directory of device nodes in it, was asked for as a whole.
    #[error("`{}` cannot be granted as a whole ({by})", path.display())]
    DeviceDirectory {
        /// The directory.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// What was asked for as a device is none.
    #[error("`{}` is {found}, not a character device ({by})", path.display())]
    NotADevice {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// Who asked.
        by: Origin,
    },
    /// What was asked for as a socket is none.
    #[error("`{}` is no unix socket ({by})", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// `modify` cannot be enforced here.
    #[error("`{}` cannot be limited to modify ({by}): {why}", path.display())]
    Modify {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
        /// What stands in the way.
        why: &'static str,
    },
    /// A grant in the workspace that a link, which the command may have made, turns into one elsewhere.
    #[error("`{}` ({by}) leads out of the workspace, to `{}`", path.display(), target.display())]
    LeadsOut {
        /// The path as it is written.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// A rule below `/proc` that names a process.
    #[error("`{}` belongs to a process of the host, which the sandbox does not show ({by})", path.display())]
    ProcessPath {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// Without a PID namespace the other processes of the user must be kept away by Landlock.
    #[error("the caller's PID namespace cannot be shared ({by}): it needs Landlock ABI 3 (Linux 6.2)")]
    PidNamespace {
        /// Who asked.
        by: Origin,
    },
    /// Landlock is asked for, and this kernel has none or an old one.
    #[error("{by} needs Landlock ABI {need}, this kernel has {}", if *have == 0 { "none".to_owned() } else { have.to_string() })]
    Landlock {
        /// Who asked.
        by: Origin,
        /// The lowest ABI that does.
        need: u32,
        /// The kernel's; 0 without Landlock.
        have: u32,
    },
    /// Nothing here can keep a limit.
    #[error("{what} cannot be limited ({by}): {why}")]
    Limit {
        /// What is to be limited.
        what: &'static str,
        /// Who asked.
        by: Origin,
        /// Why not.
        why: String,
    },
    /// No variable names a proxy that can be used.
    #[error(
        "there is no proxy to lead out by ({by}): {}",
        if unusable.is_empty() { format!("none of these variables is set: {}", VARIABLES.join(" ")) } else { unusable.join(", ") }
    )]
    NoProxy {
        /// Who asked.
        by: Origin,
        /// What is wrong with those that are set; without their values.
        unusable: Vec<String>,
    },
    /// A proxy has a port that is not to be used.
    #[error("{variable} names port {port}, which {by} does not list")]
    ProxyPort {
        /// The variable.
        variable: String,
        /// The port.
        port: u16,
        /// Who lists ports.
        by: Origin,
    },
    /// A part of the policy that nothing on this machine enforces.
    #[error("{by}: {what} [{code}]")]
    Unenforced {
        /// Stable, for programs.
        code: &'static str,
        /// What it is.
        what: String,
        /// Who said it.
        by: Origin,
    },
    /// The baseline wants more than a rule says, and that must not be settled.
    #[error("{decision}\n  needed by: {} ({wish})", decision.asked.as_ref().map(ToString::to_string).unwrap_or_default())]
    Baseline {
        /// What it wanted.
        decision: Box<super::baseline::Decision>,
        /// Who wished for the GPU.
        wish: Origin,
    },
    /// No backend keeps the policy here.
    #[error("no backend can enforce this policy here\n  {}", attempts.join("\n  "))]
    NoBackend {
        /// What was tried, and why it is of no use: one line each.
        attempts: Vec<String>,
    },
    /// The first Windows subsystem for Linux.
    #[error("this is WSL 1, which has no namespaces: there can be no sandbox")]
    Wsl1,
    /// A GPU that was asked for cannot be used.
    #[error(transparent)]
    Gpu(Box<GpuError>),
    /// A CDI device cannot be had.
    #[error("{0}")]
    Cdi(Box<CdiError>),
}

impl PlanError {
    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Workspace { .. } => "name another one with --cd DIR".to_owned(),
            Self::WideWorkspace { path, .. } => {
                format!(
                    "use a project directory (--cd DIR), --sandbox read-only, or --write {} on purpose",
                    path.display()
                )
            }
            Self::HiddenWorkspace { .. } => {
                "name a visible one with --cd DIR, or grant it with --read DIR (all of /tmp: --tmp host)".to_owned()
            }
            Self::MissingWritable { path, .. } if crate::policy::paths::has_metacharacters(path.as_os_str()) => {
                "only --deny takes globs: name the directory".to_owned()
            }
            Self::MissingWritable { path, .. } if MADE_BY_THE_SYSTEM.iter().any(|above| path.starts_with(above)) => {
                "nothing is made there: take it out of the policy, or load what makes it".to_owned()
            }
            Self::MissingWritable { path, .. } => {
                format!("make it first: mkdir -p {0} (a directory) or touch {0} (a file)", path.display())
            }
            Self::MissingRequired { .. } => {
                "leave it out, or say compatibility: best_effort, which skips what is missing".to_owned()
            }
            Self::LeadsOut { target, .. } => format!("name the place itself if you mean it: {}", target.display()),
            Self::DeviceDirectory { .. } => "name the nodes: --device /dev/NODE, or --gpu for GPUs".to_owned(),
            Self::NotADevice { .. } => "see what is there with: ls -l PATH".to_owned(),
            Self::Limit { what: TMP, .. } => "choose another --backend, or leave it out".to_owned(),
            Self::Limit { .. } => {
                "run it by systemd-run --user --scope -p Delegate=yes, or name a group that is delegated to you with \
                 --cgroup DIR"
                    .to_owned()
            }
            Self::NoProxy { .. } => {
                "set HTTPS_PROXY=http://127.0.0.1:PORT, or say --net allow --allow-host HOST".to_owned()
            }
            Self::ProxyPort { .. } => "start the proxy on a port that is listed".to_owned(),
            Self::NotASocket { .. } => "start the program that listens on it first".to_owned(),
            Self::Modify { .. } => "say read or write for it instead".to_owned(),
            Self::PidNamespace { .. } => "leave --inherit-pid-namespace out".to_owned(),
            Self::Landlock { .. } => {
                "leave it out, or use a newer kernel: ringfence doctor tells what is missing".to_owned()
            }
            Self::Unenforced { code: super::unenforced::IDENTITY, .. } => {
                "start ringfence as that user, or leave the process section out; unless you are root, \
                 --allow-unenforced runs it as you"
                    .to_owned()
            }
            Self::Unenforced { .. } => LEAVE_OUT.to_owned(),
            Self::Baseline { decision, .. } if decision.event == Event::OptOut => {
                format!("say --gpu off, or take the path out of [baseline] keep ({})", decision.decided_by)
            }
            Self::Baseline { .. } => {
                "take the rule out of the policy, say --gpu off, or let an administrator allow it in \
                 /etc/ringfence/config.toml: [baseline] conflicts"
                    .to_owned()
            }
            Self::NoBackend { attempts } => no_backend(attempts).to_owned(),
            Self::Wsl1 => "WSL 2 has them: wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2".to_owned(),
            Self::Unreachable { .. } | Self::ProcessPath { .. } => return None,
            Self::Gpu(error) => return error.hint(),
            Self::Cdi(error) => return error.hint(),
        })
    }
}

const NEEDS_NATIVE: &str =
    "leave --backend out, or say --backend native: that one can, where user namespaces can be made";

/// What helps where nothing can enforce a policy, by what Landlock alone, which stands last, says of it.
const BY_LANDLOCK: &[(&str, &str)] = &[
    (
        "landlock: it cannot show other content in",
        "only mounts can: choose another --backend, where there is one, or leave out what asks for it, as \
         --gpu-hide-others",
    ),
    ("(--transparent)", NEEDS_NATIVE),
    ("(--publish)", NEEDS_NATIVE),
    ("(--expose-host)", NEEDS_NATIVE),
    ("rights over the network namespace", NEEDS_NATIVE),
    ("(protected: ", "--landlock best-effort runs it without what Landlock cannot keep, and tells what that is"),
    (
        "landlock: it cannot hide",
        "Landlock only adds rights: grant what lies beside it one by one, not the directory around it; or another \
         --backend, where there is one",
    ),
    (
        "landlock: it cannot show",
        "another name takes a mount: say --backend native or bwrap, where user namespaces can be made; or grant it under \
         its own name",
    ),
];

fn no_backend(attempts: &[String]) -> &'static str {
    let said = |part: &&(&str, &str)| attempts.iter().any(|attempt| attempt.contains(part.0));
    let known = BY_LANDLOCK.iter().find(said);
    known.map_or("ringfence doctor tells what stands in the way, and the cure", |(_, hint)| hint)
}
