//! Why a CDI device cannot be used, and the command that cures it.

use std::fmt;
use std::path::PathBuf;

use crate::host::gpu::DeviceNumber;
use crate::host::gpu::cdi::{Distrust, FileFault, FileProblem, NodeKind, Spot, UnknownHook};
use crate::host::paths::Kind;
use crate::policy::gpu::cdi::CdiName;
use crate::request::Origin;

/// One problem with a CDI device. Displays as what, where in which file, and whose wish, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CDI device {name} cannot be used: {problem}{}\n  needed by: {}{}", self.said_in(), self.needed_by(), self.looked_for())]
pub struct CdiError {
    /// The device.
    pub name: CdiName,
    /// Who asked for it.
    pub asked: Origin,
    /// What of a file it is about.
    pub spot: Option<Spot>,
    /// What is wrong.
    pub problem: CdiProblem,
}

/// Kind of what was found at the path of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found(pub Kind);

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CdiProblem {
    /// It is for managing the machine.
    Management,
    /// No file has it.
    Missing {
        /// Where it was looked for.
        dirs: Vec<PathBuf>,
        /// Devices of the same vendor and class.
        offered: Vec<CdiName>,
        /// Vendors and classes that there are.
        kinds: Vec<String>,
    },
    /// Several files of one directory have it.
    Conflict {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// It stands, or could stand, in files that cannot be used.
    Broken {
        /// What is wrong with them.
        faults: Vec<FileFault>,
    },
    /// A network interface would be moved into the sandbox.
    NetDevices,
    /// A class of cache and memory bandwidth would be made.
    IntelRdt,
    /// A node is not below `/dev`.
    NodeElsewhere {
        /// Its path.
        path: PathBuf,
    },
    /// There is no node.
    NodeMissing {
        /// Its path.
        path: PathBuf,
    },
    /// Something else than a character device is there, or is wanted.
    NodeKind {
        /// Its path.
        path: PathBuf,
        /// What is there.
        found: Found,
        /// What the file says.
        wanted: Option<NodeKind>,
    },
    /// It is another device.
    NodeNumber {
        /// Its path.
        path: PathBuf,
        /// The number of what is there.
        found: DeviceNumber,
        /// The number that the file says.
        major: Option<u32>,
        /// See `major`.
        minor: u32,
    },
    /// The caller may not open it.
    NoPermission {
        /// Its path.
        path: PathBuf,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
    },
    /// A group that the file asks for, that the caller is not in, and without which a node cannot be opened.
    Group {
        /// Path of the node.
        path: PathBuf,
        /// The group.
        gid: u32,
    },
    /// Something of the sandbox's own would be covered, or something that a rule is about.
    Covers {
        /// Where.
        target: PathBuf,
    },
    /// A part of a file system of the kernel's would be shown under another name.
    KernelSource {
        /// Its path.
        path: PathBuf,
    },
    /// What is to be mounted is not there.
    SourceMissing {
        /// Its path.
        path: PathBuf,
    },
    /// What is to be mounted is neither a file nor a directory.
    SourceKind {
        /// Its path.
        path: PathBuf,
        /// Whether it is a link.
        link: bool,
    },
    /// Nothing is there that could be mounted on, and nothing can be made there.
    NoMountPoint {
        /// Where.
        target: PathBuf,
        /// Whether a directory would have to be there.
        dir: bool,
    },
    /// Something else than a bind mount.
    MountKind {
        /// Its type.
        kind: String,
    },
    /// An option that is not understood.
    MountOption {
        /// The option.
        option: String,
    },
    /// A program would be run.
    Hook(UnknownHook),
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for CdiProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Management => f.write_str("it gives access to the whole driver, to manage the machine"),
            Self::Missing { offered, .. } if !offered.is_empty() => {
                write!(f, "no file has it, there are {}", join(offered))
            }
            Self::Missing { kinds, .. } if !kinds.is_empty() => {
                write!(f, "no file has devices of its vendor and class, there are {}", join(kinds))
            }
            Self::Missing { .. } => f.write_str("no file has any device"),
            Self::Conflict { files } => {
                let files: Vec<_> = files.iter().map(|file| file.display()).collect();
                write!(f, "it stands in several files of one directory: {}", join(&files))
            }
            Self::Broken { faults } => {
                f.write_str("a file in which it could stand is not usable")?;
                let lines = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                lines.lines().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::NetDevices => f.write_str("it moves a network interface of the host"),
            Self::IntelRdt => f.write_str("it sets up cache and memory bandwidth (intelRdt)"),
            Self::NodeElsewhere { path } => write!(f, "node `{}` is not below /dev", path.display()),
            Self::NodeMissing { path } => write!(f, "`{}` does not exist", path.display()),
            Self::NodeKind { path, found, wanted: None | Some(NodeKind::Character) } => {
                write!(f, "`{}` is {found}, not a character device", path.display())
            }
            Self::NodeKind { path, wanted: Some(kind), .. } => {
                let kind = if *kind == NodeKind::Block { "block device" } else { "named pipe" };
                write!(f, "`{}` is to be a {kind}, and only character devices are granted", path.display())
            }
            Self::NodeNumber { path, found, major, minor } => {
                let major = major.map_or_else(|| "*".to_owned(), |major| major.to_string());
                write!(f, "`{}` is device {found}, and the file says {major}:{minor}", path.display())
            }
            Self::NoPermission { path, uid, gid, mode } => {
                write!(f, "`{}` may not be opened by you: owner {uid}, group {gid}, mode {mode:04o}", path.display())
            }
            Self::Group { path, gid } => {
                let path = path.display();
                write!(f, "`{path}` needs group {gid}, and a sandbox cannot join a group that you are not in")
            }
            Self::Covers { target } => {
                write!(f, "`{}` would cover what the sandbox has of its own, or what a rule is about", target.display())
            }
            Self::KernelSource { path } => write!(f, "`{}` would be shown under another name", path.display()),
            Self::SourceMissing { path } => {
                write!(f, "`{}`, which is to be mounted, does not exist or cannot be reached", path.display())
            }
            Self::SourceKind { path, link: true } => {
                write!(f, "`{}`, which is to be mounted, is a link", path.display())
            }
            Self::SourceKind { path, link: false } => {
                write!(f, "`{}`, which is to be mounted, is neither a file nor a directory", path.display())
            }
            Self::NoMountPoint { target, dir } => {
                let what = if *dir { "directory" } else { "file" };
                write!(f, "there is no {what} `{}` to mount on, and the root is read-only", target.display())
            }
            Self::MountKind { kind } => write!(f, "it has a mount of type `{kind}`, and only bind mounts are made"),
            Self::MountOption { option } => write!(f, "mount option `{option}` is not understood"),
            Self::Hook(unknown) => write!(f, "it runs a program of the host: {unknown}"),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Dir => "a directory",
            Kind::File => "a regular file",
            Kind::Symlink => "a symbolic link",
            Kind::Char { .. } => "a character device",
            Kind::Block => "a block device",
            Kind::Socket => "a socket",
            Kind::Fifo => "a named pipe",
        })
    }
}

