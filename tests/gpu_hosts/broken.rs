//! Machines with something wrong: each diagnosis is a fixture or a mutation of one.

use expect_test::expect;
use ringfence::host::gpu::NodeFact;
use ringfence::host::paths::Kind;

use crate::lab::{Host, char_device, check, check_on, fact};

#[test]
fn no_uvm_asked_for() {
    check(
        "0",
        "no-uvm",
        expect![[r#"
        error: GPU 0 cannot be used: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device `/dev/nvidia-uvm` below `tests/hosts/no-uvm`
        hint: load the module on the host: `sudo nvidia-modprobe -u -c 0`
    "#]],
    );
}

#[test]
fn no_uvm_auto() {
    check(
        "auto",
        "no-uvm",
        expect![[r#"
        note: GPU 0 cannot be used: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded; to load the module on the host: `sudo nvidia-modprobe -u -c 0`
    "#]],
    );
}

#[test]
fn a_caller_outside_the_group_may_not() {
    let host = Host::named("excluded-gpu").caller(1000, &[]);
    check_on(
        "0",
        &host,
        expect![[r#"
            error: GPU 0 cannot be used: `/dev/nvidiactl` may not be opened by you: owner 0, group 44, mode 0660
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device 195:255 `/dev/nvidiactl` below `tests/hosts/excluded-gpu`
            hint: join group 44, then log in again: `sudo usermod -aG "$(getent group 44 | cut -d: -f1)" "$USER"`
            error: GPU 0 cannot be used: `/dev/nvidia-uvm` may not be opened by you: owner 0, group 44, mode 0660
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device 511:0 `/dev/nvidia-uvm` below `tests/hosts/excluded-gpu`
            hint: join group 44, then log in again: `sudo usermod -aG "$(getent group 44 | cut -d: -f1)" "$USER"`
            error: GPU 0 cannot be used: `/dev/nvidia0` may not be opened by you: owner 0, group 44, mode 0660
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device 195:0 `/dev/nvidia0` below `tests/hosts/excluded-gpu`
            hint: join group 44, then log in again: `sudo usermod -aG "$(getent group 44 | cut -d: -f1)" "$USER"`
        "#]],
    );
    check_on(
        "auto",
        &host,
        expect![[r#"
            note: GPUs 0, 1 cannot be used: `/dev/nvidiactl` may not be opened by you: owner 0, group 44, mode 0660; to join group 44, then log in again: `sudo usermod -aG "$(getent group 44 | cut -d: -f1)" "$USER"`
            note: GPUs 0, 1 cannot be used: `/dev/nvidia-uvm` may not be opened by you: owner 0, group 44, mode 0660; to join group 44, then log in again: `sudo usermod -aG "$(getent group 44 | cut -d: -f1)" "$USER"`
        "#]],
    );
}

#[test]
fn root_is_judged_by_the_mode_like_anyone() {
    let locked = |mode| NodeFact { uid: 7, ..fact(Kind::Char { major: 195, minor: 1 }, mode, 0) };
    let host = |mode| Host::named("two-gpus").caller(0, &[]).with("/dev/nvidia1", locked(mode));
    check_on(
        "0",
        &host(0o600),
        expect![[r#"
            error: GPU 0 cannot be used: `/dev/nvidia1` may not be opened by you: owner 7, group 0, mode 0600
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device 195:1 `/dev/nvidia1` below `tests/hosts/two-gpus`
            hint: give the node the driver's default mode: `sudo nvidia-modprobe -c 1`
        "#]],
    );
    assert!(host(0o660).grants("0").is_ok());
}

#[test]
fn the_kernel_knows_more_than_the_mode_but_not_of_root() {
    let host = |uid, groups: &[u32]| Host::named("excluded-gpu").caller(uid, groups);
    for (host, want) in [
        (host(1000, &[44]), true),
        (host(1000, &[44]).with_kernel(false), false),
        (host(1000, &[]), false),
        (host(1000, &[]).with_kernel(true), true),
    ] {
        assert_eq!(host.grants("0").is_ok(), want);
    }
    // It would answer for capabilities that user 0 has outside alone.
    let locked = NodeFact { uid: 7, ..fact(Kind::Char { major: 195, minor: 1 }, 0o600, 0) };
    let root = Host::named("two-gpus").caller(0, &[]).with_kernel(true);
    assert!(root.grants("0").is_ok(), "the control");
    assert!(root.with("/dev/nvidia1", locked).grants("0").is_err());
}

#[test]
fn a_node_has_to_be_read_and_written() {
    for (mode, want) in [(0o666, true), (0o664, false), (0o662, false), (0o660, false)] {
        let host = Host::named("two-gpus").with("/dev/nvidia1", fact(Kind::Char { major: 195, minor: 1 }, mode, 0));
        assert_eq!(host.grants("0").is_ok(), want, "{mode:o}");
    }
}

#[test]
fn a_number_of_a_block_device_is_no_number_of_a_node() {
    let devices = |character, block| {
        let text = format!("Character devices:\n  1 mem\n{character}\nBlock devices:\n  8 sd\n{block}");
        Host::named("two-gpus").with_file("/proc/devices", Some(&text))
    };
    assert!(devices("510 nvidia-uvm\n", "").grants("0").is_ok(), "the control");
    assert!(devices("", "510 nvidia-uvm\n").grants("0").is_err());
}

#[test]
fn wsl_without_permission() {
    let host = Host::named("wsl2").with("/dev/dxg", fact(Kind::Char { major: 10, minor: 126 }, 0o600, 0));
    check_on(
        "all",
        &host,
        expect![[r#"
            error: `/dev/dxg` may not be opened by you: owner 0, group 0, mode 0600
              needed by: --gpu all
              looked for: character device 10:126 `/dev/dxg` below `tests/hosts/wsl2`
            hint: open the node to all users of the host: `sudo chmod 0666 /dev/dxg`
        "#]],
    );
}

#[test]
fn a_module_that_is_not_loaded() {
    check(
        "auto",
        "module-not-loaded",
        expect![[r#"
        note: no GPU found; 0000:01:00.0 (10de:2684): the NVIDIA kernel module is not loaded; 0000:41:00.0 (10de:2204): the driver `vfio-pci` holds it; to load the module on the host: `sudo nvidia-modprobe`
    "#]],
    );
    check(
        "all",
        "module-not-loaded",
        expect![[r#"
            error: no GPU found; 0000:01:00.0 (10de:2684): the NVIDIA kernel module is not loaded; 0000:41:00.0 (10de:2204): the driver `vfio-pci` holds it
              needed by: --gpu all
              looked for: `/proc/driver/nvidia/gpus`, `/dev/dxg`, `/sys/devices/virtual/kfd/kfd/topology/nodes`, `/sys/class/drm`, `/etc/nv_tegra_release`, `/sys/class/accel`, `/sys/class/habanalabs`, `/sys/class/neuron_device`, PCI display devices of vendor 10de below `tests/hosts/module-not-loaded`
            hint: load the module on the host: `sudo nvidia-modprobe`
        "#]],
    );
}

#[test]
fn a_regular_file_that_poses_as_a_node() {
    let host = Host::named("two-gpus").with("/dev/nvidia0", fact(Kind::File, 0o666, 0));
    check_on(
        "1",
        &host,
        expect![[r#"
        error: GPU 1 cannot be used: `/dev/nvidia0` is a regular file, not a character device
          needed by: gpu = [1] (agent.toml:7)
          looked for: character device 195:0 `/dev/nvidia0` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -c 0`
    "#]],
    );
    check_on(
        "auto",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 0 (auto), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 0 (auto), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0 (auto), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 0 (auto), memory and kernels of this GPU
            subset of nvidia
            note: GPU 1 cannot be used: `/dev/nvidia0` is a regular file, not a character device; to make the node on the host: `sudo nvidia-modprobe -c 0`
            note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
        "#]],
    );
    check_on(
        "0",
        &host,
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
fn a_link_that_poses_as_a_node() {
    let host = Host::named("two-gpus").with("/dev/nvidiactl", fact(Kind::Symlink, 0o777, 0));
    check_on(
        "0",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidiactl` is a symbolic link, not a character device
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 195:255 `/dev/nvidiactl` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -c 255`
    "#]],
    );
}

#[test]
fn a_stale_major() {
    let stale = Host::named("two-gpus").with("/dev/nvidia-uvm", char_device(509, 0));
    check_on(
        "all",
        &stale,
        expect![[r#"
            error: GPUs 0, 1 cannot be used: `/dev/nvidia-uvm` is device 509:0, but the driver answers to 510:0
              needed by: --gpu all
              looked for: character device 510:0 `/dev/nvidia-uvm` below `tests/hosts/two-gpus`
            hint: make the node on the host: `sudo nvidia-modprobe -u -c 0`
        "#]],
    );
    let tools = Host::named("two-gpus").with("/dev/nvidia-uvm-tools", char_device(509, 1));
    check_on(
        "0",
        &tools,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 0 (0 by agent.toml:7), CUDA unified memory
            device /dev/nvidia1 195:1 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
            subset of nvidia
            note: optional node left out (CUDA profiling events): `/dev/nvidia-uvm-tools` is device 509:1, but the driver answers to 510:1
            note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

#[test]
fn missing_nodes() {
    check_on(
        "0",
        &Host::named("two-gpus").without("/dev/nvidia1"),
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidia1` does not exist
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 195:1 `/dev/nvidia1` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -c 1`
    "#]],
    );
    check_on(
        "all",
        &Host::named("two-gpus").without("/dev/nvidiactl"),
        expect![[r#"
        error: GPUs 0, 1 cannot be used: `/dev/nvidiactl` does not exist
          needed by: --gpu all
          looked for: character device 195:255 `/dev/nvidiactl` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -c 255`
    "#]],
    );
    check_on(
        "all",
        &Host::named("two-gpus").without("/dev/nvidia-uvm"),
        expect![[r#"
        error: GPUs 0, 1 cannot be used: `/dev/nvidia-uvm` does not exist
          needed by: --gpu all
          looked for: character device 510:0 `/dev/nvidia-uvm` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -u -c 0`
    "#]],
    );
    // Where the driver's parameters forbid nvidia-modprobe to make nodes, it would do nothing and say nothing.
    check_on(
        "1",
        &Host::named("excluded-gpu").without("/dev/nvidia2"),
        expect![[r#"
        error: GPU 1 cannot be used: `/dev/nvidia2` does not exist
          needed by: gpu = [1] (agent.toml:7)
          looked for: character device 195:2 `/dev/nvidia2` below `tests/hosts/excluded-gpu`
        hint: make the node on the host: `sudo mknod -m 660 /dev/nvidia2 c 195 2 && sudo chown 0:44 /dev/nvidia2`
    "#]],
    );
}

#[test]
fn absent_uvm_tools_are_no_problem() {
    let plan = Host::named("two-gpus").without("/dev/nvidia-uvm-tools").grants("0").unwrap();
    let paths: Vec<_> = plan.devices.iter().map(|grant| grant.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia1"]);
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    // Nor are those that vanish before the start.
    let plan = Host::named("two-gpus").grants("0").unwrap();
    let optional: Vec<_> = plan.devices.iter().filter(|grant| !grant.required).map(|grant| &grant.path).collect();
    assert_eq!(optional, [std::path::Path::new("/dev/nvidia-uvm-tools")]);
}

#[test]
fn uvm_without_permission_is_cured_by_its_tool_whatever_the_parameters() {
    let host = Host::named("excluded-gpu").with("/dev/nvidia-uvm", fact(Kind::Char { major: 511, minor: 0 }, 0o600, 0));
    check_on(
        "0",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidia-uvm` may not be opened by you: owner 0, group 0, mode 0600
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 511:0 `/dev/nvidia-uvm` below `tests/hosts/excluded-gpu`
        hint: give the node the driver's default mode: `sudo nvidia-modprobe -u -c 0`
    "#]],
    );
}

#[test]
fn a_file_in_the_way_where_nodes_are_made_by_hand() {
    let host = Host::named("excluded-gpu").with("/dev/nvidia0", fact(Kind::Dir, 0o755, 0));
    check_on(
        "0",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidia0` is a directory, not a character device
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 195:0 `/dev/nvidia0` below `tests/hosts/excluded-gpu`
        hint: make the node on the host: `sudo rm -d /dev/nvidia0 && sudo mknod -m 660 /dev/nvidia0 c 195 0 && sudo chown 0:44 /dev/nvidia0`
    "#]],
    );
}

#[test]
fn a_truncated_or_binary_file_of_proc_is_never_a_wrong_answer() {
    let information = "/proc/driver/nvidia/gpus/0000:17:00.0/information";
    let binary: String = (0..4096).map(|at| char::from_u32(at % 251 + 1).unwrap()).collect();
    check_on(
        "0",
        &Host::named("two-gpus").with_file(information, Some("Model: \t\t NVIDIA L40S\nIRQ:   \t\t 187\nGPU UU")),
        expect![[r#"
            error: GPU 0 cannot be used: the driver does not tell its minor number
              needed by: gpu = [0] (agent.toml:7)
              looked for: `Device Minor` in `/proc/driver/nvidia/gpus/0000:17:00.0/information` below `tests/hosts/two-gpus`
            hint: see what the driver reports: `nvidia-smi -q`
        "#]],
    );
    check_on(
        "0",
        &Host::named("two-gpus").with_file(information, Some(&binary)),
        expect![[r#"
        error: GPU 0 cannot be used: the driver does not tell its minor number
          needed by: gpu = [0] (agent.toml:7)
          looked for: `Device Minor` in `/proc/driver/nvidia/gpus/0000:17:00.0/information` below `tests/hosts/two-gpus`
        hint: see what the driver reports: `nvidia-smi -q`
    "#]],
    );
    check_on(
        "0",
        &Host::named("two-gpus").with_file(information, None),
        expect![[r#"
        error: GPU 0 cannot be used: the driver does not tell its minor number
          needed by: gpu = [0] (agent.toml:7)
          looked for: `Device Minor` in `/proc/driver/nvidia/gpus/0000:17:00.0/information` below `tests/hosts/two-gpus`
        hint: see what the driver reports: `nvidia-smi -q`
    "#]],
    );
    check_on(
        "0",
        &Host::named("two-gpus").with_file("/proc/devices", Some(&binary)),
        expect![[r#"
        error: GPU 0 cannot be used: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device `/dev/nvidia-uvm` below `tests/hosts/two-gpus`
        hint: load the module on the host: `sudo nvidia-modprobe -u -c 0`
    "#]],
    );
    check_on(
        "0",
        &Host::named("two-gpus").with_file("/proc/devices", Some("Character devices:\n  1 mem\n510 nvid")),
        expect![[r#"
            error: GPU 0 cannot be used: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/nvidia-uvm` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo nvidia-modprobe -u -c 0`
        "#]],
    );
    let topology = "/sys/devices/virtual/kfd/kfd/topology/nodes/2/properties";
    check_on(
        "amd:GPU-9fa35251bada9111",
        &Host::named("mi300").caller(1000, &[993]).with_file(topology, Some("simd_count 1216\nlocation_id 30")),
        expect![[r#"
            error: GPU amd:GPU-9fa35251bada9111 cannot be used: no such GPU, this machine has amd:0, GPU-619ffce5ea49c34e, GPU-619ffce5ea49c34e
              needed by: gpu = ["amd:GPU-9fa35251bada9111"] (agent.toml:7)
              looked for: `/sys/devices/virtual/kfd/kfd/topology/nodes` below `tests/hosts/mi300`
            hint: see which GPUs there are: `ringfence gpus`
        "#]],
    );
    check_on(
        "amd:0",
        &Host::named("mi300").caller(1000, &[993]).with_file(topology, Some(&binary)),
        expect![[r#"
            error: GPU amd:0 cannot be used: there is no `/dev/dri/renderD*`: nothing of the kind in `/sys/class/drm`
              needed by: gpu = ["amd:0"] (agent.toml:7)
              looked for: character device `/dev/dri/renderD*` below `tests/hosts/mi300`
            hint: have the node made again by udev: `sudo udevadm trigger --action=add`
        "#]],
    );
    // The version is only told.
    assert!(Host::named("two-gpus").with_file("/proc/driver/nvidia/version", Some(&binary)).grants("0").is_ok());
}
