//! The file system view: which tree is writable, which is hidden, as an ordered list of mount operations.
//!
//! Input is a set of [`Node`]s, one for each path with a rule; output is what the backend does, in order.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::pathmap::PathMap;
use crate::host::paths::{FileId, Kind};
use crate::policy::paths::{Access, lies_in};
use crate::policy::tables::Shape;
use crate::request::{Origin, Said};

/// The file system view of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// What the root is.
    pub root: RootView,
    /// What is mounted on it, parents first.
    pub ops: Vec<MountOp>,
    /// How much file systems hold that are made in memory, in bytes; `None`: half of the machine's memory, the kernel's
    /// own choice.
    pub tmpfs_size: Option<Said<u64>>,
}

impl MountPlan {
    /// How many descriptors are open at most while it is carried out: a source and a target for each operation, and ours.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        self.ops.len() as u64 * 2 + 64
    }
}

/// What `/` is before anything is mounted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootView {
    /// The host's root, recursively read-only.
    HostReadOnly,
    /// The host's root, writable.
    HostWritable,
    /// An empty tmpfs: only what the operations put there can be seen.
    Empty,
}

/// One step on the way to the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOp {
    /// Where, as an absolute path inside.
    pub target: PathBuf,
    /// What.
    pub what: Mount,
    /// Who asked.
    pub because: Origin,
}

impl MountOp {
    /// Whether this operation makes `path` writable.
    #[must_use]
    pub fn grants_writing(&self, path: &Path) -> bool {
        let writable = matches!(self.what, Mount::Bind { writable: true, .. } | Mount::Devices | Mount::Tmpfs { .. });
        writable && path.starts_with(&self.target)
    }
}

/// What is put at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// The same path of the host.
    Bind {
        /// Identity of what was planned; anything else there is an error.
        id: Option<FileId>,
        /// Whether it is a directory.
        dir: bool,
        /// Whether it can be written.
        writable: bool,
        /// Whether the mount point has to be made first, because the parent is an empty tmpfs.
        make: bool,
    },
    /// A device node of the host.
    Device {
        /// Its path on the host, where that is another one.
        source: Option<PathBuf>,
        /// Its number, compared again.
        major: u32,
        /// See `major`.
        minor: u32,
        /// Whether it may only be read.
        read_only: bool,
    },
    /// Something of the host under another name, read-only: what is protected below its own name is not below this one.
    Other {
        /// Its path on the host: canonical.
        source: PathBuf,
        /// Identity of what was planned; anything else there is an error.
        id: FileId,
        /// Whether it is a directory.
        dir: bool,
        /// Identity of what it covers; `None`: the mount point has to be made first.
        onto: Option<FileId>,
    },
    /// The host's directory of device nodes, all of them usable.
    Devices,
    /// A symbolic link bound onto itself, so that it can be followed but not replaced.
    Pin {
        /// The link's identity.
        id: FileId,
    },
    /// A symbolic link that leads nowhere, under a file that cannot be read: it can neither be followed nor replaced.
    Plug {
        /// The link's identity.
        id: FileId,
    },
    /// An empty directory or file that cannot be entered or read, over something of the host.
    Mask {
        /// Identity of what is hidden; `None`: whatever is there, and nothing if nothing is.
        id: Option<FileId>,
        /// Whether it is a directory.
        dir: bool,
    },
    /// An empty directory that can be passed through to what is bound below it, over something of the host.
    Veil {
        /// Identity of what is hidden.
        id: Option<FileId>,
    },
    /// A missing entry of a writable directory: made as an empty placeholder on the host while the command runs,
    /// marked, and removed afterwards by whichever process of ours is left.
    Block {
        /// What kind of placeholder.
        shape: Shape,
    },
    /// A missing entry of an empty directory, which must stay empty to be of use (`git clone X .`): whoever makes it
    /// inside ends the sandbox, and what was made is put aside.
    Guard,
    /// A tmpfs that ends with the command.
    Tmpfs {
        /// Permission bits.
        mode: u32,
        /// Whether the mount point has to be made first.
        make: bool,
    },
    /// A directory made in an empty tmpfs.
    Dir,
    /// A symbolic link made in an empty tmpfs.
    Link {
        /// Where it leads.
        to: OsString,
    },
    /// A terminal file system of its own.
    Devpts,
    /// A procfs of the command's own PID namespace.
    Proc,
    /// A read-only file with content of its own, over a file of the view or in a directory that is made anew.
    Data {
        /// What can be read in it.
        bytes: Vec<u8>,
        /// Whether the mount point has to be made first.
        make: bool,
    },
    /// A part of the view bound onto itself, read-only.
    ReadOnly,
    /// A tmpfs of ours made read-only, now that all that belongs in it is there.
    Seal,
    /// Nothing is mounted: Landlock alone lets nothing of it be opened but what another line names.
    Closed,
}

