//! The table of device nodes: its shape, and where the rows of each vendor are. The finder, the errors' "looked for",
//! `ringfence gpus`, `docs/gpu-nodes.md` and the tests read it.
//!
//! Another vendor is one more file beside this one, with its rows and its finder.

use std::path::{Path, PathBuf};

pub use crate::policy::gpu::{Class, Vendor};

use super::{accel, amd, dri, extras, jetson, nvidia, wsl};

/// How the number of a device node is known. A `#` in names and paths is the number that the scope counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Both halves are assigned for good.
    Fixed {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Fixed major; the minor is the number that the scope counts by.
    Counted {
        /// Major number.
        major: u32,
    },
    /// The driver gets its major when it is loaded: listed under this name in `/proc/devices`.
    Registered {
        /// The whole name, to the end of the line: `nvidia` is a prefix of others.
        name: &'static str,
        /// Minor number; `None`: the number that the scope counts by.
        minor: Option<u32>,
    },
    /// Major 10; the minor is listed under this name in `/proc/misc`.
    Misc {
        /// The whole name.
        name: &'static str,
    },
    /// Both halves stand in this file of sysfs.
    Sysfs {
        /// The file.
        file: &'static str,
    },
    /// Nobody tells; whatever character device is there.
    Unknown,
}

/// What there is one node of, and so what a `#` in its path counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One for all devices of the vendor.
    Shared,
    /// Each device, by the driver's number of it.
    Device,
    /// Each GPU, by the number of its render node.
    Render,
    /// Each GPU, by the number of its display node.
    Card,
    /// Each instance of a GPU in MIG mode, by its capability.
    Instance,
    /// Each entry of this kind in a directory of sysfs.
    Entry {
        /// The directory.
        dir: &'static str,
        /// The name of an entry, before its number.
        prefix: &'static str,
    },
    /// Each channel that was asked for.
    Channel,
}

/// One kind of device node.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is; `None`: of use with any GPU.
    pub vendor: Option<Vendor>,
    /// Host path; a `#` stands for a number.
    pub path: &'static str,
    /// How its number is known.
    pub number: Number,
    /// What there is one of.
    pub scope: Scope,
    /// What fails without it, as a noun: printed in plans.
    pub needed_for: &'static str,
    /// The least class that includes it.
    pub class: Class,
    /// Whether its absence makes the class unusable. An absent optional node is normal.
    pub required: bool,
    /// Where this is written down.
    pub source: &'static str,
}

impl Row {
    /// What a program opens it for, as permission bits: a capability is opened for reading, and then only shown to the
    /// driver.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        if self.scope == Scope::Instance { 0o4 } else { 0o6 }
    }

    /// Whether a node with this path, below `/`, is of this kind.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let Some(path) = path.to_str() else { return false };
        let Some((before, after)) = self.path.split_once('#') else { return path == self.path };
        let number = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The host path for what has this number; shared rows ignore it.
    #[must_use]
    pub fn path_for(&self, number: u32) -> PathBuf {
        PathBuf::from(self.path.replace('#', &number.to_string()))
    }
}

/// Every row, in the order of listings.
///
/// Left out on purpose: `nvidia-nvswitch*`, `nvidia-nvlink` (fabric manager) and `nvidia-vgpu*` (hypervisor). Of
/// `nvidia-caps`, all but the instances that exist: `nvidia-cap1` makes and removes instances, `nvidia-cap2` watches
/// those of everybody.
pub fn all() -> impl Iterator<Item = &'static Row> {
    let vendors = [nvidia::ROWS, extras::ROWS, wsl::ROWS, amd::ROWS, dri::ROWS, jetson::ROWS, accel::ROWS];
    vendors.into_iter().flatten()
}

/// Nodes that no list of somebody else's brings in, by name below `/dev`, and why; `*` stands for what is left of the name.
const NEVER: &[(&str, &str)] = &[
    ("nvidia-nvswitch*", "it is the fabric manager's"),
    ("nvidia-nvlink*", "it is the fabric manager's"),
    ("nvidia-vgpu*", "it is the hypervisor's"),
    ("nvidia-caps/nvidia-cap0", "it manages the fabric"),
    ("nvidia-caps/nvidia-cap1", "it configures MIG"),
    ("nvidia-caps/nvidia-cap2", "it watches all MIG instances"),
    ("nvidia-caps/nvidia-cap4323", "it manages the fabric"),
    ("mem", "it is the machine's memory"),
    ("kmem", "it is the kernel's memory"),
    ("port", "it is the machine's I/O ports"),
    ("nvram", "it is the firmware's memory"),
    ("kmsg", "it is the kernel's log"),
    ("uinput", "it types for the user"),
    ("cpu/*", "it has the processor's registers"),
    ("mapper/*", "it is a disk"),
    ("tty*", "it is a terminal of the host"),
    ("console", "it is a terminal of the host"),
];

