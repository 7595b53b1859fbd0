//! (Policy, Facts) → Plan: calls the planners and collects all errors at once.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::host::Facts;
use crate::host::paths::{Kind, PathFact};
use crate::policy::paths::Access;
use crate::policy::{Policy, tables};
use crate::request::{Allow, Dialect, Landlock, Net, Origin, Said, Tmp};

use super::baseline::{self, Enriched, Entry};
use super::cache::CacheDirectory;
use super::choose::{Choice, Engine, choose};
use super::env::EnvPlan;
use super::error::PlanError;
use super::gpu::{self, EnvChange, GpuPlan, driver_view, profile};
use super::landlock::carve::Carved;
use super::mounts::{MountPlan, Tree};
use super::network::{self, NetworkPlan, variables};
use super::syscalls::Modes;
use super::view::Built;
use super::{Confinement, Plan, ProcessPlan, alone, landlock, limits, profiles, shut, syscalls, unenforced, view};

/// What is found on the way to a plan.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Why there can be none.
    pub errors: Vec<PlanError>,
    /// Remarks in the plan.
    pub notes: Vec<String>,
    /// What the user is told before the command starts.
    pub warnings: Vec<String>,
}

/// A confinement with namespaces and mounts, and what it was made from: no engine is chosen yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub confinement: Confinement,
    pub tree: Tree,
    /// What may be done in `/proc`.
    pub proc: (Access, Origin),
    /// What may be done with shared memory, where it is wished for and cannot be private.
    pub shm: Option<(Access, Origin)>,
    /// Whether a GPU is granted.
    pub gpu: bool,
    /// What its classes need of the system calls.
    pub rights: gpu::Rights,
}

/// Makes the plan for a policy on a machine.
///
/// # Errors
/// Every reason why it cannot be carried out.
pub fn build(policy: &Policy, facts: &Facts) -> Result<Plan, Vec<PlanError>> {
    let mut told = Told { notes: policy.notes.clone(), ..Told::default() };
    let policy = &without_proc(policy, facts, &mut told.warnings);
    let facts = &*profiles::below_the_user(policy, facts, &mut told.notes);
    let mut cwd = match &facts.start_in {
        PathFact::Present(present) if present.kind == Kind::Dir => present.path.clone(),
        fact => return Err(vec![PlanError::Workspace { path: policy.start_in.clone(), why: why_unusable(fact) }]),
    };
    let mut env = EnvPlan::new(&policy.env, &facts.env);
    let mut choice = Choice::nothing();
    let mut confinement = None;
    let (mut effective, mut decisions) = (Vec::new(), Vec::new());
    if policy.confines() {
        let gpu = grant_gpus(policy, facts, &mut told);
        let mut enriched = baseline::enrich(policy, facts, &gpu, &mut told);
        show_driver_files(policy, facts, &gpu, &mut enriched, &mut told);
        enriched.shown.extend(network::resolver::files(policy, facts));
        let draft = confine(policy, facts, &enriched, &gpu, &mut told);
        effective = std::mem::take(&mut enriched.entries);
        decisions = std::mem::take(&mut enriched.decisions);
        effective.extend(draft.confinement.cache.as_ref().map(baseline::kept));
        start_where_it_shows(policy, &draft.tree, &mut cwd, &mut told);
        adjust_env(&mut env, policy, facts, &gpu, &draft.confinement);
        if !told.errors.is_empty() {
            return Err(told.errors);
        }
        let (chosen, carved) = choose(policy, facts, &draft).map_err(|error| vec![error])?;
        choice = chosen;
        confinement = Some(match carved {
            Some(carved) => {
                give_up(&mut effective, &carved);
                alone::confine(policy, facts, draft, carved, &mut told, &mut env)
            }
            None => draft.confinement,
        });
        if let Some(confinement) = &mut confinement {
            confinement.mounts.tmpfs_size = limits::tmpfs_size(policy, &choice.engine, &mut told);
        }
        lead_out(&mut env, policy, confinement.as_ref().and_then(|confinement| confinement.network.as_ref()));
    }
    let limits = limits::plan(policy, facts, &choice.engine, &mut told);
    let unenforced = unenforced::left_out(policy, facts, &mut told);
    refuse_without_landlock(policy, confinement.as_ref(), facts, &mut told);
    if let (Engine::Bwrap { .. }, Some(confinement), 0) = (&choice.engine, &mut confinement, facts.caller.ids.uid) {
        by_bwrap_as_root(confinement, &mut told);
    }
    if env.vars.contains_key(std::ffi::OsStr::new("PWD")) {
        env.vars.insert("PWD".into(), cwd.clone().into());
    }
    let Told { errors, notes, warnings } = told;
    if !errors.is_empty() {
        return Err(errors);
    }
    choice.warnings.extend(warnings);
    let process =
        ProcessPlan { command: policy.command.clone(), cwd, env, pass_fd: policy.pass_fd.clone(), program: None };
    Ok(Plan { process, confinement, choice, limits, effective, decisions, unenforced, notes })
}