/// What a path is to be, before it is known what must be mounted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// The host's content.
    Host(Access),
    /// A tmpfs with these permission bits.
    Private(u32),
}

/// One path of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is to be.
    pub view: View,
    /// Identity on the host.
    pub id: Option<FileId>,
    /// Kind on the host.
    pub kind: Kind,
    /// Who asked.
    pub because: Origin,
    /// Whether it is bound onto itself even where nothing changes: a mount point cannot be renamed, so nobody can move
    /// it, and what is protected below it, out of the way.
    pub anchored: bool,
}

/// What remains visible of a node after its ancestors: decides what must be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    ReadOnly,
    Writable,
    Hidden,
    Private,
}

impl Node {
    fn ground(&self) -> Ground {
        match self.view {
            View::Host(Access::None) => Ground::Hidden,
            View::Host(Access::Read) => Ground::ReadOnly,
            View::Host(Access::Modify | Access::Write) => Ground::Writable,
            View::Private(_) => Ground::Private,
        }
    }
}

/// The tree of nodes, keyed by path: parents come before children.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: PathMap<Node>,
}

impl Tree {
    /// Adds a node. At the same path an explicit node replaces a baseline one, otherwise the more restrictive one wins.
    pub fn insert(&mut self, path: PathBuf, node: Node) {
        self.nodes.insert(path, node, |old, node| match (&old.view, &node.view) {
            (View::Private(_), View::Host(_)) => node.because.is_explicit(),
            (View::Host(_), View::Private(_)) => !old.because.is_explicit(),
            (View::Private(_), View::Private(_)) => false,
            (View::Host(old), View::Host(new)) => new < old,
        });
    }

    /// Takes a node out.
    pub fn remove(&mut self, path: &Path) {
        self.nodes.remove(path);
    }

    /// Anchors the directories between what is protected in `parent` and the writable tree that it lies in.
    pub fn anchor_above(&mut self, parent: &Path) {
        let Some((top, node)) = self.governing(parent) else { return };
        if node.ground() != Ground::Writable {
            return;
        }
        let (top, view) = (top.to_owned(), node.view.clone());
        if let Some(top) = self.nodes.get_mut(&top) {
            top.anchored = true;
        }
        for above in parent.ancestors().take_while(|above| *above != top) {
            let because = Origin::Protected("cannot be moved away with what is protected below it".to_owned());
            let anchor = Node { view: view.clone(), id: None, kind: Kind::Dir, because, anchored: true };
            self.nodes.insert(above.to_owned(), anchor, |_, _| false);
        }
    }

