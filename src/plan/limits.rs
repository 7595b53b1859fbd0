//! What the command may use of the machine, and what counts it: control groups where the caller may make them, else the
//! kernel's limits of single processes.

use std::path::PathBuf;
use std::time::Duration;

use super::build::Told;
use super::choose::Engine;
use super::error::PlanError;
use crate::host::Facts;
pub use crate::host::limits::Controller;
use crate::host::limits::{Home, LimitFacts, Version};
use crate::policy::Policy;
use crate::request::limits::{Amount, Size};
use crate::request::{Net, Origin, Said};

/// What the command may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitPlan {
    /// Control groups that are made for it: one, or one for each controller.
    pub groups: Vec<Group>,
    /// What each of its processes may.
    pub each: Vec<ResourceLimit>,
    /// The highest number that a process of its PID namespace gets.
    pub pid_max: Option<Said<u64>>,
    /// When TERM is sent, and KILL after the grace period.
    pub timeout: Option<Said<Duration>>,
    /// After so much time without a sign of life it is ended.
    pub idle: Option<Said<Duration>>,
}

/// A control group that is made, and removed at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The group that it is made in.
    pub home: PathBuf,
    /// What it limits, in the units of [`Controller`].
    pub limits: Vec<(Controller, Said<u64>)>,
    /// What is written to `cgroup.subtree_control` of its home first; may be empty.
    pub switch_on: String,
    /// What is written to files of the new group, in this order.
    pub settings: Vec<Setting>,
    /// What is read at the end.
    pub counters: Vec<Counter>,
}

/// A file of a new control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub file: &'static str,
    /// What is written to it.
    pub value: String,
    /// Whether it may be missing: without swap there is nothing to be said about it.
    pub may_miss: bool,
}

/// How often a limit was hit: a number behind a word, in a file of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// What is limited.
    pub of: Controller,
    /// The file.
    pub file: &'static str,
    /// The word.
    pub word: &'static str,
}

/// What a process may, with all that it starts (setrlimit(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLimit {
    /// What is limited.
    pub what: Resource,
    /// In bytes, or a number; of processes, without our own first one.
    pub value: u64,
    /// Who asked.
    pub because: Origin,
}

/// What [`ResourceLimit`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Resource {
    /// Private memory that can be written, in bytes: `RLIMIT_DATA`.
    Data,
    /// Processes and threads of the user in this user namespace: `RLIMIT_NPROC`.
    Processes,
    /// Open files: `RLIMIT_NOFILE`.
    OpenFiles,
    /// The size of files, in bytes: `RLIMIT_FSIZE`.
    FileSize,
}

/// The kernel counts processes for each user namespace from here on.
const PROCESSES_BY_NAMESPACE: (u32, u32) = (5, 14);

/// The kernel has a highest number of processes for each PID namespace from here on.
const PID_MAX_BY_NAMESPACE: (u32, u32) = (6, 14);

/// The lowest value of `pid_max` (`RESERVED_PIDS` + 1 of the kernel's source).
const LEAST_PID_MAX: u64 = 301;

/// Of the numbers that the machine has for processes one sandbox gets a quarter, unless somebody says otherwise; between
/// these.
const USUAL_PIDS: (u64, u64) = (4096, 16384);

const DEFAULT: Origin = Origin::Baseline("a command that forks without end must not stop the machine");

/// What `--tmp-size` limits.
pub(super) const TMP: &str = "the size of /tmp";

/// Who counts, for whom.
struct Counting<'a> {
    policy: &'a Policy,
    facts: &'a LimitFacts,
    engine: &'a Engine,
    uid: u32,
}

/// Plans the limits of a policy, for an engine that is chosen.
pub(super) fn plan(policy: &Policy, facts: &Facts, engine: &Engine, told: &mut Told) -> LimitPlan {
    Counting { policy, facts: &facts.limits, engine, uid: facts.caller.ids.uid }.plan(told)
}

