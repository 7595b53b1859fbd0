//! Steps about memory: addresses, memory files, shared memory, the cache of compiled kernels.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Task;
use super::finding::{Finding, errno, name};

/// Step 7.
pub(super) fn reserve(_: &Task) -> Finding {
    match crate::sys::memory::reserve(64 << 30) {
        Ok(()) => Finding::ok("ok"),
        Err(error) => Finding::wrong(
            name(errno(&error)),
            "addresses are limited (ulimit -v): GPU libraries reserve far more than there is memory",
        ),
    }
}

/// Step 14.
pub(super) fn memfd(_: &Task) -> Finding {
    let attempt = || {
        let file = rustix::fs::memfd_create("probe", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, 4096)?;
        crate::sys::memory::map_shared(file.as_fd(), 4096).map_err(|error| errno(&error))
    };
    match attempt() {
        Ok(()) => Finding::ok("ok"),
        Err(error) => Finding::wrong(name(error), "memory files are denied: cuInit answers 304"),
    }
}

/// Step 17: shared memory between processes.
pub(super) fn shared(task: &Task) -> Finding {
    let path = PathBuf::from(format!("/dev/shm/cuda.probe.{}", std::process::id()));
    let attempt = |path: &Path| {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
        let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 64 << 20);
        rustix::fs::unlink(path).and(allocated)
    };
    match attempt(&path) {
        Ok(()) => Finding::ok("ok"),
        Err(error @ (Errno::NOSPC | Errno::NOMEM)) => {
            Finding::matters(task.gpu(), name(error), "`/dev/shm` is too small: NCCL and data loaders need tens of MiB")
        }
        Err(error) => {
            Finding::tolerated(name(error), "there is no shared memory: CUDA IPC, NCCL and data loaders fail")
        }
    }
}

/// Where libcuda keeps the kernels that it has compiled.
fn cache_directory(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("CUDA_CACHE_PATH").or_else(|| variable("HOME").map(|home| home.join(".nv/ComputeCache")))
}

/// Step 17: the cache of compiled kernels.
pub(super) fn cache(task: &Task) -> Finding {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(directory) = cache_directory(&variable) else {
        return Finding::tolerated("no HOME", "kernels are compiled anew by each process");
    };
    let made = std::fs::create_dir_all(&directory).and_then(|()| {
        let path = directory.join(format!("ringfence-probe.{}", std::process::id()));
        std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)
    });
    match made {
        Ok(()) => Finding::ok("ok"),
        Err(error) => Finding::matters(
            task.nvidia(),
            name(errno(&error)),
            format!("nothing can be made in `{}`: kernels are compiled anew by each process", directory.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_home() {
        let of = |cache: Option<&str>, home: Option<&str>| {
            cache_directory(&|name| if name == "HOME" { home } else { cache }.map(PathBuf::from))
        };
        assert_eq!(of(Some("/c"), Some("/h")), Some("/c".into()));
        assert_eq!(of(None, Some("/h")), Some("/h/.nv/ComputeCache".into()));
        assert_eq!(of(None, None), None);
    }
}