impl CdiError {
    fn said_in(&self) -> String {
        self.spot.as_ref().map(|spot| format!("\n  said in: {spot}")).unwrap_or_default()
    }

    fn looked_for(&self) -> String {
        let CdiProblem::Missing { dirs, .. } = &self.problem else { return String::new() };
        let dirs: Vec<_> = dirs.iter().map(|dir| format!("`{}`", dir.display())).collect();
        format!("\n  looked for: *.json and *.yaml in {}", dirs.join(", "))
    }

    fn needed_by(&self) -> String {
        match &self.asked {
            Origin::Flag(flag) => format!("{flag} cdi:{}", self.name),
            other => format!("cdi:{} ({other})", self.name),
        }
    }

    /// What to do about it, with one command where one helps. `None` when nothing of ours would.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match &self.problem {
            CdiProblem::Management => "name GPUs: `--gpu cdi:nvidia.com/gpu=0`".to_owned(),
            CdiProblem::Missing { offered, .. } if !offered.is_empty() => {
                "name one of them, or make the file anew after a change of hardware".to_owned()
            }
            CdiProblem::Missing { .. } if self.is_nvidia() => self.regenerate(),
            CdiProblem::Missing { .. } => "name the directory of its file: `--cdi-dir DIR`".to_owned(),
            CdiProblem::Conflict { .. } => "remove one of them, or move it to a directory of its own".to_owned(),
            CdiProblem::Broken { faults } => faults.first().map(repair)?,
            CdiProblem::NodeMissing { path }
                if self.is_nvidia() && path.as_path() == std::path::Path::new("/dev/nvidia-uvm") =>
            {
                "load the module on the host: `sudo nvidia-modprobe -u -c 0`".to_owned()
            }
            CdiProblem::NodeNumber { .. } | CdiProblem::NodeMissing { .. } | CdiProblem::SourceMissing { .. } => {
                self.regenerate()
            }
            CdiProblem::NodeKind { path, .. } => format!("see what it is: `ls -l {}`", path.display()),
            CdiProblem::NoPermission { gid, mode, .. } if *gid != 0 && mode & 0o060 == 0o060 => join_group(*gid),
            CdiProblem::NoPermission { path, .. } => {
                format!("open the node to all users of the host: `sudo chmod 0666 {}`", path.display())
            }
            CdiProblem::Group { gid, .. } => join_group(*gid),
            CdiProblem::NoMountPoint { target, dir: true } => format!("make it: `sudo mkdir -p {}`", target.display()),
            CdiProblem::NoMountPoint { target, dir: false } => format!("make it: `sudo touch {}`", target.display()),
            CdiProblem::SourceKind { path, link: true } => {
                format!("name in the file where it leads: `readlink -f {}`", path.display())
            }
            CdiProblem::Hook(_) => "take the hook out of the file if the device works without it".to_owned(),
            CdiProblem::NetDevices | CdiProblem::IntelRdt => {
                "use a container engine for this device, or a file without that edit".to_owned()
            }
            CdiProblem::NodeElsewhere { .. }
            | CdiProblem::Covers { .. }
            | CdiProblem::KernelSource { .. }
            | CdiProblem::SourceKind { link: false, .. }
            | CdiProblem::MountKind { .. }
            | CdiProblem::MountOption { .. } => {
                "take the edit out of the file if the device works without it".to_owned()
            }
        })
    }

    fn is_nvidia(&self) -> bool {
        self.name.vendor() == "nvidia.com"
    }

    /// Numbers and names of files change with the driver and with every start of the machine.
    fn regenerate(&self) -> String {
        let file = self.spot.as_ref().map_or_else(|| "/var/run/cdi/nvidia.yaml".into(), |spot| spot.file.clone());
        if self.is_nvidia() {
            return format!("regenerate: `sudo nvidia-ctk cdi generate --output={}`", file.display());
        }
        format!("make {} anew with its vendor's tool", file.display())
    }
}

fn join_group(gid: u32) -> String {
    let group = format!("\"$(getent group {gid} | cut -d: -f1)\"");
    format!("join group {gid}, then log in again: `sudo usermod -aG {group} \"$USER\"`")
}

fn repair(fault: &FileFault) -> String {
    let path = fault.path.display();
    match &fault.problem {
        FileProblem::Untrusted { at, why: Distrust::Owner { .. } } => {
            format!("if its content is root's word, make it root's: `sudo chown root:root {}`", at.display())
        }
        FileProblem::Untrusted { at, why: Distrust::Writable { .. } } => {
            format!("if its content is its owner's word, keep others out: `sudo chmod go-w {}`", at.display())
        }
        FileProblem::Missing => format!("make it, or leave it out: `mkdir -p {path}`"),
        FileProblem::WrongKind { .. } => format!("see what is there: `ls -l {path}`"),
        FileProblem::Unreadable { .. } => format!("see what keeps it: `ls -l {path}`"),
        FileProblem::TooLarge | FileProblem::NoText | FileProblem::Content(_) => {
            format!("repair {path}, or make it anew with its vendor's tool")
        }
    }
}
