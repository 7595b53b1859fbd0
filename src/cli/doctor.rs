//! `ringfence doctor`: what this machine offers, and what earlier runs left behind.

mod checks;
mod gpu;
mod leftovers;
mod show;
pub mod trial;

use std::path::{Path, PathBuf};

use clap::Args;

use super::report::{Problem, print, problems};
use crate::host::gpu::Look;
use crate::host::paths::Root;
use crate::host::{bwrap, kernel, limits, users};
use crate::policy::gpu::{Classes, GpuWish};
use checks::{Check, Facts};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Remove placeholders that a crash or a power cut left in the workspace.
    #[arg(long)]
    fix: bool,
    /// The workspace to look for them in; the working directory otherwise.
    #[arg(long, value_name = "DIR")]
    cd: Option<PathBuf>,
}

/// Checks this machine; the result is the exit code: 1 when `run` could not work, or a placeholder could not be removed.
pub fn doctor(args: &DoctorArgs) -> i32 {
    let root = match Root::open(Path::new("/")) {
        Ok(root) => root,
        Err(error) => return problems(&[Problem::new(format!("open `/`: {error}"), None)]),
    };
    let workspace = match workspace(args.cd.as_deref()) {
        Ok(workspace) => workspace,
        Err(problem) => return problems(&[problem]),
    };
    let facts = facts(&root, &workspace);
    let mut checks = checks::checks(&facts);
    let look = Look { wish: &GpuWish::All, classes: &Classes::default(), all: false };
    checks.extend(gpu::checks(&crate::host::gpu::probe_live(Path::new("/"), &users::ids(), &look)));
    let works = checks::run_works(&checks);
    let mut left = leftovers::in_workspace(&root, &workspace);
    left.extend(leftovers::temporary(&root));
    left.extend(leftovers::groups(facts.groups.as_deref().unwrap_or_default()));
    let removal = if args.fix { leftovers::remove(&left) } else { leftovers::Removal::default() };
    checks.push(leftover_check(&left, args.fix, &removal, &workspace));
    if args.json {
        print(&show::json(&checks, works, &removal.removed));
    } else {
        print(&show::table(&checks, &removal.removed));
    }
    i32::from(!works || !removal.failed.is_empty())
}

fn leftover_check(left: &[PathBuf], fixed: bool, removal: &leftovers::Removal, workspace: &Path) -> Check {
    if fixed { leftovers::check_of_removal(removal) } else { leftovers::check(left, workspace) }
}

/// The directory to look in, absolute and without links.
fn workspace(cd: Option<&Path>) -> Result<PathBuf, Problem> {
    let named = cd.unwrap_or(Path::new("."));
    std::fs::canonicalize(named).map_err(|error| {
        let what = format!("the workspace `{}`: {error}", named.display());
        Problem::new(what, Some("name another one with --cd DIR".to_owned()))
    })
}

fn facts(root: &Root, workspace: &Path) -> Facts {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = bwrap::find(root, &path, &[workspace]);
    let tried = trial::sandbox();
    let instead = (tried != trial::Trial::Works).then(trial::any_engine);
    let works = instead.as_ref().unwrap_or(&tried) == &trial::Trial::Works;
    let configuration = if works { trial::configuration() } else { trial::Trial::Works };
    Facts {
        kernel: kernel::probe(Path::new("/"), kernel::Calls::tried()),
        uid: users::ids().uid,
        sandbox: tried,
        instead,
        configuration,
        bwrap_version: found.as_ref().and_then(|bwrap| trial::version_of(&bwrap.path)),
        bwrap: found,
        groups: limits::groups(Path::new("/")),
        install_bwrap: bwrap::install(root),
    }
}
