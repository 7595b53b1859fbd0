//! A plan, as it is said to bubblewrap: read as bubblewrap reads it, it is the plan again, operation by operation.
#![no_main]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use machine::PROJECT;
use ringfence::backend::argv::{Argument, Program, options};
use ringfence::plan::mounts::{Mount, MountOp, RootView};
use ringfence::request::{Backend, Git, Mode, Net, Origin, Request, Said};

#[path = "../machine.rs"]
mod machine;

/// Rules are about these, and what is missing below them.
const PATHS: &[&str] = &[
    "/",
    "/home/you",
    "/home/you/project",
    "/home/you/project/a",
    "/home/you/project/a/b",
    "/home/you/project/a/b/c",
    "/home/you/project/a/f",
    "/home/you/project/.git",
    "/home/you/project/.env",
    "/home/you/data",
    "/home/you/data/open",
    "/home/you/data/closed",
    "/home/you/data/closed/f",
    "/usr/lib",
    "/etc",
    "/tmp",
    "/home/you/project/--bind",
    "/home/you/project/none",
];

/// Two bytes say a rule.
fn request(bytes: &[u8]) -> Request {
    let by = || Origin::Flag("--test");
    let (settings, rules) = bytes.split_first().unwrap_or((&0, &[]));
    let mode = if settings & 1 == 0 { Mode::ReadOnly } else { Mode::WorkspaceWrite };
    let mut request = Request { sandbox: Some(Said::new(mode, by())), ..Request::default() };
    request.git = (settings & 2 != 0).then(|| Said::new(Git::Commit, by()));
    request.net = (settings & 4 != 0).then(|| Said::new(Net::Host, by()));
    request.proc = (settings & 8 != 0).then(|| Said::new(false, by()));
    request.pid_namespace = (settings & 16 != 0).then(|| Said::new(false, by()));
    for rule in rules.chunks_exact(2).take(12) {
        let path = Said::new(PathBuf::from(PATHS[usize::from(rule[1]) % PATHS.len()]), by());
        match rule[0] % 4 {
            0 => request.deny.push(path),
            1 => request.read.push(path),
            2 => request.modify.push(path),
            _ => request.write.push(path),
        }
    }
    request
}

/// What bubblewrap would do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Bind { option: String, source: PathBuf, target: PathBuf },
    Data { perms: OsString, target: PathBuf },
    Tmpfs { perms: OsString, target: PathBuf },
    Link { to: OsString, target: PathBuf },
    Other { option: String, target: PathBuf },
}

/// As `parse_args_recurse` of its source: an option takes so many words, whatever they look like.
fn steps(arguments: &[Argument]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut perms = OsString::new();
    let mut words = arguments.iter();
    while let Some(Argument::Text(option)) = words.next() {
        let mut word = || match words.next() {
            Some(Argument::Text(word)) => word.clone(),
            other => panic!("{option:?} is followed by {other:?}"),
        };
        let option = option.to_str().expect("an option").to_owned();
        match option.as_str() {
            "--perms" => perms = word(),
            "--bind" | "--ro-bind" | "--ro-bind-try" | "--dev-bind" => {
                let (source, target) = (word().into(), word().into());
                steps.push(Step::Bind { option, source, target });
            }
            "--tmpfs" => steps.push(Step::Tmpfs { perms: std::mem::take(&mut perms), target: word().into() }),
            "--symlink" => steps.push(Step::Link { to: word(), target: word().into() }),
            "--remount-ro" | "--dev" | "--proc" | "--dir" | "--chdir" => {
                let target = word().into();
                steps.push(Step::Other { option, target });
            }
            "--cap-drop" => assert_eq!(word(), "ALL"),
            "--ro-bind-data" => {
                let content = words.next();
                assert!(matches!(content, Some(Argument::Empty | Argument::Data(_) | Argument::Inner)));
                let Some(Argument::Text(target)) = words.next() else { panic!("no target") };
                steps.push(Step::Data { perms: std::mem::take(&mut perms), target: target.into() });
            }
            "--new-session" | "--die-with-parent" | "--as-pid-1" => {}
            unshare if unshare.starts_with("--unshare-") => {}
            other => panic!("{other} is no option"),
        }
    }
    assert!(perms.is_empty(), "permissions of nothing");
    steps
}