/// What best effort gives up is as writable as what it lies in, and the effective policy says so.
fn give_up(effective: &mut [Entry], carved: &Carved) {
    let lost = |entry: &&mut Entry| carved.unsaid.iter().any(|unsaid| unsaid.path == entry.path);
    for entry in effective.iter_mut().filter(lost) {
        entry.authored.get_or_insert(entry.rule.access);
        entry.rule.access = Access::Write;
    }
}

/// What bubblewrap cannot do for uid 0, to whom device nodes and init's own files belong.
fn by_bwrap_as_root(confinement: &mut Confinement, told: &mut Told) {
    // It binds what is outside, where another process has that number.
    confinement.mounts.ops.retain(|op| op.target != Path::new(tables::PROC_OF_INIT));
    told.notes.push(
        "bubblewrap binds device nodes so that uid 0, who owns them, can change their mode and times, and leaves the \
         sandbox's first process's files in /proc writable: --backend native does not let it"
            .to_owned(),
    );
}

/// The wall under the mounts is a second one, and missing on old kernels; whoever says that it is required means it.
fn refuse_without_landlock(policy: &Policy, confinement: Option<&Confinement>, facts: &Facts, told: &mut Told) {
    let missing = confinement.is_some_and(|confinement| confinement.landlock.abi == 0);
    let required = policy.landlock.as_ref().filter(|said| said.value == Landlock::Required);
    let have = facts.landlock_abi;
    if let Some(said) = required.filter(|_| missing) {
        told.errors.push(PlanError::Landlock { by: said.by.clone(), need: landlock::WALL_ABI, have });
    }
    if let Some(said) = policy.audit.as_ref().filter(|_| have < landlock::AUDIT_ABI) {
        told.errors.push(PlanError::Landlock { by: said.by.clone(), need: landlock::AUDIT_ABI, have });
    }
}

/// Where no procfs can be mounted the sandbox has none: less than was asked for, and nothing that the host shows.
fn without_proc<'a>(policy: &'a Policy, facts: &Facts, warnings: &mut Vec<String>) -> Cow<'a, Policy> {
    if facts.engines.fresh_proc || !policy.confines() || policy.proc.by.is_explicit() || !policy.proc.value {
        return Cow::Borrowed(policy);
    }
    warnings.push(
        "no procfs can be mounted here, because the one outside is covered in part: going without /proc".to_owned(),
    );
    let why = Origin::Baseline("none can be mounted here");
    Cow::Owned(Policy { proc: Said::new(false, why), ..policy.clone() })
}

fn why_unusable(fact: &PathFact) -> &'static str {
    match fact {
        PathFact::Present(_) => "it is no directory",
        PathFact::Missing { .. } | PathFact::Dangling { .. } => "it does not exist",
        PathFact::Unreachable { .. } => "it cannot be reached",
    }
}

