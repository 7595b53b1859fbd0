//! `ringfence convert`: the same policy in our own format.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::flags;
use super::report::{Problem, note, print, problems};
use crate::request::{Format, Request, bwrap, write};

/// Options of `convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The format to write.
    #[arg(long, value_enum, default_value_t = To::Toml)]
    to: To,
    /// The policy to read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its format, where its content is not to tell; openshell without a --config looks for OpenShell's policy, bwrap reads
    /// a command line: ringfence convert --format bwrap -- bwrap --ro-bind / / CMD.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<From>,
    /// The directory that the policy is about.
    #[arg(long, value_name = "DIR")]
    cd: Option<PathBuf>,
    /// Leave out what nothing here can enforce, as a comment.
    #[arg(long)]
    allow_unenforced: bool,
    /// The command line of bubblewrap.
    #[arg(last = true, value_name = "BWRAP")]
    line: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Toml,
}

/// The format to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// TOML with the words of the flags.
    Toml,
    /// A policy of OpenShell, in YAML.
    Openshell,
    /// Settings of Codex (config.toml).
    Codex,
    /// Settings of sandbox-runtime (srt), in JSON.
    Srt,
    /// A command line of bubblewrap.
    Bwrap,
}

impl From {
    fn of_files(self) -> Option<Format> {
        match self {
            Self::Toml => Some(Format::Toml),
            Self::Openshell => Some(Format::Openshell),
            Self::Codex => Some(Format::Codex),
            Self::Srt => Some(Format::Srt),
            Self::Bwrap => None,
        }
    }
}

/// Prints the policy; the result is the exit code.
pub fn convert(args: ConvertArgs) -> i32 {
    match converted(&args) {
        Ok(text) => print(&text),
        Err(found) => return problems(&found),
    }
    0
}

fn converted(args: &ConvertArgs) -> Result<String, Vec<Problem>> {
    let ConvertArgs { to: To::Toml, config, format, cd, allow_unenforced, line } = args;
    let (request, workspace) = match format {
        Some(From::Bwrap) => of_line(config.is_some(), line)?,
        _ if !line.is_empty() => {
            let hint = Some("say --format bwrap".to_owned());
            return Err(vec![Problem::new("a command line is no file of a policy", hint)]);
        }
        format => flags::read(config.as_deref(), format.and_then(From::of_files), cd.as_deref())?,
    };
    if !allow_unenforced && !request.reach.unenforced.is_empty() {
        return Err(Problem::of_unenforced(&request));
    }
    let text = write::toml(&request, &workspace).map_err(|error| vec![Problem::new(error.to_string(), None)])?;
    request.notes.iter().for_each(|remark| note(remark));
    Ok(text)
}

fn of_line(has_file: bool, line: &[OsString]) -> Result<(Request, PathBuf), Vec<Problem>> {
    if has_file || line.is_empty() {
        let hint = Some("ringfence convert --format bwrap -- bwrap --ro-bind / / CMD".to_owned());
        return Err(vec![Problem::new("bwrap is told by a command line, not by a file", hint)]);
    }
    let cwd = std::env::current_dir();
    let cwd = cwd.map_err(|error| vec![Problem::new(format!("the working directory: {error}"), None)])?;
    let request =
        bwrap::parse(line, &cwd).map_err(|faults| faults.into_iter().map(Problem::from).collect::<Vec<_>>())?;
    Ok((request, cwd))
}
