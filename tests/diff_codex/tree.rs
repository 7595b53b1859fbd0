//! The directories of one run: what is in them before, and what the host sees in them afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::user::User;

/// Directories that every run has. `S` holds the host's sockets and is not looked at.
const DIRS: &[&str] = &["W", "W/sub", "W/docs", "W/docs/private", "W/docs/public", "O", "O/d", "T", "home", "S"];

/// Files that every directory has, for the probes to read, change, rename and delete.
const FILES: &[&str] = &["f", "f2", "f4"];

/// Paths that are probed when nothing is there.
const NAMES: &[&str] = &["W/.git", "W/.agents", "W/.codex", "W/.aws", "W/sub/.git", "O/.git", "T/.git"];

pub struct Tree {
    pub base: PathBuf,
    user: User,
}

/// What the probes are to look at, relative to the base.
pub struct Entries {
    pub dirs: Vec<String>,
    pub others: Vec<String>,
    pub missing: Vec<String>,
}

impl Tree {
    pub fn new(base: PathBuf, user: User) -> Self {
        fs::create_dir_all(&base).unwrap();
        user.give(&base);
        let tree = Self { base, user };
        for dir in DIRS {
            tree.dir(dir);
        }
        tree
    }

    /// Replaces the placeholders.
    pub fn fill(&self, text: &str) -> String {
        let base = self.base.to_str().unwrap();
        let filled = text.replace("{B}", base);
        ["W", "O", "T"]
            .iter()
            .fold(filled, |text, name| text.replace(&format!("{{{name}}}"), &format!("{base}/{name}")))
    }

    /// Makes a directory with its files, and those above it.
    pub fn dir(&self, name: &str) {
        let above: Vec<_> = Path::new(name).ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        for path in above.into_iter().rev().map(|path| self.base.join(path)) {
            if fs::create_dir(&path).is_ok() {
                self.user.give(&path);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                for file in FILES {
                    self.put(&path.join(file), "before\n");
                }
            }
        }
    }

    /// Makes a file, and the directories above it. `{O}` and the like are filled in.
    pub fn file(&self, name: &str, content: &str) {
        self.dir(Path::new(name).parent().unwrap().to_str().unwrap());
        self.put(&self.base.join(name), &self.fill(content));
    }

    /// Makes a symbolic link.
    pub fn link(&self, name: &str, target: &str) {
        self.dir(Path::new(name).parent().unwrap().to_str().unwrap());
        let path = self.base.join(name);
        symlink(self.fill(target), &path).unwrap();
        if let User::Ordinary(id) = self.user {
            std::os::unix::fs::lchown(&path, Some(id), Some(id)).unwrap();
        }
    }

    fn put(&self, path: &Path, content: &str) {
        fs::write(path, content).unwrap();
        self.user.give(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// What is there now, for the probes.
    pub fn entries(&self) -> Entries {
        let names: Vec<_> = self.walk().into_iter().filter(|name| name != "S" && !name.starts_with("S/")).collect();
        let is_dir = |name: &String| fs::symlink_metadata(self.base.join(name)).unwrap().is_dir();
        let is_usual = |name: &String| FILES.iter().any(|file| name.ends_with(&format!("/{file}")));
        let (dirs, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(is_dir);
        let gone = |name: &&&str| fs::symlink_metadata(self.base.join(name)).is_err();
        let missing = NAMES.iter().filter(gone).map(|name| (*name).to_owned()).collect();
        Entries { dirs, others: rest.into_iter().filter(|name| !is_usual(name)).collect(), missing }
    }

    /// What the host sees: kind, mode and content of every entry.
    pub fn seen_by_host(&self) -> BTreeMap<String, String> {
        let described = self.walk().into_iter().map(|name| {
            let said = describe(&self.base.join(&name)).replace(self.base.to_str().unwrap(), "B");
            (format!("host sees {name}"), said)
        });
        described.collect()
    }

    /// Every entry below, sorted; links are not followed.
    fn walk(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut queue = vec![self.base.clone()];
        while let Some(dir) = queue.pop() {
            for path in fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
                found.push(path.strip_prefix(&self.base).unwrap().to_str().unwrap().to_owned());
                if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                    queue.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

fn describe(path: &Path) -> String {
    let Ok(found) = fs::symlink_metadata(path) else { return "gone".to_owned() };
    let mode = found.mode() & 0o7777;
    if found.is_dir() {
        format!("dir {mode:o}")
    } else if found.is_file() {
        let content = fs::read_to_string(path).unwrap_or_else(|error| error.kind().to_string());
        format!("file {mode:o} {}", content.trim_end().lines().next_back().unwrap_or_default())
    } else if found.is_symlink() {
        "link".to_owned()
    } else {
        "other".to_owned()
    }
}
