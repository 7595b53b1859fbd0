//! Control groups: which version, and whether the caller may make groups of its own.

use std::path::Path;

use rustix::fs::Access;

use super::{below, text};

/// Control groups as the caller finds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// None is mounted.
    #[default]
    None,
    /// Version 1, where nothing can be handed to an ordinary user.
    V1,
    /// Version 2.
    V2 {
        /// Controllers of the caller's group.
        controllers: Vec<String>,
        /// Whether the caller may make groups below its own.
        delegated: bool,
    },
}

/// Reads `/proc/self/mounts` and `/proc/self/cgroup`.
pub(super) fn probe(root: &Path) -> Cgroups {
    let mounts = text(root, "/proc/self/mounts").unwrap_or_default();
    let mount_of = |kind: &str| {
        mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, found) = (fields.next()?, fields.next()?);
            (found == kind).then_some(point)
        })
    };
    let legacy = if mount_of("cgroup").is_some() { Cgroups::V1 } else { Cgroups::None };
    let Some(point) = mount_of("cgroup2") else { return legacy };
    let membership = text(root, "/proc/self/cgroup").unwrap_or_default();
    let own = membership.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let group = format!("{point}/{}", own.trim_matches('/'));
    let listed = text(root, &format!("{group}/cgroup.controllers")).unwrap_or_default();
    let controllers: Vec<_> = listed.split_ascii_whitespace().map(str::to_owned).collect();
    // Beside version 1, version 2 has the controllers that version 1 left over, which are none that limit.
    if legacy == Cgroups::V1 && !controllers.iter().any(|name| name == "memory") {
        return legacy;
    }
    let writable = |path: &str| rustix::fs::access(below(root, path), Access::WRITE_OK).is_ok();
    let delegated = writable(&group) && writable(&format!("{group}/cgroup.procs"));
    Cgroups::V2 { controllers, delegated }
}
