//! Device nodes: what the table expects, what is there, and whether the caller may use it. Nothing is opened.

use std::cell::OnceCell;
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

    /// Whether the kernel would let the caller read and write it, where it can be asked: access control lists count.
    fn may_open(&self, path: &Path, permissions: u32) -> Option<bool> {
        let (_, _) = (path, permissions);
        None
    }
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

    fn may_open(&self, path: &Path, permissions: u32) -> Option<bool> {
        let path = super::below(&self.root, path);
        let mut wanted = rustix::fs::Access::empty();
        wanted.set(rustix::fs::Access::READ_OK, permissions & 0o4 != 0);
        wanted.set(rustix::fs::Access::WRITE_OK, permissions & 0o2 != 0);
        let flags = rustix::fs::AtFlags::EACCESS | rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::accessat(rustix::fs::CWD, &path, wanted, flags) {
            Ok(()) => Some(true),
            Err(rustix::io::Errno::ACCESS) => Some(false),
            // A kernel without faccessat2(2).
            Err(_) => None,
        }
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
    /// User 0 is judged like everyone else: inside the sandbox it has no capability to override modes.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
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
    /// There is none: the directory that would have its number has none.
    Unnumbered {
        /// The directory.
        dir: &'static str,
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
    /// A node of a row whose number is told in `dir`, and is not.
    pub(super) fn unnumbered(row: &'static Row, dir: &'static str) -> Self {
        let state = NodeState::Unnumbered { dir };
        // A pattern, as people write one.
        Self { row, path: PathBuf::from(row.path.replace('#', "*")), slot: None, expected: None, state }
    }

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
            NodeState::Unnumbered { dir } => Some(format!("there is no `{path}`: nothing of the kind in `{dir}`")),
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
    pub(super) root: &'a Path,
    pub(super) nodes: &'a dyn NodeLookup,
    pub(super) caller: &'a CallerIds,
    pub(super) lists: &'a Lists,
}

/// The kernel's lists of drivers, read when the first row asks for them.
#[derive(Debug, Default)]
pub(super) struct Lists {
    majors: OnceCell<Vec<(u32, String)>>,
    misc: OnceCell<Vec<(u32, String)>>,
}

impl Lists {
    fn major(&self, root: &Path, name: &str) -> Option<u32> {
        let majors = self.majors.get_or_init(|| majors(&super::read_lines(root, "/proc/devices").unwrap_or_default()));
        listed(majors, name)
    }

    fn misc(&self, root: &Path, name: &str) -> Option<u32> {
        listed(self.misc.get_or_init(|| numbered(&super::read_lines(root, "/proc/misc").unwrap_or_default())), name)
    }
}

/// Character majors: the first part of `/proc/devices`, up to the blank line. One major may stand on several lines.
fn majors(text: &str) -> Vec<(u32, String)> {
    let part = text.split("\n\n").next().unwrap_or_default();
    if part.starts_with("Character devices:") { numbered(part) } else { Vec::new() }
}

/// Lines of the form `<number> <name>`; other lines are skipped.
fn numbered(text: &str) -> Vec<(u32, String)> {
    let line = |line: &str| {
        let (number, name) = line.trim_start().split_once(' ')?;
        Some((number.parse().ok()?, name.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn listed(list: &[(u32, String)], wanted: &str) -> Option<u32> {
    list.iter().find(|(_, name)| name == wanted).map(|entry| entry.0)
}

/// Compares the node of `row` with what is there; `number` is what the row's scope counts by, and shared rows ignore it.
pub(super) fn examine(looker: Looker<'_>, row: &'static Row, number: u32) -> Node {
    let path = row.path_for(number);
    let expected = expected(looker, row.number, number);
    let state = match (expected, row.number) {
        (Some(number), _) => state(looker, &path, number, row.permissions()),
        (None, Number::Misc { name }) => NodeState::NotRegistered { name, list: "/proc/misc" },
        (None, Number::Registered { name, .. }) => NodeState::NotRegistered { name, list: "/proc/devices" },
        (None, Number::Fixed { .. } | Number::Counted { .. } | Number::Sysfs { .. } | Number::Unknown) => {
            NodeState::Absent
        }
    };
    Node { row, path, slot: None, expected, state }
}

/// A node of which nobody tells the number: any character device will do.
pub(super) fn look_at(looker: Looker<'_>, row: &'static Row, path: PathBuf) -> Node {
    let number = match looker.nodes.node(&path).map(|fact| fact.kind) {
        Some(Kind::Char { major, minor }) => Some(DeviceNumber { major, minor }),
        _ => None,
    };
    let any = number.unwrap_or(DeviceNumber { major: 0, minor: 0 });
    let state = state(looker, &path, any, row.permissions());
    Node { row, path, slot: None, expected: number, state }
}

fn expected(looker: Looker<'_>, number: Number, counted: u32) -> Option<DeviceNumber> {
    let root = looker.root;
    match number {
        Number::Fixed { major, minor } => Some(DeviceNumber { major, minor }),
        Number::Counted { major } => Some(DeviceNumber { major, minor: counted }),
        Number::Registered { name, minor } => {
            let minor = minor.unwrap_or(counted);
            looker.lists.major(root, name).map(|major| DeviceNumber { major, minor })
        }
        Number::Misc { name } => looker.lists.misc(root, name).map(|minor| DeviceNumber { major: 10, minor }),
        Number::Sysfs { file } => {
            let text = super::read_lines(root, &file.replace('#', &counted.to_string()))?;
            let (major, minor) = text.trim().split_once(':')?;
            Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
        }
        Number::Unknown => None,
    }
}

fn state(looker: Looker<'_>, path: &Path, expected: DeviceNumber, permissions: u32) -> NodeState {
    let Some(fact) = looker.nodes.node(path) else { return NodeState::Absent };
    let Kind::Char { major, minor } = fact.kind else { return NodeState::WrongKind { found: fact.kind } };
    let found = DeviceNumber { major, minor };
    if found != expected {
        NodeState::WrongNumber { found }
    } else if may_use(looker, path, &fact, permissions) {
        NodeState::Ok { id: fact.id }
    } else {
        NodeState::NoPermission { uid: fact.uid, gid: fact.gid, mode: fact.mode }
    }
}

/// The kernel's answer, which knows access control lists; but for user 0, who will have no capability to override modes.
fn may_use(looker: Looker<'_>, path: &Path, fact: &NodeFact, permissions: u32) -> bool {
    let asked = if looker.caller.uid == 0 { None } else { looker.nodes.may_open(path, permissions) };
    asked.unwrap_or_else(|| looker.caller.may_use(fact, permissions))
}
