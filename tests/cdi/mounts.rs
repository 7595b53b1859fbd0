//! Mounts: what is there anyway, what is mounted elsewhere, and what is refused.

use expect_test::{Expect, expect};
use ringfence::plan::gpu::cdi::Ground;

use crate::lab::{Machine, check_edits, spec};

fn mount(source: &str, target: &str, rest: &str) -> String {
    format!(r#""mounts":[{{"hostPath":"{source}","containerPath":"{target}"{rest}}}]"#)
}

fn machine() -> Machine {
    Machine::new().file("/opt/lib/a.so", "").dir("/srv/dir").file("/srv/file", "").dir("/data").link("/opt/link", "lib")
}

fn check(machine: Machine, source: &str, target: &str, expect: &Expect) {
    check_edits(machine, &mount(source, target, ""), expect);
}

#[test]
fn under_its_own_name_it_need_only_be_seen() {
    check(
        machine(),
        "/opt/lib",
        "/opt/lib",
        &expect![[r#"
            note: cdi: 1 mount is not made: the sandbox shows the same at the same path anyway
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().ground("/opt", Ground::Anew),
        "/opt/lib",
        "/opt/lib",
        &expect![[r#"
        read /opt/lib because gpu: v.test/d=a by --gpu, /cdi/a.json:1
    "#]],
    );
    check(
        machine(),
        "/none",
        "/none",
        &expect![[r#"
            error: CDI device v.test/d=a cannot be used: `/none`, which is to be mounted, does not exist or cannot be reached
              said in: /cdi/a.json:1:92
              needed by: --gpu cdi:v.test/d=a
            hint: make /cdi/a.json anew with its vendor's tool
        "#]],
    );
    check(
        machine().denied("/opt"),
        "/opt/lib",
        "/opt/lib",
        &expect![[r#"
            note: cdi: /opt/lib is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
}

#[test]
fn under_another_name_it_is_mounted_where_it_can_be() {
    check(
        machine(),
        "/opt/lib",
        "/srv/dir",
        &expect![[r#"
            mount /opt/lib onto /srv/dir because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /srv/dir is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        machine(),
        "/opt/lib/a.so",
        "/srv/file",
        &expect![[r#"
            mount /opt/lib/a.so onto /srv/file because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /srv/file is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        machine(),
        "/opt/link/a.so",
        "/srv/file",
        &expect![[r#"
            mount /opt/lib/a.so onto /srv/file because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /srv/file is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        machine(),
        "/opt/lib",
        "/run/new/dir",
        &expect![[r#"
            mount /opt/lib made at /run/new/dir because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /run/new/dir is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        machine(),
        "/opt/lib",
        "/srv/file",
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: there is no directory `/srv/file` to mount on, and the root is read-only
          said in: /cdi/a.json:1:92
          needed by: --gpu cdi:v.test/d=a
        hint: make it: `sudo mkdir -p /srv/file`
    "#]],
    );
    check(
        machine(),
        "/opt/lib",
        "/srv/none",
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: there is no directory `/srv/none` to mount on, and the root is read-only
          said in: /cdi/a.json:1:92
          needed by: --gpu cdi:v.test/d=a
        hint: make it: `sudo mkdir -p /srv/none`
    "#]],
    );
    check(
        machine(),
        "/opt/link",
        "/srv/dir",
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/opt/link`, which is to be mounted, is a link
          said in: /cdi/a.json:1:92
          needed by: --gpu cdi:v.test/d=a
        hint: name in the file where it leads: `readlink -f /opt/link`
    "#]],
    );
    check(
        machine(),
        "/opt/lib",
        "/dev/shm/x",
        &expect![[r#"
            mount /opt/lib made at /dev/shm/x because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /dev/shm/x is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        machine().denied("/srv"),
        "/opt/lib",
        "/srv/dir",
        &expect![[r#"
            note: cdi: /srv/dir is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().denied("/opt/lib/a.so"),
        "/opt/lib",
        "/srv/dir",
        &expect![[r#"
        note: cdi: /srv/dir is not mounted: something in /opt/lib must not be seen (--deny) (/cdi/a.json:1:92)
        note: cdi: v.test/d=a comes to nothing here
    "#]],
    );
    check(
        machine().denied("/opt"),
        "/opt/lib",
        "/srv/dir",
        &expect![[r#"
            note: cdi: /srv/dir is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
}

#[test]
fn other_names_of_paths_do_not_help() {
    check(
        machine().denied("/opt/lib"),
        "/opt/link/a.so",
        "/srv/file",
        &expect![[r#"
        note: cdi: /srv/file is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
        note: cdi: v.test/d=a comes to nothing here
    "#]],
    );
    check(
        machine().denied("/opt/link"),
        "/opt/link/a.so",
        "/srv/file",
        &expect![[r#"
            note: cdi: /srv/file is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().link("/srv/link", "dir").dir("/srv/dir/below"),
        "/opt/lib",
        "/srv/link/below",
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: there is no directory `/srv/link/below` to mount on, and the root is read-only
          said in: /cdi/a.json:1:92
          needed by: --gpu cdi:v.test/d=a
        hint: make it: `sudo mkdir -p /srv/link/below`
    "#]],
    );
    check(
        machine().denied("/opt/lib").ground("/opt", Ground::Anew),
        "/opt/link",
        "/opt/link",
        &expect![[r#"
        note: cdi: /opt/link is not mounted: it is denied (--deny) (/cdi/a.json:1:92)
        note: cdi: v.test/d=a comes to nothing here
    "#]],
    );
}

#[test]
fn nothing_becomes_writable_that_was_not() {
    let writable = || machine().ground("/data", Ground::Writable);
    check(
        writable(),
        "/data",
        "/srv/dir",
        &expect![[r#"
            mount /data onto /srv/dir because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /srv/dir is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check_edits(
        writable(),
        &mount("/data", "/srv/dir", r#","options":["ro"]"#),
        &expect![[r#"
            mount /data onto /srv/dir because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    check_edits(
        machine(),
        &mount("/data", "/srv/dir", r#","options":["rw","rbind"]"#),
        &expect![[r#"
            mount /data onto /srv/dir because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /srv/dir is read-only: under another name nothing is written (/cdi/a.json:1:92)
        "#]],
    );
    check(
        writable(),
        "/opt/lib",
        "/data",
        &expect![[r#"
        error: CDI device v.test/d=a cannot be used: `/data` would cover what the sandbox has of its own, or what a rule is about
          said in: /cdi/a.json:1:92
          needed by: --gpu cdi:v.test/d=a
        hint: take the edit out of the file if the device works without it
    "#]],
    );
}

#[test]
fn nothing_of_the_sandbox_s_own_is_covered() {
    let targets = [
        "/",
        "/proc",
        "/proc/self",
        "/sys",
        "/sys/class",
        "/dev",
        "/dev/dri",
        "/dev/shm",
        "/tmp",
        "/run",
        "/usr",
        "/etc",
        "/etc/ld.so.preload",
        "/etc/ld.so.cache",
        "/etc/ringfence",
        "/etc/ringfence/config.toml",
    ];
    for target in targets {
        let text = machine().file("/cdi/a.json", spec(&mount("/opt/lib", target, ""))).text(&["v.test/d=a"]);
        assert!(text.contains("would cover"), "{target}: {text}");
    }
    for source in ["/proc/1/root", "/sys/kernel", "/dev/sda", "/dev"] {
        let text = machine().file("/cdi/a.json", spec(&mount(source, "/srv/dir", ""))).text(&["v.test/d=a"]);
        assert!(text.contains("would be shown under another name"), "{source}: {text}");
    }
    for path in ["srv/dir", "/srv/../etc", "/srv/dir/.."] {
        let text = machine().file("/cdi/a.json", spec(&mount("/opt/lib", path, ""))).text(&["v.test/d=a"]);
        assert!(text.contains("not usable"), "{path}: {text}");
    }
}

#[test]
fn kinds_and_options() {
    for (rest, works) in [
        (r#","type":"bind""#, true),
        (r#","type":"none""#, true),
        (r#","type":"""#, true),
        (r#","type":"tmpfs""#, false),
        (r#","type":"overlay""#, false),
        (r#","options":["ro","nosuid","nodev","rbind","rprivate"]"#, true),
        (r#","options":["suid","dev","exec"]"#, true),
        (r#","options":["upperdir=/x"]"#, false),
        (r#","options":["remount"]"#, false),
    ] {
        let plan = machine().file("/cdi/a.json", spec(&mount("/opt/lib", "/srv/dir", rest))).plan(&["v.test/d=a"]);
        assert_eq!(plan.is_ok(), works, "{rest}: {plan:?}");
    }
}

#[test]
fn sockets_stay_outside() {
    let socket = || {
        let machine = machine();
        let _bound = std::os::unix::net::UnixListener::bind(machine.real("/srv/socket")).unwrap();
        machine
    };
    check(
        socket(),
        "/srv/socket",
        "/srv/socket",
        &expect![[r#"
            note: cdi: /srv/socket is left out: sockets of the host are granted one by one (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine(),
        "/var/run/nvidia-persistenced/socket",
        "/run/nvidia-persistenced/socket",
        &expect![[r#"
            note: cdi: /var/run/nvidia-persistenced/socket is left out: sockets of the host are granted one by one (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine(),
        "/tmp/nvidia-mps",
        "/tmp/nvidia-mps",
        &expect![[r#"
            note: cdi: /tmp/nvidia-mps is left out: it needs the class mps (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
    check(
        machine().granted(&["mps"]),
        "/tmp/nvidia-mps",
        "/tmp/nvidia-mps",
        &expect![[r#"
            socket /tmp/nvidia-mps because gpu: v.test/d=a by --gpu, /cdi/a.json:1
        "#]],
    );
    check(
        machine().granted(&["mps"]).denied("/tmp/nvidia-mps"),
        "/tmp/nvidia-mps",
        "/tmp/nvidia-mps",
        &expect![[r#"
            note: cdi: /tmp/nvidia-mps is left out: it is denied (/cdi/a.json:1:92)
            note: cdi: v.test/d=a comes to nothing here
        "#]],
    );
}

#[test]
fn directories_with_sockets_stay_outside() {
    let line = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                0000000000000000: 00000002 00000000 00010000 0001 01 17 /opt/lib/deep/socket\n";
    let socket = || {
        let machine = machine().dir("/opt/lib/deep").file("/proc/net/unix", line);
        let _bound = std::os::unix::net::UnixListener::bind(machine.real("/opt/lib/deep/socket")).unwrap();
        machine
    };
    check(
        socket(),
        "/opt/lib",
        "/srv/dir",
        &expect![[r#"
        note: cdi: /srv/dir is not mounted: it holds the socket /opt/lib/deep/socket of the host (/cdi/a.json:1:92)
        note: cdi: v.test/d=a comes to nothing here
    "#]],
    );
    check(
        socket().ground("/opt", Ground::Anew),
        "/opt/lib",
        "/opt/lib",
        &expect![[r#"
        note: cdi: /opt/lib is not mounted: it holds the socket /opt/lib/deep/socket of the host (/cdi/a.json:1:92)
        note: cdi: v.test/d=a comes to nothing here
    "#]],
    );
    let other = socket().file("/cdi/a.json", spec(&mount("/data", "/srv/dir", ""))).plan(&["v.test/d=a"]);
    assert_eq!(other.unwrap().mounts.len(), 1, "the control");
}

#[test]
fn the_later_of_two_at_one_place_counts_and_parents_come_first() {
    let one = r#"{"hostPath":"/opt/lib","containerPath":"/run/a/b"}"#;
    let two = r#"{"hostPath":"/srv/dir","containerPath":"/run/a"}"#;
    let three = r#"{"hostPath":"/srv/dir","containerPath":"/run/a/b"}"#;
    check_edits(
        machine(),
        &format!("\"mounts\":[{one},{two},{three}]"),
        &expect![[r#"
            mount /srv/dir made at /run/a because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            mount /srv/dir made at /run/a/b because gpu: v.test/d=a by --gpu, /cdi/a.json:1
            note: cdi: /run/a is read-only: under another name nothing is written (/cdi/a.json:1:143)
            note: cdi: /run/a/b is read-only: under another name nothing is written (/cdi/a.json:1:192)
        "#]],
    );
}

#[test]
fn whole_directories_of_programs_stay_the_host_s() {
    let covers = |source: &str, target: &str| {
        let machine = machine().dir("/usr/lib/vendor").dir("/usr/share");
        let refused = machine.file("/cdi/a.json", spec(&mount(source, target, ""))).plan(&["v.test/d=a"]).err();
        refused.is_some_and(|error| error.iter().any(|error| format!("{error:?}").contains("Covers")))
    };
    for target in ["/usr/lib", "/usr/share", "/usr/lib64", "/usr/local/bin", "/bin", "/root", "/opt"] {
        assert!(covers("/srv/dir", target), "{target}");
    }
    assert!(!covers("/srv/dir", "/usr/lib/vendor"), "a directory of its own");
    assert!(!covers("/usr/share", "/usr/share"), "the same at the same place");
}
