//! One item of `--gpu`: the words by which a GPU, a part of one or several are named.

use std::fmt;
use std::str::FromStr;

use super::cdi::{CdiName, CdiSyntax};
use super::pci::PciAddress;

/// Whose devices are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// The NVIDIA driver for Linux.
    Nvidia,
    /// The paravirtual GPU of WSL2.
    Wsl,
    /// AMD GPUs with the compute interface of ROCm.
    Amd,
    /// Intel GPUs.
    Intel,
    /// The GPU of a Jetson.
    Jetson,
    /// Intel Gaudi.
    Gaudi,
    /// AWS Neuron.
    Neuron,
    /// Google TPUs.
    Tpu,
    /// Neural processors of Intel and AMD.
    Npu,
    /// Render nodes of any other driver, for Mesa.
    Drm,
}

/// Every vendor, in the order of listings, and the word before the colon.
pub const VENDORS: &[(&str, Vendor)] = &[
    ("nvidia", Vendor::Nvidia),
    ("wsl", Vendor::Wsl),
    ("amd", Vendor::Amd),
    ("intel", Vendor::Intel),
    ("jetson", Vendor::Jetson),
    ("gaudi", Vendor::Gaudi),
    ("neuron", Vendor::Neuron),
    ("tpu", Vendor::Tpu),
    ("npu", Vendor::Npu),
    ("drm", Vendor::Drm),
];

impl Vendor {
    /// The word before the colon of a selector.
    #[must_use]
    pub fn word(self) -> &'static str {
        VENDORS.iter().find(|(_, vendor)| *vendor == self).map_or("", |(word, _)| word)
    }

    /// Whether `auto` and `all` mean it too. A TPU may be a VFIO group, which is memory access by the device; what only
    /// Mesa uses, and neural processors, few programs need: they are granted by name.
    #[must_use]
    pub fn is_automatic(self) -> bool {
        !matches!(self, Self::Tpu | Self::Npu | Self::Drm)
    }
}

/// One item of a list of GPUs. Displays as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// As it was written.
    pub written: String,
    /// Whose; `None` where the item itself tells or the machine decides.
    pub vendor: Option<Vendor>,
    /// Which.
    pub pick: Pick,
}

/// Which of the GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Every one of a vendor.
    All,
    /// By position: of NVIDIA's as `nvidia-smi` counts.
    Index(u32),
    /// By UUID or unique id, or the beginning of one: lower case, with `GPU-`.
    Uuid(String),
    /// By its place on the bus.
    Pci(PciAddress),
    /// By the number that the driver gave it.
    Minor(u32),
    /// By the name of its render node or device node: `renderD128`.
    Node(String),
    /// One compute instance of a GPU in MIG mode.
    Mig {
        /// The whole GPU.
        gpu: Box<Pick>,
        /// GI ID.
        instance: u32,
        /// CI ID.
        compute: u32,
    },
    /// A device of a CDI file.
    Cdi(CdiName),
    /// One compute instance by its UUID, which only the driver's library can resolve: lower case, with `MIG-`.
    MigUuid(String),
}

/// Why an item is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{item}` {why}")]
pub struct SelectorSyntax {
    /// As it was written.
    pub item: String,
    /// What is wrong, as the rest of a sentence.
    pub why: String,
}

const FORMS: &str = "is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, \
                     VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME";

impl FromStr for Selector {
    type Err = SelectorSyntax;

    fn from_str(text: &str) -> Result<Self, SelectorSyntax> {
        let fail = |why: String| SelectorSyntax { item: text.to_owned(), why };
        if text.starts_with("cdi:") || text.contains('=') {
            let why = |error: CdiSyntax| format!("is not a CDI name such as nvidia.com/gpu=0: {}", error.fault);
            let name = text.parse().map_err(|error| fail(why(error)))?;
            return Ok(Self { written: text.to_owned(), vendor: None, pick: Pick::Cdi(name) });
        }
        let (vendor, rest) = match text.split_once(':') {
            Some((word, rest)) => match VENDORS.iter().find(|(known, _)| *known == word) {
                Some((_, vendor)) => (Some(*vendor), rest),
                None => (None, text),
            },
            None => (None, text),
        };
        let pick = pick(rest, vendor.is_some()).map_err(|why| fail(why.to_owned()))?;
        if vendor.is_some_and(|vendor| vendor != Vendor::Nvidia) && is_nvidias(&pick) {
            return Err(fail("is about GPUs of NVIDIA".to_owned()));
        }
        Ok(Self { written: text.to_owned(), vendor: vendor.or(is_nvidias(&pick).then_some(Vendor::Nvidia)), pick })
    }
}

