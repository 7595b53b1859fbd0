//! What is looked at before a command starts for which a GPU was asked for: whether its nodes open, as far as that can be
//! tried without waking a GPU, and whether the driver's parts belong together.

use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::check::{self, Node, PATIENCE, State};
use super::driver;
use crate::cli::report::{Problem, note};
use crate::cli::run::progress;
use crate::plan::Plan;
use crate::plan::mounts::MountOp;
use crate::policy::Policy;
use crate::request::Origin;

/// Nothing, where no GPU was asked for by somebody's own word. Warnings are told here.
///
/// # Errors
/// Nodes that cannot be opened although their mode would allow it: a device cgroup or another guard denies them, or the
/// driver does not answer, and the command would find out much later.
pub fn before_start(policy: &Policy, plan: &Plan) -> Result<(), Vec<Problem>> {
    if !policy.gpu.by.is_explicit() || !policy.gpu.value.is_demand() {
        return Ok(());
    }
    let nodes: Vec<_> = check::nodes(plan).filter(|(op, node)| is_of_gpu(op) && !wakes(node.path)).collect();
    // One process for all; only where something is wrong, one for each.
    if refusal(&|| nodes.iter().try_for_each(|(_, node)| open(*node))).is_some() {
        let problem = |(op, node): &(&MountOp, Node<'_>)| Some(refused(op, node.path, refusal(&|| open(*node))?));
        return Err(nodes.iter().filter_map(problem).collect());
    }
    let granted: Vec<_> = nodes.iter().map(|(op, _)| op.target.as_path()).collect();
    let checks = driver::checks(Path::new("/"), &policy.gpu_class.value, &granted);
    for warning in checks.iter().filter(|check| check.state == State::Warning) {
        note(&format!("{}; {}", warning.found, warning.cure.as_deref().unwrap_or_default()));
    }
    Ok(())
}

/// What `--device` names is not tried: an open can mean something to it, as to a watchdog or a tape.
pub(super) fn is_of_gpu(op: &MountOp) -> bool {
    matches!(op.because, Origin::Gpu(_))
}

fn refused(op: &MountOp, path: &Path, error: Errno) -> Problem {
    let what = format!("`{}` cannot be opened, although its mode allows it: {error}", path.display());
    // The mode is not to blame, so the cure is that of a guard.
    let error = if error == Errno::ACCESS { Errno::PERM } else { error };
    Problem::new(format!("{what}\n  needed by: {}", op.because), Some(check::cure(path, error)))
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

/// Why it fails, tried in a process that ends at once: ours never holds a node.
fn refusal(open: &dyn Fn() -> Result<(), Errno>) -> Option<Errno> {
    let tell: &dyn Fn() = &|| progress::show("opening the GPUs");
    let error = crate::sys::process::try_telling(PATIENCE, (progress::QUICK, tell), open).err()?;
    Some(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mounts::Mount;

    fn op(because: Origin) -> MountOp {
        let what = Mount::Device { source: None, major: 511, minor: 0, read_only: false };
        MountOp { target: "/dev/nvidia-uvm".into(), what, because }
    }

    #[test]
    fn only_what_a_gpu_brings_is_opened() {
        assert!(is_of_gpu(&op(Origin::Gpu("gpu 0".to_owned()))));
        assert!(!is_of_gpu(&op(Origin::Flag("--device"))));
    }

    #[test]
    fn a_refusal_has_its_errno_and_the_cure_of_it() {
        let text = |error| {
            let problem = refused(&op(Origin::Gpu("gpu 0".to_owned())), Path::new("/dev/nvidia-uvm"), error);
            format!("{} {}", problem.what, problem.hint.unwrap_or_default())
        };
        assert!(text(Errno::PERM).contains("Operation not permitted") && text(Errno::PERM).contains("cgroup"));
        assert!(text(Errno::ACCESS).contains("Permission denied") && text(Errno::ACCESS).contains("cgroup"));
        assert!(text(Errno::TIMEDOUT).contains("does not answer"));
        assert_eq!(refusal(&|| Err(Errno::ACCESS)), Some(Errno::ACCESS));
        assert_eq!(refusal(&|| Ok(())), None);
    }

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
