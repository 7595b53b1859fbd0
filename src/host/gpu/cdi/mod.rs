//! Container Device Interface: files in which vendors write down what a container needs for a device.
//!
//! Everything here is a fact: what the files say, and what is at the paths that they name. What becomes of it is decided
//! in [`crate::plan::gpu::cdi`]. Nothing that a file names is run or opened.
//!
//! Source: the CDI specification, version 1.1.0.

pub mod files;
pub mod hooks;
mod loader;
mod reader;
pub mod spec;
pub mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use files::{CdiDir, DIRECTORIES, Distrust, FileFault, FileProblem};
use files::{Files, Loaded};
pub use hooks::{Hook, SymlinkWish, UnknownHook};
pub use spec::{Edits, EnvEdit, HookEdit, MountEdit, NodeEdit, NodeKind, Permissions, Wrong};

use super::node::{CallerIds, NodeFact, NodeLookup};
use crate::host::paths::{Kind, PathFact, Present, Root};
use crate::host::sockets;
use crate::policy::gpu::cdi::CdiName;
use crate::request::yaml::Place;

/// What the files say of the devices that were asked for, and what this machine has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specs {
    /// The directories that were looked at, in rising priority.
    pub dirs: Vec<PathBuf>,
    /// Where each device stands, in the order in which they were asked for.
    pub wanted: Vec<(CdiName, Lookup)>,
    /// What is edited for every device of a file, by file.
    pub common: BTreeMap<PathBuf, Edits>,
    /// Files that are not used.
    pub faults: Vec<FileFault>,
    /// What is at the paths of device nodes, links not followed; only what exists.
    pub nodes: BTreeMap<PathBuf, NodeFact>,
    /// Where sources and targets of mounts, links and directories of libraries lead.
    pub paths: BTreeMap<PathBuf, PathFact>,
    /// Sockets that are bound in directories to be mounted.
    pub sockets: Vec<PathBuf>,
    /// Directories that the dynamic loader searches anyway, where they lead.
    pub loader: Vec<PathBuf>,
    /// Every device that could be asked for, in order.
    pub available: Vec<CdiName>,
    /// The caller, who must be let through by owner, group and mode of a node.
    pub caller: CallerIds,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// In one file.
    Found {
        /// The file.
        file: PathBuf,
        /// What is edited for it, after what [`Specs::common`] has for its file.
        edits: Edits,
    },
    /// In several files of one directory, so that nobody can say which one counts.
    Conflict(Vec<PathBuf>),
    /// In none.
    Missing,
}

impl Specs {
    /// Faults of files in which a device could stand, and by which it could be another one than was found.
    pub fn faults_for<'a>(&'a self, name: &'a CdiName) -> impl Iterator<Item = &'a FileFault> {
        let found = self.wanted.iter().find_map(|(known, lookup)| match lookup {
            Lookup::Found { file, .. } if known == name => self.priority(file),
            Lookup::Found { .. } | Lookup::Conflict(_) | Lookup::Missing => None,
        });
        self.faults.iter().filter(move |fault| {
            let could = |(vendor, class): &(String, String)| vendor == name.vendor() && class == name.class();
            // What has less priority than what was found does not count anyway.
            fault.kind.as_ref().is_none_or(could) && found.is_none_or(|found| fault.priority >= found)
        })
    }

    /// What is to be mounted under its own name, where it exists: where that does not show anyway, it has to be read.
    pub fn same_names(&self) -> impl Iterator<Item = &Present> {
        let mounts = edits_of(self).flat_map(|edits| &edits.mounts);
        let same = mounts.filter(|mount| mount.host_path == mount.container_path);
        same.filter_map(|mount| match self.paths.get(&mount.host_path) {
            Some(PathFact::Present(present)) => Some(present),
            _ => None,
        })
    }

    fn priority(&self, file: &Path) -> Option<usize> {
        let dir = file.parent()?;
        self.dirs.iter().rposition(|known| known == dir)
    }
}

/// Every device that could be asked for, in order: what `auto` can tell of where no driver is found. On a machine without
/// these files it costs a look at each directory.
#[must_use]
pub fn names(root: &Path, dirs: &[CdiDir], caller: &CallerIds) -> Vec<CdiName> {
    let Ok(root) = Root::open(root) else { return Vec::new() };
    available(&files::read(&root, dirs, caller.uid))
}

