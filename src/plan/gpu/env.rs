//! What a GPU grant changes in the environment.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

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
    /// The name of the directory that it is moved to.
    pub dir: &'static str,
    /// Whether the library makes that directory: one that does not is moved only to where it is made for it.
    pub makes_it: bool,
    /// Whose it is, and where it is by default.
    pub what: &'static str,
    /// Where that is said.
    pub source: &'static str,
}

impl CacheRow {
    const fn new(variable: &'static str, dir: &'static str, what: &'static str, source: &'static str) -> Self {
        Self { variable, dir, makes_it: true, what, source }
    }

    /// Of a library that goes without a cache where the directory is missing.
    const fn of_existing(self) -> Self {
        Self { makes_it: false, ..self }
    }
}

/// Caches of compiled GPU code that lie in the home directory by default. Left out are those that a variable would switch
/// on and not only move (`JAX_COMPILATION_CACHE_DIR`): whether code is kept at all is the program's choice.
pub const CACHES: &[CacheRow] = &[
    CacheRow::new(
        "CUDA_CACHE_PATH",
        "cuda-cache",
        "CUDA's PTX compiler, ~/.nv/ComputeCache",
        "CUDA programming guide, environment variables",
    ),
    CacheRow::new(
        "TRITON_CACHE_DIR",
        "triton-cache",
        "Triton, ~/.triton/cache",
        "triton-lang/triton, python/triton/knobs.py",
    ),
    CacheRow::new(
        "TORCHINDUCTOR_CACHE_DIR",
        "torchinductor-cache",
        "torch.compile, a directory named after the user in $TMPDIR",
        "PyTorch, compile-time caching configuration",
    ),
    CacheRow::new(
        "TORCH_EXTENSIONS_DIR",
        "torch-extensions",
        "C++ and CUDA extensions that PyTorch builds, ~/.cache/torch_extensions",
        "PyTorch, torch.utils.cpp_extension",
    ),
    CacheRow::new(
        "PYTORCH_KERNEL_CACHE_PATH",
        "torch-kernels",
        "PyTorch's runtime-compiled kernels, ~/.cache/torch/kernels",
        "PyTorch, CUDA environment variables",
    ),
    CacheRow::new("CUPY_CACHE_DIR", "cupy-cache", "CuPy, ~/.cupy/kernel_cache", "CuPy, environment variables"),
    CacheRow::new(
        "NUMBA_CACHE_DIR",
        "numba-cache",
        "Numba, __pycache__ beside the source, else ~/.cache/numba",
        "Numba, environment variables",
    ),
    CacheRow::new(
        "AMD_COMGR_CACHE_DIR",
        "comgr-cache",
        "AMD's code object manager, ~/.cache/comgr",
        "ROCm/llvm-project, amd/comgr/README.md and src/comgr-env.h",
    ),
    CacheRow::new(
        "MIOPEN_CUSTOM_CACHE_DIR",
        "miopen-cache",
        "MIOpen's kernels, ~/.cache/miopen",
        "ROCm/MIOpen, src/binary_cache.cpp",
    ),
    CacheRow::new(
        "MIOPEN_USER_DB_PATH",
        "miopen-db",
        "MIOpen's choices of kernels, ~/.config/miopen",
        "ROCm/MIOpen, src/db_path.cpp.in",
    ),
    CacheRow::new(
        "NEO_CACHE_DIR",
        "neo-cache",
        "Intel's compute runtime, ~/.cache/neo_compiler_cache",
        "intel/compute-runtime, shared/source/compiler_interface/default_cache_config.cpp",
    )
    .of_existing(),
    CacheRow::new(
        "SYCL_CACHE_DIR",
        "sycl-cache",
        "SYCL, where SYCL_CACHE_PERSISTENT keeps anything, ~/.cache/libsycl_cache",
        "intel/llvm, sycl/doc/EnvironmentVariables.md",
    ),
    CacheRow::new(
        "MESA_SHADER_CACHE_DIR",
        "mesa-cache",
        "Mesa's shaders, ~/.cache/mesa_shader_cache",
        "Mesa, docs/envvars.rst",
    ),
    CacheRow::new(
        "__GL_SHADER_DISK_CACHE_PATH",
        "gl-cache",
        "NVIDIA's OpenGL and Vulkan shaders, ~/.cache/nvidia, once ~/.nv",
        "NVIDIA driver README, OpenGL environment variables; DRIVE OS, Automatic Shader Cache",
    )
    .of_existing(),
];

/// Cache variables to set when a GPU is granted and the home directory cannot be written; those that `has` knows stay.
/// `kept` is a directory that has all of [`CACHES`] in it; without one they go to `/tmp`.
///
/// Compiled GPU code is code: neither may be a directory that somebody else can write. In a `/tmp` shared with other
/// users, anyone could have put kernels at these names.
#[must_use]
pub fn jit_cache_env(kept: Option<&Path>, has: &dyn Fn(&str) -> bool) -> Vec<(&'static str, PathBuf)> {
    // Directly below /tmp: not all of these libraries make parents.
    let (directory, made) = kept.map_or((Path::new("/tmp"), false), |kept| (kept, true));
    let rows = CACHES.iter().filter(|row| !has(row.variable) && (made || row.makes_it));
    rows.map(|row| (row.variable, directory.join(row.dir))).collect()
}
