//! Device nodes: what the table expects, what is there, and whether the caller may use it. Nothing is opened.

use std::fmt;
use std::path::{Path, PathBuf};

use super::mig::{MINORS, Slot};
use super::rows::{Number, Row};
use crate::host::paths::{FileId, Kind, id_of, kind_of};

/// What `lstat` says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFact {
    /// Kind, with the number of a character device.
    pub kind: Kind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, without the type.
    pub mode: u32,
    /// Identity, where it was looked up on a real machine.
    pub id: Option<FileId>,
}

/// Looks at one path without following its last link and without opening it.
pub trait NodeLookup {
    /// What is at `path`, an absolute host path; `None` when nothing is, or the caller may not look.
    fn node(&self, path: &Path) -> Option<NodeFact>;
}

/// The production lookup: `lstat` below a root.
#[derive(Debug, Clone)]
pub struct HostNodes {
    root: PathBuf,
}

impl HostNodes {
    /// Looks below `root`, which is `/` in production.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl NodeLookup for HostNodes {
    fn node(&self, path: &Path) -> Option<NodeFact> {
        let path = super::below(&self.root, path);
        let stat = rustix::fs::statat(rustix::fs::CWD, &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(NodeFact {
            kind: kind_of(&stat),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            id: Some(id_of(&stat)),
        })
    }
}

/// The ids that decide what the command may open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallerIds {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl CallerIds {
    /// Whether owner, group and mode let the command open it for all of `permissions`, as the bits of others in a mode.
    ///
    /// User 0 is judged like everyone else: inside the sandbox it has no capability to override modes. Access control
    /// lists are not looked at: the NVIDIA tools make none.
    #[must_use]
    pub fn may_use(&self, fact: &NodeFact, permissions: u32) -> bool {
        let shift = if self.uid == fact.uid {
            6
        } else if self.gid == fact.gid || self.groups.contains(&fact.gid) {
            3
        } else {
            0
        };
        (fact.mode >> shift) & permissions == permissions
    }
}

/// Major and minor of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A device node that the table expects on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The row that asks for it.
    pub row: &'static Row,
    /// Host path; where the minor is unknown, that of the row.
    pub path: PathBuf,
    /// The instance that it gives access to; `None` for nodes of all of a GPU and for shared ones.
    pub slot: Option<Slot>,
    /// The number that the driver answers to; `None` when the kernel lists no such driver.
    pub expected: Option<DeviceNumber>,
    /// What is there.
    pub state: NodeState,
}

/// What was found where a device node should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// The right device, and the caller may open it.
    Ok {
        /// Identity of the directory entry, where it was looked up on a real machine.
        id: Option<FileId>,
    },
    /// The kernel lists no driver of this name: its module is not loaded. Whatever is at the path is dead.
    NotRegistered {
        /// The name that was looked for.
        name: &'static str,
        /// The list that lacks it: `/proc/devices` or `/proc/misc`.
        list: &'static str,
    },
    /// The driver does not tell the minor number of this instance, so its path is unknown.
    NotListed {
        /// The instance.
        slot: Slot,
    },
    /// Nothing is at the path.
    Absent,
    /// Something else than a character device is at the path.
    WrongKind {
        /// What it is.
        found: Kind,
    },
    /// A character device of another driver, or one left from before the module was loaded again.
    WrongNumber {
        /// Its number.
        found: DeviceNumber,
    },
    /// The right device, but the caller may not open it.
    NoPermission {
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
    },
}

