//! `ringfence gpus --probe` and `--check`: what they say of sandboxes that are in order, and of those that are not.
//! Nodes are stand-ins with the number of `/dev/null`, libraries are made here.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::devices::{private_dev, undo};
use crate::lab::{Lab, Need, Ran, Sandbox, in_private_mounts};

const NONE: [&str; 0] = [];

/// What the probe said of a step: verdict, outcome, meaning.
#[track_caller]
fn step(ran: &Ran, number: &str) -> (String, String, String) {
    let view: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let steps = view["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["step"] == number).unwrap_or_else(|| panic!("no step {number}: {ran}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("outcome"), text("meaning"))
}

#[track_caller]
fn assert_step(ran: &Ran, number: &str, verdict: &str, outcome: &str) {
    let (got, found, meaning) = step(ran, number);
    assert!(got == verdict && found.contains(outcome), "step {number}: {got}, {found}, {meaning}: {ran}");
    assert_eq!(meaning.is_empty(), verdict == "ok", "step {number}: {ran}");
}

/// The lab's engine, and Landlock alone in the labs of the first, where it has all that this needs.
fn engines<'a>(lab: &'a Lab, options: &[&str]) -> Vec<(&'static str, Sandbox<'a>)> {
    let alone = lab.is_native() && ringfence::host::kernel::landlock_abi() >= 6;
    let alone = alone.then(|| ("landlock", lab.sandbox(options).backend("landlock")));
    alone.into_iter().chain([("mounts", lab.sandbox(options))]).collect()
}

/// Nodes that pose as the driver's.
fn pose(lab: &Lab) {
    private_dev(lab, &["nvidiactl c 1 3", "nvidia-uvm-tools c 1 3", "nvidia0 c 1 3", "nvidia1 c 1 3"]);
}

#[test]
fn every_engine_passes_the_steps_that_need_no_gpu() {
    for lab in Lab::every_user(&[Need::NoGpu]) {
        for (engine, sandbox) in engines(&lab, &[]) {
            let ran = sandbox.by("exec 7< /etc/passwd; exec \"$@\"").gpus("--probe");
            ran.assert_works();
            assert_step(&ran, "fds", "ok", "none");
            let view: Value = serde_json::from_str(&ran.stdout()).unwrap();
            assert_eq!((&view["gpu"], &view["fault"]), (&Value::Bool(false), &Value::Null), "{ran}");
            for number in ["fds", "1", "2", "6", "7", "14", "core"] {
                assert_eq!(step(&ran, number).0, "ok", "{number}: {ran}");
            }
            let verdict = if engine == "landlock" { "tolerated" } else { "ok" };
            for number in ["15", "16", "16 child", "16 grandchild", "17 shm", "17 mps"] {
                assert_eq!(step(&ran, number).0, verdict, "{number}: {ran}");
            }
        }
    }
}

#[test]
fn a_sandbox_without_proc_is_wrong_and_runs_the_probe_nevertheless() {
    for lab in Lab::every_user(&[Need::NoGpu]) {
        for option in [&["--no-proc"][..], &["--deny", "/proc"]] {
            // Landlock alone refuses to hide it.
            let ran = lab.sandbox(option).gpus("--probe");
            ran.assert_code(1);
            assert_step(&ran, "1", "wrong", "E");
            assert_eq!(step(&ran, "14").0, "ok", "{ran}");
        }
        lab.sandbox(NONE).gpus("--probe").assert_works();
    }
}

#[test]
fn a_narrow_root_hides_the_dynamic_loader_and_the_probe_says_so() {
    for lab in Lab::every_user(&[Need::NoGpu]) {
        let ran = lab.sandbox(["--deny", "/"]).gpus("--probe");
        let (verdict, _, meaning) = step(&ran, "cuda");
        assert!(verdict == "tolerated" && meaning.contains("the dynamic loader"), "{ran}");
        let ran =
            lab.sandbox(["--deny", "/", "--read", "/lib", "--read", "/lib64", "--read", "/usr/lib"]).gpus("--probe");
        assert_step(&ran, "cuda", "ok", "not installed");
    }
}