/// Why a node is never brought in by a list such as a CDI file or that of a Jetson; `None` for what is not below `/dev`.
#[must_use]
pub fn never(path: &Path) -> Option<&'static str> {
    let name = below_dev(path)?;
    NEVER.iter().find(|(pattern, _)| is_named(pattern, name)).map(|(_, why)| *why)
}

/// The name of a node below `/dev`: `dri/card0`.
#[must_use]
pub fn below_dev(path: &Path) -> Option<&str> {
    path.strip_prefix("/dev").ok()?.to_str().filter(|name| !name.is_empty())
}

/// Whether a name fits a pattern, of which a `*` at the end stands for anything.
#[must_use]
pub fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// The rows of a vendor.
pub(super) fn of(vendor: Vendor) -> impl Iterator<Item = &'static Row> {
    all().filter(move |row| row.vendor == Some(vendor))
}

/// A host directory of GPU libraries that is no ordinary part of `/usr`.
#[derive(Debug, PartialEq, Eq)]
pub struct LibraryRow {
    /// Host path.
    pub path: &'static str,
    /// What is in it: printed in plans.
    pub what: &'static str,
    /// Only of use with this vendor; `None`: with any.
    pub vendor: Option<Vendor>,
}

/// Library directories that a GPU program needs where they exist.
pub const LIBRARIES: &[LibraryRow] = &[
    LibraryRow { path: "/run/opengl-driver", what: "driver libraries of NixOS", vendor: None },
    LibraryRow { path: "/run/opengl-driver-32", what: "32-bit driver libraries of NixOS", vendor: None },
    // Two mounts from the Windows side, `lib` and `drivers`: below /usr, but not of its file system.
    LibraryRow { path: "/usr/lib/wsl", what: "driver libraries of WSL2", vendor: Some(Vendor::Wsl) },
    LibraryRow { path: "/usr/local/nvidia", what: "driver libraries of GKE", vendor: Some(Vendor::Nvidia) },
    LibraryRow { path: "/opt/rocm", what: "ROCm", vendor: Some(Vendor::Amd) },
    LibraryRow { path: "/opt/amdgpu", what: "names of AMD GPUs", vendor: Some(Vendor::Amd) },
    LibraryRow { path: "/opt/aws/neuron", what: "the Neuron runtime", vendor: Some(Vendor::Neuron) },
];

/// Where the devices of a vendor are looked for, for errors and listings.
#[must_use]
pub fn places(vendor: Vendor) -> &'static [&'static str] {
    match vendor {
        Vendor::Nvidia => &["/proc/driver/nvidia/gpus"],
        Vendor::Wsl => &["/dev/dxg"],
        Vendor::Amd => &["/sys/devices/virtual/kfd/kfd/topology/nodes"],
        Vendor::Intel | Vendor::Drm => &["/sys/class/drm"],
        Vendor::Jetson => &["/etc/nv_tegra_release"],
        Vendor::Gaudi => &["/sys/class/accel", "/sys/class/habanalabs"],
        Vendor::Npu => &["/sys/class/accel"],
        Vendor::Neuron => &["/sys/class/neuron_device"],
        Vendor::Tpu => &["/sys/class/accel", "/sys/class/vfio"],
    }
}

/// Where a machine without a GPU was searched, for errors and listings.
#[must_use]
pub fn looked_for(root: &Path, vendors: &[Vendor]) -> String {
    let mut list: Vec<String> = Vec::new();
    for place in vendors.iter().flat_map(|vendor| places(*vendor)).map(|place| format!("`{place}`")) {
        if !list.contains(&place) {
            list.push(place);
        }
    }
    list.extend(vendors.contains(&Vendor::Nvidia).then(|| "PCI display devices of vendor 10de".to_owned()));
    format!("{} below `{}`", list.join(", "), root.display())
}