impl Node {
    /// Whether it can be bound and used.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.state, NodeState::Ok { .. })
    }

    /// What is wrong with it, as a clause that begins with the path or name; `None` when it is fine.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let path = self.path.display();
        match self.state {
            NodeState::Ok { .. } => None,
            NodeState::NotRegistered { name, list } if self.slot.is_some() => {
                // The driver itself registers this one, and it is loaded.
                Some(format!("`{name}` is not listed in `{list}`, so the driver gives no access to MIG instances"))
            }
            NodeState::NotListed { slot } => Some(format!("{slot} is not listed in `{MINORS}`")),
            NodeState::NotRegistered { name, list } => {
                Some(format!("`{name}` is not listed in `{list}`, so its kernel module is not loaded"))
            }
            NodeState::Absent => Some(format!("`{path}` does not exist")),
            NodeState::WrongKind { found } => {
                Some(format!("`{path}` is a {}, not a character device", kind_name(found)))
            }
            NodeState::WrongNumber { found } => {
                let wanted = self.expected.map_or_else(|| "another".to_owned(), |number| number.to_string());
                Some(format!("`{path}` is device {found}, but the driver answers to {wanted}"))
            }
            NodeState::NoPermission { uid, gid, mode } => {
                Some(format!("`{path}` may not be opened by you: owner {uid}, group {gid}, mode {mode:04o}"))
            }
        }
    }

    /// What was looked for, for example ``character device 195:255 `/dev/nvidiactl` ``.
    #[must_use]
    pub fn looked_for(&self) -> String {
        let path = self.path.display();
        match (self.state, self.expected) {
            (NodeState::NotListed { slot }, _) => format!("`{}` in `{MINORS}`", slot.listed_as()),
            (_, Some(number)) => format!("character device {number} `{path}`"),
            (_, None) => format!("character device `{path}`"),
        }
    }

    /// What fails without it: the row's word, or which instance.
    #[must_use]
    pub fn needed_for(&self) -> String {
        self.slot.map_or_else(|| self.row.needed_for.to_owned(), |slot| slot.to_string())
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dir => "directory",
        Kind::File => "regular file",
        Kind::Symlink => "symbolic link",
        Kind::Char { .. } => "character device",
        Kind::Block => "block device",
        Kind::Socket => "socket",
        Kind::Fifo => "named pipe",
    }
}

/// What [`examine`] needs besides the row.
#[derive(Clone, Copy)]
pub(super) struct Looker<'a> {
    pub(super) nodes: &'a dyn NodeLookup,
    pub(super) caller: &'a CallerIds,
    /// Character majors of `/proc/devices`.
    pub(super) majors: &'a [(u32, String)],
    /// Minors of `/proc/misc`.
    pub(super) misc: &'a [(u32, String)],
}

/// Compares the node of `row` with what is there; `minor` is the GPU's or instance's, and shared rows ignore it.
pub(super) fn examine(looker: Looker<'_>, row: &'static Row, minor: u32) -> Node {
    let path = row.path_for(minor);
    let expected = expected(looker, row.number, minor);
    let state = match (expected, row.number) {
        (Some(number), _) => state(looker, &path, number, row.permissions()),
        (None, Number::Misc { name }) => NodeState::NotRegistered { name, list: "/proc/misc" },
        (None, Number::Registered { name, .. } | Number::PerInstance { name }) => {
            NodeState::NotRegistered { name, list: "/proc/devices" }
        }
        (None, Number::Fixed { .. } | Number::PerGpu { .. }) => NodeState::Absent,
    };
    Node { row, path, slot: None, expected, state }
}

fn expected(looker: Looker<'_>, number: Number, minor: u32) -> Option<DeviceNumber> {
    let listed =
        |list: &[(u32, String)], wanted: &str| list.iter().find(|(_, name)| name == wanted).map(|entry| entry.0);
    match number {
        Number::Fixed { major, minor } => Some(DeviceNumber { major, minor }),
        Number::PerGpu { major } => Some(DeviceNumber { major, minor }),
        Number::Registered { name, minor } => listed(looker.majors, name).map(|major| DeviceNumber { major, minor }),
        Number::PerInstance { name } => listed(looker.majors, name).map(|major| DeviceNumber { major, minor }),
        Number::Misc { name } => listed(looker.misc, name).map(|minor| DeviceNumber { major: 10, minor }),
    }
}

fn state(looker: Looker<'_>, path: &Path, expected: DeviceNumber, permissions: u32) -> NodeState {
    let Some(fact) = looker.nodes.node(path) else { return NodeState::Absent };
    let Kind::Char { major, minor } = fact.kind else { return NodeState::WrongKind { found: fact.kind } };
    let found = DeviceNumber { major, minor };
    if found != expected {
        NodeState::WrongNumber { found }
    } else if looker.caller.may_use(&fact, permissions) {
        NodeState::Ok { id: fact.id }
    } else {
        NodeState::NoPermission { uid: fact.uid, gid: fact.gid, mode: fact.mode }
    }
}
