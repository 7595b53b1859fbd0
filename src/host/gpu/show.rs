//! The GPUs as text and as data for `ringfence gpus` and its `--json`. Nothing is printed here.

use serde::Serialize;

use super::node::{DeviceNumber, Node};
use super::rows::{Class, Vendor, looked_for};
use super::{Gpu, Gpus, MigInstance};
use crate::policy::gpu::Classes;

/// What `ringfence gpus --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct GpusView {
    /// The NVIDIA driver; absent when it is not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverView>,
    /// Every GPU and other accelerator, by vendor, each vendor's in the order of its indices.
    pub gpus: Vec<GpuView>,
    /// Nodes that those of a vendor share; on WSL2 the one node for all adapters.
    pub shared: Vec<NodeView>,
    /// NVIDIA GPUs that the driver does not list, and why.
    pub unheld: Vec<String>,
    /// Devices of CDI files, as `--gpu cdi:` takes them.
    pub cdi: Vec<String>,
    /// Library directories outside the ordinary `/usr`.
    pub libraries: Vec<&'static str>,
    /// Where discovery looked; only when it found nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_for: Option<String>,
}

/// The NVIDIA driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct DriverView {
    /// Version, where it can be read.
    pub version: Option<String>,
    /// Whether these are the open kernel modules.
    pub open: bool,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct GpuView {
    /// What `--gpu` calls it: `0`, `amd:1`; an excluded one by its place.
    pub name: String,
    /// Its position among those of its vendor; null for an excluded GPU.
    pub index: Option<u32>,
    /// Whose it is.
    pub vendor: Vendor,
    /// PCI address; null for what is not on PCI.
    pub bus: Option<String>,
    /// Which partition of the device there; null where it is not partitioned.
    pub partition: Option<u32>,
    /// UUID or unique id; null where the driver tells none, as of a GPU that it never initialised.
    pub uuid: Option<String>,
    /// The driver's number of it.
    pub minor: Option<u32>,
    /// The number of its render node.
    pub render: Option<u32>,
    /// Product name, or what the driver tells in its place.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct MigView {
    /// The GI ID of `nvidia-smi`.
    pub id: u32,
    /// The node that gives access to it.
    pub node: NodeView,
    /// Its compute instances.
    pub compute: Vec<ComputeView>,
}

/// One compute instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ComputeView {
    /// The CI ID of `nvidia-smi`.
    pub id: u32,
    /// The node that gives access to it.
    pub node: NodeView,
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
        cdi: gpus.cdi.iter().map(ToString::to_string).collect(),
        libraries: gpus.libraries.iter().map(|row| row.path).collect(),
        looked_for: gpus.is_empty().then(|| looked_for(&gpus.root, &gpus.vendors)),
    }
}

fn gpu_view(gpus: &Gpus, gpu: &Gpu) -> GpuView {
    let classes = Classes::default();
    let shared = gpus.shared_faults(Some(gpu.vendor), &classes);
    let faults: Vec<_> = gpu.faults(&classes).iter().chain(&shared).map(ToString::to_string).collect();
    GpuView {
        name: gpu.name(),
        index: gpu.index,
        vendor: gpu.vendor,
        bus: gpu.bus.map(|bus| bus.to_string()),
        partition: gpu.partition,
        uuid: gpu.uuid.clone(),
        minor: gpu.minor,
        render: gpu.render,
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

/// The schema of [`GpusView`], as JSON.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", serde_json::Value::from(schemars::schema_for!(GpusView)))
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
    let shared = view.shared.iter().filter(|node| is_worth_a_line(node)).map(shared_node).collect();
    for (head, nodes) in [("shared node", shared), ("MIG node", instances)] {
        lines.extend(node_lines(head, nodes));
    }
    lines.extend(view.unheld.iter().map(|gpu| format!("not usable: {gpu}")));
    lines.extend(view.cdi.iter().map(|name| format!("CDI device: {name}")));
    lines.push(String::new());
    lines.join("\n")
}

fn gpu_rows(view: &GpusView) -> Vec<Vec<String>> {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
    let number = |number: Option<u32>| word(&number.map(|number| number.to_string()));
    let mut rows = vec![["GPU", "bus id", "minor", "model", "UUID", "usable"].map(str::to_owned).to_vec()];
    for gpu in &view.gpus {
        let verdict = if gpu.usable { "yes".to_owned() } else { format!("no: {}", gpu.faults.join("; ")) };
        let name = gpu.index.map(|_| gpu.name.clone());
        let minor = number(gpu.minor.or(gpu.render));
        rows.push(vec![word(&name), place(gpu), minor, word(&gpu.model), word(&gpu.uuid), verdict]);
    }
    rows
}

/// Its place on the bus, and which partition there.
fn place(gpu: &GpuView) -> String {
    let bus = gpu.bus.clone().unwrap_or_else(|| "-".to_owned());
    gpu.partition.map_or_else(|| bus.clone(), |partition| format!("{bus} #{partition}"))
}

/// A node, and what it is for in the words of the table.
type Purpose<'a> = (&'a NodeView, String);

/// What nobody gets without asking is told where it is there.
fn is_worth_a_line(node: &NodeView) -> bool {
    Classes::default().has(node.class) || node.fault.is_none()
}

fn shared_node(node: &NodeView) -> Purpose<'_> {
    (node, node.needed_for.clone())
}

fn instance_nodes(gpu: &GpuView) -> impl Iterator<Item = Purpose<'_>> {
    let name = &gpu.name;
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
#[must_use]
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
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