/// Reads the files below `root` and looks up what they say of `wanted`. Never fails: what is wrong is in the answer.
#[must_use]
pub fn probe(root: &Path, dirs: &[CdiDir], wanted: &[CdiName], caller: &CallerIds, nodes: &dyn NodeLookup) -> Specs {
    let mut specs = Specs {
        dirs: dirs.iter().map(|dir| dir.path.clone()).collect(),
        wanted: wanted.iter().map(|name| (name.clone(), Lookup::Missing)).collect(),
        caller: caller.clone(),
        ..Specs::default()
    };
    let Ok(root) = Root::open(root) else { return specs };
    let files = files::read(&root, dirs, caller.uid);
    specs.available = available(&files);
    for (name, found) in &mut specs.wanted {
        *found = look_up(&files, name);
    }
    for (_, lookup) in &specs.wanted {
        let Lookup::Found { file, .. } = lookup else { continue };
        let common = files.loaded.iter().find(|loaded| loaded.path == *file).map(|loaded| loaded.spec.edits.clone());
        specs.common.insert(file.clone(), common.unwrap_or_default());
    }
    specs.faults = files.faults;
    look_at_all(&mut specs, &root, nodes);
    specs
}

fn devices(loaded: &Loaded) -> impl Iterator<Item = (CdiName, &Edits)> {
    let spec = &loaded.spec;
    spec.devices.iter().filter_map(|device| {
        // Each part was checked when it was read.
        let name = CdiName::new(&spec.vendor, &spec.class, &device.name).ok()?;
        Some((name, &device.edits))
    })
}

/// In the directory of the highest priority that has it, and there only once.
fn look_up(files: &Files, name: &CdiName) -> Lookup {
    let all = files.loaded.iter().flat_map(|loaded| devices(loaded).map(move |(known, edits)| (loaded, known, edits)));
    let holds: Vec<_> = all.filter(|(_, known, _)| known == name).collect();
    let Some(highest) = holds.iter().map(|(loaded, ..)| loaded.priority).max() else { return Lookup::Missing };
    let mut there = holds.into_iter().filter(|(loaded, ..)| loaded.priority == highest);
    match (there.next(), there.next()) {
        (Some((loaded, _, edits)), None) => Lookup::Found { file: loaded.path.clone(), edits: edits.clone() },
        (first, second) => {
            let all = first.into_iter().chain(second).chain(there);
            Lookup::Conflict(all.map(|(loaded, ..)| loaded.path.clone()).collect())
        }
    }
}

fn available(files: &Files) -> Vec<CdiName> {
    let mut seen: BTreeMap<CdiName, (usize, usize)> = BTreeMap::new();
    for (loaded, name) in files.loaded.iter().flat_map(|loaded| devices(loaded).map(move |(name, _)| (loaded, name))) {
        let (highest, files) = seen.entry(name).or_insert((loaded.priority, 0));
        if loaded.priority > *highest {
            (*highest, *files) = (loaded.priority, 0);
        }
        *files += usize::from(loaded.priority == *highest);
    }
    let usable = |(name, (_, files)): &(CdiName, (usize, usize))| !name.is_management() && *files == 1;
    seen.into_iter().filter(usable).map(|(name, _)| name).collect()
}

/// The edits of every wanted device that was found, and of its file.
fn edits_of(specs: &Specs) -> impl Iterator<Item = &Edits> {
    let own = specs.wanted.iter().filter_map(|(_, lookup)| match lookup {
        Lookup::Found { edits, .. } => Some(edits),
        Lookup::Conflict(_) | Lookup::Missing => None,
    });
    specs.common.values().chain(own)
}

/// Looks at every path that an edit of a wanted device names.
fn look_at_all(specs: &mut Specs, root: &Root, nodes: &dyn NodeLookup) {
    let mut paths = BTreeSet::new();
    let mut libraries = false;
    let mut found = BTreeMap::new();
    for edits in edits_of(specs) {
        for node in &edits.nodes {
            let path = node.on_host();
            found.extend(nodes.node(path).map(|fact| (path.to_owned(), fact)));
        }
        paths.extend(edits.mounts.iter().flat_map(|mount| [&mount.host_path, &mount.container_path]).cloned());
        for hook in edits.hooks.iter().filter_map(|hook| Hook::of(hook).ok()) {
            match hook {
                Hook::CreateSymlinks(links) => {
                    paths.extend(links.iter().flat_map(|wish| [wish.link.clone(), wish.leads_to()]))
                }
                Hook::UpdateLdcache(folders) => {
                    libraries = true;
                    paths.extend(folders);
                }
                Hook::DisableDeviceNodeModification
                | Hook::UpdateApplicationProfile
                | Hook::EnableCudaCompat
                | Hook::Chmod
                | Hook::Noop => {}
            }
        }
    }
    let looked: BTreeMap<_, _> = paths.into_iter().map(|path| (path.clone(), root.look(&path))).collect();
    let directories = edits_of(specs).flat_map(|edits| &edits.mounts).filter_map(|mount| {
        let found = looked.get(&mount.host_path)?;
        matches!(found, PathFact::Present(present) if present.kind == Kind::Dir)
            .then(|| found.leads_to(&mount.host_path))
    });
    specs.sockets = sockets::bound_below(root, &directories.collect::<Vec<_>>());
    specs.nodes = found;
    specs.paths = looked;
    specs.loader = if libraries { loader::directories(root) } else { Vec::new() };
}

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.place)
    }
}
