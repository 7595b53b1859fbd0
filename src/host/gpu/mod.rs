//! GPUs of this machine, found in `/dev`, `/proc` and `/sys` below a root: no vendor library, no opened node.
//!
//! Everything here is a fact; what is done with it is decided by [`crate::plan::gpu`]. Another vendor is one more file
//! here and more rows in [`rows::ROWS`].

pub mod cdi;
pub mod fault;
pub mod mig;
pub mod node;
pub mod nvidia;
pub mod pci;
pub mod rows;
pub mod show;
pub mod wsl;

use std::path::{Path, PathBuf};

pub use fault::Fault;
pub use mig::{ComputeInstance, MigInstance, Slot};
pub use node::{CallerIds, DeviceNumber, HostNodes, Node, NodeFact, NodeLookup, NodeState};
pub use nvidia::{Driver, Params};
pub use pci::{PciAddress, Unheld, UnheldReason};
pub use rows::{LIBRARIES, LibraryRow, ROWS, Row, Vendor};
pub use wsl::Wsl;

/// What discovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Where it was looked for: `/` in production.
    pub root: PathBuf,
    /// The NVIDIA driver, where it is loaded.
    pub driver: Option<Driver>,
    /// GPUs that the driver lists, in PCI order, which is the order of their indices.
    pub gpus: Vec<Gpu>,
    /// Nodes that all GPUs share, in the order of [`ROWS`].
    pub shared: Vec<Node>,
    /// The GPU of WSL2.
    pub wsl: Option<Wsl>,
    /// NVIDIA GPUs on the bus that the driver does not list.
    pub unheld: Vec<Unheld>,
    /// Rows of [`LIBRARIES`] that exist; not looked for when there is no GPU.
    pub libraries: Vec<&'static LibraryRow>,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Whose driver lists it.
    pub vendor: Vendor,
    /// Position among the GPUs that are not excluded, in numeric PCI order; `None` for an excluded one. It is the
    /// index of `nvidia-smi`, not a CUDA ordinal.
    pub index: Option<u32>,
    /// Where it is.
    pub bus: PciAddress,
    /// UUID; `None` until the driver has initialised the GPU once.
    pub uuid: Option<String>,
    /// Product name.
    pub model: Option<String>,
    /// The driver's number of it, given in the order of probing; not the index.
    pub minor: Option<u32>,
    /// Whether the driver refuses to open it.
    pub excluded: bool,
    /// Its GPU instances; not empty exactly when it is known to be in MIG mode.
    pub mig: Vec<MigInstance>,
    /// The NUMA node next to it; `None` on machines without any.
    pub numa: Option<u32>,
    /// Its own nodes, in the order of [`ROWS`]; empty when the minor is unknown.
    pub nodes: Vec<Node>,
}

/// [`probe`] with the nodes of the machine itself.
#[must_use]
pub fn probe_live(root: &Path, caller: &CallerIds) -> Gpus {
    probe(root, &HostNodes::below(root), caller)
}

/// Looks for GPUs below `root`, which is `/` in production. Never opens a device node and never fails.
///
/// On a machine without a GPU this costs three or four look-ups: it stands on the path of every start.
#[must_use]
pub fn probe(root: &Path, nodes: &dyn NodeLookup, caller: &CallerIds) -> Gpus {
    let mut gpus = Gpus { root: root.to_owned(), ..Gpus::default() };
    if let Some(found) = nvidia::probe(root, nodes, caller) {
        gpus.driver = Some(found.driver);
        gpus.gpus = found.gpus;
        gpus.shared = found.shared;
    } else {
        gpus.wsl = wsl::probe(root, nodes, caller);
    }
    if gpus.wsl.is_none() {
        let held: Vec<_> = gpus.gpus.iter().map(|gpu| gpu.bus).collect();
        gpus.unheld = pci::unheld(root, &held, gpus.driver.is_some());
    }
    gpus.libraries = libraries(&gpus, nodes);
    gpus
}

fn libraries(gpus: &Gpus, nodes: &dyn NodeLookup) -> Vec<&'static LibraryRow> {
    if gpus.gpus.is_empty() && gpus.wsl.is_none() {
        return Vec::new();
    }
    let fits = |row: &&LibraryRow| row.vendor != Some(Vendor::Wsl) || gpus.wsl.is_some();
    LIBRARIES.iter().filter(fits).filter(|row| nodes.node(Path::new(row.path)).is_some()).collect()
}

/// `path`, absolute on the host, below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The text of a small file of `/proc` or `/sys`; `None` when it is absent or unreadable.
fn read(root: &Path, path: &str) -> Option<String> {
    let bytes = super::read::whole(&below(root, Path::new(path)))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Names in a directory, unordered; none when it is absent or unreadable.
fn names(root: &Path, dir: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(below(root, Path::new(dir))) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Lines of the form `<number> <name>`, as in `/proc/devices` and `/proc/misc`; other lines are skipped.
fn numbered(text: &str) -> Vec<(u32, String)> {
    let line = |line: &str| {
        let (number, name) = line.trim_start().split_once(' ')?;
        Some((number.parse().ok()?, name.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}