/// The steps that an operation must come to.
fn expected(op: &MountOp) -> Vec<Step> {
    let target = op.target.clone();
    let same = |option: &str| Step::Bind { option: option.into(), source: target.clone(), target: target.clone() };
    let other = |option: &str| Step::Other { option: option.into(), target: target.clone() };
    let tmpfs = |perms: &str| Step::Tmpfs { perms: perms.into(), target: target.clone() };
    match &op.what {
        Mount::Bind { writable: true, .. } => vec![same("--bind")],
        Mount::Bind { writable: false, .. } => vec![same("--ro-bind")],
        Mount::ReadOnly if target == Path::new("/proc") => vec![other("--remount-ro")],
        Mount::ReadOnly => vec![same("--ro-bind")],
        Mount::Block { .. } => vec![same("--ro-bind-try")],
        Mount::Mask { dir: true, .. } => vec![tmpfs("000"), other("--remount-ro")],
        Mount::Mask { dir: false, .. } => vec![Step::Data { perms: "000".into(), target }],
        Mount::Data { .. } => vec![Step::Data { perms: "444".into(), target }],
        Mount::Veil { .. } => vec![tmpfs("111")],
        Mount::Tmpfs { mode, .. } => vec![tmpfs(&format!("{mode:o}"))],
        Mount::Dir => vec![other("--dir")],
        Mount::Link { to } => vec![Step::Link { to: to.clone(), target }],
        Mount::Proc => vec![other("--proc")],
        Mount::Seal => vec![other("--remount-ro")],
        Mount::Guard | Mount::Closed => vec![],
        what => panic!("{what:?} has no words"),
    }
}

fn target(step: &Step) -> &Path {
    match step {
        Step::Bind { target, .. }
        | Step::Data { target, .. }
        | Step::Tmpfs { target, .. }
        | Step::Link { target, .. }
        | Step::Other { target, .. } => target,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((_, facts, plan)) = machine::planned(request(bytes), Backend::Native) else { return };
    machine::denials_hold(&facts, &plan);
    let confinement = plan.confinement.as_ref().expect("these modes confine");
    let ops = &confinement.mounts.ops;
    let program = Program::Path("/usr/bin/ringfence".into());
    let cwd = Path::new(PROJECT);
    let arguments = match options(confinement, ops, cwd, &program) {
        Ok(arguments) => arguments,
        Err(op) => {
            assert!(
                matches!(op.what, Mount::Pin { .. } | Mount::Plug { .. } | Mount::Devices | Mount::Devpts),
                "{op:?}"
            );
            return;
        }
    };
    let has = |word: &str| arguments.iter().any(|one| *one == Argument::Text(word.into()));
    assert_eq!(has("--unshare-net"), confinement.net.value != Net::Host);
    assert_eq!(has("--unshare-pid"), confinement.pid_namespace.value);
    assert!(has("--unshare-user") && has("--cap-drop") && has("--new-session"));

    let mut said = steps(&arguments);
    let root = said.remove(0);
    let first = match confinement.mounts.root {
        RootView::HostReadOnly => Step::Bind { option: "--ro-bind".into(), source: "/".into(), target: "/".into() },
        RootView::HostWritable => Step::Bind { option: "--bind".into(), source: "/".into(), target: "/".into() },
        RootView::Empty => Step::Tmpfs { perms: OsString::new(), target: "/".into() },
    };
    assert_eq!(root, first);
    assert_eq!(said.pop(), Some(Step::Other { option: "--chdir".into(), target: cwd.to_owned() }));
    // /dev has a word of its own, and /proc comes when there is a PID namespace: the order within each stays.
    let order = |path: &Path| if path.starts_with("/proc") { 1 } else { usize::from(path == Path::new("/")) * 2 };
    let mut want: Vec<_> = ops.iter().filter(|op| !op.target.starts_with("/dev")).collect();
    want.sort_by_key(|op| order(&op.target));
    let want: Vec<_> = want.into_iter().flat_map(expected).collect();
    said.retain(|step| !target(step).starts_with("/dev"));
    let mut rest: Vec<_> = said;
    rest.sort_by_key(|step| order(target(step)));
    assert_eq!(rest, want);
});
