//! A room of its own, *the probe*: what GPU libraries do when they start, step by step, done inside a sandbox to see what
//! comes of it. It prints nothing: each step is handed over as a [`Report`].
//!
//! Source: the order is that of libcuda's start (`cuInit`) in public traces; the steps of other vendors are the opens of
//! their libraries.
#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]

mod finding;
mod inherited;
mod libraries;
mod memory;
mod nodes;
mod nvidia;
mod process;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use finding::{Finding, Verdict};

/// What the probe is told about the sandbox that it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Device nodes that are granted, without those that every sandbox has.
    pub granted: Vec<PathBuf>,
    /// Whether every node of the host is.
    pub everything: bool,
    /// Whether nothing is confined at all.
    pub unconfined: bool,
    /// Whether the host's MPS server is granted.
    pub mps: bool,
    /// Which of [`FAMILIES`] are there outside of the sandbox.
    pub outside: Vec<String>,
    /// Descriptors that the command was given on purpose.
    pub descriptors: Vec<i32>,
    /// Names of libraries that are installed outside.
    pub libraries: Vec<String>,
}

/// One node, or a directory of them, of each kind of GPU: where it is there outside, what was not granted must be absent.
pub const FAMILIES: &[&str] = &["/dev/nvidiactl", "/dev/kfd", "/dev/dri", "/dev/accel", "/dev/dxg"];

/// How the nodes of other GPUs and accelerators begin: WSL2's, those of the accelerator class, Gaudi's, Neuron's, a Jetson's.
const OTHERS: &[&str] =
    &["/dev/dxg", "/dev/accel", "/dev/hl", "/dev/neuron", "/dev/nvmap", "/dev/nvhost", "/dev/nvgpu"];

impl Task {
    /// Whether a node is granted.
    fn grants(&self, path: &Path) -> bool {
        self.everything || self.granted.iter().any(|granted| granted == path)
    }

    /// Whether some node is granted whose path begins so.
    fn grants_some(&self, start: &str) -> bool {
        self.granted.iter().any(|granted| granted.to_string_lossy().starts_with(start))
    }

    /// Whether a kind of GPU is there outside.
    fn is_outside(&self, family: &str) -> bool {
        self.outside.iter().any(|known| known == family)
    }

    /// Whether a GPU of NVIDIA's driver is granted, or its driver alone.
    fn nvidia(&self) -> bool {
        self.grants_some("/dev/nvidia")
    }

    /// Whether a render node is granted, or AMD's compute node.
    fn render(&self) -> bool {
        self.grants_some("/dev/dri/renderD") || self.grants_some("/dev/kfd")
    }

    /// Whether some GPU is granted: then what keeps GPU libraries from working is wrong.
    #[must_use]
    pub fn gpu(&self) -> bool {
        self.nvidia() || self.render() || OTHERS.iter().any(|start| self.grants_some(start))
    }
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its number or word.
    pub step: String,
    /// What was done.
    pub operation: String,
    /// What came of it.
    #[serde(flatten)]
    pub finding: Finding,
}

/// One step.
struct Step {
    number: &'static str,
    operation: &'static str,
    /// Whether it says anything here.
    applies: fn(&Task) -> bool,
    run: fn(&Task) -> Finding,
}

fn always(_: &Task) -> bool {
    true
}

/// Whether there is something of NVIDIA's driver to look at: granted, or kept out.
fn nvidia_is_there(task: &Task) -> bool {
    task.nvidia() || task.is_outside("/dev/nvidiactl")
}

fn render_is_there(task: &Task) -> bool {
    task.render() || task.is_outside("/dev/dri") || task.is_outside("/dev/kfd")
}

fn accelerator_is_there(task: &Task) -> bool {
    task.grants_some("/dev/accel/") || task.is_outside("/dev/accel")
}

fn dxg_is_there(task: &Task) -> bool {
    task.grants_some("/dev/dxg") || task.is_outside("/dev/dxg")
}

