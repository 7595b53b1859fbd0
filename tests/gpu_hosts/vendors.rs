//! Machines of other vendors.

use expect_test::expect;

use crate::lab::{Host, char_device, check, check_on};

#[test]
fn amd_by_topology() {
    check(
        "auto",
        "mi300",
        expect![[r#"
        note: GPUs amd:0, amd:1, amd:2 cannot be used: `/dev/kfd` may not be opened by you: owner 0, group 993, mode 0660; to join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
    "#]],
    );
    check_on(
        "all",
        &render_group("mi300"),
        expect![[r#"
        device /dev/kfd 509:0 because gpu: gpu amd:0, amd:1, amd:2 (all by --gpu), ROCm's compute interface
        device /dev/dri/renderD128 226:128 because gpu: gpu amd:0 (all by --gpu), memory and kernels of this GPU
        device /dev/dri/renderD129 226:129 because gpu: gpu amd:1 (all by --gpu), memory and kernels of this GPU
        device /dev/dri/renderD130 226:130 because gpu: gpu amd:2 (all by --gpu), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:0c:00.0-render to ../renderD128
        link /dev/dri/by-path/pci-0000:22:00.0-render to ../renderD129
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check_on(
        "amd:1",
        &render_group("mi300"),
        expect![[r#"
        device /dev/kfd 509:0 because gpu: gpu amd:1 (amd:1 by agent.toml:7), ROCm's compute interface
        device /dev/dri/renderD129 226:129 because gpu: gpu amd:1 (amd:1 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:22:00.0-render to ../renderD129
        subset of amd
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check_on(
        "pci:0000:22:00.0",
        &render_group("mi300"),
        expect![[r#"
        device /dev/kfd 509:0 because gpu: gpu amd:1, amd:2 (pci:0000:22:00.0 by agent.toml:7), ROCm's compute interface
        device /dev/dri/renderD129 226:129 because gpu: gpu amd:1 (pci:0000:22:00.0 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/renderD130 226:130 because gpu: gpu amd:2 (pci:0000:22:00.0 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:22:00.0-render to ../renderD129
        subset of amd
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check_on(
        "amd:GPU-9fa35251bada9111",
        &render_group("mi300"),
        expect![[r#"
        device /dev/kfd 509:0 because gpu: gpu amd:0 (amd:GPU-9fa35251bada9111 by agent.toml:7), ROCm's compute interface
        device /dev/dri/renderD128 226:128 because gpu: gpu amd:0 (amd:GPU-9fa35251bada9111 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:0c:00.0-render to ../renderD128
        subset of amd
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check_on(
        "amd:renderD130",
        &render_group("mi300").for_classes("compute,display"),
        expect![[r#"
        device /dev/kfd 509:0 because gpu: gpu amd:2 (amd:renderD130 by agent.toml:7), ROCm's compute interface
        device /dev/dri/renderD130 226:130 because gpu: gpu amd:2 (amd:renderD130 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/card3 226:3 because gpu: gpu amd:2 (amd:renderD130 by agent.toml:7), a display
        subset of amd
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
}

fn render_group(host: &str) -> Host {
    Host::named(host).caller(1000, &[44, 993])
}

#[test]
fn amd_without_its_module_or_node() {
    check_on(
        "0",
        &render_group("mi300").without("/dev/kfd"),
        expect![[r#"
        error: GPU amd:0 cannot be used: `/dev/kfd` does not exist
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 509:0 `/dev/kfd` below `tests/hosts/mi300`
        hint: have the node made again by udev: `sudo udevadm trigger --action=add`
    "#]],
    );
    check_on(
        "0",
        &render_group("mi300").without("/dev/dri/renderD128"),
        expect![[r#"
        error: GPU amd:0 cannot be used: `/dev/dri/renderD128` does not exist
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 226:128 `/dev/dri/renderD128` below `tests/hosts/mi300`
        hint: have the node made again by udev: `sudo udevadm trigger --action=add`
    "#]],
    );
    let devices = Host::named("mi300").read("/proc/devices").replace("509 kfd\n", "");
    check_on(
        "0",
        &render_group("mi300").with_file("/proc/devices", Some(&devices)),
        expect![[r#"
        error: GPU amd:0 cannot be used: `kfd` is not listed in `/proc/devices`, so its kernel module is not loaded
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device `/dev/kfd` below `tests/hosts/mi300`
        hint: load the module on the host: `sudo modprobe amdgpu`
    "#]],
    );
    check_on(
        "0",
        &render_group("mi300").with("/dev/dri/renderD128", char_device(226, 129)),
        expect![[r#"
        error: GPU amd:0 cannot be used: `/dev/dri/renderD128` is device 226:129, but the driver answers to 226:128
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 226:128 `/dev/dri/renderD128` below `tests/hosts/mi300`
        hint: have the node made again by udev: `sudo udevadm trigger --action=add`
    "#]],
    );
}

#[test]
fn amd_without_a_driver_that_draws() {
    let topology = "/sys/devices/virtual/kfd/kfd/topology/nodes/2/properties";
    let text = Host::named("mi300").read(topology).replace("drm_render_minor 128", "drm_render_minor 0");
    check_on(
        "0",
        &render_group("mi300").with_file(topology, Some(&text)),
        expect![[r#"
            error: GPU amd:0 cannot be used: there is no `/dev/dri/renderD*`: nothing of the kind in `/sys/class/drm`
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/dri/renderD*` below `tests/hosts/mi300`
            hint: have the node made again by udev: `sudo udevadm trigger --action=add`
        "#]],
    );
}

/// ROCm fails as a whole where a node of its topology is there and cannot be opened.
#[test]
fn amd_in_a_group_that_the_caller_lacks() {
    check(
        "all",
        "mi300",
        expect![[r#"
        error: GPUs amd:0, amd:1, amd:2 cannot be used: `/dev/kfd` may not be opened by you: owner 0, group 993, mode 0660
          needed by: --gpu all
          looked for: character device 509:0 `/dev/kfd` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        error: GPU amd:0 cannot be used: `/dev/dri/renderD128` may not be opened by you: owner 0, group 993, mode 0660
          needed by: --gpu all
          looked for: character device 226:128 `/dev/dri/renderD128` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        error: GPU amd:1 cannot be used: `/dev/dri/renderD129` may not be opened by you: owner 0, group 993, mode 0660
          needed by: --gpu all
          looked for: character device 226:129 `/dev/dri/renderD129` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        error: GPU amd:2 cannot be used: `/dev/dri/renderD130` may not be opened by you: owner 0, group 993, mode 0660
          needed by: --gpu all
          looked for: character device 226:130 `/dev/dri/renderD130` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
    "#]],
    );
}

#[test]
fn intel_by_render_node() {
    check(
        "auto",
        "intel",
        expect![[r#"
        device /dev/dri/renderD128 226:128 because gpu: gpu intel:0 (auto), memory and kernels of this GPU
        device /dev/dri/renderD129 226:129 because gpu: gpu intel:1 (auto), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:00:02.0-render to ../renderD128
        link /dev/dri/by-path/pci-0000:03:00.0-render to ../renderD129
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "intel:1",
        "intel",
        expect![[r#"
        device /dev/dri/renderD129 226:129 because gpu: gpu intel:1 (intel:1 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:03:00.0-render to ../renderD129
        subset of intel
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "0",
        "intel",
        expect![[r#"
        device /dev/dri/renderD128 226:128 because gpu: gpu intel:0 (0 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:00:02.0-render to ../renderD128
        subset of intel
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "npu:0",
        "intel",
        expect![[r#"
        device /dev/accel/accel0 261:0 because gpu: gpu npu:0 (npu:0 by agent.toml:7), this neural processor
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check_on(
        "intel:0",
        &Host::named("intel").for_classes("display"),
        expect![[r#"
        device /dev/dri/renderD128 226:128 because gpu: gpu intel:0 (intel:0 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/card1 226:1 because gpu: gpu intel:0 (intel:0 by agent.toml:7), a display
        link /dev/dri/by-path/pci-0000:00:02.0-render to ../renderD128
        link /dev/dri/by-path/pci-0000:00:02.0-card to ../card1
        subset of intel
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
}

#[test]
fn accelerators() {
    check(
        "auto",
        "accelerators",
        expect![[r#"
        device /dev/accel/accel0 261:0 because gpu: gpu gaudi:0 (auto), memory and kernels of this accelerator
        device /dev/accel/accel_controlD0 261:1 because gpu: gpu gaudi:0 (auto), monitoring of this accelerator
        device /dev/accel/accel2 261:2 because gpu: gpu gaudi:1 (auto), memory and kernels of this accelerator
        device /dev/accel/accel_controlD2 261:3 because gpu: gpu gaudi:1 (auto), monitoring of this accelerator
        device /dev/neuron0 245:0 because gpu: gpu neuron:0 (auto), cores of this accelerator
        device /dev/neuron1 245:1 because gpu: gpu neuron:1 (auto), cores of this accelerator
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "gaudi:1",
        "accelerators",
        expect![[r#"
        device /dev/accel/accel2 261:2 because gpu: gpu gaudi:1 (gaudi:1 by agent.toml:7), memory and kernels of this accelerator
        device /dev/accel/accel_controlD2 261:3 because gpu: gpu gaudi:1 (gaudi:1 by agent.toml:7), monitoring of this accelerator
        subset of gaudi
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "tpu:all",
        "accelerators",
        expect![[r#"
        device /dev/vfio/vfio 10:196 because gpu: gpu tpu:0 (tpu:all by agent.toml:7), memory access by devices
        device /dev/vfio/7 240:0 because gpu: gpu tpu:0 (tpu:all by agent.toml:7), this TPU, and memory access by it
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "neuron:1",
        "accelerators",
        expect![[r#"
        device /dev/neuron1 245:1 because gpu: gpu neuron:1 (neuron:1 by agent.toml:7), cores of this accelerator
        subset of neuron
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
}

#[test]
fn jetson_by_its_lists() {
    check(
        "auto",
        "jetson",
        expect![[r#"
        device /dev/nvhost-ctrl 242:0 because gpu: gpu jetson:0 (auto), the GPU of the board
        device /dev/nvmap 241:0 because gpu: gpu jetson:0 (auto), the GPU of the board
        device /dev/nvgpu/igpu0/ctrl 505:0 because gpu: gpu jetson:0 (auto), the GPU of the board
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "0",
        "jetson",
        expect![[r#"
        device /dev/nvhost-ctrl 242:0 because gpu: gpu jetson:0 (0 by agent.toml:7), the GPU of the board
        device /dev/nvmap 241:0 because gpu: gpu jetson:0 (0 by agent.toml:7), the GPU of the board
        device /dev/nvgpu/igpu0/ctrl 505:0 because gpu: gpu jetson:0 (0 by agent.toml:7), the GPU of the board
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "1",
        "jetson",
        expect![[r#"
        error: GPU 1 cannot be used: no such GPU, this machine has jetson:0
          needed by: gpu = [1] (agent.toml:7)
          looked for: `/etc/nv_tegra_release` below `tests/hosts/jetson`
        hint: see which GPUs there are: `ringfence gpus`
    "#]],
    );
    let unreleased = || Host::named("jetson").with_file("/etc/nv_tegra_release", None);
    assert!(unreleased().grants("jetson:0").is_ok());
    let family = "/sys/devices/soc0/family";
    assert!(unreleased().with_file(family, Some("Tegra2\n")).grants("jetson:0").is_err());
    let lists = "/etc/nvidia-container-runtime/host-files-for-container.d";
    check_on(
        "all",
        &Host::named("jetson").with_file(lists, None),
        expect![[r#"
        error: GPU jetson:0 cannot be used: none of its nodes is known: `/etc/nvidia-container-runtime/host-files-for-container.d` lists none that is here
          needed by: --gpu all
          looked for: `/etc/nvidia-container-runtime/host-files-for-container.d/*.csv` below `tests/hosts/jetson`
        hint: use a CDI specification: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`
    "#]],
    );
}

#[test]
fn several_vendors_and_what_is_only_drawn_on() {
    check(
        "auto",
        "mixed",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (auto), driver control
        device /dev/nvidia-uvm 508:0 because gpu: gpu 0 (auto), CUDA unified memory
        device /dev/nvidia-uvm-tools 508:1 because gpu: gpu 0 (auto), CUDA profiling events
        device /dev/kfd 509:0 because gpu: gpu amd:0 (auto), ROCm's compute interface
        device /dev/nvidia0 195:0 because gpu: gpu 0 (auto), memory and kernels of this GPU
        device /dev/dri/renderD129 226:129 because gpu: gpu amd:0 (auto), memory and kernels of this GPU
        device /dev/dri/renderD130 226:130 because gpu: gpu intel:0 (auto), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:03:00.0-render to ../renderD129
        link /dev/dri/by-path/pci-0000:00:02.0-render to ../renderD130
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    // Also where it was looked for.
    let host = Host::named("mixed");
    for wish in ["auto", "all"] {
        assert_eq!(host.grants_among(wish, &host.gpus()).unwrap().who, host.grants(wish).unwrap().who);
    }
    check(
        "drm:0",
        "mixed",
        expect![[r#"
        device /dev/dri/renderD131 226:131 because gpu: gpu drm:0 (drm:0 by agent.toml:7), Vulkan, OpenCL and EGL of Mesa
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "renderD131",
        "mixed",
        expect![[r#"
        device /dev/dri/renderD131 226:131 because gpu: gpu drm:0 (renderD131 by agent.toml:7), Vulkan, OpenCL and EGL of Mesa
        note: a GPU is granted: its driver is a large attack surface in the kernel; keep the kernel updated
    "#]],
    );
    check(
        "drm:renderD129",
        "mixed",
        expect![[r#"
        error: GPU drm:renderD129 cannot be used: no such GPU, this machine has renderD131
          needed by: gpu = ["drm:renderD129"] (agent.toml:7)
          looked for: `/sys/class/drm` below `tests/hosts/mixed`
        hint: see which GPUs there are: `ringfence gpus`
    "#]],
    );
}

#[test]
fn a_vfio_group_with_somebody_else_s_device_is_no_tpu() {
    let tpus = |host: Host| host.grants("tpu:all").map(|plan| plan.devices.len()).map_err(|errors| errors.len());
    assert_eq!(tpus(Host::named("accelerators")), Ok(2), "the control");
    for other in ["0000:00:03.0", "0000:00:06.0"] {
        let host = Host::named("accelerators")
            .with_file(&format!("/sys/kernel/iommu_groups/7/devices/{other}/.keep"), Some(""))
            .with_file(&format!("/sys/bus/pci/devices/{other}/vendor"), Some("0x8086\n"))
            .with_file(&format!("/sys/bus/pci/devices/{other}/device"), Some("0x1533\n"));
        assert_eq!(tpus(host), Err(1), "{other}");
    }
}
