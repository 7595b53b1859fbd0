//! What becomes of one wish of the baseline.

use std::fmt;
use std::path::{Path, PathBuf};

use super::levels::Levels;
use super::{By, Entry, Item, names_gpu};
use crate::policy::Policy;
use crate::policy::baseline::Setting;
use crate::policy::baseline::rows::Group;
use crate::policy::paths::Access;
use crate::request::baseline::Conflict;
use crate::request::{Origin, Source};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The policy says nothing about the path: it was added.
    Add,
    /// The policy says less: it was promoted.
    Conflict,
    /// The policy says less, and that stays.
    Keep,
    /// The settings forbid it.
    OptOut,
    /// It is not there.
    Skip,
    /// Nothing may run.
    Refuse,
}

/// How a rule of the policy stands to the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It is about the path itself.
    Exact,
    /// It is about a directory above.
    Ancestor,
    /// It is about something below, which a wider grant would void where rules only add rights.
    Descendant,
}

/// One record: what the baseline wanted at a path, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened.
    pub event: Event,
    /// As the baseline names it.
    pub path: PathBuf,
    /// Where it leads.
    pub resolved: PathBuf,
    /// The rule in the way, as seen from here; `None` where there is none.
    pub relation: Option<Relation>,
    /// What the policy says.
    pub from: Access,
    /// What holds.
    pub to: Access,
    /// What was wanted.
    pub wanted: Access,
    /// How the conflict was settled.
    pub mode: Option<Conflict>,
    /// Who settled it.
    pub decided_by: Origin,
    /// Where the rule in the way came from.
    pub source: Option<Source>,
    /// Who wrote it.
    pub written: Option<Origin>,
    /// Whose wish it was.
    pub asked: Option<Origin>,
    /// What it is needed for.
    pub why: String,
    /// What fails with less.
    pub consequence: &'static str,
    /// Whether it is a device node.
    pub device: bool,
}

const DEFAULT: Origin = Origin::Preset("default");

impl Decision {
    pub(super) fn skipped(path: &str, wanted: Access, why: &str) -> Self {
        Self {
            event: Event::Skip,
            path: path.into(),
            resolved: path.into(),
            relation: None,
            from: Access::None,
            to: Access::None,
            wanted,
            mode: None,
            decided_by: DEFAULT,
            source: None,
            written: None,
            asked: None,
            why: why.to_owned(),
            consequence: "",
            device: false,
        }
    }

    /// The level that the path gets, if it gets one.
    pub(super) fn granted(&self) -> Option<Access> {
        matches!(self.event, Event::Add | Event::Conflict).then_some(self.to)
    }

    /// What was, and what holds, in one word each.
    #[must_use]
    pub fn levels(&self) -> (String, String) {
        (self.level(self.from), self.level(self.to))
    }

    /// Whether a later wish for the same path takes the place of this one: one record tells of both.
    pub(super) fn is_outdone_by(&self, later: &Self) -> bool {
        let events = (self.event, later.event);
        let outdone = matches!(events, (Event::Add, Event::Add | Event::Conflict) | (Event::OptOut, Event::OptOut));
        outdone && self.resolved == later.resolved
    }

    fn level(&self, access: Access) -> String {
        if self.device && access.writes() { "device".to_owned() } else { access.to_string() }
    }
}

/// Decides about one item; `None` where the policy says enough already.
pub(super) fn decide(policy: &Policy, levels: &Levels, item: &Item<'_>) -> Option<Decision> {
    // The sandbox's own /dev shows no node for being in a readable tree.
    let in_dev = item.resolved.starts_with("/dev");
    let governing = levels.governing(&item.resolved).filter(|entry| !in_dev || entry.path != Path::new("/"));
    let from = governing.map_or(Access::None, |entry| entry.rule.access);
    if from >= item.want {
        return None;
    }
    let ways = in_the_way(levels, item, governing);
    let settled = ways.iter().map(|(relation, rule)| (mode(policy, item, *relation, rule), *relation, *rule));
    // Where several rules are in the way, what the strictest of them comes to counts.
    let settled = settled.reduce(|known, next| if next.0.0 > known.0.0 { next } else { known });
    let (relation, rule) = settled.as_ref().map(|(_, relation, rule)| (*relation, *rule)).unzip();
    let mut decision = Decision {
        event: Event::Add,
        path: item.path.clone(),
        resolved: item.resolved.clone(),
        relation,
        from,
        to: item.want,
        wanted: item.want,
        mode: None,
        decided_by: DEFAULT,
        source: rule.and_then(|entry| entry.source()),
        written: rule.map(|entry| entry.rule.because.clone()),
        asked: Some(item.because.clone()),
        why: item.needed_for.to_owned(),
        consequence: item.consequence,
        device: item.device.is_some(),
    };
    if let Some((_, by)) =
        policy.baseline.keep.iter().find(|(glob, _)| glob.matches(&item.path) || glob.matches(&item.resolved))
    {
        return Some(Decision { event: Event::OptOut, to: from, decided_by: by.clone(), ..decision });
    }
    let Some(((mode, by), ..)) = settled else { return Some(decision) };
    (decision.mode, decision.decided_by) = (Some(mode), by);
    (decision.event, decision.to) = match mode {
        Conflict::Promote => (Event::Conflict, if item.device.is_some() { item.want } else { widest(item) }),
        Conflict::PromoteNarrow => (Event::Conflict, item.want.min(Access::Modify)),
        Conflict::Keep => (Event::Keep, from),
        Conflict::Refuse => (Event::Refuse, from),
    };
    // What is not more than there is needs no promotion.
    (decision.to > from || decision.event != Event::Conflict).then_some(decision)
}

