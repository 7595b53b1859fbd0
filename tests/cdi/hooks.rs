//! Hooks: none is run; what NVIDIA's do is done otherwise or not needed, all else is refused.

use std::ffi::OsStr;
use std::path::Path;

use expect_test::expect;
use ringfence::host::gpu::cdi::{Hook, HookEdit};
use ringfence::plan::gpu::cdi::{Ground, library_path};
use ringfence::request::yaml::Place;

use crate::lab::{Machine, check_edits};

fn hook(args: &[&str]) -> String {
    let args: Vec<_> = args.iter().map(|arg| format!("{arg:?}")).collect();
    format!(r#""hooks":[{{"hookName":"createContainer","path":"/opt/x","args":[{}]}}]"#, args.join(","))
}

#[test]
fn which_hooks_are_known() {
    let table: &[&[&str]] = &[
        &["nvidia-cdi-hook", "noop"],
        &["/usr/bin/nvidia-cdi-hook", "chmod", "--mode", "755", "--path", "/dev/dri"],
        &[
            "nvidia-ctk",
            "hook",
            "update-ldcache",
            "--folder",
            "/opt/a",
            "--folder=/opt/b",
            "--ldconfig-path",
            "/sbin/ldconfig",
        ],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "a::/opt/b", "--link=../c::dev/d"],
        &["nvidia-cdi-hook", "disable-device-node-modification"],
        &["nvidia-cdi-hook", "update-application-profile", "--anything"],
        &["nvidia-cdi-hook", "enable-cuda-compat", "--host-driver-version=570.1"],
        &[],
        &["nvidia-cdi-hook"],
        &["nvidia-ctk"],
        &["nvidia-ctk", "cdi", "generate"],
        &["nvidia-ctk", "noop"],
        &["nvidia-cdi-hook", "hook", "noop"],
        &["sh", "-c", "nvidia-cdi-hook noop"],
        &["nvidia-cdi-hook.sh", "noop"],
        &["nvidia-cdi-hook", "create-symlinks", "--link"],
        &["nvidia-cdi-hook", "create-symlinks", "--force", "a::/b"],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "a:/b"],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "a::/b::/c"],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "::/b"],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "a::"],
        &["nvidia-cdi-hook", "create-symlinks", "--link", "a::/x/../../etc/b"],
        &["nvidia-cdi-hook", "update-ldcache", "--folder", "/a:/b"],
        &["nvidia-cdi-hook", "update-ldcache", "/a"],
    ];
    let mut text = String::new();
    for args in table {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let edit = HookEdit { place: Place::START, path: "/opt/x".into(), args };
        let told = Hook::of(&edit).map_or_else(|unknown| format!("refused: {unknown}"), |hook| format!("{hook:?}"));
        text += &format!("{}\n    {told}\n", edit.args.join(" "));
    }
    expect![[r#"
        nvidia-cdi-hook noop
            Noop
        /usr/bin/nvidia-cdi-hook chmod --mode 755 --path /dev/dri
            Chmod
        nvidia-ctk hook update-ldcache --folder /opt/a --folder=/opt/b --ldconfig-path /sbin/ldconfig
            UpdateLdcache(["/opt/a", "/opt/b"])
        nvidia-cdi-hook create-symlinks --link a::/opt/b --link=../c::dev/d
            CreateSymlinks([SymlinkWish { target: "a", link: "/opt/b" }, SymlinkWish { target: "../c", link: "/dev/d" }])
        nvidia-cdi-hook disable-device-node-modification
            DisableDeviceNodeModification
        nvidia-cdi-hook update-application-profile --anything
            UpdateApplicationProfile
        nvidia-cdi-hook enable-cuda-compat --host-driver-version=570.1
            EnableCudaCompat

            refused: `/opt/x` is not known, and programs that a file names are never run
        nvidia-cdi-hook
            refused: what `` of NVIDIA's hooks does is not known
        nvidia-ctk
            refused: `nvidia-ctk` is not known, and programs that a file names are never run
        nvidia-ctk cdi generate
            refused: `nvidia-ctk` is not known, and programs that a file names are never run
        nvidia-ctk noop
            refused: `nvidia-ctk` is not known, and programs that a file names are never run
        nvidia-cdi-hook hook noop
            refused: what `hook` of NVIDIA's hooks does is not known
        sh -c nvidia-cdi-hook noop
            refused: `sh` is not known, and programs that a file names are never run
        nvidia-cdi-hook.sh noop
            refused: `nvidia-cdi-hook.sh` is not known, and programs that a file names are never run
        nvidia-cdi-hook create-symlinks --link
            refused: `create-symlinks` has an argument that is not understood: `--link`
        nvidia-cdi-hook create-symlinks --force a::/b
            refused: `create-symlinks` has an argument that is not understood: `--force`
        nvidia-cdi-hook create-symlinks --link a:/b
            refused: `create-symlinks` has an argument that is not understood: `a:/b`
        nvidia-cdi-hook create-symlinks --link a::/b::/c
            refused: `create-symlinks` has an argument that is not understood: `a::/b::/c`
        nvidia-cdi-hook create-symlinks --link ::/b
            refused: `create-symlinks` has an argument that is not understood: `::/b`
        nvidia-cdi-hook create-symlinks --link a::
            refused: `create-symlinks` has an argument that is not understood: `a::`
        nvidia-cdi-hook create-symlinks --link a::/x/../../etc/b
            refused: `create-symlinks` has an argument that is not understood: `a::/x/../../etc/b`
        nvidia-cdi-hook update-ldcache --folder /a:/b
            refused: `update-ldcache` has an argument that is not understood: `/a:/b`
        nvidia-cdi-hook update-ldcache /a
            refused: `update-ldcache` has an argument that is not understood: `/a`
    "#]].assert_eq(&text);
}

#[test]
fn unknown_hooks_are_errors() {
    for args in [&["ldconfig"][..], &["nvidia-cdi-hook", "new-thing"], &[]] {
        let text = Machine::with(&crate::lab::spec(&hook(args))).text(&["v.test/d=a"]);
        assert!(text.contains("it runs a program of the host"), "{text}");
    }
    check_edits(
        Machine::new(),
        &hook(&["nvidia-cdi-hook", "new-thing"]),
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: it runs a program of the host: what `new-thing` of NVIDIA's hooks does is not known
          said in: /cdi/a.json:1:91
          needed by: --gpu cdi:v.test/d=a
        hint: take the hook out of the file if the device works without it
    "#]],
    );
}

#[test]
fn links() {
    let link = |link: &str| hook(&["nvidia-cdi-hook", "create-symlinks", "--link", link]);
    let machine = || Machine::new().file("/opt/lib.so.1", "").link("/opt/lib.so", "lib.so.1");
    // It leads there already, whatever it says.
    check_edits(
        machine(),
        &link("lib.so.1::/opt/lib.so"),
        &expect![[r#"
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine(),
        &link("/opt/lib.so.1::/opt/lib.so"),
        &expect![[r#"
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine(),
        &link("lib.so.2::/opt/lib.so"),
        &expect![[r#"
            note: cdi: link /opt/lib.so to lib.so.2 is not made: the sandbox makes nothing there (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine(),
        &link("lib.so.1::/opt/new.so"),
        &expect![[r#"
            note: cdi: link /opt/new.so to lib.so.1 is not made: the sandbox makes nothing there (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    // Where the sandbox has directories of its own they are made.
    check_edits(
        machine().ground("/opt", Ground::Anew),
        &link("lib.so.1::/opt/new.so"),
        &expect![[r#"
            link /opt/new.so -> lib.so.1 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    check_edits(
        machine(),
        &link("../x::/run/a/b"),
        &expect![[r#"
            link /run/a/b -> ../x because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    check_edits(
        machine().ground("/opt", Ground::Writable),
        &link("a::/opt/new.so"),
        &expect![[r#"
            note: cdi: link /opt/new.so to a is not made: the sandbox makes nothing there (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine().ground("/opt", Ground::Hidden),
        &link("a::/opt/new.so"),
        &expect![[r#"
            note: cdi: link /opt/new.so to a is not made: the sandbox makes nothing there (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine().denied("/opt"),
        &link("a::/opt/new.so"),
        &expect![[r#"
            note: cdi: link /opt/new.so is left out: it is denied (--deny) (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    // What is not granted is absent, and so is its other name.
    check_edits(
        machine(),
        &link("nvidia7::/dev/alias"),
        &expect![[r#"
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check_edits(
        machine(),
        &link("null::/dev/alias"),
        &expect![[r#"
            link /dev/alias -> null because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    for own in
        ["a::/dev/null", "a::/dev/pts/0", "a::/dev/shm/x", "a::/proc/self/x", "a::/sys/x", "a::/dev", "a::/dev/stdin"]
    {
        let text = machine().file("/cdi/a.json", crate::lab::spec(&link(own))).text(&["v.test/d=a"]);
        assert!(text.contains("would cover"), "{own}: {text}");
    }
}

#[test]
fn links_below_links() {
    let args = ["nvidia-cdi-hook", "create-symlinks", "--link", "/srv::/run/a", "--link", "x::/run/a/b"];
    let text = Machine::with(&crate::lab::spec(&hook(&args))).text(&["v.test/d=a"]);
    assert!(text.contains("`/run/a/b` would cover"), "{text}");
    let args =
        ["nvidia-cdi-hook", "create-symlinks", "--link", "x::/run/a", "--link", "y::/run/a", "--link", "z::/run/b"];
    let plan = Machine::with(&crate::lab::spec(&hook(&args))).plan(&["v.test/d=a"]).unwrap();
    let links: Vec<_> = plan.links.iter().map(|(link, to, _)| (link.to_str().unwrap(), to.to_str().unwrap())).collect();
    assert_eq!(links, [("/run/a", "y"), ("/run/b", "z")]);
}

#[test]
fn links_beside_nodes() {
    let node = r#""deviceNodes":[{"path":"/dev/dri/card9","hostPath":"/dev/null"}]"#;
    let with = |link: &str| format!("{node},{}", hook(&["nvidia-cdi-hook", "create-symlinks", "--link", link]));
    check_edits(
        Machine::new().null(),
        &with("../card9::/dev/dri/by-path/x"),
        &expect![[r#"
        device /dev/dri/card9 of /dev/null 1:3 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        link /dev/dri/by-path/x -> ../card9 because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    for covering in ["/dev/null::/dev/dri/card9", "/dev/null::/dev/dri", "/dev/null::/dev/dri/card9/x"] {
        let text = Machine::with(&crate::lab::spec(&with(covering))).null().text(&["v.test/d=a"]);
        assert!(text.contains("would cover"), "{covering}: {text}");
    }
}

#[test]
fn libraries() {
    let folders = hook(&[
        "nvidia-cdi-hook",
        "update-ldcache",
        "--folder",
        "/usr/lib/known",
        "--folder",
        "/opt/new",
        "--folder",
        "/none",
        "--folder",
        "/opt/new",
    ]);
    let machine = || {
        let machine = Machine::new().dir("/usr/lib/known").dir("/opt/new").link("/lib", "usr/lib");
        machine
            .file("/etc/ld.so.conf", "# x\ninclude ld.so.conf.d/*.conf\n")
            .file("/etc/ld.so.conf.d/a.conf", "/lib/known # why\n")
    };
    check_edits(
        machine(),
        &folders,
        &expect![[r#"
            libraries /opt/new because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    check_edits(
        machine().denied("/opt"),
        &folders,
        &expect![[r#"
            note: cdi: libraries in /opt/new are left out: it is denied (--deny) (/cdi/a.json:1:91)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    let path = |inherited: Option<&str>| library_path([Path::new("/opt/new")].into_iter(), inherited.map(OsStr::new));
    assert_eq!(path(None), "/opt/new");
    assert_eq!(path(Some("")), "/opt/new");
    assert_eq!(path(Some("/a:/b")), "/opt/new:/a:/b");
}
