//! What is left of a confinement without namespaces and mounts.

use std::path::{Path, PathBuf};

use super::Confinement;
use super::build::{Draft, Told, lifts_ptrace};
use super::env::EnvPlan;
use super::landlock::carve::{Carved, Seen, carve};
use super::landlock::{Tcp, rights};
use super::mounts::{Mount, MountOp, MountPlan, Tree, View};
use super::network::NetworkPlan;
use super::syscalls::{self, Modes};
use crate::host::Facts;
use crate::host::kept::Kept;
use crate::host::paths::PathFact;
use crate::policy::Policy;
use crate::policy::paths::{Access, Rule};
use crate::request::{Dialect, Net, Origin};

const TMP: &str = "/tmp";

/// What Landlock's rules can say of a draft.
pub(super) fn carved(policy: &Policy, facts: &Facts, draft: &Draft) -> Carved {
    // Nobody but CUDA must name threads through it, and every name costs init a look.
    let (access, because) = &draft.proc;
    let needed = draft.gpu || because.is_explicit();
    let proc = (if needed { *access } else { (*access).min(Access::Read) }, because.clone());
    carve(Seen {
        tree: &draft.tree,
        ops: &draft.confinement.mounts.ops,
        listings: &facts.listings,
        kept: &facts.kept,
        proc: &proc,
        shm: draft.shm.as_ref(),
        scratch: scratch(policy, facts, &draft.tree).as_deref(),
        tmp: (policy.dialect == Dialect::OpenShell).then(|| level_of_tmp(facts)),
        uid: facts.caller.ids.uid,
        abi: facts.landlock_abi,
        net: policy.net.value,
        ports: &ports(draft),
        audit: policy.audit.is_some(),
    })
}

/// The ports that the command has to connect to.
fn ports(draft: &Draft) -> Vec<u16> {
    draft.confinement.network.as_ref().map(NetworkPlan::host_ports).unwrap_or_default()
}

/// What a complete policy says of `/tmp`, which its baseline lets be written where it says nothing.
fn level_of_tmp(facts: &Facts) -> Access {
    let leads_there = |(rule, fact): &&(Rule, PathFact)| fact.leads_to(&rule.path) == Path::new(TMP);
    facts.rules.iter().filter(leads_there).map(|(rule, _)| rule.access).min().unwrap_or(Access::Write)
}

/// Where a private `/tmp` is wished for and there is none: a directory of the command's own.
fn scratch(policy: &Policy, facts: &Facts, tree: &Tree) -> Option<PathBuf> {
    let private = tree.at(Path::new(TMP)).is_some_and(|node| matches!(node.view, View::Private(_)));
    let wanted = private && !facts.kept.nested && policy.dialect != Dialect::OpenShell;
    facts.scratch.clone().filter(|_| wanted)
}

/// Takes the mounts out of a confinement, and says what they did that nothing does now.
#[allow(clippy::too_many_arguments, reason = "two inputs, two things taken apart, and the two that are added to")]
pub(super) fn confine(
    policy: &Policy,
    facts: &Facts,
    draft: Draft,
    carved: Carved,
    told: &mut Told,
    env: &mut EnvPlan,
) -> Confinement {
    let scratch = scratch(policy, facts, &draft.tree);
    let Carved { wall, unsaid, unlisted, closed, names_threads } = carved;
    notes(policy, facts, &draft, &unlisted, &mut told.notes);
    told.notes.extend(closed.iter().map(|path| {
        format!("Landlock alone: nothing in {} but what a rule names: it cannot be listed", path.display())
    }));
    let Draft { confinement, rights, .. } = draft;
    let anew = made_for_content(&confinement.mounts.ops);
    let ops = confinement.mounts.ops.iter().filter(|op| !anew.iter().any(|directory| op.target.starts_with(directory)));
    let ops = ops.filter(|op| !unsaid.iter().any(|one| one.path == op.target));
    let ops = ops.filter_map(|op| without_mounting(op, scratch.as_deref(), &facts.kept)).collect();
    match &scratch {
        Some(scratch) => use_scratch(scratch, env),
        None if facts.kept.nested => {
            told.notes.push("Landlock alone: /tmp is the one of the sandbox around this one".to_owned());
        }
        None => {}
    }
    let network = policy.net.value == Net::Host;
    let connects = matches!(&wall.tcp, Tcp::Connect(ports) if !ports.is_empty());
    Confinement {
        network: confinement.network.clone().and_then(NetworkPlan::without_namespace),
        landlock: wall,
        syscalls: syscalls::plan(Modes {
            ptrace: lifts_ptrace(policy) || rights.ptrace,
            memory: rights.memory,
            perf: rights.perf,
            io_uring: rights.io_uring,
            own_network: network,
            connects,
            unix_sockets: policy.reach.no_unix.is_none(),
            listens: rights.listens,
            own_processes: false,
            own_ipc: false,
            names_threads,
            watch: policy.watch.as_ref().map(|said| said.value),
        }),
        mounts: MountPlan { root: confinement.mounts.root, ops, tmpfs_size: None },
        scratch,
        ..confinement
    }
}

/// Directories that are made anew only so that a file of the sandbox's own can stand in them.
fn made_for_content(ops: &[MountOp]) -> Vec<&Path> {
    let of_content = ops.iter().filter(|op| matches!(op.what, Mount::Data { make: true, .. }));
    let directories = of_content.filter_map(|op| op.target.parent());
    let is_anew = |op: &MountOp, directory: &Path| op.target == directory && matches!(op.what, Mount::Tmpfs { .. });
    directories.filter(|directory| ops.iter().any(|op| is_anew(op, directory))).collect()
}

