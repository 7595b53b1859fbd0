//! Fake roots: files in, facts out.

use super::*;

const ALL_KNOWN: Calls =
    Calls { landlock_abi: 6, mounts: Answer::Known, mount_attributes: Answer::Known, openat2: Answer::Known };

fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = below(root.path(), path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn kernel(files: &[(&str, &str)]) -> Kernel {
    probe(root(files).path(), ALL_KNOWN)
}

#[test]
fn an_empty_root_is_a_kernel_about_which_nothing_is_known() {
    let found = kernel(&[]);
    assert_eq!(found.user_namespaces, UserNamespaces::default());
    assert_eq!(found.apparmor, AppArmor::default());
    assert_eq!(found.seccomp, Seccomp::default());
    assert_eq!((found.container, found.wsl), (None, Wsl::No));
    assert_eq!((found.security_modules, found.proc_mounted), (None, false));
}

#[test]
fn settings_of_user_namespaces_are_read() {
    let found = kernel(&[
        ("/proc/self/ns/user", ""),
        ("/proc/sys/user/max_user_namespaces", "0\n"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0\n"),
        ("/proc/self/uid_map", "         0          0 4294967295\n"),
    ]);
    let want = UserNamespaces { built_in: true, max: Some(0), unprivileged: Some(false), nested: false };
    assert_eq!(found.user_namespaces, want);
    let inside = kernel(&[("/proc/self/uid_map", "      1000       1000          1\n")]);
    assert!(inside.user_namespaces.nested);
}

#[test]
fn apparmor_and_its_restriction_are_two_things() {
    let files = [
        ("/sys/module/apparmor/parameters/enabled", "Y\n"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ("/proc/self/attr/apparmor/current", "unconfined\n"),
        ("/sys/kernel/security/lsm", "capability,yama,apparmor"),
    ];
    let found = kernel(&files);
    let want = AppArmor { enabled: true, restricts: true, profile: Some("unconfined".to_owned()) };
    assert_eq!(found.apparmor, want);
    assert_eq!(found.security_modules.unwrap(), ["capability", "yama", "apparmor"]);
    assert!(!kernel(&files[..1]).apparmor.restricts);
}

#[test]
fn seccomp_and_a_filter_that_holds_already_are_seen() {
    let found = kernel(&[
        ("/proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n"),
        ("/proc/self/status", "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
    ]);
    assert_eq!(found.seccomp.actions.unwrap(), ["kill_process", "errno", "allow"]);
    assert!(found.seccomp.built_in && found.seccomp.filtered);
    assert!(!kernel(&[("/proc/self/status", "Seccomp:\t0\n")]).seccomp.filtered);
}

#[test]
fn a_container_is_known_by_its_marker() {
    assert_eq!(kernel(&[("/.dockerenv", "")]).container, Some("/.dockerenv"));
    assert_eq!(kernel(&[("/run/.containerenv", "")]).container, Some("/run/.containerenv"));
}

#[test]
fn the_running_kernel_knows_the_calls_that_its_release_has() {
    let found = probe(Path::new("/"), Calls::tried());
    let part = |n: usize| found.release.split('.').nth(n).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    // A container's filter may refuse them: then they are not missing, but refused.
    if (part(0), part(1)) >= (5, 12) && !found.seccomp.filtered {
        let Calls { mounts, mount_attributes, openat2, .. } = found.calls;
        assert_eq!([mounts, mount_attributes, openat2], [Answer::Known; 3]);
    }
}
