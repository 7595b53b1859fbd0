//! The links of a narrowed root. Nothing of the host stands there but what is bound, under the name to which links lead;
//! programs and people use the others, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::mounts::{Mount, MountOp, Tree};
use crate::host::Facts;
use crate::host::paths::{PathFact, Present};
use crate::policy::paths::Access;
use crate::request::Origin;

/// Links of the baseline, and those that rules name, whose targets can be seen.
pub(super) fn of_narrow_root(facts: &Facts, tree: &Tree) -> Vec<MountOp> {
    let programs = Origin::Baseline("programs and the dynamic loader are named through it");
    let baseline = facts.baseline.iter().map(|present| (present, &programs));
    let named = facts.rules.iter().filter_map(|(rule, fact)| match fact {
        PathFact::Present(present) if rule.access > Access::None => Some((present, &rule.because)),
        _ => None,
    });
    let mut links: BTreeMap<PathBuf, MountOp> = BTreeMap::new();
    for (Present { path, link, .. }, because) in baseline.chain(named) {
        if let Some((link, _)) = link
            && tree.is_visible(path)
            && is_bare(tree, link)
        {
            let what = Mount::Link { to: path.clone().into() };
            links.entry(link.clone()).or_insert(MountOp { target: link.clone(), what, because: because.clone() });
        }
    }
    links.into_values().collect()
}

/// Whether nothing is put where the link would be: only there it can be made, and only there it is missing.
fn is_bare(tree: &Tree, link: &Path) -> bool {
    let made_anew = ["/dev", "/proc"].iter().any(|top| link.starts_with(top));
    !made_anew && tree.governing(link).is_none_or(|(above, _)| above == Path::new("/"))
}
