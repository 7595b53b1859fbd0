//! What the user said counts more than a profile, wherever paths lead.

use std::borrow::Cow;
use std::path::Path;

use crate::host::Facts;
use crate::host::paths::PathFact;
use crate::policy::Policy;
use crate::policy::paths::{Access, Rule};
use crate::request::{Mode, Origin};

type Looked = (Rule, PathFact);

/// The machine as it is for rules that hold: those of a profile give way to the user's. What the user denies is denied
/// with all below it, a rule of the user's for the same path replaces the profile's, and a sandbox that is to write
/// nothing writes nothing. A denied root means that the rest says what is not, and profiles are a part of the rest.
pub(super) fn below_the_user<'a>(policy: &Policy, facts: &'a Facts, notes: &mut Vec<String>) -> Cow<'a, Facts> {
    if !facts.rules.iter().any(|(rule, _)| rule.because.is_profile()) {
        return Cow::Borrowed(facts);
    }
    let mut rules = Vec::with_capacity(facts.rules.len());
    for (rule, fact) in facts.rules.iter().cloned() {
        let over = rule.because.is_profile().then(|| overruled(policy, facts, (&rule, &fact))).flatten();
        if let Some(by) = over {
            notes.push(format!("{} ({}) is left out: {by} says otherwise", rule.path.display(), rule.because));
        } else if rule.because.is_profile() && policy.mode == Mode::ReadOnly && rule.access.writes() {
            rules.push((Rule { access: Access::Read, ..rule }, fact));
        } else {
            rules.push((rule, fact));
        }
    }
    Cow::Owned(Facts { rules, ..facts.clone() })
}

/// Who of the user's overrules a rule of a profile.
fn overruled(policy: &Policy, facts: &Facts, (rule, fact): (&Rule, &PathFact)) -> Option<Origin> {
    let names = [rule.path.as_path(), fact.leads_to(&rule.path)];
    let covers = |above: &Path| names.iter().any(|name| name.starts_with(above));
    let is_user_s = |(said, _): &&Looked| said.because.is_explicit() && !said.because.is_profile();
    let overrules = |(said, leads): &&Looked| {
        let theirs = [said.path.as_path(), leads.leads_to(&said.path)];
        let same = theirs.iter().any(|path| names.contains(path));
        let denied = said.access == Access::None && said.path != Path::new("/");
        same || denied && theirs.iter().any(|path| covers(path))
    };
    let by_rule = facts.rules.iter().filter(is_user_s).find(overrules).map(|(said, _)| said.because.clone());
    by_rule.or_else(|| {
        let found = facts.globbed.iter().find(|found| covers(&found.present.path))?;
        let glob = policy.globs.get(found.glob)?;
        Some(Origin::Glob(glob.written.clone(), Box::new(glob.because.clone())))
    })
}
