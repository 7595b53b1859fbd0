//! Machines as rows: one fact changed, the check that must answer.

use std::collections::BTreeMap;

use super::*;
use crate::host::bwrap::Stamp;
use crate::host::kernel::{AppArmor, Calls, Seccomp, UserNamespaces};
use crate::host::limits::Version;

/// A machine on which everything works, for an ordinary user.
fn good() -> Facts {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    Facts {
        kernel: Kernel {
            release: "6.12.0-1-amd64".to_owned(),
            calls: Calls {
                landlock_abi: 6,
                mounts: Answer::Known,
                mount_attributes: Answer::Known,
                openat2: Answer::Known,
            },
            wsl: Wsl::No,
            user_namespaces: UserNamespaces { built_in: true, max: Some(9000), unprivileged: None, nested: false },
            apparmor: AppArmor::default(),
            security_modules: Some(words("capability landlock yama")),
            seccomp: Seccomp { actions: Some(words("kill_process errno allow")), built_in: true, filtered: false },
            proc_mounted: true,
            container: None,
        },
        uid: 1000,
        sandbox: Trial::Works,
        instead: None,
        configuration: Trial::Works,
        groups: Ok(vec![home(Controller::ALL)]),
        bwrap: Some(Bwrap { path: "/usr/bin/bwrap".into(), setuid: false, stamp: Stamp::default() }),
        bwrap_version: Some("0.11.0".to_owned()),
        install_bwrap: Some("sudo apt-get install bubblewrap"),
    }
}

fn home(controllers: &[Controller]) -> Home {
    Home {
        path: "/sys/fs/cgroup".into(),
        version: Version::Two,
        controllers: controllers.to_vec(),
        switched_off: Vec::new(),
        left_behind: BTreeMap::new(),
    }
}

fn failing(error: &str) -> Trial {
    Trial::Failed { error: error.to_owned(), hint: Some("ringfence doctor tells which setting does it".to_owned()) }
}

const NO_NAMESPACES: &str = "create namespaces: Operation not permitted (os error 1)";
const DOCKER: &str = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined IMAGE";
const NO_MAPPING: &str = "map user and group ids `/proc/self/uid_map`: Operation not permitted (os error 1)";

/// The named check on the good machine with one change, as `state: found | cure`.
fn verdict(name: &str, change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = good();
    change(&mut facts);
    let checks = checks(&facts);
    let check = checks.iter().find(|check| check.name == name).unwrap();
    format!("{:?}: {} | {}", check.state, check.found, check.cure.as_deref().unwrap_or("-"))
}

fn check(name: &str, change: impl FnOnce(&mut Facts), want: &str) {
    assert_eq!(verdict(name, change), want);
}

#[test]
fn on_a_good_machine_all_is_ok() {
    let checks = checks(&good());
    assert!(checks.iter().all(|check| check.state == State::Ok && check.cure.is_none()), "{checks:#?}");
    assert!(run_works(&checks));
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let want = "sandbox, configuration, user namespaces, apparmor, mount api, openat2, seccomp, wsl, landlock, cgroups, \
                bubblewrap";
    assert_eq!(names.join(", "), want);
}

