//! A plan as a bundle of the Open Container Initiative: an engine's own runtime (runc, crun) does what the native engine
//! does here, as far as its format has words for it. What it has none for is an error where somebody asked for it, else
//! a note; nothing is left out in silence.
//!
//! Source: the runtime specification, version 1.0.2, and what runc 1.1 and crun 1.8 do with it.

mod seccomp;
pub mod spec;
mod view;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::choose::Engine;
use super::error::PlanError;
use super::limits::{LimitPlan, Resource};
use super::mounts::{Mount, RootView};
use super::{Confinement, Plan};
use crate::policy::Policy;
use crate::request::limits::Limits;
use crate::request::{Backend, Landlock, Net, Origin, Said};
use spec::{
    Capabilities, Cpu, IdMapping, Linux, Memory, Namespace, Pids, Process, Resources, Rlimit, Root, Spec, User,
};
pub use view::Top;
use view::{ROOTFS, View};

/// A bundle, before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// `config.json`.
    pub config: Spec,
    /// What stands beside it, parents before children or without them.
    pub items: Vec<Item>,
    /// What it does not do, or does otherwise than `ringfence run`; one remark each.
    pub notes: Vec<String>,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its path in the bundle.
    pub path: PathBuf,
    /// What it is.
    pub what: Made,
}

/// What is made in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A directory with these permission bits.
    Dir(u32),
    /// A file with these permission bits and this content.
    File(u32, Vec<u8>),
    /// A symbolic link that leads there.
    Link(OsString),
}

/// Something that the format has no words for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lost {
    code: &'static str,
    what: String,
    by: Origin,
    /// Whether somebody asked for it, or it lets the command do what it must not.
    required: bool,
}

/// The policy that a bundle is planned for, and the limits that its control group keeps: the runtime makes that, not the
/// caller, so what the caller may do with control groups does not matter.
#[must_use]
pub fn policy(policy: Policy) -> (Policy, Limits) {
    let Policy { mut limits, mut backend, .. } = policy.clone();
    let wished = limits.clone();
    (limits.memory, limits.pids, limits.cpus, limits.cgroup) = (None, None, None, None);
    if backend.value == Backend::Auto {
        backend = Said::new(Backend::Native, Origin::Baseline("a runtime makes namespaces and mounts as it does"));
    }
    (Policy { limits, backend, ..policy }, wished)
}

/// What a plan for [`policy`] comes to; `top` is what stands in `/`.
///
/// # Errors
/// Everything that was asked for and that a bundle cannot say.
pub fn bundle(
    plan: &Plan,
    policy: &Policy,
    wished: &Limits,
    top: &[(OsString, Top)],
) -> Result<Bundle, Vec<PlanError>> {
    let unsaid = |what: &str, by: &Origin| {
        vec![PlanError::Unenforced { code: "oci.engine", what: what.to_owned(), by: by.clone() }]
    };
    let Some(confinement) = &plan.confinement else {
        return Err(unsaid("full-access confines nothing that a bundle could say", &Origin::Flag("--sandbox")));
    };
    if plan.choice.engine != Engine::Native {
        return Err(unsaid("a bundle is what the native engine does, by a runtime", &policy.backend.by));
    }
    let not_text = not_text(plan, confinement);
    if !not_text.is_empty() {
        return Err(not_text);
    }
    let mut view = view::view(&confinement.mounts, top, confinement.uid);
    forget_missing_cache(confinement, &mut view);
    let (filter, numbers) = seccomp::filter(&confinement.syscalls);
    view.lost.extend(of_process(plan, policy, confinement));
    view.lost.extend(of_limits(&plan.limits, wished));
    let required = |lost: &&Lost| lost.required && !policy.allow_unenforced;
    let errors: Vec<_> = view.lost.iter().filter(required).map(Lost::error).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut notes: Vec<String> = plan.choice.warnings.clone();
    notes.extend(view.lost.iter().map(|lost| format!("{} ({})", lost.what, lost.by)));
    if !view.unblocked.is_empty() {
        let names = view.unblocked.join(", ");
        notes.push(format!("protected names that are missing can be made, a mount has nothing to stand on: {names}"));
    }
    notes.extend(always(confinement, &numbers));
    let annotations = notes.iter().enumerate().map(|(number, note)| (format!("ringfence.note.{number}"), note.clone()));
    let config = Spec {
        oci_version: "1.0.2",
        process: process(plan, confinement),
        root: Root { path: ROOTFS, readonly: confinement.mounts.root != RootView::HostWritable },
        mounts: view.mounts,
        annotations: annotations.collect::<BTreeMap<_, _>>(),
        linux: Linux {
            namespaces: namespaces(confinement),
            uid_mappings: itself(confinement.uid),
            gid_mappings: itself(confinement.gid),
            resources: Resources { devices: view.devices, ..resources(&plan.limits, wished) },
            seccomp: filter,
            masked_paths: view.masked,
            readonly_paths: view.readonly,
        },
    };
    Ok(Bundle { config, items: view.items, notes })
}

