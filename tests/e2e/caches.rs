//! Compiled GPU code outlives a sandbox, for the next one of the same workspace and for nobody else. The GPU is a fake:
//! the driver's files over /proc and stand-in nodes over /dev, in mount namespaces of the tests' own.

use std::process::Command;

use crate::lab::{Lab, Need, Ran, Sandbox, in_private_mounts};

const NONE: [&str; 0] = [];

const NODES: &[&str] =
    &["nvidiactl c 195 255", "nvidia0 c 195 0", "nvidia1 c 195 1", "nvidia-uvm c 510 0", "nvidia-uvm-tools c 510 1"];

/// Puts the files of a driver with two GPUs over /proc, and a whole procfs elsewhere: as long as there is one that nothing
/// covers, the kernel lets sandboxes have their own.
pub fn fake_driver(lab: &Lab) {
    crate::devices::private_dev(lab, NODES);
    let (whole, driver, devices) = (lab.dir("cache/whole-proc"), lab.dir("driver"), lab.path("devices"));
    let mut script = format!(
        "set -e; mount -t proc proc {whole}; mount -t tmpfs -o mode=755 tmpfs {driver}; mkdir -p {driver}/nvidia/gpus\n\
         printf 'Character devices:\\n195 nvidia\\n195 nvidiactl\\n510 nvidia-uvm\\n\\nBlock devices:\\n' > {devices}\n\
         printf 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  595.45.04  Release Build\\n' > {driver}/nvidia/version\n\
         printf 'ModifyDeviceFiles: 1\\nDeviceFileMode: 438\\n' > {driver}/nvidia/params\n"
    );
    for (bus, minor) in [("0000:17:00.0", 0), ("0000:ca:00.0", 1)] {
        script += &format!(
            "mkdir {driver}/nvidia/gpus/{bus}; printf 'Device Minor: {minor}\\n' > {driver}/nvidia/gpus/{bus}/information\n"
        );
    }
    script += &format!("mount --bind {driver} /proc/driver; mount --bind {devices} /proc/devices\n");
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub fn undo(lab: &Lab) {
    let script = format!(
        "umount /proc/devices; umount /proc/driver; umount {}; umount {}",
        lab.path("driver"),
        lab.path("cache/whole-proc")
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    crate::devices::undo(lab);
}

/// For every engine and user: a machine with two GPUs.
fn with_gpus(body: impl Fn(&Lab, &str)) {
    for lab in Lab::every_user(&[Need::NoGpu]) {
        fake_driver(&lab);
        for backend in lab.engines() {
            body(&lab, backend);
            let remove = format!("rm -rf {0}/ringfence; mkdir -p {0}", lab.path("cache"));
            lab.outside(&remove).assert_works();
        }
        undo(&lab);
    }
}

fn sandbox<'a>(lab: &'a Lab, backend: &str, options: &[&str]) -> Sandbox<'a> {
    let backend = ["native", "landlock", "bwrap"].into_iter().find(|known| *known == backend).unwrap();
    lab.sandbox(options).backend(backend)
}

/// Where the variable leads, by the command's own word.
fn place(ran: &Ran) -> String {
    ran.assert_works();
    ran.stdout()
}

#[test]
fn the_next_run_of_the_workspace_finds_what_the_last_one_compiled() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            let run = || sandbox(lab, backend, &[]);
            let at = place(&run().sh("echo kernel > $CUDA_CACHE_PATH/compiled && echo $CUDA_CACHE_PATH"));
            assert!(at.starts_with(&lab.path("cache/ringfence/gpu/work-")), "{at}");
            run().sh("cat $CUDA_CACHE_PATH/compiled").assert_prints("kernel");
            // Libraries that make no directory of their own find one.
            run().sh("for dir in $NEO_CACHE_DIR $__GL_SHADER_DISK_CACHE_PATH $MESA_SHADER_CACHE_DIR; do touch $dir/x; done")
                .assert_works();
            run().env("CUDA_CACHE_PATH", "/somewhere").sh("echo $CUDA_CACHE_PATH").assert_prints("/somewhere");
            lab.outside(&format!("stat -c %a {0}/ringfence/gpu {0}/ringfence/gpu/work-*", lab.path("cache")))
                .assert_prints("700\n700");
        });
    });
}

#[test]
fn another_workspace_has_another_directory_and_comes_to_no_other() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            let first =
                place(&sandbox(lab, backend, &[]).sh("echo kernel > $CUDA_CACHE_PATH/compiled; echo $CUDA_CACHE_PATH"));
            let other = lab.dir("other/work");
            let run = || sandbox(lab, backend, &[]).cwd(&other);
            run().sh("cat $CUDA_CACHE_PATH/compiled").assert_refused();
            let second = place(&run().sh("touch $CUDA_CACHE_PATH/mine; echo $CUDA_CACHE_PATH"));
            assert_ne!(first, second);
            run().sh(&format!("echo planted > {first}/compiled")).assert_refused();
            run().sh(&format!("ln -s x {}/new", lab.path("cache/ringfence/gpu"))).assert_refused();
            run().sh(&format!("touch {}/bwrap", lab.path("cache/ringfence"))).assert_refused();
            run().sh(&format!("touch {}/new", lab.path("cache"))).assert_refused();
            lab.outside(&format!("cat {first}/compiled")).assert_prints("kernel");
        });
    });
}

