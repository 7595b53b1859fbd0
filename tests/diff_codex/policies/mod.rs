//! The policies, by subject.

mod carved;
mod forms;
mod globs;
mod process;
mod protected;
mod special;

use crate::policy::Policy;

pub fn all() -> Vec<Policy> {
    let parts =
        [forms::POLICIES, carved::POLICIES, protected::POLICIES, special::POLICIES, globs::POLICIES, process::POLICIES];
    parts.concat()
}
