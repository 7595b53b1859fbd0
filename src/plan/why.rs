//! "May it read or write this path, and which line says so?"

use std::path::{Path, PathBuf};

use super::choose::Engine;
use super::landlock::{Beneath, LandlockRule};
use super::mounts::{Mount, MountOp, RootView};
use super::{Confinement, Plan};
use crate::policy::paths::Access;
use crate::request::Origin;

/// The answer for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What may be done.
    pub access: Access,
    /// Where the deciding line is.
    pub at: PathBuf,
    /// What the line says.
    pub line: String,
    /// Who asked for it.
    pub because: String,
    /// The same, where a line of the plan decides.
    pub by: Option<Origin>,
    /// Whether nothing is there, and is kept from appearing.
    pub is_missing: bool,
}

/// What the plan allows for `path`, which is canonical.
///
/// The mounts decide, the last one at or above the path; `modify` is told apart from `write` by the Landlock rules.
///
/// Where Landlock is all there is, its rules decide, all of those at and above the path together: what is taken apart has
/// one for each entry.
#[must_use]
pub fn why(plan: &Plan, path: &Path) -> Answer {
    let answer = by_mounts(plan, path);
    let Some(confinement) = plan.confinement.as_ref().filter(|_| plan.choice.engine == Engine::Landlock) else {
        return answer;
    };
    let watched = winner(confinement, path).is_some_and(|op| matches!(op.what, Mount::Guard));
    let most = if watched { answer.access } else { Access::Write };
    let access = by_rules(confinement, path).min(most);
    if access == answer.access {
        return answer;
    }
    let line = "what Landlock's rules at and above it come to".to_owned();
    Answer { access, line, ..answer }
}

fn by_rules(confinement: &Confinement, path: &Path) -> Access {
    let access = |rule: &LandlockRule| match rule.allow {
        Beneath::Write => Access::Write,
        Beneath::Modify | Beneath::Devices => Access::Modify,
        Beneath::Read => Access::Read,
        Beneath::List if rule.path == path => Access::Read,
        Beneath::List => Access::None,
    };
    let rules = confinement.landlock.rules.iter().filter(|rule| path.starts_with(&rule.path));
    rules.map(access).max().unwrap_or(Access::None)
}

fn by_mounts(plan: &Plan, path: &Path) -> Answer {
    let Some(confinement) = &plan.confinement else {
        let because = "sandbox full-access".to_owned();
        return Answer {
            access: Access::Write,
            at: "/".into(),
            line: "nothing is restricted".to_owned(),
            because,
            by: None,
            is_missing: false,
        };
    };
    let Some(op) = winner(confinement, path) else {
        let (access, line) = match confinement.mounts.root {
            RootView::HostReadOnly => (Access::Read, "the root is read-only"),
            RootView::HostWritable => (Access::Write, "the root is writable"),
            RootView::Empty => (Access::None, "the root is empty"),
        };
        let because = "no other rule covers it".to_owned();
        return Answer { access, at: "/".into(), line: line.to_owned(), because, by: None, is_missing: false };
    };
    let (access, line) = meaning(op, path);
    let access = if access == Access::Write && is_modify(confinement, path) { Access::Modify } else { access };
    Answer {
        access,
        at: op.target.clone(),
        line: line.to_owned(),
        because: op.because.to_string(),
        by: Some(op.because.clone()),
        is_missing: matches!(op.what, Mount::Block { .. } | Mount::Guard),
    }
}

/// Whether the rules under the mounts let a path that is mounted writable be modified only.
pub(super) fn is_modify(confinement: &Confinement, path: &Path) -> bool {
    let rules = confinement.landlock.rules.iter().filter(|rule| path.starts_with(&rule.path));
    let deepest = rules.max_by_key(|rule| rule.path.components().count());
    deepest.is_some_and(|rule| rule.allow == Beneath::Modify) && !path.starts_with("/proc")
}

/// Whether the command can change what the host has at `path`, which is canonical. In a view of its own it cannot.
#[must_use]
pub fn changes_host(plan: &Plan, path: &Path) -> bool {
    plan.confinement.as_ref().is_some_and(|confinement| match winner(confinement, path) {
        Some(op) => matches!(op.what, Mount::Bind { writable: true, .. }),
        None => confinement.mounts.root == RootView::HostWritable,
    })
}

fn winner<'a>(confinement: &'a Confinement, path: &Path) -> Option<&'a MountOp> {
    let deepest = |op: &&MountOp| path.starts_with(&op.target) && !matches!(op.what, Mount::Seal);
    confinement.mounts.ops.iter().filter(deepest).max_by_key(|op| op.target.components().count())
}

fn meaning(op: &MountOp, path: &Path) -> (Access, &'static str) {
    let here = op.target == path;
    match &op.what {
        Mount::Bind { writable: true, .. } => (Access::Write, "bound writable"),
        Mount::Other { .. } => (Access::Read, "something else of the host, bound read-only"),
        Mount::Bind { writable: false, .. } | Mount::ReadOnly | Mount::Pin { .. } => (Access::Read, "bound read-only"),
        Mount::Data { .. } => (Access::Read, "content of the sandbox's own"),
        Mount::Devices => (Access::Write, "all device nodes of the host"),
        Mount::Device { read_only: true, .. } => (Access::Read, "a device that can be read"),
        Mount::Device { .. } => (Access::Modify, "a granted device"),
        Mount::Mask { .. } | Mount::Plug { .. } => (Access::None, "hidden"),
        Mount::Veil { .. } if here => (Access::None, "hidden, but can be passed through"),
        Mount::Veil { .. } => (Access::None, "hidden"),
        Mount::Block { .. } => (Access::Read, "missing, and blocked from being made"),
        Mount::Guard => (Access::Read, "missing, and watched: whoever makes it ends the sandbox"),
        Mount::Tmpfs { mode, .. } if mode & 0o002 != 0 => {
            (Access::Write, "a private tmpfs: the host's content is not there, and what is written is gone at the end")
        }
        Mount::Tmpfs { .. } if path.starts_with("/dev") && !here => {
            (Access::None, "a private /dev: only what is listed is there")
        }
        Mount::Tmpfs { .. } if path.starts_with("/dev") => {
            (Access::Read, "a private /dev: only what is listed is there")
        }
        Mount::Tmpfs { .. } => (Access::Write, "a private tmpfs: the host's content is not there"),
        Mount::Devpts => (Access::Modify, "private terminals"),
        Mount::Proc => (Access::Modify, "a fresh procfs of the sandbox's own processes"),
        Mount::Closed => (Access::None, "closed: nothing of it can be opened but what other lines name"),
        Mount::Dir if !here => (Access::None, "an empty directory of the sandbox"),
        Mount::Dir | Mount::Link { .. } | Mount::Seal => (Access::Read, "made for the sandbox"),
    }
}
