//! GPUs whose whole interface is a render node: Intel's, and those that only Mesa uses.

use super::node::Looker;
use super::rows::{Class, Number, Row, Scope, Vendor};
use super::{Gpu, Look, drm};

/// One entry a node of the DRM subsystem.
const CLASS: &str = "/sys/class/drm";

/// The drivers of Intel GPUs that the compute runtime knows.
const INTEL: &[&str] = &["i915", "xe"];

const fn render(vendor: Vendor, needed_for: &'static str) -> Row {
    Row {
        vendor: Some(vendor),
        path: "/dev/dri/renderD#",
        number: Number::Counted { major: 226 },
        scope: Scope::Render,
        needed_for,
        class: Class::Utility,
        required: true,
        source: "Linux, include/uapi/linux/major.h: DRM has major 226; render nodes are named by their minor",
    }
}

const fn card(vendor: Vendor) -> Row {
    Row { path: "/dev/dri/card#", scope: Scope::Card, class: Class::Display, ..render(vendor, "a display") }
}

/// Rows of render nodes.
pub(super) const ROWS: &[Row] = &[
    render(Vendor::Intel, "memory and kernels of this GPU"),
    card(Vendor::Intel),
    render(Vendor::Drm, "Vulkan, OpenCL and EGL of Mesa"),
    card(Vendor::Drm),
];

/// Every render node that is none of `taken`, Intel's first.
pub(super) fn probe(looker: Looker<'_>, look: &Look<'_>, taken: &[Gpu]) -> Vec<Gpu> {
    let is_free = |minor: &u32| !taken.iter().any(|gpu| gpu.render == Some(*minor));
    let minors = super::counted(looker.root, CLASS, "renderD").into_iter().filter(is_free);
    let found: Vec<_> = minors.filter_map(|minor| gpu(looker, look, minor)).collect();
    [Vendor::Intel, Vendor::Drm].into_iter().flat_map(|vendor| indexed(&found, vendor)).collect()
}

fn indexed(found: &[Gpu], vendor: Vendor) -> impl Iterator<Item = Gpu> {
    let of_vendor = found.iter().filter(move |gpu| gpu.vendor == vendor);
    (0..).zip(of_vendor).map(|(index, gpu)| Gpu { index: Some(index), ..gpu.clone() })
}

fn gpu(looker: Looker<'_>, look: &Look<'_>, minor: u32) -> Option<Gpu> {
    let entry = format!("{CLASS}/renderD{minor}");
    let drm::Device { driver, bus, id } = drm::device(looker.root, &entry);
    let driver = driver.unwrap_or_default();
    // Its GPUs are found by its own files; one that is not there is one that a container hides.
    if driver == "nvidia" {
        return None;
    }
    let vendor = if INTEL.contains(&driver.as_str()) { Vendor::Intel } else { Vendor::Drm };
    if !look.means(vendor) {
        return None;
    }
    let model = match id {
        Some((vendor, device)) => format!("{driver} {vendor:04x}:{device:04x}"),
        None => driver,
    };
    let mut gpu = Gpu {
        bus,
        model: Some(model.trim().to_owned()).filter(|model| !model.is_empty()),
        render: Some(minor),
        card: drm::numbers(looker.root, &format!("{entry}/device/drm")).card,
        numa: bus.and_then(|bus| super::numa(looker.root, bus)),
        ..Gpu::of(vendor)
    };
    gpu.examine(looker, look.classes);
    Some(gpu)
}
