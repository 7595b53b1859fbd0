//! CDI devices → nodes, links, mounts and variables. What a file asks for is done by our own means, or refused; nothing
//! that it names is run.
//!
//! A denial beats a file, and so do the nodes that no sandbox gets and the classes that were not asked for: what they
//! concern is left out with a note.

mod env;
mod error;
mod ground;
mod hooks;
mod mounts;
mod nodes;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub use env::{FILTERED, is_filtered};
pub use error::{CdiError, CdiProblem};
pub use ground::{Ground, denied_by, denied_number, denied_within, ground_at, ruled_below};
pub use hooks::ApplicationProfile;

use crate::host::gpu::DeviceNumber;
use crate::host::gpu::cdi::{Edits, Lookup, Specs, Spot};
use crate::host::paths::FileId;
use crate::plan::DeviceGrant;
use crate::policy::gpu::cdi::CdiName;
use crate::request::Origin;
use crate::request::yaml::Place;

/// What CDI devices come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdiPlan {
    /// Nodes to bind, in the order of the files.
    pub devices: Vec<DeviceGrant>,
    /// Links to make: where, what they say, who asked. In the sandbox's own directories only.
    pub links: Vec<(PathBuf, OsString, Origin)>,
    /// Paths of the host that have to be readable under their own name, and are not anyway.
    pub read_paths: Vec<(PathBuf, Origin)>,
    /// What of the host is to be there under another name, parents first.
    pub mounts: Vec<CdiMount>,
    /// Variables to set, each once.
    pub env: Vec<(OsString, OsString, Origin)>,
    /// Directories that the dynamic loader must be told of; see [`library_path`].
    pub libraries: Vec<(PathBuf, Origin)>,
    /// Sockets that were asked for by a class of their own.
    pub sockets: Vec<(PathBuf, Origin)>,
    /// What EGL and Vulkan would be told, where graphics are granted.
    pub profile: Option<ApplicationProfile>,
    /// Remarks for the reader of the plan, one line each.
    pub notes: Vec<String>,
}

/// What files say that is no node, no rule and no remark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// As [`CdiPlan::links`].
    pub links: Vec<(PathBuf, OsString, Origin)>,
    /// As [`CdiPlan::mounts`].
    pub mounts: Vec<CdiMount>,
    /// As [`CdiPlan::env`].
    pub env: Vec<(OsString, OsString, Origin)>,
    /// As [`CdiPlan::libraries`].
    pub libraries: Vec<(PathBuf, Origin)>,
}

/// `LD_LIBRARY_PATH`: these directories, and what the command would inherit at the end.
#[must_use]
pub fn library_path<'a>(directories: impl Iterator<Item = &'a Path>, inherited: Option<&'a OsStr>) -> OsString {
    let mut path = OsString::new();
    for part in directories.map(Path::as_os_str).chain(inherited.filter(|value| !value.is_empty())) {
        if !path.is_empty() {
            path.push(":");
        }
        path.push(part);
    }
    path
}

/// Something of the host under another name, read-only: by a second name nothing can be changed that is protected below
/// the first. No program in it gets more rights, and no device node in it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdiMount {
    /// Where it is on the host; canonical.
    pub source: PathBuf,
    /// Its identity, compared again when it is mounted.
    pub id: FileId,
    /// Whether it is a directory.
    pub dir: bool,
    /// Where it is to be.
    pub target: PathBuf,
    /// What it covers there; `None`: the mount point has to be made.
    pub onto: Option<FileId>,
    /// Who asked.
    pub because: Origin,
}

/// What decides about edits besides the files.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Which classes are granted, by name: `compute`, `graphics`, `display`, `mps` …
    pub granted: &'a dyn Fn(&str) -> bool,
    /// Who denied a path, or what it lies in, if anybody did; see [`denied_by`].
    pub denied: &'a dyn Fn(&Path) -> Option<Origin>,
    /// Who denied a device node, by whatever name; see [`denied_number`].
    pub denied_number: &'a dyn Fn(DeviceNumber) -> Option<Origin>,
    /// Why something in a directory must not be seen, if there is anything; see [`denied_within`].
    pub denied_within: &'a dyn Fn(&Path) -> Option<Origin>,
    /// Whether something that a rule is about lies below a path; see [`ruled_below`].
    pub ruled_below: &'a dyn Fn(&Path) -> bool,
    /// What the sandbox has at a path before these edits.
    pub ground: &'a dyn Fn(&Path) -> Ground,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

