//! (Policy, Facts) → Plan: calls the planners and collects all errors at once.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::host::Facts;
use crate::host::paths::{Kind, PathFact};
use crate::policy::Policy;
use crate::request::{Allow, Dialect, Net, Origin, Said, Tmp};

use super::choose::{Choice, Engine, choose};
use super::env::EnvPlan;
use super::gpu::{self, GpuError, GpuPlan};
use super::mounts::{Mount, MountOp, MountPlan};
use super::syscalls::Modes;
use super::{Confinement, Plan, ProcessPlan, landlock, syscalls, view};

/// Why there can be no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// The working directory does not exist or cannot be reached.
    #[error("working directory `{}`: {why}", path.display())]
    Workspace {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The workspace is so wide that protecting the rest would be a joke.
    #[error("the workspace would be `{}`, {what}", path.display())]
    WideWorkspace {
        /// The directory.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The command would start in a directory that the policy hides.
    #[error("working directory `{}` is hidden by {by}", path.display())]
    HiddenWorkspace {
        /// The directory.
        path: PathBuf,
        /// Who hides it.
        by: Origin,
    },
    /// A path that is to be writable does not exist.
    #[error("`{}` does not exist, but {by} wants to write it", path.display())]
    MissingWritable {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// A path that is to be granted cannot be reached.
    #[error("`{}` cannot be reached ({by}): {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
        /// Why.
        errno: i32,
    },
    /// `/dev`, or a directory of device nodes in it, was asked for as a whole.
    #[error("`{}` cannot be granted as a whole ({by})", path.display())]
    DeviceDirectory {
        /// The directory.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// What was asked for as a device is none.
    #[error("`{}` is {found}, not a character device ({by})", path.display())]
    NotADevice {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// Who asked.
        by: Origin,
    },
    /// What was asked for as a socket is none.
    #[error("`{}` is no unix socket ({by})", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// `modify` cannot be enforced here.
    #[error("`{}` cannot be limited to modify ({by}): {why}", path.display())]
    Modify {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
        /// What stands in the way.
        why: &'static str,
    },
    /// A grant in the workspace that a link, which the command may have made, turns into one elsewhere.
    #[error("`{}` ({by}) leads out of the workspace, to `{}`", path.display(), target.display())]
    LeadsOut {
        /// The path as it is written.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// A rule below `/proc` that names a process.
    #[error("`{}` belongs to a process of the host, which the sandbox does not show ({by})", path.display())]
    ProcessPath {
        /// The path.
        path: PathBuf,
        /// Who asked.
        by: Origin,
    },
    /// Without a PID namespace the other processes of the user must be kept away by Landlock.
    #[error("the caller's PID namespace cannot be shared ({by}): it needs Landlock ABI 3 (Linux 6.2)")]
    PidNamespace {
        /// Who asked.
        by: Origin,
    },
    /// No backend keeps the policy here.
    #[error("no backend can enforce this policy here\n  {}", attempts.join("\n  "))]
    NoBackend {
        /// What was tried, and why it is of no use: one line each.
        attempts: Vec<String>,
    },
    /// The first Windows subsystem for Linux.
    #[error("this is WSL 1, which has no namespaces: there can be no sandbox")]
    Wsl1,
    /// A GPU that was asked for cannot be used.
    #[error(transparent)]
    Gpu(Box<GpuError>),
}

impl PlanError {
    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Workspace { .. } => "name another one with --cd DIR".to_owned(),
            Self::WideWorkspace { path, .. } => {
                format!(
                    "use a project directory (--cd DIR), --sandbox read-only, or --write {} on purpose",
                    path.display()
                )
            }
            Self::HiddenWorkspace { .. } => {
                "name a visible one with --cd DIR, or grant it with --read DIR (all of /tmp: --tmp host)".to_owned()
            }
            Self::MissingWritable { path, .. } if crate::policy::paths::has_metacharacters(path.as_os_str()) => {
                "only --deny takes globs: name the directory".to_owned()
            }
            Self::MissingWritable { path, .. } => {
                format!("make it first: mkdir -p {0} (a directory) or touch {0} (a file)", path.display())
            }
            Self::LeadsOut { target, .. } => format!("name the place itself if you mean it: {}", target.display()),
            Self::DeviceDirectory { .. } => "name the nodes: --device /dev/NODE, or --gpu for GPUs".to_owned(),
            Self::NotADevice { .. } => "see what is there with: ls -l PATH".to_owned(),
            Self::NotASocket { .. } => "start the program that listens on it first".to_owned(),
            Self::Modify { .. } => "say read or write for it instead".to_owned(),
            Self::PidNamespace { .. } => "leave --inherit-pid-namespace out".to_owned(),
            Self::NoBackend { .. } => "ringfence doctor tells what stands in the way, and the cure".to_owned(),
            Self::Wsl1 => "WSL 2 has them: wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2".to_owned(),
            Self::Unreachable { .. } | Self::ProcessPath { .. } => return None,
            Self::Gpu(error) => return error.hint(),
        })
    }
}

