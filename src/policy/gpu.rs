//! Which GPUs are wished for: the parsed form of `--gpu` and `--gpu-class`.

pub mod cdi;
mod class;
mod pci;
mod selector;

use std::fmt;

pub use cdi::CdiName;
pub use class::{CLASSES, Class, ClassSyntax, Classes};
pub use pci::{PciAddress, PciSyntax};
pub use selector::{Pick, Selector, SelectorSyntax, VENDORS, Vendor};

/// What `--gpu` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuWish {
    /// No GPU node is bound.
    Off,
    /// Bind what works, within what a scheduler allotted; run without a word when nothing is there.
    Auto,
    /// Every GPU, and refuse to start when one cannot be used.
    All,
    /// What a scheduler allotted, by its variables; as [`GpuWish::All`] where it said nothing.
    Visible,
    /// These, and refuse to start when one cannot be used.
    These(Vec<Selector>),
}

/// A `--gpu` value that is none of the known forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuSyntax {
    /// No word at all, or a list with nothing in it.
    #[error("gpu names none: off is the word for no GPU, auto for those that work")]
    Empty,
    /// One word that is none.
    #[error("gpu `{0}` is not one of auto, off, all, visible or a list of GPUs such as 0,2")]
    Word(String),
    /// An item of a list.
    #[error("gpu {0}")]
    Item(#[from] SelectorSyntax),
    /// One item twice.
    #[error("gpu `{0}` stands in the list twice")]
    Twice(String),
}

impl std::str::FromStr for GpuWish {
    type Err = GpuSyntax;

    /// Accepts `auto`, `off` (or `none`), `all`, `visible`, the booleans of `gpu_passthrough` and comma-separated selectors.
    fn from_str(text: &str) -> Result<Self, GpuSyntax> {
        match text.trim() {
            "off" | "none" | "false" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            "visible" => Ok(Self::Visible),
            // `gpu_passthrough = true` in a policy file means: it has to work.
            "true" => Ok(Self::All),
            "" => Err(GpuSyntax::Empty),
            word if word.bytes().all(|byte| byte.is_ascii_lowercase()) => Err(GpuSyntax::Word(word.to_owned())),
            list => selectors(list),
        }
    }
}

fn selectors(list: &str) -> Result<GpuWish, GpuSyntax> {
    let mut found: Vec<Selector> = Vec::new();
    for item in list.split(',').map(str::trim) {
        let selector: Selector = item.parse()?;
        if found.iter().any(|known| (known.vendor, &known.pick) == (selector.vendor, &selector.pick)) {
            return Err(GpuSyntax::Twice(item.to_owned()));
        }
        found.push(selector);
    }
    Ok(GpuWish::These(found))
}

impl GpuWish {
    /// Whether devices of a vendor may be meant, so that it is worth looking for them.
    #[must_use]
    pub fn may_mean(&self, vendor: Vendor) -> bool {
        match self {
            Self::Off => false,
            Self::Auto | Self::All | Self::Visible => vendor.is_automatic(),
            Self::These(list) => list.iter().any(|item| match item.vendor {
                Some(named) => named == vendor,
                None if matches!(item.pick, Pick::Cdi(_)) => false,
                // A bare render node may be anybody's; other bare forms mean what `all` means.
                None => vendor.is_automatic() || matches!(item.pick, Pick::Node(_) | Pick::Pci(_)),
            }),
        }
    }

    fn picks(&self) -> impl Iterator<Item = &Pick> {
        let list = match self {
            Self::These(list) => list.as_slice(),
            Self::Off | Self::Auto | Self::All | Self::Visible => &[],
        };
        list.iter().map(|item| &item.pick)
    }

    /// The UUIDs of MIG instances among the selectors.
    pub fn mig_uuids(&self) -> impl Iterator<Item = &str> {
        self.picks().filter_map(|pick| if let Pick::MigUuid(uuid) = pick { Some(uuid.as_str()) } else { None })
    }

    /// The devices of CDI files among the selectors.
    pub fn cdi_names(&self) -> impl Iterator<Item = &CdiName> {
        self.picks().filter_map(|pick| if let Pick::Cdi(name) = pick { Some(name) } else { None })
    }

    /// Whether anything but devices of CDI files is meant.
    #[must_use]
    pub fn needs_discovery(&self) -> bool {
        let is_cdi = |item: &Selector| matches!(item.pick, Pick::Cdi(_));
        !matches!(self, Self::Off) && !matches!(self, Self::These(list) if list.iter().all(is_cdi))
    }

    /// Whether certain GPUs, or all, were asked for: then they have to work.
    #[must_use]
    pub fn is_demand(&self) -> bool {
        !matches!(self, Self::Off | Self::Auto)
    }
}

impl fmt::Display for GpuWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::Visible => f.write_str("visible"),
            Self::These(list) => {
                let words: Vec<_> = list.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}
