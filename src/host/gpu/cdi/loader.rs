//! Where the dynamic loader looks for libraries without being told.

use std::path::{Path, PathBuf};

use crate::host::paths::{PathFact, Root};
use crate::host::repo::{each_entry, open_directory};

/// Directories of every loader.
const ALWAYS: &[&str] = &["/lib", "/usr/lib", "/lib64", "/usr/lib64"];

/// The loader's list, and files that it includes.
const LIST: &str = "/etc/ld.so.conf";

/// Directories of the loader's list, where they lead.
pub(super) fn directories(root: &Root) -> Vec<PathBuf> {
    let named = listed(root, Path::new(LIST), true);
    let all = ALWAYS.iter().map(PathBuf::from).chain(named);
    all.filter_map(|path| match root.look(&path) {
        PathFact::Present(present) => Some(present.path),
        PathFact::Missing { .. } | PathFact::Dangling { .. } | PathFact::Unreachable { .. } => None,
    })
    .collect()
}

/// Lines of a list; `include DIRECTORY/*.conf` is what distributions have in it, and nothing more is understood.
fn listed(root: &Root, file: &Path, includes: bool) -> Vec<PathBuf> {
    let text = crate::host::read::whole(&root.real(file)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut found = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include ").map(str::trim) {
            Some(pattern) if includes => {
                let files = included(root, pattern);
                found.extend(files.iter().flat_map(|file| listed(root, file, false)));
            }
            None if line.starts_with('/') => found.push(line.into()),
            Some(_) | None => {}
        }
    }
    found
}

fn included(root: &Root, pattern: &str) -> Vec<PathBuf> {
    let Some(directory) =
        Path::new("/etc").join(pattern).to_str().and_then(|path| Some(path.strip_suffix("/*.conf")?.to_owned()))
    else {
        return Vec::new();
    };
    let directory = PathBuf::from(directory);
    let mut files = Vec::new();
    if let Some(fd) = open_directory(&root.real(&directory)) {
        each_entry(&fd, |name, _| {
            if let Some(name) = std::str::from_utf8(name).ok().filter(|name| name.ends_with(".conf")) {
                files.push(directory.join(name));
            }
        });
    }
    files.sort();
    files
}
