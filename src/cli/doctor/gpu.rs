//! GPUs as checks. A machine without one is in good health.

use super::checks::{Check, Verdict, degraded, ok};
use crate::host::gpu::{Gpus, UnheldReason};
use crate::plan::gpu::{GpuError, grants};
use crate::policy::gpu::GpuWish;
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
    match grants(&wish, false, gpus) {
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
