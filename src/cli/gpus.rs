//! `ringfence gpus`.

use std::path::Path;

use clap::Args;

use super::report::print;
use crate::host::gpu::{self, Look, show};
use crate::policy::gpu::{Classes, GpuWish};

/// Options of `gpus`.
#[derive(Debug, Args)]
pub struct GpusArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of what --json prints.
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

/// Lists the GPUs; the result is the exit code.
pub fn gpus(args: &GpusArgs) -> i32 {
    if args.schema {
        print(&show::schema());
        return 0;
    }
    let look = Look { wish: &GpuWish::All, classes: &Classes::all(), all: true };
    let found = gpu::probe_live(Path::new("/"), &crate::host::users::ids(), &look);
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&show::view(&found)).unwrap_or_default()));
    } else {
        print(&show::table(&found));
    }
    0
}
