//! Steps of libcuda and libnvidia-ml: the driver's files in `/proc`, its nodes.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::Task;
use super::finding::{Finding, errno, name};
use super::nodes::{node, range};
use super::process::read;

const UVM: &str = "/dev/nvidia-uvm";
const CAPABILITIES: &str = "/dev/nvidia-caps";
/// Nodes with this number for a major are the driver's.
const DEVICES: &str = "/proc/devices";

/// The major that the driver has registered for unified memory.
fn uvm_major(devices: &str) -> Option<u32> {
    let mut lines = devices.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (number, name) = line.trim_start().split_once(' ')?;
        (name == "nvidia-uvm").then(|| number.parse().ok())?
    })
}

/// Step 3.
pub(super) fn devices(task: &Task) -> Finding {
    let modules = match read("/proc/modules") {
        // A kernel without modules has no such file.
        Ok(_) | Err(Errno::NOENT) => Finding::ok("ok"),
        Err(error) => Finding::wrong(name(error), "`/proc/modules` cannot be read"),
    };
    let devices = match read(DEVICES) {
        Ok(text) if uvm_major(&text).is_some() => Finding::ok("ok"),
        Ok(_) if task.grants(Path::new(UVM)) => {
            Finding::wrong("no nvidia-uvm", "nvidia-uvm is not loaded: sudo nvidia-modprobe -u -c 0")
        }
        Ok(_) => Finding::tolerated("no nvidia-uvm", "nvidia-uvm is not loaded, and its node is not granted"),
        Err(Errno::NOENT) => {
            Finding::wrong("ENOENT", "`/proc/devices` is absent: /proc is hidden or a procfs with subset=pid")
        }
        Err(error) => Finding::wrong(name(error), "`/proc/devices` cannot be read"),
    };
    Finding::worst([modules, devices])
}

/// Step 4.
pub(super) fn driver(_: &Task) -> Finding {
    Finding::worst(["/proc/driver/nvidia/params", "/proc/driver/nvidia/version"].map(|path| match read(path) {
        Ok(_) => Finding::ok("ok"),
        Err(Errno::NOENT) => {
            Finding::wrong("ENOENT", format!("`{path}` is absent: /proc is hidden, or the driver is not loaded"))
        }
        Err(error) => Finding::wrong(name(error), format!("`{path}` is denied: cuInit fails")),
    }))
}

/// Step 5.
pub(super) fn uvm_directory(_: &Task) -> Finding {
    match std::fs::read_dir("/proc/driver/nvidia-uvm").map_err(|error| errno(&error)) {
        Ok(_) => Finding::ok("ok"),
        Err(Errno::NOENT) => Finding::tolerated("ENOENT", "it exists only while nvidia-uvm is loaded"),
        Err(error) => Finding::wrong(name(error), "`/proc/driver/nvidia-uvm` is denied: cuInit fails"),
    }
}

/// Step 8.
pub(super) fn uvm_node(task: &Task) -> Finding {
    let granted = task.grants(Path::new(UVM));
    let found = match rustix::fs::stat(UVM) {
        Ok(found) => found,
        Err(Errno::NOENT) if !granted => {
            return Finding::tolerated("absent", "without it there is no CUDA, only nvidia-smi");
        }
        Err(error) => return Finding::wrong(name(error), format!("`{UVM}` is granted and cannot be looked at")),
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice {
        return Finding::wrong("no character device", format!("`{UVM}` is no device node"));
    }
    let (major, minor) = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    let number = format!("{major}:{minor}");
    match read(DEVICES).ok().as_deref().and_then(uvm_major) {
        Some(want) if (want, 0) == (major, minor) => Finding::ok(number),
        Some(want) => Finding::wrong(number, format!("`{UVM}` is stale: the driver's number is {want}:0")),
        None => Finding::wrong(number, "the driver of this node is not in /proc/devices"),
    }
}

/// Step 9.
pub(super) fn control(task: &Task) -> Finding {
    node(task, Path::new("/dev/nvidiactl"), OFlags::RDWR, true, task.nvidia())
}

/// Step 10: the second is for the memory manager.
pub(super) fn uvm(task: &Task) -> Finding {
    let look = || node(task, Path::new(UVM), OFlags::RDWR, true, task.nvidia());
    Finding::worst([look(), look()])
}

/// Step 11. libcuda goes on without it, and not when it is denied.
pub(super) fn uvm_tools(task: &Task) -> Finding {
    let path = Path::new("/dev/nvidia-uvm-tools");
    let found = node(task, path, OFlags::RDWR, false, task.nvidia());
    if found.outcome == "EACCES" {
        let meaning = "`/dev/nvidia-uvm-tools` is denied where it may be absent: cuInit answers 304";
        return Finding::matters(task.nvidia(), found.outcome, meaning);
    }
    found
}

/// Step 12.
pub(super) fn gpus(task: &Task) -> Finding {
    range(task, "/dev/nvidia", 0..32)
}

/// Step 13.
pub(super) fn capabilities(task: &Task) -> Finding {
    let granted: Vec<&PathBuf> = task.granted.iter().filter(|path| path.starts_with(CAPABILITIES)).collect();
    let opened = granted.iter().map(|path| node(task, path, OFlags::RDONLY, false, true));
    let listed = std::fs::read_dir(CAPABILITIES).map_err(|error| errno(&error));
    let closed = match &listed {
        Err(error @ (Errno::ACCESS | Errno::PERM)) => {
            let meaning = format!("`{CAPABILITIES}` cannot be listed: what else is in it is not known");
            Some(Finding::tolerated(format!("list: {}", name(*error)), meaning))
        }
        _ => None,
    };
    let entries = listed.into_iter().flatten().flatten().map(|entry| entry.path());
    let more =
        entries.filter(|path| !task.grants(path)).map(|path| node(task, &path, OFlags::RDONLY, false, task.nvidia()));
    let findings: Vec<_> = opened.chain(more).chain(closed).collect();
    if findings.is_empty() { Finding::ok("none") } else { Finding::worst(findings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_is_that_of_the_whole_name_among_characters() {
        let text = "Character devices:\n195 nvidia\n510 nvidia-uvm\n511 nvidia-uvm-x\n\nBlock devices:\n  7 loop\n";
        assert_eq!(uvm_major(text), Some(510));
        assert_eq!(uvm_major("Character devices:\n  1 mem\n\nBlock devices:\n  9 nvidia-uvm\n"), None);
        assert_eq!(uvm_major(""), None);
    }
}
