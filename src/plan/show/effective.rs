//! The effective policy: what holds at which path, who says so, and what the baseline changed.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::super::Plan;
use super::super::baseline::{By, Decision, Entry, Event};
use super::super::choose::Engine;
use super::super::landlock::{Beneath, LandlockRule, rights};
use super::show;
use crate::host::paths::{Kind, PathFact};
use crate::policy::Policy;
use crate::policy::baseline::rows::Group;
use crate::policy::paths::Access;
use crate::policy::tables;
use crate::request::network::NetworkRule;
use crate::request::{Landlock, Net, Said};

/// The rules that hold, one for each path, sorted. Of several for a path the most restrictive one counts.
fn listed(plan: &Plan) -> Vec<&Entry> {
    let mut entries: Vec<_> = plan.effective.iter().filter(|entry| holds(entry)).collect();
    entries.sort_by_key(|entry| (&entry.path, entry.rule.access, entry.authored.is_none()));
    entries.dedup_by(|a, b| a.path == b.path);
    entries
}

/// What may be done, which is not all that a rule says: a node to be read is not granted, unless every sandbox has it.
fn granted(entry: &Entry) -> Access {
    let base = || tables::BASE_DEVICES.iter().any(|(path, ..)| entry.path == Path::new(path));
    match entry.rule.access {
        Access::Read if entry.device && !base() => Access::None,
        access => access,
    }
}

/// What a path may be used for, in one word.
fn level(entry: &Entry) -> &'static str {
    match granted(entry) {
        Access::Modify | Access::Write if entry.device => "device",
        Access::None => "none",
        Access::Read => "read",
        Access::Modify => "modify",
        Access::Write => "write",
    }
}

/// Whether there is something that a rule is about.
fn holds(entry: &Entry) -> bool {
    !matches!(entry.fact, PathFact::Missing { .. } | PathFact::Dangling { .. })
}

fn is_dir(entry: &Entry) -> bool {
    match &entry.fact {
        PathFact::Present(present) => present.kind == Kind::Dir,
        _ => !entry.device,
    }
}

/// The Landlock rights of an entry under an ABI, by name.
#[must_use]
pub fn rights_of(entry: &Entry, abi: u32) -> Vec<&'static str> {
    let allow = match granted(entry) {
        Access::Modify | Access::Write if entry.device => Some(Beneath::Devices),
        access => Beneath::of(access),
    };
    let dir = is_dir(entry);
    rights::names(allow.map_or(0, |allow| rights::rights(allow, abi, dir)))
}

/// The rights of an entry in a plan: where Landlock is all there is, those of its rules.
fn rights_in(plan: &Plan, entry: &Entry) -> Vec<&'static str> {
    let Some(wall) = plan.confinement.as_ref().map(|confinement| &confinement.landlock) else { return Vec::new() };
    if plan.choice.engine != Engine::Landlock || granted(entry) == Access::None {
        return rights_of(entry, wall.abi);
    }
    let of_path = |rule: &&LandlockRule| rule.path == entry.path && rule.allow != Beneath::List;
    let mut rules = wall.rules.iter().filter(of_path).peekable();
    if rules.peek().is_none() && wall.rules.iter().any(|rule| rule.path.starts_with(&entry.path)) {
        // Its entries have them, one by one.
        return rights_of(entry, wall.abi);
    }
    let dir = is_dir(entry);
    rights::names(rules.fold(0, |mask, rule| mask | rights::rights(rule.allow, wall.abi, dir)))
}

/// A list of `{path, level, rights, origin, source, authored_level, mode, why}`, sorted by path.
#[must_use]
pub fn json(plan: &Plan) -> Value {
    let one = |entry: &&Entry| {
        let decision = plan.decisions.iter().find(|decision| decision.resolved == entry.path);
        let (origin, source) = match entry.by {
            By::Policy(source) => ("policy", Some(source)),
            By::Baseline(Group::Core) => ("baseline:core", None),
            By::Baseline(Group::Gpu) => ("baseline:gpu", None),
        };
        json!({
            "path": entry.path.to_string_lossy(),
            "level": level(entry),
            "rights": rights_in(plan, entry),
            "origin": origin,
            "source": source,
            "authored_level": entry.authored.map(|access| access.to_string()),
            "mode": decision.and_then(|decision| decision.mode),
            "why": entry.rule.because.to_string(),
        })
    };
    Value::Array(listed(plan).iter().map(one).collect())
}

