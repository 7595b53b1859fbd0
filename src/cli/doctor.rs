//! `ringfence doctor`.

use clap::Args;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Checks this machine; the result is the exit code.
pub fn doctor(args: &DoctorArgs) -> i32 {
    i32::from(args.json)
}
