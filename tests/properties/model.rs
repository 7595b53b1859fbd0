//! The tree of rules alone, thousands of times: the most specific rule wins, of two for one path the stricter one, what
//! is mounted comes to that, and a denial more grants nothing.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use ringfence::host::paths::Kind;
use ringfence::plan::mounts::{Mount, MountOp, Node, RootView, Tree, View};
use ringfence::policy::paths::Access;
use ringfence::request::Origin;

type Rules = Vec<(PathBuf, Access)>;

fn path() -> impl Strategy<Value = PathBuf> {
    let name = || select(vec!["a", "b", "c"]);
    proptest::collection::vec(name(), 0..5).prop_map(|names| Path::new("/").join(names.iter().collect::<PathBuf>()))
}

fn rules() -> impl Strategy<Value = Rules> {
    let access = select(vec![Access::None, Access::Read, Access::Write]);
    proptest::collection::vec((path(), access), 0..9)
}

fn tree(rules: &Rules) -> Tree {
    let mut tree = Tree::default();
    for (path, access) in rules {
        let because = Origin::Flag("--test");
        let node = Node { view: View::Host(*access), id: None, kind: Kind::Dir, because, anchored: false };
        tree.insert(path.clone(), node);
    }
    tree
}

/// The rule in the words of docs/policy.md.
fn said(rules: &Rules, path: &Path) -> Access {
    let depth = |rule: &Path| rule.components().count();
    let above = || rules.iter().filter(|(rule, _)| path.starts_with(rule));
    let deepest = above().map(|(rule, _)| depth(rule)).max();
    let strictest = above().filter(|(rule, _)| Some(depth(rule)) == deepest).map(|(_, access)| *access).min();
    strictest.unwrap_or(Access::None)
}

/// What a path is after all operations, each of which covers what is below it.
fn mounted(root: RootView, ops: &[MountOp], path: &Path) -> Access {
    let ground = match root {
        RootView::HostReadOnly => Access::Read,
        RootView::HostWritable => Access::Write,
        RootView::Empty => Access::None,
    };
    let covers = ops.iter().filter(|op| path.starts_with(&op.target));
    covers.fold(ground, |before, op| match op.what {
        Mount::Bind { writable, .. } => {
            if writable {
                Access::Write
            } else {
                Access::Read
            }
        }
        Mount::Mask { .. } | Mount::Veil { .. } => Access::None,
        Mount::Seal => before,
        ref other => panic!("no rule comes to {other:?}"),
    })
}

fn property<T: std::fmt::Debug>(input: &impl Strategy<Value = T>, holds: impl Fn(T) -> Result<(), TestCaseError>) {
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(input, holds).unwrap();
}

#[test]
fn what_is_mounted_is_what_the_most_specific_rule_says() {
    property(&(rules(), path()), |(rules, path)| {
        let tree = tree(&rules);
        prop_assert_eq!(mounted(tree.root(), &tree.operations(), &path), said(&rules, &path));
        prop_assert_eq!(tree.is_writable(&path), said(&rules, &path) == Access::Write);
        prop_assert_eq!(tree.is_visible(&path), said(&rules, &path) >= Access::Read);
        Ok(())
    });
}

#[test]
fn a_denial_more_grants_nothing_and_no_shorter_rule_reaches_what_is_denied() {
    property(&(rules(), path(), path()), |(rules, denied, path)| {
        let mut more = rules.clone();
        more.push((denied.clone(), Access::None));
        let (before, after) = (tree(&rules), tree(&more));
        let of = |tree: &Tree, path: &Path| mounted(tree.root(), &tree.operations(), path);
        prop_assert!(of(&after, &path) <= of(&before, &path));
        let shorter = |rule: &Path| !rule.starts_with(&denied) || rule == denied;
        let below = path.starts_with(&denied) && rules.iter().all(|(rule, _)| shorter(rule));
        prop_assert!(!below || of(&after, &path) == Access::None);
        prop_assert_eq!(of(&after, &denied), Access::None);
        Ok(())
    });
}