fn grant_gpus(policy: &Policy, facts: &Facts, told: &mut Told) -> GpuPlan {
    let asked = gpu::Asked { wish: &policy.gpu, classes: &policy.gpu_class, gpus: &facts.gpus, env: &facts.env };
    let found = gpu::grants(asked).unwrap_or_else(|found| {
        told.errors.extend(found.into_iter().map(|error| PlanError::Gpu(Box::new(error))));
        GpuPlan::default()
    });
    let all = gpu::with_cdi(found, policy, facts).unwrap_or_else(|found| {
        told.errors.extend(found.into_iter().map(|error| PlanError::Cdi(Box::new(error))));
        GpuPlan::default()
    });
    told.notes.extend(all.notes.iter().cloned());
    all
}

/// What the driver's programs see in the place of some of its files.
fn show_driver_files(policy: &Policy, facts: &Facts, gpu: &GpuPlan, enriched: &mut Enriched, told: &mut Told) {
    if let Some(hide) = &policy.gpu_hide_others {
        let (ops, notes) = driver_view::without_others(hide, &facts.gpus, &facts.driver_files, &enriched.devices);
        enriched.shown.extend(ops);
        told.notes.extend(notes);
    }
    if let Some(minors) = &gpu.drawn_on {
        match profile::mounts(&facts.driver_files, minors, &policy.gpu_class.by) {
            Ok(ops) => enriched.shown.extend(ops),
            Err(note) => told.notes.push(note),
        }
    }
}

fn confine(policy: &Policy, facts: &Facts, enriched: &Enriched, gpu: &GpuPlan, told: &mut Told) -> Draft {
    let network = network::plan(policy, facts).unwrap_or_else(|errors| {
        told.errors.extend(errors);
        None
    });
    let Built { tree, ops, proc, shm, cache } = view::build(policy, facts, enriched, told);
    let ops = shut::hide_whole(ops, &facts.shut);
    let rights = gpu.rights;
    let wall = landlock::plan(facts.landlock_abi, &tree, &ops, &proc, policy);
    if wall.abi == 0 && !policy.pid_namespace.value {
        told.errors.push(PlanError::PidNamespace { by: policy.pid_namespace.by.clone() });
    }
    if wall.abi == 0 {
        told.notes.push(
            "this kernel has no Landlock wall (ABI 3, Linux 6.2): a regular file as standard output is refused, pipe it"
                .to_owned(),
        );
    }
    let confinement = Confinement {
        uid: facts.caller.ids.uid,
        gid: facts.caller.ids.gid,
        pid_namespace: policy.pid_namespace.clone(),
        net: policy.net.clone(),
        network,
        mounts: MountPlan { root: tree.root(), ops, tmpfs_size: None },
        landlock: wall,
        syscalls: syscalls::plan(Modes {
            ptrace: lifts_ptrace(policy) || rights.ptrace,
            memory: rights.memory,
            perf: rights.perf,
            io_uring: rights.io_uring,
            own_network: true,
            connects: false,
            unix_sockets: policy.reach.no_unix.is_none(),
            listens: false,
            own_processes: policy.pid_namespace.value,
            own_ipc: true,
            names_threads: false,
            watch: policy.watch.as_ref().map(|said| said.value),
        }),
        scratch: None,
        cache,
    };
    Draft { confinement, tree, proc, shm, gpu: !enriched.devices.is_empty(), rights }
}

/// Policies that are complete need not name the working directory. One that they deny is an error.
fn start_where_it_shows(policy: &Policy, tree: &Tree, cwd: &mut PathBuf, told: &mut Told) {
    let Some((_, node)) = tree.governing(cwd).filter(|_| !tree.is_visible(cwd)) else { return };
    if policy.dialect.is_complete() && matches!(node.because, Origin::Baseline(_)) {
        told.warnings
            .push(format!("no rule of the policy shows the working directory {}: starting in /", cwd.display()));
        *cwd = PathBuf::from("/");
    } else {
        // A working directory in a private tmpfs is hidden by the tmpfs, not by a rule.
        told.errors.push(PlanError::HiddenWorkspace { path: cwd.clone(), by: node.because.clone() });
    }
}

