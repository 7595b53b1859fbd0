//! Our own policy files: what is written again means the same, unknown keys are refused, and denials are kept.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use machine::PROJECT;
use ringfence::Backend;
use ringfence::policy::Policy;
use ringfence::request::{Request, load, write};

#[path = "../machine.rs"]
mod machine;
#[path = "../meaning.rs"]
mod meaning;

fn parse(text: &str) -> Option<Request> {
    load::parse(text, Path::new("/home/you/p.toml"), Path::new("/home/you"), Some(Path::new("/home/you"))).ok()
}

fuzz_target!(|text: &str| {
    let Some(request) = parse(text) else { return };
    assert!(parse(&format!("unheard_of = 1\n{text}")).is_none(), "an unknown key");
    let policy = Policy::new(request.clone(), Path::new(PROJECT));
    if let (Ok(policy), Ok(written)) = (policy, write::toml(&request, Path::new(PROJECT))) {
        let again = parse(&written).unwrap_or_else(|| panic!("it does not read back:\n{written}"));
        let same = Policy::new(again, Path::new(PROJECT)).unwrap_or_else(|why| panic!("{why:?}\n{written}"));
        assert_eq!(meaning::meaning(&same), meaning::meaning(&policy), "{written}");
    }
    if let Some((_, facts, plan)) = machine::planned(request, Backend::Native) {
        machine::denials_hold(&facts, &plan);
    }
});
