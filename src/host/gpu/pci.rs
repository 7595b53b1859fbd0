//! NVIDIA GPUs of the PCI bus that the driver does not list.

use std::fmt;
use std::path::Path;

pub use crate::policy::gpu::PciAddress;

/// A GPU on the bus that cannot be used because the NVIDIA driver does not list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheld {
    /// Where it is.
    pub bus: PciAddress,
    /// PCI device number; `None` when it cannot be read.
    pub device: Option<u16>,
    /// Why.
    pub reason: UnheldReason,
}

/// Why the NVIDIA driver does not list a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnheldReason {
    /// No driver at all: the module is not loaded.
    NotLoaded,
    /// The module is loaded, but did not take this GPU.
    NotBound,
    /// This driver has it: `nouveau`, `vfio-pci`, or `nvidia` itself where a container hides the GPU.
    HeldBy(String),
}

impl fmt::Display for Unheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bus)?;
        if let Some(device) = self.device {
            write!(f, " (10de:{device:04x})")?;
        }
        match &self.reason {
            UnheldReason::NotLoaded => f.write_str(": the NVIDIA kernel module is not loaded"),
            UnheldReason::NotBound => f.write_str(": the NVIDIA driver has not taken it"),
            UnheldReason::HeldBy(driver) if driver == "nvidia" => {
                f.write_str(": the NVIDIA driver has it but does not list it here")
            }
            UnheldReason::HeldBy(driver) => write!(f, ": the driver `{driver}` holds it"),
        }
    }
}

const NVIDIA: u32 = 0x10de;

/// Finds the NVIDIA display and 3D controllers that are not among `held`, in bus order.
///
/// `/proc/bus/pci/devices` is one read for the whole bus: where it shows no NVIDIA device, sysfs is left alone. This
/// runs at each start on machines without any GPU.
pub(super) fn unheld(root: &Path, held: &[PciAddress], driver_loaded: bool) -> Vec<Unheld> {
    let slots = super::read(root, "/proc/bus/pci/devices").map(|text| nvidia_slots(&text));
    if slots.as_ref().is_some_and(Vec::is_empty) {
        return Vec::new();
    }
    let mut found: Vec<_> = super::names(root, "/sys/bus/pci/devices")
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|bus: &PciAddress| !held.contains(bus) && slots.as_ref().is_none_or(|slots| slots.contains(&slot(bus))))
        .filter_map(|bus| look(root, bus, driver_loaded))
        .collect();
    found.sort_unstable_by_key(|gpu| gpu.bus);
    found
}

/// Bus and devfn, as the first column of `/proc/bus/pci/devices` has them: without the domain.
fn slot(bus: &PciAddress) -> u32 {
    u32::from(bus.bus) << 8 | u32::from(bus.device) << 3 | u32::from(bus.function)
}

fn nvidia_slots(text: &str) -> Vec<u32> {
    text.lines()
        .filter_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let slot = u32::from_str_radix(columns.next()?, 16).ok()?;
            let ids = u32::from_str_radix(columns.next()?, 16).ok()?;
            (ids >> 16 == NVIDIA).then_some(slot)
        })
        .collect()
}

fn look(root: &Path, bus: PciAddress, driver_loaded: bool) -> Option<Unheld> {
    let dir = format!("/sys/bus/pci/devices/{bus}");
    let number = |file: &str| hex(&super::read(root, &format!("{dir}/{file}"))?);
    if number("vendor")? != NVIDIA || !matches!(number("class")? >> 8, 0x0300 | 0x0302) {
        return None;
    }
    let link = std::fs::read_link(super::below(root, Path::new(&format!("{dir}/driver")))).ok();
    let driver = link.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    let reason = match driver {
        Some(driver) => UnheldReason::HeldBy(driver),
        None if driver_loaded => UnheldReason::NotBound,
        None => UnheldReason::NotLoaded,
    };
    Some(Unheld { bus, device: number("device").and_then(|device| u16::try_from(device).ok()), reason })
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}
