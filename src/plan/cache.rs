//! Directories that are made before the command starts and stay when it has ended: what is compiled in one run is there
//! in the next one of the same workspace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::gpu::CACHES;
use super::mounts::{MountOp, Node, View};
use super::view::Builder;
use crate::host::cache::Place;
use crate::host::paths::{FileId, Kind};
use crate::policy::paths::Access;
use crate::request::{Mode, Origin};

/// A directory of the user's that is made where it is missing, and directories in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheDirectory {
    /// A directory that exists, canonical.
    pub base: PathBuf,
    /// Its identity, compared again.
    pub base_id: FileId,
    /// The names from there on, each in the one before. None may be a link or another user's.
    pub way: Vec<OsString>,
    /// Names in the last one, which the command can write.
    pub inside: Vec<&'static str>,
}

impl CacheDirectory {
    /// Why there is one.
    pub(super) const WHY: &str = "compiled kernels of this workspace are kept here, the home is read-only";

    /// The directory that the command can write.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.way.iter().fold(self.base.clone(), |path, name| path.join(name))
    }
}

/// Makes the workspace's directory for compiled GPU code writable, where it is needed and nothing speaks against it.
///
/// Where libraries can write in the home directory they have their own places; where the policy lets nothing of the host
/// be written, or is the whole word about what can be, compiled code goes to `/tmp` and ends with the command.
pub(super) fn keep(builder: &mut Builder<'_>) -> Option<CacheDirectory> {
    let (policy, facts) = (builder.policy, builder.facts);
    let writes = policy.confines() && policy.mode != Mode::ReadOnly && !policy.dialect.is_complete();
    let at_home = |builder: &Builder<'_>| facts.caller.homes.iter().any(|home| can_write(builder, home));
    if !writes || at_home(builder) {
        return None;
    }
    let found = match facts.cache.as_ref()? {
        Ok(place) => in_the_way(builder, place).map_or(Ok(place), Err),
        Err(unfit) => Err(unfit.to_string()),
    };
    let place = match found {
        Ok(place) => place,
        Err(why) => {
            builder.notes.push(format!("compiled GPU code goes to /tmp and is gone at the end: {why}"));
            return None;
        }
    };
    keep_the_way(builder, place);
    if !builder.tree.is_writable(&place.path()) {
        let (view, because) = (View::Host(Access::Write), Origin::Gpu(CacheDirectory::WHY.to_owned()));
        let node = Node { view, id: place.id, kind: Kind::Dir, because, anchored: false };
        builder.tree.insert(place.path(), node);
    }
    let Place { base, base_id, way, .. } = place.clone();
    Some(CacheDirectory { base, base_id, way, inside: CACHES.iter().map(|row| row.dir).collect() })
}

/// What of the way is missing in a directory that the command can write was to be blocked; it is made now, so it stays
/// read-only instead.
fn keep_the_way(builder: &mut Builder<'_>, place: &Place) {
    let path = place.path();
    let (made, blocks) = builder.blocks.drain(..).partition(|op| path.starts_with(&op.target));
    builder.blocks = blocks;
    let made: Vec<MountOp> = made;
    for MountOp { target, because, .. } in made {
        if builder.tree.is_writable(&target) {
            let view = View::Host(Access::Read);
            builder.tree.insert(target, Node { view, id: None, kind: Kind::Dir, because, anchored: false });
        }
    }
}

/// Whether the command can make files there, be it the host's or not.
fn can_write(builder: &Builder<'_>, path: &Path) -> bool {
    let governing = builder.tree.governing(path);
    governing.is_some_and(|(_, node)| matches!(&node.view, View::Host(access) if access.writes()) || is_private(node))
}

fn is_private(node: &Node) -> bool {
    matches!(node.view, View::Private(_))
}

/// What speaks against a place: somebody's rule, or a command that could put something else there.
fn in_the_way(builder: &Builder<'_>, place: &Place) -> Option<String> {
    let path = place.path();
    let (at, node) = builder.tree.governing(&path)?;
    match &node.view {
        View::Private(_) => return Some(format!("{} is private ({})", at.display(), node.because)),
        View::Host(access @ (Access::None | Access::Read)) if *access == Access::None || node.because.is_explicit() => {
            return Some(format!("{} is {access} by {}", at.display(), node.because));
        }
        View::Host(_) => {}
    }
    let blocked = builder.blocks.iter().find(|op| path.starts_with(&op.target) && builder.tree.is_writable(&op.target));
    if let Some(block) = blocked.filter(|_| builder.facts.engines.leave_landlock_alone(builder.policy)) {
        // It watches what is missing, and cannot keep what is there.
        return Some(format!("nothing but mounts keeps {} read-only in a writable directory", block.target.display()));
    }
    let parents = [&place.cache, &place.written].into_iter().filter_map(|path| path.parent());
    let replaced = parents.into_iter().find(|parent| builder.tree.is_writable(parent))?;
    Some(format!("the command can replace the cache directory, in {}", replaced.display()))
}