/// Makes the plan for a policy on a machine.
///
/// # Errors
/// Every reason why it cannot be carried out.
pub fn build(policy: &Policy, facts: &Facts) -> Result<Plan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let mut notes = policy.notes.clone();
    let mut warnings = Vec::new();
    let policy = &without_proc(policy, facts, &mut warnings);
    let mut cwd = match &facts.start_in {
        PathFact::Present(present) if present.kind == Kind::Dir => present.path.clone(),
        fact => return Err(vec![PlanError::Workspace { path: policy.start_in.clone(), why: why_unusable(fact) }]),
    };
    let mut env = EnvPlan::new(&policy.env, &facts.env);
    let confinement = if policy.confines() {
        let gpu = grant_gpus(policy, facts, &mut errors, &mut notes);
        let (confinement, visible) = confine(policy, facts, &gpu, &cwd, &mut errors, &mut notes);
        if !visible {
            warnings
                .push(format!("no rule of the policy shows the working directory {}: starting in /", cwd.display()));
            cwd = PathBuf::from("/");
        }
        adjust_env(&mut env, policy, facts, &gpu, &confinement);
        Some(confinement)
    } else {
        None
    };
    let choice = match &confinement {
        Some(confinement) if errors.is_empty() => choose(policy, facts, confinement),
        _ => Ok(Choice::nothing()),
    };
    let mut choice = choice.unwrap_or_else(|error| {
        errors.push(error);
        Choice::nothing()
    });
    choice.warnings.extend(warnings);
    if matches!(choice.engine, Engine::Bwrap { .. }) && facts.caller.ids.uid == 0 {
        notes.push(
            "bubblewrap binds device nodes so that uid 0, who owns them, can change their mode and times: \
             --backend native does not let it"
                .to_owned(),
        );
    }
    let confinement = confinement.map(|confinement| match choice.engine {
        Engine::Landlock => alone(policy, facts, confinement, &mut notes),
        Engine::Native | Engine::Bwrap { .. } => confinement,
    });
    if env.vars.contains_key(std::ffi::OsStr::new("PWD")) {
        env.vars.insert("PWD".into(), cwd.clone().into());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let process = ProcessPlan {
        command: policy.command.clone(),
        cwd,
        env,
        timeout: policy.timeout.clone(),
        pass_fd: policy.pass_fd.clone(),
    };
    Ok(Plan { process, confinement, choice, notes })
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

fn grant_gpus(policy: &Policy, facts: &Facts, errors: &mut Vec<PlanError>, notes: &mut Vec<String>) -> GpuPlan {
    match gpu::grants(&policy.gpu, false, &facts.gpus) {
        Ok(plan) => {
            notes.extend(plan.notes.iter().cloned());
            plan
        }
        Err(found) => {
            errors.extend(found.into_iter().map(|error| PlanError::Gpu(Box::new(error))));
            GpuPlan::default()
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "three inputs, and the two lists that every planner adds to")]
fn confine(
    policy: &Policy,
    facts: &Facts,
    gpu: &GpuPlan,
    cwd: &Path,
    errors: &mut Vec<PlanError>,
    notes: &mut Vec<String>,
) -> (Confinement, bool) {
    let view = view::build(policy, facts, gpu, errors, notes);
    let mut visible = true;
    if let Some((_, node)) = view.tree.governing(cwd).filter(|_| !view.tree.is_visible(cwd)) {
        // Codex's policies need not name the working directory. One that they deny is an error.
        visible = !(policy.dialect == Dialect::Codex && matches!(node.because, Origin::Baseline(_)));
        if visible {
            // A working directory in a private tmpfs is hidden by the tmpfs, not by a rule.
            errors.push(PlanError::HiddenWorkspace { path: cwd.to_owned(), by: node.because.clone() });
        }
    }
    let wall = landlock::plan(facts.landlock_abi, &view.tree, &view.ops, policy);
    if wall.abi == 0 && !policy.pid_namespace.value {
        errors.push(PlanError::PidNamespace { by: policy.pid_namespace.by.clone() });
    }
    if wall.abi == 0 {
        notes.push(
            "this kernel has no Landlock wall (ABI 3, Linux 6.2): a regular file as standard output is refused, pipe it"
                .to_owned(),
        );
    }
    let confinement = Confinement {
        uid: facts.caller.ids.uid,
        gid: facts.caller.ids.gid,
        pid_namespace: policy.pid_namespace.clone(),
        net: policy.net.clone(),
        mounts: MountPlan { root: view.tree.root(), ops: view.ops },
        landlock: wall,
        syscalls: syscalls::plan(Modes {
            ptrace: lifts_ptrace(policy),
            own_network: true,
            own_processes: policy.pid_namespace.value,
            names_threads: false,
        }),
    };
    (confinement, visible)
}

/// What is left of a confinement without namespaces and mounts.
fn alone(policy: &Policy, facts: &Facts, confinement: Confinement, notes: &mut Vec<String>) -> Confinement {
    let kept = |op: &&MountOp| facts.kept.unreadable.contains(&op.target) || facts.kept.unwritable.contains(&op.target);
    let open = confinement.mounts.ops.iter().filter(|op| matches!(op.what, Mount::Block { .. } | Mount::Mask { .. }));
    let open = open.filter(|op| !kept(op));
    notes.extend(open.map(|op| format!("Landlock alone leaves {} open ({})", op.target.display(), op.because)));
    notes.push(
        "Landlock alone: processes outside can be seen, and the host's /run and /dev, read-only, with their sockets"
            .to_owned(),
    );
    notes.push("Landlock alone: mode, owner and times of the caller's files can be changed everywhere".to_owned());
    if facts.kept.nested {
        notes.push("Landlock alone: /tmp is the one of the sandbox around this one".to_owned());
    }
    if facts.landlock_abi < landlock::SCOPE_ABI {
        notes.push("Landlock alone: processes outside can be sent signals before ABI 6 (Linux 6.12)".to_owned());
    }
    let network = policy.net.value == Net::Host;
    let mut wall = landlock::alone(confinement.landlock, &confinement.mounts.ops, &facts.kept.top);
    let names_threads = landlock::leave_names_to_init(&mut wall);
    let modes = Modes { ptrace: lifts_ptrace(policy), own_network: network, own_processes: false, names_threads };
    Confinement {
        landlock: wall,
        syscalls: syscalls::plan(modes),
        mounts: MountPlan { root: confinement.mounts.root, ops: Vec::new() },
        ..confinement
    }
}

/// By a user who said so, or by the policies of a program that allows it where the network is open anyway.
fn lifts_ptrace(policy: &Policy) -> bool {
    let said = policy.allow.iter().any(|said| said.value == Allow::Ptrace);
    said || policy.dialect == Dialect::Codex && policy.net.value == Net::Host
}

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
    if policy.net.value == Net::None {
        env.drop(std::ffi::OsStr::new("DISPLAY"), Origin::Baseline("the display's socket is hidden"));
        env.drop(std::ffi::OsStr::new("WAYLAND_DISPLAY"), Origin::Baseline("the display's socket is hidden"));
    }
    if gpu.devices.is_empty() {
        return;
    }
    for change in gpu::env_changes(&facts.env, gpu.subset) {
        env.drop(&change.name, Origin::Gpu(change.note));
    }
    let home_writable = facts.caller.homes.iter().any(|home| writable(home));
    if !home_writable {
        let has = |name: &str| env.vars.contains_key(std::ffi::OsStr::new(name));
        for (name, value) in gpu::jit_cache_env(&has) {
            env.set(name, value, Origin::Gpu("compiled kernels are cached here, the home is read-only".to_owned()));
        }
    }
}
