//! The GPU of WSL2: one device node for all adapters of the Windows host.

use std::path::Path;

use super::node::{CallerIds, Looker, Node, NodeLookup, examine};
use super::rows::{ROWS, Vendor};

/// The paravirtual GPU of WSL2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wsl {
    /// `/dev/dxg`. Which adapter is used is decided in user space, so there is no part of it to grant.
    pub node: Node,
}

/// Looks for `/dev/dxg` first and for the kernel's name only when it is there; both must agree.
pub(super) fn probe(root: &Path, nodes: &dyn NodeLookup, caller: &CallerIds) -> Option<Wsl> {
    let row = ROWS.iter().find(|row| row.vendor == Vendor::Wsl)?;
    nodes.node(Path::new(row.path))?;
    let release = super::read(root, "/proc/sys/kernel/osrelease")?;
    if !release.to_ascii_lowercase().contains("microsoft") {
        return None;
    }
    let misc = super::numbered(&super::read(root, "/proc/misc").unwrap_or_default());
    let looker = Looker { nodes, caller, majors: &[], misc: &misc };
    Some(Wsl { node: examine(looker, row, 0) })
}
