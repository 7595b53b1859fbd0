//! How names are resolved on this machine: the two files that every resolver reads.

use std::path::Path;

use super::paths::{PathFact, Root};
use super::read::whole;
use crate::policy::tables;

/// The files, as they are found.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// `/etc/resolv.conf`.
    pub conf: PathFact,
    /// `/etc/hosts`.
    pub hosts: PathFact,
    /// What the latter says; empty if it cannot be read.
    pub known: Vec<u8>,
}

/// Looks at them; `top` is the directory that is `root`.
#[must_use]
pub fn probe(top: &Path, root: &Root) -> Resolver {
    let below = |path: &str| top.join(path.trim_start_matches('/'));
    Resolver {
        conf: root.look(Path::new(tables::RESOLVER)),
        hosts: root.look(Path::new(tables::HOSTS)),
        known: whole(&below(tables::HOSTS)).unwrap_or_default(),
    }
}
