//! Which device nodes, directories and notes a GPU wish comes to. After this, nobody knows what a GPU is.
//!
//! A GPU is granted by its nodes existing in the sandbox. What is not granted is absent, never present and denied:
//! GPU libraries take an absent node for normal and a denied one for an error.

pub mod cdi;
mod env;
mod error;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use env::{CACHES, CacheRow, EnvChange, VISIBILITY, env_changes, jit_cache_env};
pub use error::{GpuError, GpuProblem};

use super::DeviceGrant;
use crate::host::gpu::{Fault, Gpu, Gpus, Node, NodeState, PciAddress, UnheldReason, Wsl};
use crate::policy::gpu::{GpuIndex, GpuWish};
use crate::request::{Origin, Said};

/// What is done for GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuPlan {
    /// Nodes to bind: shared ones first, then those of each GPU in index order.
    pub devices: Vec<DeviceGrant>,
    /// Library directories that must be readable, and who asked.
    pub read_paths: Vec<(PathBuf, Origin)>,
    /// Links to make: where, what they say, who asked.
    pub links: Vec<(PathBuf, OsString, Origin)>,
    /// What of the host is to be there under another name.
    pub mounts: Vec<cdi::CdiMount>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString, Origin)>,
    /// Directories that the dynamic loader must be told of.
    pub libraries: Vec<(PathBuf, Origin)>,
    /// Whether some, but not all, of the GPUs that the driver offers are granted: host indices lose their meaning.
    pub subset: bool,
    /// Which GPUs, and by whose wish: `gpu 0, 1 (all by --gpu)`.
    pub who: String,
    /// Remarks for the reader of the plan, one line each.
    pub notes: Vec<String>,
}

/// Resolves a GPU wish on a machine. Pure: the same input gives the same plan.
///
/// `off` grants nothing. `auto` grants the GPUs that work, keeps quiet where there is none and turns each broken one
/// into a note with its cure. `all` and indices grant what was asked for or fail. With `default_off`, a wish that the
/// user did not state himself, as a preset's, counts as `off`.
///
/// # Errors
/// One [`GpuError`] for each problem that stands in the way of `all` or a list of indices; all at once.
///
/// Source: node rows of [`crate::host::gpu::ROWS`], each with its own reference.
pub fn grants(wish: &Said<GpuWish>, default_off: bool, gpus: &Gpus) -> Result<GpuPlan, Vec<GpuError>> {
    if wish.value == GpuWish::Off || (default_off && !wish.by.is_explicit()) {
        return Ok(GpuPlan::default());
    }
    let asked = Asked { wish, gpus };
    let selection = match &gpus.wsl {
        Some(wsl) => asked.wsl(wsl),
        None => asked.select(),
    };
    if wish.value != GpuWish::Auto && !selection.errors.is_empty() {
        return Err(selection.errors);
    }
    Ok(asked.plan(&selection))
}

/// Resolves devices of CDI files on a machine.
///
/// # Errors
/// One [`cdi::CdiError`] for each problem, all at once.
pub fn cdi_grants(
    names: &[crate::policy::gpu::cdi::CdiName],
    asked: &Origin,
    policy: &crate::policy::Policy,
    facts: &crate::host::Facts,
) -> Result<GpuPlan, Vec<cdi::CdiError>> {
    let around = cdi::Around {
        granted: &|class| matches!(class, "utility" | "compute"),
        denied: &|path| cdi::denied_by(facts, path),
        denied_within: &|path| cdi::denied_within(facts, path),
        ground: &|path| cdi::ground_at(policy, facts, path),
    };
    let plan = cdi::edits(&facts.cdi, names, asked, around)?;
    let cdi::CdiPlan { devices, links, read_paths, mounts, env, libraries, sockets: _, profile: _, notes } = plan;
    let who = format!("cdi by {asked}");
    Ok(GpuPlan { devices, links, read_paths, mounts, env, libraries, notes, who, subset: true })
}

/// A wish and the machine that it is resolved on.
#[derive(Clone, Copy)]
struct Asked<'a> {
    wish: &'a Said<GpuWish>,
    gpus: &'a Gpus,
}

/// What can be granted, and what stands in the way of the rest.
#[derive(Default)]
struct Selection<'a> {
    usable: Vec<&'a Gpu>,
    shared: Vec<&'a Node>,
    errors: Vec<GpuError>,
}

impl<'a> Asked<'a> {
    fn error(self, gpus: Vec<GpuIndex>, problem: GpuProblem) -> GpuError {
        let params = self.gpus.driver.as_ref().map(|driver| driver.params.clone()).unwrap_or_default();
        GpuError { gpus, wish: self.wish.clone(), problem, params, root: self.gpus.root.clone() }
    }

    /// One node for all adapters: everything or nothing.
    fn wsl(self, wsl: &'a Wsl) -> Selection<'a> {
        let mut selection = Selection::default();
        if matches!(self.wish.value, GpuWish::Indices(_)) {
            selection.errors.push(self.error(Vec::new(), GpuProblem::NoIsolation));
        } else if wsl.node.is_ok() {
            selection.shared.push(&wsl.node);
        } else {
            selection.errors.push(self.error(Vec::new(), GpuProblem::Fault(Fault::Node(wsl.node.clone()))));
        }
        selection
    }

    fn select(self) -> Selection<'a> {
        let mut selection = Selection::default();
        if self.offered().next().is_none() {
            selection.errors.extend(self.nothing_offered());
            return selection;
        }
        let picked = self.picked(&mut selection.errors);
        let shared_faults = self.gpus.shared_faults();
        if !picked.is_empty() {
            let all: Vec<_> = picked.iter().filter_map(|gpu| gpu.index.map(GpuIndex)).collect();
            let error = |fault: &Fault| self.error(all.clone(), GpuProblem::Fault(fault.clone()));
            selection.errors.extend(shared_faults.iter().map(error));
        }
        for gpu in picked {
            let faults = gpu.faults();
            if faults.is_empty() && shared_faults.is_empty() {
                selection.usable.push(gpu);
            }
            // Where a shared node stops every GPU, notes on each of them would only bury that.
            if self.wish.value == GpuWish::Auto && !shared_faults.is_empty() {
                continue;
            }
            let index: Vec<_> = gpu.index.map(GpuIndex).into_iter().collect();
            let error = |fault| self.error(index.clone(), GpuProblem::Fault(fault));
            selection.errors.extend(faults.into_iter().map(error));
        }
        if !selection.usable.is_empty() {
            selection.shared = self.gpus.shared.iter().collect();
        }
        selection
    }