/// One record: what the baseline wanted, and what became of it.
#[must_use]
pub fn record(plan: &Plan, decision: &Decision) -> Value {
    let entry = plan.effective.iter().find(|entry| entry.path == decision.resolved);
    let event = match decision.event {
        Event::Add => "baseline.add",
        Event::Conflict | Event::Keep | Event::Refuse => "baseline.conflict",
        Event::OptOut => "baseline.optout",
        Event::Skip => "baseline.skip",
    };
    json!({
        "event": event,
        "path": decision.path.to_string_lossy(),
        "resolved": decision.resolved.to_string_lossy(),
        "relation": decision.relation,
        "from": decision.from,
        "to": decision.to,
        "wanted": decision.wanted,
        "rights": entry.map(|entry| rights_in(plan, entry)).unwrap_or_default(),
        "abi": plan.confinement.as_ref().map(|confinement| confinement.landlock.abi),
        "mode": decision.mode,
        "decided_by": decision.decided_by.to_string(),
        "source": decision.source,
        "policy_location": decision.written.as_ref().map(ToString::to_string),
        "why": decision.why,
        "consequence": decision.consequence,
    })
}

/// One line for each change: `+` added, `~` changed, `=` kept although something needs more, `-` left out.
#[must_use]
pub fn diff(plan: &Plan) -> String {
    let mut text = String::new();
    for decision in &plan.decisions {
        let mark = match decision.event {
            Event::Add => '+',
            Event::Conflict => '~',
            Event::Keep | Event::OptOut | Event::Refuse => '=',
            Event::Skip => continue,
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{mark} {decision}");
    }
    for Said { value, by } in &plan.unenforced {
        let _written = writeln!(text, "- {} [{}] ({by})", value.what, value.code);
    }
    text
}

/// The effective policy as a policy file of OpenShell. What that cannot say is a comment: it never says less than holds.
#[must_use]
pub fn openshell(plan: &Plan, policy: &Policy) -> String {
    let entries = listed(plan);
    let list = |wanted: &dyn Fn(Access) -> bool| {
        let said = |entry: &&&Entry| wanted(entry.rule.access) && entry.path.to_str().is_some();
        let lines = entries.iter().filter(said).map(|entry| {
            let narrow = entry.rule.access == Access::Modify;
            let comment = if narrow {
                format!("  # {}: {}", level(entry), rights_in(plan, entry).join(", "))
            } else {
                String::new()
            };
            format!("    - {}{comment}\n", quoted(&entry.path))
        });
        let lines: String = lines.collect();
        if lines.is_empty() { " []\n".to_owned() } else { format!("\n{lines}") }
    };
    let unsaid = entries.iter().filter(|entry| entry.rule.access > Access::None && entry.path.to_str().is_none());
    let unsaid: String =
        unsaid.map(|entry| format!("# not UTF-8, which this format must be: {}\n", show(&entry.path))).collect();
    let hidden = entries.iter().filter(|entry| entry.rule.access == Access::None && entry.path != Path::new("/"));
    let hidden: String =
        hidden.map(|entry| format!("# hidden, which this format cannot say: {}\n", show(&entry.path))).collect();
    let required = policy.landlock.as_ref().is_none_or(|said| said.value == Landlock::Required);
    format!(
        "version: 1\nfilesystem_policy:\n  include_workdir: false\n  read_only:{}  read_write:{}landlock:\n  compatibility: {}\n{}{}{hidden}{unsaid}",
        list(&|access| access == Access::Read),
        list(&Access::writes),
        if required { "hard_requirement" } else { "best_effort" },
        process(policy),
        network(policy),
    )
}

fn quoted(path: &Path) -> String {
    Value::from(path.to_string_lossy()).to_string()
}

fn process(policy: &Policy) -> String {
    let line = |key: &str, said: &Option<Said<String>>| {
        said.as_ref().map(|said| format!("  {key}: {}\n", Value::from(said.value.as_str()))).unwrap_or_default()
    };
    let lines = line("run_as_user", &policy.identity.user) + &line("run_as_group", &policy.identity.group);
    if lines.is_empty() { lines } else { format!("process:\n{lines}") }
}

/// What is enforced of the network: nothing of what was left out. What flags say has no words here.
fn network(policy: &Policy) -> String {
    let rules = policy.network.iter().filter(|rule| policy.net.value == Net::Allow && rule.value.is_everybodys());
    let mut text = String::new();
    for (number, Said { value, .. }) in rules.enumerate() {
        let NetworkRule { name, hosts, programs, addresses } = value;
        let key = format!("rule{number}");
        let _written = write!(text, "  {key}:\n    name: {}\n    endpoints:\n", Value::from(name.as_str()));
        for (host, port) in hosts.iter().filter_map(|host| host.rsplit_once(':')) {
            let host = if host == "*" { String::new() } else { format!("host: {}, ", Value::from(host)) };
            let allowed =
                if addresses.is_empty() { String::new() } else { format!(", allowed_ips: {}", json!(addresses)) };
            let _written = writeln!(text, "      - {{{host}port: {port}{allowed}}}");
        }
        // An entry without programs is nobody's there.
        let everybody = ["/**".to_owned()];
        let programs = if programs.is_empty() { &everybody[..] } else { programs };
        let programs: Vec<_> = programs.iter().map(|path| json!({ "path": path })).collect();
        let _written = writeln!(text, "    binaries: {}", Value::from(programs));
    }
    if text.is_empty() { text } else { format!("network_policies:\n{text}") }
}