/// Resolves CDI devices. `asked` said that they are wanted. Pure: the same input gives the same plan.
///
/// # Errors
/// One [`CdiError`] for each problem; all at once.
pub fn edits(specs: &Specs, wanted: &[CdiName], asked: &Origin, around: Around<'_>) -> Result<CdiPlan, Vec<CdiError>> {
    let (plan, gids) = (CdiPlan::default(), BTreeSet::new());
    let mut planner = Planner { specs, asked, around, gids, plan, errors: Vec::new() };
    let parts = planner.parts(wanted);
    planner.gids = parts.iter().flat_map(|part| part.edits.gids.iter().map(|(gid, _)| *gid)).collect();
    planner.refused(&parts);
    planner.nodes(&parts);
    planner.mounts(&parts);
    planner.env(&parts);
    planner.hooks(&parts);
    planner.empty_handed(&parts);
    let Planner { mut plan, errors, .. } = planner;
    plan.mounts.sort_by_key(|mount| mount.target.components().count());
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

/// Edits of one file, for all of its devices or for one, in the order in which they are applied.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    name: &'a CdiName,
    file: &'a Path,
    edits: &'a Edits,
    /// Whether they are those of every device of the file.
    common: bool,
}

impl Part<'_> {
    fn spot(&self, place: Place) -> Spot {
        Spot { file: self.file.to_owned(), place }
    }
}

struct Planner<'a> {
    specs: &'a Specs,
    asked: &'a Origin,
    around: Around<'a>,
    /// Groups that the files ask for.
    gids: BTreeSet<u32>,
    plan: CdiPlan,
    errors: Vec<CdiError>,
}

impl<'a> Planner<'a> {
    fn error(&mut self, name: &CdiName, spot: Option<Spot>, problem: CdiProblem) {
        self.errors.push(CdiError { name: name.clone(), asked: self.asked.clone(), spot, problem });
    }

    fn fail(&mut self, part: &Part<'_>, place: Place, problem: CdiProblem) {
        self.error(part.name, Some(part.spot(place)), problem);
    }

    fn note(&mut self, part: &Part<'_>, place: Place, text: impl std::fmt::Display) {
        let note = format!("cdi: {text} ({})", part.spot(place));
        if !self.plan.notes.contains(&note) {
            self.plan.notes.push(note);
        }
    }

    fn because(&self, part: &Part<'_>, place: Place) -> Origin {
        let what = if part.common { format!("every {}", part.name.kind()) } else { part.name.to_string() };
        Origin::Gpu(format!("{what} by {}, {}:{}", self.asked, part.file.display(), place.line))
    }

    /// The edits of every device that can be used: those of its file first, once.
    fn parts(&mut self, wanted: &'a [CdiName]) -> Vec<Part<'a>> {
        let mut parts: Vec<Part<'a>> = Vec::new();
        for (at, name) in wanted.iter().enumerate() {
            if wanted.get(..at).is_some_and(|before| before.contains(name)) {
                continue;
            }
            let Some((file, edits)) = self.found(name) else { continue };
            if let Some(common) = self.specs.common.get(file).filter(|_| !parts.iter().any(|part| part.file == file)) {
                parts.push(Part { name, file, edits: common, common: true });
            }
            parts.push(Part { name, file, edits, common: false });
        }
        parts
    }

    fn found(&mut self, name: &CdiName) -> Option<(&'a Path, &'a Edits)> {
        if name.is_management() {
            self.error(name, None, CdiProblem::Management);
            return None;
        }
        let specs = self.specs;
        let lookup = specs.wanted.iter().find(|(known, _)| known == name).map(|(_, lookup)| lookup);
        let faults: Vec<_> = specs.faults_for(name).cloned().collect();
        if !faults.is_empty() {
            self.error(name, None, CdiProblem::Broken { faults });
            return None;
        }
        match lookup {
            Some(Lookup::Found { file, edits }) => return Some((file, edits)),
            Some(Lookup::Conflict(files)) => {
                self.error(name, None, CdiProblem::Conflict { files: files.clone() });
            }
            Some(Lookup::Missing) | None => {
                let offered = |known: &&CdiName| known.kind() == name.kind();
                let offered: Vec<_> = specs.available.iter().filter(offered).cloned().collect();
                let (dirs, kinds) = (specs.dirs.clone(), kinds(&specs.available));
                self.error(name, None, CdiProblem::Missing { dirs, offered, kinds });
            }
        }
        None
    }

    /// Edits that no sandbox of ours can do, and without which the device is not what its file says.
    fn refused(&mut self, parts: &[Part<'a>]) {
        for part in parts {
            if let Some(place) = part.edits.net_devices {
                self.fail(part, place, CdiProblem::NetDevices);
            }
            if let Some(place) = part.edits.intel_rdt {
                self.fail(part, place, CdiProblem::IntelRdt);
            }
        }
    }

    /// A device that was asked for and brings nothing is probably not what was meant.
    fn empty_handed(&mut self, parts: &[Part<'a>]) {
        let nothing = CdiPlan { notes: self.plan.notes.clone(), ..CdiPlan::default() } == self.plan;
        if let Some(part) = parts.last().filter(|_| nothing && self.errors.is_empty()) {
            self.plan.notes.push(format!("cdi: {} comes to nothing here", part.name));
        }
    }
}

/// Vendors and classes, each once.
fn kinds(names: &[CdiName]) -> Vec<String> {
    let kinds: std::collections::BTreeSet<_> = names.iter().map(CdiName::kind).collect();
    kinds.into_iter().collect()
}
