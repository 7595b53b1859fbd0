//! OpenShell's policies: in our own words they mean the same, and what they do not grant stays hidden.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use machine::PROJECT;
use ringfence::Backend;
use ringfence::policy::Policy;
use ringfence::request::{Source, load, openshell, write};

#[path = "../machine.rs"]
mod machine;
#[path = "../meaning.rs"]
mod meaning;

fuzz_target!(|text: &str| {
    let parse = |text: &str| openshell::parse(text, Path::new("/p.yaml"), Source::User, Path::new(PROJECT)).ok();
    let Some(request) = parse(text) else { return };
    let policy = Policy::new(request.clone(), Path::new(PROJECT));
    if let (Ok(policy), Ok(written)) = (policy, write::toml(&request, Path::new(PROJECT))) {
        let again = load::parse(&written, Path::new("/p.toml"), Path::new("/"), None);
        let again = again.unwrap_or_else(|why| panic!("{why}\n{written}"));
        let same = Policy::new(again, Path::new(PROJECT)).unwrap_or_else(|why| panic!("{why:?}\n{written}"));
        assert_eq!(meaning::meaning(&same), meaning::meaning(&policy), "{written}");
    }
    if let Some((_, facts, plan)) = machine::planned(request, Backend::Native) {
        machine::denials_hold(&facts, &plan);
    }
});
