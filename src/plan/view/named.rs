//! What the user has rules for.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::Path;

use crate::host::Facts;
use crate::policy::paths::Access;

/// By the name it is written with or by what that leads to: the highest level.
pub(super) fn anyhow(facts: &Facts) -> HashMap<&Path, Access> {
    let mut named = HashMap::new();
    for (rule, fact) in facts.rules.iter().filter(|(rule, _)| rule.because.is_explicit()) {
        let (written, leads_to) = (rule.path.as_path(), fact.leads_to(&rule.path));
        for path in iter::once(written).chain(Some(leads_to).filter(|path| path.as_os_str() != written.as_os_str())) {
            let known = named.entry(path).or_insert(rule.access);
            *known = rule.access.max(*known);
        }
    }
    named
}

/// By the name it is written with, so that it can be read: a link to it, which the command may have made, is another name.
pub(super) fn as_written(facts: &Facts) -> HashSet<&Path> {
    let rules = facts.rules.iter().map(|(rule, _)| rule);
    let named = rules.filter(|rule| rule.because.is_explicit() && rule.access >= Access::Read);
    named.map(|rule| rule.path.as_path()).collect()
}
