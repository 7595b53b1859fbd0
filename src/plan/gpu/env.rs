//! What a GPU grant changes in the environment.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use crate::host::gpu::Vendor;

/// A variable of the caller's environment that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvChange {
    /// Its name.
    pub name: OsString,
    /// What it becomes; `None`: it is taken out.
    pub value: Option<OsString>,
    /// Why, as one line for the plan.
    pub note: String,
}

/// Variables that choose GPUs by host index or UUID, and whose.
pub const VISIBILITY: &[(&str, &[Vendor])] = &[
    // HIP takes CUDA's too.
    ("CUDA_VISIBLE_DEVICES", &[Vendor::Nvidia, Vendor::Amd]),
    ("NVIDIA_VISIBLE_DEVICES", &[Vendor::Nvidia]),
    ("HIP_VISIBLE_DEVICES", &[Vendor::Amd]),
    ("ROCR_VISIBLE_DEVICES", &[Vendor::Amd]),
    ("GPU_DEVICE_ORDINAL", &[Vendor::Amd]),
    ("ZE_AFFINITY_MASK", &[Vendor::Intel]),
    ("HABANA_VISIBLE_DEVICES", &[Vendor::Gaudi]),
    ("HABANA_VISIBLE_MODULES", &[Vendor::Gaudi]),
    ("NEURON_RT_VISIBLE_CORES", &[Vendor::Neuron]),
    ("TPU_VISIBLE_DEVICES", &[Vendor::Tpu]),
    ("TPU_VISIBLE_CHIPS", &[Vendor::Tpu]),
];

/// The text of a variable.
pub(super) fn value(env: &[(OsString, OsString)], name: &str) -> Option<String> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_string_lossy().into_owned())
}

/// Which variables must go when only some GPUs of these vendors are granted.
///
/// Indices count what a process sees: those of the host name other GPUs inside, or none, and the list ends at the
/// first that does not exist. UUIDs stay true; an empty list and one that begins with `-1` mean "no GPU" and stay.
#[must_use]
pub fn env_changes(env: &[(OsString, OsString)], subset: &BTreeSet<Vendor>) -> Vec<EnvChange> {
    let is_theirs = |name: &OsString| {
        let row = VISIBILITY.iter().find(|(known, _)| name == OsStr::new(known));
        row.is_some_and(|(_, vendors)| vendors.iter().any(|vendor| subset.contains(vendor)))
    };
    let concerned = |(name, value): &&(OsString, OsString)| is_theirs(name) && holds_indices(&value.to_string_lossy());
    let change = |(name, value): &(OsString, OsString)| EnvChange {
        name: name.clone(),
        value: None,
        note: format!(
            "{}={} is taken out: host indices mean other GPUs where only some are granted",
            name.to_string_lossy(),
            value.to_string_lossy()
        ),
    };
    env.iter().filter(concerned).map(change).collect()
}

/// Whether any item of a list is a number, or numbers joined as in `0.1` (tiles) and `0:1` (MIG devices).
fn holds_indices(value: &str) -> bool {
    let items: Vec<_> = value.split(',').map(str::trim).collect();
    let is_index = |item: &&str| {
        item.starts_with(|c: char| c.is_ascii_digit()) && item.chars().all(|c| c.is_ascii_digit() || ".:".contains(c))
    };
    let none = items.first().is_some_and(|first| first.starts_with('-'));
    !none && items.iter().any(is_index)
}

/// A directory in which a GPU library keeps compiled code.
#[derive(Debug, PartialEq, Eq)]
pub struct CacheRow {
    /// The variable that moves it.
    pub variable: &'static str,
    /// Where it is moved: directly below `/tmp`, because not all of these libraries make parents.
    pub dir: &'static str,
    /// Whose it is, and where it is by default.
    pub what: &'static str,
}

/// Caches of compiled GPU code that lie in the home directory by default.
pub const CACHES: &[CacheRow] = &[
    CacheRow { variable: "CUDA_CACHE_PATH", dir: "/tmp/cuda-cache", what: "CUDA's PTX compiler, ~/.nv/ComputeCache" },
    CacheRow { variable: "TRITON_CACHE_DIR", dir: "/tmp/triton-cache", what: "Triton, ~/.triton/cache" },
    CacheRow {
        variable: "TORCHINDUCTOR_CACHE_DIR",
        dir: "/tmp/torchinductor-cache",
        what: "torch.compile, a directory named after the user in $TMPDIR",
    },
    CacheRow {
        variable: "TORCH_EXTENSIONS_DIR",
        dir: "/tmp/torch-extensions",
        what: "C++ and CUDA extensions that PyTorch builds, ~/.cache/torch_extensions",
    },
    CacheRow {
        variable: "PYTORCH_KERNEL_CACHE_PATH",
        dir: "/tmp/torch-kernels",
        what: "PyTorch's runtime-compiled kernels, ~/.cache/torch/kernels",
    },
    CacheRow { variable: "CUPY_CACHE_DIR", dir: "/tmp/cupy-cache", what: "CuPy, ~/.cupy/kernel_cache" },
    CacheRow {
        variable: "NUMBA_CACHE_DIR",
        dir: "/tmp/numba-cache",
        what: "Numba, __pycache__ beside the source, else ~/.cache/numba",
    },
];

/// Cache variables to set when a GPU is granted and the home directory cannot be written; those that `has` knows stay.
///
/// Compiled GPU code is code: this is meant for a private `/tmp`. In a `/tmp` shared with other users, anyone could
/// have put kernels at these names.
#[must_use]
pub fn jit_cache_env(has: &dyn Fn(&str) -> bool) -> Vec<(&'static str, String)> {
    CACHES.iter().filter(|row| !has(row.variable)).map(|row| (row.variable, row.dir.to_owned())).collect()
}
