//! What a sandbox sees of the driver's own account of the machine: optional, because a mount inside `/proc` has its price.

use std::path::Path;

use crate::host::gpu::driver_files::{DriverFiles, GPUS, PARAMS};
use crate::host::gpu::{Gpu, Gpus, Vendor};
use crate::plan::DeviceGrant;
use crate::plan::mounts::{Mount, MountOp};
use crate::request::{Origin, Said};

/// The parameter that tells the driver's programs to make and change device nodes by themselves.
const MODIFIES: &str = "ModifyDeviceFiles";

/// Mounts that hide the directories of GPUs that are not among `granted`, and show parameters by which no program of the
/// driver tries to make device nodes; notes for the reader of the plan. `hide` is the user's word.
///
/// Nothing is mounted where there is nothing to hide. It is a matter of names: what keeps a GPU away is that it has no
/// node inside.
#[must_use]
pub fn without_others(
    hide: &Said<bool>,
    gpus: &Gpus,
    files: &DriverFiles,
    granted: &[DeviceGrant],
) -> (Vec<MountOp>, Vec<String>) {
    let by = &hide.by;
    if !hide.value {
        return (Vec::new(), Vec::new());
    }
    let is_granted = |gpu: &Gpu| gpu.nodes.iter().any(|node| granted.iter().any(|device| device.path == node.path));
    let others = gpus.gpus.iter().filter(|gpu| gpu.vendor == Vendor::Nvidia && !is_granted(gpu));
    let mut ops: Vec<_> = others.filter_map(|gpu| hidden(gpu, by)).collect();
    if ops.is_empty() {
        return (ops, vec![format!("there is no other GPU to hide ({by})")]);
    }
    let mut notes = vec![format!(
        "with mounts inside /proc, no sandbox in this one (Chromium, bubblewrap, podman) can have a procfs of its own ({by})"
    )];
    match &files.params {
        Some(text) => {
            let what = Mount::Data { bytes: passive(text).into_bytes(), make: false };
            ops.insert(0, MountOp { target: PARAMS.into(), what, because: by.clone() });
        }
        None => notes.push(format!("{PARAMS} cannot be read, so it stays as it is ({by})")),
    }
    (ops, notes)
}

fn hidden(gpu: &Gpu, by: &Origin) -> Option<MountOp> {
    let target = Path::new(GPUS).join(gpu.bus?.to_string());
    Some(MountOp { target, what: Mount::Mask { id: None, dir: true }, because: by.clone() })
}

/// The parameters with [`MODIFIES`] off.
fn passive(text: &str) -> String {
    let is_it = |line: &&str| line.split_once(':').is_some_and(|(name, _)| name.trim() == MODIFIES);
    let off = format!("{MODIFIES}: 0");
    let mut lines: Vec<_> = text.lines().map(|line| if is_it(&line) { off.as_str() } else { line }).collect();
    if !text.lines().any(|line| is_it(&line)) {
        lines.push(&off);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::passive;

    #[test]
    fn one_parameter_changes_and_the_others_stay() {
        let table = [
            ("A: 1\nModifyDeviceFiles: 1\nB: 438\n", "A: 1\nModifyDeviceFiles: 0\nB: 438\n"),
            ("ModifyDeviceFiles:\t1", "ModifyDeviceFiles: 0\n"),
            ("NoModifyDeviceFiles: 1\n", "NoModifyDeviceFiles: 1\nModifyDeviceFiles: 0\n"),
            ("", "ModifyDeviceFiles: 0\n"),
        ];
        for (text, want) in table {
            assert_eq!(passive(text), want);
        }
    }
}
