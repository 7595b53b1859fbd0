//! What a policy makes of a path, before its view is built.

use std::path::Path;

use crate::host::Facts;
use crate::host::gpu::DeviceNumber;
use crate::host::paths::{Kind, PathFact};
use crate::policy::Policy;
use crate::policy::paths::Access;
use crate::request::{Origin, Tmp};

/// What the sandbox has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// What the host has, to be read.
    Shown,
    /// What the host has, to be written.
    Writable,
    /// A directory of the sandbox's own, in which things can be made while it is set up.
    Anew,
    /// Nothing, on purpose.
    Hidden,
}

/// What a policy has at a path: the most specific rule counts, at equal depth the more restrictive one.
#[must_use]
pub fn ground_at(policy: &Policy, facts: &Facts, path: &Path) -> Ground {
    let rules = facts.rules.iter().map(|(rule, fact)| (fact.leads_to(&rule.path), rule.access));
    let rule = rules
        .filter(|(at, _)| path.starts_with(at))
        .max_by_key(|(at, access)| (at.components().count(), std::cmp::Reverse(*access)));
    let own = ["/tmp", "/run", "/dev"].into_iter().find(|own| path.starts_with(own));
    let own = own.filter(|own| *own != "/tmp" || policy.tmp.value == Tmp::Private);
    // The host's own is written as if a rule said so.
    let of_host = |at: &Path| policy.tmp.value == Tmp::Host && path.starts_with("/tmp") && !at.starts_with("/tmp");
    match (rule, own) {
        // A rule for all of the host says nothing of what every sandbox has for itself.
        (Some((at, _)), Some(own)) if at.starts_with(own) => of_rule(at, rule),
        (_, Some(_)) => Ground::Anew,
        (Some((at, _)), None) if of_host(at) => Ground::Writable,
        (None, None) if of_host(Path::new("/")) => Ground::Writable,
        (Some((at, _)), None) => of_rule(at, rule),
        // A narrowed root is made anew.
        (None, None) => Ground::Anew,
    }
}

fn of_rule(at: &Path, rule: Option<(&Path, Access)>) -> Ground {
    match rule.map(|(_, access)| access) {
        Some(Access::None) if at == Path::new("/") => Ground::Anew,
        Some(Access::None) | None => Ground::Hidden,
        Some(Access::Read) => Ground::Shown,
        Some(Access::Modify | Access::Write) => Ground::Writable,
    }
}

/// Why something in a directory of the host must not be seen: what is hidden under its own name would be seen under
/// another.
#[must_use]
pub fn denied_within(facts: &Facts, directory: &Path) -> Option<Origin> {
    let ruled = facts.rules.iter().filter(|(rule, _)| rule.access == Access::None);
    let ruled = ruled.map(|(rule, fact)| (fact.leads_to(&rule.path), rule.because.clone()));
    let secret = facts.secrets.iter().chain(&facts.aliases);
    let secret = secret.map(|(rule, present)| (present.path.as_path(), rule.because.clone()));
    let glob = Origin::Baseline("a deny glob");
    let globbed = facts.globbed.iter().map(|found| (found.present.path.as_path(), glob.clone()));
    let socket = Origin::Baseline("a socket of the host");
    let sockets = facts.sockets.iter().map(|present| (present.path.as_path(), socket.clone()));
    let mut all = ruled.chain(secret).chain(globbed).chain(sockets);
    all.find(|(path, _)| path.starts_with(directory)).map(|(_, by)| by)
}

/// Whether a rule of the policy, a place of secrets or the workspace lies below a path: what is put there would stand in
/// its place, or take away what it lies in.
#[must_use]
pub fn ruled_below(facts: &Facts, path: &Path) -> bool {
    let ruled = facts.rules.iter().map(|(rule, fact)| fact.leads_to(&rule.path));
    let places = [&facts.workspace, &facts.start_in].into_iter().filter_map(|fact| match fact {
        PathFact::Present(present) => Some(present.path.as_path()),
        PathFact::Missing { .. } | PathFact::Dangling { .. } | PathFact::Unreachable { .. } => None,
    });
    let secret = facts.secrets.iter().chain(&facts.aliases).map(|(_, present)| present.path.as_path());
    let globbed = facts.globbed.iter().map(|found| found.present.path.as_path());
    ruled.chain(places).chain(secret).chain(globbed).any(|at| at != path && at.starts_with(path))
}

/// Who denied a path, by a rule or glob of the policy or as a place of secrets, also where a bind mount shows it once
/// more; a denial of the whole root is none.
#[must_use]
pub fn denied_by(facts: &Facts, path: &Path) -> Option<Origin> {
    let ruled = facts.rules.iter().map(|(rule, fact)| (rule, fact.leads_to(&rule.path)));
    let secret = facts.secrets.iter().chain(&facts.aliases).map(|(rule, present)| (rule, present.path.as_path()));
    let covers = |at: &Path| at != Path::new("/") && path.starts_with(at);
    let depth = |at: &Path| at.components().count();
    let all: Vec<_> = ruled.chain(secret).filter(|(rule, at)| covers(at) || covers(&rule.path)).collect();
    // What is named below a denial is granted again.
    let deepest = all.iter().map(|(_, at)| depth(at)).max().unwrap_or(0);
    let last = all.into_iter().filter(|(_, at)| depth(at) == deepest);
    let by_rule = last.filter(|(rule, _)| rule.access == Access::None).map(|(rule, _)| rule.because.clone()).next();
    let globbed = || facts.globbed.iter().any(|found| path.starts_with(&found.present.path));
    by_rule.or_else(|| globbed().then_some(Origin::Baseline("a deny glob")))
}

/// Who denied the node with a number: a node has as many names as somebody gives it.
#[must_use]
pub fn denied_number(facts: &Facts, number: DeviceNumber) -> Option<Origin> {
    let is_it = |fact: &PathFact| match fact {
        PathFact::Present(present) => {
            matches!(present.kind, Kind::Char { major, minor } if (major, minor) == (number.major, number.minor))
        }
        PathFact::Missing { .. } | PathFact::Dangling { .. } | PathFact::Unreachable { .. } => false,
    };
    let mut denied = facts.rules.iter().filter(|(rule, _)| rule.access == Access::None);
    denied.find(|(_, fact)| is_it(fact)).map(|(rule, _)| rule.because.clone())
}
