//! The one table of GPU device nodes. The finder, the errors' "looked for", `ringfence gpus` and the tests read it.
//!
//! Another vendor is more rows here and one more file beside this one.

use std::path::{Path, PathBuf};

/// Whose nodes a row describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// The NVIDIA driver for Linux.
    Nvidia,
    /// The paravirtual GPU of WSL2.
    Wsl,
}

/// What a node is good for, in the words of NVIDIA's driver capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Asking about GPUs: `nvidia-smi`.
    Utility,
    /// Running programs on GPUs; includes [`Class::Utility`].
    Compute,
}

/// How the number of a device node is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Both halves are assigned for good.
    Fixed {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Fixed major; the minor is the GPU's, and so is the `#` in the row's path.
    PerGpu {
        /// Major number.
        major: u32,
    },
    /// The driver gets its major when it is loaded: listed under this name in `/proc/devices`.
    Registered {
        /// The whole name, to the end of the line: `nvidia` is a prefix of others.
        name: &'static str,
        /// Minor number.
        minor: u32,
    },
    /// The major is listed under this name in `/proc/devices`; the minor is that of an instance of a GPU in MIG mode,
    /// and so is the `#` in the row's path.
    PerInstance {
        /// The whole name.
        name: &'static str,
    },
    /// Major 10; the minor is listed under this name in `/proc/misc`.
    Misc {
        /// The whole name.
        name: &'static str,
    },
}

/// One kind of device node.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub vendor: Vendor,
    /// Host path; a `#` stands for the minor number of the GPU or instance.
    pub path: &'static str,
    /// How its number is known.
    pub number: Number,
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
    /// Whether each GPU has its own such node.
    #[must_use]
    pub fn is_per_gpu(&self) -> bool {
        matches!(self.number, Number::PerGpu { .. })
    }

    /// Whether each instance of a GPU in MIG mode has its own such node.
    #[must_use]
    pub fn is_per_instance(&self) -> bool {
        matches!(self.number, Number::PerInstance { .. })
    }

    /// Whether one such node is for all GPUs.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.is_per_gpu() && !self.is_per_instance()
    }

    /// What a program opens it for, as permission bits: a capability is opened for reading, and then only shown to the
    /// driver.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        if self.is_per_instance() { 0o4 } else { 0o6 }
    }

    /// The host path for the GPU or instance with this minor number; shared rows ignore the number.
    #[must_use]
    pub fn path_for(&self, minor: u32) -> PathBuf {
        PathBuf::from(self.path.replace('#', &minor.to_string()))
    }
}

/// Every node that compute and utility need, shared ones first, in the order of plans and listings.
///
/// Left out on purpose: `nvidia-modeset` and `/dev/dri` (display, graphics), `nvidia-nvswitch*` and `nvidia-nvlink`
/// (fabric manager). Of `nvidia-caps`, all but the instances that exist: `nvidia-cap1` makes and removes instances,
/// `nvidia-cap2` watches those of everybody.
pub const ROWS: &[Row] = &[
    Row {
        vendor: Vendor::Nvidia,
        path: "/dev/nvidiactl",
        number: Number::Fixed { major: 195, minor: 255 },
        needed_for: "driver control",
        class: Class::Utility,
        required: true,
        source: "open-gpu-kernel-modules, nv-chardev-numbers.h: the control device is minor 255 of major 195",
    },
    Row {
        vendor: Vendor::Nvidia,
        path: "/dev/nvidia-uvm",
        number: Number::Registered { name: "nvidia-uvm", minor: 0 },
        needed_for: "CUDA unified memory",
        class: Class::Compute,
        required: true,
        source: "open-gpu-kernel-modules, uvm.c: dynamic region, minor 0; nvidia-modprobe looks the major up by name",
    },
    Row {
        vendor: Vendor::Nvidia,
        path: "/dev/nvidia-uvm-tools",
        number: Number::Registered { name: "nvidia-uvm", minor: 1 },
        needed_for: "CUDA profiling events",
        class: Class::Compute,
        // libcuda opens it at start-up and goes on when it is absent, but not when it is denied.
        required: false,
        source: "open-gpu-kernel-modules, uvm.c: minor 1 of the same region; libcuda tolerates its absence",
    },
    Row {
        vendor: Vendor::Nvidia,
        path: "/dev/nvidia#",
        number: Number::PerGpu { major: 195 },
        needed_for: "memory and kernels of this GPU",
        class: Class::Utility,
        required: true,
        source: "open-gpu-kernel-modules, nv-chardev-numbers.h: regular minors 0 to 247 of major 195",
    },
    Row {
        vendor: Vendor::Nvidia,
        path: "/dev/nvidia-caps/nvidia-cap#",
        number: Number::PerInstance { name: "nvidia-caps" },
        needed_for: "an instance of a GPU in MIG mode",
        class: Class::Compute,
        // Of an instance that exists. A slot without one has no node.
        required: true,
        source: "open-gpu-kernel-modules, nv-caps.c: dynamic region; minors in /proc/driver/nvidia-caps/mig-minors",
    },
    Row {
        vendor: Vendor::Wsl,
        path: "/dev/dxg",
        number: Number::Misc { name: "dxg" },
        needed_for: "all GPUs of the Windows host",
        class: Class::Utility,
        required: true,
        source: "WSL2 kernel, drivers/hv/dxgkrnl: a misc device with a dynamic minor",
    },
];

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
];

/// Where a machine without a GPU was searched, for errors and listings.
#[must_use]
pub fn looked_for(root: &Path) -> String {
    // The NVIDIA driver is found by its files in /proc; WSL2 has none, so there the node itself is looked for.
    let dxg = ROWS.iter().find(|row| row.vendor == Vendor::Wsl).map_or("", |row| row.path);
    format!("`/proc/driver/nvidia/gpus`, `{dxg}` and PCI display devices of vendor 10de below `{}`", root.display())
}
