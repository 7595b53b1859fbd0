//! AMD GPUs, from the topology of KFD, the compute interface of ROCm.

use std::path::Path;

use super::drm;
use super::node::Looker;
use super::pci::PciAddress;
use super::rows::{Class, Number, Row, Scope, Vendor};
use super::{Gpu, Look};

/// One directory a node: processors first, then GPUs and their partitions, in the order of ROCm's indices.
const NODES: &str = "/sys/devices/virtual/kfd/kfd/topology/nodes";

/// Rows of AMD.
pub(super) const ROWS: &[Row] = &[
    Row {
        vendor: Some(Vendor::Amd),
        path: "/dev/kfd",
        number: Number::Registered { name: "kfd", minor: Some(0) },
        scope: Scope::Shared,
        needed_for: "ROCm's compute interface",
        class: Class::Compute,
        required: true,
        source: "Linux, kfd_chardev.c: a dynamic major, minor 0",
    },
    Row {
        vendor: Some(Vendor::Amd),
        path: "/dev/dri/renderD#",
        number: Number::Counted { major: 226 },
        scope: Scope::Render,
        needed_for: "memory and kernels of this GPU",
        class: Class::Utility,
        required: true,
        source: "Linux, kfd_chardev.c: a GPU is given to a process that brings its render node",
    },
    Row {
        vendor: Some(Vendor::Amd),
        path: "/dev/dri/card#",
        number: Number::Counted { major: 226 },
        scope: Scope::Card,
        needed_for: "a display",
        class: Class::Display,
        required: true,
        source: "Linux, include/uapi/linux/major.h: DRM has major 226",
    },
];

/// Every GPU and partition that ROCm can use; one failed look-up when there is none.
pub(super) fn probe(looker: Looker<'_>, look: &Look<'_>) -> Vec<Gpu> {
    let nodes = super::counted(looker.root, NODES, "");
    let mut gpus: Vec<_> = nodes.into_iter().filter_map(|node| gpu(looker, node)).collect();
    for (index, gpu) in (0..).zip(&mut gpus) {
        gpu.index = Some(index);
    }
    count_partitions(&mut gpus);
    if look.classes.has(Class::Display) {
        gpus.iter_mut().for_each(|gpu| gpu.card = card(looker.root, gpu));
    }
    gpus.iter_mut().for_each(|gpu| gpu.examine(looker, look.classes));
    gpus
}

/// `None` for processors, and for what a device cgroup keeps away: the kernel refuses to read about it, and ROCm does not
/// count it. What says too little of itself is counted, and has no render node.
fn gpu(looker: Looker<'_>, node: u32) -> Option<Gpu> {
    let text = super::read_lines(looker.root, &format!("{NODES}/{node}/properties"))?;
    let property = |name: &str| {
        text.lines().find_map(|line| line.split_once(' ').filter(|(key, _)| *key == name)?.1.trim().parse::<u64>().ok())
    };
    let number = |name: &str| property(name).and_then(|value| u32::try_from(value).ok());
    if property("simd_count").unwrap_or(1) == 0 {
        return None;
    }
    let place = number("location_id").and_then(|place| address(number("domain").unwrap_or(0), place));
    Some(Gpu {
        bus: place,
        uuid: property("unique_id").filter(|id| *id != 0).map(|id| format!("GPU-{id:016x}")),
        model: number("gfx_target_version").map(architecture),
        render: number("drm_render_minor").filter(|minor| *minor > 0),
        numa: place.and_then(|bus| super::numa(looker.root, bus)),
        ..Gpu::of(Vendor::Amd)
    })
}

/// The low three bits are the partition, not a function.
fn address(domain: u32, place: u32) -> Option<PciAddress> {
    let bus = u8::try_from(place >> 8 & 0xff).ok()?;
    let device = u8::try_from(place >> 3 & 0x1f).ok()?;
    Some(PciAddress { domain, bus, device, function: 0 })
}

/// `gfx942` from 90402: major, minor and stepping, of which the last two are hexadecimal digits.
fn architecture(version: u32) -> String {
    format!("gfx{}{:x}{:x}", version / 10_000, version / 100 % 100, version % 100)
}

/// Partitions of one device stand one behind the other, and share everything but the render node.
fn count_partitions(gpus: &mut [Gpu]) {
    let places: Vec<_> = gpus.iter().map(|gpu| gpu.bus).collect();
    for (at, gpu) in gpus.iter_mut().enumerate() {
        let same =
            |others: &[Option<PciAddress>]| others.iter().filter(|bus| bus.is_some() && **bus == gpu.bus).count();
        let before = u32::try_from(same(places.get(..at).unwrap_or_default())).ok();
        gpu.partition = before.filter(|_| same(&places) > 1);
    }
}

/// The first partition sits on the PCI device, the others on platform devices.
fn card(root: &Path, gpu: &Gpu) -> Option<u32> {
    const PLATFORM: &str = "/sys/devices/platform";
    let of_pci = drm::of_pci(root, gpu.bus?);
    if of_pci.render == gpu.render {
        return of_pci.card;
    }
    let names = super::names(root, PLATFORM);
    let partitions = names.iter().filter(|name| name.starts_with("amdgpu_xcp_"));
    let mut numbers = partitions.map(|name| drm::numbers(root, &format!("{PLATFORM}/{name}/drm")));
    numbers.find(|numbers| numbers.render == gpu.render)?.card
}

#[cfg(test)]
mod tests {
    use super::{address, architecture};

    #[test]
    fn places_as_the_kernel_packs_them() {
        for (domain, place, want) in [
            (0, 0x0c00, "0000:0c:00.0"),
            (0, 0x0cf8, "0000:0c:1f.0"),
            // The function is the partition.
            (1, 0x2203, "0001:22:00.0"),
        ] {
            assert_eq!(address(domain, place).unwrap().to_string(), want);
        }
    }

    #[test]
    fn architectures_as_the_compiler_names_them() {
        for (version, want) in [(90402, "gfx942"), (90010, "gfx90a"), (110_000, "gfx1100"), (100_302, "gfx1032")] {
            assert_eq!(architecture(version), want);
        }
    }
}
