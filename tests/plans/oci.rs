//! Policies on a small machine → the bundle's mounts and files, as text.

use std::fmt::Write as _;
use std::path::Path;

use expect_test::{Expect, expect};

use std::ffi::OsString;

use ringfence::host::engines::Engines;
use ringfence::host::{self, Caller, Facts};
use ringfence::plan;
use ringfence::plan::mounts::{Mount, MountOp};
use ringfence::plan::oci::spec::{Cpu, IdMapping, Memory, Pids, Rlimit};
use ringfence::plan::oci::{Bundle, Item, Made, Top, bundle, policy};
use ringfence::policy::Policy;
use ringfence::request::limits::Limits;
use ringfence::request::{Origin, load};

/// A trailing `/` makes a directory.
const MACHINE: &[&str] = &[
    "etc/shadow",
    "usr/lib/",
    "proc/meminfo",
    "run/",
    "tmp/",
    "home/you/.netrc",
    "home/you/w/.git/",
    "srv/open/",
    "srv/x",
];

const TOP: [(&str, Top); 9] = [
    ("etc", Top::Dir),
    ("home", Top::Dir),
    ("lost+found", Top::Closed),
    ("marker", Top::File),
    ("proc", Top::Dir),
    ("run", Top::Dir),
    ("srv", Top::Dir),
    ("tmp", Top::Dir),
    ("usr", Top::Dir),
];

fn top() -> Vec<(OsString, Top)> {
    let link = ("bin".into(), Top::Link("usr/bin".into()));
    [link].into_iter().chain(TOP.map(|(name, top)| (name.into(), top))).collect()
}

/// Of uid 1000 with `true` as its command, in `/home/you/w`.
fn facts(words: &str) -> (Policy, Limits, Facts) {
    let root = tempfile::tempdir().unwrap();
    for entry in MACHINE {
        let path = root.path().join(entry);
        if entry.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }
    let mut request = load::parse(words, Path::new("a.toml"), Path::new("/"), None).unwrap();
    request.command = vec!["true".into()];
    let (policy, wished) = policy(Policy::new(request, Path::new("/home/you/w")).unwrap());
    let environment = vec![("HOME".into(), "/home/you".into()), ("A".into(), "1".into())];
    let mut facts = host::probe(root.path(), &policy, environment).unwrap();
    facts.engines = Engines { fresh_proc: true, ..Engines::default() };
    facts.caller = Caller::default();
    facts.caller.ids.uid = 1000;
    facts.landlock_abi = 6;
    facts.own_files.clear();
    (policy, wished, facts)
}

fn planned(words: &str) -> Result<Bundle, Vec<String>> {
    let (policy, wished, facts) = facts(words);
    let plan = plan::build(&policy, &facts).unwrap();
    bundle(&plan, &policy, &wished, &top()).map_err(|errors| errors.iter().map(|error| error.to_string()).collect())
}

fn check(words: &str, want: Expect) {
    let Bundle { config, items, notes: _ } = planned(words).unwrap();
    let mut out = String::new();
    for mount in &config.mounts {
        let kind = if mount.kind == "bind" { &mount.source } else { mount.kind };
        writeln!(out, "{} = {kind} {}", mount.destination, mount.options.join(",")).unwrap();
    }
    writeln!(out, "masked {}", config.linux.masked_paths.join(" ")).unwrap();
    writeln!(out, "read-only {} root {}", config.linux.readonly_paths.join(" "), config.root.readonly).unwrap();
    for Item { path, what } in &items {
        let what = match what {
            Made::Dir(mode) => format!("{mode:03o}/"),
            Made::File(mode, bytes) => format!("{mode:03o} {}", bytes.len()),
            Made::Link(to) => format!("-> {}", to.display()),
        };
        writeln!(out, "{} {what}", path.display()).unwrap();
    }
    want.assert_eq(&out);
}

