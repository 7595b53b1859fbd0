//! Why a GPU that was found cannot be used.

use std::fmt;

use super::node::Node;
use super::{Gpu, Gpus, PciAddress};

/// One reason why a whole GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The driver was told to leave it alone: opening its node fails.
    Excluded,
    /// The driver does not tell its minor number, so its node is unknown.
    NoMinor {
        /// Where the GPU is.
        bus: PciAddress,
    },
    /// It is cut into instances: a program that is given the whole finds nothing to run on.
    Mig {
        /// Its compute instances as selectors, `mig:<index>/<gi>/<ci>`.
        instances: Vec<String>,
    },
    /// A node that it needs is missing or unfit.
    Node(Node),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded => f.write_str("the driver excludes it"),
            Self::NoMinor { .. } => f.write_str("the driver does not tell its minor number"),
            Self::Mig { instances } if instances.is_empty() => {
                f.write_str("it is in MIG mode and has no compute instance")
            }
            Self::Mig { instances } => write!(f, "it is in MIG mode, cut into {}", instances.join(" ")),
            Self::Node(node) => f.write_str(&node.fault().unwrap_or_default()),
        }
    }
}

impl Gpus {
    /// Required nodes of all GPUs that are not fit for use; each stops every GPU.
    #[must_use]
    pub fn shared_faults(&self) -> Vec<Fault> {
        faulty(&self.shared)
    }
}

impl Gpu {
    /// What is wrong with this GPU itself; nothing when the list is empty.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        if self.excluded {
            return vec![Fault::Excluded];
        }
        if self.minor.is_none() {
            return vec![Fault::NoMinor { bus: self.bus }];
        }
        let mut faults = faulty(&self.nodes);
        if !self.mig.is_empty() {
            faults.push(Fault::Mig { instances: self.mig_selectors() });
        }
        faults
    }

    /// Its compute instances as selectors, `mig:<index>/<gi>/<ci>`, in order.
    #[must_use]
    pub fn mig_selectors(&self) -> Vec<String> {
        let index = self.index.map_or_else(|| self.bus.to_string(), |index| index.to_string());
        let name = |gi: u32, ci: &u32| format!("mig:{index}/{gi}/{ci}");
        self.mig.iter().flat_map(|gi| gi.compute.iter().map(move |ci| name(gi.id, ci))).collect()
    }
}

fn faulty(nodes: &[Node]) -> Vec<Fault> {
    nodes.iter().filter(|node| node.row.required && !node.is_ok()).map(|node| Fault::Node(node.clone())).collect()
}
