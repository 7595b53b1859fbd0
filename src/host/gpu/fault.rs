//! Why a GPU that was found cannot be used.

use std::fmt;

use super::node::Node;
use super::{Gpu, Gpus, MigInstance, PciAddress, Scope, Vendor};
use crate::policy::gpu::{Class, Classes};

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
    /// None of its nodes is known.
    NoNodes {
        /// What would list them.
        list: &'static str,
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
            Self::NoNodes { list } => write!(f, "none of its nodes is known: `{list}` lists none that is here"),
            Self::Node(node) => f.write_str(&node.fault().unwrap_or_default()),
        }
    }
}

impl Gpus {
    /// Required nodes that all GPUs of a vendor share and that are not fit for use; each stops every one of them. With no
    /// vendor, those of extras that are of use with any.
    #[must_use]
    pub fn shared_faults(&self, vendor: Option<Vendor>, classes: &Classes) -> Vec<Fault> {
        faulty(self.shared.iter().filter(|node| node.row.vendor == vendor), classes)
    }
}

impl Gpu {
    /// What is wrong with this GPU itself for some classes; nothing when the list is empty.
    #[must_use]
    pub fn faults(&self, classes: &Classes) -> Vec<Fault> {
        self.faults_of(classes, &self.mig)
    }

    /// As [`Gpu::faults`], where only some of its instances are meant.
    #[must_use]
    pub fn faults_of(&self, classes: &Classes, instances: &[MigInstance]) -> Vec<Fault> {
        if self.excluded {
            return vec![Fault::Excluded];
        }
        if let (Vendor::Nvidia, None, Some(bus)) = (self.vendor, self.minor, self.bus) {
            return vec![Fault::NoMinor { bus }];
        }
        if self.nodes.is_empty() && self.vendor == Vendor::Jetson {
            return vec![Fault::NoNodes { list: super::jetson::LISTS }];
        }
        let mut faults = faulty(self.own_nodes(), classes);
        if let (Some(bus), Some(minor)) = (self.bus, self.minor)
            && !self.mig.is_empty()
            && classes.has(Class::Compute)
            && self.mig.iter().all(|instance| instance.compute.is_empty())
        {
            faults.push(Fault::NoComputeInstance { bus, minor });
        }
        faults.extend(faulty(instances.iter().flat_map(MigInstance::nodes), classes));
        // Where the driver registers no capabilities, each instance would say so.
        faults.dedup_by_key(|fault| fault.to_string());
        faults
    }

    /// Its own nodes. Of a GPU in MIG mode nobody may draw on the whole.
    pub fn own_nodes(&self) -> impl Iterator<Item = &Node> {
        let whole = self.mig.is_empty();
        self.nodes.iter().filter(move |node| whole || !matches!(node.row.scope, Scope::Render | Scope::Card))
    }
}

fn faulty<'a>(nodes: impl IntoIterator<Item = &'a Node>, classes: &Classes) -> Vec<Fault> {
    let nodes = nodes.into_iter().filter(|node| classes.has(node.row.class));
    nodes.filter(|node| node.row.required && !node.is_ok()).map(|node| Fault::Node(node.clone())).collect()
}
