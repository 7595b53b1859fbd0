//! Numbers of DRM nodes, from sysfs.

use std::path::Path;

use super::pci::PciAddress;

/// Which DRM nodes belong to a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Of `renderD#`.
    pub(super) render: Option<u32>,
    /// Of `card#`. It is never computed from the other.
    pub(super) card: Option<u32>,
}

/// The nodes of a device on the PCI bus.
pub(super) fn of_pci(root: &Path, bus: PciAddress) -> Numbers {
    numbers(root, &format!("/sys/bus/pci/devices/{bus}/drm"))
}

/// The nodes in one `drm` directory of a device.
pub(super) fn numbers(root: &Path, dir: &str) -> Numbers {
    let names = super::names(root, dir);
    let number = |prefix| names.iter().find_map(|name| super::decimal(name.strip_prefix(prefix)?));
    Numbers { render: number("renderD"), card: number("card") }
}

/// What sysfs says about the device behind an entry of a class: lines of its `uevent`.
pub(super) struct Device {
    /// Driver.
    pub(super) driver: Option<String>,
    /// Place on the bus; `None` for devices that are not on PCI.
    pub(super) bus: Option<PciAddress>,
    /// PCI vendor and device number.
    pub(super) id: Option<(u32, u32)>,
}

/// Reads the device behind a directory such as `/sys/class/drm/renderD128`.
pub(super) fn device(root: &Path, entry: &str) -> Device {
    let text = super::read_lines(root, &format!("{entry}/device/uevent")).unwrap_or_default();
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let id = line("PCI_ID").and_then(|id| id.split_once(':')).and_then(|(vendor, device)| {
        Some((u32::from_str_radix(vendor, 16).ok()?, u32::from_str_radix(device, 16).ok()?))
    });
    Device {
        driver: line("DRIVER").map(str::to_owned),
        bus: line("PCI_SLOT_NAME").and_then(|bus| bus.parse().ok()),
        id,
    }
}
