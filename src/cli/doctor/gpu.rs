//! GPUs as checks. A machine without one is in good health.

use super::checks::{Check, Verdict, degraded, ok};
use crate::host::gpu::{Gpus, UnheldReason};
use crate::plan::gpu::{Asked, GpuError, grants};
use crate::policy::gpu::{Classes, GpuWish};
use crate::request::{Origin, Said};

/// The driver, and what stands between a command and every GPU there is.
pub fn checks(gpus: &Gpus) -> Vec<Check> {
    vec![Check::new("gpu driver", "GPU programs", driver(gpus)), Check::new("gpu nodes", "GPU programs", nodes(gpus))]
}

fn driver(gpus: &Gpus) -> Verdict {
    match &gpus.driver {
        Some(driver) => {
            let version = driver.version.as_deref().unwrap_or("of unknown version");
            let flavour = if driver.open { "open" } else { "proprietary" };
            // No verdict on the version is built in: it would be wrong within weeks.
            ok(format!("NVIDIA {version}, {flavour} kernel module"))
        }
        None if gpus.wsl.is_some() => ok("the driver of the Windows host"),
        None if !gpus.gpus.is_empty() => {
            let mut vendors: Vec<_> = gpus.gpus.iter().map(|gpu| gpu.vendor.word()).collect();
            vendors.dedup();
            ok(format!("the kernel's own: {}", vendors.join(", ")))
        }
        None if gpus.unheld.iter().any(|gpu| gpu.reason == UnheldReason::NotLoaded) => {
            degraded("a GPU is there, its driver is not loaded", "sudo nvidia-modprobe")
        }
        None => ok("none found"),
    }
}

/// What `--gpu all` would say here.
fn nodes(gpus: &Gpus) -> Verdict {
    let held = |reason: &UnheldReason| matches!(reason, UnheldReason::HeldBy(_));
    if gpus.gpus.is_empty() && gpus.wsl.is_none() && gpus.unheld.iter().all(|gpu| held(&gpu.reason)) {
        // A GPU that another driver holds was given to it on purpose.
        let others: String = gpus.unheld.iter().map(|gpu| format!("; {gpu}")).collect();
        return ok(format!("none found{others}"));
    }
    let wish = Said::new(GpuWish::All, Origin::Flag("--gpu"));
    let classes = Said::new(Classes::default(), Origin::Flag("--gpu"));
    match grants(Asked { wish: &wish, classes: &classes, gpus, env: &[] }) {
        Ok(plan) => {
            let nodes: Vec<_> = plan.devices.iter().map(|device| device.path.display().to_string()).collect();
            ok(nodes.join(" "))
        }
        Err(errors) => {
            let found: Vec<_> = errors.iter().map(GpuError::headline).collect();
            let cure = errors.iter().find_map(GpuError::hint).map(|hint| command_in(&hint));
            let Verdict { state, .. } = degraded("", "");
            Verdict { state, found: found.join("; "), cure }
        }
    }
}

/// The command in backquotes, of a hint that says in words what it does.
fn command_in(hint: &str) -> String {
    hint.split('`').nth(1).unwrap_or(hint).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::gpu::{CallerIds, Look, NodeFact, NodeLookup, probe};
    use crate::host::paths::Kind;

    /// The `nodes` file of a fixture: `c <major> <minor> <path> <mode>`.
    struct Nodes(String);

    impl NodeLookup for Nodes {
        fn node(&self, path: &Path) -> Option<NodeFact> {
            let line = self.0.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let line = line.into_iter().find(|words| words[0] == "c" && Path::new(words[3]) == path)?;
            let kind = Kind::Char { major: line[1].parse().unwrap(), minor: line[2].parse().unwrap() };
            Some(NodeFact {
                kind,
                uid: 0,
                gid: if line.len() > 5 { 1000 } else { 0 },
                mode: u32::from_str_radix(line[4], 8).unwrap(),
                id: None,
            })
        }
    }

    fn check(host: &str, want: [&str; 2]) {
        let root = Path::new("tests/hosts").join(host);
        let nodes = Nodes(std::fs::read_to_string(root.join("nodes")).unwrap_or_default());
        let caller = CallerIds { uid: 1000, gid: 1000, groups: Vec::new() };
        let look = Look { wish: &GpuWish::All, classes: &Classes::default(), all: false };
        let checks = checks(&probe(&root, &nodes, &caller, &look));
        let lines: Vec<_> = checks
            .iter()
            .map(|check| format!("{:?}: {} | {}", check.state, check.found, check.cure.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(lines, want, "{host}");
    }

    #[test]
    fn machines_with_and_without_gpus() {
        check("no-gpu", ["Ok: none found | -", "Ok: none found | -"]);
        let nodes = "Ok: /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia-uvm-tools /dev/nvidia1 /dev/nvidia0 | -";
        check("two-gpus", ["Ok: NVIDIA 595.45.04, open kernel module | -", nodes]);
        let uvm = "Degraded: GPU 0 cannot be used: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is \
                   not loaded | sudo nvidia-modprobe -u -c 0";
        check("no-uvm", ["Ok: NVIDIA 580.95.05, open kernel module | -", uvm]);
        let unloaded = "Degraded: no GPU found; 0000:01:00.0 (10de:2684): the NVIDIA kernel module is not loaded; \
                        0000:41:00.0 (10de:2204): the driver `vfio-pci` holds it | sudo nvidia-modprobe";
        let driver = "Degraded: a GPU is there, its driver is not loaded | sudo nvidia-modprobe";
        check("module-not-loaded", [driver, unloaded]);
        let mig = "Ok: /dev/nvidiactl /dev/nvidia-uvm /dev/nvidia-uvm-tools /dev/nvidia0 /dev/nvidia-caps/nvidia-cap12 \
                   /dev/nvidia-caps/nvidia-cap13 /dev/nvidia-caps/nvidia-cap48 /dev/nvidia-caps/nvidia-cap49 \
                   /dev/nvidia-caps/nvidia-cap50 /dev/nvidia1 | -";
        check("mig", ["Ok: NVIDIA 570.211.01, open kernel module | -", mig]);
        check("intel", ["Ok: the kernel's own: intel | -", "Ok: /dev/dri/renderD128 /dev/dri/renderD129 | -"]);
        check("wsl2", ["Ok: the driver of the Windows host | -", "Ok: /dev/dxg | -"]);
    }
}