#[test]
fn exactly_the_selection_opens() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            pose(&lab);
            let one = ["--device", "/dev/nvidiactl", "--device", "/dev/nvidia0"];
            let ran = lab.sandbox(one).gpus("--probe");
            assert_step(&ran, "9", "ok", "ok");
            assert_step(&ran, "10", "ok", "absent");
            assert_step(&ran, "11", "ok", "absent");
            assert_step(&ran, "12", "ok", "1 open");
            // There is no driver behind them, and the probe does not take one for granted.
            assert_step(&ran, "4", "wrong", "ENOENT");
            ran.assert_code(1);
            let two = [&one[..], &["--device", "/dev/nvidia1"]].concat();
            assert_step(&lab.sandbox(&two).gpus("--probe"), "12", "ok", "2 open");
            // Nothing of it is granted, and nothing is there.
            let ran = lab.sandbox(NONE).gpus("--probe");
            assert_step(&ran, "12", "ok", "0 open");
            ran.assert_works();
            undo(&lab);
        }
    });
}

/// Makes more stand-ins, in directories. Only inside the private mount namespace.
fn more(nodes: &[&str]) {
    for node in nodes {
        let path = Path::new(node);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = Command::new("mknod").args(["-m", "666", node, "c", "1", "3"]).status().unwrap();
        assert!(made.success(), "{node}");
    }
}

#[test]
fn capabilities_and_render_nodes_are_those_of_the_selection() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            pose(&lab);
            more(&["/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap21"]);
            more(&["/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129"]);
            let amd = ["--device", "/dev/kfd", "--device", "/dev/dri/renderD128"];
            let mig = ["--device", "/dev/nvidiactl", "--device", "/dev/nvidia-caps/nvidia-cap12"];
            for (engine, sandbox) in engines(&lab, &[&amd[..], &mig].concat()) {
                let ran = sandbox.gpus("--probe");
                let denied = engine == "landlock";
                let (verdict, rest) = if denied { ("wrong", "EACCES") } else { ("ok", "") };
                assert_step(&ran, "amd", "ok", "ok");
                assert_step(&ran, "dri", verdict, "1 open");
                assert_step(&ran, "dri", verdict, rest);
                // Neither can the directory be listed there.
                assert_step(
                    &ran,
                    "13",
                    if denied { "tolerated" } else { "ok" },
                    if denied { "list: EACCES" } else { "ok" },
                );
            }
            let others = ["--device", "/dev/dri/renderD129", "--device", "/dev/nvidia-caps/nvidia-cap21"];
            for (_, sandbox) in engines(&lab, &[&amd[..], &mig, &others].concat()) {
                let ran = sandbox.gpus("--probe");
                assert_step(&ran, "dri", "ok", "2 open");
                assert_eq!(step(&ran, "13").1.split(',').next(), Some("ok"), "{ran}");
            }
            // Of what is not granted, nothing is there.
            let ran = lab.sandbox(NONE).gpus("--probe");
            assert_step(&ran, "amd", "ok", "absent");
            assert_step(&ran, "13", "ok", "none");
            undo(&lab);
        }
    });
}

#[test]
fn landlock_alone_denies_what_should_be_absent_and_the_probe_tells() {
    in_private_mounts(|| {
        for lab in Lab::native(&[Need::NoGpu, Need::Landlock(6)]) {
            pose(&lab);
            let alone = |options: &[&str]| lab.sandbox(options).backend("landlock").gpus("--probe");
            let one = ["--device", "/dev/nvidiactl", "--device", "/dev/nvidia0"];
            let ran = alone(&one);
            assert_step(&ran, "12", "wrong", "1 open, others EACCES");
            let (verdict, _, meaning) = step(&ran, "11");
            assert!(verdict == "wrong" && meaning.contains("304"), "{ran}");
            let all = [&one[..], &["--device", "/dev/nvidia1", "--device", "/dev/nvidia-uvm-tools"]].concat();
            let ran = alone(&all);
            assert_step(&ran, "12", "ok", "2 open");
            assert_step(&ran, "11", "ok", "ok");
            // Names of threads: in Landlock alone init opens them, where a rule or a GPU asks for it.
            for number in ["16", "16 child", "16 grandchild"] {
                assert_step(&ran, number, "wrong", "EACCES");
            }
            let ran = alone(&[&all[..], &["--modify", "/proc"]].concat());
            for number in ["16", "16 child", "16 grandchild"] {
                assert_step(&ran, number, "ok", "ok");
            }
            undo(&lab);
        }
    });
}

