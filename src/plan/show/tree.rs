//! What may be touched, as a tree of paths: what `plan --tree` and `plan --html` are made from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{file, root_line, show};
use crate::plan::choose::Engine;
use crate::plan::mounts::{Mount, MountOp, RootView};
use crate::plan::{Confinement, Plan, why};
use crate::policy::paths::Access;
use crate::request::Origin;

/// What holds at a path and below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Hidden,
    Read,
    Modify,
    Write,
    /// Of the sandbox's own: not what the host has there.
    Private,
    Device,
    /// Read-only, or kept from appearing, because it would run or steer something outside later.
    Protected,
}

impl Level {
    /// All of them, from the least to what is special.
    pub(super) const ALL: [Self; 7] =
        [Self::Hidden, Self::Read, Self::Modify, Self::Write, Self::Private, Self::Device, Self::Protected];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Read => "read",
            Self::Modify => "modify",
            Self::Write => "write",
            Self::Private => "private",
            Self::Device => "device",
            Self::Protected => "protected",
        }
    }

    pub(super) fn means(self) -> &'static str {
        match self {
            Self::Hidden => "cannot be read",
            Self::Read => "can be read",
            Self::Modify => "existing files can be changed",
            Self::Write => "can be changed, with all below",
            Self::Private => "the sandbox's own, not the host's",
            Self::Device => "a device that can be used",
            Self::Protected => "cannot be made or changed",
        }
    }
}

/// What the plan says of one path.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) level: Level,
    /// As `plan` words it, for example `blocked, missing`.
    pub(super) what: String,
    pub(super) because: String,
    /// The sort of reason: its first word.
    pub(super) sort: String,
}

/// A path, or several components of one where nothing branches off.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// Without the path above; `/` for the root. Safe to print on one line.
    pub(super) name: String,
    /// `None`: only something below is named.
    pub(super) grant: Option<Grant>,
    pub(super) below: Vec<Branch>,
}

impl Branch {
    /// Whether two are so much alike that one line can tell of both. What a GPU brings is told by name.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (&self.grant, &other.grant) else { return false };
        let alike = one.level == two.level && one.sort == two.sort && one.sort != "gpu";
        alike && self.below.is_empty() && other.below.is_empty()
    }

    fn order(&self) -> (bool, Option<(Level, &str)>) {
        let alike = self.grant.as_ref().map(|grant| (grant.level, grant.sort.as_str()));
        (!self.below.is_empty(), alike.filter(|_| self.below.is_empty()))
    }

    /// How many paths of each level there are, here and below.
    pub(super) fn count(&self, counts: &mut BTreeMap<Level, usize>) {
        if let Some(grant) = &self.grant {
            *counts.entry(grant.level).or_default() += 1;
        }
        self.below.iter().for_each(|branch| branch.count(counts));
    }
}

/// The whole tree, from `/`.
pub(super) fn tree(plan: &Plan) -> Branch {
    let Some(confinement) = &plan.confinement else {
        let because = "sandbox full-access".to_owned();
        let what = "nothing is restricted".to_owned();
        let grant = Grant { level: Level::Write, what, because, sort: String::new() };
        return Branch { name: "/".to_owned(), grant: Some(grant), below: Vec::new() };
    };
    // Of several at a path the last one is what is seen there.
    let ops = confinement.mounts.ops.iter().filter(|op| !matches!(op.what, Mount::Seal));
    let rows: BTreeMap<&Path, &MountOp> = ops.map(|op| (op.target.as_path(), op)).collect();
    let rows: Vec<_> = rows.into_iter().map(|(path, op)| (path, of_op(plan, op))).collect();
    let below = branches(&rows, Path::new("/"));
    Branch { name: "/".to_owned(), grant: Some(of_root(confinement)), below }
}

fn of_root(confinement: &Confinement) -> Grant {
    let level = match confinement.mounts.root {
        RootView::HostReadOnly => Level::Read,
        RootView::HostWritable => Level::Write,
        RootView::Empty => Level::Hidden,
    };
    let line = root_line(confinement);
    Grant { level, what: line.what, because: line.because, sort: String::new() }
}

fn of_op(plan: &Plan, op: &MountOp) -> Grant {
    let line = file(op);
    let sort = match &op.because {
        Origin::File { path, .. } => path.display().to_string(),
        because => because.to_string().split([':', ' ']).next().unwrap_or_default().to_owned(),
    };
    Grant { level: level(plan, op), what: line.what, because: line.because, sort }
}

fn level(plan: &Plan, op: &MountOp) -> Level {
    let by_mount = match &op.what {
        Mount::Mask { .. } | Mount::Veil { .. } | Mount::Plug { .. } | Mount::Closed => Level::Hidden,
        Mount::Device { .. } | Mount::Devices => Level::Device,
        Mount::Block { .. } | Mount::Guard => Level::Protected,
        Mount::Tmpfs { .. } | Mount::Dir | Mount::Link { .. } | Mount::Devpts | Mount::Proc | Mount::Data { .. } => {
            Level::Private
        }
        Mount::Bind { writable: true, .. } => Level::Write,
        Mount::Bind { writable: false, .. } | Mount::Other { .. } | Mount::Pin { .. } => Level::Read,
        Mount::ReadOnly | Mount::Seal => Level::Read,
    };
    let by_rules = || match why::why(plan, &op.target).access {
        Access::None => Level::Hidden,
        Access::Read => Level::Read,
        Access::Modify => Level::Modify,
        Access::Write => Level::Write,
    };
    // Elsewhere the mount at a path decides: to ask for each of thousands takes seconds.
    let alone = plan.choice.engine == Engine::Landlock;
    let narrowed = || plan.confinement.as_ref().is_some_and(|confinement| why::is_modify(confinement, &op.target));
    match by_mount {
        Level::Read if matches!(op.because, Origin::Protected(_)) => Level::Protected,
        Level::Read | Level::Hidden | Level::Write if alone => by_rules(),
        Level::Write if narrowed() => Level::Modify,
        level => level,
    }
}

/// The branches of sorted rows that lie below a directory.
fn branches(rows: &[(&Path, Grant)], above: &Path) -> Vec<Branch> {
    let first = |path: &Path| path.strip_prefix(above).ok()?.iter().next().map(OsStr::to_owned);
    let chunks = rows.chunk_by(|(one, _), (two, _)| first(one) == first(two));
    let mut branches: Vec<_> = chunks.filter_map(|rows| branch(rows, above)).collect();
    // What is alike stands together, before the directories, so that one line can tell of it.
    branches.sort_by(|one, two| one.order().cmp(&two.order()));
    branches
}

fn branch(rows: &[(&Path, Grant)], above: &Path) -> Option<Branch> {
    let (first, grant) = rows.first()?;
    let (last, _) = rows.last()?;
    let here: PathBuf =
        first.components().zip(last.components()).take_while(|(one, two)| one == two).map(|(one, _)| one).collect();
    let (grant, rest) = if *first == here { (Some(grant.clone()), rows.get(1..)?) } else { (None, rows) };
    let name = here.strip_prefix(above).unwrap_or(&here);
    Some(Branch { name: show(name), grant, below: branches(rest, &here) })
}