/// By a user who said so, or by the policies of a program that allows it where the network is open anyway.
pub(super) fn lifts_ptrace(policy: &Policy) -> bool {
    let said = policy.allow.iter().any(|said| said.value == Allow::Ptrace);
    said || policy.dialect == Dialect::Codex && policy.net.value == Net::Host
}

/// Why variables name the directory that outlives the command.
const KEPT: &str = "compiled kernels are kept here for the next run, the home is read-only";

fn adjust_env(env: &mut EnvPlan, policy: &Policy, facts: &Facts, gpu: &GpuPlan, confinement: &Confinement) {
    env.set("RINGFENCE", "1", Origin::Baseline("programs can tell that they are sandboxed"));
    for (said, fact) in &facts.unix {
        let named = |name: &str| facts.env.iter().any(|(known, value)| known == name && Path::new(value) == said.value);
        if matches!(fact, PathFact::Present(_)) && named("SSH_AUTH_SOCK") {
            env.restore("SSH_AUTH_SOCK", &facts.env);
        }
    }
    let writable = |path: &Path| confinement.mounts.ops.iter().any(|op| op.grants_writing(path));
    let tmpdir = env.vars.get(std::ffi::OsStr::new("TMPDIR")).map(PathBuf::from);
    if policy.tmp.value == Tmp::Private && tmpdir.is_some_and(|dir| !writable(&dir)) {
        env.set("TMPDIR", "/tmp", Origin::Baseline("TMPDIR cannot be written inside"));
    }
    if policy.net.value != Net::Host {
        env.drop(std::ffi::OsStr::new("DISPLAY"), Origin::Baseline("the display's socket is hidden"));
        env.drop(std::ffi::OsStr::new("WAYLAND_DISPLAY"), Origin::Baseline("the display's socket is hidden"));
    }
    // What the user said of a variable counts more than what a file says.
    for (name, value, by) in gpu.cdi.env.iter().filter(|(name, ..)| !policy.env.says(name)) {
        env.set(name, value, by.clone());
    }
    add_libraries(env, gpu);
    if gpu.devices.is_empty() {
        return;
    }
    let by_subset = gpu::env_changes(&facts.env, &gpu.subset);
    for EnvChange { name, value, note } in by_subset.into_iter().chain(gpu.env.iter().cloned()) {
        // What a CDI file says of its own devices is right inside.
        if policy.env.says(&name) || gpu.cdi.env.iter().any(|(known, ..)| *known == name) {
            continue;
        }
        match value {
            Some(value) => env.set(name, value, Origin::Gpu(note)),
            None => env.drop(&name, Origin::Gpu(note)),
        }
    }
    let home_writable = facts.caller.homes.iter().any(|home| writable(home));
    if !home_writable {
        let has = |name: &str| env.vars.contains_key(std::ffi::OsStr::new(name));
        let kept = confinement.cache.as_ref().map(CacheDirectory::path);
        let why = if kept.is_some() { KEPT } else { "compiled kernels are cached here, the home is read-only" };
        for (name, value) in gpu::jit_cache_env(kept.as_deref(), &has) {
            env.set(name, value, Origin::Gpu(why.to_owned()));
        }
    }
}

/// The variables by which programs find the way out. Those that lead nowhere else are taken out.
fn lead_out(env: &mut EnvPlan, policy: &Policy, network: Option<&NetworkPlan>) {
    let Some(plan) = network.filter(|_| matches!(policy.net.value, Net::Allow | Net::Proxy)) else { return };
    variables::drop_others(plan, env, &|name| policy.env.says(name));
    variables::set(plan, env, &|name| policy.env.says(name));
}

/// Directories of libraries that the host's cache does not cover come before those that the caller named.
fn add_libraries(env: &mut EnvPlan, gpu: &GpuPlan) {
    let Some((_, by)) = gpu.cdi.libraries.first() else { return };
    let name = std::ffi::OsStr::new("LD_LIBRARY_PATH");
    let directories = gpu.cdi.libraries.iter().map(|(path, _)| path.as_path());
    let path = gpu::cdi::library_path(directories, env.vars.get(name).map(std::ffi::OsString::as_os_str));
    env.set(name, path, by.clone());
}
