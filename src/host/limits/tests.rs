use expect_test::{Expect, expect};

use super::*;

const V2: &str = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const SLICE: &str = "/sys/fs/cgroup/user.slice";

/// What is found where these files are; a name that ends with a slash is an empty directory.
fn check(files: &[(&str, &str)], named: Option<&str>, want: Expect) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let homes = homes(&Files(root.path()), named.map(Path::new)).unwrap_or_default();
    let line = |home: &Home| {
        let Home { path, version, controllers, switched_off, left_behind } = home;
        let path = path.display();
        format!("{path} {version:?} {controllers:?} off {switched_off:?} left {left_behind:?}\n")
    };
    want.assert_eq(&homes.iter().map(line).collect::<String>());
}

fn scope(name: &str) -> String {
    format!("{SLICE}/{name}")
}

#[test]
fn a_group_beside_the_caller_s_is_used_and_what_limits_the_caller_s_is_known() {
    let paths = ["cgroup.procs", "cgroup.subtree_control", "a.scope/memory.max", "a.scope/pids.max", "a.scope/cpu.max"];
    let [procs, on, memory, pids, cpu] = paths.map(scope);
    let own = ("/proc/self/cgroup", "0::/user.slice/a.scope\n");
    let files = |memory_max, on_list| {
        [
            ("/proc/self/mountinfo", V2),
            own,
            (procs.as_str(), ""),
            (on.as_str(), on_list),
            (memory.as_str(), memory_max),
            (pids.as_str(), "max\n"),
            (cpu.as_str(), "50000 100000\n"),
        ]
    };
    check(
        &files("max\n", "cpu memory pids\n"),
        None,
        expect![[r"
            /sys/fs/cgroup/user.slice Two [Cpu, Memory, Pids] off [] left {Cpu: 500}
        "]],
    );
    check(
        &files("4096\n", "cpu memory io\n"),
        None,
        expect![[r"
            /sys/fs/cgroup/user.slice Two [Cpu, Memory] off [] left {Memory: 4096, Cpu: 500}
        "]],
    );
    // The caller would get more than its own group lets it have.
    check(&files("4096\n", "cpu\n"), None, expect![""]);
}

#[test]
fn a_container_whose_only_group_is_in_use_has_none_but_the_root_of_all_has() {
    let own = ("/proc/self/cgroup", "0::/\n");
    let table = ("/proc/self/mountinfo", V2);
    let procs = |list| ("/sys/fs/cgroup/cgroup.procs", list);
    let have = ("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    check(&[table, own, procs("1\n"), have, ("/sys/fs/cgroup/cgroup.subtree_control", "\n")], None, expect![""]);
    check(
        &[table, own, procs("1\n"), have, ("/sys/fs/cgroup/cgroup.subtree_control", "memory pids\n")],
        None,
        expect![[r"
            /sys/fs/cgroup Two [Memory, Pids] off [] left {}
        "]],
    );
}

#[test]
fn a_named_group_has_what_can_be_switched_on_in_it() {
    let [procs, on, have] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.controllers"].map(scope);
    let files = [(procs.as_str(), ""), (on.as_str(), "pids\n"), (have.as_str(), "cpu memory pids\n")];
    check(
        &files,
        Some(SLICE),
        expect![[r"
            /sys/fs/cgroup/user.slice Two [Pids, Cpu, Memory] off [Cpu, Memory] left {}
        "]],
    );
    check(&files, Some("/sys/fs/cgroup/none"), expect![""]);
    // No group at all.
    check(&[("/srv/file", "")], Some("/srv"), expect![""]);
}

#[test]
fn in_version_1_each_controller_has_a_place_of_its_own() {
    let table = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        39 31 0:36 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let own = "8:pids:/docker/other\n4:memory:/docker/x/job:1\n1:cpu,cpuacct:/\n0::/\n";
    check(
        &[
            ("/proc/self/mountinfo", table),
            ("/proc/self/cgroup", own),
            ("/sys/fs/cgroup/cpu,cpuacct/cgroup.procs", ""),
            ("/sys/fs/cgroup/memory/job:1/cgroup.procs", ""),
            ("/sys/fs/cgroup/pids/cgroup.procs", ""),
            ("/sys/fs/cgroup/unified/cgroup.procs", ""),
        ],
        None,
        expect![[r"
            /sys/fs/cgroup/memory/job:1 One [Memory] off [] left {}
            /sys/fs/cgroup/cpu,cpuacct One [Cpu] off [] left {}
        "]],
    );
}

#[test]
fn versions_of_kernels_are_two_numbers() {
    for (release, want) in [
        ("6.12.0-1-amd64\n", Some((6, 12))),
        ("5.4", Some((5, 4))),
        ("6.18rc1", Some((6, 18))),
        ("", None),
        ("x.y", None),
    ] {
        assert_eq!(version(release), want, "{release}");
    }
}
