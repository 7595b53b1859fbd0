//! Each form of wish on machines where it means something else.

use std::path::Path;

use expect_test::expect;
use ringfence::host::paths::Kind;

use crate::lab::{Host, check, fact};

#[test]
fn auto_takes_every_gpu_that_works() {
    check(
        "auto",
        "two-gpus",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (auto), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0, 1 (auto), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0, 1 (auto), CUDA profiling events
        device /dev/nvidia1 195:1 because gpu: gpu 0 (auto), memory and kernels of this GPU
        device /dev/nvidia0 195:0 because gpu: gpu 1 (auto), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn the_index_follows_the_bus_and_the_node_the_minor() {
    check(
        "0",
        "two-gpus",
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 0 (0 by agent.toml:7), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0 (0 by agent.toml:7), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
            subset of nvidia
            note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

#[test]
fn all_by_flag() {
    check(
        "all",
        "two-gpus",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (all by --gpu), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0, 1 (all by --gpu), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0, 1 (all by --gpu), CUDA profiling events
        device /dev/nvidia1 195:1 because gpu: gpu 0 (all by --gpu), memory and kernels of this GPU
        device /dev/nvidia0 195:0 because gpu: gpu 1 (all by --gpu), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn off_grants_nothing() {
    check("off", "two-gpus", expect![[""]]);
}

#[test]
fn an_index_that_does_not_exist() {
    check(
        "1,2,7",
        "two-gpus",
        expect![[r#"
            error: GPU 2 cannot be used: no such GPU, this machine has 0, 1
              needed by: gpu = [1, 2, 7] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: see which GPUs there are: `ringfence gpus`
            error: GPU 7 cannot be used: no such GPU, this machine has 0, 1
              needed by: gpu = [1, 2, 7] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
}

#[test]
fn indices_skip_the_excluded_gpu() {
    check(
        "1",
        "excluded-gpu",
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (1 by agent.toml:7), driver control
            device /dev/nvidia-uvm 511:0 because gpu: gpu 1 (1 by agent.toml:7), CUDA unified memory
            device /dev/nvidia-uvm-tools 511:1 because gpu: gpu 1 (1 by agent.toml:7), CUDA profiling events
            device /dev/nvidia2 195:2 because gpu: gpu 1 (1 by agent.toml:7), memory and kernels of this GPU
            subset of nvidia
            note: a GPU is granted: its driver (version 535.183.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
    check(
        "all",
        "excluded-gpu",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (all by --gpu), driver control
        device /dev/nvidia-uvm 511:0 because gpu: gpu 0, 1 (all by --gpu), CUDA unified memory
        device /dev/nvidia-uvm-tools 511:1 because gpu: gpu 0, 1 (all by --gpu), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu 0 (all by --gpu), memory and kernels of this GPU
        device /dev/nvidia2 195:2 because gpu: gpu 1 (all by --gpu), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 535.183.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn the_excluded_gpu_has_no_index() {
    check(
        "2",
        "excluded-gpu",
        expect![[r#"
            error: GPU 2 cannot be used: no such GPU, this machine has 0, 1; 0000:41:00.0: the driver excludes it
              needed by: gpu = [2] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/excluded-gpu`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
}

#[test]
fn wsl_has_one_node_for_all() {
    check(
        "auto",
        "wsl2",
        expect![[r#"
        device /dev/dxg 10:126 because gpu: every gpu (auto), all GPUs of the Windows host
        read /usr/lib/wsl because gpu: every gpu (auto), driver libraries of WSL2
        note: a GPU is granted: its commands reach the kernel of the Windows host, a large attack surface
    "#]],
    );
    check(
        "all",
        "wsl2",
        expect![[r#"
        device /dev/dxg 10:126 because gpu: every gpu (all by --gpu), all GPUs of the Windows host
        read /usr/lib/wsl because gpu: every gpu (all by --gpu), driver libraries of WSL2
        note: a GPU is granted: its commands reach the kernel of the Windows host, a large attack surface
    "#]],
    );
    check(
        "0",
        "wsl2",
        expect![[r#"
        error: GPUs cannot be told apart on WSL2, one node is for all of them
          needed by: gpu = [0] (agent.toml:7)
        hint: grant all of them: `--gpu all`
    "#]],
    );
}

#[test]
fn without_a_gpu_auto_is_silent() {
    check("auto", "no-gpu", expect![[""]]);
    check(
        "all",
        "no-gpu",
        expect![[r#"
            error: no GPU found
              needed by: --gpu all
              looked for: `/proc/driver/nvidia/gpus`, `/dev/dxg`, `/sys/devices/virtual/kfd/kfd/topology/nodes`, `/sys/class/drm`, `/etc/nv_tegra_release`, `/sys/class/accel`, `/sys/class/habanalabs`, `/sys/class/neuron_device`, PCI display devices of vendor 10de below `tests/hosts/no-gpu`
            hint: run without one: `--gpu auto`
        "#]],
    );
    check(
        "0",
        "no-gpu",
        expect![[r#"
            error: no GPU found
              needed by: gpu = [0] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, `/dev/dxg`, `/sys/devices/virtual/kfd/kfd/topology/nodes`, `/sys/class/drm`, `/etc/nv_tegra_release`, `/sys/class/accel`, `/sys/class/habanalabs`, `/sys/class/neuron_device`, PCI display devices of vendor 10de below `tests/hosts/no-gpu`
            hint: run without one: `--gpu auto`
        "#]],
    );
}

#[test]
fn libraries_of_nixos() {
    let host = Host::named("two-gpus").with("/run/opengl-driver", fact(Kind::Symlink, 0o777, 0));
    let plan = host.grants("0").unwrap();
    assert_eq!(plan.read_paths[0].0, Path::new("/run/opengl-driver"));
}
