//! Accelerators that are no GPUs: Gaudi, Neuron, TPUs and neural processors.

use std::path::Path;

use super::node::{Looker, examine};
use super::pci::PciAddress;
use super::rows::{self, Class, Number, Row, Scope, Vendor};
use super::{Gpu, Look, drm};

/// The accelerator class of DRM, and of the driver of older TPUs.
const ACCEL: &str = "/sys/class/accel";
const VFIO: &str = "/sys/class/vfio";

const GOOGLE: u32 = 0x1ae0;

const fn device(vendor: Vendor, path: &'static str, file: &'static str, needed_for: &'static str) -> Row {
    Row {
        vendor: Some(vendor),
        path,
        number: Number::Sysfs { file },
        scope: Scope::Device,
        needed_for,
        class: Class::Utility,
        required: true,
        source: "Linux, Documentation/ABI/stable/sysfs-class-*: the file dev of a device",
    }
}

/// Rows of accelerators. Of two generations of one vendor's, those of the driver that is loaded count.
pub(super) const ROWS: &[Row] = &[
    device(Vendor::Gaudi, "/dev/accel/accel#", "/sys/class/accel/accel#/dev", "memory and kernels of this accelerator"),
    device(
        Vendor::Gaudi,
        "/dev/accel/accel_controlD#",
        "/sys/class/accel/accel_controlD#/dev",
        "monitoring of this accelerator",
    ),
    device(Vendor::Gaudi, "/dev/hl#", "/sys/class/habanalabs/hl#/dev", "memory and kernels of this accelerator"),
    device(
        Vendor::Gaudi,
        "/dev/hl_controlD#",
        "/sys/class/habanalabs/hl_controlD#/dev",
        "monitoring of this accelerator",
    ),
    device(Vendor::Neuron, "/dev/neuron#", "/sys/class/neuron_device/neuron#/dev", "cores of this accelerator"),
    device(Vendor::Tpu, "/dev/accel#", "/sys/class/accel/accel#/dev", "this TPU"),
    device(Vendor::Tpu, "/dev/vfio/#", "/sys/class/vfio/#/dev", "this TPU, and memory access by it"),
    Row {
        vendor: Some(Vendor::Tpu),
        path: "/dev/vfio/vfio",
        number: Number::Misc { name: "vfio" },
        scope: Scope::Shared,
        needed_for: "memory access by devices",
        class: Class::Utility,
        // Only where the driver is VFIO.
        required: false,
        source: "Linux, drivers/vfio/container.c: a misc device, 10:196",
    },
    device(Vendor::Npu, "/dev/accel/accel#", "/sys/class/accel/accel#/dev", "this neural processor"),
];

/// Every accelerator of a vendor; one failed look-up when there is none.
pub(super) fn probe(looker: Looker<'_>, look: &Look<'_>) -> Vec<Gpu> {
    let vendors = [Vendor::Gaudi, Vendor::Neuron, Vendor::Tpu, Vendor::Npu];
    vendors.into_iter().filter(|vendor| look.means(*vendor)).flat_map(|vendor| of(looker, vendor)).collect()
}

fn of(looker: Looker<'_>, vendor: Vendor) -> Vec<Gpu> {
    let generations: &[(&str, &str, &str)] = match vendor {
        Vendor::Gaudi => &[(ACCEL, "accel", "/dev/accel/"), ("/sys/class/habanalabs", "hl", "/dev/hl")],
        Vendor::Neuron => &[("/sys/class/neuron_device", "neuron", "/dev/neuron")],
        Vendor::Tpu => &[(ACCEL, "accel", "/dev/accel#"), (VFIO, "", "/dev/vfio/#")],
        _ => &[(ACCEL, "accel", "/dev/accel/")],
    };
    let found = generations.iter().flat_map(|(class, prefix, path)| {
        let numbers = super::counted(looker.root, class, prefix).into_iter();
        numbers.filter_map(move |number| accelerator(looker, vendor, (class, prefix, path), number))
    });
    (0..).zip(found).map(|(index, gpu)| Gpu { index: Some(index), ..gpu }).collect()
}

fn accelerator(
    looker: Looker<'_>,
    vendor: Vendor,
    (class, prefix, path): (&str, &str, &str),
    number: u32,
) -> Option<Gpu> {
    let drm::Device { driver, bus, id } = match class {
        VFIO => in_group(looker.root, number)?,
        _ => drm::device(looker.root, &format!("{class}/{prefix}{number}")),
    };
    let fits = match vendor {
        Vendor::Gaudi => class != ACCEL || driver.as_deref() == Some("habanalabs"),
        Vendor::Tpu => id.is_some_and(|(vendor, _)| vendor == GOOGLE),
        Vendor::Npu => matches!(driver.as_deref(), Some("intel_vpu" | "amdxdna")),
        _ => true,
    };
    let own = |row: &&Row| row.scope == Scope::Device && row.path.starts_with(path);
    fits.then(|| Gpu {
        bus,
        model: driver,
        minor: Some(number),
        numa: bus.and_then(|bus| super::numa(looker.root, bus)),
        nodes: rows::of(vendor).filter(own).map(|row| examine(looker, row, number)).collect(),
        ..Gpu::of(vendor)
    })
}

/// The first device of a VFIO group. Whoever has the group has all of it: a group with somebody else's is none.
fn in_group(root: &Path, group: u32) -> Option<drm::Device> {
    let names = super::names(root, &format!("/sys/kernel/iommu_groups/{group}/devices"));
    let mut places = names.iter().map(|name| name.parse().ok()).collect::<Option<Vec<PciAddress>>>()?;
    places.sort_unstable();
    let hex = |bus: PciAddress, file: &str| {
        let text = super::read(root, &format!("/sys/bus/pci/devices/{bus}/{file}"))?;
        u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
    };
    let id = |bus| hex(bus, "vendor").zip(hex(bus, "device"));
    let first = *places.first()?;
    let same = |bus: &PciAddress| id(*bus).map(|(vendor, _)| vendor) == id(first).map(|(vendor, _)| vendor);
    let driver = Some("vfio-pci".to_owned());
    places.iter().all(same).then(|| drm::Device { driver, bus: Some(first), id: id(first) })
}
