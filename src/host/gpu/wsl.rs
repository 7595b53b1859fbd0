//! The GPU of WSL2: one device node for all adapters of the Windows host.

use std::path::Path;

use super::node::{Looker, Node, examine};
use super::rows::{Class, Number, Row, Scope, Vendor};

/// The row of WSL2.
pub(super) const ROWS: &[Row] = &[Row {
    vendor: Some(Vendor::Wsl),
    path: "/dev/dxg",
    number: Number::Misc { name: "dxg" },
    scope: Scope::Shared,
    needed_for: "all GPUs of the Windows host",
    class: Class::Utility,
    required: true,
    source: "WSL2 kernel, drivers/hv/dxgkrnl: a misc device with a dynamic minor",
}];

/// The paravirtual GPU of WSL2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wsl {
    /// `/dev/dxg`. Which adapter is used is decided in user space, so there is no part of it to grant.
    pub node: Node,
}

/// Looks for `/dev/dxg` first and for the kernel's name only when it is there; both must agree.
pub(super) fn probe(looker: Looker<'_>) -> Option<Wsl> {
    let row = ROWS.first()?;
    looker.nodes.node(Path::new(row.path))?;
    let release = super::read(looker.root, "/proc/sys/kernel/osrelease")?;
    release.to_ascii_lowercase().contains("microsoft").then(|| Wsl { node: examine(looker, row, 0) })
}
