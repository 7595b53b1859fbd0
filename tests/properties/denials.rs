//! A denial more, in whole policies: nothing can be done that could not be done without it.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use ringfence::host;
use ringfence::plan::{self, Plan, why};
use ringfence::policy::Policy;
use ringfence::policy::paths::Access;
use ringfence::request::{Backend, Origin, Request, Said, load};

use crate::bench::{Bench, ENGINES};
use crate::case::{Case, cases};
use crate::probes::{self, Attempt};
use crate::tree::Tree;

/// A path of the case, as a denial would name it.
fn chosen(case: &Case, which: Index) -> String {
    let mut paths = vec!["w", "o", "w/1", "o/1"];
    paths.extend(case.tree.iter().map(|line| line.split(" -> ").next().unwrap_or(line).trim_end_matches('/')));
    format!("{{B}}/{}", paths[which.index(paths.len())])
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() })
}

/// A machine of its own, below a directory: nothing is run there.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(case: &Case) -> (Self, Tree) {
        let root = tempfile::tempdir().unwrap();
        for directory in ["proc/self", "run", "tmp", "dev", "sys", "B"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let tree = Tree::of(Path::new("/B"), &case.tree);
        tree.make_below(root.path());
        (Self(root), tree)
    }

    fn plan(&self, case: &Case, engine: Backend, denied: Option<&Path>) -> Option<Plan> {
        let text = case.policy.replace("{B}", "/B");
        let mut request = load::parse(&text, Path::new("/p.toml"), Path::new("/"), None).unwrap();
        let by = |flag| Origin::Flag(flag);
        request.deny.extend(denied.map(|path| Said::new(path.to_owned(), by("--deny"))));
        request.command = vec!["true".into()];
        let request = Request {
            backend: Some(Said::new(engine, by("--backend"))),
            gpu: Some(Said::new("off".to_owned(), by("--gpu"))),
            ..request
        };
        let policy = Policy::new(request, Path::new("/B/w")).ok()?;
        let mut facts = host::probe(self.0.path(), &policy, vec![("HOME".into(), "/B/o".into())]).unwrap();
        facts.landlock_abi = 7;
        plan::build(&policy, &facts).ok()
    }
}

fn probed(tree: &Tree) -> Vec<PathBuf> {
    let all = tree.0.keys().flat_map(|path| [path.clone(), path.join("1"), path.join(".git")]);
    all.chain([PathBuf::from("/"), PathBuf::from("/B")]).collect()
}

#[test]
fn in_no_plan_does_a_denial_more_grant_anything() {
    let started = std::cell::Cell::new(0);
    let holds = |(case, which): (Case, Index)| {
        let (machine, tree) = Machine::new(&case);
        let denied = PathBuf::from(chosen(&case, which).replace("{B}", "/B"));
        for engine in [Backend::Native, Backend::Landlock] {
            let Some(after) = machine.plan(&case, engine, Some(&denied)) else { continue };
            started.set(started.get() + 1);
            let before = machine.plan(&case, engine, None);
            for path in probed(&tree) {
                let now = why::why(&after, &path).access;
                // What cannot be planned without the denial grants nothing, but not for what the denial takes away.
                let was = before.as_ref().map_or(Access::Write, |plan| why::why(plan, &path).access);
                prop_assert!(now <= was, "{}: {} was {was}, is {now}", engine.name(), path.display());
            }
        }
        Ok(())
    };
    runner(800).run(&(cases(), any::<Index>()), holds).unwrap();
    assert!(started.get() > 400, "{} plans", started.get());
}

/// What could be done with a policy, and one denial more.
fn done(bench: &Bench, case: &Case, engine: Backend, denied: Option<&str>) -> Option<Vec<(Attempt, bool)>> {
    let mut case = case.clone();
    if let Some(denied) = denied {
        case.policy += &format!("[paths]\n{denied:?} = \"none\"\n");
    }
    let tree = bench.lay(&case);
    let attempts = probes::all(&bench.base, &tree);
    let ran = bench.run(engine, &attempts);
    let answers = ran.answers.iter().map(|(errno, _)| *errno == 0);
    (!ran.answers.is_empty()).then(|| attempts.into_iter().zip(answers).collect())
}

#[test]
fn in_no_sandbox_does_a_denial_more_grant_anything() {
    let bench = Bench::new();
    let holds = |(case, which): (Case, Index)| {
        let denied = chosen(&case, which);
        // Of a narrowed root there is a table of paths already.
        if case.policy.contains("\"/\"") {
            return Ok(());
        }
        for engine in ENGINES {
            let Some(after) = done(&bench, &case, engine, Some(&denied)) else { continue };
            let Some(before) = done(&bench, &case, engine, None) else { continue };
            let refused: Vec<_> = before.iter().filter(|(_, done)| !done).map(|(attempt, _)| attempt).collect();
            for (attempt, _) in after.iter().filter(|(_, done)| *done) {
                if refused.contains(&attempt) {
                    return Err(TestCaseError::fail(format!("{}: {attempt} with {denied}", engine.name())));
                }
            }
        }
        Ok(())
    };
    runner(12).run(&(cases(), any::<Index>()), holds).unwrap();
}