impl Counting<'_> {
    fn plan(&self, told: &mut Told) -> LimitPlan {
        let limits = &self.policy.limits;
        let mut plan =
            LimitPlan { timeout: limits.timeout.clone(), idle: limits.idle_timeout.clone(), ..LimitPlan::default() };
        self.memory(&mut plan, told);
        self.pids(&mut plan, told);
        self.cpus(&mut plan, told);
        plan.groups.iter_mut().for_each(|group| self.carry_out(group));
        let files = limits.open_files.as_ref().map(|said| (Resource::OpenFiles, said.value.0, &said.by));
        let size = limits.file_size.as_ref().map(|said| (Resource::FileSize, said.value.0, &said.by));
        let each = files
            .into_iter()
            .chain(size)
            .filter_map(|(what, amount, by)| Some(ResourceLimit { what, value: amount.limit()?, because: by.clone() }));
        plan.each.extend(each);
        plan
    }

    fn memory(&self, plan: &mut LimitPlan, told: &mut Told) {
        let Some((value, by)) = wish(self.policy.limits.memory.as_ref().map(|said| (said.value.0, &said.by))) else {
            return;
        };
        if let Some(home) = self.home(Controller::Memory) {
            return join(plan, home, Controller::Memory, value, by);
        }
        if self.policy.limits.cgroup.is_some() {
            told.errors.push(self.no_group("memory", by));
            return;
        }
        told.warnings.push(format!(
            "memory ({by}) is limited for each process by itself, to {}: for all together it needs a control group, and {}",
            Size(Amount::Of(value)),
            self.facts.homeless
        ));
        plan.each.push(ResourceLimit { what: Resource::Data, value, because: by.clone() });
    }

    /// What can count them: a control group, the user namespace, the PID namespace.
    fn pids(&self, plan: &mut LimitPlan, told: &mut Told) {
        let Some(said) = &self.policy.limits.pids else { return self.usual_pids(plan) };
        let Some((value, by)) = wish(Some((said.value.0, &said.by))) else { return };
        if let Some(home) = self.home(Controller::Pids) {
            return join(plan, home, Controller::Pids, value, by);
        }
        const WHAT: &str = "the number of processes";
        if self.policy.limits.cgroup.is_some() {
            told.errors.push(self.no_group(WHAT, by));
        } else if let Err(why) = self.count_pids(plan, value, by) {
            let why = format!("{why}; of control groups, {}", self.facts.homeless);
            told.errors.push(PlanError::Limit { what: WHAT, by: by.clone(), why });
        }
    }

    /// Where it costs nothing, and nobody said anything.
    fn usual_pids(&self, plan: &mut LimitPlan) {
        let (Some(most), true) = (self.facts.pid_max, self.policy.confines()) else { return };
        let usual = (most / 4).clamp(USUAL_PIDS.0, USUAL_PIDS.1);
        // Without it, there is no limit, and the plan has no line for one.
        let _none = self.count_pids(plan, usual, &DEFAULT);
    }

    fn count_pids(&self, plan: &mut LimitPlan, value: u64, by: &Origin) -> Result<(), String> {
        let since = |version| self.facts.kernel.is_some_and(|kernel| kernel >= version);
        let namespaces = self.policy.confines() && *self.engine != Engine::Landlock;
        if !namespaces {
            return Err("without namespaces the kernel counts all processes of the user".to_owned());
        }
        if self.uid != 0 {
            if !since(PROCESSES_BY_NAMESPACE) {
                return Err("before Linux 5.14 the kernel counts all processes of the user".to_owned());
            }
            plan.each.push(ResourceLimit { what: Resource::Processes, value, because: by.clone() });
            return Ok(());
        }
        if *self.engine != Engine::Native || !self.policy.pid_namespace.value {
            return Err("root's processes can only be counted in a PID namespace of the native engine's".to_owned());
        }
        if !since(PID_MAX_BY_NAMESPACE) {
            return Err("before Linux 6.14 the kernel does not count root's processes".to_owned());
        }
        if self.facts.pid_max_sealed {
            return Err("pid_max in /proc/sys is read-only here, as in containers".to_owned());
        }
        if value < LEAST_PID_MAX {
            return Err(format!("root can be given no fewer than {LEAST_PID_MAX} by the kernel"));
        }
        // Numbers begin at 1, and the highest is one below. The thread that makes the view beside the network has one, and
        // numbers as low as that are given once only.
        let thread = u64::from(self.policy.net.value != Net::Host);
        let value = value.saturating_add(2 + thread).min(self.facts.pid_max.unwrap_or(u64::MAX));
        plan.pid_max = Some(Said::new(value, by.clone()));
        Ok(())
    }

    fn cpus(&self, plan: &mut LimitPlan, told: &mut Told) {
        let Some((value, by)) = wish(self.policy.limits.cpus.as_ref().map(|said| (said.value.0, &said.by))) else {
            return;
        };
        match self.home(Controller::Cpu) {
            Some(home) => join(plan, home, Controller::Cpu, value, by),
            None => told.errors.push(self.no_group("the time of processors", by)),
        }
    }

    fn no_group(&self, what: &'static str, by: &Origin) -> PlanError {
        let why = match &self.policy.limits.cgroup {
            Some(said) => format!("`{}` ({}) does not do: {}", said.value.display(), said.by, self.facts.homeless),
            None => format!("only a control group can, and {}", self.facts.homeless),
        };
        PlanError::Limit { what, by: by.clone(), why }
    }

    fn home(&self, which: Controller) -> Option<&Home> {
        self.facts.homes.iter().find(|home| home.controllers.contains(&which))
    }

    /// Processes of ours are in the group too: init, and the program between.
    fn with_ours(&self, home: &Home, processes: u64) -> u64 {
        let ours = if matches!(self.engine, Engine::Bwrap { .. }) { 2 } else { 1 };
        let most = home.left_behind.get(&Controller::Pids).copied().unwrap_or(u64::MAX);
        processes.saturating_add(ours).min(most)
    }

    /// Fills in what is done for the limits of a group.
    fn carry_out(&self, group: &mut Group) {
        let Some(home) = self.facts.homes.iter().find(|home| home.path == group.home) else { return };
        take_along(home, &mut group.limits);
        let off = group.limits.iter().map(|(which, _)| which).filter(|which| home.switched_off.contains(which));
        group.switch_on = off.map(|which| format!("+{}", which.name())).collect::<Vec<_>>().join(" ");
        for (which, said) in &group.limits {
            let value = if *which == Controller::Pids { self.with_ours(home, said.value) } else { said.value };
            group.settings.extend(settings(*which, home.version, value));
            group.counters.extend(counter(*which, home.version));
        }
    }
}

