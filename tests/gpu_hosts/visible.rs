//! What a scheduler allotted: by the kernel, and with variables that are right inside.

use expect_test::expect;

use crate::lab::{Host, check_on};

/// The GPUs of a plan by their nodes, and what becomes of variables.
fn allotted(host: &Host, wish: &str) -> String {
    match host.grants(wish) {
        Ok(plan) => {
            let own = plan.devices.iter().map(|grant| grant.path.display().to_string());
            let own = own.filter(|path| path.ends_with(|last: char| last.is_ascii_digit()));
            let env = plan.env.iter().map(|change| {
                let value = change.value.as_ref().map_or("(out)".into(), |value| value.to_string_lossy());
                format!("{}={value}", change.name.to_string_lossy())
            });
            own.chain(env).collect::<Vec<_>>().join(" ")
        }
        Err(errors) => errors.iter().map(|error| error.headline()).collect::<Vec<_>>().join("; "),
    }
}

fn table(host: impl Fn() -> Host, rows: &[&[(&str, &str)]]) -> String {
    let mut text = String::new();
    for variables in rows {
        let host = variables.iter().fold(host(), |host, (name, value)| host.with_env(name, value));
        let said: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for wish in ["auto", "visible"] {
            text.push_str(&format!("{} {wish}: {}\n", said.join(" "), allotted(&host, wish)));
        }
    }
    text
}

const CUDA: &str = "CUDA_VISIBLE_DEVICES";

