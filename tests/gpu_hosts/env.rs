//! The environment of a command with a GPU.

use std::ffi::OsString;

use expect_test::expect;
use ringfence::host::gpu::Vendor;
use ringfence::plan::gpu::{env_changes, jit_cache_env};

#[test]
fn host_indices_are_dropped_for_a_subset() {
    let env = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    let nvidia = |some: bool| some.then_some(Vendor::Nvidia).into_iter().collect();
    let dropped = |value: &str, some| !env_changes(&env(&[("CUDA_VISIBLE_DEVICES", value)]), &nvidia(some)).is_empty();
    assert!(dropped("0,1", true) && dropped(" 3 ", true) && dropped("GPU-6f1c2d3e,1", true) && dropped("0:1", true));
    assert!(!dropped("0,1", false));
    for kept in ["", "-1", "GPU-6f1c2d3e,GPU-0b9a8c7d", "MIG-GPU-6f1c2d3e/1/0", "all", "void", "NoDevFiles"] {
        assert!(!dropped(kept, true), "{kept}");
    }
    let changes = env_changes(
        &env(&[("PATH", "1"), ("CUDA_VISIBLE_DEVICES", "0"), ("ZE_AFFINITY_MASK", "0.0,1")]),
        &[Vendor::Intel].into(),
    );
    expect![[r#"
        [
            EnvChange {
                name: "ZE_AFFINITY_MASK",
                value: None,
                note: "ZE_AFFINITY_MASK=0.0,1 is taken out: host indices mean other GPUs where only some are granted",
            },
        ]
    "#]]
    .assert_debug_eq(&changes);
}

#[test]
fn caches_move_to_tmp_unless_set() {
    let vars = jit_cache_env(&|name| name == "TRITON_CACHE_DIR");
    assert!(vars.iter().any(|(name, dir)| *name == "CUDA_CACHE_PATH" && dir.starts_with("/tmp/")));
    assert!(vars.iter().all(|(name, _)| *name != "TRITON_CACHE_DIR"));
}
