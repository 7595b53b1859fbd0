//! A machine with 16 GPUs and 64 MIG instances, made as files. `benches/discovery.rs` measures discovery on it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const GPUS: u32 = 16;
const INSTANCES: u32 = 4;

/// Writes the machine below `root` and gives its nodes: path, major, minor.
pub fn make(root: &Path) -> Vec<(PathBuf, u32, u32)> {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| std::fs::write(path, text)).unwrap();
    };
    write(
        "proc/devices",
        "Character devices:\n195 nvidia\n195 nvidiactl\n226 drm\n510 nvidia-uvm\n511 nvidia-caps\n\nBlock devices:\n",
    );
    write(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  595.45.04  Release Build\n",
    );
    write("proc/driver/nvidia/params", "ModifyDeviceFiles: 1\nDeviceFileMode: 438\n");
    write("proc/driver/nvidia-caps/mig-minors", &mig_minors());
    let mut nodes =
        vec![node("/dev/nvidiactl", 195, 255), node("/dev/nvidia-uvm", 510, 0), node("/dev/nvidia-uvm-tools", 510, 1)];
    for gpu in 0..GPUS {
        let bus = format!("0000:{:02x}:00.0", 0x10 + gpu * 8);
        let information = format!(
            "Model: \t\t NVIDIA B200\nIRQ:   \t\t 187\nGPU UUID: \t GPU-{gpu:08x}-4a5b-4c6d-8e7f-90a1b2c3d4e5\n\
             Bus Type: \t PCIe\nBus Location: \t {bus}\nDevice Minor: \t {gpu}\nGPU Excluded:\t No\n"
        );
        write(&format!("proc/driver/nvidia/gpus/{bus}/information"), &information);
        write(&format!("sys/bus/pci/devices/{bus}/numa_node"), if gpu < GPUS / 2 { "0\n" } else { "1\n" });
        nodes.push(node(&format!("/dev/nvidia{gpu}"), 195, gpu));
        for instance in 1..=INSTANCES {
            let access = format!("proc/driver/nvidia/capabilities/gpu{gpu}/mig/gi{instance}");
            write(&format!("{access}/access"), "DeviceFileMode: 292\n");
            write(&format!("{access}/ci0/access"), "DeviceFileMode: 292\n");
            let minor = 3 + 135 * gpu + 9 * instance;
            nodes.push(node(&format!("/dev/nvidia-caps/nvidia-cap{minor}"), 511, minor));
            nodes.push(node(&format!("/dev/nvidia-caps/nvidia-cap{}", minor + 1), 511, minor + 1));
        }
    }
    nodes
}

fn node(path: &str, major: u32, minor: u32) -> (PathBuf, u32, u32) {
    (path.into(), major, minor)
}

/// Every slot of the 32 GPUs that the driver can have, as it lists them.
fn mig_minors() -> String {
    let mut text = "config 1\nmonitor 2\n".to_owned();
    for gpu in 0..32 {
        for instance in 0..15 {
            let minor = 3 + 135 * gpu + 9 * instance;
            writeln!(text, "gpu{gpu}/gi{instance}/access {minor}").unwrap();
            for compute in 0..8 {
                writeln!(text, "gpu{gpu}/gi{instance}/ci{compute}/access {}", minor + 1 + compute).unwrap();
            }
        }
    }
    text
}
