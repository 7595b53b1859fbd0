//! The baseline: what is added to a policy so that programs and GPUs work, and what becomes of rules that say less than
//! it wants. A step of its own between policy and plan, pure like both.
//!
//! What comes out is one list of rules. The mounts, the Landlock rules and what `ringfence plan` prints are made from it,
//! so they cannot disagree.

mod compat;
mod decide;
mod elsewhere;
mod levels;

use std::path::{Path, PathBuf};

pub use compat::{Lists, Machine, enriched};
pub use decide::{Decision, Event, Relation};
use levels::Levels;

use super::DeviceGrant;
use super::build::Told;
use super::cache::CacheDirectory;
use super::error::PlanError;
use super::gpu::GpuPlan;
use super::mounts::MountOp;
use crate::host::Facts;
use crate::host::paths::PathFact;
use crate::policy::Policy;
use crate::policy::baseline::rows::{ERROR_NO_DEVICE, Group, ROWS, Row, When};
use crate::policy::paths::{Access, Rule};
use crate::request::{Origin, Source};

/// One rule of the effective policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it leads, or as it is written where nothing is there.
    pub path: PathBuf,
    /// The rule that holds.
    pub rule: Rule,
    /// What is at its path.
    pub fact: PathFact,
    /// Who stands behind it.
    pub by: By,
    /// The level that was written, where the baseline changed it.
    pub authored: Option<Access>,
    /// Whether it is a character device, of which `modify` means: use it.
    pub device: bool,
}

/// Who stands behind a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The policy.
    Policy(Source),
    /// The baseline.
    Baseline(Group),
}

/// A policy with its baseline.
#[derive(Debug, Default)]
pub(super) struct Enriched {
    /// The rules that hold, as they are to be made.
    pub entries: Vec<Entry>,
    /// The nodes of GPUs that nothing keeps away.
    pub devices: Vec<DeviceGrant>,
    /// Mounts that show other content than the host's.
    pub shown: Vec<MountOp>,
    /// Links that come with them, and what of the host is to be there under another name.
    pub others: Vec<MountOp>,
    /// What was decided, one record for each path.
    pub decisions: Vec<Decision>,
}

/// The rule for a directory that outlives the command, which no policy writes.
pub(super) fn kept(cache: &CacheDirectory) -> Entry {
    let path = cache.path();
    let because = Origin::Gpu(CacheDirectory::WHY.to_owned());
    Entry {
        rule: Rule { path: path.clone(), access: Access::Write, because },
        path,
        // It is made before the command starts.
        fact: PathFact::Unreachable { errno: 0 },
        by: By::Baseline(Group::Gpu),
        authored: None,
        device: false,
    }
}

/// Something that the baseline wants.
#[derive(Debug, Clone)]
struct Item<'a> {
    /// As it is named in a table.
    path: PathBuf,
    /// Where it leads.
    resolved: PathBuf,
    fact: PathFact,
    want: Access,
    group: Group,
    because: Origin,
    needed_for: &'a str,
    consequence: &'static str,
    /// Whether a GPU that was asked for is of no use without it.
    required: bool,
    device: Option<&'a DeviceGrant>,
}

/// Adds the baseline to a policy. Errors are conflicts that must not be settled, warnings what somebody's own word
/// became.
pub(super) fn enrich(policy: &Policy, facts: &Facts, gpu: &GpuPlan, told: &mut Told) -> Enriched {
    let mut levels = Levels::new(policy, facts);
    if policy.baseline.compat.is_some() {
        return compat::enrich(policy, facts, &levels, told);
    }
    let mut found = Enriched::default();
    let mut decided: Vec<(Decision, Item<'_>)> = Vec::new();
    for item in items(policy, facts, gpu, &mut found.decisions) {
        let decision = decide::decide(policy, &levels, &item);
        let Some(decision) = decision else {
            found.devices.extend(item.device.cloned());
            continue;
        };
        if let Some(to) = decision.granted() {
            levels.raise(&item, to, decision.relation);
            found.devices.extend(item.device.cloned());
        }
        match decided.iter_mut().find(|(known, _)| known.is_outdone_by(&decision)) {
            Some(known) => *known = (Decision { from: known.0.from, ..decision }, item),
            None => decided.push((decision, item)),
        }
    }
    for (decision, item) in decided {
        tell(policy, &decision, &item, told);
        found.decisions.push(decision);
    }
    found.decisions.sort_by(|a, b| (&a.path, a.event as u8).cmp(&(&b.path, b.event as u8)));
    found.entries = levels.into_entries();
    found.others = elsewhere::operations(gpu, &found.devices);
    found
}

/// All that the baseline wants here, in the order of the tables. What is missing on this machine is recorded.
fn items<'a>(policy: &Policy, facts: &'a Facts, gpu: &'a GpuPlan, decisions: &mut Vec<Decision>) -> Vec<Item<'a>> {
    let has_gpu = !gpu.devices.is_empty();
    let mut items = Vec::new();
    for row in ROWS.iter().filter(|row| counts(row, policy, has_gpu)) {
        match presence(row.path, facts) {
            Some((resolved, fact)) => items.push(of_row(row, resolved, fact, gpu)),
            None => decisions.push(Decision::skipped(row.path, row.want, row.needed_for)),
        }
    }
    for (path, because) in &gpu.read_paths {
        if let Some((resolved, fact)) = presence(&path.to_string_lossy(), facts) {
            items.push(Item {
                path: path.clone(),
                resolved,
                fact,
                want: Access::Read,
                group: Group::Gpu,
                because: because.clone(),
                needed_for: "driver libraries",
                consequence: "the driver's libraries are not found",
                required: true,
                device: None,
            });
        }
    }
    items.extend(gpu.devices.iter().map(of_device));
    items
}

fn of_row<'a>(row: &'a Row, resolved: PathBuf, fact: PathFact, gpu: &GpuPlan) -> Item<'a> {
    let because = match row.group() {
        Group::Core => Origin::Baseline(row.needed_for),
        Group::Gpu => Origin::Gpu(format!("{}, {}", gpu.who, row.needed_for)),
    };
    Item {
        path: row.path.into(),
        resolved,
        fact,
        want: row.want,
        group: row.group(),
        because,
        needed_for: row.needed_for,
        consequence: row.consequence,
        required: row.required,
        device: None,
    }
}

