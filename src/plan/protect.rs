//! Protected names, and what `git = "commit"` opens of a repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::host::Protected;
use crate::host::paths::{Kind, PathFact, Present};
use crate::host::repo::Repo;
use crate::policy::paths::{Access, Rule};
use crate::policy::tables::Shape;
use crate::request::{Git, Origin};

use super::mounts::{Mount, MountOp, View};
use super::view::Builder;

/// Adds the protected names, and where their content really lies.
pub(super) fn names(builder: &mut Builder<'_>) {
    let facts = builder.facts;
    for entry in &facts.protected {
        let path = entry.below.join(&entry.name);
        if !builder.is_named(&path, Access::Modify) {
            protect(builder, entry, &path);
        }
    }
    let own = facts.own_files.iter().map(|fact| (fact, "ringfence itself or its configuration"));
    let linked = facts.linked.iter().map(|fact| (fact, "a link in a protected directory leads to it"));
    for (fact, why) in own.chain(linked) {
        read_only_or_blocked(builder, fact, Origin::Protected(why.to_owned()));
    }
    for directory in &facts.closed {
        let why = "a directory that cannot be searched for repositories".to_owned();
        read_only(builder, directory, Origin::Protected(why));
    }
    for repo in &facts.repos {
        for directory in [&repo.git_dir, &repo.common_dir].into_iter().flatten() {
            let why = format!("the git directory of {}", repo.tree.display());
            read_only(builder, directory, Origin::Protected(why));
        }
        for (fact, why) in &repo.configured {
            read_only_or_blocked(builder, fact, Origin::Protected((*why).to_owned()));
        }
    }
    if facts.nested_bounded {
        builder.notes.push(format!(
            "the search for nested repositories ended after {} directories: deeper ones are not protected",
            crate::host::repo::NESTED_DIRECTORIES
        ));
    }
}

fn protect(builder: &mut Builder<'_>, entry: &Protected, path: &Path) {
    let origin = Origin::Protected(entry.why.clone());
    match &entry.fact {
        PathFact::Present(present) => {
            if let Some((link, id)) = &present.link {
                pin(builder, link.clone(), Mount::Pin { id: *id }, &origin);
            }
            read_only(builder, present, origin);
        }
        PathFact::Missing { parent, name } => {
            let Some(shape) = entry.block else { return };
            let first = parent.join(name);
            if may_become_repository(builder, entry) {
                if entry.name == Path::new(".git") {
                    return;
                }
                builder.pins.push(MountOp { target: first, what: Mount::Guard, because: origin });
                return;
            }
            // Where more than the last component is missing, the first missing one is a directory.
            let shape = if first == *path { shape } else { Shape::Dir };
            builder.block(first, shape, origin);
        }
        PathFact::Dangling { link, id } => pin(builder, link.clone(), Mount::Plug { id: *id }, &origin),
        PathFact::Unreachable { .. } => {
            builder.notes.push(format!("{} cannot be reached by you either", path.display()))
        }
    }
}

/// Whether a repository may be made in an empty directory: its `.git` was granted, by name or with the workspace.
fn may_become_repository(builder: &Builder<'_>, entry: &Protected) -> bool {
    let commit = builder.policy.git.value == Git::Commit;
    let workspace = matches!(&builder.facts.workspace, PathFact::Present(present) if present.path == entry.below);
    entry.guarded && (commit && workspace || builder.is_named(&entry.below.join(".git"), Access::Write))
}

fn pin(builder: &mut Builder<'_>, target: PathBuf, what: Mount, because: &Origin) {
    builder.pins.push(MountOp { target, what, because: because.clone() });
}

/// As [`read_only`], and what is missing cannot be made.
fn read_only_or_blocked(builder: &mut Builder<'_>, fact: &PathFact, because: Origin) {
    match fact {
        PathFact::Present(present) => read_only(builder, present, because),
        PathFact::Missing { parent, name } => builder.block(parent.join(name), Shape::Dir, because),
        PathFact::Dangling { link, id } => pin(builder, link.clone(), Mount::Plug { id: *id }, &because),
        PathFact::Unreachable { .. } => {}
    }
}

/// A read rule for something that may lie in a writable directory; elsewhere it changes nothing.
fn read_only(builder: &mut Builder<'_>, present: &Present, because: Origin) {
    let inside = builder.tree.is_writable(&present.path);
    let special = matches!(present.kind, Kind::Char { .. } | Kind::Block);
    if inside && !special && !builder.is_named(&present.path, Access::Modify) {
        builder.present(&Rule { path: present.path.clone(), access: Access::Read, because }, present);
    }
}

/// `git = "commit"`: the git directory becomes writable, what runs code in it stays read-only or blocked.
pub(super) fn git_commit(builder: &mut Builder<'_>) {
    if builder.policy.git.value != Git::Commit {
        return;
    }
    let facts = builder.facts;
    let PathFact::Present(workspace) = &facts.workspace else { return };
    let Some(repo) = facts.repos.iter().find(|repo| repo.tree == workspace.path) else {
        builder.notes.push(
            "git = commit: the workspace is no repository; in an empty one, the command can make it, hooks and all"
                .to_owned(),
        );
        return;
    };
    if !repo.points_back {
        builder.notes.push(format!(
            "git = commit: {} does not point back to the workspace, so nothing of it becomes writable",
            repo.git_dir.as_ref().map_or(Path::new(".git"), |dir| &dir.path).display()
        ));
        return;
    }
    if let Some((path, by)) = writable_parts(repo).find_map(|part| denied(builder, &part.path)) {
        builder.notes.push(format!("git = commit: {} is denied ({by}), so nothing becomes writable", path.display()));
        return;
    }
    let by = builder.policy.git.by.clone();
    for directory in writable_parts(repo) {
        builder.tree.remove(&directory.path);
        builder.present(&Rule { path: directory.path.clone(), access: Access::Write, because: by.clone() }, directory);
    }
    for entry in &facts.git_code {
        let path = entry.below.join(&entry.name);
        protect(builder, entry, &path);
    }
}

/// One operation for each entry: a rule and a protected name may say the same of one, which can be mounted on once.
pub(super) fn once(blocks: Vec<MountOp>, pins: Vec<MountOp>) -> impl Iterator<Item = MountOp> {
    let mut named = BTreeSet::new();
    blocks.into_iter().chain(pins).filter(move |op| named.insert(op.target.clone()))
}

/// What somebody wrote that hides a path. That the root is hidden means that the rest of a policy says what is not.
fn denied(builder: &Builder<'_>, path: &Path) -> Option<(PathBuf, Origin)> {
    let (at, node) = builder.tree.governing(path).filter(|(at, _)| *at != Path::new("/"))?;
    let hides = node.view == View::Host(Access::None) && node.because.is_explicit();
    hides.then(|| (at.to_owned(), node.because.clone()))
}

fn writable_parts(repo: &Repo) -> impl Iterator<Item = &Present> {
    [&repo.common_dir, &repo.git_dir].into_iter().flatten()
}
