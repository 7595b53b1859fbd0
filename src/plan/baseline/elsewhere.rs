//! What comes with devices and is no rule: links, and things of the host under another name.

use crate::plan::DeviceGrant;
use crate::plan::gpu::cdi::CdiMount;
use crate::plan::gpu::{GpuPlan, NodeLink};
use crate::plan::mounts::{Mount, MountOp};

/// The operations for it, things before links. There is no link to a node that something keeps away.
pub(super) fn operations(gpu: &GpuPlan, granted: &[DeviceGrant]) -> Vec<MountOp> {
    let mounts = gpu.cdi.mounts.iter().map(|mount| {
        let CdiMount { source, id, dir, target, onto, because } = mount.clone();
        MountOp { target, what: Mount::Other { source, id, dir, onto }, because }
    });
    let links = gpu.cdi.links.iter().cloned();
    let links = links.map(|(target, to, because)| MountOp { target, what: Mount::Link { to }, because });
    let there = gpu.links.iter().filter(|link| granted.iter().any(|device| device.path == link.node));
    let places = there.cloned().map(|NodeLink { path, node: _, to, because }| MountOp {
        target: path,
        what: Mount::Link { to: to.into() },
        because,
    });
    mounts.chain(links).chain(places).collect()
}
