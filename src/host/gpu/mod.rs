//! GPUs of this machine, found in `/dev`, `/proc` and `/sys` below a root: no vendor library, no opened node.
//!
//! Everything here is a fact; what is done with it is decided by [`crate::plan::gpu`]. Another vendor is one more file
//! here, with its rows.

mod accel;
mod amd;
pub mod cdi;
mod dri;
pub mod driver_files;
mod drm;
mod extras;
pub mod fault;
mod jetson;
pub mod libraries;
pub mod loader;
pub mod mig;
pub mod node;
pub mod nvidia;
pub mod nvml;
pub mod pci;
pub mod rows;
pub mod show;
pub mod wsl;

use std::path::{Path, PathBuf};

use crate::policy::gpu::{Class, Classes, GpuWish};

pub use fault::Fault;
pub use mig::{ComputeInstance, MigInstance, Slot};
pub use node::{CallerIds, DeviceNumber, HostNodes, Node, NodeFact, NodeLookup, NodeState};
pub use nvidia::{Driver, Params};
pub use pci::{PciAddress, Unheld, UnheldReason};
pub use rows::{LIBRARIES, LibraryRow, Row, Scope, Vendor};
pub use wsl::Wsl;

use node::{Lists, Looker};

/// What discovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Where it was looked for: `/` in production.
    pub root: PathBuf,
    /// Whose devices were looked for.
    pub vendors: Vec<Vendor>,
    /// The NVIDIA driver, where it is loaded.
    pub driver: Option<Driver>,
    /// GPUs and other accelerators by vendor, each vendor's in the order of its indices.
    pub gpus: Vec<Gpu>,
    /// Nodes that all of a vendor share, and those of extras, in the order of the rows.
    pub shared: Vec<Node>,
    /// The GPU of WSL2.
    pub wsl: Option<Wsl>,
    /// NVIDIA GPUs on the bus that the driver does not list.
    pub unheld: Vec<Unheld>,
    /// Devices of CDI files; looked for only where nothing else was found, and for listings.
    pub cdi: Vec<crate::policy::gpu::CdiName>,
    /// MIG UUIDs that were asked for, and which instances they are, or why that is not known.
    pub mig_uuids: Vec<(String, Result<Slot, String>)>,
    /// Directories that hold the driver's libraries, as the dynamic loader finds them; looked for only where the root is
    /// narrowed.
    pub directories: Vec<PathBuf>,
    /// Rows of [`LIBRARIES`] that exist; not looked for when there is no GPU.
    pub libraries: Vec<&'static LibraryRow>,
}

/// One GPU or other accelerator, or one partition of it that its driver shows as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Whose it is.
    pub vendor: Vendor,
    /// Position among those of its vendor that are not excluded; `None` for an excluded one. Of NVIDIA's it is the index
    /// of `nvidia-smi`, not a CUDA ordinal.
    pub index: Option<u32>,
    /// Where it is; `None` for what is not on PCI.
    pub bus: Option<PciAddress>,
    /// Which partition of the device there; `None` where it is not partitioned.
    pub partition: Option<u32>,
    /// UUID or unique id; `None` where the driver tells none, as of a GPU that it never initialised.
    pub uuid: Option<String>,
    /// Product name, or what the driver tells in its place.
    pub model: Option<String>,
    /// The driver's number of it, given in the order of probing; not the index.
    pub minor: Option<u32>,
    /// The number of its render node; not looked for where nobody needs it.
    pub render: Option<u32>,
    /// The number of its display node; as `render`.
    pub card: Option<u32>,
    /// Whether the driver refuses to open it.
    pub excluded: bool,
    /// Its GPU instances; not empty exactly when it is known to be in MIG mode.
    pub mig: Vec<MigInstance>,
    /// The NUMA node next to it; `None` on machines without any.
    pub numa: Option<u32>,
    /// Its own nodes of the classes that were asked for, in the order of the rows; empty when its number is unknown.
    pub nodes: Vec<Node>,
}

impl Gpu {
    fn of(vendor: Vendor) -> Self {
        Self {
            vendor,
            index: None,
            bus: None,
            partition: None,
            uuid: None,
            model: None,
            minor: None,
            render: None,
            card: None,
            excluded: false,
            mig: Vec::new(),
            numa: None,
            nodes: Vec::new(),
        }
    }

    /// A selector that means it and nothing else here: `0`, `amd:1`, `pci:0000:41:00.0` for an excluded one.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.vendor, self.index, self.bus) {
            (Vendor::Nvidia, Some(index), _) => index.to_string(),
            (vendor, Some(index), _) => format!("{}:{index}", vendor.word()),
            (_, None, Some(bus)) => format!("pci:{bus}"),
            (vendor, None, None) => vendor.word().to_owned(),
        }
    }

    /// Looks at the nodes that its vendor's rows ask for.
    fn examine(&mut self, looker: Looker<'_>, classes: &Classes) {
        let rows = rows::of(self.vendor).filter(|row| classes.has(row.class));
        self.nodes = rows.filter_map(|row| self.node(looker, row)).collect();
    }

    fn node(&self, looker: Looker<'_>, row: &'static Row) -> Option<Node> {
        let counted = match row.scope {
            Scope::Device => self.minor,
            Scope::Render => self.render,
            Scope::Card => self.card,
            Scope::Shared | Scope::Instance | Scope::Entry { .. } | Scope::Channel => return None,
        };
        Some(match counted {
            Some(number) => node::examine(looker, row, number),
            None => Node::unnumbered(row, "/sys/class/drm"),
        })
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Whose devices may be meant.
    pub wish: &'a GpuWish,
    /// What they are wanted for.
    pub classes: &'a Classes,
    /// Everybody's, whatever the wish: for listings.
    pub all: bool,
}

