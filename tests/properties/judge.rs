//! What the plan says of an attempt, and whether what happened is that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ringfence::plan::Plan;
use ringfence::plan::mounts::Mount;
use ringfence::plan::why::{self, Answer};
use ringfence::policy::paths::Access;
use ringfence::request::Backend;

use crate::bench::{Bench, ENGINES, Ran};
use crate::case::Case;
use crate::differences::{self, Seen};
use crate::probes::{self, Attempt};
use crate::tree::{Entry, Tree};

/// What came of many cases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    pub cases: usize,
    /// By engine: started.
    pub started: [usize; 3],
    pub attempts: usize,
    pub allowed: usize,
    /// By row: how often.
    pub differences: BTreeMap<&'static str, usize>,
}

impl Count {
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.attempts += other.attempts;
        self.allowed += other.allowed;
        self.started.iter_mut().zip(other.started).for_each(|(mine, theirs)| *mine += theirs);
        for (row, count) in &other.differences {
            *self.differences.entry(row).or_default() += count;
        }
    }
}

/// What one engine did: whether each attempt succeeded, and what was seen.
type Results = BTreeMap<Attempt, (bool, String)>;

/// One case on one engine.
struct One<'a> {
    bench: &'a Bench,
    engine: Backend,
    plan: Plan,
    tree: Tree,
    answers: std::cell::RefCell<BTreeMap<PathBuf, Access>>,
}

/// Runs a case everywhere.
///
/// # Errors
/// What does not agree, in words.
pub fn check(bench: &Bench, case: &Case) -> Result<Count, String> {
    let mut count = Count { cases: 1, ..Count::default() };
    let mut all: Vec<Option<(One<'_>, Results)>> = Vec::new();
    for (number, engine) in ENGINES.into_iter().enumerate() {
        let found = one(bench, engine, case, &mut count).map_err(|why| format!("{}: {why}", engine.name()))?;
        count.started[number] += usize::from(found.is_some());
        all.push(found);
    }
    let Some((native, said)) = &all[0] else {
        let started = all.iter().zip(ENGINES).find(|(found, _)| found.is_some());
        return started.map_or(Ok(count), |(_, engine)| Err(format!("{} starts, native does not", engine.name())));
    };
    for (other, results) in all[1..].iter().flatten() {
        for (attempt, (done, content)) in results {
            let Some((expected, seen)) = said.get(attempt) else { continue };
            if done == expected && (content == seen || attempt.what != 'r') {
                continue;
            }
            let seen = Seen { engine: other.engine, attempt, native: *expected, other: *done, tree: &native.tree };
            let row = differences::row(&seen, &native.plan, &other.plan);
            let row = row.ok_or_else(|| format!("{attempt}: native {expected:?}, {} {done:?}", other.engine.name()))?;
            *count.differences.entry(row).or_default() += 1;
        }
    }
    Ok(count)
}

fn one<'a>(
    bench: &'a Bench,
    engine: Backend,
    case: &Case,
    count: &mut Count,
) -> Result<Option<(One<'a>, Results)>, String> {
    let tree = bench.lay(case);
    let plan = match bench.plan(engine) {
        Ok(plan) => plan,
        Err(why) => return refused(bench, engine, &tree, &why).map(|()| None),
    };
    let one = One { bench, engine, plan, tree, answers: std::cell::RefCell::default() };
    let (attempts, last) = one.attempts();
    let ran = bench.run(engine, &attempts);
    let results = one.judge(&attempts, &ran, last, count)?;
    Ok(Some((one, results)))
}

/// What has no plan does not run, and says the same.
fn refused(bench: &Bench, engine: Backend, tree: &Tree, why: &str) -> Result<(), String> {
    let ran = bench.run(engine, &probes::all(&bench.base, tree));
    if ran.code != Some(125) || !ran.answers.is_empty() || ran.stderr.is_empty() {
        return Err(format!("planning says {why:?}, but it ran: {:?} {}", ran.code, ran.stderr));
    }
    let found = Tree::found(&bench.base);
    if found == *tree { Ok(()) } else { Err(format!("a refused run changed {:?}", tree.differences(&found))) }
}