/// The steps, in the order in which libcuda takes them; words stand for what no library does.
#[rustfmt::skip]
const STEPS: &[Step] = &[
    // First, before a step opens something.
    Step { number: "fds", operation: "no descriptor was inherited", applies: always, run: inherited::descriptors },
    Step { number: "1", operation: "open /proc/self/maps and status, read the link ns/pid", applies: always, run: process::itself },
    Step { number: "2", operation: "list NUMA nodes, get_mempolicy", applies: always, run: process::numa },
    Step { number: "3", operation: "read /proc/modules and /proc/devices", applies: Task::nvidia, run: nvidia::devices },
    Step { number: "4", operation: "read params and version of /proc/driver/nvidia", applies: Task::nvidia, run: nvidia::driver },
    Step { number: "5", operation: "list /proc/driver/nvidia-uvm", applies: Task::nvidia, run: nvidia::uvm_directory },
    Step { number: "6", operation: "read mmap_min_addr and block_size_bytes", applies: always, run: process::sizes },
    Step { number: "7", operation: "reserve 64 GiB of addresses", applies: always, run: memory::reserve },
    Step { number: "8", operation: "stat /dev/nvidia-uvm", applies: Task::nvidia, run: nvidia::uvm_node },
    Step { number: "9", operation: "open /dev/nvidiactl, ioctl", applies: nvidia_is_there, run: nvidia::control },
    Step { number: "10", operation: "open /dev/nvidia-uvm twice", applies: nvidia_is_there, run: nvidia::uvm },
    Step { number: "11", operation: "open /dev/nvidia-uvm-tools", applies: nvidia_is_there, run: nvidia::uvm_tools },
    Step { number: "12", operation: "open /dev/nvidia0 to nvidia31", applies: nvidia_is_there, run: nvidia::gpus },
    Step { number: "13", operation: "list and open /dev/nvidia-caps", applies: nvidia_is_there, run: nvidia::capabilities },
    Step { number: "14", operation: "memfd_create, ftruncate, mmap", applies: always, run: memory::memfd },
    Step { number: "15", operation: "bind an abstract SOCK_SEQPACKET socket", applies: always, run: process::socket },
    Step { number: "16", operation: "write a thread's comm", applies: always, run: process::comm },
    Step { number: "16 child", operation: "write a thread's comm in a forked child", applies: always, run: process::comm_in_child },
    Step { number: "16 grandchild", operation: "write a thread's comm in a grandchild", applies: always, run: process::comm_in_grandchild },
    Step { number: "17 shm", operation: "make /dev/shm/cuda.*, fallocate 64 MiB", applies: always, run: memory::shared },
    Step { number: "17 cache", operation: "make a file in the JIT cache", applies: always, run: memory::cache },
    Step { number: "17 mps", operation: "connect to the host's MPS server", applies: always, run: process::mps },
    Step { number: "amd", operation: "open /dev/kfd, ioctl", applies: render_is_there, run: nodes::kfd },
    Step { number: "dri", operation: "open /dev/dri/renderD128 to renderD191", applies: render_is_there, run: nodes::render },
    Step { number: "accel", operation: "open /dev/accel/accel0 to accel15", applies: accelerator_is_there, run: nodes::accelerators },
    Step { number: "wsl", operation: "open /dev/dxg, ioctl", applies: dxg_is_there, run: nodes::dxg },
    Step { number: "core", operation: "open /proc/sys/kernel/core_pattern for writing", applies: always, run: inherited::core_pattern },
    Step { number: "env", operation: "CUDA_VISIBLE_DEVICES fits the selection", applies: Task::nvidia, run: inherited::ordinals },
    Step { number: "cuda", operation: "libcuda.so.1: cuInit, devices", applies: always, run: libraries::cuda },
    Step { number: "hsa", operation: "libhsa-runtime64.so.1: hsa_init, agents", applies: always, run: libraries::hsa },
    Step { number: "ze", operation: "libze_loader.so.1: zeInit, devices", applies: always, run: libraries::level_zero },
    Step { number: "vulkan", operation: "libvulkan.so.1: vkCreateInstance, devices", applies: always, run: libraries::vulkan },
];

/// Takes every step that says something here, and hands over what came of each before the next one is taken.
pub fn run(task: &Task, tell: &mut dyn FnMut(&Report)) {
    for step in STEPS.iter().filter(|step| (step.applies)(task)) {
        let finding = (step.run)(task);
        tell(&Report { step: step.number.to_owned(), operation: step.operation.to_owned(), finding });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn task(granted: &[&str]) -> Task {
        Task { granted: granted.iter().map(PathBuf::from).collect(), ..Task::default() }
    }

    #[test]
    fn steps_that_need_no_gpu_are_taken_without_one() {
        let taken: Vec<_> = STEPS.iter().filter(|step| (step.applies)(&task(&[]))).map(|step| step.number).collect();
        for number in
            ["1", "2", "6", "7", "14", "15", "16", "16 child", "16 grandchild", "17 shm", "17 cache", "17 mps"]
        {
            assert!(taken.contains(&number), "{number}");
        }
        for number in ["3", "4", "5", "8", "amd", "dri", "env"] {
            assert!(!taken.contains(&number), "{number}");
        }
        let numbers: BTreeSet<_> = STEPS.iter().map(|step| step.number).collect();
        assert_eq!(numbers.len(), STEPS.len());
    }

    #[test]
    fn what_is_granted_says_whose_gpu_it_is() {
        for (granted, nvidia, render, gpu) in [
            (&["/dev/fuse"][..], false, false, false),
            (&["/dev/nvidiactl"], true, false, true),
            (&["/dev/kfd"], false, true, true),
            (&["/dev/dri/renderD129"], false, true, true),
            (&["/dev/dxg"], false, false, true),
            (&["/dev/neuron0"], false, false, true),
            (&["/dev/nvgpu/igpu0/ctrl"], false, false, true),
        ] {
            let task = task(granted);
            assert_eq!((task.nvidia(), task.render(), task.gpu()), (nvidia, render, gpu), "{granted:?}");
        }
        assert!(task(&["/dev/kfd"]).grants(Path::new("/dev/kfd")) && !task(&["/dev/kfd"]).grants(Path::new("/dev/k")));
    }
}