/// Compiles a library into the lab.
fn library(lab: &Lab, name: &str, source: &str) {
    lab.dir("lib");
    let file = lab.file(format!("{name}.c"), source);
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o", &lab.path(format!("lib/{name}")), &file]);
    let made = cc.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A libcuda whose cuInit answers `init` and that has `count` devices.
fn libcuda(lab: &Lab, init: i32, count: i32) {
    let source = format!(
        r#"
        #include <string.h>
        int cuInit(unsigned flags) {{ return flags == 0 ? {init} : 1; }}
        int cuDriverGetVersion(int *version) {{ *version = 12080; return 0; }}
        int cuDeviceGetCount(int *count) {{ *count = {count}; return 0; }}
        int cuDeviceGet(int *device, int ordinal) {{ *device = ordinal; return 0; }}
        int cuDeviceGetName(char *name, int length, int device) {{ strncpy(name, "Stand-in\tGPU", length); return 0; }}
        int cuDeviceGetUuid(unsigned char *uuid, int device) {{ memset(uuid, 0, 16); return 1; }}
        int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {{ memset(uuid, 0xab, 16); return 0; }}
        int cuGetErrorName(int code, const char **name) {{ *name = "CUDA_ERROR_STAND_IN"; return 0; }}
        "#
    );
    library(lab, "libcuda.so.1", &source);
}

#[test]
fn libcuda_is_started_inside_and_its_answers_have_names_and_meanings() {
    for lab in Lab::every_user(&[Need::NoGpu, Need::Tool("cc")]) {
        let path = format!("LD_LIBRARY_PATH={}", lab.path("lib"));
        for (init, count, outcome, meaning) in [
            (0, 1, "CUDA 12.8: Stand-in?GPU (abababab-abab-abab-abab-abababababab)", ""),
            (0, 0, "CUDA 12.8: no device", ""),
            (304, 1, "cuInit: 304", "CUDA_ERROR_STAND_IN): the system refused something"),
            (100, 1, "cuInit: 100", "no device is visible"),
        ] {
            libcuda(&lab, init, count);
            for (_, sandbox) in engines(&lab, &["--env", &path]) {
                let ran = sandbox.gpus("--probe");
                let (verdict, got, means) = step(&ran, "cuda");
                assert_eq!(got, outcome, "{ran}");
                assert!(means.contains(meaning), "{ran}");
                // Without a GPU nobody needs it to work.
                assert_eq!(verdict, if init == 0 { "ok" } else { "tolerated" }, "{ran}");
            }
        }
        library(
            &lab,
            "libcuda.so.1",
            "int cuInit(unsigned flags) { return *(volatile int *)8; }\nint cuDriverGetVersion(int *v) { return 1; }",
        );
        assert_step(&lab.sandbox(["--env", &path]).gpus("--probe"), "cuda", "tolerated", "signal 11");
        assert_step(&lab.sandbox(NONE).gpus("--probe"), "cuda", "ok", "not installed");
    }
}

#[test]
fn libcuda_must_see_what_is_granted() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu, Need::Tool("cc")]) {
            pose(&lab);
            let path = format!("LD_LIBRARY_PATH={}", lab.path("lib"));
            let granted = ["--env", &path, "--device", "/dev/nvidiactl", "--device", "/dev/nvidia0"];
            for (init, count, verdict) in [(0, 1, "ok"), (0, 2, "wrong"), (0, 0, "wrong"), (304, 1, "wrong")] {
                libcuda(&lab, init, count);
                let ran = lab.sandbox(granted).gpus("--probe");
                assert_eq!(step(&ran, "cuda").0, verdict, "{init} {count}: {ran}");
            }
            undo(&lab);
        }
    });
}

