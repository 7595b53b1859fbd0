//! What is looked at before a command starts for which a GPU was asked for: whether its nodes open, as far as that can be
//! tried without waking a GPU, and whether the driver's parts belong together.

use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::check::{self, Node, PATIENCE, State};
use super::driver;
use crate::cli::report::{Problem, note};
use crate::plan::Plan;
use crate::policy::Policy;

/// Nothing, where no GPU was asked for by somebody's own word. Warnings are told here.
///
/// # Errors
/// Nodes that cannot be opened although their mode would allow it: a device cgroup or another guard denies them, and the
/// command would find out much later.
pub fn before_start(policy: &Policy, plan: &Plan) -> Result<(), Vec<Problem>> {
    if !policy.gpu.by.is_explicit() || !policy.gpu.value.is_demand() {
        return Ok(());
    }
    let nodes: Vec<_> = check::nodes(plan).filter(|(_, node)| !wakes(node.path)).collect();
    // One process for all; only where something is wrong, one for each.
    if is_denied(&|| nodes.iter().try_for_each(|(_, node)| open(*node))) {
        let denied = nodes.iter().filter(|(_, node)| is_denied(&|| open(*node)));
        let problems = denied.map(|(op, node)| {
            let what = format!("`{}` cannot be opened, although its mode allows it", node.path.display());
            Problem::new(format!("{what}\n  needed by: {}", op.because), Some(check::cure(node.path, Errno::PERM)))
        });
        return Err(problems.collect());
    }
    let granted: Vec<_> = nodes.iter().map(|(op, _)| op.target.as_path()).collect();
    let checks = driver::checks(Path::new("/"), &policy.gpu_class.value, &granted);
    for warning in checks.iter().filter(|check| check.state == State::Warning) {
        note(&format!("{}; {}", warning.found, warning.cure.as_deref().unwrap_or_default()));
    }
    Ok(())
}

/// The first open of NVIDIA's node of a GPU starts the GPU, which takes seconds; nobody else's does.
fn wakes(path: &Path) -> bool {
    let number = path.to_str().and_then(|path| path.strip_prefix("/dev/nvidia"));
    number.is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

fn open(node: Node<'_>) -> Result<(), Errno> {
    match rustix::fs::open(node.path, node.flags(), Mode::empty()) {
        Err(error @ (Errno::PERM | Errno::ACCESS)) => Err(error),
        // Without a driver behind it, or busy: the command hears of that itself.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Tries in a process that ends at once: ours never holds a node.
fn is_denied(open: &dyn Fn() -> Result<(), Errno>) -> bool {
    crate::sys::process::try_for(PATIENCE, open).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_of_gpus_of_nvidia_wake_them() {
        for (path, want) in [
            ("/dev/nvidia0", true),
            ("/dev/nvidia31", true),
            ("/dev/nvidiactl", false),
            ("/dev/nvidia-uvm", false),
            ("/dev/nvidia-caps/nvidia-cap12", false),
            ("/dev/dri/renderD128", false),
            ("/dev/kfd", false),
        ] {
            assert_eq!(wakes(Path::new(path)), want, "{path}");
        }
    }
}
