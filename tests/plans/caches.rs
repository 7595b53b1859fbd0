//! Where compiled GPU code goes, and why: on a machine with a GPU and a cache directory, and on those where something
//! speaks against it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use ringfence::host::gpu::CallerIds;
use ringfence::host::paths::Root;
use ringfence::host::{self, Caller, cache};
use ringfence::plan::{self, Plan, show};

use crate::{lab, machine, policy};

/// A plan on the small machine with two GPUs. `before` makes what lies in the home directory.
fn planned(toml: &str, before: &dyn Fn(&Path)) -> Plan {
    planned_with(toml, "/home/you/.cache", before)
}

fn planned_with(toml: &str, cache: &str, before: &dyn Fn(&Path)) -> Plan {
    let machine = machine();
    std::fs::create_dir_all(machine.path().join("home/you/.cache")).unwrap();
    before(&machine.path().join("home/you"));
    let policy = policy(toml);
    let env: Vec<(OsString, OsString)> =
        vec![("HOME".into(), "/home/you".into()), ("XDG_CACHE_HOME".into(), cache.into())];
    let mut facts = host::probe(machine.path(), &policy, env.clone()).unwrap();
    let ids = CallerIds { uid: 1000, gid: 1000, groups: vec![44] };
    facts.caller = Caller { ids, homes: vec![PathBuf::from("/home/you")], ..Caller::default() };
    facts.landlock_abi = 7;
    facts.sockets.clear();
    facts.gpus = lab::Host::named("two-gpus").gpus();
    let root = Root::open(machine.path()).unwrap();
    facts.cache = Some(cache::probe(&root, &env, Path::new("/home/you/project")));
    plan::build(&policy, &facts).unwrap()
}

fn check(toml: &str, before: &dyn Fn(&Path), want: Expect) {
    check_with(toml, "/home/you/.cache", before, want);
}

fn check_with(toml: &str, cache: &str, before: &dyn Fn(&Path), want: Expect) {
    let text = show::text(&planned_with(toml, cache, before));
    let about = |line: &&str| {
        let is_variable = line.trim_start().starts_with("set ");
        let ours = line.contains("/.cache") && !is_variable && !line.contains("protected: .");
        ours || line.contains("CUDA_CACHE_PATH") || line.contains("compiled GPU")
    };
    let told: String = text.lines().filter(about).map(|line| line.trim().to_owned() + "\n").collect();
    let told = told.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    want.assert_eq(&told);
}

#[test]
fn the_plan_shows_the_directory_and_why() {
    check(
        "gpu = 0\n",
        &|_| (),
        expect![[r#"
        writable /home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7 because gpu: compiled kernels of this workspace are kept here, the home is read-only
        write /home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7 because gpu: compiled kernels of this workspace are kept here, the home is read-only
        set CUDA_CACHE_PATH=/home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7/cuda-cache because gpu: compiled kernels are kept here for the next run, the home is read-only
    "#]],
    );
    check(
        "gpu = 0\nwrite = [\"~/.cache\"]\n",
        &|_| (),
        expect![[r#"
        writable /home/you/.cache because agent.toml:2
        read-only /home/you/.cache/ringfence because protected: ringfence itself or its configuration
        writable /home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7 because gpu: compiled kernels of this workspace are kept here, the home is read-only
        blocked, missing /home/you/.cache/ringfence.toml because protected: ringfence.toml: ringfence may be started with it
        write /home/you/.cache because agent.toml:2
        write /home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7 because gpu: compiled kernels of this workspace are kept here, the home is read-only
        set CUDA_CACHE_PATH=/home/you/.cache/ringfence/gpu/project-55e8fbffcaa6d84b1296156f59f85bd7/cuda-cache because gpu: compiled kernels are kept here for the next run, the home is read-only
    "#]],
    );
    let json = show::json(&planned("gpu = 0\n", &|_| ()));
    let effective = json["effective"].as_array().unwrap();
    let kept = effective.iter().find(|entry| entry["path"].as_str().unwrap().contains(".cache/ringfence/gpu"));
    assert_eq!(kept.unwrap()["level"], "write");
}

#[test]
fn what_speaks_against_it_is_told() {
    let link = |home: &Path| std::os::unix::fs::symlink("/etc", home.join(".cache/ringfence")).unwrap();
    check(
        "gpu = 0\n",
        &link,
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: `/home/you/.cache/ringfence` is no directory but a link or a file
    "#]],
    );
    check(
        "gpu = 0\nread = [\"~/.cache\"]\n",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: /home/you/.cache is read by agent.toml:2
    "#]],
    );
    check(
        "gpu = 0\ndeny = [\"~/.cache\"]\n",
        &|_| (),
        expect![[r#"
        hidden /home/you/.cache because agent.toml:2
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: /home/you/.cache is none by agent.toml:2
    "#]],
    );
    check(
        "gpu = 0\ncomplete = true\nread = [\"/\"]\n",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
    "#]],
    );
    check(
        "gpu = 0\nsandbox = \"read-only\"\n",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
    "#]],
    );
    check(
        "gpu = 0\nwrite = [\"~\"]\n",
        &|_| (),
        expect![[r#"
        writable /home/you/.cache because protected: cannot be moved away with what is protected below it
        blocked, missing /home/you/.cache/ringfence because protected: ringfence itself or its configuration
    "#]],
    );
    check("gpu = \"off\"\n", &|_| (), expect![[r#""#]]);
}

#[test]
fn a_cache_directory_elsewhere_has_to_be_out_of_the_command_s_reach() {
    check_with(
        "gpu = 0\n",
        "/home/you/.ssh/cache",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: /home/you/.ssh is none by secret: SSH keys
    "#]],
    );
    check_with(
        "gpu = 0\n",
        "/tmp/cache",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: /tmp is private (baseline: files and sockets of other programs)
    "#]],
    );
    check_with(
        "gpu = 0\n",
        "/home/you/project/.cache",
        &|_| (),
        expect![[r#"
        set CUDA_CACHE_PATH=/tmp/cuda-cache because gpu: compiled kernels are cached here, the home is read-only
        note: compiled GPU code goes to /tmp and is gone at the end: the command can replace the cache directory, in /home/you/project
    "#]],
    );
}
