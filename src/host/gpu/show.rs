//! The GPUs as text and as data for `ringfence gpus` and its `--json`. Nothing is printed here.

use serde::Serialize;

use super::node::{DeviceNumber, Node};
use super::rows::{Class, Vendor, looked_for};
use super::{Gpu, Gpus, MigInstance};

/// What `ringfence gpus --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpusView {
    /// The NVIDIA driver; absent when it is not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverView>,
    /// Every GPU that the driver lists, in PCI order.
    pub gpus: Vec<GpuView>,
    /// Nodes that they share; on WSL2 the one node for all adapters.
    pub shared: Vec<NodeView>,
    /// NVIDIA GPUs that the driver does not list, and why.
    pub unheld: Vec<String>,
    /// Library directories outside the ordinary `/usr`.
    pub libraries: Vec<&'static str>,
    /// Where discovery looked; only when it found nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_for: Option<String>,
}

/// The NVIDIA driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriverView {
    /// Version, where it can be read.
    pub version: Option<String>,
    /// Whether these are the open kernel modules.
    pub open: bool,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuView {
    /// The number for `--gpu`; null for an excluded GPU.
    pub index: Option<u32>,
    /// Whose it is.
    pub vendor: Vendor,
    /// PCI address.
    pub bus: String,
    /// UUID; null until the driver has initialised the GPU once.
    pub uuid: Option<String>,
    /// The driver's number of it.
    pub minor: Option<u32>,
    /// Product name.
    pub model: Option<String>,
    /// NUMA node.
    pub numa: Option<u32>,
    /// GPU instances that exist; not empty exactly when it is known to be in MIG mode.
    pub mig: Vec<MigView>,
    /// Its own nodes.
    pub nodes: Vec<NodeView>,
    /// Whether `--gpu` can grant it.
    pub usable: bool,
    /// Why not; empty when it is usable.
    pub faults: Vec<String>,
}

/// One GPU instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigView {
    /// The GI ID of `nvidia-smi`.
    pub id: u32,
    /// The node that gives access to it.
    pub node: NodeView,
    /// Its compute instances.
    pub compute: Vec<ComputeView>,
}

/// One compute instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComputeView {
    /// The CI ID of `nvidia-smi`.
    pub id: u32,
    /// The node that gives access to it.
    pub node: NodeView,
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Host path.
    pub path: String,
    /// The number that the driver answers to.
    pub number: Option<DeviceNumber>,
    /// What fails without it.
    pub needed_for: String,
    /// The least class that includes it.
    pub class: Class,
    /// Whether the class fails without it.
    pub required: bool,
    /// What is wrong with it; null when it is fine.
    pub fault: Option<String>,
}

/// The data behind `ringfence gpus --json`.
#[must_use]
pub fn view(gpus: &Gpus) -> GpusView {
    let shared = gpus.shared.iter().chain(gpus.wsl.iter().map(|wsl| &wsl.node));
    GpusView {
        driver: gpus.driver.as_ref().map(|driver| DriverView { version: driver.version.clone(), open: driver.open }),
        gpus: gpus.gpus.iter().map(|gpu| gpu_view(gpus, gpu)).collect(),
        shared: shared.map(node_view).collect(),
        unheld: gpus.unheld.iter().map(ToString::to_string).collect(),
        libraries: gpus.libraries.iter().map(|row| row.path).collect(),
        looked_for: is_none(gpus).then(|| looked_for(&gpus.root)),
    }
}

fn gpu_view(gpus: &Gpus, gpu: &Gpu) -> GpuView {
    let faults: Vec<_> = gpu.faults().iter().chain(&gpus.shared_faults()).map(ToString::to_string).collect();
    GpuView {
        index: gpu.index,
        vendor: gpu.vendor,
        bus: gpu.bus.to_string(),
        uuid: gpu.uuid.clone(),
        minor: gpu.minor,
        model: gpu.model.clone(),
        numa: gpu.numa,
        mig: gpu.mig.iter().map(mig_view).collect(),
        nodes: gpu.nodes.iter().map(node_view).collect(),
        usable: faults.is_empty(),
        faults,
    }
}

