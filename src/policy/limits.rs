//! Limits that contradict the rest of what was said.

use super::error::PolicyError;
use crate::request::limits::Amount;
use crate::request::{Mode, Origin, Request, Tmp};

/// Less memory than this, in bytes, and our own first process may be what the kernel ends.
const LEAST_MEMORY: u64 = 8 << 20;

/// Fewer open files than this, and the command's streams have no room.
const LEAST_FILES: u64 = 3;

/// What is wrong with the limits of a request.
pub(super) fn faults(request: &Request, mode: Mode) -> Vec<PolicyError> {
    let limits = &request.limits;
    let too_low = |amount: Amount, least: u64| amount.limit().is_some_and(|limit| limit < least);
    let fault = |what, by: &Origin, why| PolicyError::Limit { what, by: by.clone(), why };
    let mut faults = Vec::new();
    if let Some(said) = limits.memory.as_ref().filter(|said| too_low(said.value.0, LEAST_MEMORY)) {
        faults.push(fault("memory", &said.by, "nothing starts in less than 8M"));
    }
    if let Some(said) = limits.open_files.as_ref().filter(|said| too_low(said.value.0, LEAST_FILES)) {
        faults.push(fault("the number of open files", &said.by, "the standard streams are three"));
    }
    let private = request.tmp.as_ref().is_none_or(|said| said.value == Tmp::Private) && mode != Mode::FullAccess;
    if let Some(said) = limits.tmp_size.as_ref().filter(|said| said.value.0 != Amount::Unlimited && !private) {
        faults.push(fault("the size of /tmp", &said.by, "it is the host's"));
    }
    faults
}
