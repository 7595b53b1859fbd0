//! What a command may touch, for a person at a terminal: `ringfence plan --tree`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::tree::{Branch, Level, tree};
use super::{Line, engine, limits, network, show};
use crate::plan::Plan;

/// So wide is the part with the paths; longer ones push the rest aside.
const PATHS: usize = 44;

/// The tree of paths with their levels, then network, limits and environment at a glance.
#[must_use]
pub fn outline(plan: &Plan) -> String {
    let tree = tree(plan);
    let mut out = String::new();
    let command: Vec<_> = plan.process.command.iter().map(|word| show(word.as_ref())).collect();
    line(&mut out, &command.join(" "));
    line(&mut out, &format!("  in {}, enforced by {}\n", show(&plan.process.cwd), engine(&plan.choice)));
    row(&mut out, &tree.name, &tree);
    below(&mut out, &tree.below, "");
    let mut counts = BTreeMap::new();
    tree.count(&mut counts);
    let counts: Vec<_> =
        Level::ALL.iter().filter_map(|level| Some(format!("{} {}", counts.get(level)?, level.name()))).collect();
    line(&mut out, &format!("\npaths: {}", counts.join(", ")));
    for (name, said) in glance(plan) {
        line(&mut out, &format!("{name}: {}", said.join("; ")));
    }
    for note in plan.choice.warnings.iter().chain(&plan.notes) {
        line(&mut out, &format!("note: {note}"));
    }
    out
}

/// What there is besides files, a line each.
fn glance(plan: &Plan) -> Vec<(&'static str, Vec<String>)> {
    let words = |lines: Vec<Line>| lines.into_iter().map(|line| joined(&line)).collect::<Vec<_>>();
    let mut parts = Vec::new();
    if let Some(confinement) = &plan.confinement {
        let mut network = vec![network::which(plan, confinement).target];
        network.extend(words(network::lines(confinement)));
        parts.push(("network", network));
    }
    let limits = words(limits::lines(plan));
    parts.push(("limits", if limits.is_empty() { vec!["none".to_owned()] } else { limits }));
    let env = &plan.process.env;
    let names: Vec<_> = env.dropped.iter().map(|(name, _)| show(name.as_ref())).collect();
    let dropped = if names.is_empty() { "nothing dropped".to_owned() } else { format!("dropped {}", names.join(" ")) };
    parts.push(("environment", vec![format!("{} variables, {} of them set", env.vars.len(), env.set.len()), dropped]));
    if !plan.unenforced.is_empty() {
        let left: Vec<_> = plan.unenforced.iter().map(|said| said.value.what.clone()).collect();
        parts.push(("not enforced", left));
    }
    parts
}

/// A line of a section without its reason.
pub(super) fn joined(line: &Line) -> String {
    let Line { what, target, because: _ } = line;
    if target.is_empty() { what.clone() } else { format!("{what} {target}") }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(out, "{text}");
}

fn row(out: &mut String, left: &str, branch: &Branch) {
    match &branch.grant {
        Some(grant) => {
            let pad = PATHS.saturating_sub(left.chars().count());
            line(out, &format!("{left}{:pad$} {:<9}  {}", "", grant.level.name(), grant.because));
        }
        None => line(out, left),
    }
}

fn below(out: &mut String, branches: &[Branch], indent: &str) {
    let mut groups = branches.chunk_by(Branch::is_like).peekable();
    while let Some(group) = groups.next() {
        let (edge, deeper) = if groups.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
        match group {
            [branch] => {
                row(out, &format!("{indent}{edge}{}", branch.name), branch);
                below(out, &branch.below, &format!("{indent}{deeper}"));
            }
            [first, ..] => {
                let left = format!("{indent}{edge}{}", names(group, PATHS.saturating_sub(indent.len() + 4)));
                let all_alike = group.iter().all(|branch| reason(branch) == reason(first));
                let mut one = first.clone();
                if let Some(grant) = one.grant.as_mut().filter(|_| !all_alike) {
                    grant.because = grant.sort.clone();
                }
                row(out, &left, &one);
            }
            [] => {}
        }
    }
}

fn reason(branch: &Branch) -> Option<&str> {
    branch.grant.as_ref().map(|grant| grant.because.as_str())
}

/// The names of a group as far as there is room, and how many more there are.
fn names(group: &[Branch], room: usize) -> String {
    let mut text = String::new();
    for (at, Branch { name, .. }) in group.iter().enumerate() {
        if at > 0 && text.chars().count() + name.chars().count() + 10 > room {
            return format!("{text} +{} more", group.len() - at);
        }
        text += if at > 0 { " " } else { "" };
        text += name;
    }
    text
}
