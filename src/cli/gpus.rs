//! `ringfence gpus`.

use std::path::Path;

use clap::Args;

use super::report::print;
use crate::host::gpu::{self, show};

/// Options of `gpus`.
#[derive(Debug, Args)]
pub struct GpusArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the GPUs; the result is the exit code.
pub fn gpus(args: &GpusArgs) -> i32 {
    let found = gpu::probe_live(Path::new("/"), &crate::host::users::ids());
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&show::view(&found)).unwrap_or_default()));
    } else {
        print(&show::table(&found));
    }
    0
}
