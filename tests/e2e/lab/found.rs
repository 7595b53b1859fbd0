//! The host is to be left as it was found: no mount, no placeholder, no stray file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Entries that nobody but a placeholder may be the first to have, directly under a writable directory.
pub const PROTECTED: &[&str] =
    &[".git", ".codex", ".agents", ".claude", ".mcp.json", ".aws", ".vscode", ".idea", "ringfence.toml"];

/// Modification time of placeholders.
const MARK: i64 = 0x0A_52_49_4E;

/// The labs' cache directory.
pub const CACHE: &str = "cache";

/// What a run may change.
pub struct Found {
    dir: PathBuf,
    mounts: String,
    entries: BTreeSet<PathBuf>,
}

impl Found {
    pub fn look(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), mounts: mounts(), entries: listing(dir) }
    }

    /// What is wrong now, if something is. `writable` is where the run may have made files.
    pub fn compare(&self, writable: &[PathBuf]) -> Option<String> {
        if mounts() != self.mounts {
            return Some("the host's mounts have changed".to_owned());
        }
        let now = listing(&self.dir);
        let is_ours = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.mtime() == MARK);
        let allowed = |path: &PathBuf| {
            let below = writable.iter().filter(|dir| path.starts_with(dir)).max_by_key(|dir| dir.components().count());
            // Below a protected entry that was there before, what was made has been granted by the test.
            let named = |dir: &PathBuf| {
                let name = path.strip_prefix(dir).ok().and_then(|rest| rest.components().next());
                name.is_some_and(|name| {
                    PROTECTED.iter().any(|known| name.as_os_str() == *known) && !self.entries.contains(&dir.join(name))
                })
            };
            below.is_some_and(|dir| !named(dir)) && !is_ours(path)
        };
        let stray: Vec<_> = now.difference(&self.entries).filter(|path| !allowed(path)).collect();
        (!stray.is_empty()).then(|| format!("left behind: {stray:?}"))
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Every entry below a directory; links are not followed, other file systems not entered.
pub fn listing(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(directory) = queue.pop() {
        for path in fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            // What a bubblewrap can do is remembered by the first run.
            if path == dir.join(CACHE) {
                continue;
            }
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                queue.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

/// Removes a lab, never through a mount, and the labs' common directory with the last of them. Whether nothing is left of it.
#[must_use]
pub fn remove(dir: &Path) -> bool {
    let points = mounts();
    let below =
        points.lines().filter_map(|line| line.split(' ').nth(4)).filter(|path| Path::new(path).starts_with(dir));
    for point in below.collect::<Vec<_>>().into_iter().rev() {
        drop(std::process::Command::new("umount").arg(point).status());
    }
    if mounts().lines().any(|line| line.split(' ').nth(4).is_some_and(|path| Path::new(path).starts_with(dir))) {
        return false;
    }
    // std stops at a directory that its owner may not read, as one in a bundle is; rm(1) does not.
    let removed = std::process::Command::new("rm").args(["-rf", "--one-file-system"]).arg(dir).status();
    drop(dir.parent().map(fs::remove_dir));
    removed.is_ok_and(|status| status.success())
}
