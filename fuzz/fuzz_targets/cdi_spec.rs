//! CDI files, JSON and YAML: unknown keys are refused, what is taken is well-formed, and JSON is read alike however it
//! is laid out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::host::gpu::cdi::spec::{MAX_EDITS, Spec, parse};

fn names(spec: &Spec) -> Vec<(String, Vec<std::path::PathBuf>)> {
    let paths = |edits: &ringfence::host::gpu::cdi::Edits| {
        let nodes = edits.nodes.iter().map(|node| node.path.clone());
        let mounts = edits.mounts.iter().flat_map(|mount| [mount.host_path.clone(), mount.container_path.clone()]);
        nodes.chain(mounts).chain(edits.hooks.iter().map(|hook| hook.path.clone())).collect::<Vec<_>>()
    };
    let devices = spec.devices.iter().map(|device| (device.name.clone(), paths(&device.edits)));
    std::iter::once((format!("{}/{}", spec.vendor, spec.class), paths(&spec.edits))).chain(devices).collect()
}

fuzz_target!(|text: &str| {
    let Ok(spec) = parse(text) else { return };
    assert!(!spec.vendor.is_empty() && !spec.class.is_empty());
    let found = names(&spec);
    for (_, paths) in &found {
        assert!(paths.iter().all(|path| path.is_absolute() && path.components().all(|part| part.as_os_str() != "..")));
    }
    assert!(found.iter().map(|(_, paths)| paths.len()).sum::<usize>() <= 3 * MAX_EDITS);
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let again = parse(&format!("{value:#}")).expect("the same in another layout");
    assert_eq!(names(&again), found);
    value["unheardOf"] = 1.into();
    assert!(parse(&value.to_string()).is_err(), "an unknown key");
});