impl Look<'_> {
    fn means(&self, vendor: Vendor) -> bool {
        self.all || self.wish.may_mean(vendor)
    }

    /// Whether anybody needs nodes of DRM.
    fn draws(&self) -> bool {
        self.classes.has(Class::Graphics) || self.classes.has(Class::Display) || names_nodes(self.wish)
    }
}

fn names_nodes(wish: &GpuWish) -> bool {
    use crate::policy::gpu::Pick;
    matches!(wish, GpuWish::These(list) if list.iter().any(|item| matches!(item.pick, Pick::Node(_))))
}

/// [`probe`] with the nodes of the machine itself.
#[must_use]
pub fn probe_live(root: &Path, caller: &CallerIds, look: &Look<'_>) -> Gpus {
    probe(root, &HostNodes::below(root), caller, look)
}

/// Looks for GPUs below `root`, which is `/` in production. Never opens a device node and never fails.
///
/// On a machine without a GPU each vendor costs one look-up: it stands on the path of every start.
#[must_use]
pub fn probe(root: &Path, nodes: &dyn NodeLookup, caller: &CallerIds, look: &Look<'_>) -> Gpus {
    let lists = Lists::default();
    let looker = Looker { root, nodes, caller, lists: &lists };
    let vendors = crate::policy::gpu::VENDORS.iter().map(|(_, vendor)| *vendor);
    let vendors = vendors.filter(|vendor| look.means(*vendor)).collect();
    let mut gpus = Gpus { root: root.to_owned(), vendors, ..Gpus::default() };
    if look.means(Vendor::Nvidia)
        && let Some((driver, found)) = nvidia::probe(looker, look)
    {
        gpus.driver = Some(driver);
        gpus.gpus = found;
    }
    if gpus.driver.is_none() && look.means(Vendor::Wsl) {
        gpus.wsl = wsl::probe(looker);
    }
    gpus.probe_others(looker, look);
    if gpus.wsl.is_none() && look.means(Vendor::Nvidia) {
        let held: Vec<_> = gpus.gpus.iter().filter_map(|gpu| gpu.bus).collect();
        gpus.unheld = pci::unheld(root, &held, gpus.driver.is_some());
    }
    gpus.shared = shared(looker, look, &gpus);
    gpus.libraries = libraries(&gpus, nodes);
    gpus
}

impl Gpus {
    fn probe_others(&mut self, looker: Looker<'_>, look: &Look<'_>) {
        let takes_render_nodes = [Vendor::Amd, Vendor::Intel, Vendor::Drm].into_iter().any(|vendor| look.means(vendor));
        if takes_render_nodes {
            // Also where only others are meant: what is AMD's is not theirs.
            let amd = amd::probe(looker, look);
            let others = dri::probe(looker, look, &amd);
            self.gpus.extend(amd.into_iter().filter(|_| look.means(Vendor::Amd)).chain(others));
        }
        // A board with an ordinary driver has ordinary nodes too.
        self.gpus.extend(jetson::probe(looker, look));
        self.gpus.extend(accel::probe(looker, look));
    }

    /// Whether there is anything to grant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gpus.is_empty() && self.wsl.is_none()
    }

    /// Whether there are devices of a vendor.
    #[must_use]
    pub fn has(&self, vendor: Vendor) -> bool {
        self.gpus.iter().any(|gpu| gpu.vendor == vendor)
    }
}

/// The shared nodes of the vendors that are here, and those of extras.
fn shared(looker: Looker<'_>, look: &Look<'_>, gpus: &Gpus) -> Vec<Node> {
    let has = |vendor| gpus.has(vendor) || vendor == Vendor::Nvidia && gpus.driver.is_some();
    let rows = rows::all().filter(|row| row.scope == Scope::Shared && !row.class.is_extra());
    let rows = rows.filter(|row| look.classes.has(row.class) && row.vendor.is_some_and(has));
    let mut nodes: Vec<_> = rows.map(|row| node::examine(looker, row, 0)).collect();
    if !gpus.gpus.is_empty() {
        nodes.extend(extras::probe(looker, look.classes, &has));
    }
    nodes
}

fn libraries(gpus: &Gpus, nodes: &dyn NodeLookup) -> Vec<&'static LibraryRow> {
    if gpus.is_empty() {
        return Vec::new();
    }
    let has = |vendor| gpus.has(vendor) || vendor == Vendor::Wsl && gpus.wsl.is_some();
    let fits = |row: &&LibraryRow| row.vendor.is_none_or(has);
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

/// As [`read`], without a last line that does not end: half a number is another number.
fn read_lines(root: &Path, path: &str) -> Option<String> {
    let mut text = read(root, path)?;
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Some(text)
}

/// Names in a directory, unordered; none when it is absent or unreadable.
fn names(root: &Path, dir: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(below(root, Path::new(dir))) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The numbers `N` of the entries `<prefix>N`, in order.
fn counted(root: &Path, dir: &str, prefix: &str) -> Vec<u32> {
    let names = names(root, dir);
    let mut found: Vec<_> = names.iter().filter_map(|name| decimal(name.strip_prefix(prefix)?)).collect();
    found.sort_unstable();
    found
}

/// A number as the kernel writes it: no sign, no leading zero.
fn decimal(text: &str) -> Option<u32> {
    let plain = matches!(text.as_bytes(), [b'0'] | [b'1'..=b'9', ..]);
    text.parse().ok().filter(|_| plain)
}

/// The NUMA node next to a PCI device.
fn numa(root: &Path, bus: PciAddress) -> Option<u32> {
    read(root, &format!("/sys/bus/pci/devices/{bus}/numa_node"))?.trim().parse().ok()
}
