//! The one table of what a sandbox needs besides its policy. The planner, `ringfence plan` and the tests read it; a row
//! counts only where its path exists. Device nodes of GPUs are rows of `host/gpu/rows.rs`.

use crate::policy::paths::Access;

/// When a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In policies that bring their own view: ours and Codex's.
    OwnView,
    /// Where the policy is complete and has a network, or `--baseline core` was said.
    Core,
    /// As [`When::Core`], for policies that the system supplied.
    CoreOfSystem,
    /// With a GPU.
    Gpu,
    /// With a GPU, where the root is narrowed.
    GpuInNarrowRoot,
}

/// Who asks for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Every process.
    Core,
    /// A GPU.
    Gpu,
}

/// A path that is added to a policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Host path.
    pub path: &'static str,
    /// The level.
    pub want: Access,
    /// When it counts.
    pub when: When,
    /// Who needs it, and what for.
    pub needed_for: &'static str,
    /// What fails with less.
    pub consequence: &'static str,
    /// Whether a GPU is of no use without it.
    pub required: bool,
    /// Where this is written down.
    pub source: &'static str,
}

impl Row {
    /// Who asks.
    #[must_use]
    pub fn group(&self) -> Group {
        match self.when {
            When::OwnView | When::Core | When::CoreOfSystem => Group::Core,
            When::Gpu | When::GpuInNarrowRoot => Group::Gpu,
        }
    }
}

/// What cuInit answers when it cannot name its threads.
pub const ERROR_304: &str = "cuInit fails with error 304: CUDA names its threads in /proc/PID/task/TID/comm";

/// What cuInit answers when a node of the driver cannot be used.
pub const ERROR_NO_DEVICE: &str = "cuInit fails, with error 100 or 999: it cannot use this node";

const OPENSHELL: &str = "OpenShell, baseline of its proxy mode";
const CUDA: &str = "NVIDIA/OpenShell pull request 1522; strace of cuInit";
const SYSFS: &str = "NCCL and libnuma read the topology from sysfs";

const fn core(path: &'static str, want: Access, when: When, needed_for: &'static str) -> Row {
    let consequence = "programs that need it fail to start";
    Row { path, want, when, needed_for, consequence, required: false, source: OPENSHELL }
}

const fn topology(path: &'static str) -> Row {
    Row {
        path,
        want: Access::Read,
        when: When::GpuInNarrowRoot,
        needed_for: "PCI and NUMA topology",
        consequence: "NCCL and NUMA detection degrade",
        required: false,
        source: SYSFS,
    }
}

const fn library(path: &'static str, needed_for: &'static str) -> Row {
    Row {
        path,
        want: Access::Read,
        when: When::GpuInNarrowRoot,
        needed_for,
        consequence: "the driver's libraries are not found",
        required: false,
        source: "ld.so(8)",
    }
}

/// Every row. Of several rows for one path each asks for itself, in this order.
pub const ROWS: &[Row] = &[
    Row {
        path: "/proc",
        want: Access::Modify,
        when: When::OwnView,
        needed_for: "programs name their threads and set their own parameters",
        consequence: "threads have no names, and CUDA does not start",
        required: false,
        source: "pthread_setname_np(3)",
    },
    core("/usr", Access::Read, When::Core, "programs and libraries"),
    core("/lib", Access::Read, When::Core, "libraries"),
    core("/lib64", Access::Read, When::Core, "the dynamic loader"),
    core("/bin", Access::Read, When::Core, "programs"),
    core("/sbin", Access::Read, When::Core, "programs"),
    core("/etc", Access::Read, When::Core, "configuration of programs, certificates"),
    core("/proc", Access::Read, When::Core, "a view of the processes"),
    core("/tmp", Access::Write, When::Core, "temporary files"),
    core("/app", Access::Read, When::CoreOfSystem, "the application of an image"),
    core("/var/log", Access::Read, When::CoreOfSystem, "logs of an image"),
    Row {
        path: "/proc",
        want: Access::Modify,
        when: When::Gpu,
        needed_for: "CUDA names its threads",
        consequence: ERROR_304,
        required: true,
        source: CUDA,
    },
    Row {
        path: "/dev/shm",
        want: Access::Write,
        when: When::Gpu,
        needed_for: "NCCL and data loaders share memory",
        consequence: "NCCL and data loaders fail",
        required: false,
        source: "NCCL makes /dev/shm/nccl-*, PyTorch's data loaders /dev/shm/torch_*",
    },
    library("/etc/ld.so.cache", "the loader finds the driver's libraries by it"),
    library("/etc/ld.so.conf", "library directories"),
    library("/etc/ld.so.conf.d", "library directories"),
    library("/etc/nvidia", "application profiles"),
    library("/etc/vulkan", "Vulkan drivers"),
    library("/etc/OpenCL", "OpenCL drivers"),
    library("/usr/lib", "driver libraries"),
    library("/usr/lib64", "driver libraries"),
    library("/usr/share/nvidia", "application profiles"),
    topology("/sys/devices"),
    topology("/sys/bus/pci"),
    topology("/sys/class/pci_bus"),
    topology("/sys/class/net"),
    topology("/sys/class/infiniband"),
    topology("/sys/module/nvidia"),
    topology("/sys/module/nvidia_uvm"),
    topology("/sys/kernel/mm"),
];
