//! GPUs of the NVIDIA driver, from `/proc/driver/nvidia`, `/proc/devices` and `/sys`.

use std::path::Path;

use super::driver_files::{GPUS, PARAMS};
use super::libraries::is_version;
use super::mig::{self, Minors};
use super::node::Looker;
use super::pci::PciAddress;
use super::rows::{Class, Number, Row, Scope, Vendor};
use super::{Gpu, Look, drm};

const fn row(path: &'static str, number: Number, scope: Scope, needed_for: &'static str, class: Class) -> Row {
    Row { vendor: Some(Vendor::Nvidia), path, number, scope, needed_for, class, required: true, source: NUMBERS }
}

const NUMBERS: &str = "open-gpu-kernel-modules, nv-chardev-numbers.h: major 195, minors 0 to 247, 254 and 255";
const UVM: &str = "open-gpu-kernel-modules, uvm.c: one dynamic region with both nodes; libcuda tolerates that the tools \
                   are absent";
const CAPS: &str = "open-gpu-kernel-modules, nv-caps.c: dynamic region; minors in /proc/driver/nvidia-caps/mig-minors";
const DRM: &str = "Linux, include/uapi/linux/major.h: DRM has major 226; render nodes are named by their minor";

/// Rows of the NVIDIA driver, shared ones first.
pub(super) const ROWS: &[Row] = &[
    row("/dev/nvidiactl", Number::Fixed { major: 195, minor: 255 }, Scope::Shared, "driver control", Class::Utility),
    Row {
        source: UVM,
        ..row(
            "/dev/nvidia-uvm",
            Number::Registered { name: "nvidia-uvm", minor: Some(0) },
            Scope::Shared,
            "CUDA unified memory",
            Class::Compute,
        )
    },
    Row {
        // libcuda opens it at start-up and goes on when it is absent, but not when it is denied.
        required: false,
        source: UVM,
        ..row(
            "/dev/nvidia-uvm-tools",
            Number::Registered { name: "nvidia-uvm", minor: Some(1) },
            Scope::Shared,
            "CUDA profiling events",
            Class::Compute,
        )
    },
    row(
        "/dev/nvidia-modeset",
        Number::Fixed { major: 195, minor: 254 },
        Scope::Shared,
        "display modes",
        Class::Display,
    ),
    row(
        "/dev/nvidia#",
        Number::Counted { major: 195 },
        Scope::Device,
        "memory and kernels of this GPU",
        Class::Utility,
    ),
    Row {
        // Of an instance that exists. A slot without one has no node.
        source: CAPS,
        ..row(
            "/dev/nvidia-caps/nvidia-cap#",
            Number::Registered { name: "nvidia-caps", minor: None },
            Scope::Instance,
            "an instance of a GPU in MIG mode",
            Class::Compute,
        )
    },
    Row {
        source: DRM,
        ..row(
            "/dev/dri/renderD#",
            Number::Counted { major: 226 },
            Scope::Render,
            "EGL, Vulkan and VA-API",
            Class::Graphics,
        )
    },
    Row {
        source: DRM,
        ..row("/dev/dri/card#", Number::Counted { major: 226 }, Scope::Card, "a display", Class::Display)
    },
];

/// The loaded NVIDIA driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Version, for example `595.45.04`; `None` when neither file that holds it can be read.
    pub version: Option<String>,
    /// Whether these are the open kernel modules.
    pub open: bool,
    /// Its parameters, as far as diagnoses need them.
    pub params: Params,
}

/// Lines of `/proc/driver/nvidia/params`; `None` where a line is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// `ModifyDeviceFiles`: whether `nvidia-modprobe` may make and change the nodes of major 195.
    pub modify_device_files: Option<bool>,
    /// `DeviceFileUID`: the owner that those nodes get.
    pub uid: Option<u32>,
    /// `DeviceFileGID`: their group.
    pub gid: Option<u32>,
    /// `DeviceFileMode`: their permission bits.
    pub mode: Option<u32>,
    /// `ExcludedGpus`: the UUIDs that the driver refuses to open; `None` when empty.
    pub excluded: Option<String>,
    /// `RmProfilingAdminOnly`: whether performance counters are for the host's administrator alone.
    pub profiling_admin_only: Option<bool>,
}

