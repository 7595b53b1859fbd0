//! Which device nodes, directories and notes a GPU wish comes to. After this, nobody knows what a GPU is.
//!
//! A GPU is granted by its nodes existing in the sandbox. What is not granted is absent, never present and denied:
//! GPU libraries take an absent node for normal and a denied one for an error.

pub mod cdi;
pub mod driver_view;
mod env;
mod error;
mod nodes;
pub mod profile;
mod select;
mod visible;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

pub use env::{CACHES, CacheRow, EnvChange, VISIBILITY, env_changes, jit_cache_env};
pub use error::{GpuError, GpuProblem};

use super::DeviceGrant;
use crate::host::Facts;
use crate::host::gpu::{Gpus, Vendor};
use crate::policy::Policy;
use crate::policy::gpu::{CLASSES, Class, Classes, GpuWish};
use crate::request::{Origin, Said};

/// What is done for GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuPlan {
    /// Nodes to bind: shared ones first, then those of each GPU in the order of the machine.
    pub devices: Vec<DeviceGrant>,
    /// Other names of those nodes.
    pub links: Vec<NodeLink>,
    /// Library directories that must be readable, and who asked.
    pub read_paths: Vec<(PathBuf, Origin)>,
    /// Vendors of which some, but not all, of the GPUs that the driver offers are granted: host indices lose their
    /// meaning.
    pub subset: BTreeSet<Vendor>,
    /// Variables that choose among GPUs, as they are right inside.
    pub env: Vec<EnvChange>,
    /// Minor numbers of the GPUs of NVIDIA that are drawn on, where those are not all: EGL must be told which.
    pub drawn_on: Option<Vec<u32>>,
    /// What classes open of the system calls.
    pub rights: Rights,
    /// What files say beside all this of the CDI devices that are granted.
    pub cdi: cdi::Beside,
    /// Which GPUs, and by whose wish: `gpu 0, 1 (all by --gpu)`.
    pub who: String,
    /// Remarks for the reader of the plan, one line each.
    pub notes: Vec<String>,
}

/// Another name of a node that is granted: a link to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLink {
    /// The name.
    pub path: PathBuf,
    /// The node. There is no link to one that something keeps away.
    pub node: PathBuf,
    /// What the link says.
    pub to: PathBuf,
    /// Who asked.
    pub because: Origin,
}

/// What some classes need of the system calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Debuggers.
    pub ptrace: bool,
    /// Memory and descriptors of the sandbox's other processes.
    pub memory: bool,
    /// Performance counters.
    pub perf: bool,
    /// Asynchronous input and output of cuFile.
    pub io_uring: bool,
    /// A unix socket to listen on, which libcuda makes when it starts.
    pub listens: bool,
}

impl Rights {
    fn of(classes: &Classes, cuda: bool) -> Self {
        Self {
            listens: cuda && classes.has(Class::Compute),
            ptrace: classes.has(Class::Debug),
            memory: classes.has(Class::Debug) || classes.has(Class::Ipc),
            perf: classes.has(Class::Profiling),
            io_uring: classes.has(Class::Gds),
        }
    }
}

/// A wish, the machine that it is resolved on, and the variables of a scheduler.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Which GPUs.
    pub wish: &'a Said<GpuWish>,
    /// What for.
    pub classes: &'a Said<Classes>,
    /// The machine.
    pub gpus: &'a Gpus,
    /// The caller's environment.
    pub env: &'a [(OsString, OsString)],
}

/// Resolves a GPU wish on a machine. Pure: the same input gives the same plan.
///
/// `off` grants nothing. `auto` grants the GPUs that work and that a scheduler allotted, keeps quiet where there is none
/// and turns each broken one into a note with its cure. Everything else grants what was asked for or fails.
///
/// # Errors
/// One [`GpuError`] for each problem that stands in the way of what was asked for; all at once.
///
/// Source: node rows of [`crate::host::gpu::rows::all`], each with its own reference.
pub fn grants(asked: Asked<'_>) -> Result<GpuPlan, Vec<GpuError>> {
    if asked.wish.value == GpuWish::Off {
        return Ok(GpuPlan::default());
    }
    let selection = select::select(asked);
    if asked.wish.value.is_demand() && !selection.errors.is_empty() {
        return Err(selection.errors);
    }
    Ok(nodes::plan(asked, selection))
}

/// Resolves the CDI devices of a wish, and joins them with what was found without.
///
/// # Errors
/// One [`cdi::CdiError`] for each problem, all at once.
pub fn with_cdi(found: GpuPlan, policy: &Policy, facts: &Facts) -> Result<GpuPlan, Vec<cdi::CdiError>> {
    let names: Vec<_> = policy.gpu.value.cdi_names().cloned().collect();
    if names.is_empty() {
        return Ok(found);
    }
    let classes = &policy.gpu_class.value;
    let around = cdi::Around {
        granted: &|word| CLASSES.iter().any(|(known, class)| *known == word && classes.has(*class)),
        denied: &|path| cdi::denied_by(facts, path),
        denied_number: &|number| cdi::denied_number(facts, number),
        denied_within: &|path| cdi::denied_within(facts, path),
        ruled_below: &|path| cdi::ruled_below(facts, path),
        ground: &|path| cdi::ground_at(policy, facts, path),
    };
    let plan = cdi::edits(&facts.cdi, &names, &policy.gpu.by, around)?;
    // Sockets are those of MPS, whose class grants its directory by itself.
    let cdi::CdiPlan { devices, links, read_paths, mounts, env, libraries, sockets: _, profile, notes } = plan;
    let alone = found.devices.is_empty();
    let mut joined = GpuPlan { cdi: cdi::Beside { links, mounts, env, libraries }, ..found };
    let is_new = |device: &DeviceGrant, known: &[DeviceGrant]| !known.iter().any(|one| one.path == device.path);
    let new: Vec<_> = devices.into_iter().filter(|device| is_new(device, &joined.devices)).collect();
    joined.devices.extend(new);
    // Which of the host's they are is not known, only that a program counts them from 0.
    let parts = names.iter().filter(|name| name.device() != "all").filter_map(|name| match name.vendor() {
        "nvidia.com" => Some(Vendor::Nvidia),
        "amd.com" => Some(Vendor::Amd),
        "intel.com" => Some(Vendor::Intel),
        _ => None,
    });
    joined.subset.extend(parts);
    joined.read_paths.extend(read_paths);
    joined.notes.extend(notes);
    joined.drawn_on = joined.drawn_on.or(profile.map(|profile| profile.minors()));
    // Nobody knows whose devices these are.
    joined.rights = Rights::of(classes, true);
    if alone {
        let list: Vec<_> = names.iter().map(ToString::to_string).collect();
        let asked = Asked { wish: &policy.gpu, classes: &policy.gpu_class, gpus: &facts.gpus, env: &facts.env };
        joined.who = nodes::who(asked, &list);
        joined.notes.push(nodes::SURFACE.to_owned());
    }
    Ok(joined)
}

impl Asked<'_> {
    fn error(self, gpus: Vec<String>, problem: GpuProblem) -> GpuError {
        let params = self.gpus.driver.as_ref().map(|driver| driver.params.clone()).unwrap_or_default();
        let Self { wish, gpus: Gpus { root, vendors, .. }, .. } = self;
        GpuError { gpus, wish: wish.clone(), problem, params, root: root.clone(), vendors: vendors.clone() }
    }

    fn is_auto(self) -> bool {
        self.wish.value == GpuWish::Auto
    }
}
