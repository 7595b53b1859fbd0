//! GPUs in MIG mode: exactly the capabilities of the instances that exist.

use expect_test::expect;
use ringfence::host::gpu::show;
use ringfence::host::paths::Kind;

use crate::lab::{Host, char_device, check, check_on, fact};

const MINORS: &str = "/proc/driver/nvidia-caps/mig-minors";
/// All that there is of GPU 0.
const PARTS: &str = "mig:0/1/0,mig:0/5/0,mig:0/5/1";
const GPU_0: &str = "/proc/driver/nvidia/capabilities/gpu0/mig";

#[test]
fn every_wish_that_includes_the_gpu_gets_all_its_instances() {
    check(
        "auto",
        "mig",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (auto), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0, 1 (auto), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0, 1 (auto), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu 0 (auto), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap12 511:12 because gpu: gpu 0 (auto), MIG instance 1
        device /dev/nvidia-caps/nvidia-cap13 511:13 because gpu: gpu 0 (auto), MIG instance 1, compute instance 0
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu 0 (auto), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap49 511:49 because gpu: gpu 0 (auto), MIG instance 5, compute instance 0
        device /dev/nvidia-caps/nvidia-cap50 511:50 because gpu: gpu 0 (auto), MIG instance 5, compute instance 1
        device /dev/nvidia1 195:1 because gpu: gpu 1 (auto), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check(
        "all",
        "mig",
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (all by --gpu), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0, 1 (all by --gpu), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0, 1 (all by --gpu), CUDA profiling events
        device /dev/nvidia0 195:0 because gpu: gpu 0 (all by --gpu), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap12 511:12 because gpu: gpu 0 (all by --gpu), MIG instance 1
        device /dev/nvidia-caps/nvidia-cap13 511:13 because gpu: gpu 0 (all by --gpu), MIG instance 1, compute instance 0
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu 0 (all by --gpu), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap49 511:49 because gpu: gpu 0 (all by --gpu), MIG instance 5, compute instance 0
        device /dev/nvidia-caps/nvidia-cap50 511:50 because gpu: gpu 0 (all by --gpu), MIG instance 5, compute instance 1
        device /dev/nvidia1 195:1 because gpu: gpu 1 (all by --gpu), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check(
        "0",
        "mig",
        expect![[r#"
            error: GPU 0 cannot be used: it is in MIG mode, programs run on its instances: mig:0/1/0, mig:0/5/0, mig:0/5/1
              needed by: gpu = [0] (agent.toml:7)
            hint: name the instances that it is to have: `--gpu mig:0/1/0`
        "#]],
    );
}

#[test]
fn another_gpu_gets_none_of_them() {
    check(
        "1",
        "mig",
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (1 by agent.toml:7), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (1 by agent.toml:7), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (1 by agent.toml:7), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 1 (1 by agent.toml:7), memory and kernels of this GPU
            subset of nvidia
            note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

/// The fixture has `nvidia-cap1` and `-cap2`, and lists a minor for every slot of both GPUs.
#[test]
fn no_other_capability_is_granted() {
    let existing = [12, 13, 48, 49, 50];
    let mut host = Host::named("mig");
    for minor in (0..300).filter(|minor| !existing.contains(minor)) {
        host = host.with(&format!("/dev/nvidia-caps/nvidia-cap{minor}"), char_device(511, minor));
    }
    for wish in ["auto", "all", PARTS, &format!("1,{PARTS}")] {
        let plan = host.grants(wish).unwrap();
        let caps = plan.devices.iter().filter(|device| device.major == 511);
        assert_eq!(caps.map(|device| device.minor).collect::<Vec<_>>(), existing, "{wish}");
    }
}

#[test]
fn slots_go_by_the_minor_of_the_gpu_and_not_by_its_index() {
    // The minors of these two are the reverse of their indices.
    let list = "gpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu1/gi1/access 147\ngpu1/gi1/ci0/access 148\n";
    let mut host = Host::named("two-gpus")
        .with_file(MINORS, Some(list))
        .with_file("/proc/driver/nvidia/capabilities/gpu1/mig/gi1/access", Some("DeviceFileMinor: 147\n"))
        .with_file("/proc/driver/nvidia/capabilities/gpu1/mig/gi1/ci0/access", Some("DeviceFileMinor: 148\n"));
    for minor in [12, 13, 147, 148] {
        host = host.with(&format!("/dev/nvidia-caps/nvidia-cap{minor}"), char_device(511, minor));
    }
    check_on(
        "mig:0/1/0",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), memory and kernels of this GPU
            device /dev/nvidia-caps/nvidia-cap147 511:147 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), MIG instance 1
            device /dev/nvidia-caps/nvidia-cap148 511:148 because gpu: gpu mig:0/1/0 (mig:0/1/0 by agent.toml:7), MIG instance 1, compute instance 0
            subset of nvidia
            note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

#[test]
fn a_node_that_was_never_made() {
    let host = Host::named("mig").without("/dev/nvidia-caps/nvidia-cap12").without("/dev/nvidia-caps/nvidia-cap50");
    check_on(
        PARTS,
        &host,
        expect![[r#"
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: `/dev/nvidia-caps/nvidia-cap12` does not exist
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: character device 511:12 `/dev/nvidia-caps/nvidia-cap12` below `tests/hosts/mig`
            hint: make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access`
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: `/dev/nvidia-caps/nvidia-cap50` does not exist
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: character device 511:50 `/dev/nvidia-caps/nvidia-cap50` below `tests/hosts/mig`
            hint: make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi5/ci1/access`
        "#]],
    );
    check_on(
        "auto",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (auto), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (auto), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (auto), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 1 (auto), memory and kernels of this GPU
            subset of nvidia
            note: GPU 0 cannot be used: `/dev/nvidia-caps/nvidia-cap12` does not exist; to make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access`
            note: GPU 0 cannot be used: `/dev/nvidia-caps/nvidia-cap50` does not exist; to make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi5/ci1/access`
            note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
    check_on(
        "1",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (1 by agent.toml:7), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (1 by agent.toml:7), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (1 by agent.toml:7), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 1 (1 by agent.toml:7), memory and kernels of this GPU
            subset of nvidia
            note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

#[test]
fn a_node_with_another_number_or_of_another_kind() {
    let host = Host::named("mig")
        .with("/dev/nvidia-caps/nvidia-cap12", char_device(510, 12))
        .with("/dev/nvidia-caps/nvidia-cap13", char_device(511, 1))
        .with("/dev/nvidia-caps/nvidia-cap48", fact(Kind::Symlink, 0o777, 0));
    check_on(
        "all",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidia-caps/nvidia-cap12` is device 510:12, but the driver answers to 511:12
          needed by: --gpu all
          looked for: character device 511:12 `/dev/nvidia-caps/nvidia-cap12` below `tests/hosts/mig`
        hint: make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access`
        error: GPU 0 cannot be used: `/dev/nvidia-caps/nvidia-cap13` is device 511:1, but the driver answers to 511:13
          needed by: --gpu all
          looked for: character device 511:13 `/dev/nvidia-caps/nvidia-cap13` below `tests/hosts/mig`
        hint: make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi1/ci0/access`
        error: GPU 0 cannot be used: `/dev/nvidia-caps/nvidia-cap48` is a symbolic link, not a character device
          needed by: --gpu all
          looked for: character device 511:48 `/dev/nvidia-caps/nvidia-cap48` below `tests/hosts/mig`
        hint: make the node on the host: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi5/access`
    "#]],
    );
}

#[test]
fn a_capability_need_only_be_readable() {
    let node = |mode, gid| fact(Kind::Char { major: 511, minor: 12 }, mode, gid);
    let host = |mode, gid| Host::named("mig").with("/dev/nvidia-caps/nvidia-cap12", node(mode, gid));
    assert!(host(0o440, 44).grants(PARTS).is_ok());
    check_on(
        PARTS,
        &host(0o400, 0),
        expect![[r#"
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: `/dev/nvidia-caps/nvidia-cap12` may not be opened by you: owner 0, group 0, mode 0400
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: character device 511:12 `/dev/nvidia-caps/nvidia-cap12` below `tests/hosts/mig`
            hint: give the node the driver's default mode: `sudo nvidia-modprobe -f /proc/driver/nvidia/capabilities/gpu0/mig/gi1/access`
        "#]],
    );
    check_on(
        PARTS,
        &host(0o440, 993),
        expect![[r#"
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: `/dev/nvidia-caps/nvidia-cap12` may not be opened by you: owner 0, group 993, mode 0440
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: character device 511:12 `/dev/nvidia-caps/nvidia-cap12` below `tests/hosts/mig`
            hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        "#]],
    );
}

#[test]
fn the_driver_registers_no_capabilities() {
    let host = Host::named("mig");
    let devices = host.read("/proc/devices").replace("511 nvidia-caps\n", "");
    let host = host.with_file("/proc/devices", Some(&devices));
    check_on(
        PARTS,
        &host,
        expect![[r#"
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: `nvidia-caps` is not listed in `/proc/devices`, so the driver gives no access to MIG instances
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: character device `/dev/nvidia-caps/nvidia-cap12` below `tests/hosts/mig`
            hint: see why the driver did not register it: `sudo dmesg | grep NVRM`
        "#]],
    );
    check_on(
        "auto",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (auto), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (auto), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (auto), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 1 (auto), memory and kernels of this GPU
            subset of nvidia
            note: GPU 0 cannot be used: `nvidia-caps` is not listed in `/proc/devices`, so the driver gives no access to MIG instances; to see why the driver did not register it: `sudo dmesg | grep NVRM`
            note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
}

#[test]
fn an_instance_that_the_list_of_minors_lacks() {
    let host = Host::named("mig");
    let list = host.read(MINORS).replace("gpu0/gi5/ci1/access 50\n", "");
    let host = host.with_file(MINORS, Some(&list));
    check_on(
        PARTS,
        &host,
        expect![[r#"
            error: GPUs mig:0/1/0, mig:0/5/0, mig:0/5/1 cannot be used: MIG instance 5, compute instance 1 is not listed in `/proc/driver/nvidia-caps/mig-minors`
              needed by: gpu = ["mig:0/1/0", "mig:0/5/0", "mig:0/5/1"] (agent.toml:7)
              looked for: `gpu0/gi5/ci1/access` in `/proc/driver/nvidia-caps/mig-minors` below `tests/hosts/mig`
            hint: see which instances the driver lists: `cat /proc/driver/nvidia-caps/mig-minors`
        "#]],
    );
    check_on(
        "auto",
        &host,
        expect![[r#"
            device /dev/nvidiactl 195:255 because gpu: gpu 1 (auto), driver control
            device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (auto), CUDA unified memory
            device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (auto), CUDA profiling events
            device /dev/nvidia1 195:1 because gpu: gpu 1 (auto), memory and kernels of this GPU
            subset of nvidia
            note: GPU 0 cannot be used: MIG instance 5, compute instance 1 is not listed in `/proc/driver/nvidia-caps/mig-minors`; to see which instances the driver lists: `cat /proc/driver/nvidia-caps/mig-minors`
            note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
        "#]],
    );
    assert_eq!(host.with_file(MINORS, None).grants(PARTS).unwrap_err().len(), 5);
}

#[test]
fn instances_without_a_compute_instance() {
    let host = ["gi1/ci0", "gi5/ci0", "gi5/ci1"]
        .iter()
        .fold(Host::named("mig"), |host, gone| host.with_file(&format!("{GPU_0}/{gone}"), None));
    check_on(
        "0",
        &host,
        expect![[r#"
        error: GPU 0 cannot be used: it is in MIG mode and has no compute instance
          needed by: gpu = [0] (agent.toml:7)
          looked for: `/proc/driver/nvidia/capabilities/gpu0/mig/gi*/ci*` below `tests/hosts/mig`
        hint: make one in each GPU instance: `sudo nvidia-smi mig -cci -i 0000:18:00.0`
    "#]],
    );
    // One is enough for a program to run on.
    let one = Host::named("mig").with_file(&format!("{GPU_0}/gi1/ci0"), None);
    assert!(one.grants("mig:0/5/0,mig:0/5/1").is_ok());
}

#[test]
fn lines_and_entries_that_mean_nothing_change_nothing() {
    let host = Host::named("mig");
    let list = format!("\n?\ngpu0/gi1/access\ngpu0/gi1/access -3\n{}\u{fffd}\n", host.read(MINORS));
    let host = host
        .with_file(MINORS, Some(&list))
        .with_file(&format!("{GPU_0}/gi01/access"), Some(""))
        .with_file(&format!("{GPU_0}/gi/access"), Some(""))
        .with_file(&format!("{GPU_0}/gi5/ci+2/access"), Some(""))
        .with_file(&format!("{GPU_0}/readme"), Some(""));
    assert_eq!(host.gpus(), Host::named("mig").gpus());
}

#[test]
fn listings() {
    let host = Host::named("mig").without("/dev/nvidia-caps/nvidia-cap49");
    expect![[r#"
        NVIDIA driver 570.211.01, open kernel module
        GPU  bus id        minor  model                  UUID                                      usable
        0    0000:18:00.0  0      NVIDIA H100 80GB HBM3  GPU-a1b2c3d4-1111-4222-8333-444455556666  no: `/dev/nvidia-caps/nvidia-cap49` does not exist
        1    0000:9a:00.0  1      NVIDIA H100 80GB HBM3  GPU-d4c3b2a1-7777-4888-9999-aaaabbbbcccc  yes

        shared node            number   for                    usable
        /dev/nvidiactl         195:255  driver control         yes
        /dev/nvidia-uvm        510:0    CUDA unified memory    yes
        /dev/nvidia-uvm-tools  510:1    CUDA profiling events  yes
        /dev/nvidia-modeset    195:254  display modes          yes

        MIG node                       number  for                                        usable
        /dev/nvidia-caps/nvidia-cap12  511:12  GPU 0, MIG instance 1                      yes
        /dev/nvidia-caps/nvidia-cap13  511:13  GPU 0, MIG instance 1, compute instance 0  yes
        /dev/nvidia-caps/nvidia-cap48  511:48  GPU 0, MIG instance 5                      yes
        /dev/nvidia-caps/nvidia-cap49  511:49  GPU 0, MIG instance 5, compute instance 0  no: `/dev/nvidia-caps/nvidia-cap49` does not exist
        /dev/nvidia-caps/nvidia-cap50  511:50  GPU 0, MIG instance 5, compute instance 1  yes
    "#]].assert_eq(&show::table(&host.gpus()));
    let view = show::view(&host.gpus());
    expect![[r#"
        {
          "name": "0",
          "index": 0,
          "vendor": "nvidia",
          "bus": "0000:18:00.0",
          "partition": null,
          "uuid": "GPU-a1b2c3d4-1111-4222-8333-444455556666",
          "minor": 0,
          "render": 128,
          "model": "NVIDIA H100 80GB HBM3",
          "numa": 0,
          "mig": [
            {
              "id": 1,
              "node": {
                "path": "/dev/nvidia-caps/nvidia-cap12",
                "number": {
                  "major": 511,
                  "minor": 12
                },
                "needed_for": "MIG instance 1",
                "class": "compute",
                "required": true,
                "fault": null
              },
              "compute": [
                {
                  "id": 0,
                  "node": {
                    "path": "/dev/nvidia-caps/nvidia-cap13",
                    "number": {
                      "major": 511,
                      "minor": 13
                    },
                    "needed_for": "MIG instance 1, compute instance 0",
                    "class": "compute",
                    "required": true,
                    "fault": null
                  }
                }
              ]
            },
            {
              "id": 5,
              "node": {
                "path": "/dev/nvidia-caps/nvidia-cap48",
                "number": {
                  "major": 511,
                  "minor": 48
                },
                "needed_for": "MIG instance 5",
                "class": "compute",
                "required": true,
                "fault": null
              },
              "compute": [
                {
                  "id": 0,
                  "node": {
                    "path": "/dev/nvidia-caps/nvidia-cap49",
                    "number": {
                      "major": 511,
                      "minor": 49
                    },
                    "needed_for": "MIG instance 5, compute instance 0",
                    "class": "compute",
                    "required": true,
                    "fault": "`/dev/nvidia-caps/nvidia-cap49` does not exist"
                  }
                },
                {
                  "id": 1,
                  "node": {
                    "path": "/dev/nvidia-caps/nvidia-cap50",
                    "number": {
                      "major": 511,
                      "minor": 50
                    },
                    "needed_for": "MIG instance 5, compute instance 1",
                    "class": "compute",
                    "required": true,
                    "fault": null
                  }
                }
              ]
            }
          ],
          "nodes": [
            {
              "path": "/dev/nvidia0",
              "number": {
                "major": 195,
                "minor": 0
              },
              "needed_for": "memory and kernels of this GPU",
              "class": "utility",
              "required": true,
              "fault": null
            },
            {
              "path": "/dev/dri/renderD128",
              "number": {
                "major": 226,
                "minor": 128
              },
              "needed_for": "EGL, Vulkan and VA-API",
              "class": "graphics",
              "required": true,
              "fault": "`/dev/dri/renderD128` may not be opened by you: owner 0, group 993, mode 0660"
            },
            {
              "path": "/dev/dri/card1",
              "number": {
                "major": 226,
                "minor": 1
              },
              "needed_for": "a display",
              "class": "display",
              "required": true,
              "fault": null
            }
          ],
          "usable": false,
          "faults": [
            "`/dev/nvidia-caps/nvidia-cap49` does not exist"
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&view.gpus[0]).unwrap());
}

#[test]
fn a_machine_with_64_instances() {
    let root = tempfile::tempdir().unwrap();
    let nodes = crate::many::make(root.path());
    let host = nodes.iter().fold(Host::below(root.path()), |host, (path, major, minor)| {
        host.with(path.to_str().unwrap(), char_device(*major, *minor))
    });
    let plan = host.grants("all").unwrap();
    assert_eq!(plan.devices.len(), 3 + 16 + 2 * 64);
    let one = host.grants("mig:7/3/0").unwrap();
    let minors: Vec<_> = one.devices.iter().filter(|grant| grant.major == 511).map(|grant| grant.minor).collect();
    assert_eq!(minors, [3 + 135 * 7 + 9 * 3, 3 + 135 * 7 + 9 * 3 + 1]);
}