impl Lost {
    fn error(&self) -> PlanError {
        PlanError::Unenforced { code: self.code, what: self.what.clone(), by: self.by.clone() }
    }
}

/// JSON has no other strings.
fn not_text(plan: &Plan, confinement: &Confinement) -> Vec<PlanError> {
    let error = |what: &OsStr, by: &Origin| PlanError::Unenforced {
        code: "oci.not_text",
        what: format!("`{}` is not UTF-8, and JSON has nothing else", what.display()),
        by: by.clone(),
    };
    let bad = |text: &OsStr, by: &Origin| text.to_str().is_none().then(|| error(text, by));
    let command = Origin::Baseline("the command");
    let words = plan.process.command.iter().map(OsString::as_os_str).chain([plan.process.cwd.as_os_str()]);
    let vars = plan.process.env.vars.iter().flat_map(|(name, value)| [name.as_os_str(), value.as_os_str()]);
    let process = words.chain(vars).filter_map(|text| bad(text, &command));
    let sources = confinement.mounts.ops.iter().filter_map(|op| match &op.what {
        Mount::Other { source, .. } | Mount::Device { source: Some(source), .. } => {
            bad(source.as_os_str(), &op.because)
        }
        _ => None,
    });
    let targets = confinement.mounts.ops.iter().filter_map(|op| bad(op.target.as_os_str(), &op.because));
    process.chain(sources).chain(targets).collect()
}

/// `ringfence run` makes the directory, a runtime does not.
fn forget_missing_cache(confinement: &Confinement, view: &mut View) {
    let Some(cache) = &confinement.cache else { return };
    let (path, ops) = (cache.path(), &confinement.mounts.ops);
    let missing = ops.iter().find(|op| op.target == path && matches!(op.what, Mount::Bind { id: None, .. }));
    let Some(op) = missing else { return };
    view.mounts.retain(|mount| mount.source != path.to_string_lossy());
    view.lost.push(Lost {
        code: "oci.cache_missing",
        what: format!("{} does not exist yet: what is compiled is not kept; ringfence run makes it", path.display()),
        by: op.because.clone(),
        required: false,
    });
}

/// What of the process and the network has no words.
fn of_process(plan: &Plan, policy: &Policy, confinement: &Confinement) -> Vec<Lost> {
    let lost = |code, what: &str, by: &Origin, required| Lost { code, what: what.to_owned(), by: by.clone(), required };
    let mut all = Vec::new();
    if let Some(by) = led_out(confinement) {
        all.push(lost(
            "oci.network_unavailable",
            "nothing leads out of the network or into it: it stays off",
            by,
            true,
        ));
    }
    let flag = Origin::Flag("--pass-fd");
    if !plan.process.pass_fd.is_empty() {
        all.push(lost("oci.descriptors_unavailable", "descriptors are the runtime's to pass", &flag, true));
    }
    if let Some(said) = &policy.audit {
        all.push(lost("oci.audit_unavailable", "there is no Landlock to write an audit log", &said.by, said.value));
    }
    let by = policy.landlock.as_ref();
    let required = by.is_some_and(|said| said.value == Landlock::Required);
    let every = Origin::Baseline("every sandbox of ringfence's own has it");
    let what = "there is no Landlock wall: a file that is passed in as a standard stream can be opened again for all \
                that its own mode allows";
    all.push(lost("oci.landlock_unavailable", what, by.map_or(&every, |said| &said.by), required));
    all
}

