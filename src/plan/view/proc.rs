//! What rules say of `/proc`, which is made anew.

use std::path::Path;

use super::Builder;
use crate::host::paths::Present;
use crate::plan::baseline::Entry;
use crate::plan::error::PlanError;
use crate::plan::mounts::{Mount, MountOp};
use crate::policy::Policy;
use crate::policy::paths::{Access, Rule};
use crate::request::Origin;

/// What may be done in `/proc` as a whole.
pub(super) fn level(policy: &Policy, entries: &[Entry]) -> (Access, Origin) {
    let own = entries.iter().filter(|entry| entry.path == Path::new("/proc"));
    // As in the tree: of several rules the most restrictive one holds.
    if let Some(rule) = own.map(|entry| &entry.rule).min_by_key(|rule| rule.access) {
        return (rule.access, rule.because.clone());
    }
    let root = entries.iter().filter(|entry| entry.path == Path::new("/"));
    let root = root.map(|entry| &entry.rule).min_by_key(|rule| rule.access);
    if let Some(rule) = root.filter(|rule| policy.proc.value && (rule.access.writes() || policy.dialect.names_proc())) {
        // Nothing can be made in procfs.
        let because =
            if rule.access == Access::None { Origin::Baseline("no rule names it") } else { rule.because.clone() };
        return (rule.access.min(Access::Modify), because);
    }
    if policy.dialect.names_proc() || !policy.proc.value {
        let because = if policy.proc.value { Origin::Baseline("no rule names it") } else { policy.proc.by.clone() };
        return (Access::None, because);
    }
    (Access::Read, Origin::Baseline("a view of the processes"))
}

impl Builder<'_> {
    /// A rule for something in it.
    pub(super) fn rule_in_proc(&mut self, rule: &Rule, present: &Present) {
        let second = present.path.components().nth(2).map(|part| part.as_os_str().to_string_lossy().into_owned());
        match second {
            Some(name) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.errors.push(PlanError::ProcessPath { path: present.path.clone(), by: rule.because.clone() });
            }
            // The inode of the fresh procfs is another one: nothing to compare with.
            _ if rule.access == Access::None => self.node(rule, present.path.clone(), None, present.kind),
            Some(_) if rule.access == Access::Read && self.proc.0.writes() => {
                let (target, because) = (present.path.clone(), rule.because.clone());
                self.kept_in_proc.push(MountOp { target, what: Mount::ReadOnly, because });
            }
            _ => {}
        }
    }
}