/// The driver loader as the build made it: what `ringfence` starts with an empty environment, a test starts with a path.
fn driver_loader(lab: &Lab, words: &[&str]) -> Ran {
    let copy = lab.path("driver-loader");
    std::fs::copy(Path::new(env!("OUT_DIR")).join("driver-loader"), &copy).unwrap();
    lab.chmod("driver-loader", 0o755);
    let words: Vec<_> = [copy.as_str()].iter().chain(words).copied().collect();
    lab.sandbox(NONE).without().env("LD_LIBRARY_PATH", lab.path("lib")).run(words)
}

#[test]
fn a_mig_uuid_is_resolved_by_the_driver_s_library() {
    let source = r#"
        #include <string.h>
        int nvmlInit_v2(void) { return INIT; }
        const char *nvmlErrorString(int code) { return code == 6 ? "Not Found" : "Driver\nNot Loaded"; }
        int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
            *device = (void *)8;
            return strcmp(uuid, "MIG-01234567-89ab-cdef-0123-456789abcdef") ? 6 : 0;
        }
        int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id) { *id = device == (void *)8 ? 7 : 0; return 0; }
        int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id) { *id = 2; return 0; }
        int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *mig, void **gpu) { *gpu = (void *)16; return 0; }
        int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) { *minor = device == (void *)16 ? 3 : 9; return 0; }
    "#;
    for lab in Lab::native(&[Need::Tool("cc")]) {
        let ask = |uuid: &str| driver_loader(&lab, &["nvml-mig", uuid]);
        library(&lab, "libnvidia-ml.so.1", &source.replace("INIT", "0"));
        let known = "MIG-01234567-89ab-cdef-0123-456789abcdef";
        ask(known).assert_prints("library\tlibnvidia-ml.so.1\nmig\t3\t7\t2\ndone");
        let ran = ask("MIG-another");
        assert!(ran.code() == 1 && ran.stdout().ends_with("error\tnvmlDeviceGetHandleByUUID\t6\tNot Found"), "{ran}");
        library(&lab, "libnvidia-ml.so.1", &source.replace("INIT", "9"));
        let ran = ask(known);
        assert!(ran.code() == 1 && ran.stdout().ends_with("error\tnvmlInit_v2\t9\tDriver?Not Loaded"), "{ran}");
        library(&lab, "libnvidia-ml.so.1", "int other(void) { return 0; }");
        let ran = ask(known);
        assert!(ran.stdout().ends_with("error\tnvmlInit_v2\t0\tno such function in the library"), "{ran}");
        driver_loader(&lab, &["nvml-mig"]).assert_code(1);
        driver_loader(&lab, &["nonsense"]).assert_code(2);
    }
}

#[test]
fn libraries_of_other_vendors_are_asked_too() {
    let hsa = r#"
        #include <string.h>
        typedef struct { unsigned long handle; } agent_t;
        int hsa_init(void) { return 0; }
        int hsa_agent_get_info(agent_t agent, int what, void *value) {
            if (what == 17) *(int *)value = (int)agent.handle;
            else if (what == 0) strcpy(value, agent.handle ? "gfx942" : "a cpu");
            else return 1;
            return 0;
        }
        int hsa_iterate_agents(int (*call)(agent_t, void *), void *data) {
            for (unsigned long i = 0; i < 2; i++) { agent_t agent = { i }; if (call(agent, data)) return 1; }
            return 0;
        }
    "#;
    let ze = r#"
        #include <string.h>
        #include <stdint.h>
        typedef struct {
            int stype; void *next; int type; uint32_t ids[5]; uint64_t largest; uint32_t numbers[7]; uint64_t timer;
            uint32_t bits[2]; uint8_t uuid[16]; char name[256];
        } properties_t;
        int zeInit(int flags) { return flags; }
        int zeDriverGet(uint32_t *count, void **drivers) { *count = 1; drivers[0] = (void *)8; return 0; }
        int zeDeviceGet(void *driver, uint32_t *count, void **devices) { *count = 1; devices[0] = (void *)16; return 0; }
        int zeDeviceGetProperties(void *device, properties_t *found) {
            if (found->stype != 3) return 1;
            found->type = 1; memset(found->uuid, 1, 16); strcpy(found->name, "An Arc"); return 0;
        }
    "#;
    let vulkan = r#"
        #include <string.h>
        #include <stdint.h>
        int vkCreateInstance(const int *info, const void *none, void **instance) { *instance = (void *)8; return *info == 1 ? 0 : -3; }
        int vkEnumeratePhysicalDevices(void *instance, uint32_t *count, void **devices) { *count = 1; devices[0] = (void *)16; return 5; }
        void vkGetPhysicalDeviceProperties(void *device, char *found) {
            memset(found, 0, 824); *(int *)(found + 16) = 2; strcpy(found + 20, "A Radeon");
        }
    "#;
    for lab in Lab::every_user(&[Need::NoGpu, Need::Tool("cc")]) {
        library(&lab, "libhsa-runtime64.so.1", hsa);
        library(&lab, "libze_loader.so.1", ze);
        library(&lab, "libvulkan.so.1", vulkan);
        let ran = lab.sandbox(["--env", &format!("LD_LIBRARY_PATH={}", lab.path("lib"))]).gpus("--probe");
        ran.assert_works();
        assert_step(&ran, "hsa", "ok", "gfx942");
        assert_step(&ran, "ze", "ok", "An Arc (01010101-0101-0101-0101-010101010101)");
        assert_step(&ran, "vulkan", "ok", "A Radeon");
    }
}

