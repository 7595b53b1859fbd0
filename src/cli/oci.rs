//! `ringfence oci`: the plan as a bundle for runc, crun and what uses them.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Access;

use super::flags::Flags;
use super::inspect::canonical;
use super::report::{Problem, note, problems};
use super::run::prepare_policy;
use crate::plan::oci::{Bundle, Item, Made, Top, bundle, policy};
use crate::plan::why;
use crate::policy::error::PolicyError;

/// Options of `oci`.
#[derive(Debug, Args)]
#[command(override_usage = "ringfence oci --output DIR [OPTIONS] -- CMD")]
pub struct OciArgs {
    /// The bundle's directory, which is made: config.json, and what its mounts show.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// Writes a bundle; the result is the exit code.
pub fn oci(args: OciArgs) -> i32 {
    let OciArgs { output, flags } = args;
    if !flags.has_command() {
        return problems(&[PolicyError::NoCommand.into()]).min(2);
    }
    match planned(flags, &canonical(&output)) {
        Ok(bundle) => {
            if let Err((path, error)) = written(&bundle, &output) {
                let hint = (error.kind() == io::ErrorKind::AlreadyExists)
                    .then(|| "name a directory that does not exist yet, or remove it".to_owned());
                let what = format!("write the bundle: `{}`: {error}", path.display());
                return problems(&[Problem::new(what, hint)]);
            }
            bundle.notes.iter().for_each(|text| note(text));
            0
        }
        Err(found) => problems(&found),
    }
}

fn planned(flags: Flags, output: &Path) -> Result<Bundle, Vec<Problem>> {
    let (policy, wished) = policy(flags.policy()?);
    let (policy, plan) = prepare_policy(policy)?;
    if why::changes_host(&plan, output) {
        let what = format!("the command could change its own bundle `{}`", output.display());
        return Err(vec![Problem::new(what, Some("name a directory outside of what it can write".to_owned()))]);
    }
    let top = top().map_err(|error| vec![Problem::new(format!("list `/`: {error}"), None)])?;
    bundle(&plan, &policy, &wished, &top).map_err(|errors| errors.into_iter().map(Problem::from).collect())
}

/// What stands in `/`, sorted: directories, files and links, and nothing else.
fn top() -> io::Result<Vec<(OsString, Top)>> {
    let mut top = Vec::new();
    for entry in std::fs::read_dir("/")? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let what = match kind {
            kind if kind.is_symlink() => Top::Link(std::fs::read_link(entry.path())?.into()),
            kind if kind.is_dir() => {
                if may_enter(&entry.path()) {
                    Top::Dir
                } else {
                    Top::Closed
                }
            }
            kind if kind.is_file() => Top::File,
            _ => continue,
        };
        top.push((entry.file_name(), what));
    }
    top.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(top)
}

/// Whether the caller may list a directory and pass through it.
fn may_enter(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK | Access::EXEC_OK).is_ok()
}

/// Writes all of it; with an error comes the path.
fn written(bundle: &Bundle, output: &Path) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    // Its variables may be nobody else's business.
    DirBuilder::new().mode(0o700).create(output).map_err(at(output))?;
    for Item { path, what } in &bundle.items {
        make(&output.join(path), what).map_err(at(&output.join(path)))?;
    }
    // Only now: what is in a directory cannot be made once it is closed.
    for Item { path, what } in &bundle.items {
        let path = output.join(path);
        if let Made::Dir(mode) | Made::File(mode, _) = what {
            std::fs::set_permissions(&path, Permissions::from_mode(*mode)).map_err(at(&path))?;
        }
    }
    let config = output.join("config.json");
    let text = serde_json::to_vec_pretty(&bundle.config).map_err(io::Error::from).map_err(at(&config))?;
    file(&config, &text).map_err(at(&config))
}

fn make(path: &Path, what: &Made) -> io::Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match what {
        Made::Dir(_) => std::fs::create_dir_all(path),
        Made::File(_, bytes) => file(path, bytes),
        Made::Link(to) => symlink(to, path),
    }
}

/// Makes a file that nobody else reads before its mode is set.
fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
