//! From facts to checks: pure, so that every machine can be a row of a table.

mod userns;

use serde::Serialize;

use super::trial::Trial;
use crate::host::bwrap::Bwrap;
use crate::host::kernel::{Answer, Kernel, Wsl};
use crate::host::limits::{Controller, Home, NO_GROUPS};
use crate::plan::landlock::{SCOPE_ABI, WALL_ABI};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// `run` works, with something less.
    Degraded,
    /// Not there, and something needs it.
    Missing,
}

/// One line of the doctor's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked: the same words in every version.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What does not work without it.
    pub needed_for: String,
    /// One command, or one change to the machine, that makes it ok.
    pub cure: Option<String>,
}

impl Check {
    pub(super) fn new(name: &'static str, needed_for: &str, verdict: Verdict) -> Self {
        let Verdict { state, found, cure } = verdict;
        Self { name, state, found, needed_for: needed_for.to_owned(), cure }
    }
}

/// The part of a check that depends on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) found: String,
    pub(super) cure: Option<String>,
}

pub(super) fn ok(found: impl Into<String>) -> Verdict {
    Verdict { state: State::Ok, found: found.into(), cure: None }
}

pub(super) fn degraded(found: impl Into<String>, cure: impl Into<String>) -> Verdict {
    Verdict { state: State::Degraded, found: found.into(), cure: Some(cure.into()) }
}

pub(super) fn missing(found: impl Into<String>, cure: impl Into<String>) -> Verdict {
    Verdict { state: State::Missing, found: found.into(), cure: Some(cure.into()) }
}

/// What the checks judge.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The kernel and its settings.
    pub kernel: Kernel,
    /// Who asks.
    pub uid: u32,
    /// Whether a sandbox of the native engine starts.
    pub sandbox: Trial,
    /// Where it does not: whether one of another engine starts.
    pub instead: Option<Trial>,
    /// Whether the user's configuration makes a plan.
    pub configuration: Trial,
    /// Where control groups can be made, or why nowhere.
    pub groups: Result<Vec<Home>, &'static str>,
    /// bubblewrap.
    pub bwrap: Option<Bwrap>,
    /// What it calls itself.
    pub bwrap_version: Option<String>,
    /// The command that installs it here.
    pub install_bwrap: Option<&'static str>,
}

const WITHOUT_PROC: &str = "ringfence run --no-proc -- COMMAND";
const DELEGATE: &str = "systemd-run --user --scope -p Delegate=yes $SHELL";
const SANDBOX: &str = "sandbox";
const UNKNOWN: &str = "not known without /proc";
const CONFIGURATION: &str = "configuration";

/// Judges the machine; `sandbox`, which sums it up, comes first.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let kernel = &facts.kernel;
    let mut parts = vec![
        Check::new("user namespaces", "every sandbox", userns::user_namespaces(facts)),
        Check::new("apparmor", "user namespaces with capabilities in them", userns::apparmor(facts)),
        Check::new("mount api", "the file system view", mounts(kernel)),
        Check::new("openat2", "opening paths without following links", openat2(kernel)),
        Check::new("seccomp", "the system call filter", seccomp(kernel)),
        Check::new("wsl", "namespaces: WSL 1 has none", wsl(kernel)),
    ];
    let sandbox = Check::new(SANDBOX, "`ringfence run`", sandbox(facts, &parts));
    parts.insert(0, sandbox);
    parts.insert(1, Check::new(CONFIGURATION, "`ringfence run`", configuration(&facts.configuration)));
    parts.push(Check::new("landlock", "a second wall under the mounts", landlock(kernel)));
    parts.push(Check::new("cgroups", "--memory, --pids and --cpus for all processes together", cgroups(&facts.groups)));
    parts.push(Check::new("bubblewrap", "nothing: the native engine does without", bubblewrap(facts)));
    parts
}

/// Whether `ringfence run` can work.
pub fn run_works(checks: &[Check]) -> bool {
    let decisive = |check: &&Check| [SANDBOX, CONFIGURATION].contains(&check.name);
    checks.iter().filter(decisive).all(|check| check.state != State::Missing)
}

fn sandbox(facts: &Facts, parts: &[Check]) -> Verdict {
    let culprit = parts.iter().find(|part| part.state == State::Missing);
    let cure = culprit.and_then(|part| part.cure.clone());
    let verdict = match &facts.sandbox {
        Trial::Works => ok("`ringfence run -- true` works"),
        // The host hides parts of its own /proc: then the kernel gives nobody a whole one.
        Trial::Failed { error, .. } if error.starts_with("mount a new proc") => {
            missing(error, if facts.kernel.container.is_some() { userns::UNFILTERED } else { WITHOUT_PROC })
        }
        Trial::Failed { error, hint } => {
            let found = if cure.is_some() { error.clone() } else { with_hint(error, hint.as_deref()) };
            Verdict { state: State::Missing, found, cure }
        }
        Trial::NotTried(why) => {
            let no_proc = (!facts.kernel.proc_mounted).then(|| "sudo mount -t proc proc /proc".to_owned());
            Verdict { state: State::Missing, found: format!("not tried: {why}"), cure: no_proc.or(cure) }
        }
    };
    match &facts.instead {
        Some(Trial::Works) => Verdict {
            state: State::Degraded,
            found: format!("{}; another engine takes its place, for policies that it can keep", verdict.found),
            ..verdict
        },
        Some(Trial::Failed { .. } | Trial::NotTried(_)) | None => verdict,
    }
}