/// What the check said of something: state, what was found, the cure.
#[track_caller]
fn checked(ran: &Ran, name: &str) -> (String, String, String) {
    let view: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let checks = view["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no check {name}: {ran}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found"), text("cure"))
}

#[test]
fn each_node_that_would_be_granted_is_opened_and_each_fault_has_its_cure() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            private_dev(&lab, &["standin c 1 3", "closed c 1 3", "nvidiactl c 195 255"]);
            let ran = lab.sandbox(["--device", "/dev/standin"]).gpus("--check");
            ran.assert_works();
            assert_eq!(checked(&ran, "open /dev/standin (1:3)").0, "ok", "{ran}");
            let ran = lab.sandbox(["--device", "/dev/nvidiactl", "--device", "/dev/standin"]).gpus("--check");
            ran.assert_code(1);
            let (state, found, cure) = checked(&ran, "open /dev/nvidiactl (195:255)");
            assert!(
                state == "error" && found.contains("--device") && cure.contains("no driver stands behind"),
                "{ran}"
            );
            assert_eq!(checked(&ran, "nvidia-uvm").0, "error", "{ran}");
            assert_eq!(checked(&ran, "driver versions").0, "warning", "{ran}");
            assert_eq!(checked(&ran, "open /dev/standin (1:3)").0, "ok", "{ran}");
            if !lab.user.is_root() {
                let mode =
                    |mode| std::fs::set_permissions("/dev/closed", std::os::unix::fs::PermissionsExt::from_mode(mode));
                mode(0o600).unwrap();
                let ran = lab.sandbox(["--device", "/dev/closed"]).gpus("--check");
                ran.assert_code(1);
                let (state, _, cure) = checked(&ran, "open /dev/closed (1:3)");
                assert!(state == "error" && cure.contains("chmod a+rw"), "{ran}");
                mode(0o666).unwrap();
                lab.sandbox(["--device", "/dev/closed"]).gpus("--check").assert_works();
            }
            undo(&lab);
        }
    });
}

#[test]
fn faults_of_the_wish_are_told_as_run_tells_them_and_the_list_takes_no_options() {
    for lab in Lab::native(&[Need::NoGpu]) {
        for how in ["--check", "--probe"] {
            lab.sandbox(["--gpu", "all"]).gpus(how).assert_code(1).assert_says("looked for");
            lab.sandbox(NONE).gpus(how).assert_works();
            lab.sandbox(["--", "true"]).gpus(how).assert_code(2).assert_says("starts no command");
        }
        let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
        lab.outside(&format!("{binary} gpus --gpu 0")).assert_code(2).assert_says("--check or --probe");
        lab.outside(&format!("{binary} gpus --check --probe")).assert_code(2);
        lab.outside(&format!("{binary} gpus")).assert_works();
        // Nobody else starts the probe.
        lab.outside(&format!("bash -c 'exec -a ringfence-probe {binary} nonsense'"))
            .assert_code(2)
            .assert_says("--probe");
    }
}
