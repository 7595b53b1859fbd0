//! Where engines are meant to differ, and why. What no row covers is a failure, and so is a row that covers nothing.

use std::path::Path;

use ringfence::plan::Plan;
use ringfence::plan::why;
use ringfence::policy::paths::Access;
use ringfence::request::Backend;

use crate::probes::Attempt;
use crate::tree::Tree;

/// An attempt that came out in two ways.
pub struct Seen<'a> {
    pub engine: Backend,
    pub attempt: &'a Attempt,
    /// With the native engine, or by the plan.
    pub native: bool,
    pub other: bool,
    pub tree: &'a Tree,
}

type Covers = fn(&Seen<'_>, &Plan, &Plan) -> bool;

/// Name, reason, and what the row covers: given are the plan of the native engine and that of the other one.
pub const ROWS: &[(&str, &str, Covers)] = &[
    ("metadata", "Landlock has no right for mode and times (SECURITY.md)", |seen, _, _| is_metadata(seen)),
    (
        "not listed",
        "the right to list a directory is the right to list the hidden ones below it (docs/landlock.md)",
        |seen, native, other| {
            let target = seen.attempt.target();
            let hidden = |path: &Path| why::why(native, path).access == Access::None;
            is_landlock(seen, 'l', [true, false])
                && why::why(other, target).access == Access::None
                && seen.tree.below(target).any(hidden)
        },
    ),
    (
        "way to what is visible",
        "a hidden directory on the way to something visible is made anew with nothing else in it: Landlock shows the host's, \
         which cannot be listed",
        |seen, native, _| {
            let target = seen.attempt.target();
            is_landlock(seen, 'l', [true, false]) && why::why(native, target).access == Access::None
        },
    ),
    (
        "way through what is hidden",
        "Landlock restricts no walking: links in hidden directories lead on, to what can be read anyway (SECURITY.md)",
        |seen, _, _| seen.attempt.really.is_some() && is_landlock(seen, seen.attempt.what, [false, true]),
    ),
    ("mount point moved", "without mounts there are no mount points, which cannot be moved", |seen, native, _| {
        is_landlock(seen, 'n', [false, true])
            && has_mount(native, |target| seen.attempt.path == target || seen.attempt.other.as_deref() == Some(target))
    }),
    ("mount point removed", "nor removed, nor what holds them", |seen, native, _| {
        (is_landlock(seen, 'd', [false, true]) || is_landlock(seen, 'v', [false, true]))
            && has_mount(native, |target| target.starts_with(&seen.attempt.path))
    }),
];

fn is_landlock(seen: &Seen<'_>, what: char, [native, landlock]: [bool; 2]) -> bool {
    seen.engine == Backend::Landlock && seen.attempt.what == what && (seen.native, seen.other) == (native, landlock)
}

fn has_mount(plan: &Plan, at: impl Fn(&Path) -> bool) -> bool {
    plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops).any(|op| at(&op.target))
}

/// The row that covers a difference.
pub fn row(seen: &Seen<'_>, native: &Plan, other: &Plan) -> Option<&'static str> {
    ROWS.iter().find(|(_, _, covers)| covers(seen, native, other)).map(|(name, ..)| *name)
}

/// Landlock has no right for it.
pub fn is_metadata(seen: &Seen<'_>) -> bool {
    seen.engine == Backend::Landlock && matches!(seen.attempt.what, 'h' | 'u') && seen.other
}