#[test]
fn user_namespaces_are_forbidden_by_what_the_settings_say() {
    let name = "user namespaces";
    check(name, |_| {}, "Ok: available, at most 9000 | -");
    check(
        name,
        |facts| {
            facts.sandbox = failing("create namespaces: No space left on device (os error 28)");
            facts.kernel.user_namespaces.max = Some(0);
        },
        "Missing: forbidden by user.max_user_namespaces = 0 | sudo sysctl -w user.max_user_namespaces=15000",
    );
    check(
        name,
        |facts| {
            facts.sandbox = failing(NO_NAMESPACES);
            facts.kernel.user_namespaces.unprivileged = Some(false);
        },
        "Missing: forbidden by kernel.unprivileged_userns_clone = 0 | sudo sysctl -w kernel.unprivileged_userns_clone=1",
    );
    check(
        name,
        |facts| {
            facts.sandbox = failing("make the root mount private and read-only `/`: Permission denied (os error 13)");
            facts.kernel.apparmor.restricts = true;
        },
        "Missing: restricted by AppArmor | sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    );
    check(
        name,
        |facts| {
            facts.sandbox = failing(NO_NAMESPACES);
            facts.kernel.user_namespaces.built_in = false;
        },
        "Missing: not built in | boot a kernel with CONFIG_USER_NS=y",
    );
    check(
        name,
        |facts| {
            facts.sandbox = failing(NO_NAMESPACES);
            facts.kernel.wsl = Wsl::One;
        },
        "Missing: WSL 1 has none | wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2",
    );
}

#[test]
fn without_a_setting_to_blame_the_surroundings_are_named() {
    check(
        "user namespaces",
        |facts| {
            facts.uid = 0;
            facts.sandbox = failing(NO_NAMESPACES);
            facts.kernel.container = Some("/.dockerenv");
            facts.kernel.seccomp.filtered = true;
        },
        &format!("Missing: {NO_NAMESPACES}, in a container (`/.dockerenv`) | {DOCKER}"),
    );
    check(
        "user namespaces",
        |facts| {
            facts.sandbox = failing(NO_MAPPING);
            facts.kernel.user_namespaces.nested = true;
        },
        &format!("Missing: {NO_MAPPING}, in a user namespace already | leave the sandbox or container you are in"),
    );
    check(
        "user namespaces",
        |facts| facts.sandbox = failing("mount procfs `/proc`: Operation not permitted"),
        "Ok: no setting forbids them | -",
    );
}

#[test]
fn a_restriction_of_ordinary_users_is_no_fault_where_it_does_not_hold() {
    let restrict = |facts: &mut Facts| {
        facts.kernel.apparmor =
            AppArmor { enabled: true, restricts: true, profile: Some("ringfence (unconfined)".to_owned()) };
        facts.kernel.user_namespaces.unprivileged = Some(false);
    };
    check("user namespaces", restrict, "Ok: available, at most 9000 | -");
    check("apparmor", restrict, "Ok: restricts user namespaces, but not here: profile ringfence (unconfined) | -");
    // Root of the machine, stopped by something else.
    let by_root = |facts: &mut Facts| {
        restrict(facts);
        facts.uid = 0;
        facts.sandbox = failing("mount procfs `/proc`: Operation not permitted");
    };
    check("user namespaces", by_root, "Ok: no setting forbids them | -");
    // Root of a container has no more rights than others, and the trial said so.
    let in_container = |facts: &mut Facts| {
        restrict(facts);
        facts.uid = 0;
        facts.sandbox = failing(NO_NAMESPACES);
    };
    let want = "Missing: forbidden by kernel.unprivileged_userns_clone = 0 | sudo sysctl -w kernel.unprivileged_userns_clone=1";
    check("user namespaces", in_container, want);
}

#[test]
fn an_old_kernel_names_the_version_that_is_needed() {
    let old = |facts: &mut Facts| {
        facts.kernel.release = "4.19.0-27-amd64".to_owned();
        let none = Answer::Missing;
        facts.kernel.calls = Calls { landlock_abi: 0, mounts: none, mount_attributes: none, openat2: none };
        facts.sandbox = failing("open `/`: Function not implemented (os error 38)");
    };
    let mounts = "Missing: Linux 4.19.0-27-amd64 has no open_tree | boot Linux 5.2 or newer";
    check("mount api", old, mounts);
    check("openat2", old, "Missing: Linux 4.19.0-27-amd64 has no openat2 | boot Linux 5.6 or newer");
    check("landlock", old, "Degraded: none | boot Linux 6.12 or newer");
    let sandbox = "Missing: open `/`: Function not implemented (os error 38) | boot Linux 5.2 or newer";
    check("sandbox", old, sandbox);
    let older = |facts: &mut Facts| {
        facts.kernel.release = "5.10.0-28-amd64".to_owned();
        facts.kernel.calls.mount_attributes = Answer::Missing;
    };
    let want = "Degraded: Linux 5.10.0-28-amd64 has no mount_setattr | boot Linux 5.12 or newer";
    check("mount api", older, want);
}

#[test]
fn a_filter_that_refuses_a_call_is_no_old_kernel() {
    let leave = "leave the sandbox or container you are in";
    let want = format!("Missing: openat2 refused by a filter: Operation not permitted (os error 1) | {leave}");
    check("openat2", |facts| facts.kernel.calls.openat2 = Answer::Refused(libc::EPERM), &want);
    // The kernel is new enough: a filter says otherwise.
    let want = format!("Missing: openat2 hidden by a filter | {leave}");
    check("openat2", |facts| facts.kernel.calls.openat2 = Answer::Missing, &want);
    let in_docker = |facts: &mut Facts| {
        facts.kernel.calls.mounts = Answer::Refused(libc::EPERM);
        facts.kernel.container = Some("/.dockerenv");
    };
    let found = "Missing: open_tree refused by a filter: Operation not permitted (os error 1)";
    check("mount api", in_docker, &format!("{found} | {DOCKER}"));
}

#[test]
fn landlock_is_judged_by_what_its_version_covers() {
    let name = "landlock";
    let abi = |abi: u32| move |facts: &mut Facts| facts.kernel.calls.landlock_abi = abi;
    check(name, abi(7), "Ok: ABI 7 | -");
    let sockets =
        "Degraded: ABI 4: with the host's network, its abstract sockets can be reached | boot Linux 6.12 or newer";
    check(name, abi(4), sockets);
    check(name, abi(2), "Degraded: ABI 2: too old for the wall | boot Linux 6.12 or newer");
    let off = |facts: &mut Facts| {
        facts.kernel.calls.landlock_abi = 0;
        facts.kernel.security_modules = Some(vec!["capability".to_owned(), "apparmor".to_owned()]);
    };
    let want = "Degraded: off: it is not among the security modules | boot with lsm=landlock,capability,apparmor";
    check(name, off, want);
}

#[test]
fn seccomp_wsl_cgroups_and_bubblewrap_have_their_rows() {
    let no_actions = |facts: &mut Facts| facts.kernel.seccomp.actions = None;
    check("seccomp", no_actions, "Missing: filters cannot end a process here | boot Linux 4.14 or newer");
    let none = |facts: &mut Facts| facts.kernel.seccomp = Seccomp::default();
    check("seccomp", none, "Missing: not built in | boot a kernel with CONFIG_SECCOMP_FILTER=y");
    check("seccomp", |facts| facts.kernel.seccomp.filtered = true, "Ok: available, and a filter holds already | -");

    check("wsl", |facts| facts.kernel.wsl = Wsl::Two, "Ok: WSL 2 | -");
    let one = "Missing: WSL 1 | wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2";
    check("wsl", |facts| facts.kernel.wsl = Wsl::One, one);

    check("cgroups", |_| {}, "Ok: can be made: memory pids cpu | -");
    let delegate = "systemd-run --user --scope -p Delegate=yes $SHELL";
    let some = |facts: &mut Facts| facts.groups = Ok(vec![home(&[Controller::Pids])]);
    check("cgroups", some, &format!("Degraded: not for memory cpu | {delegate}"));
    check("cgroups", |facts| facts.groups = Err("no"), &format!("Degraded: no | {delegate}"));
    let want = "Degraded: no control groups are mounted | sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    check("cgroups", |facts| facts.groups = Err(NO_GROUPS), want);

    let want = "Degraded: not on PATH | sudo apt-get install bubblewrap";
    check("bubblewrap", |facts| facts.bwrap = None, want);
    let setuid = |facts: &mut Facts| {
        facts.bwrap = Some(Bwrap { path: "/usr/bin/bwrap".into(), setuid: true, stamp: Stamp::default() })
    };
    check("bubblewrap", setuid, "Ok: /usr/bin/bwrap 0.11.0, setuid root | -");
}

#[test]
fn run_works_when_the_sandbox_starts_and_the_configuration_is_in_order() {
    let works = |change: &dyn Fn(&mut Facts)| {
        let mut facts = good();
        change(&mut facts);
        run_works(&checks(&facts))
    };
    assert!(works(&|facts| facts.groups = Err(NO_GROUPS)));
    assert!(works(&|facts| facts.kernel.calls.landlock_abi = 0));
    assert!(!works(&|facts| facts.sandbox = failing(NO_NAMESPACES)));
    assert!(!works(&|facts| facts.configuration = failing("config.toml:2: unknown field `wirte`")));
    assert!(!works(&|facts| facts.sandbox = Trial::NotTried("start it: out of memory".to_owned())));
}

#[test]
fn procfs_is_a_cause_of_its_own() {
    let absent = |facts: &mut Facts| {
        facts.kernel.proc_mounted = false;
        facts.kernel.user_namespaces = UserNamespaces::default();
        facts.kernel.seccomp = Seccomp::default();
        facts.sandbox = Trial::NotTried("start `/proc/self/exe`: No such file or directory".to_owned());
    };
    let want = "Missing: not tried: start `/proc/self/exe`: No such file or directory | sudo mount -t proc proc /proc";
    check("sandbox", absent, want);
    check("user namespaces", absent, "Ok: not known without /proc | -");
    check("seccomp", absent, "Ok: not known without /proc | -");
    let masked = |facts: &mut Facts| facts.sandbox = failing("mount a new proc on `/proc`: Operation not permitted");
    let want = "Missing: mount a new proc on `/proc`: Operation not permitted | ringfence run --no-proc -- COMMAND";
    check("sandbox", masked, want);
}

#[test]
fn a_failure_that_no_check_explains_keeps_its_hint() {
    let raise = |facts: &mut Facts| {
        facts.sandbox = Trial::Failed {
            error: "open `/x`: Too many open files".to_owned(),
            hint: Some("raise the limit: ulimit -n 65536".to_owned()),
        };
    };
    check("sandbox", raise, "Missing: open `/x`: Too many open files (raise the limit: ulimit -n 65536) | -");
    let circle = |facts: &mut Facts| facts.sandbox = failing("start a session: Operation not permitted");
    check("sandbox", circle, "Missing: start a session: Operation not permitted | -");
}

#[test]
fn where_another_engine_takes_the_place_run_works_with_something_less() {
    let without = |instead: Option<Trial>| {
        let mut facts = good();
        facts.sandbox = failing("create namespaces: No space left on device (os error 28)");
        facts.kernel.user_namespaces.max = Some(0);
        facts.instead = instead;
        let checks = checks(&facts);
        (run_works(&checks), format!("{:?}: {} | {:?}", checks[0].state, checks[0].found, checks[0].cure))
    };
    let said = |state: &str, more: &str| {
        let cure = "Some(\"sudo sysctl -w user.max_user_namespaces=15000\")";
        format!("{state}: create namespaces: No space left on device (os error 28){more} | {cure}")
    };
    assert_eq!(without(Some(failing("no backend can enforce this policy here"))), (false, said("Missing", "")));
    let taken = "; another engine takes its place, for policies that it can keep";
    assert_eq!(without(Some(Trial::Works)), (true, said("Degraded", taken)));
}
