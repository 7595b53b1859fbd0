//! What each class grants beside compute.

use expect_test::expect;

use crate::lab::{Host, check_on};

fn two(classes: &str) -> Host {
    // Its nodes of DRM are root's.
    Host::named("two-gpus").caller(0, &[]).for_classes(classes)
}

#[test]
fn utility_needs_no_unified_memory() {
    check_on(
        "0",
        &two("utility"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia1 195:1 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        subset of nvidia
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "0",
        &Host::named("no-uvm").for_classes("utility"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia0 195:0 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        note: a GPU is granted: its driver (version 580.95.05) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "0",
        &Host::named("mig").for_classes("utility"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia0 195:0 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        device /dev/nvidia-caps/nvidia-cap12 511:12 because gpu: gpu 0 (0 by agent.toml:7), MIG instance 1
        device /dev/nvidia-caps/nvidia-cap13 511:13 because gpu: gpu 0 (0 by agent.toml:7), MIG instance 1, compute instance 0
        device /dev/nvidia-caps/nvidia-cap48 511:48 because gpu: gpu 0 (0 by agent.toml:7), MIG instance 5
        device /dev/nvidia-caps/nvidia-cap49 511:49 because gpu: gpu 0 (0 by agent.toml:7), MIG instance 5, compute instance 0
        device /dev/nvidia-caps/nvidia-cap50 511:50 because gpu: gpu 0 (0 by agent.toml:7), MIG instance 5, compute instance 1
        subset of nvidia
        note: a GPU is granted: its driver (version 570.211.01) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn graphics_have_the_render_node_of_the_selection() {
    check_on(
        "0",
        &two("graphics"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia1 195:1 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/renderD128 226:128 because gpu: gpu 0 (0 by agent.toml:7), EGL, Vulkan and VA-API
        link /dev/dri/by-path/pci-0000:17:00.0-render to ../renderD128
        subset of nvidia
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "1",
        &two("compute,graphics,display"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 1 (1 by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 1 (1 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 1 (1 by agent.toml:7), CUDA profiling events
        device /dev/nvidia-modeset 195:254 because gpu: gpu 1 (1 by agent.toml:7), display modes
        device /dev/nvidia0 195:0 because gpu: gpu 1 (1 by agent.toml:7), memory and kernels of this GPU
        device /dev/dri/renderD129 226:129 because gpu: gpu 1 (1 by agent.toml:7), EGL, Vulkan and VA-API
        device /dev/dri/card2 226:2 because gpu: gpu 1 (1 by agent.toml:7), a display
        link /dev/dri/by-path/pci-0000:ca:00.0-render to ../renderD129
        link /dev/dri/by-path/pci-0000:ca:00.0-card to ../card2
        subset of nvidia
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "1",
        &two("graphics").with_file("/sys/bus/pci/devices/0000:ca:00.0/drm", None),
        expect![[r#"
            error: GPU 1 cannot be used: there is no `/dev/dri/renderD*`: nothing of the kind in `/sys/class/drm`
              needed by: gpu = [1] (agent.toml:7)
              looked for: character device `/dev/dri/renderD*` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo modprobe nvidia-drm`
        "#]],
    );
    check_on(
        "all",
        &Host::named("mig").for_classes("compute,graphics"),
        expect![[r#"
        error: GPU 1 cannot be used: `/dev/dri/renderD129` may not be opened by you: owner 0, group 993, mode 0660
          needed by: --gpu all
          looked for: character device 226:129 `/dev/dri/renderD129` below `tests/hosts/mig`
        hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
    "#]],
    );
}

#[test]
fn fabrics_are_granted_by_name() {
    check_on(
        "nvidia:0",
        &Host::named("mixed").for_classes("rdma"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (nvidia:0 by agent.toml:7), driver control
        device /dev/nvidia-uvm 508:0 because gpu: gpu 0 (nvidia:0 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 508:1 because gpu: gpu 0 (nvidia:0 by agent.toml:7), CUDA profiling events
        device /dev/infiniband/uverbs0 231:192 because gpu: gpu 0 (nvidia:0 by agent.toml:7), RDMA verbs: NCCL over InfiniBand
        device /dev/infiniband/uverbs1 231:193 because gpu: gpu 0 (nvidia:0 by agent.toml:7), RDMA verbs: NCCL over InfiniBand
        device /dev/infiniband/rdma_cm 10:122 because gpu: gpu 0 (nvidia:0 by agent.toml:7), the RDMA connection manager
        device /dev/nvidia0 195:0 because gpu: gpu 0 (nvidia:0 by agent.toml:7), memory and kernels of this GPU
        note: gpu class rdma: RDMA pins memory: the limit of locked memory is the caller's (`ulimit -l`)
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "0",
        &two("rdma"),
        expect![[r#"
            error: GPU 0 cannot be used: there is no `/dev/infiniband/uverbs*`: nothing of the kind in `/sys/class/infiniband_verbs`
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/infiniband/uverbs*` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo modprobe ib_uverbs`
            error: GPU 0 cannot be used: `rdma_cm` is not listed in `/proc/misc`, so its kernel module is not loaded
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/infiniband/rdma_cm` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo modprobe rdma_ucm`
        "#]],
    );
    check_on(
        "0",
        &two("gds,gdrcopy"),
        expect![[r#"
            error: GPU 0 cannot be used: there is no `/dev/nvidia-fs*`: nothing of the kind in `/sys/class/nvidia-fs-class`
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/nvidia-fs*` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo modprobe nvidia-fs`
            error: GPU 0 cannot be used: `gdrdrv` is not listed in `/proc/devices`, so its kernel module is not loaded
              needed by: gpu = [0] (agent.toml:7)
              looked for: character device `/dev/gdrdrv` below `tests/hosts/two-gpus`
            hint: load the module on the host: `sudo modprobe gdrdrv`
        "#]],
    );
    let node = "c 237 3 /dev/nvidia-caps-imex-channels/channel3 0666";
    check_on(
        "0",
        &two("imex=3").with_node(node),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (0 by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0 (0 by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0 (0 by agent.toml:7), CUDA profiling events
        device /dev/nvidia-caps-imex-channels/channel3 237:3 because gpu: gpu 0 (0 by agent.toml:7), memory shared with other hosts over NVLink
        device /dev/nvidia1 195:1 because gpu: gpu 0 (0 by agent.toml:7), memory and kernels of this GPU
        subset of nvidia
        note: gpu class imex: memory of an IMEX channel is shared with programs on other hosts
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "0",
        &two("imex=3"),
        expect![[r#"
        error: GPU 0 cannot be used: `/dev/nvidia-caps-imex-channels/channel3` does not exist
          needed by: gpu = [0] (agent.toml:7)
          looked for: character device 237:3 `/dev/nvidia-caps-imex-channels/channel3` below `tests/hosts/two-gpus`
        hint: make the node on the host: `sudo nvidia-modprobe -i 3`
    "#]],
    );
}

#[test]
fn what_is_not_asked_for_is_not_looked_for() {
    let fabric = |classes: &str| {
        let gpus = Host::named("mixed").for_classes(classes).gpus_for(&"all".parse().unwrap());
        gpus.shared.iter().filter(|node| node.path.starts_with("/dev/infiniband")).count()
    };
    assert_eq!((fabric("compute"), fabric("rdma")), (0, 3));
}

#[test]
fn the_driver_s_view_is_narrowed_only_where_something_is_drawn_on_a_part() {
    let drawn_on = |classes: &str, wish: &str| two(classes).grants(wish).unwrap().drawn_on;
    assert_eq!(drawn_on("graphics", "0"), Some(vec![1]));
    assert_eq!(drawn_on("graphics", "all"), None);
    assert_eq!(drawn_on("compute", "0"), None);
}

#[test]
fn rights_come_with_their_class_only() {
    let rights = |classes: &str| two(classes).grants("0").unwrap().rights;
    let plain = rights("compute,graphics,video,display,ngx,compat32");
    assert!(!plain.ptrace && !plain.memory && !plain.perf && !plain.io_uring);
    assert!(rights("debug").ptrace && rights("debug").memory && !rights("debug").perf);
    assert!(plain.listens && !rights("utility").listens, "CUDA makes a socket");
    let intel = Host::named("intel").grants("0").unwrap();
    assert!(!intel.rights.listens, "nobody else does");
    assert!(rights("ipc").memory && !rights("ipc").ptrace);
    assert!(rights("profiling").perf && !rights("profiling").io_uring);
}

#[test]
fn what_a_class_costs_is_said() {
    let notes = two("profiling,mps,debug,video").grants("0").unwrap().notes;
    expect![[r#"
        gpu class mps: work is done by the host's MPS server, outside the sandbox
        gpu class profiling: perf_event_open is allowed: probes inside the kernel, a record of escalations
        gpu class profiling: the driver gives performance counters to the host's administrator alone (RmProfilingAdminOnly)
        gpu class video: NVENC and NVDEC of some drivers fail on all but the last GPU where others are hidden
        a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated"#]].assert_eq(&notes.join("\n"));
}

#[test]
fn a_class_without_a_gpu_is_told() {
    check_on(
        "auto",
        &Host::named("no-gpu").for_classes("rdma"),
        expect![[r#"
        note: gpu class utility,compute,rdma: without effect, no GPU is granted
    "#]],
    );
}

#[test]
fn the_pipes_of_mps_are_named_inside() {
    let plan = two("mps=/srv/mps").grants("0").unwrap();
    let set = plan.env.iter().find(|change| change.name == "CUDA_MPS_PIPE_DIRECTORY").unwrap();
    assert_eq!(set.value.as_deref(), Some("/srv/mps".as_ref()));
    assert!(two("compute").grants("0").unwrap().env.is_empty(), "the control");
}

#[test]
fn asking_about_a_gpu_without_compute_instances_works() {
    let gone =
        |host: Host, part: &str| host.with_file(&format!("/proc/driver/nvidia/capabilities/gpu0/mig/{part}"), None);
    let host = || ["gi1/ci0", "gi5/ci0", "gi5/ci1"].into_iter().fold(Host::named("mig"), gone);
    assert!(host().for_classes("utility").grants("0").is_ok());
    assert!(host().for_classes("compute").grants("0").is_err(), "the control");
}
