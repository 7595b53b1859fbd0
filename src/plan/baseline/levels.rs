//! What the rules say of a path, while the baseline is added to them.

use std::path::Path;

use super::{By, Entry, Item, Relation};
use crate::host::Facts;
use crate::host::paths::{Kind, PathFact, Present};
use crate::plan::pathmap::PathMap;
use crate::policy::Policy;
use crate::policy::paths::{Access, Rule};
use crate::request::Said;

/// Rules in their order, and which of them holds at a path.
#[derive(Debug)]
pub(super) struct Levels {
    entries: Vec<Entry>,
    /// By path, where it leads: the rule that wins there.
    at: PathMap<usize>,
}

impl Levels {
    pub(super) fn new(policy: &Policy, facts: &Facts) -> Self {
        let mut levels = Self { entries: Vec::new(), at: PathMap::default() };
        for (rule, fact) in &facts.rules {
            let by = By::Policy(policy.source_of(&rule.because));
            let device = matches!(fact, PathFact::Present(Present { kind: Kind::Char { .. }, .. }));
            let path = fact.leads_to(&rule.path).to_owned();
            levels.push(Entry { path, rule: rule.clone(), fact: fact.clone(), by, authored: None, device });
        }
        if !policy.proc.value {
            levels.without_proc(&policy.proc);
        }
        levels
    }

    /// `--no-proc` is a rule about it.
    fn without_proc(&mut self, said: &Said<bool>) {
        let rule = Rule { path: "/proc".into(), access: Access::None, because: said.by.clone() };
        let fact = PathFact::Unreachable { errno: 0 };
        let by = By::Policy(crate::request::Source::User);
        self.push(Entry { path: "/proc".into(), rule, fact, by, authored: None, device: false });
    }

    /// As in the tree of the view: at the same path the more restrictive rule wins.
    fn push(&mut self, entry: Entry) {
        let entries = &self.entries;
        let stricter = |old: &usize| entries.get(*old).is_some_and(|old| old.rule.access <= entry.rule.access);
        self.at.insert(entry.path.clone(), entries.len(), |old, _| !stricter(old));
        self.entries.push(entry);
    }

    /// The rule at or above a path.
    pub(super) fn governing(&self, path: &Path) -> Option<&Entry> {
        self.at.governing(path).and_then(|(_, index)| self.entries.get(*index))
    }

    /// Rules of the policy below a path that say less than `level`.
    pub(super) fn less_below<'a>(&'a self, path: &'a Path, level: Access) -> impl Iterator<Item = &'a Entry> {
        let below = self.at.below(path);
        let entries = below.filter_map(|(_, index)| self.entries.get(*index));
        entries.filter(move |entry| matches!(entry.by, By::Policy(_)) && entry.rule.access < level)
    }

    /// Gives an item its level.
    pub(super) fn raise(&mut self, item: &Item<'_>, to: Access, relation: Option<Relation>) {
        if self.at.get(&item.resolved).is_some() {
            // All of them: the most restrictive one holds.
            let less = |entry: &&mut Entry| entry.path == item.resolved && entry.rule.access < to;
            for entry in self.entries.iter_mut().filter(less) {
                match &mut entry.by {
                    By::Baseline(group) => *group = item.group,
                    By::Policy(_) if relation.is_some() => entry.authored = Some(entry.rule.access),
                    By::Policy(_) => {}
                }
                entry.rule.access = to;
                entry.rule.because = item.because.clone();
            }
            return;
        }
        self.push(Entry {
            path: item.resolved.clone(),
            rule: Rule { path: item.path.clone(), access: to, because: item.because.clone() },
            fact: item.fact.clone(),
            by: By::Baseline(item.group),
            authored: None,
            device: item.device.is_some(),
        });
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

impl Entry {
    /// Whether somebody wrote the rule, and not merely for all that no other rule names.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.by, By::Policy(_)) && self.path != Path::new("/")
    }

    /// Whether it is a rule for the baseline's own needs.
    #[must_use]
    pub fn is_added(&self) -> bool {
        matches!(self.by, By::Baseline(_))
    }
}
