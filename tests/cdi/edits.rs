//! Nodes, variables, groups, and what is refused as a whole.

use expect_test::{Expect, expect};
use ringfence::host::paths::Kind;
use ringfence::plan::gpu::cdi::is_filtered;

use crate::lab::{Machine, check_edits, spec};

fn node(rest: &str) -> String {
    format!("\"deviceNodes\":[{{{rest}}}]")
}

fn check(machine: Machine, rest: &str, expect: &Expect) {
    check_edits(machine, &node(rest), expect);
}

#[test]
fn variables() {
    for name in [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_",
        "GLIBC_TUNABLES",
        "GCONV_PATH",
        "PATH",
        "HOME",
        "SHELL",
        "BASH_ENV",
        "ENV",
        "PYTHONPATH",
        "PYTHON",
        "NODE_OPTIONS",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "RUBYLIB",
        "RINGFENCE",
    ] {
        assert!(is_filtered(name), "{name}");
        let text = Machine::with(&spec(&format!("\"env\":[\"{name}=x\",\"A=1\"]"))).text(&["v.test/d=a"]);
        assert!(
            text.starts_with("env A=1 because ") && text.contains(&format!("note: cdi: {name} is not set")),
            "{text}"
        );
    }
    for name in ["LD", "OLD_PATH", "PATHS", "HOMES", "ENVIRONMENT", "PERL", "XPYTHON", "NVIDIA_CTK_LIBCUDA_DIR", "path"]
    {
        assert!(!is_filtered(name), "{name}");
    }
    let env = r#""env":["A=1","B=","NVIDIA_VISIBLE_DEVICES=void","A=2=3","NVIDIA_VISIBLE_DEVICES=0"]"#;
    check_edits(
        Machine::new(),
        env,
        &expect![[r#"
        env B= because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        env A=2=3 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        env NVIDIA_VISIBLE_DEVICES=0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
}

#[test]
fn the_file_s_edits_come_first_and_once() {
    let text = r#"{"cdiVersion":"1.0.0","kind":"v.test/d","containerEdits":{"env":["A=file","B=file"]},"devices":[
        {"name":"a","containerEdits":{"env":["A=a"]}},{"name":"b","containerEdits":{"env":["A=b"]}}]}"#;
    Machine::with(text).check(
        &["v.test/d=a", "v.test/d=b"],
        &expect![[r#"
        env B=file because gpu: every v.test/d by --gpu, /cdi/a.json:1
        env A=b because gpu: v.test/d=b by --gpu, /cdi/a.json:2
    "#]],
    );
    Machine::with(text).check(
        &["v.test/d=b", "v.test/d=a", "v.test/d=b"],
        &expect![[r#"
        env B=file because gpu: every v.test/d by --gpu, /cdi/a.json:1
        env A=a because gpu: v.test/d=a by --gpu, /cdi/a.json:2
    "#]],
    );
}

#[test]
fn nodes_that_are_what_the_file_says() {
    let machine = || Machine::new().null().node("/dev/x", (195, 0), 0o666, 0);
    for rest in [
        r#""path":"/dev/x""#,
        r#""path":"/dev/x","type":"c","major":195"#,
        r#""path":"/dev/x","type":"u","major":195,"minor":0"#,
        r#""path":"/dev/x","minor":0"#,
        r#""path":"/dev/x","permissions":"rwm","uid":7,"gid":7"#,
        r#""path":"/dev/x","permissions":"""#,
    ] {
        let plan = machine().file("/cdi/a.json", spec(&node(rest))).plan(&["v.test/d=a"]).unwrap();
        assert_eq!((plan.devices.len(), plan.devices[0].read_only, plan.notes.len()), (1, false, 0), "{rest}");
    }
    check(
        machine(),
        r#""path":"/dev/x","permissions":"r""#,
        &expect![[r#"
        device /dev/x 195:0 read-only because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","permissions":"none""#,
        &expect![[r#"
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","fileMode":384"#,
        &expect![[r#"
        device /dev/x 195:0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        note: cdi: /dev/x keeps its mode 0666: 0600 cannot be given to a node of the host (/cdi/a.json:1:97)
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/a/b","hostPath":"/dev/x""#,
        &expect![[r#"
        device /dev/a/b of /dev/x 195:0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    // It is in every sandbox anyway.
    check(
        machine(),
        r#""path":"/dev/null""#,
        &expect![[r#"
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
}

#[test]
fn nodes_that_are_something_else() {
    let machine = || Machine::new().null().node("/dev/x", (195, 3), 0o666, 0);
    check(
        machine(),
        r#""path":"/dev/none""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/none` does not exist
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: make /cdi/a.json anew with its vendor's tool
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","major":195"#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/x` is device 195:3, and the file says 195:0
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: make /cdi/a.json anew with its vendor's tool
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","major":510,"minor":3"#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/x` is device 195:3, and the file says 510:3
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: make /cdi/a.json anew with its vendor's tool
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","minor":4"#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/x` is device 195:3, and the file says *:4
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: make /cdi/a.json anew with its vendor's tool
    "#]],
    );
    for (kind, found) in [
        (Kind::File, "a regular file"),
        (Kind::Symlink, "a symbolic link"),
        (Kind::Block, "a block device"),
        (Kind::Socket, "a socket"),
        (Kind::Fifo, "a named pipe"),
        (Kind::Dir, "a directory"),
    ] {
        let machine = machine().entry("/dev/y", kind, 0o666, 0);
        let text = machine.file("/cdi/a.json", spec(&node(r#""path":"/dev/y""#))).text(&["v.test/d=a"]);
        assert!(text.contains(&format!("`/dev/y` is {found}, not a character device")), "{text}");
    }
    let block = || machine().entry("/dev/y", Kind::Block, 0o666, 0).entry("/dev/p", Kind::Fifo, 0o666, 0);
    check(
        block(),
        r#""path":"/dev/y","type":"b""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/y` is to be a block device, and only character devices are granted
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: see what it is: `ls -l /dev/y`
    "#]],
    );
    check(
        block(),
        r#""path":"/dev/p","type":"p""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/p` is to be a named pipe, and only character devices are granted
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: see what it is: `ls -l /dev/p`
    "#]],
    );
    check(
        machine(),
        r#""path":"/etc/passwd""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: node `/etc/passwd` is not below /dev
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/x","hostPath":"/proc/self/mem""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: node `/proc/self/mem` is not below /dev
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev","hostPath":"/dev/x""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: node `/dev` is not below /dev
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/null","hostPath":"/dev/x""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/null` would cover what the sandbox has of its own, or what a rule is about
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
    check(
        machine(),
        r#""path":"/dev/pts/7","hostPath":"/dev/x""#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/dev/pts/7` would cover what the sandbox has of its own, or what a rule is about
          said in: /cdi/a.json:1:97
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
}

#[test]
fn nodes_that_no_sandbox_gets() {
    for (path, number) in [
        ("/dev/nvidia-nvswitchctl", (300, 255)),
        ("/dev/nvidia-nvswitch0", (300, 0)),
        ("/dev/nvidia-nvlink", (301, 0)),
        ("/dev/nvidia-vgpu1", (302, 1)),
        ("/dev/nvidia-caps/nvidia-cap1", (511, 1)),
        ("/dev/nvidia-caps/nvidia-cap2", (511, 2)),
        ("/dev/nvidia-caps/nvidia-cap4323", (511, 4323)),
        ("/dev/mem", (1, 1)),
        ("/dev/harmless", (1, 1)),
        ("/dev/nvram", (10, 144)),
        ("/dev/cpu/0/msr", (202, 0)),
        ("/dev/kmsg", (1, 11)),
        ("/dev/uinput", (10, 223)),
        ("/dev/tty1", (4, 1)),
        ("/dev/mapper/control", (10, 236)),
    ] {
        let machine = || Machine::new().node(path, number, 0o666, 0);
        for rest in [format!(r#""path":"{path}""#), format!(r#""path":"/dev/new","hostPath":"{path}""#)] {
            let text = machine().file("/cdi/a.json", spec(&node(&rest))).text(&["v.test/d=a"]);
            assert!(text.contains("is left out: no sandbox gets it") && !text.contains("device "), "{rest}: {text}");
        }
    }
    let cap = Machine::new().node("/dev/nvidia-caps/nvidia-cap12", (511, 12), 0o444, 0);
    check(
        cap,
        r#""path":"/dev/nvidia-caps/nvidia-cap12","major":511,"minor":12"#,
        &expect![[r#"
        device /dev/nvidia-caps/nvidia-cap12 511:12 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
}

#[test]
fn what_is_written_must_be_writable() {
    for (mode, permissions, want) in
        [(0o666, "rw", true), (0o664, "rw", false), (0o664, "r", true), (0o444, "rw", true), (0o440, "r", false)]
    {
        let machine = Machine::new().node("/dev/x", (195, 0), mode, 0);
        let rest = format!(r#""path":"/dev/x","permissions":"{permissions}""#);
        let plan = machine.file("/cdi/a.json", spec(&node(&rest))).plan(&["v.test/d=a"]);
        assert_eq!(plan.is_ok(), want, "{mode:o} {permissions}");
    }
}

#[test]
fn a_denial_beats_a_file() {
    let machine = || Machine::new().null().node("/dev/x", (195, 0), 0o666, 0);
    check(
        machine().denied("/dev/x"),
        r#""path":"/dev/x""#,
        &expect![[r#"
            note: cdi: /dev/x is left out: it is denied (--deny) (/cdi/a.json:1:97)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().denied("/dev/x"),
        r#""path":"/dev/y","hostPath":"/dev/x""#,
        &expect![[r#"
            note: cdi: /dev/y is left out: it is denied (--deny) (/cdi/a.json:1:97)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().denied("/dev/y"),
        r#""path":"/dev/y","hostPath":"/dev/x""#,
        &expect![[r#"
            note: cdi: /dev/y is left out: it is denied (--deny) (/cdi/a.json:1:97)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
}

#[test]
fn groups() {
    let gids = |gids: &str| format!(r#"{},"additionalGids":[{gids}]"#, node(r#""path":"/dev/x""#));
    let machine = |mode| Machine::new().node("/dev/x", (195, 0), mode, 993);
    check_edits(
        machine(0o660),
        &gids("0,993"),
        &expect![[r#"
        device /dev/x 195:0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    check_edits(
        machine(0o660).groups(&[]),
        &gids("0,993"),
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: `/dev/x` needs group 993, and a sandbox cannot join a group that you are not in
              said in: /cdi/a.json:1:97
              needed by: --gpu cdi:v.test/d=a
            hint: join group 993, then log in again: `sudo usermod -aG "$(getent group 993 | cut -d: -f1)" "$USER"`
        "#]],
    );
    // Of no concern where the node lets everybody in.
    check_edits(
        machine(0o666).groups(&[]),
        &gids("0,993"),
        &expect![[r#"
        device /dev/x 195:0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    check_edits(
        machine(0o600).groups(&[]),
        &node(r#""path":"/dev/x""#),
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: `/dev/x` may not be opened by you: owner 54321, group 993, mode 0600
              said in: /cdi/a.json:1:97
              needed by: --gpu cdi:v.test/d=a
            hint: open the node to all users of the host: `sudo chmod 0666 /dev/x`
        "#]],
    );
}

#[test]
fn what_is_refused_as_a_whole() {
    check_edits(
        Machine::new(),
        r#""intelRdt":{"closID":"x"}"#,
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: it sets up cache and memory bandwidth (intelRdt)
          said in: /cdi/a.json:1:93
          needed by: --gpu cdi:v.test/d=a
        hint: use a container engine for this device, or a file without that edit
    "#]],
    );
    let text = spec("").replace("v.test/d", "management.nvidia.com/gpu");
    let machine = Machine::with(&text);
    machine.check(&["management.nvidia.com/gpu=a"], &expect![[r#"
        error: CDI device management.nvidia.com/gpu=a cannot be used: it gives access to the whole driver, to manage the machine
          needed by: --gpu cdi:management.nvidia.com/gpu=a
        hint: name GPUs: `--gpu cdi:nvidia.com/gpu=0`
    "#]]);
    assert!(machine.available().is_empty());
}

#[test]
fn classes() {
    let text = |class: &str| {
        let text = spec(&node(r#""path":"/dev/nvidia-caps-imex-channels/channel0""#));
        text.replace("v.test/d", &format!("nvidia.com/{class}"))
    };
    let machine =
        |class| Machine::with(&text(class)).node("/dev/nvidia-caps-imex-channels/channel0", (237, 0), 0o666, 0);
    assert_eq!(machine("imex-channel").plan(&["nvidia.com/imex-channel=a"]).unwrap().devices.len(), 1);
    assert_eq!(machine("gpu").granted(&["imex"]).plan(&["nvidia.com/gpu=a"]).unwrap().devices.len(), 1);
    machine("gpu").check(
        &["nvidia.com/gpu=a"],
        &expect![[r#"
            note: cdi: /dev/nvidia-caps-imex-channels/channel0 is left out: it needs the class imex (/cdi/a.json:1:103)
            note: cdi: nvidia.com/gpu=a comes to nothing here
        "#]],
    );
}

#[test]
fn another_name_of_a_node_needs_the_class_of_the_node() {
    let rest = node(r#""path":"/dev/harmless","hostPath":"/dev/nvidia-modeset""#);
    let machine = || {
        let text = spec(&rest).replace("v.test/d", "nvidia.com/gpu");
        Machine::with(&text).node("/dev/nvidia-modeset", (195, 254), 0o666, 0)
    };
    assert_eq!(machine().granted(&["display"]).plan(&["nvidia.com/gpu=a"]).unwrap().devices.len(), 1);
    machine().check(
        &["nvidia.com/gpu=a"],
        &expect![[r#"
        note: cdi: /dev/harmless is left out: it needs the class display, which was not asked for (/cdi/a.json:1:103)
        note: cdi: nvidia.com/gpu=a comes to nothing here
    "#]],
    );
}

#[test]
fn the_later_of_two_nodes_at_one_place_counts() {
    let two = |first: &str, second: &str| {
        let node = |host: &str| format!(r#"{{"path":"/dev/here","hostPath":"{host}"}}"#);
        let text = spec(&format!("\"deviceNodes\":[{},{}]", node(first), node(second)));
        Machine::with(&text).node("/dev/x", (195, 0), 0o666, 0).node("/dev/y", (195, 1), 0o666, 0)
    };
    two("/dev/x", "/dev/y").check(
        &["v.test/d=a"],
        &expect![[r#"
        device /dev/here of /dev/y 195:1 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    two("/dev/y", "/dev/x").check(
        &["v.test/d=a"],
        &expect![[r#"
        device /dev/here of /dev/x 195:0 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
}

#[test]
fn absent_tools_of_uvm_are_no_error() {
    let machine = Machine::new().fixture("nvidia.yaml").nodes_of("mig");
    let nodes = |machine: &Machine| machine.specs(&["nvidia.com/gpu=0".parse().unwrap()]).nodes.len();
    let all = nodes(&machine);
    let machine = machine.without("/dev/nvidia-uvm-tools");
    assert_eq!(nodes(&machine), all - 1);
    let text = machine.text(&["nvidia.com/gpu=0"]);
    assert!(!text.contains("uvm-tools"), "{text}");
    let text = machine.without("/dev/nvidia-uvm").text(&["nvidia.com/gpu=0"]);
    assert!(text.contains("`/dev/nvidia-uvm` does not exist"), "{text}");
}
