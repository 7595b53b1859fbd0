//! Reading: versions, faults with their places, limits, and that nothing makes it panic.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use ringfence::host::gpu::cdi::hooks::Hook;
use ringfence::host::gpu::cdi::spec::{MAX_EDITS, parse};

use crate::lab::{Machine, spec};

fn check(text: &str, expect: &Expect) {
    expect.assert_eq(&match parse(text) {
        Ok(spec) => format!("{spec:#?}"),
        Err(unusable) => unusable.wrong.iter().map(|wrong| format!("{wrong}\n")).collect(),
    });
}

#[test]
fn everything_wrong_is_told_at_once() {
    check(
        "cdiVersion: 2.0.0\nkind: nvidia\ncolour: red\ndevices:\n- name: 0\n  containerEdits:\n    env: [A=1, =2, B]\n    \
         deviceNodes:\n    - {path: dev/x, type: z, major: -1, minor: 0x1, fileMode: 0660, permissions: rwx}\n    - \
         {hostPath: /dev/../etc, major: 4294967296}\n    - 7\n    mounts: {a: b}\n    hooks:\n    - {hookName: whenever, \
         path: bin/x, env: [oops], timeout: soon}\n    additionalGids: [video]\n- {name: x}\n- {name: x, containerEdits: \
         }\n- {name: -y, containerEdits: {}}\ncontainerEdits: text\n",
        &expect![[r#"
            1:13: cdiVersion: `2.0.0` is none of 0.1.0 0.2.0 0.3.0 0.4.0 0.5.0 0.6.0 0.7.0 0.8.0 1.0.0 1.1.0
            2:7: kind: `nvidia` is not a vendor and a class: `/` and a class are missing
            3:1: unknown field `colour`
            5:9: devices[0].name: expected text, found the number `0`
            7:16: devices[0].containerEdits.env[1]: `=2` is not NAME=VALUE
            7:20: devices[0].containerEdits.env[2]: `B` is not NAME=VALUE
            9:14: devices[0].containerEdits.deviceNodes[0].path: `dev/x` is not an absolute path
            9:27: devices[0].containerEdits.deviceNodes[0].type: `z` is none of b c u p
            9:37: devices[0].containerEdits.deviceNodes[0].major: `-1` is not a decimal number in 0 to 4294967295
            9:48: devices[0].containerEdits.deviceNodes[0].minor: `0x1` is not a decimal number in 0 to 4294967295
            9:63: devices[0].containerEdits.deviceNodes[0].fileMode: `0660` is not a decimal number in 0 to 4294967295
            9:82: devices[0].containerEdits.deviceNodes[0].permissions: `rwx` is neither `none` nor letters of rwm
            10:7: devices[0].containerEdits.deviceNodes[1].path: it is missing
            10:18: devices[0].containerEdits.deviceNodes[1].hostPath: `/dev/../etc` has `..` or a line break in it
            10:38: devices[0].containerEdits.deviceNodes[1].major: `4294967296` is not a decimal number in 0 to 4294967295
            11:7: devices[0].containerEdits.deviceNodes[2]: expected a mapping, found the number `7`
            12:13: devices[0].containerEdits.mounts: expected a list, found a mapping
            14:18: devices[0].containerEdits.hooks[0].hookName: `whenever` is none of prestart createRuntime createContainer startContainer poststart poststop
            14:34: devices[0].containerEdits.hooks[0].path: `bin/x` is not an absolute path
            14:47: devices[0].containerEdits.hooks[0].env[0]: it is not NAME=VALUE
            14:63: devices[0].containerEdits.hooks[0].timeout: expected a whole number, found the text `soon`
            15:22: devices[0].containerEdits.additionalGids[0]: expected a whole number, found the text `video`
            16:3: devices[1].containerEdits: it is missing
            17:3: devices[2].containerEdits: it is missing
            17:10: devices[2].name: device `x` is there twice
            18:10: devices[3].name: `-y` is no name: the device name begins with `-`, not with a letter or digit
            19:17: containerEdits: expected a mapping, found the text `text`
        "#]],
    );
    check(
        "kind: v/c",
        &expect![[r#"
        1:1: cdiVersion: it is missing
        1:1: devices: there is no device in it
    "#]],
    );
    check(
        "[]",
        &expect![[r#"
        1:1: the top level is a list, a mapping of keys is expected
    "#]],
    );
    check(
        "",
        &expect![[r#"
        1:1: the file is empty
    "#]],
    );
    check(
        "a: &x 1\nb: *x\n",
        &expect![[r#"
        1:4: anchors are not allowed
    "#]],
    );
    check(
        "{\"kind\": \"v/c\", \"kind\": \"v/c\"}",
        &expect![[r#"
        1:17: key `kind` is there twice, first in line 1
    "#]],
    );
    check(
        "{\"cdiVersion\": ",
        &expect![[r#"
        2:1: while parsing a node, did not find expected node content
    "#]],
    );
}

#[test]
fn the_smallest_file() {
    check(
        "{cdiVersion: v0.3.0, kind: v/c, devices: [{name: a, containerEdits: {}}]}",
        &expect![[r#"
        Spec {
            vendor: "v",
            class: "c",
            devices: [
                Device {
                    name: "a",
                    edits: Edits {
                        env: [],
                        nodes: [],
                        mounts: [],
                        hooks: [],
                        net_devices: None,
                        intel_rdt: None,
                        gids: [],
                    },
                },
            ],
            edits: Edits {
                env: [],
                nodes: [],
                mounts: [],
                hooks: [],
                net_devices: None,
                intel_rdt: None,
                gids: [],
            },
        }"#]],
    );
}

/// What a file uses, and the first version that has it.
#[test]
fn versions() {
    let device = |name: &str, edits: &str| format!("{{name: {name}, containerEdits: {{{edits}}}}}");
    let table = [
        ("kind: v/c, devices: [DEVICE]", device("a", ""), "0.1.0"),
        (
            "kind: v/c, devices: [DEVICE]",
            device("a", "mounts: [{hostPath: /a, containerPath: /a, type: bind}]"),
            "0.4.0",
        ),
        ("kind: v/c, devices: [DEVICE]", device("a", "deviceNodes: [{path: /dev/a, hostPath: /dev/b}]"), "0.5.0"),
        ("kind: v/c, devices: [DEVICE]", device("\"0\"", ""), "0.5.0"),
        ("kind: v/c, annotations: {a: b}, devices: [DEVICE]", device("a", ""), "0.6.0"),
        ("kind: v/c, devices: [DEVICE]", device("a, annotations: {a: b}", ""), "0.6.0"),
        ("kind: v/c.d, devices: [DEVICE]", device("a", ""), "0.6.0"),
        ("kind: v/c, devices: [DEVICE]", device("a", "additionalGids: [5]"), "0.7.0"),
        ("kind: v/c, devices: [DEVICE]", device("a", "intelRdt: {closID: x}"), "0.7.0"),
        ("kind: v/c, devices: [DEVICE]", device("a", "intelRdt: {schemata: [x]}"), "1.1.0"),
        ("kind: v/c, devices: [DEVICE]", device("a", "intelRdt: {enableMonitoring: true}"), "1.1.0"),
        ("kind: v/c, devices: [DEVICE]", device("a", "netDevices: [{hostInterfaceName: a, name: b}]"), "1.1.0"),
        ("kind: v/c, devices: [DEVICE], containerEdits: {additionalGids: [5]}", device("a", ""), "0.7.0"),
        // Empty says nothing.
        (
            "kind: v/c, devices: [DEVICE]",
            device("a", "additionalGids: [], mounts: [{hostPath: /a, containerPath: /a, type: \"\"}]"),
            "0.1.0",
        ),
    ];
    let all = ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];
    for (frame, device, first) in table {
        let works =
            |version: &&str| parse(&format!("{{cdiVersion: {version}, {}}}", frame.replace("DEVICE", &device))).is_ok();
        let from = all.iter().position(|version| *version == first).unwrap();
        let working: Vec<_> = all.iter().filter(|version| works(version)).collect();
        assert_eq!(working, all[from..].iter().collect::<Vec<_>>(), "{frame} {device}");
    }
    for version in ["0.0.1", "0.9.0", "1.2.0", "1.1", "1", "vv1.0.0", "1.0.0-rc1", "\" 1.0.0\""] {
        let text = format!("{{cdiVersion: {version}, kind: v/c, devices: [{{name: a, containerEdits: {{}}}}]}}");
        assert!(parse(&text).is_err(), "{version}");
    }
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    let table = [
        r#""enableCMT":true"#,
        r#""intelRdt":{"enableCMT":true}"#,
        r#""additionalGIDs":[5]"#,
        r#""deviceNodes":[{"path":"/dev/a","colour":"red"}]"#,
        r#""mounts":[{"hostPath":"/a","containerPath":"/a","colour":"red"}]"#,
        r#""hooks":[{"hookName":"poststop","path":"/a","colour":"red"}]"#,
        r#""netDevices":[{"hostInterfaceName":"a","name":"b","colour":"red"}]"#,
    ];
    for edits in table {
        let unusable = parse(&spec(edits)).unwrap_err();
        assert_eq!(unusable.wrong.len(), 1, "{edits}: {unusable:?}");
        assert!(unusable.wrong[0].message.starts_with("unknown field"), "{edits}: {unusable:?}");
        assert_eq!(unusable.kind, Some(("v.test".to_owned(), "d".to_owned())));
    }
}

#[test]
fn json_as_programs_write_it() {
    let text = "{\n\t\"cdiVersion\": \"0.5.0\",\n\t\"kind\": \"v.test\\/d\",\n\t\"devices\": [\n\t\t{\n\t\t\t\"name\": \"a\",\n\t\t\t\
                \"containerEdits\": {\n\t\t\t\t\"env\": [\"A=\\u00e9\\\"\"]\n\t\t\t}\n\t\t}\n\t]\n}\n";
    let spec = parse(text).unwrap();
    assert_eq!(spec.devices[0].edits.env[0].value, "é\"");
}

fn many(devices: usize, nodes: usize) -> String {
    let node = |n: usize| format!("{{\"path\":\"/dev/n{n}\",\"hostPath\":\"/dev/null\",\"major\":1,\"minor\":3}}");
    let device = |d: usize| {
        let nodes: Vec<_> = (0..nodes).map(|n| node(d * nodes + n)).collect();
        format!("{{\"name\":\"{d}\",\"containerEdits\":{{\"deviceNodes\":[{}]}}}}", nodes.join(","))
    };
    let devices: Vec<_> = (0..devices).map(device).collect();
    format!("{{\"cdiVersion\":\"1.0.0\",\"kind\":\"v.test/d\",\"devices\":[{}]}}", devices.join(","))
}

#[test]
fn three_hundred_devices_work_and_five_thousand_nodes_are_refused() {
    let machine = Machine::with(&many(300, 8)).null();
    assert_eq!(machine.plan(&["v.test/d=299"]).unwrap().devices.len(), 8);
    assert_eq!(machine.available().len(), 300);
    assert!(parse(&many(1, MAX_EDITS)).is_ok());
    for text in [many(1, MAX_EDITS + 1), many(5, 1000), many(5000, 1)] {
        let unusable = parse(&text).unwrap_err();
        assert_eq!(unusable.wrong.len(), 1);
        assert_eq!(unusable.wrong[0].message, "the file has more than 4096 device nodes and mounts");
    }
    let padding = " ".repeat(4 << 20);
    Machine::with(&format!("{}{padding}", spec(""))).check(
        &["v.test/d=a"],
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: a file in which it could stand is not usable
          /cdi/a.json: it has more than 4194304 bytes
          needed by: --gpu cdi:v.test/d=a
        hint: repair /cdi/a.json, or make it anew with its vendor's tool
    "#]],
    );
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&format!("{{a: [{}]}}", "[],".repeat(500_000))).is_err());
}

const WORDS: &[&str] = &[
    "cdiVersion",
    "kind",
    "devices",
    "name",
    "containerEdits",
    "env",
    "deviceNodes",
    "path",
    "hostPath",
    "major",
    "hooks",
    "args",
    "mounts",
    "1.0.0",
    "v.test/d",
    "a",
    "/dev/null",
    "A=1",
    "195",
    "-1",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "-",
    "\n",
    "  ",
    "\"",
    "'",
    "&x",
    "*x",
    "!t",
    "|",
    ">",
    "null",
    "~",
    "\t",
    "\u{0}",
    "é",
    "---",
    "...",
    "#",
    "%",
    "create-symlinks",
];

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _read = parse(&text);
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        let _read = parse(&words.concat());
        let _read = parse(&words.join(" "));
    }

    #[test]
    fn no_change_of_a_file_makes_it_panic(at in 0usize..11_000, with in prop::sample::select(WORDS), cut in 0usize..40) {
        let mut text = std::fs::read_to_string("tests/cdi/nvidia.yaml").unwrap();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, with);
        if let Ok(spec) = parse(&text) {
            for hook in spec.devices.iter().flat_map(|device| &device.edits.hooks).chain(&spec.edits.hooks) {
                let _told = Hook::of(hook);
            }
        }
    }

    #[test]
    fn whatever_a_device_says_there_is_an_answer(
        path in "(/dev)?/[a-z0-9./]{0,12}", host in "(/dev)?/[a-z0-9./]{0,12}",
        target in "/[a-z./]{0,12}", args in prop::collection::vec("[a-z:=/.-]{0,20}", 0..4),
    ) {
        let args: Vec<_> = args.iter().map(|arg| format!("\"{arg}\"")).collect();
        let edits = format!(
            r#""deviceNodes":[{{"path":"{path}","hostPath":"{host}"}}],"mounts":[{{"hostPath":"{host}","containerPath":"{target}"}}],
            "hooks":[{{"hookName":"prestart","path":"/x","args":["nvidia-cdi-hook","create-symlinks",{}]}}]"#,
            args.join(",")
        );
        let edits = edits.replace(",]", "]");
        let text = Machine::with(&spec(&edits)).null().text(&["v.test/d=a"]);
        prop_assert!(!text.is_empty());
    }
}
