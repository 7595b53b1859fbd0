//! Every form of selector: what it means, and what is said where it means nothing.

use expect_test::expect;
use ringfence::host::gpu::Slot;

use crate::lab::{Host, check, check_on};

const INFORMATION: &str = "/proc/driver/nvidia/gpus/0000:17:00.0/information";

#[test]
fn one_gpu_by_its_names() {
    let want = Host::named("two-gpus").grants("1").unwrap().devices;
    let nodes = |selector: &str| {
        let plan = Host::named("two-gpus").grants(selector).unwrap();
        plan.devices.into_iter().map(|grant| grant.path).collect::<Vec<_>>()
    };
    let want: Vec<_> = want.into_iter().map(|grant| grant.path).collect();
    for selector in [
        "nvidia:1",
        "GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a",
        "GPU-0B9A",
        "GPU-0",
        "pci:0000:ca:00.0",
        "pci:ca:00.0",
        "pci:00000000:CA:00.0",
        "minor:0",
        "renderD129",
        "nvidia:renderD129",
        "nvidia:pci:ca:00.0",
    ] {
        assert_eq!(nodes(selector), want, "{selector}");
    }
    assert_ne!(nodes("0"), want);
}

#[test]
fn what_is_not_there() {
    for wish in ["GPU-77", "pci:0000:99:00.0", "minor:9", "renderD140", "amd:0", "nvidia:7"] {
        assert!(Host::named("two-gpus").grants(wish).is_err(), "{wish}");
    }
    check(
        "GPU-77",
        "two-gpus",
        expect![[r#"
            error: GPU GPU-77 cannot be used: no such GPU, this machine has GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5, GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a
              needed by: gpu = ["GPU-77"] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
    check(
        "pci:99:00.0",
        "two-gpus",
        expect![[r#"
            error: GPU pci:99:00.0 cannot be used: no such GPU, this machine has pci:0000:17:00.0, pci:0000:ca:00.0
              needed by: gpu = ["pci:99:00.0"] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
    check(
        "minor:9",
        "two-gpus",
        expect![[r#"
            error: GPU minor:9 cannot be used: no such GPU, this machine has minor:1, minor:0
              needed by: gpu = ["minor:9"] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
    check(
        "amd:0",
        "two-gpus",
        expect![[r#"
        error: no GPU of `amd` found
          needed by: gpu = ["amd:0"] (agent.toml:7)
          looked for: `/sys/devices/virtual/kfd/kfd/topology/nodes` below `tests/hosts/two-gpus`
        hint: run without one: `--gpu auto`
    "#]],
    );
    check(
        "npu:all",
        "two-gpus",
        expect![[r#"
        error: no GPU of `npu` found
          needed by: gpu = ["npu:all"] (agent.toml:7)
          looked for: `/sys/class/accel` below `tests/hosts/two-gpus`
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
fn a_prefix_of_several_uuids() {
    let other = Host::named("two-gpus").read(INFORMATION).replace("GPU-6f1c2d3e", "GPU-0b9a0000");
    check_on(
        "GPU-0b9a",
        &Host::named("two-gpus").with_file(INFORMATION, Some(&other)),
        expect![[r#"
        error: GPU GPU-0b9a cannot be used: it is the beginning of several UUIDs: GPUs 0, 1
          needed by: gpu = ["GPU-0b9a"] (agent.toml:7)
        hint: name one of them: `--gpu 0`
    "#]],
    );
}

#[test]
fn a_gpu_whose_uuid_nobody_knows() {
    let text = Host::named("two-gpus")
        .read(INFORMATION)
        .replace("GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5", "GPU-????????-????-????-????-????????????");
    let host = Host::named("two-gpus").with_file(INFORMATION, Some(&text));
    check_on(
        "GPU-6f1c",
        &host,
        expect![[r#"
            error: GPU GPU-6f1c cannot be used: no UUID matches, and the driver does not tell that of 0000:17:00.0
              needed by: gpu = ["GPU-6f1c"] (agent.toml:7)
              looked for: `/proc/driver/nvidia/gpus`, PCI display devices of vendor 10de below `tests/hosts/two-gpus`
            hint: name it by its place: `--gpu pci:0000:17:00.0`
        "#]],
    );
    assert!(host.grants("pci:17:00.0").is_ok() && host.grants("0").is_ok());
}

#[test]
fn one_gpu_named_twice() {
    check(
        "0,GPU-6f1c",
        "two-gpus",
        expect![[r#"
        error: GPU GPU-6f1c cannot be used: it was named before, by `0`
          needed by: gpu = [0, "GPU-6f1c"] (agent.toml:7)
        hint: name each GPU once
    "#]],
    );
    check(
        "nvidia:all,1",
        "two-gpus",
        expect![[r#"
        error: GPU 1 cannot be used: it was named before, by `nvidia:all`
          needed by: gpu = ["nvidia:all", 1] (agent.toml:7)
        hint: name each GPU once
    "#]],
    );
    check(
        "pci:0000:22:00.0,amd:2",
        "mi300",
        expect![[r#"
        error: GPU amd:2 cannot be used: it was named before, by `pci:0000:22:00.0`
          needed by: gpu = ["pci:0000:22:00.0", "amd:2"] (agent.toml:7)
        hint: name each GPU once
        error: GPUs amd:1, amd:2 cannot be used: `/dev/kfd` may not be opened by you: owner 0, group 993, mode 0660
          needed by: gpu = ["pci:0000:22:00.0", "amd:2"] (agent.toml:7)
          looked for: character device 509:0 `/dev/kfd` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        error: GPU amd:1 cannot be used: `/dev/dri/renderD129` may not be opened by you: owner 0, group 993, mode 0660
          needed by: gpu = ["pci:0000:22:00.0", "amd:2"] (agent.toml:7)
          looked for: character device 226:129 `/dev/dri/renderD129` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        error: GPU amd:2 cannot be used: `/dev/dri/renderD130` may not be opened by you: owner 0, group 993, mode 0660
          needed by: gpu = ["pci:0000:22:00.0", "amd:2"] (agent.toml:7)
          looked for: character device 226:130 `/dev/dri/renderD130` below `tests/hosts/mi300`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
    "#]],
    );
    assert!("0,0".parse::<ringfence::policy::gpu::GpuWish>().is_err());
}

#[test]
fn excluded_gpus_are_named_by_their_place_and_refused() {
    check(
        "pci:41:00.0",
        "excluded-gpu",
        expect![[r#"
        error: GPU pci:41:00.0 cannot be used: the driver excludes it
          needed by: gpu = ["pci:41:00.0"] (agent.toml:7)
        hint: see which GPUs the driver was told to exclude: `grep ExcludedGpus /proc/driver/nvidia/params`
    "#]],
    );
    check(
        "minor:1",
        "excluded-gpu",
        expect![[r#"
        error: GPU minor:1 cannot be used: the driver excludes it
          needed by: gpu = ["minor:1"] (agent.toml:7)
        hint: see which GPUs the driver was told to exclude: `grep ExcludedGpus /proc/driver/nvidia/params`
    "#]],
    );
}

#[test]
fn all_of_a_vendor_are_those_that_the_driver_offers() {
    let who = |wish: &str| Host::named("excluded-gpu").grants(wish).unwrap().devices;
    let paths = |wish: &str| who(wish).into_iter().map(|grant| grant.path).collect::<Vec<_>>();
    assert_eq!(paths("nvidia:all"), paths("all"));
}

#[test]
fn one_instance_has_exactly_its_nodes() {
    check(
        "mig:0/5/1",
        "mig",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap50 511:50 because gpu: gpu mig:0/5/1 (mig:0/5/1 by agent.toml:7), MIG instance 5, compute instance 1
        subset of nvidia
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    let paths = |wish: &str| {
        let plan = Host::named("mig").grants(wish).unwrap();
        plan.devices.iter().map(|grant| grant.path.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(paths("mig:0:5:1"), paths("mig:0/5/1"));
    assert_eq!(paths("MIG-GPU-a1b2c3d4-1111-4222-8333-444455556666/5/1"), paths("mig:0/5/1"));
    assert_eq!(paths("mig:GPU-a1b2/5/1"), paths("mig:0/5/1"));
    check(
        "mig:0/1/0,mig:0/5/1,1",
        "mig",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu mig:0/1/0, mig:0/5/1, 1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu mig:0/1/0, mig:0/5/1, 1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu mig:0/1/0, mig:0/5/1, 1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu mig:0/1/0, mig:0/5/1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap12 511:12 because gpu: gpu mig:0/1/0, mig:0/5/1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), MIG instance 1
        device /dev/nvidia-caps/nvidia-cap13 511:13 because gpu: gpu mig:0/1/0, mig:0/5/1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), MIG instance 1, compute instance 0
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu mig:0/1/0, mig:0/5/1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap50 511:50 because gpu: gpu mig:0/1/0, mig:0/5/1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), MIG instance 5, compute instance 1
        device /dev/nvidia1 195:1 because gpu: gpu 1 (mig:0/1/0,mig:0/5/1,1 by agent.toml:7), memory and kernels of this GPU
        subset of nvidia
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn instances_that_are_not_there() {
    check(
        "mig:0/2/0",
        "mig",
        expect![[r#"
        error: GPU mig:0/2/0 cannot be used: there is no such instance, GPU 0 has mig:0/1/0, mig:0/5/0, mig:0/5/1
          needed by: gpu = ["mig:0/2/0"] (agent.toml:7)
          looked for: `/proc/driver/nvidia/capabilities/gpu0/mig/gi*/ci*` below `tests/hosts/mig`
        hint: name the instances that it is to have: `--gpu mig:0/1/0`
    "#]],
    );
    check(
        "mig:0/1/7",
        "mig",
        expect![[r#"
        error: GPU mig:0/1/7 cannot be used: there is no such instance, GPU 0 has mig:0/1/0, mig:0/5/0, mig:0/5/1
          needed by: gpu = ["mig:0/1/7"] (agent.toml:7)
          looked for: `/proc/driver/nvidia/capabilities/gpu0/mig/gi*/ci*` below `tests/hosts/mig`
        hint: name the instances that it is to have: `--gpu mig:0/1/0`
    "#]],
    );
    check(
        "mig:1/1/0",
        "mig",
        expect![[r#"
        error: GPU mig:1/1/0 cannot be used: there is no such instance, GPU 1 has none
          needed by: gpu = ["mig:1/1/0"] (agent.toml:7)
          looked for: `/proc/driver/nvidia/capabilities/gpu1/mig/gi*/ci*` below `tests/hosts/mig`
        hint: see which GPUs and instances there are: `ringfence gpus`
    "#]],
    );
}

#[test]
fn a_uuid_of_an_instance_is_what_the_library_says() {
    let uuid = "MIG-11111111-2222-3333-4444-555555555555";
    let host = |known| Host::named("mig").with_mig_uuid(&uuid.to_lowercase().replace("mig-", "MIG-"), known);
    let slot = Slot { gpu: 0, instance: 5, compute: Some(0) };
    check_on(
        uuid,
        &host(Ok(slot)),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap49 511:49 because gpu: gpu mig:0/5/0 (MIG-11111111-2222-3333-4444-555555555555 by agent.toml:7), MIG instance 5, compute instance 0
        subset of nvidia
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    // It counts as the driver does, and not by the place.
    let minor = |at, from: &str, to: &str| {
        let path = format!("/proc/driver/nvidia/gpus/0000:{at}:00.0/information");
        let text = Host::named("mig").read(&path).replace(&format!("Minor: \t {from}"), &format!("Minor: \t {to}"));
        (path, text)
    };
    let swapped = [minor("18", "0", "1"), minor("9a", "1", "0")];
    let swapped = swapped.iter().fold(host(Ok(slot)), |host, (path, text)| host.with_file(path, Some(text)));
    assert!(swapped.grants(uuid).unwrap().devices.iter().any(|grant| grant.path.ends_with("nvidia-cap49")));
    check_on(
        uuid,
        &host(Err("the driver's library cannot be loaded: libnvidia-ml.so.1".to_owned())),
        expect![[r#"
        error: GPU MIG-11111111-2222-3333-4444-555555555555 cannot be used: the driver's library cannot be loaded: libnvidia-ml.so.1
          needed by: gpu = ["MIG-11111111-2222-3333-4444-555555555555"] (agent.toml:7)
        hint: name it by its ids: `--gpu mig:GPU/GI/CI`, with the GI ID and CI ID of `nvidia-smi`
    "#]],
    );
    check(
        uuid,
        "mig",
        expect![[r#"
        error: GPU MIG-11111111-2222-3333-4444-555555555555 cannot be used: only the driver's library knows UUIDs of MIG instances
          needed by: gpu = ["MIG-11111111-2222-3333-4444-555555555555"] (agent.toml:7)
        hint: name it by its ids: `--gpu mig:GPU/GI/CI`, with the GI ID and CI ID of `nvidia-smi`
    "#]],
    );
}

#[test]
fn vendors_are_not_mixed_by_an_index() {
    check(
        "0,amd:0",
        "mixed",
        expect![[r#"
        error: an index counts the GPUs of one vendor, and several are meant: nvidia:0, amd:0
          needed by: gpu = [0, "amd:0"] (agent.toml:7)
        hint: name them with their vendors: `--gpu nvidia:0,amd:0`
    "#]],
    );
    check(
        "nvidia:0,amd:0",
        "mixed",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (nvidia:0,amd:0 by agent.toml:7), driver control
        device /dev/nvidia-uvm 508:0 because gpu: gpu 0 (nvidia:0,amd:0 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 508:1 because gpu: gpu 0 (nvidia:0,amd:0 by agent.toml:7), CUDA profiling events
        device /dev/kfd 509:0 because gpu: gpu amd:0 (nvidia:0,amd:0 by agent.toml:7), ROCm's compute interface
        device /dev/nvidia0 195:0 because gpu: gpu 0 (nvidia:0,amd:0 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/renderD129 226:129 because gpu: gpu amd:0 (nvidia:0,amd:0 by agent.toml:7), memory and kernels of this GPU
        link /dev/dri/by-path/pci-0000:03:00.0-render to ../renderD129
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    // Without NVIDIA's driver nobody's GPU is the first.
    let host = Host::named("mixed").with_file("/proc/driver/nvidia", None);
    check_on(
        "0",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: an index counts the GPUs of one vendor, and several are meant: amd:0, intel:0
          needed by: gpu = [0] (agent.toml:7)
        hint: name them with their vendors: `--gpu amd:0,intel:0`
    "#]],
    );
    check(
        "0",
        "mixed",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia-uvm 508:0 because gpu: gpu 0 (0 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 508:1 because gpu: gpu 0 (0 by agent.toml:7), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}