fn configuration(trial: &Trial) -> Verdict {
    match trial {
        Trial::Works => ok("no error"),
        Trial::Failed { error, hint } => {
            Verdict { state: State::Missing, found: with_hint(error, hint.as_deref()), cure: None }
        }
        Trial::NotTried(why) => Verdict { state: State::Degraded, found: format!("not tried: {why}"), cure: None },
    }
}

/// An error that no check explains keeps its hint; one that points back here would lead in a circle.
fn with_hint(error: &str, hint: Option<&str>) -> String {
    match hint.filter(|hint| !hint.contains("ringfence doctor")) {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_owned(),
    }
}

fn mounts(kernel: &Kernel) -> Verdict {
    match by_answer(kernel, kernel.calls.mounts, "open_tree", (5, 2)) {
        Verdict { state: State::Ok, .. } => {
            let verdict = by_answer(kernel, kernel.calls.mount_attributes, "mount_setattr", (5, 12));
            // mount(2) does the same, mount by mount.
            let state = if verdict.state == State::Ok { State::Ok } else { State::Degraded };
            Verdict { state, ..verdict }
        }
        verdict => verdict,
    }
}

fn openat2(kernel: &Kernel) -> Verdict {
    by_answer(kernel, kernel.calls.openat2, "openat2", (5, 6))
}

fn by_answer(kernel: &Kernel, answer: Answer, calls: &str, since: (u32, u32)) -> Verdict {
    match answer {
        Answer::Known => ok("available"),
        Answer::Missing if at_least(&kernel.release, since) => {
            missing(format!("{calls} hidden by a filter"), userns::way_out(kernel))
        }
        Answer::Missing => {
            let (major, minor) = since;
            let cure = format!("boot Linux {major}.{minor} or newer");
            missing(format!("Linux {} has no {calls}", kernel.release), cure)
        }
        Answer::Refused(errno) => {
            let error = std::io::Error::from_raw_os_error(errno);
            missing(format!("{calls} refused by a filter: {error}"), userns::way_out(kernel))
        }
    }
}

fn seccomp(kernel: &Kernel) -> Verdict {
    let has = |action: &str| {
        kernel.seccomp.actions.as_ref().is_some_and(|actions| actions.iter().any(|known| known == action))
    };
    match (has("errno") && has("kill_process"), kernel.seccomp.built_in) {
        (true, _) if kernel.seccomp.filtered => ok("available, and a filter holds already"),
        (true, _) => ok("available"),
        (false, true) => missing("filters cannot end a process here", "boot Linux 4.14 or newer"),
        (false, false) if !kernel.proc_mounted => ok(UNKNOWN),
        (false, false) => missing("not built in", "boot a kernel with CONFIG_SECCOMP_FILTER=y"),
    }
}

fn wsl(kernel: &Kernel) -> Verdict {
    match kernel.wsl {
        Wsl::No => ok("no"),
        Wsl::Two => ok("WSL 2"),
        Wsl::One => missing("WSL 1", "wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2"),
    }
}

fn landlock(kernel: &Kernel) -> Verdict {
    let listed =
        |module: &str| kernel.security_modules.as_ref().map(|modules| modules.iter().any(|known| known == module));
    let newer = || format!("boot Linux {} or newer", since(SCOPE_ABI));
    match kernel.calls.landlock_abi {
        0 if listed("landlock") == Some(false) && at_least(&kernel.release, (5, 13)) => {
            let modules = kernel.security_modules.clone().unwrap_or_default().join(",");
            degraded("off: it is not among the security modules", format!("boot with lsm=landlock,{modules}"))
        }
        0 => degraded("none", newer()),
        abi if abi < WALL_ABI => degraded(format!("ABI {abi}: too old for the wall"), newer()),
        abi if abi < SCOPE_ABI => {
            degraded(format!("ABI {abi}: with the host's network, its abstract sockets can be reached"), newer())
        }
        abi => ok(format!("ABI {abi}")),
    }
}

/// The kernel that brought a Landlock ABI.
fn since(abi: u32) -> &'static str {
    match abi {
        0..=3 => "6.2",
        4 => "6.7",
        5 => "6.10",
        _ => "6.12",
    }
}

/// Whether a release such as `6.12.0-1-amd64` is at least `wanted`.
fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= wanted
}

fn cgroups(groups: &Result<Vec<Home>, &'static str>) -> Verdict {
    let homes = match groups {
        Err(NO_GROUPS) => return degraded(NO_GROUPS, "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
        Err(why) => return degraded(*why, DELEGATE),
        Ok(homes) => homes,
    };
    let has = |which: &&Controller| homes.iter().any(|home| home.controllers.contains(which));
    let (found, lacking): (Vec<_>, Vec<_>) = Controller::ALL.iter().partition(has);
    let names = |list: Vec<&Controller>| list.into_iter().map(|which| which.name()).collect::<Vec<_>>().join(" ");
    match lacking.as_slice() {
        [] => ok(format!("can be made: {}", names(found))),
        _ => degraded(format!("not for {}", names(lacking)), DELEGATE),
    }
}

fn bubblewrap(facts: &Facts) -> Verdict {
    let Some(bwrap) = &facts.bwrap else {
        let cure = facts.install_bwrap.unwrap_or("install the package bubblewrap");
        return degraded("not on PATH", cure);
    };
    let version = facts.bwrap_version.as_deref().unwrap_or("of unknown version");
    let setuid = if bwrap.setuid { ", setuid root" } else { "" };
    ok(format!("{} {version}{setuid}", bwrap.path.display()))
}

#[cfg(test)]
mod tests;
