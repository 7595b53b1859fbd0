//! A small machine on disk, and what a policy comes to on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ringfence::host::paths::{PathFact, Present};
use ringfence::host::{self, Facts};
use ringfence::plan::{self, Plan, why};
use ringfence::policy::Policy;
use ringfence::policy::paths::Access;
use ringfence::request::{Backend, Origin, Request, Said};

/// The workspace.
pub const PROJECT: &str = "/home/you/project";

/// A trailing `/` makes a directory.
const MACHINE: &[&str] = &[
    "bin/",
    "dev/shm/",
    "etc/ssl/",
    "etc/passwd",
    "proc/self/",
    "run/",
    "sys/",
    "tmp/",
    "usr/lib/",
    "home/you/.ssh/id",
    "home/you/data/open/",
    "home/you/data/closed/f",
    "home/you/project/.git/hooks/",
    "home/you/project/a/b/c/",
    "home/you/project/a/f",
    "home/you/project/.env",
];

/// Where the machine lies: made once in a process.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = PathBuf::from(format!("/dev/shm/ringfence-fuzz-{}", std::process::id()));
        for entry in MACHINE {
            let path = root.join(entry);
            if entry.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
        }
        root
    })
}

#[allow(dead_code, reason = "not every target plans requests of its own")]
/// What a request means, is met with, and comes to; `None` where it is refused.
pub fn planned(mut request: Request, backend: Backend) -> Option<(Policy, Facts, Plan)> {
    request.command = vec!["true".into()];
    request.backend = Some(Said::new(backend, Origin::Flag("--backend")));
    request.gpu = Some(Said::new("off".to_owned(), Origin::Flag("--gpu")));
    let policy = Policy::new(request, Path::new(PROJECT)).ok()?;
    let env = [("HOME", "/home/you"), ("PATH", "/bin")].map(|(name, value)| (name.into(), value.into()));
    let mut facts = host::probe(root(), &policy, env.to_vec()).unwrap();
    facts.landlock_abi = 7;
    let plan = plan::build(&policy, &facts).ok()?;
    Some((policy, facts, plan))
}

/// What somebody denied, and is there, cannot be read, unless a rule below says so.
pub fn denials_hold(facts: &Facts, plan: &Plan) {
    if plan.confinement.is_none() {
        return;
    }
    for (rule, fact) in &facts.rules {
        let PathFact::Present(Present { path, .. }) = fact else { continue };
        // Nodes and processes have tables of their own.
        if rule.access != Access::None || ["/dev", "/proc"].iter().any(|special| path.starts_with(special)) {
            continue;
        }
        // Of the root, what programs need is made anew.
        let answer = why::why(plan, path);
        assert!(answer.access == Access::None || path == Path::new("/"), "{path:?} {answer:?}");
    }
}