#[test]
fn the_user_s_own_caches_are_neither_used_nor_changed() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            lab.file("home/.nv/ComputeCache/own", "own");
            let run = || sandbox(lab, backend, &[]);
            run().sh("echo planted > ~/.nv/ComputeCache/own").assert_refused();
            run().sh("touch ~/.nv/ComputeCache/new").assert_refused();
            run().sh("cat ~/.nv/ComputeCache/own && ! test -e $CUDA_CACHE_PATH/own").assert_prints("own");
            // The control: with the home writable, libraries have their own places.
            let home = lab.path("home");
            let wide = sandbox(lab, backend, &["--write", &home]);
            wide.sh("echo ${CUDA_CACHE_PATH-unset}; touch ~/.nv/ComputeCache/new").assert_prints("unset");
            lab.outside("rm ~/.nv/ComputeCache/new").assert_works();
        });
    });
}

#[test]
fn a_link_that_somebody_planted_is_not_followed() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            let at = place(&sandbox(lab, backend, &[]).sh("dirname $CUDA_CACHE_PATH"));
            let elsewhere = lab.dir("elsewhere");
            let cache = lab.path("cache/ringfence");
            for link in [cache.clone(), format!("{cache}/gpu"), at.clone()] {
                let plant = format!("rm -rf {cache}; mkdir -p $(dirname {link}); ln -s {elsewhere} {link}");
                lab.outside(&plant).assert_works();
                let ran = sandbox(lab, backend, &[]).sh("echo $CUDA_CACHE_PATH");
                assert!(!place(&ran).starts_with(&lab.path("")) || backend == "landlock", "{link}: {ran}");
                assert!(!ran.stdout().contains("ringfence/gpu"), "{link}: {ran}");
                lab.outside(&format!("ls -A {elsewhere}")).assert_prints("");
                let told = plan(lab, backend);
                assert!(told.contains(&format!("/tmp and is gone at the end: `{link}` is no directory")), "{told}");
                lab.outside(&format!("rm {link}")).assert_works();
            }
            // The control: the same without a link.
            assert_eq!(place(&sandbox(lab, backend, &[]).sh("dirname $CUDA_CACHE_PATH")), at);
        });
    });
}

/// What `plan` says of the default sandbox.
fn plan(lab: &Lab, backend: &str) -> String {
    let sandbox = lab.sandbox(NONE);
    let binary = sandbox.binary().to_str().unwrap().to_owned();
    sandbox.without().run([&binary, "plan", "--backend", backend, "--", "true"]).stdout()
}

#[test]
fn a_rule_of_the_user_or_of_the_mode_keeps_it_away() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            let cache = lab.path("cache");
            let at = |options: &[&str]| place(&sandbox(lab, backend, options).sh("echo $CUDA_CACHE_PATH"));
            assert!(at(&[]).starts_with(&cache), "the control");
            assert!(plan(lab, backend).contains("kept here, the home is read-only"), "{}", plan(lab, backend));
            for options in [&["--deny", &cache][..], &["--read", &cache], &["-s", "read-only", "--gpu", "all"]] {
                let at = at(options);
                assert!(!at.starts_with(&cache) && at.ends_with("/cuda-cache"), "{options:?}: {at}");
            }
            if backend != "landlock" {
                // A policy that is complete is the whole word about what can be written.
                let policy = r#"{"type":"workspace-write","gpu_passthrough":true}"#;
                let of_codex = lab.codex(["--sandbox-policy", policy]).sh("echo $CUDA_CACHE_PATH");
                of_codex.assert_prints("/tmp/cuda-cache");
            }
            assert_eq!(place(&sandbox(lab, backend, &["--gpu", "off"]).sh("echo ${CUDA_CACHE_PATH-unset}")), "unset");
            // A cache directory that the command could replace by a link.
            lab.dir("work/cache");
            let own = sandbox(lab, backend, &[]).env("XDG_CACHE_HOME", lab.path("work/cache"));
            assert!(place(&own.sh("echo $CUDA_CACHE_PATH")).ends_with("/cuda-cache"));
            lab.outside("rm -rf cache").assert_works();
        });
    });
}

#[test]
fn what_the_next_sandbox_runs_cannot_be_planted_in_a_writable_cache_directory() {
    in_private_mounts(|| {
        with_gpus(|lab, backend| {
            let cache = lab.path("cache");
            if backend == "landlock" {
                // It cannot keep what is there in a writable directory; what is missing it watches.
                let ran = sandbox(lab, backend, &["--write", &cache]).sh("echo $CUDA_CACHE_PATH");
                assert!(!place(&ran).starts_with(&cache), "{ran}");
                sandbox(lab, backend, &[]).run(["true"]).assert_works();
                sandbox(lab, backend, &["--write", &cache])
                    .run(["true"])
                    .assert_error("read-only in a writable directory");
                return;
            }
            let write = ["--write", cache.as_str()];
            lab.outside(&format!("mkdir {cache}/ringfence")).assert_works();
            for attack in ["mkdir", "ln -s /tmp", "touch"] {
                let ran = sandbox(lab, backend, &[&write[..], &["--gpu", "off"]].concat());
                ran.sh(&format!("{attack} {cache}/ringfence/gpu/planted")).assert_refused();
                let ran = sandbox(lab, backend, &[&write[..], &["--gpu", "off"]].concat());
                ran.sh(&format!("mv {cache}/ringfence {cache}/moved")).assert_refused();
            }
            sandbox(lab, backend, &write).sh(&format!("touch {cache}/new && rm {cache}/new")).assert_works();
            // With it a GPU keeps its place.
            let at = place(&sandbox(lab, backend, &write).sh("touch $CUDA_CACHE_PATH/x && echo $CUDA_CACHE_PATH"));
            assert!(at.starts_with(&cache), "{at}");
        });
    });
}
