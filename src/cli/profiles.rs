//! `ringfence profiles`: what well-known agents and tools need.

use clap::Args;

use super::report::{Problem, print, problems};
use crate::request::Origin;
use crate::request::load::LoadError;
use crate::request::profiles::{PROFILES, find};

/// Options of `profiles`.
#[derive(Debug, Args)]
pub struct ProfilesArgs {
    /// Print this one, as a file that --config takes.
    name: Option<String>,
}

/// Lists profiles, or prints one; the result is the exit code.
pub fn profiles(args: ProfilesArgs) -> i32 {
    match args.name.as_deref().map(|name| (name, find(name))) {
        None => print(&list()),
        Some((_, Some(profile))) => print(profile.text),
        Some((name, None)) => {
            let by = Origin::Flag("ringfence profiles");
            return problems(&Problem::of_file(LoadError::NoProfile { name: name.to_owned(), by })).min(2);
        }
    }
    0
}

fn list() -> String {
    let width = PROFILES.iter().map(|profile| profile.name.len()).max().unwrap_or_default();
    PROFILES.iter().map(|profile| format!("{:width$}  {}\n", profile.name, profile.about())).collect()
}