/// What OpenShell grants where it promotes: everything.
fn widest(item: &Item<'_>) -> Access {
    if item.want.writes() { Access::Write } else { item.want }
}

impl Entry {
    fn source(&self) -> Option<Source> {
        match self.by {
            By::Policy(source) => Some(source),
            By::Baseline(_) => None,
        }
    }
}

/// The rules of the policy that say less than the item wants.
fn in_the_way<'a>(levels: &'a Levels, item: &'a Item<'_>, governing: Option<&'a Entry>) -> Vec<(Relation, &'a Entry)> {
    let relation = |entry: &Entry| if entry.path == item.resolved { Relation::Exact } else { Relation::Ancestor };
    let above = governing.filter(|entry| entry.is_written()).map(|entry| (relation(entry), entry));
    // A view of the sandbox's own is made as it is; only the wish of a GPU could void a rule in it.
    let voids = item.want.writes() && item.group == Group::Gpu && item.device.is_none();
    let level = if voids { item.want.min(Access::Modify) } else { Access::None };
    let below = levels.less_below(&item.resolved, level).map(|entry| (Relation::Descendant, entry));
    above.into_iter().chain(below).collect()
}

/// How a conflict is settled, and by whom: settings of files, then flags, then the default of the source.
fn mode(policy: &Policy, item: &Item<'_>, relation: Relation, rule: &Entry) -> (Conflict, Origin) {
    let source = rule.source().unwrap_or_default();
    let default = default_mode(policy, item, relation, source, rule);
    let fits = |setting: &&Setting, path: &Path| {
        setting.glob.matches(path) && (setting.sources.is_empty() || setting.sources.contains(&source))
    };
    // Where the two spellings are told different things, the stricter one counts.
    let first = |relaxes: bool| {
        let of = |setting: &&Setting| setting.may_relax == relaxes;
        let first = |path| policy.baseline.conflicts.iter().filter(of).find(|setting| fits(setting, path));
        [&item.path, &item.resolved].into_iter().filter_map(|path| first(path)).max_by_key(|setting| setting.mode)
    };
    let (mut mode, mut by) = first(true).map_or((default, DEFAULT), |setting| (setting.mode, setting.by.clone()));
    // Of whoever is no administrator: wherever it stands, it takes nothing from an administrator's word.
    if let Some(setting) = first(false).filter(|setting| setting.mode > mode) {
        (mode, by) = (setting.mode, setting.by.clone());
    }
    let denied = rule.rule.access == Access::None;
    for flag in policy.baseline.flags.iter().filter(|flag| fits(flag, &item.path) || fits(flag, &item.resolved)) {
        if flag.may_relax || flag.mode > mode {
            (mode, by) = (flag.mode, flag.by.clone());
        }
    }
    // A denial beats every grant.
    if denied && mode < Conflict::Keep { (Conflict::Keep, rule.rule.because.clone()) } else { (mode, by) }
}

fn default_mode(policy: &Policy, item: &Item<'_>, relation: Relation, source: Source, rule: &Entry) -> Conflict {
    use Conflict::{Keep, PromoteNarrow, Refuse};
    if item.group == Group::Core || rule.rule.access == Access::None {
        // What a policy says of other paths is its own word.
        return Keep;
    }
    match (source, relation) {
        (Source::BuiltIn, _) | (Source::Image | Source::Admin, Relation::Ancestor) => PromoteNarrow,
        (Source::Image, Relation::Exact) => PromoteNarrow,
        (Source::Image | Source::Admin, _) => Keep,
        (Source::User, _) if !names_gpu(policy) => Keep,
        (Source::User, Relation::Descendant) => Refuse,
        (Source::User, Relation::Exact | Relation::Ancestor) => PromoteNarrow,
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let (from, to, wanted) = (self.level(self.from), self.level(self.to), self.level(self.wanted));
        let place = |f: &mut fmt::Formatter<'_>| match (&self.written, self.relation) {
            (Some(written), Some(Relation::Exact) | None) => write!(f, " ({written})"),
            (Some(written), Some(Relation::Ancestor)) => write!(f, " ({written}, a directory above it)"),
            (Some(written), Some(Relation::Descendant)) => write!(f, " ({written}, something below it)"),
            (None, _) => Ok(()),
        };
        match self.event {
            Event::Add => write!(f, "{path} is added, {to}: {}", self.why),
            Event::Skip => write!(f, "{path} is not there: {}", self.why),
            Event::Conflict => {
                write!(f, "{path}")?;
                place(f)?;
                write!(f, " is promoted from {from} to {to}: {}", self.why)
            }
            Event::Keep => {
                write!(f, "{path}")?;
                place(f)?;
                write!(f, " stays {from}, not {wanted}: {}", self.consequence)
            }
            Event::OptOut => write!(f, "{path} stays {from} by {}: {}", self.decided_by, self.consequence),
            Event::Refuse => {
                write!(f, "{path}")?;
                place(f)?;
                write!(f, " is {from}, and {wanted} is needed, or {}", self.consequence)
            }
        }
    }
}
