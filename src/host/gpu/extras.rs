//! Nodes beside those of a GPU itself, each for a class that is asked for by name: fabrics and storage.

use super::node::{Looker, Node, examine};
use super::rows::{Class, Number, Row, Scope, Vendor};
use crate::policy::gpu::Classes;

/// Rows of the extras.
pub(super) const ROWS: &[Row] = &[
    Row {
        vendor: None,
        path: "/dev/infiniband/uverbs#",
        // The first 32 have 231:192 and up, later ones a dynamic major.
        number: Number::Sysfs { file: "/sys/class/infiniband_verbs/uverbs#/dev" },
        scope: Scope::Entry { dir: "/sys/class/infiniband_verbs", prefix: "uverbs" },
        needed_for: "RDMA verbs: NCCL over InfiniBand",
        class: Class::Rdma,
        required: true,
        source: "Linux, drivers/infiniband/core/uverbs_main.c",
    },
    Row {
        vendor: None,
        path: "/dev/infiniband/rdma_cm",
        number: Number::Misc { name: "rdma_cm" },
        scope: Scope::Shared,
        needed_for: "the RDMA connection manager",
        class: Class::Rdma,
        required: true,
        source: "Linux, drivers/infiniband/core/ucma.c: a misc device with a dynamic minor",
    },
    Row {
        vendor: Some(Vendor::Nvidia),
        path: "/dev/nvidia-fs#",
        number: Number::Registered { name: "nvidia-fs", minor: None },
        scope: Scope::Entry { dir: "/sys/class/nvidia-fs-class", prefix: "nvidia-fs" },
        needed_for: "GPUDirect Storage",
        class: Class::Gds,
        required: true,
        source: "NVIDIA gds-nvidia-fs: a dynamic region, one node for each thread of control",
    },
    Row {
        vendor: Some(Vendor::Nvidia),
        path: "/dev/gdrdrv",
        number: Number::Registered { name: "gdrdrv", minor: Some(0) },
        scope: Scope::Shared,
        needed_for: "GDRCopy",
        class: Class::Gdrcopy,
        required: true,
        source: "NVIDIA gdrcopy, gdrdrv.c: a dynamic region, minor 0",
    },
    Row {
        vendor: Some(Vendor::Nvidia),
        path: "/dev/nvidia-caps-imex-channels/channel#",
        number: Number::Registered { name: "nvidia-caps-imex-channels", minor: None },
        scope: Scope::Channel,
        needed_for: "memory shared with other hosts over NVLink",
        class: Class::Imex,
        required: true,
        source: "open-gpu-kernel-modules, nv-caps-imex.c: a dynamic region, one minor a channel",
    },
];

/// The nodes of the classes that are granted.
pub(super) fn probe(looker: Looker<'_>, classes: &Classes, has: &dyn Fn(Vendor) -> bool) -> Vec<Node> {
    let of_use = |row: &&Row| classes.has(row.class) && row.vendor.is_none_or(has);
    ROWS.iter().filter(of_use).flat_map(|row| nodes(looker, row, classes)).collect()
}

fn nodes(looker: Looker<'_>, row: &'static Row, classes: &Classes) -> Vec<Node> {
    match row.scope {
        Scope::Entry { dir, prefix } => {
            let numbers = super::counted(looker.root, dir, prefix);
            if numbers.is_empty() {
                return vec![Node::unnumbered(row, dir)];
            }
            numbers.into_iter().map(|number| examine(looker, row, number)).collect()
        }
        Scope::Channel => classes.channels.iter().map(|channel| examine(looker, row, *channel)).collect(),
        Scope::Shared | Scope::Device | Scope::Render | Scope::Card | Scope::Instance => vec![examine(looker, row, 0)],
    }
}
