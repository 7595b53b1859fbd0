//! Which GPUs are wished for: the parsed form of `--gpu`.

pub mod cdi;

use std::fmt;

/// One selector of `--gpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GpuIndex(pub u32);

/// What `--gpu` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuWish {
    /// No GPU node is bound.
    Off,
    /// Bind what works; run without a word when nothing is there.
    Auto,
    /// Every GPU, and refuse to start when one cannot be used.
    All,
    /// These, by index in PCI order, and refuse to start when one cannot be used.
    Indices(Vec<GpuIndex>),
    /// These devices of CDI files, and refuse to start when one cannot be used.
    Cdi(Vec<cdi::CdiName>),
}

/// A `--gpu` value that is none of the known forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gpu `{0}` is not one of auto, off, all or a list of indices such as 0,2")]
pub struct GpuSyntax(pub String);

impl std::str::FromStr for GpuWish {
    type Err = GpuSyntax;

    /// Accepts `auto`, `off`, `all`, the booleans of `gpu_passthrough` and comma-separated indices.
    fn from_str(text: &str) -> Result<Self, GpuSyntax> {
        match text.trim() {
            "off" | "none" | "false" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            // `gpu_passthrough = true` in a policy file means: it has to work.
            "true" => Ok(Self::All),
            list if list.starts_with("cdi:") => list
                .split(',')
                .map(|name| name.trim().parse())
                .collect::<Result<_, _>>()
                .map(Self::Cdi)
                .map_err(|_| GpuSyntax(text.to_owned())),
            list => indices(list).ok_or_else(|| GpuSyntax(text.to_owned())),
        }
    }
}

fn indices(list: &str) -> Option<GpuWish> {
    let mut found =
        list.split(',').map(|item| item.trim().parse().map(GpuIndex)).collect::<Result<Vec<_>, _>>().ok()?;
    found.sort_unstable();
    found.dedup();
    Some(GpuWish::Indices(found))
}

impl fmt::Display for GpuWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::Cdi(list) => {
                let words: Vec<_> = list.iter().map(|name| format!("cdi:{name}")).collect();
                f.write_str(&words.join(","))
            }
            Self::Indices(list) => {
                let words: Vec<_> = list.iter().map(|index| index.0.to_string()).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}
