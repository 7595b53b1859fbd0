//! What can limit a command here: the kernel's own counters, and control groups that the caller may make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{mountinfo, read};
use crate::policy::Policy;

/// What control groups limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Memory, in bytes.
    Memory,
    /// Processes and threads.
    Pids,
    /// Time of processors, in thousandths of one.
    Cpu,
}

impl Controller {
    /// Each of them.
    pub const ALL: &[Self] = &[Self::Memory, Self::Pids, Self::Cpu];

    /// As the kernel calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.name() == name)
    }
}

/// Which hierarchy a group lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or for some of them.
    One,
    /// One for all.
    Two,
}

/// A group in which the caller may make others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its directory, as it is mounted.
    pub path: PathBuf,
    /// Of which hierarchy.
    pub version: Version,
    /// What groups in it can limit.
    pub controllers: Vec<Controller>,
    /// Those of them that have to be switched on first.
    pub switched_off: Vec<Controller>,
    /// What limits the caller's own group, and does not limit groups in this one.
    pub left_behind: BTreeMap<Controller, u64>,
}

/// What can limit a command here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitFacts {
    /// The kernel's version; `None` when it cannot be read.
    pub kernel: Option<(u32, u32)>,
    /// The highest number of a process, and with it how many there can be.
    pub pid_max: Option<u64>,
    /// Whether that lies on a read-only mount, as in containers.
    pub pid_max_sealed: bool,
    /// Where groups can be made; looked for only where one is wished for.
    pub homes: Vec<Home>,
    /// Why there is none, in words.
    pub homeless: &'static str,
}

/// Reads `/proc` and the groups' own files below `root`.
#[must_use]
pub fn probe(root: &Path, policy: &Policy) -> LimitFacts {
    let files = Files(root);
    let release = files.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let limits = &policy.limits;
    let wanted = limits.memory.is_some() || limits.pids.is_some() || limits.cpus.is_some();
    let named = limits.cgroup.as_ref().map(|said| said.value.as_path());
    let found = if wanted { homes(&files, named) } else { Ok(Vec::new()) };
    let homeless = found.as_ref().err().copied().unwrap_or(if named.is_some() { NOT_SUITABLE } else { NONE_BESIDE });
    let pid_max = Path::new("/proc/sys/kernel/pid_max");
    LimitFacts {
        kernel: version(&release),
        pid_max_sealed: rustix::fs::access(files.real(pid_max), Access::WRITE_OK) == Err(rustix::io::Errno::ROFS),
        pid_max: files.text(pid_max).and_then(|text| text.trim().parse().ok()),
        homes: found.unwrap_or_default(),
        homeless,
    }
}

/// `6.12.0-1-amd64` → (6, 12).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Why there is none where none is mounted.
pub const NO_GROUPS: &str = "no control groups are mounted";

const NONE_BESIDE: &str = "the caller may make none beside its own: it needs one that is delegated to it: \
     systemd-run --user --scope -p Delegate=yes";

const NOT_SUITABLE: &str =
    "it is no control group of version 2 that the caller may change and that has this controller";

/// Where the caller may make groups below `root`, without naming one.
///
/// # Errors
/// Why there is nowhere, in words.
pub fn groups(root: &Path) -> Result<Vec<Home>, &'static str> {
    homes(&Files(root), None)
}

fn homes(files: &Files<'_>, named: Option<&Path>) -> Result<Vec<Home>, &'static str> {
    if let Some(named) = named {
        return files.home(named, true).map(|home| vec![home]).ok_or(NOT_SUITABLE);
    }
    let table = files.bytes("/proc/self/mountinfo").unwrap_or_default();
    let membership = files.text("/proc/self/cgroup").unwrap_or_default();
    let mut homes = Vec::new();
    if let Some(own) = own_group(&table, &membership) {
        homes.extend(files.beside(&own));
    }
    homes.extend(files.legacy(&table, &membership));
    let mounted = || mountinfo::parse(&table).iter().any(|mounted| mounted.kind.starts_with(b"cgroup"));
    match homes.as_slice() {
        [] if !mounted() => Err(NO_GROUPS),
        [] => Err(NONE_BESIDE),
        _ => Ok(homes),
    }
}

/// The caller's group of version 2: the directory, and where the hierarchy is mounted.
struct Own {
    group: PathBuf,
    top: PathBuf,
}

fn own_group(table: &[u8], membership: &str) -> Option<Own> {
    let mounted = mountinfo::parse(table).into_iter().rfind(|mounted| mounted.kind == b"cgroup2")?;
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Own { group: in_mount(&mounted, path)?, top: mounted.point })
}

