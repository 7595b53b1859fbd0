//! What a GPU is wanted for: the classes of nodes and rights.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::policy::paths::normal;

/// What something is good for. The first ones are NVIDIA's driver capabilities; the rest are extras, each granted only
/// when it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Asking about GPUs: `nvidia-smi`, `rocm-smi`.
    Utility,
    /// Running programs on GPUs; includes [`Class::Utility`].
    Compute,
    /// Drawing without a display: EGL, Vulkan, VA-API.
    Graphics,
    /// Coding and decoding video; NVIDIA's goes through CUDA.
    Video,
    /// Driving a display.
    Display,
    /// NVIDIA's NGX; its libraries need no node of their own.
    Ngx,
    /// 32-bit libraries; no node of their own.
    Compat32,
    /// RDMA verbs: NCCL over `InfiniBand`.
    Rdma,
    /// GPUDirect Storage.
    Gds,
    /// GDRCopy.
    Gdrcopy,
    /// One channel of memory shared with other hosts.
    Imex,
    /// The host's MPS server, which then runs the work.
    Mps,
    /// Performance counters.
    Profiling,
    /// Debuggers.
    Debug,
    /// Memory of the sandbox's other processes.
    Ipc,
}

/// Every class, and the word for it.
pub const CLASSES: &[(&str, Class)] = &[
    ("utility", Class::Utility),
    ("compute", Class::Compute),
    ("graphics", Class::Graphics),
    ("video", Class::Video),
    ("display", Class::Display),
    ("ngx", Class::Ngx),
    ("compat32", Class::Compat32),
    ("rdma", Class::Rdma),
    ("gds", Class::Gds),
    ("gdrcopy", Class::Gdrcopy),
    ("imex", Class::Imex),
    ("mps", Class::Mps),
    ("profiling", Class::Profiling),
    ("debug", Class::Debug),
    ("ipc", Class::Ipc),
];

impl Class {
    /// Whether it comes on top of another class, and not in its place.
    #[must_use]
    pub fn is_extra(self) -> bool {
        self >= Self::Rdma
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLASSES.iter().find(|(_, class)| class == self).map_or("", |(word, _)| word))
    }
}

/// The classes that are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    named: BTreeSet<Class>,
    /// IMEX channels.
    pub channels: BTreeSet<u32>,
    /// The pipe directory of MPS.
    pub mps: Option<PathBuf>,
}

/// Where MPS has its pipes unless it is told otherwise.
const MPS: &str = "/tmp/nvidia-mps";

impl Default for Classes {
    /// Compute, and with it utility: as the NVIDIA Container Toolkit has it.
    fn default() -> Self {
        Self { named: [Class::Utility, Class::Compute].into(), channels: BTreeSet::new(), mps: None }
    }
}

/// A word that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassSyntax {
    /// Not a word of the list.
    #[error("gpu class `{word}` is not one of {}", words())]
    Unknown {
        /// As it was written.
        word: String,
    },
    /// A channel is a number.
    #[error("gpu class `{word}` names no channel: imex=0, for the node /dev/nvidia-caps-imex-channels/channel0")]
    Channel {
        /// As it was written.
        word: String,
    },
    /// A directory is an absolute path.
    #[error("gpu class `{word}` names no directory: mps, or mps=/path/of/CUDA_MPS_PIPE_DIRECTORY")]
    Directory {
        /// As it was written.
        word: String,
    },
}

fn words() -> String {
    CLASSES.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

impl std::str::FromStr for Classes {
    type Err = ClassSyntax;

    /// Accepts comma-separated words; extras alone come on top of the default.
    fn from_str(text: &str) -> Result<Self, ClassSyntax> {
        let mut classes = Self { named: BTreeSet::new(), channels: BTreeSet::new(), mps: None };
        for item in text.split(',').map(str::trim) {
            classes.add(item)?;
        }
        if classes.named.iter().all(|class| class.is_extra()) {
            classes.named.extend(Self::default().named);
        }
        // What each of them is of no use without.
        if classes.named.contains(&Class::Video) {
            classes.named.insert(Class::Compute);
        }
        classes.named.insert(Class::Utility);
        Ok(classes)
    }
}

impl Classes {
    fn add(&mut self, item: &str) -> Result<(), ClassSyntax> {
        let (name, what) = item.split_once('=').map_or((item, None), |(name, what)| (name, Some(what)));
        let word = item.to_owned();
        let Some((_, class)) = CLASSES.iter().find(|(known, _)| *known == name) else {
            return Err(ClassSyntax::Unknown { word });
        };
        match (class, what) {
            (Class::Imex, what) => {
                let number = what.and_then(|what| what.parse().ok()).ok_or(ClassSyntax::Channel { word })?;
                self.channels.insert(number);
            }
            (Class::Mps, what) => {
                let path = Path::new(what.unwrap_or(MPS));
                self.mps = path.is_absolute().then(|| normal(path)).filter(|path| path.parent().is_some());
                self.mps.is_some().then_some(()).ok_or(ClassSyntax::Directory { word })?;
            }
            (_, None) => {}
            (_, Some(_)) => return Err(ClassSyntax::Unknown { word }),
        }
        self.named.insert(*class);
        Ok(())
    }

    /// All of them: what a listing shows.
    #[must_use]
    pub fn all() -> Self {
        Self { named: CLASSES.iter().map(|(_, class)| *class).collect(), channels: BTreeSet::new(), mps: None }
    }

    /// Whether a class is granted.
    #[must_use]
    pub fn has(&self, class: Class) -> bool {
        self.named.contains(&class)
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels: Vec<_> = self.channels.iter().map(|channel| format!("imex={channel}")).collect();
        let plain =
            self.named.iter().filter(|class| !matches!(class, Class::Imex | Class::Mps)).map(ToString::to_string);
        let mps = self.mps.iter().map(|path| format!("mps={}", path.display()));
        f.write_str(&plain.chain(channels).chain(mps).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extras_come_on_top_and_words_must_be_known() {
        let table = [
            ("compute", "utility,compute"),
            ("utility", "utility"),
            ("graphics", "utility,graphics"),
            ("video,display", "utility,compute,video,display"),
            ("rdma", "utility,compute,rdma"),
            ("mps", "utility,compute,mps=/tmp/nvidia-mps"),
            ("utility, imex=3,imex=0", "utility,imex=0,imex=3"),
        ];
        for (text, want) in table {
            assert_eq!(text.parse::<Classes>().map(|classes| classes.to_string()), Ok(want.to_owned()), "{text}");
        }
        for bad in [
            "",
            "Compute",
            "imex",
            "imex=x",
            "imex=-1",
            "mps=rel",
            "mps=/",
            "mps=",
            "compute=1",
            "all",
            "compute,,rdma",
        ] {
            assert!(bad.parse::<Classes>().is_err(), "{bad}");
        }
    }
}
