//! The sample files: what vendors' tools write, and files with one fault each.

use expect_test::{Expect, expect};

use crate::lab::Machine;

fn nvidia() -> Machine {
    let mut machine = Machine::new().fixture("nvidia.yaml").nodes_of("mig");
    for file in [
        "/usr/bin/nvidia-smi",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.570.211.01",
        "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.570.211.01",
        "/usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.570.211.01",
        "/usr/lib/x86_64-linux-gnu/libnvidia-allocator.so.1",
        "/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.1",
        "/usr/share/nvidia/nvoptix.bin",
    ] {
        machine = machine.file(file, "");
    }
    machine
        .link("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.570.211.01")
        .link("/usr/lib/x86_64-linux-gnu/libcuda.so", "libcuda.so.1")
        .file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        .file("/etc/ld.so.conf.d/x86_64-linux-gnu.conf", "# Multiarch support\n/lib/x86_64-linux-gnu\n")
        .link("/lib", "usr/lib")
}

#[test]
fn nvidia_one_gpu() {
    nvidia().check(&["nvidia.com/gpu=0"], &expect![[r#"
        device /dev/nvidia-uvm 510:0 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:249
        device /dev/nvidia-uvm-tools 510:1 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:253
        device /dev/nvidiactl 195:255 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:258
        device /dev/nvidia0 195:0 because gpu: nvidia.com/gpu=0 by --gpu, /cdi/nvidia.yaml:8
        env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:241
        libraries /usr/lib/x86_64-linux-gnu/vdpau because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:285
        note: cdi: /dev/nvidia-modeset is left out: it needs the class display, which was not asked for (/cdi/nvidia.yaml:244:11)
        note: cdi: /dev/dri/card1 is left out: it needs the class display, which was not asked for (/cdi/nvidia.yaml:12:15)
        note: cdi: /dev/dri/renderD128 is left out: it needs the class graphics, which was not asked for (/cdi/nvidia.yaml:18:15)
        note: cdi: /run/nvidia-persistenced/socket is left out: sockets of the host are granted one by one (/cdi/nvidia.yaml:351:11)
        note: cdi: 5 mounts are not made: the sandbox shows the same at the same path anyway
        note: cdi: link /usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so to ../libnvidia-allocator.so.1 is not made: the sandbox makes nothing there (/cdi/nvidia.yaml:264:11)
        note: cdi: enable-cuda-compat is not needed: it is about libraries in images (/cdi/nvidia.yaml:277:11)
    "#]]);
}

#[test]
fn nvidia_graphics_and_display() {
    nvidia().granted(&["graphics", "display", "mps"]).check(&["nvidia.com/gpu=1"], &expect![[r#"
        device /dev/nvidia-modeset 195:254 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:244
        device /dev/nvidia-uvm 510:0 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:249
        device /dev/nvidia-uvm-tools 510:1 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:253
        device /dev/nvidiactl 195:255 because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:258
        device /dev/nvidia1 195:1 because gpu: nvidia.com/gpu=1 by --gpu, /cdi/nvidia.yaml:76
        device /dev/dri/card2 226:2 because gpu: nvidia.com/gpu=1 by --gpu, /cdi/nvidia.yaml:81
        device /dev/dri/renderD129 226:129 because gpu: nvidia.com/gpu=1 by --gpu, /cdi/nvidia.yaml:87
        link /dev/dri/by-path/pci-0000:9a:00.0-card -> ../card2 because gpu: nvidia.com/gpu=1 by --gpu, /cdi/nvidia.yaml:94
        link /dev/dri/by-path/pci-0000:9a:00.0-render -> ../renderD129 because gpu: nvidia.com/gpu=1 by --gpu, /cdi/nvidia.yaml:94
        env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:241
        libraries /usr/lib/x86_64-linux-gnu/vdpau because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:285
        profile because gpu: every nvidia.com/gpu by --gpu, /cdi/nvidia.yaml:303: {"profiles": [{"name": "_container_", "settings": ["EGLVisibleDGPUDevices", 0x2]}], "rules": [{"pattern": [], "profile": "_container_"}]}
        note: cdi: /run/nvidia-persistenced/socket is left out: sockets of the host are granted one by one (/cdi/nvidia.yaml:351:11)
        note: cdi: 5 mounts are not made: the sandbox shows the same at the same path anyway
        note: cdi: link /usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so to ../libnvidia-allocator.so.1 is not made: the sandbox makes nothing there (/cdi/nvidia.yaml:264:11)
        note: cdi: enable-cuda-compat is not needed: it is about libraries in images (/cdi/nvidia.yaml:277:11)
    "#]]);
}

#[test]
fn nvidia_instance_by_either_name() {
    let of = |name: &str| nvidia().text(&[name]).replace(name, "NAME");
    let by_index = of("nvidia.com/gpu=0:0");
    let by_uuid = of("nvidia.com/gpu=MIG-0f0e0d0c-5a5b-5c5d-9e9f-010203040506");
    let lines = |text: &str| {
        // The lines of the file differ.
        let cut = |line: &str| line.split(" because").next().unwrap().to_owned();
        text.lines().map(cut).filter(|line| !line.starts_with("note")).collect::<Vec<_>>()
    };
    assert_eq!(lines(&by_index), lines(&by_uuid));
    expect![[r#"
        device /dev/nvidia-uvm 510:0
        device /dev/nvidia-uvm-tools 510:1
        device /dev/nvidiactl 195:255
        device /dev/nvidia0 195:0
        device /dev/nvidia-caps/nvidia-cap12 511:12
        device /dev/nvidia-caps/nvidia-cap13 511:13
        env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu
        libraries /usr/lib/x86_64-linux-gnu/vdpau"#]]
    .assert_eq(&lines(&by_index).join("\n"));
}

#[test]
fn nvidia_all_is_the_same_as_each() {
    let nodes = |wanted: &[&str]| {
        let plan = nvidia().granted(&["graphics", "display"]).plan(wanted).unwrap();
        let mut nodes: Vec<_> = plan.devices.into_iter().map(|grant| grant.path).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(nodes(&["nvidia.com/gpu=all"]), nodes(&["nvidia.com/gpu=0", "nvidia.com/gpu=1"]));
    assert_eq!(nodes(&["nvidia.com/gpu=0", "nvidia.com/gpu=0"]), nodes(&["nvidia.com/gpu=0"]));
    assert_ne!(nodes(&["nvidia.com/gpu=all"]), nodes(&["nvidia.com/gpu=0"]));
}

#[test]
fn amd() {
    let node = |machine: Machine, path, number, gid| machine.node(path, number, 0o660, gid);
    let mut machine = Machine::new().fixture("amd.json");
    for (path, number, gid) in
        [("/dev/dri/card1", (226, 1), 44), ("/dev/dri/renderD128", (226, 128), 993), ("/dev/kfd", (509, 0), 993)]
    {
        machine = node(machine, path, number, gid);
    }
    machine.check(
        &["amd.com/gpu=0"],
        &expect![[r#"
        device /dev/dri/renderD128 226:128 because gpu: amd.com/gpu=0 by --gpu, /cdi/amd.json:8
        device /dev/kfd 509:0 because gpu: amd.com/gpu=0 by --gpu, /cdi/amd.json:9
        note: cdi: /dev/dri/card1 is left out: it needs the class display, which was not asked for (/cdi/amd.json:7:7)
    "#]],
    );
    machine.check(
        &["amd.com/gpu=all"],
        &expect![[r#"
        error: CDI device amd.com/gpu=all cannot be used: `/dev/dri/renderD129` does not exist
          said in: /cdi/amd.json:20:7
          needed by: --gpu cdi:amd.com/gpu=all
        hint: make /cdi/amd.json anew with its vendor's tool
    "#]],
    );
    let outside = machine.groups(&[]);
    outside.check(
        &["amd.com/gpu=0"],
        &expect![[r#"
            error: CDI device amd.com/gpu=0 cannot be used: `/dev/dri/renderD128` may not be opened by you: owner 54321, group 993, mode 0660
              said in: /cdi/amd.json:8:7
              needed by: --gpu cdi:amd.com/gpu=0
            hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
            error: CDI device amd.com/gpu=0 cannot be used: `/dev/kfd` may not be opened by you: owner 54321, group 993, mode 0660
              said in: /cdi/amd.json:9:7
              needed by: --gpu cdi:amd.com/gpu=0
            hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        "#]],
    );
}

#[test]
fn standin() {
    let machine = Machine::new().fixture("standin.json").null().dir("/usr/share");
    machine.check(
        &["ringfence.test/standin=0"],
        &expect![[r#"
            device /dev/ringfence-test0 of /dev/null 1:3 because gpu: ringfence.test/standin=0 by --gpu, /cdi/standin.json:8
            env RINGFENCE_STANDIN_COMMON=1 because gpu: every ringfence.test/standin by --gpu, /cdi/standin.json:13
            env RINGFENCE_STANDIN=0 because gpu: ringfence.test/standin=0 by --gpu, /cdi/standin.json:6
            note: cdi: 1 mount is not made: the sandbox shows the same at the same path anyway
        "#]],
    );
    machine.check(
        &["cdi:ringfence.test/standin=1"],
        &expect![[r#"
            error: CDI device ringfence.test/standin=1 cannot be used: no file has it, there are ringfence.test/standin=0
              needed by: --gpu cdi:ringfence.test/standin=1
              looked for: *.json and *.yaml in `/etc/cdi`, `/var/run/cdi`, `/cdi`
            hint: name one of them, or make the file anew after a change of hardware
        "#]],
    );
    machine.check(&["ringfence.test/other=1"], &expect![[r#"
        error: CDI device ringfence.test/other=1 cannot be used: no file has devices of its vendor and class, there are ringfence.test/standin
          needed by: --gpu cdi:ringfence.test/other=1
          looked for: *.json and *.yaml in `/etc/cdi`, `/var/run/cdi`, `/cdi`
        hint: name the directory of its file: `--cdi-dir DIR`
    "#]]);
}

fn bad(name: &str, expect: &Expect) {
    Machine::new().null().fixture(&format!("bad/{name}.json")).check(&["ringfence.test/bad=a"], expect);
}

#[test]
fn ld_preload() {
    bad(
        "ld-preload",
        &expect![[r#"
            note: cdi: LD_PRELOAD is not set: it decides which code programs run, or is ringfence's own (/cdi/ld-preload.json:1:99)
            note: cdi: ringfence.test/bad=a comes to nothing here
        "#]],
    );
}

#[test]
fn net_device() {
    bad(
        "net-device",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: it moves a network interface of the host
          said in: /cdi/net-device.json:1:106
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: use a container engine for this device, or a file without that edit
    "#]],
    );
}

#[test]
fn no_devices() {
    bad(
        "no-devices",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: a file in which it could stand is not usable
          /cdi/no-devices.json:1:61: devices: there is no device in it
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: repair /cdi/no-devices.json, or make it anew with its vendor's tool
    "#]],
    );
}

#[test]
fn unknown_field() {
    bad(
        "unknown-field",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: a file in which it could stand is not usable
          /cdi/unknown-field.json:1:124: devices[0].containerEdits.deviceNodes[0]: unknown field `colour`
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: repair /cdi/unknown-field.json, or make it anew with its vendor's tool
    "#]],
    );
}

#[test]
fn unknown_hook() {
    bad(
        "unknown-hook",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: it runs a program of the host: `unknown-hook` is not known, and programs that a file names are never run
          said in: /cdi/unknown-hook.json:1:101
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: take the hook out of the file if the device works without it
    "#]],
    );
}

#[test]
fn version_too_low() {
    bad(
        "version-too-low",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: a file in which it could stand is not usable
          /cdi/version-too-low.json:1:135: hostPath of a device node needs cdiVersion 0.5.0, the file says 0.4.0
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: repair /cdi/version-too-low.json, or make it anew with its vendor's tool
    "#]],
    );
}

#[test]
fn wrong_minor() {
    bad(
        "wrong-minor",
        &expect![[r#"
        error: CDI device ringfence.test/bad=a cannot be used: `/dev/null` is device 1:3, and the file says 1:5
          said in: /cdi/wrong-minor.json:1:107
          needed by: --gpu cdi:ringfence.test/bad=a
        hint: make /cdi/wrong-minor.json anew with its vendor's tool
    "#]],
    );
}

#[test]
fn every_bad_file_has_a_test() {
    let here = std::fs::read_to_string("tests/cdi/fixtures.rs").unwrap();
    for file in std::fs::read_dir("tests/cdi/bad").unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(here.contains(&format!("\"{}\"", name.trim_end_matches(".json"))), "{name}");
    }
}
