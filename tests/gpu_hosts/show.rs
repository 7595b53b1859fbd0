//! What discovery reports, as text and as data.

use std::path::Path;

use expect_test::{Expect, expect};
use ringfence::host::gpu::{self, NodeLookup, Scope, show};
use ringfence::host::paths::Kind;

use crate::lab::Host;

#[test]
fn what_is_read_of_a_driver() {
    let gpus = Host::named("excluded-gpu").gpus();
    expect![[r#"
        Some(
            Driver {
                version: Some(
                    "535.183.01",
                ),
                open: false,
                params: Params {
                    modify_device_files: Some(
                        false,
                    ),
                    uid: Some(
                        0,
                    ),
                    gid: Some(
                        44,
                    ),
                    mode: Some(
                        432,
                    ),
                    excluded: Some(
                        "GPU-22222222-2222-4222-8222-222222222222",
                    ),
                    profiling_admin_only: Some(
                        true,
                    ),
                },
            },
        )
    "#]]
    .assert_debug_eq(&gpus.driver);
    assert_eq!(Host::named("two-gpus").gpus().driver.unwrap().version.unwrap(), "595.45.04");
    assert!(Host::named("two-gpus").gpus().driver.unwrap().open);
}

fn check_table(host: &str, expect: Expect) {
    expect.assert_eq(&show::table(&Host::named(host).gpus()));
}

#[test]
fn tables() {
    check_table(
        "two-gpus",
        expect![[r#"
            NVIDIA driver 595.45.04, open kernel module
            GPU  bus id        minor  model        UUID                                      usable
            0    0000:17:00.0  1      NVIDIA L40S  GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5  yes
            1    0000:ca:00.0  0      NVIDIA L40S  GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a  yes

            shared node            number   for                    usable
            /dev/nvidiactl         195:255  driver control         yes
            /dev/nvidia-uvm        510:0    CUDA unified memory    yes
            /dev/nvidia-uvm-tools  510:1    CUDA profiling events  yes
            /dev/nvidia-modeset    195:254  display modes          yes
        "#]],
    );
    check_table(
        "no-uvm",
        expect![[r#"
            NVIDIA driver 580.95.05, open kernel module
            GPU  bus id        minor  model                    UUID                                      usable
            0    0000:65:00.0  0      NVIDIA GeForce RTX 4090  GPU-5a5a5a5a-1234-4567-89ab-0123456789ab  no: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded

            shared node            number   for                    usable
            /dev/nvidiactl         195:255  driver control         yes
            /dev/nvidia-uvm        -        CUDA unified memory    no: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded
            /dev/nvidia-uvm-tools  -        CUDA profiling events  no, can do without: `nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded
            /dev/nvidia-modeset    195:254  display modes          yes
        "#]],
    );
    check_table(
        "mig",
        expect![[r#"
            NVIDIA driver 570.211.01, open kernel module
            GPU  bus id        minor  model                  UUID                                      usable
            0    0000:18:00.0  0      NVIDIA H100 80GB HBM3  GPU-a1b2c3d4-1111-4222-8333-444455556666  yes
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
            /dev/nvidia-caps/nvidia-cap49  511:49  GPU 0, MIG instance 5, compute instance 0  yes
            /dev/nvidia-caps/nvidia-cap50  511:50  GPU 0, MIG instance 5, compute instance 1  yes
        "#]],
    );
    check_table(
        "excluded-gpu",
        expect![[r#"
            NVIDIA driver 535.183.01, proprietary kernel module
            GPU  bus id        minor  model       UUID                                      usable
            0    0000:01:00.0  0      NVIDIA A40  GPU-11111111-1111-4111-8111-111111111111  yes
            -    0000:41:00.0  1      NVIDIA A40  GPU-22222222-2222-4222-8222-222222222222  no: the driver excludes it
            1    0000:81:00.0  2      NVIDIA A40  GPU-33333333-3333-4333-8333-333333333333  yes

            shared node            number   for                    usable
            /dev/nvidiactl         195:255  driver control         yes
            /dev/nvidia-uvm        511:0    CUDA unified memory    yes
            /dev/nvidia-uvm-tools  511:1    CUDA profiling events  yes
            /dev/nvidia-modeset    195:254  display modes          yes
        "#]],
    );
    check_table(
        "wsl2",
        expect![[r#"
        WSL2: the Windows host decides which GPUs there are, and one node is for all of them

        shared node  number  for                           usable
        /dev/dxg     10:126  all GPUs of the Windows host  yes
    "#]],
    );
    check_table(
        "no-gpu",
        expect![[r#"
            no GPU found, looked for: `/proc/driver/nvidia/gpus`, `/dev/dxg`, `/sys/devices/virtual/kfd/kfd/topology/nodes`, `/sys/class/drm`, `/etc/nv_tegra_release`, `/sys/class/accel`, `/sys/class/habanalabs`, `/sys/class/neuron_device`, `/sys/class/vfio`, PCI display devices of vendor 10de below `tests/hosts/no-gpu`
        "#]],
    );
    check_table(
        "module-not-loaded",
        expect![[r#"
            no GPU found, looked for: `/proc/driver/nvidia/gpus`, `/dev/dxg`, `/sys/devices/virtual/kfd/kfd/topology/nodes`, `/sys/class/drm`, `/etc/nv_tegra_release`, `/sys/class/accel`, `/sys/class/habanalabs`, `/sys/class/neuron_device`, `/sys/class/vfio`, PCI display devices of vendor 10de below `tests/hosts/module-not-loaded`
            not usable: 0000:01:00.0 (10de:2684): the NVIDIA kernel module is not loaded
            not usable: 0000:41:00.0 (10de:2204): the driver `vfio-pci` holds it
        "#]],
    );
}

#[test]
fn json() {
    let view = show::view(&Host::named("no-uvm").gpus());
    expect![[r#"
        {
          "driver": {
            "version": "580.95.05",
            "open": true
          },
          "gpus": [
            {
              "name": "0",
              "index": 0,
              "vendor": "nvidia",
              "bus": "0000:65:00.0",
              "partition": null,
              "uuid": "GPU-5a5a5a5a-1234-4567-89ab-0123456789ab",
              "minor": 0,
              "render": 128,
              "model": "NVIDIA GeForce RTX 4090",
              "numa": null,
              "mig": [],
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
                  "fault": "`/dev/dri/renderD128` may not be opened by you: owner 0, group 0, mode 0660"
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
                  "fault": "`/dev/dri/card1` may not be opened by you: owner 0, group 0, mode 0660"
                }
              ],
              "usable": false,
              "faults": [
                "`nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded"
              ]
            }
          ],
          "shared": [
            {
              "path": "/dev/nvidiactl",
              "number": {
                "major": 195,
                "minor": 255
              },
              "needed_for": "driver control",
              "class": "utility",
              "required": true,
              "fault": null
            },
            {
              "path": "/dev/nvidia-uvm",
              "number": null,
              "needed_for": "CUDA unified memory",
              "class": "compute",
              "required": true,
              "fault": "`nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded"
            },
            {
              "path": "/dev/nvidia-uvm-tools",
              "number": null,
              "needed_for": "CUDA profiling events",
              "class": "compute",
              "required": false,
              "fault": "`nvidia-uvm` is not listed in `/proc/devices`, so its kernel module is not loaded"
            },
            {
              "path": "/dev/nvidia-modeset",
              "number": {
                "major": 195,
                "minor": 254
              },
              "needed_for": "display modes",
              "class": "display",
              "required": true,
              "fault": null
            },
            {
              "path": "/dev/infiniband/uverbs*",
              "number": null,
              "needed_for": "RDMA verbs: NCCL over InfiniBand",
              "class": "rdma",
              "required": true,
              "fault": "there is no `/dev/infiniband/uverbs*`: nothing of the kind in `/sys/class/infiniband_verbs`"
            },
            {
              "path": "/dev/infiniband/rdma_cm",
              "number": null,
              "needed_for": "the RDMA connection manager",
              "class": "rdma",
              "required": true,
              "fault": "`rdma_cm` is not listed in `/proc/misc`, so its kernel module is not loaded"
            },
            {
              "path": "/dev/nvidia-fs*",
              "number": null,
              "needed_for": "GPUDirect Storage",
              "class": "gds",
              "required": true,
              "fault": "there is no `/dev/nvidia-fs*`: nothing of the kind in `/sys/class/nvidia-fs-class`"
            },
            {
              "path": "/dev/gdrdrv",
              "number": null,
              "needed_for": "GDRCopy",
              "class": "gdrcopy",
              "required": true,
              "fault": "`gdrdrv` is not listed in `/proc/devices`, so its kernel module is not loaded"
            }
          ],
          "unheld": [],
          "cdi": [],
          "libraries": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn every_row_says_where_it_is_written_down() {
    for row in gpu::rows::all() {
        assert!(row.path.starts_with("/dev/") && !row.needed_for.is_empty() && row.source.len() > 20, "{row:?}");
        assert_eq!(row.scope == Scope::Shared, !row.path.contains(['#', '*']), "{row:?}");
    }
}

#[test]
fn the_real_lookup_sees_a_node_and_does_not_follow_links() {
    let nodes = gpu::HostNodes::below(Path::new("/"));
    let null = nodes.node(Path::new("/dev/null")).unwrap();
    assert_eq!(null.kind, Kind::Char { major: 1, minor: 3 });
    assert!(null.id.is_some());
    assert_eq!(nodes.node(Path::new("/proc/self")).unwrap().kind, Kind::Symlink);
    assert_eq!(nodes.node(Path::new("/dev/ringfence-none")), None);
}
