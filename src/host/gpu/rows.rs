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

/// What no list of somebody else's brings in, each the beginning of a path, and why.
pub const NEVER: &[(&str, &str)] = &[
    ("/dev/nvidia-nvswitch", "it is the fabric manager's"),
    ("/dev/nvidia-nvlink", "it is the fabric manager's"),
    ("/dev/nvidia-vgpu", "it is the hypervisor's"),
    ("/dev/nvidia-caps/nvidia-cap1", "it makes and removes MIG instances"),
    ("/dev/nvidia-caps/nvidia-cap2", "it watches the MIG instances of everybody"),
    ("/dev/mem", "it is the memory of the machine"),
    ("/dev/port", "it reaches hardware ports"),
    ("/dev/kmem", "it is the memory of the kernel"),
    ("/dev/nvram", "it is the machine's own"),
    ("/dev/kmsg", "it is the log of the kernel"),
    ("/dev/cpu", "it reaches registers of the processor"),
    ("/dev/mapper", "it leads to disks"),
    ("/dev/uinput", "it types for the user"),
    ("/dev/tty", "it is a terminal of somebody's"),
];

/// Why a node is never brought in by a list: it is named in [`NEVER`], or a number further than a name there.
#[must_use]
pub fn never(path: &Path) -> Option<&'static str> {
    let text = path.to_str()?;
    let is_it = |start: &str| match text.strip_prefix(start) {
        // Of capabilities the number is the whole of the name.
        Some(rest) if start.ends_with(|last: char| last.is_ascii_digit()) => rest.is_empty(),
        Some(rest) => rest.is_empty() || rest.starts_with(|next: char| !next.is_ascii_alphabetic()),
        None => false,
    };
    NEVER.iter().find(|(start, _)| is_it(start)).map(|(_, why)| *why)
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
