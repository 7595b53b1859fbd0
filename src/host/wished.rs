//! What there is of the GPUs that a policy may mean.

use std::path::Path;

use super::gpu;
use crate::policy::Policy;

/// The GPUs that may be meant; where none is wished for, nothing is read.
pub(super) fn gpus(root: &Path, policy: &Policy, caller: &gpu::CallerIds) -> gpu::Gpus {
    if !policy.gpu.value.needs_discovery() {
        return gpu::Gpus::default();
    }
    let look = gpu::Look { wish: &policy.gpu.value, classes: &policy.gpu_class.value, all: false };
    let mut gpus = gpu::probe_live(root, caller, &look);
    if gpus.is_empty() {
        gpus.cdi = gpu::cdi::names(root, &cdi_dirs(policy), caller);
    }
    if policy.is_narrowed() && !gpus.is_empty() {
        gpus.directories = gpu::libraries::directories(root);
    }
    if gpus.driver.is_some() {
        gpus.mig_uuids = policy.gpu.value.mig_uuids().map(|uuid| (uuid.to_owned(), instance(uuid))).collect();
    }
    gpus
}

/// What files say of the CDI devices that are wished for.
pub(super) fn cdi(root: &Path, policy: &Policy, caller: &gpu::CallerIds) -> gpu::cdi::Specs {
    let names: Vec<_> = policy.gpu.value.cdi_names().cloned().collect();
    if names.is_empty() {
        return gpu::cdi::Specs::default();
    }
    gpu::cdi::probe(root, &cdi_dirs(policy), &names, caller, &gpu::HostNodes::below(root))
}

fn cdi_dirs(policy: &Policy) -> Vec<gpu::cdi::CdiDir> {
    gpu::cdi::CdiDir::list(policy.cdi_dirs.iter().map(|said| said.value.as_path()))
}

/// Which instance a MIG UUID means: nobody but the driver's library knows.
fn instance(uuid: &str) -> Result<gpu::Slot, String> {
    let found = gpu::nvml::resolve(uuid).map_err(|error| error.to_string())?;
    Ok(gpu::Slot { gpu: found.gpu_minor, instance: found.gi, compute: Some(found.ci) })
}
