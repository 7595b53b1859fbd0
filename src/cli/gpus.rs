//! `ringfence gpus`: the list, and what trying tells.

mod check;
mod driver;
pub mod preflight;
pub mod probe;

use std::path::Path;

use clap::Args;

use super::flags::Flags;
use super::report::{Problem, print, problems};
use crate::host::gpu::{self, Look, show};
use crate::policy::gpu::{Classes, GpuWish};

/// Options of `gpus`.
#[derive(Debug, Args)]
#[command(
    override_usage = "ringfence gpus [--json|--schema]\n       ringfence gpus --check [--json] [OPTIONS]\n       \
                            ringfence gpus --probe [--json] [OPTIONS]"
)]
pub struct GpusArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of what --json prints.
    #[arg(long, conflicts_with_all = ["json", "check", "probe"])]
    schema: bool,
    /// Open each node that would be granted, outside of a sandbox, and say what stands in the way. It wakes the GPU.
    #[arg(long, conflicts_with = "probe")]
    check: bool,
    /// Do inside the sandbox what GPU libraries do when they start, step by step, and start those that are installed.
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Lists the GPUs, or tries them; the result is the exit code.
pub fn gpus(args: GpusArgs) -> i32 {
    let GpusArgs { json, schema, check, probe, flags } = args;
    if flags.has_command() {
        let hint = Some("ringfence run starts commands".to_owned());
        return problems(&[Problem::new("gpus starts no command", hint)]).min(2);
    }
    match (check, probe) {
        (true, _) => check::check(flags, json),
        (_, true) => probe::probe(flags, json),
        (false, false) => list(json, schema, flags),
    }
}

fn list(json: bool, schema: bool, flags: Flags) -> i32 {
    // The other options of `run` change nothing about what is there.
    let known = ["--json", "--schema", "--cdi-dir"];
    let is_known = |word: &std::ffi::OsString| {
        let text = word.to_string_lossy();
        known.contains(&text.as_ref()) || text.starts_with("--cdi-dir=") || !text.starts_with('-')
    };
    if !std::env::args_os().skip(2).all(|word| is_known(&word)) {
        let hint = Some("add --check or --probe, which try what these options would give".to_owned());
        let what = "the list of GPUs takes no option but --json, --schema and --cdi-dir";
        return problems(&[Problem::new(what, hint)]).min(2);
    }
    if schema {
        print(&show::schema());
        return 0;
    }
    let look = Look { wish: &GpuWish::All, classes: &Classes::all(), all: true };
    let (root, ids) = (Path::new("/"), crate::host::users::ids());
    let found = gpu::probe_live(root, &ids, &look);
    let named = flags.cdi_dirs();
    let dirs = gpu::cdi::CdiDir::list(named.iter().map(std::path::PathBuf::as_path));
    let found = gpu::Gpus { cdi: gpu::cdi::names(root, &dirs, &ids), ..found };
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&show::view(&found)).unwrap_or_default()));
    } else {
        print(&show::table(&found));
    }
    0
}

/// A table as text: a line a row.
fn columns(rows: &[Vec<String>]) -> String {
    show::aligned(rows).iter().map(|line| format!("{}\n", line.trim_end())).collect()
}