#[test]
fn the_host_s_root_comes_in_by_its_entries_and_the_rest_in_the_plan_s_order() {
    check(
        "deny = ['/srv/x', '/proc/meminfo']",
        expect![[r#"
            /etc = /etc rbind,ro,rprivate,rro,rnosuid,rnodev
            /home = /home rbind,ro,rprivate,rro,rnosuid,rnodev
            /marker = /marker bind,ro,private,nosuid,nodev
            /srv = /srv rbind,ro,rprivate,rro,rnosuid,rnodev
            /usr = /usr rbind,ro,rprivate,rro,rnosuid,rnodev
            /home/you/w = /home/you/w rbind,rw,rprivate,rnosuid,rnodev
            /home/you/w/.git = /home/you/w/.git rbind,ro,rprivate,rro,rnosuid,rnodev
            /run = tmpfs nosuid,nodev,mode=0755
            /srv/x = hidden/file bind,ro,private,nosuid,nodev
            /tmp = tmpfs nosuid,nodev,mode=1777
            /dev = tmpfs nosuid,mode=0755
            /dev/pts = devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620
            /dev/shm = tmpfs nosuid,nodev,mode=1777
            /proc = proc nosuid,nodev,noexec
            masked /etc/shadow /home/you/.netrc /proc/meminfo
            read-only /dev root true
            rootfs 755/
            hidden/file 000 0
            hidden/directory 000/
            rootfs/bin -> usr/bin
            rootfs/etc 755/
            rootfs/home 755/
            rootfs/lost+found 000/
            rootfs/marker 644 0
            rootfs/srv 755/
            rootfs/usr 755/
            rootfs/run 755/
            rootfs/tmp 755/
            rootfs/dev 755/
            rootfs/proc 755/
        "#]],
    );
}

#[test]
fn what_is_open_below_hidden_directories_stands_in_a_directory_of_the_bundle() {
    check(
        "deny = ['/srv']\nread = ['/srv/open']\ntmp_size = '1M'",
        expect![[r#"
        /etc = /etc rbind,ro,rprivate,rro,rnosuid,rnodev
        /home = /home rbind,ro,rprivate,rro,rnosuid,rnodev
        /marker = /marker bind,ro,private,nosuid,nodev
        /usr = /usr rbind,ro,rprivate,rro,rnosuid,rnodev
        /home/you/w = /home/you/w rbind,rw,rprivate,rnosuid,rnodev
        /home/you/w/.git = /home/you/w/.git rbind,ro,rprivate,rro,rnosuid,rnodev
        /run = tmpfs nosuid,nodev,mode=0755,size=1048576
        /srv = veils/10 rbind,ro,rprivate,rro,rnosuid,rnodev
        /srv/open = /srv/open rbind,ro,rprivate,rro,rnosuid,rnodev
        /tmp = tmpfs nosuid,nodev,mode=1777,size=1048576
        /dev = tmpfs nosuid,mode=0755,size=1048576
        /dev/pts = devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620
        /dev/shm = tmpfs nosuid,nodev,mode=1777,size=1048576
        /proc = proc nosuid,nodev,noexec
        masked /etc/shadow /home/you/.netrc
        read-only /dev root true
        rootfs 755/
        hidden/file 000 0
        hidden/directory 000/
        rootfs/bin -> usr/bin
        rootfs/etc 755/
        rootfs/home 755/
        rootfs/lost+found 000/
        rootfs/marker 644 0
        rootfs/usr 755/
        rootfs/run 755/
        veils/10 111/
        veils/10/open 755/
        rootfs/tmp 755/
        rootfs/dev 755/
        rootfs/proc 755/
    "#]],
    );
}

#[test]
fn a_narrow_root_is_the_bundle_s_own() {
    check(
        "deny = ['/']\nread = ['/usr', '/home/you/w']\nwrite = ['/srv/open']",
        expect![[r#"
        /home/you/w = /home/you/w rbind,ro,rprivate,rro,rnosuid,rnodev
        /run = tmpfs nosuid,nodev,mode=0755
        /srv/open = /srv/open rbind,rw,rprivate,rnosuid,rnodev
        /tmp = tmpfs nosuid,nodev,mode=1777
        /usr = /usr rbind,ro,rprivate,rro,rnosuid,rnodev
        /dev = tmpfs nosuid,mode=0755
        /dev/pts = devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620
        /dev/shm = tmpfs nosuid,nodev,mode=1777
        /proc = proc nosuid,nodev,noexec
        masked 
        read-only /dev root true
        rootfs 755/
        hidden/file 000 0
        hidden/directory 000/
        rootfs/home/you/w 755/
        rootfs/run 755/
        rootfs/srv/open 755/
        rootfs/tmp 755/
        rootfs/usr 755/
        rootfs/dev 755/
        rootfs/proc 755/
    "#]],
    );
}

#[test]
fn what_was_asked_for_and_cannot_be_said_is_an_error_that_can_be_allowed() {
    let table: [(&str, &[&str]); 6] = [
        ("timeout = '5s'", &["a.toml:1: runtimes end no command after a time [oci.limit_unavailable]"]),
        (
            "allow_host = ['example.com']",
            &["a.toml:1: nothing leads out of the network or into it: it stays off [oci.network_unavailable]"],
        ),
        ("landlock = 'required'", &["a.toml:1: there is no Landlock wall"]),
        ("deny = ['/home/you/w/new']", &["a.toml:1: /home/you/w/new is missing, and a mount needs"]),
        ("sandbox = 'full-access'", &["--sandbox: full-access confines nothing"]),
        ("memory = '1G'\npids = 5\ncpus = 2", &[]),
    ];
    for (words, want) in table {
        let found = planned(words).err().unwrap_or_default();
        assert_eq!(found.len(), want.len(), "{words}: {found:?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.starts_with(want), "{found}");
        }
        if want.iter().all(|error| !error.contains("full-access")) {
            let allowed = planned(&format!("allow_unenforced = true\n{words}")).unwrap();
            let told = |error: &&&str| {
                let (_, what) = error.split_once(": ").unwrap();
                allowed.notes.iter().any(|note| note.starts_with(what.split(" [").next().unwrap()))
            };
            assert!(want.iter().all(|error| told(&error)), "{:?}", allowed.notes);
        }
    }
}

#[test]
fn limits_are_the_control_group_s_and_ids_and_variables_the_plan_s() {
    let Bundle { config, .. } = planned("memory = '1G'\npids = 5\ncpus = 1.5\nopen_files = 64\nenv = ['B=2']").unwrap();
    let linux = &config.linux;
    assert_eq!(linux.resources.memory, Some(Memory { limit: 1 << 30, swap: 1 << 30 }));
    assert_eq!(linux.resources.cpu, Some(Cpu { quota: 150_000, period: 100_000 }));
    assert_eq!(linux.resources.pids, Some(Pids { limit: 5 }));
    assert_eq!(linux.uid_mappings, [IdMapping { container_id: 1000, host_id: 1000, size: 1 }]);
    let files = Rlimit { kind: "RLIMIT_NOFILE", hard: 64, soft: 64 };
    assert!(config.process.rlimits.contains(&files));
    for variable in ["A=1", "B=2", "RINGFENCE=1"] {
        assert!(config.process.env.iter().any(|known| known == variable), "{variable}: {:?}", config.process.env);
    }
    let kinds: Vec<_> = linux.namespaces.iter().map(|namespace| namespace.kind).collect();
    assert_eq!(kinds, ["user", "mount", "ipc", "uts", "cgroup", "pid", "network"]);
    let host = planned("net = 'host'").unwrap().config.linux.namespaces;
    assert!(!host.iter().any(|namespace| namespace.kind == "network"));
}

#[test]
fn nothing_of_ours_is_shown_in_proc() {
    let (policy, wished, facts) = facts("");
    let mut plan = plan::build(&policy, &facts).unwrap();
    assert!(bundle(&plan, &policy, &wished, &top()).is_ok());
    let what = Mount::Data { bytes: b"x".to_vec(), make: false };
    let op = MountOp { target: "/proc/driver/x".into(), what, because: Origin::Baseline("a test") };
    plan.confinement.as_mut().unwrap().mounts.ops.push(op);
    let found = bundle(&plan, &policy, &wished, &top()).unwrap_err();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let want =
        "baseline: a test: /proc/driver/x cannot be shown: runtimes mount nothing in /proc [oci.proc_unavailable]";
    assert_eq!(found, [want]);
}