    /// The node at exactly this path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The nodes below a path, parents first.
    pub fn below(&self, path: &Path) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.below(path)
    }

    /// The nodes, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter()
    }

    /// The node at or above `path`.
    #[must_use]
    pub fn governing(&self, path: &Path) -> Option<(&Path, &Node)> {
        self.nodes.governing(path)
    }

    /// Whether the content of `path` on the host can be written inside.
    #[must_use]
    pub fn is_writable(&self, path: &Path) -> bool {
        self.governing(path).is_some_and(|(_, node)| node.ground() == Ground::Writable)
    }

    /// Whether the host's `path` can be seen inside.
    #[must_use]
    pub fn is_visible(&self, path: &Path) -> bool {
        self.governing(path).is_some_and(|(_, node)| matches!(node.ground(), Ground::Writable | Ground::ReadOnly))
    }

    /// What the root is.
    #[must_use]
    pub fn root(&self) -> RootView {
        match self.nodes.get(Path::new("/")).map(Node::ground) {
            Some(Ground::ReadOnly) => RootView::HostReadOnly,
            Some(Ground::Writable) => RootView::HostWritable,
            Some(Ground::Hidden | Ground::Private) | None => RootView::Empty,
        }
    }

    /// The operations for all nodes, parents first.
    #[must_use]
    pub fn operations(&self) -> Vec<MountOp> {
        let opened = self.opened_below_hidden();
        let mut stack: Vec<(&Path, Ground)> = Vec::new();
        let mut ops = Vec::new();
        for (path, node) in self.iter() {
            while stack.last().is_some_and(|(above, _)| !lies_in(path, above)) {
                stack.pop();
            }
            let around = stack.last().map_or(Ground::Hidden, |(_, ground)| *ground);
            if path != Path::new("/") {
                ops.extend(operation(path, node, around, &opened));
            }
            stack.push((path, node.ground()));
        }
        let veils: Vec<_> = ops.iter().filter(|op| matches!(op.what, Mount::Veil { .. })).cloned().collect();
        ops.extend(veils.into_iter().map(|op| MountOp { what: Mount::Seal, ..op }));
        ops
    }

    /// As [`Tree::operations`], below a directory that is made anew: it holds nothing of the host's but what is put there.
    #[must_use]
    pub fn operations_in_new(&self, directory: &Path) -> Vec<MountOp> {
        let because = Origin::Baseline("made anew");
        let new = Node { view: View::Private(0o755), id: None, kind: Kind::Dir, because, anchored: false };
        let mut tree = Self::default();
        tree.insert(directory.to_owned(), new);
        self.below(directory).for_each(|(path, node)| tree.insert(path.to_owned(), node.clone()));
        let mut ops = tree.operations();
        ops.retain(|op| op.target != directory);
        ops
    }

    /// Hidden directories with something visible below: they must let the command pass through.
    fn opened_below_hidden(&self) -> BTreeSet<&Path> {
        let mut opened = BTreeSet::new();
        let visible = self.iter().filter(|(_, node)| node.ground() != Ground::Hidden);
        // What lies in one directory lies together.
        let mut parents: Vec<_> = visible.filter_map(|(path, _)| path.parent()).collect();
        parents.dedup();
        for parent in parents {
            for ancestor in parent.ancestors() {
                // Everything further up was marked together with this one.
                if self.nodes.get(ancestor).is_some() && !opened.insert(ancestor) {
                    break;
                }
            }
        }
        opened
    }
}

