//! A map by path in which parents come before children and what lies in one directory lies together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// In the order of `Path`, which is that of components. The keys are such that bytes have it too: `Path` takes a path apart
/// at each comparison, and a policy of ten thousand rules makes some hundred thousand.
///
/// Paths are absolute, and without `..`.
#[derive(Debug, Clone)]
pub struct PathMap<T> {
    entries: BTreeMap<Vec<u8>, (PathBuf, T)>,
}

/// The names, each behind what no name holds and what comes before everything that a name may hold.
fn key(path: &Path) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.as_os_str().len());
    for part in path.components().skip(1) {
        key.push(0);
        key.extend_from_slice(part.as_os_str().as_bytes());
    }
    key
}

impl<T> Default for PathMap<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> PathMap<T> {
    /// Puts a value where there is none, or in the place of one that gives way to it.
    pub fn insert(&mut self, path: PathBuf, value: T, gives_way: impl FnOnce(&T, &T) -> bool) {
        match self.entries.entry(key(&path)) {
            Entry::Vacant(place) => {
                place.insert((path, value));
            }
            Entry::Occupied(mut place) => {
                if gives_way(&place.get().1, &value) {
                    place.insert((path, value));
                }
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, path: &Path) {
        self.entries.remove(&key(path));
    }

    /// The value at exactly this path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&T> {
        self.entries.get(&key(path)).map(|(_, value)| value)
    }

    /// See [`PathMap::get`].
    pub fn get_mut(&mut self, path: &Path) -> Option<&mut T> {
        self.entries.get_mut(&key(path)).map(|(_, value)| value)
    }

    /// What is at a path or at the nearest one above it.
    #[must_use]
    pub fn governing(&self, path: &Path) -> Option<(&Path, &T)> {
        let found = path.ancestors().find_map(|above| self.entries.get(&key(above)));
        found.map(|(path, value)| (path.as_path(), value))
    }

    /// What lies below a path, parents first.
    pub fn below(&self, path: &Path) -> impl Iterator<Item = (&Path, &T)> {
        let start = key(path);
        let after = (Bound::Excluded(start.clone()), Bound::Unbounded);
        let inside = move |key: &[u8]| key.strip_prefix(start.as_slice()).is_some_and(|rest| rest.starts_with(&[0]));
        let found = self.entries.range::<Vec<u8>, _>(after).take_while(move |(key, _)| inside(key));
        found.map(|(_, (path, value))| (path.as_path(), value))
    }

    /// All, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &T)> {
        self.entries.values().map(|(path, value)| (path.as_path(), value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
        // Some of them are nothing to `Path`.
        let name = proptest::sample::select(vec!["a", "b", "a.b", "a-b", "ab", "!", "\u{1}", "é", ".", ""]);
        let path = proptest::collection::vec(name, 0..4).prop_map(|names| Path::new("/").join(names.join("/")));
        proptest::collection::vec(path, 1..30)
    }

    proptest! {
        // What fails is told, and not written into the repository.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_as_a_map_by_path(paths in paths(), asked in paths()) {
            let mut map = PathMap::default();
            let mut plain = BTreeMap::new();
            for (number, path) in paths.into_iter().enumerate() {
                map.insert(path.clone(), number, |_, _| number % 2 == 0);
                plain.entry(path).and_modify(|old| if number % 2 == 0 { *old = number }).or_insert(number);
            }
            for path in asked {
                prop_assert_eq!(map.get(&path), plain.get(&path));
                let governing = path.ancestors().find_map(|above| plain.get_key_value(above));
                prop_assert_eq!(map.governing(&path), governing.map(|(path, value)| (path.as_path(), value)));
                let below = plain.iter().filter(|(other, _)| other.starts_with(&path) && **other != path);
                let below: Vec<_> = below.map(|(path, value)| (path.as_path(), value)).collect();
                prop_assert_eq!(map.below(&path).collect::<Vec<_>>(), below);
            }
            let all: Vec<_> = plain.iter().map(|(path, value)| (path.as_path(), value)).collect();
            prop_assert_eq!(map.iter().collect::<Vec<_>>(), all);
            let first = plain.keys().next().expect("one").clone();
            map.remove(&first);
            prop_assert_eq!(map.get(&first), None);
        }
    }
}