fn is_nvidias(pick: &Pick) -> bool {
    matches!(pick, Pick::Minor(_) | Pick::Mig { .. } | Pick::MigUuid(_))
}

fn pick(text: &str, of_vendor: bool) -> Result<Pick, &'static str> {
    if text == "all" && of_vendor {
        return Ok(Pick::All);
    }
    if let Some(index) = number(text) {
        return Ok(Pick::Index(index));
    }
    if let Some((word, rest)) = text.split_once(':') {
        return match word {
            "pci" => rest.parse().map(Pick::Pci).map_err(|_| "is no PCI address: pci:0000:17:00.0"),
            "minor" => number(rest).map(Pick::Minor).ok_or("is no minor number: minor:3"),
            "mig" => mig(rest).ok_or("is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi"),
            _ if number(word).is_some() && number(rest).is_some() => {
                Err("is a MIG device index, which changes: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi")
            }
            _ => Err(FORMS),
        };
    }
    if !of_vendor && matches!(text, "auto" | "off" | "none" | "all" | "visible") {
        return Err("stands alone, and not in a list");
    }
    uuid(text).or_else(|| node(text)).ok_or(FORMS)
}

/// A number as people write an index: decimal digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// `GPU/GI/CI`, or with colons between.
fn mig(text: &str) -> Option<Pick> {
    let separator = if text.contains('/') { '/' } else { ':' };
    let mut parts = text.split(separator);
    let (gpu, instance, compute) = (parts.next()?, number(parts.next()?)?, number(parts.next()?)?);
    let gpu = number(gpu).map(Pick::Index).or_else(|| gpu_uuid(gpu))?;
    parts.next().is_none().then(|| Pick::Mig { gpu: Box::new(gpu), instance, compute })
}

fn uuid(text: &str) -> Option<Pick> {
    match text.strip_prefix("MIG-") {
        // As drivers before 470 spell them.
        Some(rest) if rest.starts_with("GPU-") => mig(rest),
        Some(rest) => is_id(rest).then(|| Pick::MigUuid(format!("MIG-{}", rest.to_ascii_lowercase()))),
        None => gpu_uuid(text),
    }
}