fn mig_view(instance: &MigInstance) -> MigView {
    let compute = instance.compute.iter();
    MigView {
        id: instance.id,
        node: node_view(&instance.node),
        compute: compute.map(|one| ComputeView { id: one.id, node: node_view(&one.node) }).collect(),
    }
}

fn node_view(node: &Node) -> NodeView {
    NodeView {
        path: node.path.display().to_string(),
        number: node.expected,
        needed_for: node.needed_for(),
        class: node.row.class,
        required: node.row.required,
        fault: node.fault(),
    }
}

/// The text of `ringfence gpus`: the driver, a line for each GPU, the shared nodes, GPUs out of reach.
#[must_use]
pub fn table(gpus: &Gpus) -> String {
    let view = view(gpus);
    let mut lines = Vec::new();
    if let Some(driver) = &view.driver {
        let flavour = if driver.open { "open" } else { "proprietary" };
        lines.push(format!("NVIDIA driver {}, {flavour} kernel module", driver.version.as_deref().unwrap_or("?")));
    } else if gpus.wsl.is_some() {
        lines.push("WSL2: the Windows host decides which GPUs there are, and one node is for all of them".to_owned());
    }
    if let Some(places) = &view.looked_for {
        lines.push(format!("no GPU found, looked for: {places}"));
    }
    if !view.gpus.is_empty() {
        lines.extend(aligned(&gpu_rows(&view)));
    }
    let instances = view.gpus.iter().flat_map(instance_nodes).collect();
    for (head, nodes) in [("shared node", view.shared.iter().map(shared_node).collect()), ("MIG node", instances)] {
        lines.extend(node_lines(head, nodes));
    }
    lines.extend(view.unheld.iter().map(|gpu| format!("not usable: {gpu}")));
    lines.push(String::new());
    lines.join("\n")
}

fn gpu_rows(view: &GpusView) -> Vec<Vec<String>> {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
    let number = |number: Option<u32>| word(&number.map(|number| number.to_string()));
    let mut rows = vec![["GPU", "bus id", "minor", "model", "UUID", "usable"].map(str::to_owned).to_vec()];
    for gpu in &view.gpus {
        let verdict = if gpu.usable { "yes".to_owned() } else { format!("no: {}", gpu.faults.join("; ")) };
        let (index, minor) = (number(gpu.index), number(gpu.minor));
        rows.push(vec![index, gpu.bus.clone(), minor, word(&gpu.model), word(&gpu.uuid), verdict]);
    }
    rows
}

/// A node, and what it is for in the words of the table.
type Purpose<'a> = (&'a NodeView, String);

fn shared_node(node: &NodeView) -> Purpose<'_> {
    (node, node.needed_for.clone())
}

fn instance_nodes(gpu: &GpuView) -> impl Iterator<Item = Purpose<'_>> {
    let name = gpu.index.map_or_else(|| gpu.bus.clone(), |index| index.to_string());
    let nodes =
        gpu.mig.iter().flat_map(|mig| std::iter::once(&mig.node).chain(mig.compute.iter().map(|one| &one.node)));
    nodes.map(move |node| (node, format!("GPU {name}, {}", node.needed_for)))
}

/// A block of the table, after an empty line; nothing without nodes.
fn node_lines(head: &str, nodes: Vec<Purpose<'_>>) -> Vec<String> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![[head, "number", "for", "usable"].map(str::to_owned).to_vec()];
    for (node, purpose) in nodes {
        let number = node.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let verdict = match &node.fault {
            None => "yes".to_owned(),
            Some(fault) if node.required => format!("no: {fault}"),
            Some(fault) => format!("no, can do without: {fault}"),
        };
        rows.push(vec![node.path.clone(), number, purpose, verdict]);
    }
    std::iter::once(String::new()).chain(aligned(&rows)).collect()
}

/// Pads all columns but the last to their widest cell, two blanks apart.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(|column| if column + 1 == columns { 0 } else { width(column) }).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

fn is_none(gpus: &Gpus) -> bool {
    gpus.gpus.is_empty() && gpus.wsl.is_none()
}
