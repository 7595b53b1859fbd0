//! The tree on disk, and as a value: what is there, and what an attempt changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::probes::Attempt;

/// Something of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Dir,
    File(Vec<u8>),
    Link(PathBuf),
}

/// By absolute path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<PathBuf, Entry>);

impl Tree {
    /// What a text says, below a directory.
    pub fn of(base: &Path, text: &[String]) -> Self {
        let mut tree = BTreeMap::from([(base.join("w"), Entry::Dir), (base.join("o"), Entry::Dir)]);
        for line in text {
            let (path, entry) = if let Some((path, to)) = line.split_once(" -> ") {
                (path, Entry::Link(to.replace("{B}", base.to_str().unwrap()).into()))
            } else if let Some(path) = line.strip_suffix('/') {
                (path, Entry::Dir)
            } else {
                (line.as_str(), Entry::File(line.clone().into_bytes()))
            };
            tree.insert(base.join(path), entry);
        }
        Self(tree)
    }

    /// Makes it.
    pub fn make(&self) {
        self.make_below(Path::new("/"));
    }

    /// Makes it on a machine that lies in a directory.
    pub fn make_below(&self, root: &Path) {
        for (path, entry) in &self.0 {
            let path = &root.join(path.strip_prefix("/").unwrap());
            match entry {
                Entry::Dir => fs::create_dir(path).unwrap(),
                Entry::File(bytes) => fs::write(path, bytes).unwrap(),
                Entry::Link(to) => symlink(to, path).unwrap(),
            }
        }
    }

    /// What is there.
    pub fn found(base: &Path) -> Self {
        let mut tree = Self::default();
        for top in ["w", "o"] {
            tree.find(base.join(top));
        }
        tree
    }

    fn find(&mut self, path: PathBuf) {
        let Ok(found) = fs::symlink_metadata(&path) else { return };
        let entry = if found.is_dir() {
            for below in fs::read_dir(&path).unwrap() {
                self.find(below.unwrap().path());
            }
            Entry::Dir
        } else if found.is_symlink() {
            Entry::Link(fs::read_link(&path).unwrap())
        } else {
            Entry::File(fs::read(&path).unwrap())
        };
        self.0.insert(path, entry);
    }

    pub fn get(&self, path: &Path) -> Option<&Entry> {
        self.0.get(path)
    }

    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.0.keys().map(PathBuf::as_path).filter(move |below| *below != path && below.starts_with(path))
    }

    /// What an attempt changes that succeeds.
    pub fn apply(&mut self, attempt: &Attempt) {
        let path = &attempt.path;
        match attempt.what {
            'w' => self.change(path, |bytes| bytes.push(b'+')),
            't' => self.change(path, |bytes| bytes.truncate(1)),
            'c' => drop(self.0.insert(path.clone(), Entry::File(Vec::new()))),
            'k' => drop(self.0.insert(path.clone(), Entry::Dir)),
            's' => drop(self.0.insert(path.clone(), Entry::Link("/etc".into()))),
            'd' | 'v' => drop(self.0.remove(path)),
            'n' => {
                let to = attempt.other.as_ref().unwrap();
                let moved: Vec<_> = self.below(path).map(Path::to_owned).chain([path.clone()]).collect();
                for from in moved {
                    let Some(entry) = self.0.remove(&from) else { continue };
                    let below = from.strip_prefix(path).unwrap();
                    self.0.insert(if from == *path { to.clone() } else { to.join(below) }, entry);
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Entry::File(bytes)) = self.0.get_mut(path) {
            how(bytes);
        }
    }

    /// Where they differ, one line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        let differing = paths.filter(|path| self.0.get(*path) != other.0.get(*path));
        differing.map(|path| format!("{}: {:?}, not {:?}", path.display(), other.get(path), self.get(path))).collect()
    }
}
