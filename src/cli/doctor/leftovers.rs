//! What a crash or a power cut left behind: placeholders in a workspace, directories for temporary files, control groups.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::checks::{Check, State, Verdict, ok};
use crate::backend::{self, placeholder};
use crate::host::limits::Home;
use crate::host::paths::Root;
use crate::host::{repo, scratch};
use crate::policy::tables::{GIT_CODE, PROTECTED_NAMES};

const NAME: &str = "leftovers";
const NEEDED_FOR: &str = "a workspace as it was before the last run";

/// Placeholders directly below `workspace` and in its git directories that no run uses now.
pub fn in_workspace(root: &Root, workspace: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = PROTECTED_NAMES.iter().map(|(name, _)| workspace.join(name)).collect();
    let dot_git = root.look_at_child(workspace, Path::new(".git"));
    if let Some(repo) = repo::read(root, workspace, &dot_git, &repo::OfUser::default()) {
        for directory in [repo.git_dir, repo.common_dir].into_iter().flatten() {
            found.extend(GIT_CODE.iter().flat_map(|(name, ..)| with_parents(&directory.path, Path::new(name))));
        }
    }
    found.sort();
    found.dedup();
    found.retain(|path| is_abandoned(path));
    found
}

/// Where more than the last component was missing, the placeholder stands for the first missing one.
fn with_parents(directory: &Path, name: &Path) -> Vec<PathBuf> {
    let steps = name.ancestors().filter(|step| !step.as_os_str().is_empty());
    steps.map(|step| directory.join(step)).collect()
}

/// Whether `path` is a placeholder that no running sandbox holds: each holds a lock on its own.
fn is_abandoned(path: &Path) -> bool {
    // O_NONBLOCK: whatever else has the name must not stop the search.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    let marked = rustix::fs::fstat(&fd).is_ok_and(|stat| placeholder::is_marked(&stat));
    marked && std::fs::File::from(fd).try_lock().is_ok()
}

/// Directories for temporary files that no run uses now, of the caller.
pub fn temporary(root: &Root) -> Vec<PathBuf> {
    let places = scratch::PLACES.iter().map(|place| root.real(Path::new(place)));
    let entries = places.filter_map(|place| std::fs::read_dir(place).ok()).flat_map(Iterator::flatten);
    let ours = entries.filter(|entry| scratch::is_name(&entry.file_name()));
    let mut found: Vec<_> =
        ours.map(|entry| entry.path()).filter(|path| backend::scratch::is_abandoned(path)).collect();
    found.sort();
    found
}

/// Control groups that no run uses now.
pub fn groups(homes: &[Home]) -> Vec<PathBuf> {
    let entries = homes.iter().filter_map(|home| std::fs::read_dir(&home.path).ok()).flat_map(Iterator::flatten);
    entries.map(|entry| entry.path()).filter(|path| backend::group::is_abandoned(path)).collect()
}

/// What `--fix` did.
#[derive(Debug, Default)]
pub struct Removal {
    /// Paths that are gone.
    pub removed: Vec<PathBuf>,
    /// Paths that could not be removed, and why.
    pub failed: Vec<String>,
}

/// Removes what was left; what a run took up since is left to it.
pub fn remove(paths: &[PathBuf]) -> Removal {
    let mut removal = Removal::default();
    for path in paths {
        let removed = match placeholder::reclaim(path) {
            Ok(false) => backend::scratch::reclaim(path),
            other => other,
        };
        let removed = match removed {
            Ok(false) => backend::group::reclaim(path),
            other => other,
        };
        match removed {
            Ok(true) => removal.removed.push(path.clone()),
            Ok(false) => {}
            Err(error) => removal.failed.push(format!("remove `{}`: {error}", path.display())),
        }
    }
    removal
}

/// The check without `--fix`.
pub fn check(left: &[PathBuf], workspace: &Path) -> Check {
    if left.is_empty() {
        return Check::new(NAME, NEEDED_FOR, ok(format!("none in {}", workspace.display())));
    }
    let paths: Vec<_> = left.iter().map(|path| path.display().to_string()).collect();
    let found = format!("of a run that was cut off: {}", paths.join(" "));
    let cure = Some("ringfence doctor --fix".to_owned());
    Check::new(NAME, NEEDED_FOR, Verdict { state: State::Degraded, found, cure })
}

/// The check with it.
pub fn check_of_removal(removal: &Removal) -> Check {
    let verdict = if removal.failed.is_empty() {
        ok(format!("{} removed", removal.removed.len()))
    } else {
        let cure = Some("run it as their owner: ringfence doctor --fix".to_owned());
        Verdict { state: State::Degraded, found: removal.failed.join("; "), cure }
    };
    Check::new(NAME, NEEDED_FOR, verdict)
}