/// A group beside the caller's must not be a way out of what limits the caller's own.
fn take_along(home: &Home, limits: &mut Vec<(Controller, Said<u64>)>) {
    for (which, most) in &home.left_behind {
        let inherited = || Said::new(*most, Origin::Baseline("the caller's own group has no more"));
        match limits.iter_mut().find(|(known, _)| known == which) {
            Some((_, said)) if said.value <= *most => {}
            Some((_, said)) => *said = inherited(),
            None => limits.push((*which, inherited())),
        }
    }
}

/// How much may be in file systems that are made in memory.
pub(super) fn tmpfs_size(policy: &Policy, engine: &Engine, told: &mut Told) -> Option<Said<u64>> {
    let (value, by) = wish(policy.limits.tmp_size.as_ref().map(|said| (said.value.0, &said.by)))?;
    if *engine == Engine::Landlock {
        let why = "with Landlock alone it is a directory of the host's".to_owned();
        told.errors.push(PlanError::Limit { what: TMP, by: by.clone(), why });
    }
    Some(Said::new(value, by.clone()))
}

fn wish(said: Option<(Amount, &Origin)>) -> Option<(u64, &Origin)> {
    said.and_then(|(amount, by)| Some((amount.limit()?, by)))
}

/// Adds a limit to the group of a home.
fn join(plan: &mut LimitPlan, home: &Home, which: Controller, value: u64, by: &Origin) {
    let limit = (which, Said::new(value, by.clone()));
    match plan.groups.iter_mut().find(|group| group.home == home.path) {
        Some(group) => group.limits.push(limit),
        None => plan.groups.push(Group { home: home.path.clone(), limits: vec![limit], ..Group::default() }),
    }
}

/// The files of a limit (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroup-v1/pids.rst, and
/// scheduler/sched-bwc.rst).
fn settings(which: Controller, version: Version, value: u64) -> Vec<Setting> {
    /// Microseconds in which so much time may be used.
    const PERIOD: u64 = 100_000;
    let set = |file, value: String| Setting { file, value, may_miss: false };
    let number = value.to_string();
    let quota = value.saturating_mul(PERIOD / 1000);
    // What is swapped out counts too.
    let swap = |file, value: String| Setting { file, value, may_miss: true };
    match (which, version) {
        (Controller::Memory, Version::Two) => vec![set("memory.max", number), swap("memory.swap.max", "0".to_owned())],
        (Controller::Memory, Version::One) => {
            vec![set("memory.limit_in_bytes", number.clone()), swap("memory.memsw.limit_in_bytes", number)]
        }
        (Controller::Pids, _) => vec![set("pids.max", number)],
        (Controller::Cpu, Version::Two) => vec![set("cpu.max", format!("{quota} {PERIOD}"))],
        (Controller::Cpu, Version::One) => {
            vec![set("cpu.cfs_period_us", PERIOD.to_string()), set("cpu.cfs_quota_us", quota.to_string())]
        }
    }
}

fn counter(which: Controller, version: Version) -> Option<Counter> {
    let (file, word) = match (which, version) {
        (Controller::Memory, Version::Two) => ("memory.events", "oom_kill"),
        (Controller::Memory, Version::One) => ("memory.oom_control", "oom_kill"),
        (Controller::Pids, _) => ("pids.events", "max"),
        // Who has to wait his turn hits nothing.
        (Controller::Cpu, _) => return None,
    };
    Some(Counter { of: which, file, word })
}

#[cfg(test)]
mod tests;