/// Where a group lies in a mount. A group above what is mounted cannot be reached.
fn in_mount(mounted: &mountinfo::Mounted, group: &str) -> Option<PathBuf> {
    let below = Path::new(group).strip_prefix(&mounted.root).ok()?;
    let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let here = below.as_os_str().is_empty();
    plain.then(|| if here { mounted.point.clone() } else { mounted.point.join(below) })
}

/// Files below a root.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn real(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        read::whole(&self.real(path.as_ref()))
    }

    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn controllers(&self, file: &Path) -> Vec<Controller> {
        self.text(file).unwrap_or_default().split_ascii_whitespace().filter_map(Controller::of).collect()
    }

    fn is_writable(&self, path: &Path) -> bool {
        rustix::fs::access(self.real(path), Access::WRITE_OK).is_ok()
    }

    /// A group of version 2, if groups can be made in it that limit something. Where processes are in it, nothing can be
    /// switched on: only the root of all may have both.
    fn home(&self, path: &Path, named: bool) -> Option<Home> {
        let processes = path.join("cgroup.procs");
        if !self.is_writable(path) || !self.is_writable(&processes) {
            return None;
        }
        let mut controllers = self.controllers(&path.join("cgroup.subtree_control"));
        let mut switched_off = Vec::new();
        let is_empty = self.text(&processes).is_some_and(|list| list.trim().is_empty());
        if is_empty || named {
            switched_off = self.controllers(&path.join("cgroup.controllers"));
            switched_off.retain(|controller| !controllers.contains(controller));
            controllers.extend(&switched_off);
        }
        let version = Version::Two;
        let left_behind = BTreeMap::new();
        let home = Home { path: path.to_owned(), version, controllers, switched_off, left_behind };
        (!home.controllers.is_empty()).then_some(home)
    }

    /// Next to the caller's group, whose limits do not count there; in it, where it is the root.
    fn beside(&self, own: &Own) -> Option<Home> {
        if own.group == own.top {
            return self.home(&own.group, false);
        }
        let mut home = self.home(own.group.parent()?, false)?;
        home.left_behind =
            Controller::ALL.iter().filter_map(|which| Some((*which, self.limit(&own.group, *which)?))).collect();
        let covered = home.left_behind.keys().all(|which| home.controllers.contains(which));
        covered.then_some(home)
    }

    /// What a group of version 2 limits.
    fn limit(&self, group: &Path, which: Controller) -> Option<u64> {
        let text = self.text(group.join(format!("{}.max", which.name())))?;
        let mut words = text.split_ascii_whitespace();
        let amount: u64 = words.next()?.parse().ok()?;
        match which {
            Controller::Memory | Controller::Pids => Some(amount),
            Controller::Cpu => amount.saturating_mul(1000).checked_div(words.next()?.parse().ok()?),
        }
    }

    /// Groups of version 1, in which others can be made whatever is in them.
    fn legacy(&self, table: &[u8], membership: &str) -> Vec<Home> {
        let mounts = mountinfo::parse(table);
        let of = |which: &Controller| {
            let listed = |list: &str| list.split(',').any(|name| name == which.name());
            let group = membership.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                fields.next().filter(|list| listed(list))?;
                fields.next()
            })?;
            let is_it = |mounted: &&mountinfo::Mounted| {
                mounted.kind == b"cgroup" && std::str::from_utf8(&mounted.data).is_ok_and(listed)
            };
            let path = in_mount(mounts.iter().rev().find(is_it)?, group)?;
            self.is_writable(&path).then(|| Home {
                path,
                version: Version::One,
                controllers: vec![*which],
                switched_off: Vec::new(),
                left_behind: BTreeMap::new(),
            })
        };
        Controller::ALL.iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests;
