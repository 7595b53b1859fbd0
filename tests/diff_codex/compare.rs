//! Two lists of results, and the table of what may differ between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::run::Results;

/// A difference that is meant. Every text is a pattern: `*` stands for anything, `|` separates several patterns.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    pub policies: &'static str,
    pub probes: &'static str,
    pub reference: &'static str,
    pub ours: &'static str,
    /// Why ours is right; for those who read the table, and for the report of a row that is stale.
    #[expect(dead_code, reason = "printed with the row")]
    pub why: &'static str,
}

/// One probe of one policy, with two answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub policy: String,
    pub probe: String,
    pub reference: String,
    pub ours: String,
}

/// The answer of a side that has none.
const NOTHING: &str = "-";

/// Everything that was compared.
#[derive(Default)]
pub struct Report {
    /// Policies and command lines, each for every user.
    pub cases: usize,
    pub probes: usize,
    pub found: Vec<Found>,
}

impl Report {
    /// Adds a policy. Where only one side started, its probes have nothing to be compared with.
    pub fn add(&mut self, policy: &str, reference: &Results, ours: &Results) {
        self.cases += 1;
        let both = reference.get("ran") == ours.get("ran");
        let names: BTreeSet<_> = reference.keys().chain(ours.keys()).collect();
        let compared =
            names.into_iter().filter(|name| *name != "stderr" && (both || *name == "ran" || *name == "exit"));
        for name in compared {
            self.probes += 1;
            let said = |side: &Results| side.get(name).map_or(NOTHING, String::as_str).to_owned();
            let (reference, ours) = (said(reference), said(ours));
            if reference != ours {
                self.found.push(Found { policy: policy.to_owned(), probe: name.clone(), reference, ours });
            }
        }
    }

    /// What is in no row, and the rows that nothing was found for.
    pub fn judge(&self, table: &[&'static Difference]) -> (Vec<&Found>, Vec<&'static Difference>) {
        let unlisted = self.found.iter().filter(|found| !table.iter().any(|row| row.covers(found))).collect();
        let stale = table.iter().copied().filter(|row| !self.found.iter().any(|found| row.covers(found))).collect();
        (unlisted, stale)
    }
}

impl Difference {
    fn covers(&self, found: &Found) -> bool {
        matches(self.policies, &found.policy)
            && matches(self.probes, &found.probe)
            && matches(self.reference, &found.reference)
            && matches(self.ours, &found.ours)
    }
}

/// Differences of the same kind on one line: probe, both answers, and the policies.
pub fn grouped(found: &[&Found]) -> String {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for one in found {
        groups.entry((&one.probe, &one.reference, &one.ours)).or_default().push(&one.policy);
    }
    groups.into_iter().fold(String::new(), |mut text, ((probe, reference, ours), policies)| {
        let shown = policies.iter().take(8).copied().collect::<Vec<_>>().join("|");
        let more = policies.len().checked_sub(8).map_or(String::new(), |more| format!(" and {more} more"));
        writeln!(text, "  {probe}: reference {reference:?}, ours {ours:?}, in {}: {shown}{more}", policies.len())
            .unwrap();
        text
    })
}

/// Whether one of the patterns fits the whole text.
pub fn matches(patterns: &str, text: &str) -> bool {
    patterns.split('|').any(|pattern| fits(pattern, text))
}

fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    ends.into_iter().any(|at| fits(rest, &text[at..]))
}