    /// GPUs that the driver lets anyone open, in index order.
    fn offered(self) -> impl Iterator<Item = &'a Gpu> {
        self.gpus.gpus.iter().filter(|gpu| gpu.index.is_some())
    }

    fn picked(self, errors: &mut Vec<GpuError>) -> Vec<&'a Gpu> {
        let GpuWish::Indices(wanted) = &self.wish.value else { return self.offered().collect() };
        let offered: Vec<_> = self.offered().filter_map(|gpu| gpu.index.map(GpuIndex)).collect();
        for index in wanted.iter().filter(|index| !offered.contains(index)) {
            let problem = GpuProblem::NoSuchIndex { offered: offered.clone(), excluded: self.excluded() };
            errors.push(self.error(vec![*index], problem));
        }
        self.offered().filter(|gpu| gpu.index.is_some_and(|index| wanted.contains(&GpuIndex(index)))).collect()
    }

    fn excluded(self) -> Vec<PciAddress> {
        self.gpus.gpus.iter().filter(|gpu| gpu.excluded).map(|gpu| gpu.bus).collect()
    }

    /// `auto` on a machine without a GPU is no problem, and a GPU that another driver holds was given to it on
    /// purpose; a GPU without any driver is worth a note.
    fn nothing_offered(self) -> Option<GpuError> {
        let repairable = self.gpus.unheld.iter().any(|gpu| !matches!(gpu.reason, UnheldReason::HeldBy(_)));
        if self.wish.value == GpuWish::Auto && !repairable {
            return None;
        }
        let problem = GpuProblem::NoGpu { excluded: self.excluded(), unheld: self.gpus.unheld.clone() };
        Some(self.error(Vec::new(), problem))
    }

    fn plan(self, selection: &Selection<'a>) -> GpuPlan {
        let names: Vec<_> = selection.usable.iter().filter_map(|gpu| gpu.index).map(|i| i.to_string()).collect();
        let who = self.who(&names);
        let mut notes: Vec<_> = selection.errors.iter().map(GpuError::one_line).collect();
        let mut devices = Vec::new();
        for node in &selection.shared {
            devices.extend(grant(node, &who));
            notes.extend(left_out(node));
        }
        for (gpu, name) in selection.usable.iter().zip(&names) {
            let who = self.who(std::slice::from_ref(name));
            devices.extend(gpu.nodes.iter().chain(gpu.instance_nodes()).filter_map(|node| grant(node, &who)));
        }
        let read_paths = if devices.is_empty() { Vec::new() } else { self.read_paths(&who) };
        notes.extend((!devices.is_empty()).then(|| self.surface()));
        let subset = !selection.usable.is_empty() && selection.usable.len() < self.offered().count();
        GpuPlan { devices, read_paths, subset, who, notes, ..GpuPlan::default() }
    }

    /// Which GPUs, and by whose wish: `gpu 0, 1 (all by --gpu)`.
    fn who(self, names: &[String]) -> String {
        let gpus = if names.is_empty() { "every gpu".to_owned() } else { format!("gpu {}", names.join(", ")) };
        match &self.wish.value {
            GpuWish::Auto => format!("{gpus} (auto)"),
            wish @ (GpuWish::Off | GpuWish::All | GpuWish::Indices(_) | GpuWish::Cdi(_)) => {
                format!("{gpus} ({wish} by {})", self.wish.by)
            }
        }
    }

    fn read_paths(self, who: &str) -> Vec<(PathBuf, Origin)> {
        let libraries = self.gpus.libraries.iter();
        libraries.map(|row| (Path::new(row.path).to_owned(), Origin::Gpu(format!("{who}, {}", row.what)))).collect()
    }

    /// The one line that a plan with a GPU must not be without.
    fn surface(self) -> String {
        if self.gpus.wsl.is_some() {
            return "a GPU is granted: its commands reach the kernel of the Windows host, a large attack surface"
                .to_owned();
        }
        let version = self.gpus.driver.as_ref().and_then(|driver| driver.version.as_deref()).unwrap_or("unknown");
        format!(
            "a GPU is granted: its driver (version {version}) is a large attack surface in the kernel; keep it updated"
        )
    }
}

fn grant(node: &Node, who: &str) -> Option<DeviceGrant> {
    let (NodeState::Ok { id }, Some(number)) = (node.state, node.expected) else { return None };
    let because = Origin::Gpu(format!("{who}, {}", node.needed_for()));
    Some(DeviceGrant {
        path: node.path.clone(),
        source: None,
        major: number.major,
        minor: number.minor,
        read_only: false,
        id,
        because,
        required: node.row.required,
    })
}

/// An optional node that is there but unfit. One that is simply absent is normal on hosts with a hand-made `/dev`.
fn left_out(node: &Node) -> Option<String> {
    let unfit = !node.row.required && node.state != NodeState::Absent;
    let fault = node.fault().filter(|_| unfit)?;
    Some(format!("optional node left out ({}): {fault}", node.row.needed_for))
}