/// What must be mounted so that `path` becomes what `node` says on the ground around it; `opened` are hidden directories
/// with something visible below.
fn operation(path: &Path, node: &Node, around: Ground, opened: &BTreeSet<&Path>) -> Option<MountOp> {
    let dir = node.kind == Kind::Dir;
    let in_tmpfs = matches!(around, Ground::Hidden | Ground::Private);
    let what = match (node.ground(), around) {
        (Ground::Hidden, Ground::Hidden | Ground::Private)
        | (Ground::ReadOnly, Ground::ReadOnly)
        | (Ground::Writable, Ground::Writable)
            if !node.anchored =>
        {
            return None;
        }
        (Ground::Hidden, _) if dir && opened.contains(path) => Mount::Veil { id: node.id },
        (Ground::Hidden, _) => Mount::Mask { id: node.id, dir },
        (Ground::ReadOnly, _) => Mount::Bind { id: node.id, dir, writable: false, make: in_tmpfs },
        (Ground::Writable, _) => Mount::Bind { id: node.id, dir, writable: true, make: in_tmpfs },
        (Ground::Private, _) => match node.view {
            View::Private(mode) => Mount::Tmpfs { mode, make: in_tmpfs },
            View::Host(_) => return None,
        },
    };
    Some(MountOp { target: path.to_owned(), what, because: node.because.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(rules: &[(&str, View)]) -> String {
        let mut tree = Tree::default();
        for (path, view) in rules {
            let node = Node {
                view: view.clone(),
                id: None,
                kind: Kind::Dir,
                because: Origin::Flag("--test"),
                anchored: false,
            };
            tree.insert(path.into(), node);
        }
        let mut text = format!("{:?}\n", tree.root());
        for op in tree.operations() {
            text += &format!("{} {:?}\n", op.target.display(), op.what);
        }
        text
    }

    #[test]
    fn the_most_specific_rule_wins_and_at_equal_depth_the_more_restrictive_one() {
        use Access::{None as Nothing, Read, Write};
        let mut tree = Tree::default();
        let rules = [
            ("/", Read),
            ("/repo", Write),
            ("/repo/a", Nothing),
            ("/repo/a/b", Write),
            ("/repo/a/b/c", Nothing),
            ("/same", Write),
            ("/same", Read),
            ("/same", Write),
        ];
        for (path, access) in rules {
            let because = Origin::Flag("--test");
            let node = Node { view: View::Host(access), id: None, kind: Kind::Dir, because, anchored: false };
            tree.insert(path.into(), node);
        }
        let table = [
            ("/etc/passwd", Read),
            ("/repo", Write),
            ("/repository", Read),
            ("/repo/a/x", Nothing),
            ("/repo/a/b/x", Write),
            ("/repo/a/b/c/d", Nothing),
            ("/same/x", Read),
        ];
        for (path, access) in table {
            let (_, node) = tree.governing(Path::new(path)).unwrap();
            assert_eq!(node.view, View::Host(access), "{path}");
        }
        assert!(Tree::default().governing(Path::new("/b")).is_none(), "no rule, no access");
    }

    #[test]
    fn carve_outs_nest_to_any_depth_in_both_directions() {
        use Access::{None as Nothing, Read, Write};
        let host = View::Host;
        expect_test::expect![[r"
            HostReadOnly
            /repo Bind { id: None, dir: true, writable: true, make: false }
            /repo/a Veil { id: None }
            /repo/a/b Bind { id: None, dir: true, writable: true, make: true }
            /repo/a/b/c Mask { id: None, dir: true }
            /repo/a/r Bind { id: None, dir: true, writable: false, make: true }
            /repo/b Mask { id: None, dir: true }
            /repo/a Seal
        "]]
        .assert_eq(&ops(&[
            ("/", host(Read)),
            ("/repo", host(Write)),
            ("/repo/a", host(Nothing)),
            ("/repo/a/b", host(Write)),
            ("/repo/a/b/c", host(Nothing)),
            ("/repo/a/b/c/d", host(Nothing)),
            ("/repo/a/r", host(Read)),
            ("/repo/b", host(Nothing)),
            ("/repo/w", host(Write)),
            ("/usr", host(Read)),
        ]));
    }

    #[test]
    fn a_hidden_root_and_a_private_tmp_show_only_what_is_bound_into_them() {
        use Access::{None as Nothing, Read, Write};
        expect_test::expect![[r"
            Empty
            /tmp Tmpfs { mode: 1023, make: true }
            /tmp/w Bind { id: None, dir: true, writable: true, make: true }
            /usr Bind { id: None, dir: true, writable: false, make: true }
        "]]
        .assert_eq(&ops(&[
            ("/", View::Host(Nothing)),
            ("/usr", View::Host(Read)),
            ("/usr/lib", View::Host(Read)),
            ("/tmp", View::Private(0o1777)),
            ("/tmp/w", View::Host(Write)),
            ("/tmp/x", View::Host(Nothing)),
        ]));
    }
}