fn of_device(grant: &DeviceGrant) -> Item<'_> {
    Item {
        path: grant.path.clone(),
        resolved: grant.path.clone(),
        fact: PathFact::Unreachable { errno: 0 },
        // Of a device, `modify` means: read, write and ioctl.
        want: if grant.read_only { Access::Read } else { Access::Modify },
        group: Group::Gpu,
        because: grant.because.clone(),
        needed_for: "this node of the driver",
        consequence: ERROR_NO_DEVICE,
        required: grant.required,
        device: Some(grant),
    }
}

/// Whether a row is about this policy.
fn counts(row: &Row, policy: &Policy, has_gpu: bool) -> bool {
    let own = !policy.dialect.names_proc();
    let core = policy.baseline.core || policy.dialect.names_proc() && policy.has_network();
    match row.when {
        When::OwnView => own,
        When::Core => core,
        When::CoreOfSystem => core && policy.source < Source::Admin,
        When::Gpu => has_gpu,
        When::GpuInNarrowRoot => has_gpu && policy.is_narrowed(),
    }
}

/// What is at a path of the baseline. `/proc` and shared memory are made for every sandbox that may have them.
fn presence(path: &str, facts: &Facts) -> Option<(PathBuf, PathFact)> {
    let path = Path::new(path);
    if path == Path::new("/proc") || path == Path::new("/dev/shm") {
        return Some((path.to_owned(), PathFact::Unreachable { errno: 0 }));
    }
    let present = facts.of_baseline(path)?;
    Some((present.path.clone(), PathFact::Present(present.clone())))
}

/// Whether a GPU was asked for by name, so that it has to work.
fn names_gpu(policy: &Policy) -> bool {
    policy.gpu.by.is_explicit() && policy.gpu.value.is_demand()
}

/// What the user hears: a word that somebody wrote and that was changed, and what stays out of reach. What this program
/// supplied is a note, and so is what follows from a denial.
fn tell(policy: &Policy, decision: &Decision, item: &Item<'_>, told: &mut Told) {
    let line = decision.to_string();
    let refused = || PlanError::Baseline { decision: Box::new(decision.clone()), wish: policy.gpu.by.clone() };
    match decision.event {
        Event::Refuse => told.errors.push(refused()),
        Event::OptOut if item.required && names_gpu(policy) => told.errors.push(refused()),
        Event::Conflict if decision.source > Some(Source::BuiltIn) => told.warnings.push(line),
        Event::Keep if is_heard(policy, decision, item) => told.warnings.push(line),
        Event::OptOut if item.group == Group::Gpu => told.warnings.push(line),
        Event::Conflict | Event::Keep | Event::OptOut => told.notes.push(line),
        Event::Add | Event::Skip => {}
    }
}

/// Whether it is worth a warning that a rule stays: where the policy is complete, or a GPU suffers, and nobody denied it.
fn is_heard(policy: &Policy, decision: &Decision, item: &Item<'_>) -> bool {
    let concerns = item.group == Group::Gpu || policy.dialect.names_proc();
    let denied = decision.from == Access::None && decision.relation != Some(Relation::Descendant);
    concerns && !denied || item.required && names_gpu(policy)
}
