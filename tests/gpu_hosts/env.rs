//! The environment of a command with a GPU.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use expect_test::expect;
use ringfence::host::gpu::Vendor;
use ringfence::plan::gpu::{CACHES, env_changes, jit_cache_env};

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
fn caches_move_unless_set_and_only_to_where_a_library_finds_its_directory() {
    let has = |name: &str| name == "TRITON_CACHE_DIR";
    let is_in = |dir: &Path, top: &str| dir.parent() == Some(Path::new(top));
    let vars = jit_cache_env(None, &has);
    assert!(vars.iter().any(|(name, _)| *name == "CUDA_CACHE_PATH") && vars.iter().all(|(_, dir)| is_in(dir, "/tmp")));
    let kept = jit_cache_env(Some(Path::new("/c/k")), &has);
    assert!(kept.iter().all(|(_, dir)| is_in(dir, "/c/k")) && kept.len() == CACHES.len() - 1);
    let missing = |vars: &[(&str, PathBuf)], name: &str| vars.iter().all(|(known, _)| *known != name);
    assert!(missing(&vars, "TRITON_CACHE_DIR") && missing(&kept, "TRITON_CACHE_DIR"));
    for of_existing in ["NEO_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"] {
        assert!(missing(&vars, of_existing) && !missing(&kept, of_existing), "{of_existing}");
    }
    let dirs: std::collections::BTreeSet<_> = CACHES.iter().map(|row| row.dir).collect();
    assert_eq!(dirs.len(), CACHES.len(), "none shares a directory with another");
}
