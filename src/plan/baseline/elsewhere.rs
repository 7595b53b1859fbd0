//! What comes with devices and is no rule: links, and things of the host under another name.

use crate::plan::gpu::GpuPlan;
use crate::plan::gpu::cdi::CdiMount;
use crate::plan::mounts::{Mount, MountOp};

/// The operations for it, things before links.
pub(super) fn operations(gpu: &GpuPlan) -> Vec<MountOp> {
    let mounts = gpu.mounts.iter().map(|mount| {
        let CdiMount { source, id, dir, target, onto, because } = mount.clone();
        MountOp { target, what: Mount::Other { source, id, dir, onto }, because }
    });
    let links = gpu.links.iter().cloned();
    let links = links.map(|(target, to, because)| MountOp { target, what: Mount::Link { to }, because });
    mounts.chain(links).collect()
}
