//! Why a GPU that was found cannot be used.

use std::fmt;

use super::node::Node;
use super::{Gpu, Gpus, MigInstance, PciAddress};

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
    /// It is cut into GPU instances, and none of them has a compute instance: programs find nothing to run on.
    NoComputeInstance {
        /// Where the GPU is.
        bus: PciAddress,
        /// Its minor number, by which the driver lists its instances.
        minor: u32,
    },
    /// A node that it needs is missing or unfit.
    Node(Node),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded => f.write_str("the driver excludes it"),
            Self::NoMinor { .. } => f.write_str("the driver does not tell its minor number"),
            Self::NoComputeInstance { .. } => f.write_str("it is in MIG mode and has no compute instance"),
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
        let Some(minor) = self.minor else { return vec![Fault::NoMinor { bus: self.bus }] };
        let mut faults = faulty(&self.nodes);
        if !self.mig.is_empty() && self.mig.iter().all(|instance| instance.compute.is_empty()) {
            faults.push(Fault::NoComputeInstance { bus: self.bus, minor });
        }
        faults.extend(faulty(self.instance_nodes()));
        // Where the driver registers no capabilities, each instance would say so.
        faults.dedup_by_key(|fault| fault.to_string());
        faults
    }

    /// The nodes of its instances: each GPU instance's, then those of the compute instances in it.
    pub fn instance_nodes(&self) -> impl Iterator<Item = &Node> {
        self.mig.iter().flat_map(MigInstance::nodes)
    }
}

fn faulty<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<Fault> {
    let nodes = nodes.into_iter();
    nodes.filter(|node| node.row.required && !node.is_ok()).map(|node| Fault::Node(node.clone())).collect()
}
