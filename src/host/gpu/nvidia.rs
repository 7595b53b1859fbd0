//! GPUs of the NVIDIA driver, from `/proc/driver/nvidia`, `/proc/devices` and `/sys`.

use std::path::Path;

use super::Gpu;
use super::mig::{self, Minors};
use super::node::{CallerIds, Looker, Node, NodeLookup, examine};
use super::pci::PciAddress;
use super::rows::{ROWS, Row, Vendor};

/// The loaded NVIDIA driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Version, for example `595.45.04`; `None` when neither file that holds it can be read.
    pub version: Option<String>,
    /// Whether these are the open kernel modules.
    pub open: bool,
    /// Its parameters, as far as diagnoses need them.
    pub params: Params,
}

/// Lines of `/proc/driver/nvidia/params`; `None` where a line is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// `ModifyDeviceFiles`: whether `nvidia-modprobe` may make and change the nodes of major 195.
    pub modify_device_files: Option<bool>,
    /// `DeviceFileUID`: the owner that those nodes get.
    pub uid: Option<u32>,
    /// `DeviceFileGID`: their group.
    pub gid: Option<u32>,
    /// `DeviceFileMode`: their permission bits.
    pub mode: Option<u32>,
    /// `ExcludedGpus`: the UUIDs that the driver refuses to open; `None` when empty.
    pub excluded: Option<String>,
    /// `RmProfilingAdminOnly`: whether performance counters are for the host's administrator alone.
    pub profiling_admin_only: Option<bool>,
}

/// What [`probe`] found.
pub(super) struct Found {
    pub(super) driver: Driver,
    pub(super) gpus: Vec<Gpu>,
    pub(super) shared: Vec<Node>,
}

/// Reads everything about the driver; one failed open when there is none.
pub(super) fn probe(root: &Path, nodes: &dyn NodeLookup, caller: &CallerIds) -> Option<Found> {
    let text = super::read(root, "/proc/driver/nvidia/version")?;
    let majors = majors(&super::read(root, "/proc/devices").unwrap_or_default());
    let looker = Looker { nodes, caller, majors: &majors, misc: &[] };
    let shared = rows().filter(|row| row.is_shared()).map(|row| examine(looker, row, 0)).collect();
    Some(Found { driver: driver(root, &text), gpus: gpus(root, looker), shared })
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.vendor == Vendor::Nvidia)
}

/// Character majors: the first part of `/proc/devices`, up to the blank line. One major may stand on several lines.
fn majors(text: &str) -> Vec<(u32, String)> {
    let part = text.split("\n\n").next().unwrap_or_default();
    if part.starts_with("Character devices:") { super::numbered(part) } else { Vec::new() }
}

fn driver(root: &Path, text: &str) -> Driver {
    let line = text.lines().find(|line| line.starts_with("NVRM version:")).unwrap_or_default();
    let version = super::read(root, "/sys/module/nvidia/version").and_then(|text| version_in(&text));
    Driver {
        version: version.or_else(|| version_in(line)),
        open: line.contains("Open Kernel Module"),
        params: params(&super::read(root, "/proc/driver/nvidia/params").unwrap_or_default()),
    }
}

/// The first word made of two or more numbers with dots between.
fn version_in(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        word.contains('.') && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    text.split_ascii_whitespace().find(is_version).map(str::to_owned)
}

fn params(text: &str) -> Params {
    let number = |name| label(text, name).and_then(|value| value.parse::<u32>().ok());
    let list = label(text, "ExcludedGpus").map(|value| value.trim_matches('"').to_owned());
    Params {
        modify_device_files: number("ModifyDeviceFiles").map(|value| value != 0),
        uid: number("DeviceFileUID"),
        gid: number("DeviceFileGID"),
        mode: number("DeviceFileMode"),
        excluded: list.filter(|list| !list.is_empty()),
        profiling_admin_only: number("RmProfilingAdminOnly").map(|value| value != 0),
    }
}

/// The value of a `Label: value` line. The value may contain colons; the blanks around it vary by driver.
fn label<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == wanted).map(|(_, v)| v.trim())
}

/// Every GPU that the driver lists, in PCI order; those that are not excluded get their index.
fn gpus(root: &Path, looker: Looker<'_>) -> Vec<Gpu> {
    let mut addresses: Vec<PciAddress> =
        super::names(root, "/proc/driver/nvidia/gpus").iter().filter_map(|name| name.parse().ok()).collect();
    addresses.sort_unstable();
    let minors = Minors::below(root);
    let mut next = 0;
    let mut gpus = Vec::new();
    for bus in addresses {
        let mut gpu = gpu(root, looker, &minors, bus);
        if !gpu.excluded {
            gpu.index = Some(next);
            next += 1;
        }
        gpus.push(gpu);
    }
    gpus
}

fn gpu(root: &Path, looker: Looker<'_>, minors: &Minors<'_>, bus: PciAddress) -> Gpu {
    let text = super::read(root, &format!("/proc/driver/nvidia/gpus/{bus}/information")).unwrap_or_default();
    let minor = label(&text, "Device Minor").and_then(|value| value.parse().ok());
    let own = |minor| rows().filter(|row| row.is_per_gpu()).map(move |row| examine(looker, row, minor));
    let numa = super::read(root, &format!("/sys/bus/pci/devices/{bus}/numa_node"));
    Gpu {
        vendor: Vendor::Nvidia,
        index: None,
        bus,
        // Question marks stand for the UUID of a GPU that was never initialised.
        uuid: label(&text, "GPU UUID").filter(|uuid| !uuid.contains('?')).map(str::to_owned),
        model: label(&text, "Model").map(str::to_owned),
        minor,
        excluded: label(&text, "GPU Excluded") == Some("Yes"),
        mig: minor.map(|minor| mig::instances(root, looker, minors, minor)).unwrap_or_default(),
        numa: numa.and_then(|text| text.trim().parse().ok()),
        nodes: minor.map(|minor| own(minor).collect()).unwrap_or_default(),
    }
}
