//! What is attempted in a tree.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::tree::{Entry, Tree};

/// An operation of `probe.c`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// `r`ead, `l`ist, `o`pen to write, append (`w`), `t`runcate, c`h`mod, `u`times, `c`reate, ma`k`e a directory, make a
    /// link (`s`), re`n`ame, `d`elete, remove a directory (`v`).
    pub what: char,
    /// Canonical, but for attempts under another name.
    pub path: PathBuf,
    /// Where to.
    pub other: Option<PathBuf>,
    /// What it is really about, where the path is another name.
    pub really: Option<PathBuf>,
}

impl Attempt {
    fn new(what: char, path: impl Into<PathBuf>) -> Self {
        Self { what, path: path.into(), other: None, really: None }
    }

    /// The canonical path.
    pub fn target(&self) -> &Path {
        self.really.as_deref().unwrap_or(&self.path)
    }

    /// As the probe reads it.
    pub fn line(&self) -> Vec<u8> {
        let mut line = vec![u8::try_from(self.what).unwrap()];
        for path in [Some(&self.path), self.other.as_ref()].into_iter().flatten() {
            line.push(b'\t');
            line.extend(path.as_os_str().as_bytes());
        }
        line.push(b'\n');
        line
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.path.display())?;
        self.other.iter().try_for_each(|other| write!(f, " to {}", other.display()))
    }
}

/// Protected names that are attempted in every directory, where they are missing.
const PROTECTED: &[&str] = &[".git", ".vscode", ".mcp.json"];

/// Everything, in an order in which nothing spoils what comes later: what changes most comes last.
pub fn all(base: &Path, tree: &Tree) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (path, entry) in &tree.0 {
        attempts.extend(looking(base, tree, path, entry));
    }
    for (path, entry) in tree.0.iter().filter(|(_, entry)| !matches!(entry, Entry::Link(_))) {
        let kinds = if matches!(entry, Entry::File(_)) { "wthu" } else { "hu" };
        attempts.extend(kinds.chars().map(|what| Attempt::new(what, path)));
    }
    for (path, _) in tree.0.iter().filter(|(_, entry)| **entry == Entry::Dir) {
        attempts.extend(making(tree, path));
    }
    let inside = |path: &&Path| path.parent() != Some(base);
    let paths: Vec<_> = tree.0.keys().map(PathBuf::as_path).filter(inside).collect();
    for path in &paths {
        attempts.extend(moving(path));
    }
    for path in paths.iter().rev() {
        let what = if tree.get(path) == Some(&Entry::Dir) { 'v' } else { 'd' };
        attempts.push(Attempt::new(what, *path));
    }
    attempts
}

/// What must exist to be looked at, by all its names.
fn looking(base: &Path, tree: &Tree, path: &Path, entry: &Entry) -> Vec<Attempt> {
    let kinds = match entry {
        Entry::Dir => "l",
        Entry::File(_) => "ro",
        Entry::Link(_) => return through(base, tree, path),
    };
    let mut names = vec![
        Path::new("/proc/self/root").join(path.strip_prefix("/").unwrap()),
        Path::new("/proc/self/cwd/..").join(path.strip_prefix(base).unwrap()),
    ];
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        names.push(parent.join("..").join(parent.file_name().unwrap()).join(name));
    }
    if *entry == Entry::Dir {
        names.push(path.join("."));
    }
    let by = |name: &PathBuf, what| Attempt { really: Some(path.to_owned()), ..Attempt::new(what, name) };
    let other = names.iter().flat_map(|name| kinds.chars().map(move |what| by(name, what)));
    kinds.chars().map(|what| Attempt::new(what, path)).chain(other.collect::<Vec<_>>()).collect()
}

/// What a link leads to, and what is below that.
fn through(base: &Path, tree: &Tree, link: &Path) -> Vec<Attempt> {
    let Ok(leads) = link.canonicalize() else { return Vec::new() };
    let reached = tree.0.iter().filter(|(path, entry)| path.starts_with(&leads) && !matches!(entry, Entry::Link(_)));
    let reached = reached.filter(|(path, _)| path.starts_with(base)).take(6);
    let named = reached.flat_map(|(path, entry)| {
        let below = path.strip_prefix(&leads).unwrap();
        let name = if below == Path::new("") { link.to_owned() } else { link.join(below) };
        let kinds = if *entry == Entry::Dir { "l" } else { "ro" };
        kinds.chars().map(move |what| Attempt { really: Some(path.clone()), ..Attempt::new(what, &name) })
    });
    named.collect()
}

fn making(tree: &Tree, directory: &Path) -> Vec<Attempt> {
    let path = |name: &str| directory.join(name);
    let mut attempts = vec![
        Attempt::new('c', path("1")),
        Attempt { other: Some(path("2")), ..Attempt::new('n', path("1")) },
        Attempt::new('d', path("2")),
        Attempt::new('k', path("3")),
        Attempt::new('v', path("3")),
        Attempt::new('s', path("4")),
        Attempt::new('d', path("4")),
    ];
    for name in PROTECTED.iter().filter(|name| tree.get(&path(name)).is_none()) {
        attempts.extend([Attempt::new('k', path(name)), Attempt::new('v', path(name))]);
    }
    attempts
}

/// Away, and back.
fn moving(path: &Path) -> [Attempt; 2] {
    let mut name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push("~");
    let aside = path.with_file_name(name);
    let there = Attempt { other: Some(aside.clone()), ..Attempt::new('n', path) };
    [there, Attempt { other: Some(path.to_owned()), ..Attempt::new('n', aside) }]
}
