//! Codex's policies, both generations: unknown keys are refused, two halves are one whole, and denials are kept.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use machine::PROJECT;
use ringfence::Backend;
use ringfence::request::codex::{self, Surroundings};

#[path = "../machine.rs"]
mod machine;

fuzz_target!(|text: &str| {
    let around = Surroundings { workspace: Path::new(PROJECT), tmpdir: None };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let read = [
        codex::any(text, "p", around),
        codex::profile(text, "p", around),
        codex::sandbox_policy(text, "p", around),
        codex::split_policies(first, second, None, around),
        codex::split_policies(first, second, Some(text), around),
    ];
    if read[0].is_ok() {
        let mut value: serde_json::Value = serde_json::from_str(text).expect("what was read is JSON");
        value["unheard_of"] = 1.into();
        assert!(codex::any(&value.to_string(), "p", around).is_err(), "an unknown key");
    }
    for request in read.into_iter().flatten() {
        if let Some((_, facts, plan)) = machine::planned(request, Backend::Native) {
            machine::denials_hold(&facts, &plan);
        }
    }
});
