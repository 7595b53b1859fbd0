//! MIG UUIDs of the new style: only the driver's own library knows which instance one of them names.

use std::time::Duration;

use super::loader::{self, LoaderError, Question};

/// How long the library may take. It wakes the GPU, which takes seconds without persistence mode.
const PATIENCE: Duration = Duration::from_secs(5);

/// An instance, by the numbers of the driver's files in `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// The driver's minor number of the GPU, which is not its index.
    pub gpu_minor: u32,
    /// Id of the GPU instance: the column GI ID of nvidia-smi.
    pub gi: u32,
    /// Id of the compute instance in it: the column CI ID.
    pub ci: u32,
}

/// A UUID that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("`{uuid}` cannot be resolved: {why}")]
pub struct NvmlError {
    /// As it was given.
    pub uuid: String,
    /// Why.
    pub why: Why,
}

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It is not a UUID of this kind.
    #[error("it is not of the form MIG-01234567-89ab-cdef-0123-456789abcdef")]
    NotAUuid,
    /// The library was not asked, or gave no answer.
    #[error("{0}")]
    Loader(LoaderError),
}

/// Resolves `MIG-<uuid>` by NVML, in a process of its own outside of any sandbox: with an empty environment, no
/// descriptor of ours, no input, and for five seconds at most. It may wake the GPU.
///
/// # Errors
/// [`NvmlError`]. The spelling `mig:GPU/GI/CI` needs no library.
///
/// Source: NVML API reference, `nvmlDeviceGetHandleByUUID`, `nvmlDeviceGetGpuInstanceId`,
/// `nvmlDeviceGetComputeInstanceId`, `nvmlDeviceGetDeviceHandleFromMigDeviceHandle`, `nvmlDeviceGetMinorNumber`.
pub fn resolve(uuid: &str) -> Result<Instance, NvmlError> {
    let fail = |why| NvmlError { uuid: uuid.to_owned(), why };
    if !is_uuid(uuid) {
        return Err(fail(Why::NotAUuid));
    }
    let answer = loader::ask(&Question::Mig(uuid), &[], PATIENCE).map_err(|error| fail(Why::Loader(error)))?;
    let silent = || fail(Why::Loader(LoaderError::Garbled("no instance in it".to_owned())));
    let (gpu_minor, gi, ci) = answer.instance.ok_or_else(silent)?;
    Ok(Instance { gpu_minor, gi, ci })
}

fn is_uuid(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("MIG-") else { return false };
    let groups: Vec<_> = digits.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_uuids_are_asked_for() {
        for bad in ["", "MIG-", "MIG-GPU-01234567-89ab-cdef-0123-456789abcdef/1/0", "MIG-01234567-89ab-cdef-0123", "0"]
        {
            let error = resolve(bad).unwrap_err();
            assert!(matches!(error.why, Why::NotAUuid), "{error}");
        }
        assert!(is_uuid("MIG-01234567-89ab-cdef-0123-456789abcdef"));
    }

    #[test]
    fn without_the_library_the_error_says_so() {
        // No machine has an instance of this UUID: with the library, it does not find it.
        let error = resolve("MIG-00000000-0000-0000-0000-000000000000").unwrap_err();
        let known = matches!(error.why, Why::Loader(LoaderError::Missing { .. } | LoaderError::Call { .. }));
        assert!(known, "{error}");
    }
}
