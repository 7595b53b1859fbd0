//! `ringfence convert`: the same policy in our own format.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::flags;
use super::report::{Problem, print, problems};
use crate::request::{Format, write};

/// Options of `convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The format to write.
    #[arg(long, value_enum, default_value_t = To::Toml)]
    to: To,
    /// The policy to read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its format, where its content is not to tell; openshell without a --config looks for OpenShell's policy.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The directory that the policy is about.
    #[arg(long, value_name = "DIR")]
    cd: Option<PathBuf>,
    /// Leave out what nothing here can enforce, as a comment.
    #[arg(long)]
    allow_unenforced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Toml,
}

/// Prints the policy; the result is the exit code.
pub fn convert(args: ConvertArgs) -> i32 {
    let ConvertArgs { to: To::Toml, config, format, cd, allow_unenforced } = args;
    let (request, workspace) = match flags::read(config.as_deref(), format, cd.as_deref()) {
        Ok(read) => read,
        Err(found) => return problems(&found),
    };
    if !allow_unenforced && !request.reach.unenforced.is_empty() {
        return problems(&Problem::of_unenforced(&request));
    }
    match write::toml(&request, &workspace) {
        Ok(text) => print(&text),
        Err(error) => return problems(&[Problem::new(error.to_string(), None)]),
    }
    0
}