/// What an operation comes to where nothing can be mounted: the lines of the plan, and what is watched.
fn without_mounting(op: &MountOp, scratch: Option<&Path>, kept: &Kept) -> Option<MountOp> {
    let what = match &op.what {
        Mount::Bind { .. } | Mount::Device { .. } | Mount::Devices | Mount::Guard | Mount::Closed => op.what.clone(),
        Mount::Mask { .. } | Mount::Veil { .. } if op.target.starts_with("/proc") => return None,
        Mount::Mask { .. } | Mount::Veil { .. } => op.what.clone(),
        // Where nobody else keeps it from being made, whoever makes it is ended, and what was made put aside.
        Mount::Block { .. } if kept.unwritable.contains(&op.target) => return None,
        Mount::Block { .. } => Mount::Guard,
        Mount::Tmpfs { .. } if op.target == Path::new(TMP) && scratch.is_none() => {
            Mount::Bind { id: None, dir: true, writable: true, make: false }
        }
        Mount::Tmpfs { .. } => Mount::Closed,
        Mount::Proc => Mount::Bind { id: None, dir: true, writable: false, make: false },
        Mount::Pin { .. }
        | Mount::Plug { .. }
        | Mount::Other { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Data { .. }
        | Mount::ReadOnly
        | Mount::Seal => return None,
    };
    Some(MountOp { what, ..op.clone() })
}

fn notes(policy: &Policy, facts: &Facts, draft: &Draft, unlisted: &[PathBuf], notes: &mut Vec<String>) {
    let hidden = |op: &&MountOp| matches!(op.what, Mount::Mask { .. }) && op.target.starts_with("/proc");
    let open: Vec<_> = draft.confinement.mounts.ops.iter().filter(hidden).map(|op| op.target.display()).collect();
    if !open.is_empty() {
        let list = open.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        notes.push(format!("Landlock alone: what the caller may read of these can be read: {list}"));
    }
    let own = draft.confinement.mounts.ops.iter().filter(|op| matches!(op.what, Mount::Data { .. }));
    notes.extend(own.map(|op| format!("Landlock alone: {} is the host's own ({})", op.target.display(), op.because)));
    notes.push(
        "Landlock alone: processes outside can be seen, in the host's /proc, and entries of /dev, /run and /tmp can be \
         listed where the policy shows /"
            .to_owned(),
    );
    if matches!(policy.net.value, Net::Allow | Net::Proxy) {
        notes.push(
            "Landlock alone: ports are all that it knows of the network: a command that means harm can connect to the \
             proxy's port on any host, and other users of this machine can use the proxy too"
                .to_owned(),
        );
    }
    if draft.rights.listens {
        notes.push(
            "Landlock alone: the command can listen on unix sockets, as CUDA does when it starts: programs of the host \
             that connect to one reach it"
                .to_owned(),
        );
    }
    if draft.gpu {
        notes.push(
            "Landlock alone: nodes that are not granted are there and refused, where elsewhere they are absent: some GPU \
             libraries take that for an error"
                .to_owned(),
        );
    }
    let brought = |op: &MountOp| matches!((&op.what, &op.because), (Mount::Link { .. }, Origin::Gpu(_)));
    if draft.confinement.mounts.ops.iter().any(brought) {
        notes.push("Landlock alone: links that come with a device are those of the host, and none is made".to_owned());
    }
    if draft.proc.0 == Access::Write {
        let what = "Landlock alone: of /proc, which is the host's, the names of the command's threads can be written";
        notes.push(what.to_owned());
    }
    if draft.shm.is_some() {
        notes.push("Landlock alone: /dev/shm is the host's own".to_owned());
    }
    notes.push("Landlock alone: mode, owner and times of the caller's files can be changed everywhere".to_owned());
    notes.extend(rights::missing(facts.landlock_abi).map(|what| format!("Landlock alone: {what}")));
    if !unlisted.is_empty() {
        let list: Vec<_> = unlisted.iter().map(|path| path.display().to_string()).collect();
        notes.push(format!(
            "Landlock alone: what is hidden below them keeps these from being listed: {}",
            list.join(" ")
        ));
    }
    if policy.dialect == Dialect::OpenShell {
        notes.push("Landlock alone: /tmp, where the policy names it, is the host's own".to_owned());
    }
}

/// Temporary files go where they can be made, and so does what was to be in `/tmp`.
fn use_scratch(scratch: &Path, env: &mut EnvPlan) {
    let moved: Vec<_> = env
        .set
        .iter()
        .filter_map(|(name, by)| {
            let below = Path::new(env.vars.get(name)?).strip_prefix(TMP).ok()?;
            Some((name.clone(), scratch.join(below), by.clone()))
        })
        .collect();
    for (name, value, by) in moved {
        env.set(name, value, by);
    }
    let by = Origin::Baseline("/tmp cannot be made private here: this directory is");
    env.set("TMPDIR", scratch, by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_made_anew_for_content_is_the_host_s_where_nothing_is_mounted() {
        let op = |target: &str, what| MountOp { target: target.into(), what, because: Origin::Baseline("test") };
        let data = |make| Mount::Data { bytes: Vec::new(), make };
        let tmpfs = || Mount::Tmpfs { mode: 0o755, make: false };
        let ops = [
            op("/etc/anew", tmpfs()),
            op("/etc/anew/file", data(true)),
            op("/etc/there/file", data(false)),
            op("/run", tmpfs()),
            op("/run/below/file", data(true)),
        ];
        assert_eq!(made_for_content(&ops), [Path::new("/etc/anew")]);
    }
}