#[test]
fn cuda_counts_in_the_order_of_the_bus_among_equals() {
    let text = table(
        || Host::named("two-gpus"),
        &[
            &[],
            &[(CUDA, "0")],
            &[(CUDA, "1")],
            &[(CUDA, "1,0")],
            &[(CUDA, "GPU-0b9a")],
            &[(CUDA, "")],
            &[(CUDA, "-1")],
            &[(CUDA, "NoDevFiles")],
            &[(CUDA, "7")],
            &[(CUDA, "7,0")],
            &[(CUDA, "0,x")],
            &[(CUDA, "GPU-77")],
            &[(CUDA, "MIG-11111111-2222-3333-4444-555555555555")],
            &[("NVIDIA_VISIBLE_DEVICES", "all")],
            &[("NVIDIA_VISIBLE_DEVICES", "void")],
            &[("NVIDIA_VISIBLE_DEVICES", "1")],
            &[("NVIDIA_VISIBLE_DEVICES", "GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5")],
        ],
    );
    expect![[r#"
         auto: /dev/nvidia1 /dev/nvidia0
         visible: /dev/nvidia1 /dev/nvidia0
        CUDA_VISIBLE_DEVICES=0 auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=0 visible: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=1 auto: /dev/nvidia0 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=1 visible: /dev/nvidia0 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=1,0 auto: /dev/nvidia1 /dev/nvidia0
        CUDA_VISIBLE_DEVICES=1,0 visible: /dev/nvidia1 /dev/nvidia0
        CUDA_VISIBLE_DEVICES=GPU-0b9a auto: /dev/nvidia0
        CUDA_VISIBLE_DEVICES=GPU-0b9a visible: /dev/nvidia0
        CUDA_VISIBLE_DEVICES= auto: 
        CUDA_VISIBLE_DEVICES= visible: 
        CUDA_VISIBLE_DEVICES=-1 auto: 
        CUDA_VISIBLE_DEVICES=-1 visible: 
        CUDA_VISIBLE_DEVICES=NoDevFiles auto: 
        CUDA_VISIBLE_DEVICES=NoDevFiles visible: 
        CUDA_VISIBLE_DEVICES=7 auto: 
        CUDA_VISIBLE_DEVICES=7 visible: CUDA_VISIBLE_DEVICES=7 cannot be followed: it names a GPU that is not here
        CUDA_VISIBLE_DEVICES=7,0 auto: 
        CUDA_VISIBLE_DEVICES=7,0 visible: CUDA_VISIBLE_DEVICES=7,0 cannot be followed: it names a GPU that is not here
        CUDA_VISIBLE_DEVICES=0,x auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=0,x visible: CUDA_VISIBLE_DEVICES=0,x cannot be followed: it names a GPU that is not here
        CUDA_VISIBLE_DEVICES=GPU-77 auto: 
        CUDA_VISIBLE_DEVICES=GPU-77 visible: CUDA_VISIBLE_DEVICES=GPU-77 cannot be followed: it names a GPU that is not here
        CUDA_VISIBLE_DEVICES=MIG-11111111-2222-3333-4444-555555555555 auto: /dev/nvidia1 /dev/nvidia0
        CUDA_VISIBLE_DEVICES=MIG-11111111-2222-3333-4444-555555555555 visible: CUDA_VISIBLE_DEVICES=MIG-11111111-2222-3333-4444-555555555555 cannot be followed: it names MIG instances, which are granted by `--gpu MIG-UUID`
        NVIDIA_VISIBLE_DEVICES=all auto: /dev/nvidia1 /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=all visible: /dev/nvidia1 /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=void auto: /dev/nvidia1 /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=void visible: /dev/nvidia1 /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=1 auto: /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=1 visible: /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5 auto: /dev/nvidia1
        NVIDIA_VISIBLE_DEVICES=GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5 visible: /dev/nvidia1
    "#]].assert_eq(&text);
}

#[test]
fn slurm_counts_by_the_names_of_nodes_and_programs_within() {
    let text = table(
        || Host::named("two-gpus"),
        &[
            &[("SLURM_JOB_GPUS", "1")],
            &[("SLURM_JOB_GPUS", "0,1"), ("SLURM_STEP_GPUS", "0")],
            &[("SLURM_JOB_GPUS", "1"), (CUDA, "0")],
            &[("SLURM_JOB_GPUS", "1"), (CUDA, "1")],
            &[("SLURM_JOB_GPUS", "0-1"), (CUDA, "1")],
            &[("SLURM_JOB_GPUS", "1"), (CUDA, "GPU-6f1c2d3e")],
            &[("SLURM_JOB_GPUS", "1"), (CUDA, "GPU-0b9a8c7d")],
            &[("SLURM_JOB_GPUS", "1"), (CUDA, "GPU-")],
            &[("SLURM_JOB_GPUS", "5")],
            &[("SLURM_JOB_GPUS", "many")],
            &[("SLURM_JOB_ID", "7")],
            &[("SLURM_JOB_ID", "7"), (CUDA, "0")],
        ],
    );
    expect![[r#"
        SLURM_JOB_GPUS=1 auto: /dev/nvidia1
        SLURM_JOB_GPUS=1 visible: /dev/nvidia1
        SLURM_JOB_GPUS=0,1 SLURM_STEP_GPUS=0 auto: /dev/nvidia0
        SLURM_JOB_GPUS=0,1 SLURM_STEP_GPUS=0 visible: /dev/nvidia0
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=0 auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=0 visible: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=1 auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=1 visible: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=0-1 CUDA_VISIBLE_DEVICES=1 auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=0-1 CUDA_VISIBLE_DEVICES=1 visible: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU-6f1c2d3e auto: /dev/nvidia1
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU-6f1c2d3e visible: /dev/nvidia1
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU-0b9a8c7d auto: 
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU-0b9a8c7d visible: CUDA_VISIBLE_DEVICES=GPU-0b9a8c7d cannot be followed: it names a GPU that is not here
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU- auto: 
        SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=GPU- visible: CUDA_VISIBLE_DEVICES=GPU- cannot be followed: it names a GPU that is not here
        SLURM_JOB_GPUS=5 auto: 
        SLURM_JOB_GPUS=5 visible: SLURM_JOB_GPUS=5 cannot be followed: it names a GPU that is not here
        SLURM_JOB_GPUS=many auto: 
        SLURM_JOB_GPUS=many visible: SLURM_JOB_GPUS=many cannot be followed: it names a GPU that is not here
        SLURM_JOB_ID=7 auto: 
        SLURM_JOB_ID=7 visible: 
        SLURM_JOB_ID=7 CUDA_VISIBLE_DEVICES=0 auto: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_ID=7 CUDA_VISIBLE_DEVICES=0 visible: /dev/nvidia1 CUDA_VISIBLE_DEVICES=(out)
    "#]].assert_eq(&text);
}

#[test]
fn a_container_s_hidden_gpus_are_not_counted() {
    let host = || Host::named("two-gpus").without("/dev/nvidia1");
    let text =
        table(host, &[&[(CUDA, "0")], &[("NVIDIA_VISIBLE_DEVICES", "GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a")]]);
    expect![[r#"
        CUDA_VISIBLE_DEVICES=0 auto: /dev/nvidia0 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=0 visible: /dev/nvidia0 CUDA_VISIBLE_DEVICES=(out)
        NVIDIA_VISIBLE_DEVICES=GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a auto: /dev/nvidia0
        NVIDIA_VISIBLE_DEVICES=GPU-0b9a8c7d-6e5f-4d3c-9b2a-1f0e9d8c7b6a visible: /dev/nvidia0
    "#]]
    .assert_eq(&text);
}

#[test]
fn unequal_gpus_have_no_order_unless_it_is_told() {
    let information = "/proc/driver/nvidia/gpus/0000:ca:00.0/information";
    let text = Host::named("two-gpus").read(information).replace("NVIDIA L40S", "NVIDIA T4");
    let host = Host::named("two-gpus").with_file(information, Some(&text)).with_env(CUDA, "0");
    check_on(
        "auto",
        &host,
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0, 1 (auto), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0, 1 (auto), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0, 1 (auto), CUDA profiling events
        device /dev/nvidia1 195:1 because gpu: gpu 0 (auto), memory and kernels of this GPU
        device /dev/nvidia0 195:0 because gpu: gpu 1 (auto), memory and kernels of this GPU
        note: CUDA_VISIBLE_DEVICES=0 cannot be followed, so it stays and hides nothing: CUDA counts the fastest first: set CUDA_DEVICE_ORDER=PCI_BUS_ID
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
    check_on(
        "visible",
        &host,
        expect![[r#"
        error: CUDA_VISIBLE_DEVICES=0 cannot be followed: CUDA counts the fastest first: set CUDA_DEVICE_ORDER=PCI_BUS_ID
          needed by: gpu = "visible" (agent.toml:7)
        hint: name GPUs, or set it right: `unset CUDA_VISIBLE_DEVICES`
    "#]],
    );
    check_on(
        "visible",
        &host.with_env("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        expect![[r#"
        device /dev/nvidiactl 195:255 because gpu: gpu 0 (visible by agent.toml:7), driver control
        device /dev/nvidia-uvm 510:0 because gpu: gpu 0 (visible by agent.toml:7), CUDA unified memory
        device /dev/nvidia-uvm-tools 510:1 because gpu: gpu 0 (visible by agent.toml:7), CUDA profiling events
        device /dev/nvidia1 195:1 because gpu: gpu 0 (visible by agent.toml:7), memory and kernels of this GPU
        subset of nvidia
        env CUDA_VISIBLE_DEVICES=(taken out): it counted GPUs of the host, and inside are only those that it chose
        note: CUDA_VISIBLE_DEVICES=0 decides which GPUs there are
        note: a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
    "#]],
    );
}

#[test]
fn rocm_s_variables_count_one_within_the_other() {
    let text = table(
        || Host::named("mi300").caller(1000, &[993]),
        &[
            &[("ROCR_VISIBLE_DEVICES", "2")],
            &[("ROCR_VISIBLE_DEVICES", "2,0")],
            &[("ROCR_VISIBLE_DEVICES", "0,1"), ("HIP_VISIBLE_DEVICES", "1")],
            &[("ROCR_VISIBLE_DEVICES", "GPU-9fa35251bada9111")],
            &[("HIP_VISIBLE_DEVICES", "0")],
            &[(CUDA, "0")],
            &[("SLURM_JOB_GPUS", "1")],
            &[("SLURM_JOB_GPUS", "129")],
        ],
    );
    expect![[r#"
        ROCR_VISIBLE_DEVICES=2 auto: /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=2 visible: /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=2,0 auto: /dev/dri/renderD128 /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=2,0 visible: /dev/dri/renderD128 /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=0,1 HIP_VISIBLE_DEVICES=1 auto: /dev/dri/renderD129 HIP_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=0,1 HIP_VISIBLE_DEVICES=1 visible: /dev/dri/renderD129 HIP_VISIBLE_DEVICES=(out)
        ROCR_VISIBLE_DEVICES=GPU-9fa35251bada9111 auto: /dev/dri/renderD128
        ROCR_VISIBLE_DEVICES=GPU-9fa35251bada9111 visible: /dev/dri/renderD128
        HIP_VISIBLE_DEVICES=0 auto: /dev/dri/renderD128 HIP_VISIBLE_DEVICES=(out)
        HIP_VISIBLE_DEVICES=0 visible: /dev/dri/renderD128 HIP_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=0 auto: /dev/dri/renderD128 CUDA_VISIBLE_DEVICES=(out)
        CUDA_VISIBLE_DEVICES=0 visible: /dev/dri/renderD128 CUDA_VISIBLE_DEVICES=(out)
        SLURM_JOB_GPUS=1 auto: /dev/dri/renderD129
        SLURM_JOB_GPUS=1 visible: /dev/dri/renderD129
        SLURM_JOB_GPUS=129 auto: /dev/dri/renderD129
        SLURM_JOB_GPUS=129 visible: /dev/dri/renderD129
    "#]]
    .assert_eq(&text);
}

#[test]
fn hip_s_order_is_told_to_what_counts_before_it() {
    let topology = "/sys/devices/virtual/kfd/kfd/topology/nodes/4/properties";
    let text = Host::named("mi300").read(topology);
    let text = text.replace("location_id 8705", "location_id 8960").replace("unique_id 70", "unique_id 69");
    let host = || Host::named("mi300").caller(1000, &[993]).with_file(topology, Some(&text));
    expect![[r#"
        HIP_VISIBLE_DEVICES=2,0 auto: /dev/dri/renderD128 /dev/dri/renderD130 HIP_VISIBLE_DEVICES=(out) ROCR_VISIBLE_DEVICES=GPU-603cb76d8cbfc34e,GPU-9fa35251bada9111
        HIP_VISIBLE_DEVICES=2,0 visible: /dev/dri/renderD128 /dev/dri/renderD130 HIP_VISIBLE_DEVICES=(out) ROCR_VISIBLE_DEVICES=GPU-603cb76d8cbfc34e,GPU-9fa35251bada9111
        ROCR_VISIBLE_DEVICES=2,0 auto: /dev/dri/renderD128 /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=GPU-603cb76d8cbfc34e,GPU-9fa35251bada9111
        ROCR_VISIBLE_DEVICES=2,0 visible: /dev/dri/renderD128 /dev/dri/renderD130 ROCR_VISIBLE_DEVICES=GPU-603cb76d8cbfc34e,GPU-9fa35251bada9111
    "#]].assert_eq(&table(host, &[&[("HIP_VISIBLE_DEVICES", "2,0")], &[("ROCR_VISIBLE_DEVICES", "2,0")]]));
}

#[test]
fn the_beginning_of_two_uuids_is_none() {
    let information = "/proc/driver/nvidia/gpus/0000:17:00.0/information";
    let text = Host::named("two-gpus").read(information).replace("GPU-6f1c2d3e", "GPU-0b9a0000");
    let host = || Host::named("two-gpus").with_file(information, Some(&text));
    expect![[r#"
        CUDA_VISIBLE_DEVICES=GPU-0b9a auto: 
        CUDA_VISIBLE_DEVICES=GPU-0b9a visible: CUDA_VISIBLE_DEVICES=GPU-0b9a cannot be followed: it names a GPU that is not here
        CUDA_VISIBLE_DEVICES=GPU-0b9a0 auto: /dev/nvidia1
        CUDA_VISIBLE_DEVICES=GPU-0b9a0 visible: /dev/nvidia1
    "#]].assert_eq(&table(host, &[&[(CUDA, "GPU-0b9a")], &[(CUDA, "GPU-0b9a0")]]));
}

#[test]
fn one_vendor_s_variable_says_nothing_of_another_s() {
    let information = "/proc/driver/nvidia/gpus/0000:01:00.0/information";
    let text = Host::named("mixed").read(information).replace("Minor: \t 0", "Minor: \t 5");
    let host = || Host::named("mixed").with_file(information, Some(&text)).with_node("c 195 5 /dev/nvidia5 0666");
    let rows: &[&[_]] =
        &[&[("SLURM_JOB_GPUS", "5")], &[(CUDA, "")], &[("ROCR_VISIBLE_DEVICES", "")], &[("HIP_VISIBLE_DEVICES", "")]];
    expect![[r#"
        SLURM_JOB_GPUS=5 auto: /dev/nvidia5 /dev/dri/renderD129 /dev/dri/renderD130
        SLURM_JOB_GPUS=5 visible: /dev/nvidia5 /dev/dri/renderD129 /dev/dri/renderD130
        CUDA_VISIBLE_DEVICES= auto: /dev/dri/renderD129 /dev/dri/renderD130
        CUDA_VISIBLE_DEVICES= visible: /dev/dri/renderD129 /dev/dri/renderD130
        ROCR_VISIBLE_DEVICES= auto: /dev/nvidia5 /dev/dri/renderD130
        ROCR_VISIBLE_DEVICES= visible: /dev/nvidia5 /dev/dri/renderD130
        HIP_VISIBLE_DEVICES= auto: /dev/nvidia5 /dev/dri/renderD130
        HIP_VISIBLE_DEVICES= visible: /dev/nvidia5 /dev/dri/renderD130
    "#]]
    .assert_eq(&table(host, rows));
}

#[test]
fn what_was_named_is_not_narrowed() {
    let host = Host::named("two-gpus").with_env(CUDA, "1");
    assert_eq!(allotted(&host, "0"), "/dev/nvidia1");
    assert_eq!(allotted(&host, "all"), "/dev/nvidia1 /dev/nvidia0");
}

#[test]
fn only_the_container_runtime_says_all() {
    let text = table(|| Host::named("two-gpus"), &[&[(CUDA, "all")]]);
    expect![[r#"
        CUDA_VISIBLE_DEVICES=all auto: 
        CUDA_VISIBLE_DEVICES=all visible: CUDA_VISIBLE_DEVICES=all cannot be followed: it names a GPU that is not here
    "#]]
    .assert_eq(&text);
}
