//! Checks about NVIDIA's driver as a whole: unified memory, and whether library and kernel module belong together.

use std::path::Path;

use super::check::{Check, State};
use crate::host::gpu::libraries::{self, Library};
use crate::policy::gpu::{Class, Classes};

/// What is said of the driver whose nodes are granted; nothing where no program is to run on a GPU.
pub(super) fn checks(root: &Path, classes: &Classes, granted: &[&Path]) -> Vec<Check> {
    let nvidia = granted.iter().any(|path| path.to_string_lossy().starts_with("/dev/nvidia"));
    if !nvidia || !classes.has(Class::Compute) {
        return Vec::new();
    }
    let module = read(root, "sys/module/nvidia/version").map(|text| text.trim().to_owned());
    let found = libraries::find(root, &["libcuda.so.1"]);
    let devices = read(root, "proc/devices").unwrap_or_default();
    vec![uvm(&devices), versions(module.as_deref(), &found)]
}

fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

fn uvm(devices: &str) -> Check {
    let name = |line: &str| line.trim_start().split_once(' ').is_some_and(|(_, name)| name == "nvidia-uvm");
    if devices.lines().any(name) {
        return Check::ok("nvidia-uvm", "loaded");
    }
    let cure =
        "sudo nvidia-modprobe -u -c 0; to load it at each start: a line nvidia-uvm in /etc/modules-load.d/nvidia.conf";
    Check::bad(State::Error, "nvidia-uvm", "not in /proc/devices: its kernel module is not loaded", cure)
}

/// A forward-compatible library may be newer on purpose, so this is no error.
fn versions(module: Option<&str>, found: &[Library]) -> Check {
    let name = "driver versions";
    let newest = found.iter().filter_map(|library| library.version.as_deref().map(|version| (version, library)));
    let newest = newest.max_by_key(|(version, _)| libraries::numbers(version));
    match (module, newest) {
        (_, None) if found.is_empty() => Check::bad(
            State::Warning,
            name,
            "no libcuda.so.1 is in the dynamic loader's cache or beside it",
            "install the driver's libraries (Debian: libcuda1; Ubuntu: libnvidia-compute), or sudo ldconfig",
        ),
        (Some(module), Some((version, library))) if module != version => Check::bad(
            State::Warning,
            name,
            format!("{} is {version}, the kernel module {module}", library.real.display()),
            "cuInit may answer 803 or 804: reboot after an update of the driver, unless the library is for forward compatibility",
        ),
        (Some(module), Some(_)) => Check::ok(name, format!("library and kernel module are {module}")),
        (module, _) => {
            Check::ok(name, format!("not compared: kernel module {}", module.unwrap_or("of unknown version")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(version: &str) -> Library {
        let path = format!("/usr/lib/libcuda.so.{version}");
        let version = version.contains('.').then(|| version.to_owned());
        Library { name: "libcuda.so.1".into(), path: path.clone().into(), real: path.into(), version }
    }

    #[test]
    fn the_newest_library_is_compared_with_the_module() {
        let table: &[(Option<&str>, &[&str], State)] = &[
            (Some("595.45.04"), &["595.45.04"], State::Ok),
            (Some("570.9"), &["570.9", "570.86"], State::Warning),
            (Some("570.86"), &["570.9", "570.86"], State::Ok),
            (Some("570.86"), &[], State::Warning),
            (None, &["570.9"], State::Ok),
            (Some("570.9"), &["1"], State::Ok),
        ];
        for (module, found, want) in table {
            let found: Vec<_> = found.iter().map(|version| library(version)).collect();
            let check = versions(*module, &found);
            assert_eq!(check.state, *want, "{check:?}");
            assert_eq!(check.cure.is_some(), *want != State::Ok);
        }
    }

    #[test]
    fn fixture_machines_say_whether_unified_memory_is_there() {
        let granted = [Path::new("/dev/nvidiactl")];
        let compute = Classes::default();
        let state = |host: &str| checks(&Path::new("tests/hosts").join(host), &compute, &granted)[0].state;
        assert_eq!(state("two-gpus"), State::Ok);
        assert_eq!(state("no-uvm"), State::Error);
        assert_eq!(checks(Path::new("tests/hosts/two-gpus"), &compute, &[Path::new("/dev/kfd")]), []);
        let utility = "utility".parse().unwrap();
        assert_eq!(checks(Path::new("tests/hosts/no-uvm"), &utility, &granted), [], "nvidia-smi needs none of it");
    }
}