/// Who asked for a way through the network's namespace.
fn led_out(confinement: &Confinement) -> Option<&Origin> {
    let door = confinement.network.as_ref().and_then(|network| {
        network.doors.first().map(|door| &door.because).or(network.publish.first().map(|said| &said.by))
    });
    door.or((!matches!(confinement.net.value, Net::None | Net::Host)).then_some(&confinement.net.by))
}

fn of_limits(plan: &LimitPlan, wished: &Limits) -> Vec<Lost> {
    let lost = |what: &str, by: &Origin| Lost {
        code: "oci.limit_unavailable",
        what: what.to_owned(),
        by: by.clone(),
        required: true,
    };
    let times = plan.timeout.iter().chain(&plan.idle);
    let group = wished.cgroup.iter().map(|said| lost("the runtime says where its control group is", &said.by));
    times.map(|said| lost("runtimes end no command after a time", &said.by)).chain(group).collect()
}

/// What no bundle does, whatever was asked.
fn always(confinement: &Confinement, numbers: &[&str]) -> Vec<String> {
    let mut notes = vec![
        "paths and device nodes are those of now: nothing compares them when the bundle runs, and what host programs \
         replace meanwhile is not covered again"
            .to_owned(),
        "calls whose names the runtime's libseccomp does not know are not refused: fchmodat2 needs 2.5.5, open_tree_attr 2.6".to_owned(),
    ];
    if confinement.pid_namespace.value {
        let first = "the command is the first process: it reaps what it leaves, and takes only signals that it handles";
        notes.push(first.to_owned());
    }
    if !numbers.is_empty() {
        let numbers = numbers.join(", ");
        notes.push(format!("calls without a name end the command or are the kernel's to refuse: {numbers}"));
    }
    notes
}

fn process(plan: &Plan, confinement: &Confinement) -> Process {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let env = plan.process.env.vars.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
    let core = Rlimit { kind: "RLIMIT_CORE", hard: 0, soft: 0 };
    let each = plan.limits.each.iter().map(|limit| Rlimit {
        kind: match limit.what {
            Resource::Data => "RLIMIT_DATA",
            Resource::Processes => "RLIMIT_NPROC",
            Resource::OpenFiles => "RLIMIT_NOFILE",
            Resource::FileSize => "RLIMIT_FSIZE",
        },
        hard: limit.value,
        soft: limit.value,
    });
    Process {
        terminal: false,
        user: User { uid: confinement.uid, gid: confinement.gid },
        args: plan.process.command.iter().map(|word| text(word)).collect(),
        env: env.collect(),
        cwd: text(plan.process.cwd.as_os_str()),
        capabilities: Capabilities::default(),
        rlimits: [core].into_iter().chain(each).collect(),
        no_new_privileges: true,
    }
}

fn namespaces(confinement: &Confinement) -> Vec<Namespace> {
    let pid = confinement.pid_namespace.value.then_some("pid");
    let network = (confinement.net.value != Net::Host).then_some("network");
    let kinds = ["user", "mount", "ipc", "uts", "cgroup"].into_iter().chain(pid).chain(network);
    kinds.map(|kind| Namespace { kind }).collect()
}

fn itself(id: u32) -> Vec<IdMapping> {
    vec![IdMapping { container_id: id, host_id: id, size: 1 }]
}

fn resources(plan: &LimitPlan, wished: &Limits) -> Resources {
    /// Microseconds in which processor time is counted.
    const PERIOD: u64 = 100_000;
    let memory = wished.memory.as_ref().and_then(|said| said.value.0.limit());
    let cpus = wished.cpus.as_ref().and_then(|said| said.value.0.limit());
    let pids = wished.pids.as_ref().and_then(|said| said.value.0.limit());
    let usual = plan.pid_max.as_ref().map(|said| said.value);
    Resources {
        devices: Vec::new(),
        memory: memory.map(|limit| Memory { limit, swap: limit }),
        cpu: cpus.map(|thousandths| Cpu { quota: thousandths.saturating_mul(PERIOD / 1000), period: PERIOD }),
        pids: pids.or(usual).map(|limit| Pids { limit }),
    }
}
