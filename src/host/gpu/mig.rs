//! Instances of GPUs in MIG mode, and the nodes that give access to them.
//!
//! The node of the GPU itself is shared by all of its instances; which of them a program may use is decided by the
//! capability nodes that it can open, one of the GPU instance and one of the compute instance.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::node::{Looker, Node, NodeState, examine};
use super::rows::{Row, Scope};
use super::{counted, decimal};

/// Which minor every possible slot has. It lists slots without an instance all the same.
pub const MINORS: &str = "/proc/driver/nvidia-caps/mig-minors";

/// Has a directory for every instance that exists.
const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";

/// A GPU instance: a slice of a GPU in MIG mode, with memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigInstance {
    /// The GI ID of `nvidia-smi`.
    pub id: u32,
    /// The node that gives access to it.
    pub node: Node,
    /// What programs can run on; none where it was not divided further.
    pub compute: Vec<ComputeInstance>,
}

/// A compute instance: a share in a GPU instance that programs run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputeInstance {
    /// The CI ID of `nvidia-smi`, counted anew in each GPU instance.
    pub id: u32,
    /// The node that gives access to it, together with that of its GPU instance.
    pub node: Node,
}

impl MigInstance {
    /// Its own node, then those of its compute instances.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.node).chain(self.compute.iter().map(|compute| &compute.node))
    }
}

/// The place of an instance in the driver's lists. Displays as `MIG instance 5, compute instance 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The GPU's minor number; not its index.
    pub gpu: u32,
    /// GI ID.
    pub instance: u32,
    /// CI ID; `None` for the GPU instance itself.
    pub compute: Option<u32>,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MIG instance {}", self.instance)?;
        self.compute.map_or(Ok(()), |compute| write!(f, ", compute instance {compute}"))
    }
}

impl Slot {
    /// Its name in the list of minors, for example `gpu0/gi5/ci1/access`.
    #[must_use]
    pub fn listed_as(&self) -> String {
        format!("gpu{}/{}", self.gpu, self.access())
    }

    /// The file of `/proc` from which `nvidia-modprobe -f` makes its node.
    #[must_use]
    pub fn access_file(&self) -> String {
        format!("{CAPABILITIES}/gpu{}/mig/{}", self.gpu, self.access())
    }

    fn access(&self) -> String {
        let compute = self.compute.map(|compute| format!("ci{compute}/")).unwrap_or_default();
        format!("gi{}/{compute}access", self.instance)
    }
}

/// The list of minors below a root, read when the first instance asks for it: few machines have any.
#[derive(Debug)]
pub(super) struct Minors<'a> {
    root: &'a Path,
    list: OnceCell<HashMap<Slot, u32>>,
}

impl<'a> Minors<'a> {
    pub(super) fn below(root: &'a Path) -> Self {
        Self { root, list: OnceCell::new() }
    }

    fn of(&self, slot: Slot) -> Option<u32> {
        let list = self.list.get_or_init(|| minors(&super::read_lines(self.root, MINORS).unwrap_or_default()));
        list.get(&slot).copied()
    }
}

/// Lines of the form `<slot> <minor>`; other lines are skipped, and of two lines with one slot the first counts. There
/// are some four thousand.
fn minors(text: &str) -> HashMap<Slot, u32> {
    let mut list = HashMap::with_capacity(text.len() / 28);
    for (slot, minor) in text.lines().filter_map(|line| line.split_once(' ')) {
        if let (Some(slot), Some(minor)) = (slot_in(slot), decimal(minor.trim())) {
            list.entry(slot).or_insert(minor);
        }
    }
    list
}

/// The slot of a name such as `gpu0/gi5/ci1/access`.
fn slot_in(name: &str) -> Option<Slot> {
    let mut parts = name.strip_suffix("/access")?.split('/');
    let gpu = decimal(parts.next()?.strip_prefix("gpu")?)?;
    let instance = decimal(parts.next()?.strip_prefix("gi")?)?;
    let compute = match parts.next() {
        Some(part) => Some(decimal(part.strip_prefix("ci")?)?),
        None => None,
    };
    parts.next().is_none().then_some(Slot { gpu, instance, compute })
}

/// The instances of the GPU with this minor number that exist, in order.
pub(super) fn instances(looker: Looker<'_>, minors: &Minors<'_>, gpu: u32) -> Vec<MigInstance> {
    let root = looker.root;
    let Some(row) = super::nvidia::ROWS.iter().find(|row| row.scope == Scope::Instance) else { return Vec::new() };
    let node = |slot| node(looker, row, slot, minors);
    let dir = format!("{CAPABILITIES}/gpu{gpu}/mig");
    let one = |instance| {
        let compute = |id| ComputeInstance { id, node: node(Slot { gpu, instance, compute: Some(id) }) };
        MigInstance {
            id: instance,
            node: node(Slot { gpu, instance, compute: None }),
            compute: counted(root, &format!("{dir}/gi{instance}"), "ci").into_iter().map(compute).collect(),
        }
    };
    counted(root, &dir, "gi").into_iter().map(one).collect()
}

fn node(looker: Looker<'_>, row: &'static Row, slot: Slot, minors: &Minors<'_>) -> Node {
    match minors.of(slot) {
        Some(minor) => Node { slot: Some(slot), ..examine(looker, row, minor) },
        None => Node {
            row,
            path: PathBuf::from(row.path),
            slot: Some(slot),
            expected: None,
            state: NodeState::NotListed { slot },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = include_str!("../../../tests/hosts/mig/proc/driver/nvidia-caps/mig-minors");

    #[test]
    fn the_list_is_read_whole() {
        let list = minors(LIST);
        // But for the two that are no instances.
        assert_eq!(list.len(), LIST.lines().count() - 2);
        // How today's driver numbers them; the list is what counts.
        for (gpu, instance, compute) in [(0, 1, None), (0, 5, Some(1)), (1, 14, Some(7))] {
            let want = 3 + 135 * gpu + 9 * instance + compute.map_or(0, |compute| compute + 1);
            assert_eq!(list.get(&Slot { gpu, instance, compute }), Some(&want));
        }
    }

    #[test]
    fn lines_that_are_no_entries_are_skipped() {
        let text = "\n  \ngpu0/gi1/access\ngpu0/gi1/access twelve\ngpu0/gi1/access -1\ngpu0/gi1/access +7\n\
                    gpu0/gi1/access 99999999999\ngpu0/gi1/access 12 13\n\u{fffd}\u{fffd} 5\n\
                    gpu0/gi1/access 12\r\ngpu0/gi1/access 2\n12 gpu0/gi1/access";
        let list = minors(text);
        assert_eq!(list, HashMap::from([(Slot { gpu: 0, instance: 1, compute: None }, 12)]));
    }

    #[test]
    fn entries_that_are_no_instances_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        for name in ["gi5", "gi1", "gi", "gi+2", "gi03", "gi-4", "gi4294967296", "gix", "g6", "config", "GI7"] {
            std::fs::create_dir_all(root.path().join("mig").join(name)).unwrap();
        }
        assert_eq!(counted(root.path(), "/mig", "gi"), [1, 5]);
        assert!(counted(root.path(), "/none", "gi").is_empty());
    }
}