impl One<'_> {
    fn access(&self, path: &Path) -> Access {
        if let Some(known) = self.answers.borrow().get(path) {
            return *known;
        }
        let Answer { access, .. } = why::why(&self.plan, path);
        self.answers.borrow_mut().insert(path.to_owned(), access);
        access
    }

    fn mounts(&self) -> impl Iterator<Item = (&Path, &Mount)> {
        let ops = self.plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
        ops.map(|op| (op.target.as_path(), &op.what))
    }

    fn is_guarded(&self, path: &Path) -> bool {
        let guard = |(target, what): (&Path, &Mount)| target == path && *what == Mount::Guard;
        path.parent().is_some_and(|parent| self.access(parent) == Access::Write) && self.mounts().any(guard)
    }

    /// What the probe does, and whether the last of it ends the sandbox.
    fn attempts(&self) -> (Vec<Attempt>, bool) {
        let guarded = |path: &Path| path.ancestors().any(|above| self.is_guarded(above));
        let mut attempts = probes::all(&self.bench.base, &self.tree);
        attempts.retain(|attempt| !guarded(&attempt.path));
        // The workspace stays to the end, whatever it is.
        let workspace = self.bench.base.join("w");
        let guard = self.mounts().find(|(path, _)| path.parent() == Some(&workspace) && self.is_guarded(path));
        let last = guard.map(|(path, _)| Attempt { what: 'k', path: path.to_owned(), other: None, really: None });
        let ends = last.is_some();
        attempts.extend(last);
        (attempts, ends)
    }

    /// Compares what happened with what was planned, and with what is on disk now.
    fn judge(&self, attempts: &[Attempt], ran: &Ran, ends: bool, count: &mut Count) -> Result<Results, String> {
        let expected = attempts.len() - usize::from(ends);
        if ran.answers.len() < expected {
            return Err(format!("{} of {expected} answers, {:?}: {}", ran.answers.len(), ran.code, ran.stderr));
        }
        if (ran.code == Some(0)) == ends {
            return Err(format!(
                "exit {:?}, and there {} a guard: {}",
                ran.code,
                if ends { "was" } else { "was not" },
                ran.stderr
            ));
        }
        let mut tree = self.tree.clone();
        let mut results = Results::new();
        for (attempt, (errno, seen)) in attempts[..expected].iter().zip(&ran.answers) {
            let done = *errno == 0;
            count.attempts += 1;
            count.allowed += usize::from(done);
            self.agrees(&tree, attempt, done, seen).map_err(|why| format!("{attempt}: {why} (errno {errno})"))?;
            if done {
                tree.apply(attempt);
            }
            results.insert(attempt.clone(), (done, seen.clone()));
        }
        let mut found = Tree::found(&self.bench.base);
        if ends {
            found.0.retain(|path, _| !path.to_string_lossy().contains(".refused-by-ringfence-"));
        }
        if found != tree {
            return Err(format!("on disk: {}", tree.differences(&found).join("; ")));
        }
        Ok(results)
    }

    /// Whether the plan says that this happens.
    fn agrees(&self, tree: &Tree, attempt: &Attempt, done: bool, seen: &str) -> Result<(), String> {
        let told = self.is_allowed(tree, attempt);
        let about = attempt.target();
        if done && !told {
            let listed = seen.parse().unwrap_or(usize::MAX);
            let seen = Seen { engine: self.engine, attempt, native: told, other: done, tree };
            if differences::is_metadata(&seen) || attempt.what == 'l' && self.is_way(about, listed) {
                return Ok(());
            }
            return Err(format!("done, but {} for {}", self.access(about), about.display()));
        }
        // Another name may lead through what is hidden.
        if !done && told && attempt.really.is_none() {
            return Err(format!("refused, but {} for {}", self.access(about), about.display()));
        }
        match tree.get(about) {
            Some(Entry::File(bytes)) if done && attempt.what == 'r' && bytes != seen.as_bytes() => {
                Err(format!("other content: {seen:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a directory is made for what is mounted below it, and so many names are all that is in it.
    fn is_way(&self, path: &Path, names: usize) -> bool {
        let below = self.mounts().filter_map(|(target, _)| target.strip_prefix(path).ok()?.iter().next());
        names > 0 && names <= below.collect::<BTreeSet<_>>().len()
    }

    fn is_allowed(&self, tree: &Tree, attempt: &Attempt) -> bool {
        let path = attempt.target();
        let has = |what: fn(&Entry) -> bool| tree.get(path).is_some_and(what);
        match attempt.what {
            'r' | 'l' => self.access(path) >= Access::Read,
            'o' | 'w' | 't' | 'h' | 'u' => self.access(path).writes(),
            'c' | 'k' | 's' => tree.get(path).is_none() && self.is_entry_writable(path),
            'n' => {
                let to = attempt.other.as_deref().unwrap_or(path);
                has(|_| true) && self.is_entry_writable(path) && self.is_entry_writable(to)
            }
            'd' => has(|entry| *entry != Entry::Dir) && self.is_entry_writable(path),
            'v' => {
                has(|entry| *entry == Entry::Dir) && tree.below(path).next().is_none() && self.is_entry_writable(path)
            }
            other => panic!("no attempt: {other}"),
        }
    }

    /// Whether an entry can be made, moved or removed: its directory can be written, and nothing is mounted on it.
    fn is_entry_writable(&self, path: &Path) -> bool {
        let pinned = self.engine != Backend::Landlock && self.mounts().any(|(target, _)| target == path);
        let above = path.parent().is_some_and(|parent| self.access(parent) == Access::Write);
        above && self.access(path) == Access::Write && !pinned
    }
}