/// Reads everything about the driver; one failed open when there is none.
pub(super) fn probe(looker: Looker<'_>, look: &Look<'_>) -> Option<(Driver, Vec<Gpu>)> {
    let text = super::read(looker.root, "/proc/driver/nvidia/version")?;
    Some((driver(looker.root, &text), gpus(looker, look)))
}

fn driver(root: &Path, text: &str) -> Driver {
    let line = text.lines().find(|line| line.starts_with("NVRM version:")).unwrap_or_default();
    let version = super::read(root, "/sys/module/nvidia/version").and_then(|text| version_in(&text));
    Driver {
        version: version.or_else(|| version_in(line)),
        open: line.contains("Open Kernel Module"),
        params: params(&super::read_lines(root, PARAMS).unwrap_or_default()),
    }
}

/// The first word made of two or more numbers with dots between.
fn version_in(text: &str) -> Option<String> {
    text.split_ascii_whitespace().find(|word| is_version(word)).map(str::to_owned)
}

fn params(text: &str) -> Params {
    let number = |name| label(text, name).and_then(|value| value.parse::<u32>().ok());
    let list = label(text, "ExcludedGpus").map(|value| value.trim_matches('"').to_owned());
    Params {
        modify_device_files: number("ModifyDeviceFiles").map(|value| value != 0),
        uid: number("DeviceFileUID"),
        gid: number("DeviceFileGID"),
        mode: number("DeviceFileMode"),
        excluded: list.filter(|list| !list.is_empty()),
        profiling_admin_only: number("RmProfilingAdminOnly").map(|value| value != 0),
    }
}

/// The value of a `Label: value` line. The value may contain colons; the blanks around it vary by driver.
fn label<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == wanted).map(|(_, v)| v.trim())
}

/// Every GPU that the driver lists, in PCI order; those that are not excluded get their index.
fn gpus(looker: Looker<'_>, look: &Look<'_>) -> Vec<Gpu> {
    let mut addresses: Vec<PciAddress> =
        super::names(looker.root, GPUS).iter().filter_map(|name| name.parse().ok()).collect();
    addresses.sort_unstable();
    let minors = Minors::below(looker.root);
    let mut next = 0;
    let mut gpus = Vec::new();
    for bus in addresses {
        let mut gpu = gpu(looker, look, &minors, bus);
        if !gpu.excluded {
            gpu.index = Some(next);
            next += 1;
        }
        gpus.push(gpu);
    }
    gpus
}

fn gpu(looker: Looker<'_>, look: &Look<'_>, minors: &Minors<'_>, bus: PciAddress) -> Gpu {
    let root = looker.root;
    let text = super::read_lines(root, &format!("{GPUS}/{bus}/information")).unwrap_or_default();
    let minor = label(&text, "Device Minor").and_then(|value| value.parse().ok());
    let drm = if look.draws() { drm::of_pci(root, bus) } else { drm::Numbers::default() };
    let mut gpu = Gpu {
        bus: Some(bus),
        // Question marks stand for the UUID of a GPU that was never initialised.
        uuid: label(&text, "GPU UUID").filter(|uuid| !uuid.contains('?')).map(str::to_owned),
        model: label(&text, "Model").map(str::to_owned),
        minor,
        render: drm.render,
        card: drm.card,
        excluded: label(&text, "GPU Excluded") == Some("Yes"),
        mig: minor.map(|minor| mig::instances(looker, minors, minor)).unwrap_or_default(),
        numa: super::numa(root, bus),
        ..Gpu::of(Vendor::Nvidia)
    };
    if minor.is_some() {
        gpu.examine(looker, look.classes);
    }
    gpu
}