fn gpu_uuid(text: &str) -> Option<Pick> {
    let id = text.strip_prefix("GPU-")?;
    is_id(id).then(|| Pick::Uuid(format!("GPU-{}", id.to_ascii_lowercase())))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn node(text: &str) -> Option<Pick> {
    let minor = text.strip_prefix("renderD")?;
    number(minor).map(|_| Pick::Node(text.to_owned()))
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_form() {
        let forms = [
            "0",
            "17",
            "GPU-6F1C",
            "pci:17:00.0",
            "pci:00000000:17:00.0",
            "minor:3",
            "mig:0/1/0",
            "mig:0:1:0",
            "mig:GPU-6f1c/1/0",
            "MIG-GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5/1/0",
            "MIG-01234567-89ab",
            "amd:all",
            "amd:1",
            "amd:GPU-9fa35251bada9111",
            "amd:renderD128",
            "intel:0",
            "drm:renderD130",
            "nvidia:all",
            "nvidia:0",
            "nvidia:mig:0/1/0",
            "renderD128",
            "amd:pci:0c:00.0",
            "nvidia:minor:2",
        ];
        let text: String = forms
            .iter()
            .map(|form| {
                let Selector { vendor, pick, .. } = form.parse().unwrap();
                format!("{form}: {} {pick:?}\n", vendor.map_or("-", Vendor::word))
            })
            .collect();
        expect![[r#"
            0: - Index(0)
            17: - Index(17)
            GPU-6F1C: - Uuid("GPU-6f1c")
            pci:17:00.0: - Pci(PciAddress { domain: 0, bus: 23, device: 0, function: 0 })
            pci:00000000:17:00.0: - Pci(PciAddress { domain: 0, bus: 23, device: 0, function: 0 })
            minor:3: nvidia Minor(3)
            mig:0/1/0: nvidia Mig { gpu: Index(0), instance: 1, compute: 0 }
            mig:0:1:0: nvidia Mig { gpu: Index(0), instance: 1, compute: 0 }
            mig:GPU-6f1c/1/0: nvidia Mig { gpu: Uuid("GPU-6f1c"), instance: 1, compute: 0 }
            MIG-GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5/1/0: nvidia Mig { gpu: Uuid("GPU-6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5"), instance: 1, compute: 0 }
            MIG-01234567-89ab: nvidia MigUuid("MIG-01234567-89ab")
            amd:all: amd All
            amd:1: amd Index(1)
            amd:GPU-9fa35251bada9111: amd Uuid("GPU-9fa35251bada9111")
            amd:renderD128: amd Node("renderD128")
            intel:0: intel Index(0)
            drm:renderD130: drm Node("renderD130")
            nvidia:all: nvidia All
            nvidia:0: nvidia Index(0)
            nvidia:mig:0/1/0: nvidia Mig { gpu: Index(0), instance: 1, compute: 0 }
            renderD128: - Node("renderD128")
            amd:pci:0c:00.0: amd Pci(PciAddress { domain: 0, bus: 12, device: 0, function: 0 })
            nvidia:minor:2: nvidia Minor(2)
        "#]].assert_eq(&text);
    }

    #[test]
    fn what_is_none_says_why() {
        let bad = [
            "",
            "-1",
            "+1",
            "0.1",
            "1e3",
            "99999999999",
            "0:1",
            "GPU-",
            "GPU-xyz",
            "pci:17",
            "pci:",
            "minor:x",
            "mig:0",
            "mig:0/1",
            "mig:0/1/0/2",
            "mig:0/1:0",
            "mig:x/1/0",
            "MIG-",
            "MIG-GPU-1/2",
            "amd:",
            "amd:minor:3",
            "amd:mig:0/1/0",
            "AMD:0",
            "foo:1",
            "all",
            "auto",
            "renderD",
            "card0",
            "/dev/nvidia0",
            "\u{1b}[31m0",
        ];
        let text: String = bad.iter().map(|form| format!("{}\n", form.parse::<Selector>().unwrap_err())).collect();
        expect![[r#"
            `` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `-1` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `+1` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `0.1` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `1e3` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `99999999999` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `0:1` is a MIG device index, which changes: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `GPU-` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `GPU-xyz` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `pci:17` is no PCI address: pci:0000:17:00.0
            `pci:` is no PCI address: pci:0000:17:00.0
            `minor:x` is no minor number: minor:3
            `mig:0` is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `mig:0/1` is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `mig:0/1/0/2` is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `mig:0/1:0` is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `mig:x/1/0` is no MIG instance: mig:GPU/GI/CI, with the GI ID and CI ID of nvidia-smi
            `MIG-` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `MIG-GPU-1/2` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `amd:` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `amd:minor:3` is about GPUs of NVIDIA
            `amd:mig:0/1/0` is about GPUs of NVIDIA
            `AMD:0` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `foo:1` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `all` stands alone, and not in a list
            `auto` stands alone, and not in a list
            `renderD` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `card0` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `/dev/nvidia0` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
            `[31m0` is no GPU: an index as 0, GPU-UUID, pci:BUS:DEVICE.FUNCTION, minor:N, renderDN, mig:GPU/GI/CI, MIG-UUID, VENDOR:INDEX as amd:0, VENDOR:all, or cdi:VENDOR/CLASS=NAME
        "#]].assert_eq(&text);
    }
}
