//! What the kernel, drivers and git say in files, in any wording: looking at such a machine neither fails nor depends on
//! chance, and what was denied stays hidden.
//!
//! The input is a list of files, parted by bytes that are no UTF-8: one byte says which file, then comes its content.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use machine::PROJECT;
use ringfence::host::kernel::{Answer, Calls};
use ringfence::policy::Policy;
use ringfence::policy::paths::Access;
use ringfence::request::{Backend, Git, Origin, Request, Said};
use ringfence::{host, plan};

#[path = "../machine.rs"]
mod machine;

const FILES: &[&str] = &[
    "proc/self/mountinfo",
    "proc/net/unix",
    "home/you/project/.git/config",
    "home/you/.gitconfig",
    "etc/ld.so.cache",
    "proc/driver/nvidia/version",
    "proc/driver/nvidia/params",
    "proc/driver/nvidia/gpus/0000:01:00.0/information",
    "proc/driver/nvidia-caps/mig-minors",
    "proc/driver/nvidia/capabilities/gpu0/mig/gi1/access",
    "proc/devices",
    "proc/self/cgroup",
    "proc/self/mounts",
    "proc/self/uid_map",
    "proc/self/status",
    "proc/version",
    "proc/bus/pci/devices",
    "etc/passwd",
    "etc/cdi/a.yaml",
    "home/you/project/.git/commondir",
    "proc/sys/kernel/osrelease",
];

const CALLS: Calls =
    Calls { landlock_abi: 7, mounts: Answer::Known, mount_attributes: Answer::Missing, openat2: Answer::Known };

fuzz_target!(|bytes: &[u8]| {
    let root = machine::root();
    for file in FILES {
        drop(fs::remove_file(root.join(file)));
    }
    for piece in bytes.split(|byte| *byte == 0xff) {
        let Some((which, content)) = piece.split_first() else { continue };
        let path = root.join(FILES[usize::from(*which) % FILES.len()]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let by = || Origin::Flag("--test");
    let request = Request {
        deny: vec![Said::new("/home/you/data/closed".into(), by())],
        gpu: Some(Said::new("auto".to_owned(), by())),
        git: Some(Said::new(Git::Commit, by())),
        backend: Some(Said::new(Backend::Native, by())),
        command: vec!["true".into()],
        ..Request::default()
    };
    let policy = Policy::new(request, Path::new(PROJECT)).unwrap();
    let env = vec![("HOME".into(), "/home/you".into()), ("PATH".into(), "/bin".into())];
    let facts = host::probe(root, &policy, env.clone()).unwrap();
    if bytes.len() % 8 == 0 {
        let again = host::probe(root, &policy, env).unwrap();
        assert_eq!(format!("{facts:?}"), format!("{again:?}"), "the same machine");
    }
    assert!(facts.aliases.iter().all(|(rule, present)| rule.access == Access::None && present.path.is_absolute()));
    drop(host::kernel::probe(root, CALLS));
    if let Ok(plan) = plan::build(&policy, &facts) {
        machine::denials_hold(&facts, &plan);
    }
});
