//! Who forbids user namespaces, and what lifts it.

use super::super::trial::Trial;
use super::{Facts, UNKNOWN, Verdict, degraded, missing, ok};
use crate::backend::{CREATE_NAMESPACES, MAP_IDS};
use crate::host::kernel::{Kernel, Wsl};

/// What takes a container's filter and its masks of /proc away; both stop a sandbox in a container.
pub(super) const UNFILTERED: &str =
    "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined IMAGE";

/// Out of whatever surrounds us.
pub(super) fn way_out(kernel: &Kernel) -> &'static str {
    if kernel.container.is_some() { UNFILTERED } else { "leave the sandbox or container you are in" }
}

const LIFT_APPARMOR: &str = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

/// The trial decides; the settings explain it.
pub(super) fn user_namespaces(facts: &Facts) -> Verdict {
    let settings = &facts.kernel.user_namespaces;
    if facts.sandbox == Trial::Works {
        return ok(settings.max.map_or("available".to_owned(), |max| format!("available, at most {max}")));
    }
    if facts.kernel.wsl == Wsl::One {
        return missing("WSL 1 has none", "wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2");
    }
    if !facts.kernel.proc_mounted {
        return ok(UNKNOWN);
    }
    if !settings.built_in {
        return missing("not built in", "boot a kernel with CONFIG_USER_NS=y");
    }
    if settings.max == Some(0) {
        return missing("forbidden by user.max_user_namespaces = 0", "sudo sysctl -w user.max_user_namespaces=15000");
    }
    if settings.unprivileged == Some(false) && is_stopped(facts) {
        let found = "forbidden by kernel.unprivileged_userns_clone = 0";
        return missing(found, "sudo sysctl -w kernel.unprivileged_userns_clone=1");
    }
    if facts.kernel.apparmor.restricts && is_stopped(facts) {
        return missing("restricted by AppArmor", LIFT_APPARMOR);
    }
    match failed_step(facts) {
        Some(error) => refused(facts, error),
        None => ok("no setting forbids them"),
    }
}

/// Nothing in the settings: a filter, a container, another sandbox, or the limit is used up.
fn refused(facts: &Facts, error: &str) -> Verdict {
    let kernel = &facts.kernel;
    let cure = way_out(kernel);
    match kernel.container {
        Some(marker) => missing(format!("{error}, in a container (`{marker}`)"), cure),
        None if kernel.user_namespaces.nested => missing(format!("{error}, in a user namespace already"), cure),
        None if kernel.seccomp.filtered => missing(format!("{error}, behind a system call filter"), cure),
        None => missing(error, "sudo sysctl -w user.max_user_namespaces=15000"),
    }
}

/// The trial's error, where it stopped at the namespaces.
fn failed_step(facts: &Facts) -> Option<&str> {
    match &facts.sandbox {
        Trial::Failed { error, .. } if error.starts_with(CREATE_NAMESPACES) || error.starts_with(MAP_IDS) => {
            Some(error)
        }
        _ => None,
    }
}

/// Whether a restriction of ordinary users holds for the caller: user 0 is stopped only where it lacks the capability,
/// as in a container, and then the trial said so.
fn is_stopped(facts: &Facts) -> bool {
    facts.uid != 0 || failed_step(facts).is_some()
}

/// The restriction of newer Ubuntu versions: the namespace is made, but its maker has no capability in it.
pub(super) fn apparmor(facts: &Facts) -> Verdict {
    let apparmor = &facts.kernel.apparmor;
    let profile = apparmor.profile.as_deref().unwrap_or("unconfined");
    match (apparmor.restricts, &facts.sandbox) {
        (false, _) if apparmor.enabled => ok(format!("no restriction of user namespaces, profile {profile}")),
        (false, _) => ok("not in force"),
        (true, Trial::Works) => ok(format!("restricts user namespaces, but not here: profile {profile}")),
        (true, _) if is_stopped(facts) => missing("restricts user namespaces", LIFT_APPARMOR),
        (true, _) => degraded("restricts the user namespaces of ordinary users", LIFT_APPARMOR),
    }
}
