//! Which engine is chosen on which machine, and what is said about the others.

use std::path::Path;

use expect_test::{Expect, expect};
use ringfence::host;
use ringfence::host::bwrap::{Bwrap, Features, Stamp};
use ringfence::host::engines::{Engines, NoBwrap, Usable};
use ringfence::host::kernel::Wsl;
use ringfence::host::paths::Root;
use ringfence::plan;
use ringfence::plan::choose::Engine;
use ringfence::policy::Policy;
use ringfence::request::codex::{self, Surroundings};
use ringfence::request::{Backend, Origin, Said, load};

use super::{PROJECT, machine};

fn usable() -> Option<Result<Usable, NoBwrap>> {
    let program = Bwrap { path: "/usr/bin/bwrap".into(), setuid: false, stamp: Stamp::default() };
    Some(Ok(Usable { program, features: Features { perms: true, argv0: false, size: true } }))
}

fn forbidden() -> Option<Result<(), String>> {
    Some(Err("/proc/sys/user/max_user_namespaces is 0".to_owned()))
}

fn machine_with(namespaces: Option<Result<(), String>>, bwrap: Option<Result<Usable, NoBwrap>>) -> Engines {
    Engines { namespaces, bwrap, fresh_proc: true, wsl: Wsl::No }
}

/// A JSON policy, or TOML.
fn policy(text: &str, backend: Backend) -> Policy {
    let project = Path::new(PROJECT);
    let mut request = if text.starts_with('{') {
        codex::any(text, "p", Surroundings { workspace: project, tmpdir: None }).unwrap()
    } else {
        load::parse(text, Path::new("agent.toml"), project, None).unwrap()
    };
    request.command = vec!["true".into()];
    request.backend = Some(Said::new(backend, Origin::Flag("--backend")));
    Policy::new(request, project).unwrap()
}

fn check(text: &str, backend: Backend, engines: Engines, want: Expect) {
    let root = machine();
    let policy = policy(text, backend);
    let mut facts = host::probe(root.path(), &policy, Vec::new()).unwrap();
    facts.engines = engines;
    facts.landlock_abi = 7;
    facts.caller.ids.uid = 1000;
    facts.sockets.clear();
    facts.own_files.clear();
    facts.look_around(&Root::open(root.path()).unwrap(), &policy);
    let told = match plan::build(&policy, &facts) {
        Ok(plan) => {
            let engine = match plan.choice.engine {
                Engine::Native => "native",
                Engine::Bwrap { .. } => "bwrap",
                Engine::Landlock => "landlock",
            };
            let passed = plan.choice.passed_over.iter().map(|line| format!("not {line}\n")).collect::<String>();
            let warned = plan.choice.warnings.iter().map(|line| format!("warning: {line}\n")).collect::<String>();
            format!("{engine} because {}\n{passed}{warned}", plan.choice.because)
        }
        Err(errors) => errors.iter().map(|error| format!("{error}\nhint: {}\n", error.hint().unwrap())).collect(),
    };
    want.assert_eq(&told);
}

const READ_ONLY: &str = r#"{"type":"read-only"}"#;
const WORKSPACE: &str = r#"{"type":"workspace-write"}"#;

#[test]
fn auto_takes_the_strongest_that_can_be_had() {
    check(
        "",
        Backend::Auto,
        machine_with(Some(Ok(())), None),
        expect![[r#"
        native because user namespaces can be made here
    "#]],
    );
    check(
        "",
        Backend::Auto,
        machine_with(forbidden(), usable()),
        expect![[r#"
        bwrap because it may make namespaces where we may not
        not native: /proc/sys/user/max_user_namespaces is 0
    "#]],
    );
    let none = || machine_with(forbidden(), Some(Err(NoBwrap::NotFound)));
    check(
        "",
        Backend::Auto,
        none(),
        expect![[r#"
            no backend can enforce this policy here
              native: /proc/sys/user/max_user_namespaces is 0
              bwrap: no bwrap is on PATH outside what the command can write
              landlock: it cannot keep /home/you/project/.git read-only in a writable directory (protected: .git: git runs hooks and configured programs from it), and 1 more like this
            hint: --landlock best-effort runs it without what Landlock cannot keep, and tells what that is
        "#]],
    );
    check(
        READ_ONLY,
        Backend::Auto,
        none(),
        expect![[r#"
            landlock because the policy can be said in it
            not native: /proc/sys/user/max_user_namespaces is 0
            not bwrap: no bwrap is on PATH outside what the command can write
        "#]],
    );
    check(
        WORKSPACE,
        Backend::Auto,
        none(),
        expect![[r#"
            no backend can enforce this policy here
              native: /proc/sys/user/max_user_namespaces is 0
              bwrap: no bwrap is on PATH outside what the command can write
              landlock: it cannot keep /home/you/project/.git read-only in a writable directory (protected: .git: git runs hooks and configured programs from it), and 1 more like this
            hint: --landlock best-effort runs it without what Landlock cannot keep, and tells what that is
        "#]],
    );
}

#[test]
fn codex_gets_bubblewrap_where_it_is_and_can() {
    let bwrap_first = Backend::BwrapFirst;
    check(
        WORKSPACE,
        bwrap_first,
        machine_with(Some(Ok(())), usable()),
        expect![[r#"
        bwrap because bubblewrap is installed
    "#]],
    );
    check(
        WORKSPACE,
        bwrap_first,
        machine_with(Some(Ok(())), Some(Err(NoBwrap::NotFound))),
        expect![[r#"
            native because it takes the place of bubblewrap
            not bwrap: no bwrap is on PATH outside what the command can write
            warning: no bwrap is on PATH outside what the command can write: the built-in engine takes its place
        "#]],
    );
    let useless = NoBwrap::Useless { path: "/opt/bwrap".into(), why: "is too old: it has no --perms (0.5)".to_owned() };
    check(
        WORKSPACE,
        bwrap_first,
        machine_with(Some(Ok(())), Some(Err(useless))),
        expect![[r#"
        native because it takes the place of bubblewrap
        not bwrap: `/opt/bwrap` is too old: it has no --perms (0.5)
        warning: `/opt/bwrap` is too old: it has no --perms (0.5): the built-in engine takes its place
    "#]],
    );
    check(
        r#"{"type":"danger-full-access"}"#,
        bwrap_first,
        Engines::default(),
        expect![[r#"
        native because nothing is restricted
    "#]],
    );
}

#[test]
fn on_wsl_1_there_is_no_sandbox_and_a_way_out() {
    let wsl = Engines { wsl: Wsl::One, fresh_proc: true, ..Engines::default() };
    check(
        WORKSPACE,
        Backend::BwrapFirst,
        wsl.clone(),
        expect![[r#"
        this is WSL 1, which has no namespaces: there can be no sandbox
        hint: WSL 2 has them: wsl.exe --set-version "$WSL_DISTRO_NAME" 2
    "#]],
    );
    check(
        "",
        Backend::Auto,
        wsl,
        expect![[r#"
        this is WSL 1, which has no namespaces: there can be no sandbox
        hint: WSL 2 has them: wsl.exe --set-version "$WSL_DISTRO_NAME" 2
    "#]],
    );
}

#[test]
fn landlock_is_asked_for_and_says_what_it_cannot() {
    let landlock =
        |text: &str, want| check(text, Backend::Landlock, Engines { fresh_proc: true, ..Engines::default() }, want);
    landlock(
        READ_ONLY,
        expect![[r#"
            landlock because landlock by --backend
        "#]],
    );
    landlock(
        WORKSPACE,
        expect![[r#"
            no backend can enforce this policy here
              landlock: it cannot keep /home/you/project/.git read-only in a writable directory (protected: .git: git runs hooks and configured programs from it), and 1 more like this
            hint: --landlock best-effort runs it without what Landlock cannot keep, and tells what that is
        "#]],
    );
    landlock(
        r#"{"file_system":{"read":["/usr"]}}"#,
        expect![[r#"
            landlock because landlock by --backend
            warning: no rule of the policy shows the working directory /home/you/project: starting in /
        "#]],
    );
    landlock(
        "",
        expect![[r#"
            no backend can enforce this policy here
              landlock: it cannot keep /home/you/project/.git read-only in a writable directory (protected: .git: git runs hooks and configured programs from it), and 1 more like this
            hint: --landlock best-effort runs it without what Landlock cannot keep, and tells what that is
        "#]],
    );
}

#[test]
fn what_best_effort_gives_up_is_told_by_the_effective_policy() {
    let level = |landlock: &str, backend| {
        let root = machine();
        let data = "write = [\"/home/you/data\"]\nread = [\"/home/you/data/sets\"]\nsandbox = \"read-only\"\n";
        let policy = policy(&format!("{data}landlock = \"{landlock}\"\n"), backend);
        let mut facts = host::probe(root.path(), &policy, Vec::new()).unwrap();
        facts.engines = machine_with(Some(Ok(())), None);
        facts.landlock_abi = 7;
        facts.look_around(&Root::open(root.path()).unwrap(), &policy);
        let plan = plan::build(&policy, &facts).ok()?;
        let told = plan::show::json(&plan)["effective"].clone();
        let sets = told.as_array()?.iter().find(|entry| entry["path"] == "/home/you/data/sets")?;
        Some((sets["level"].as_str()?.to_owned(), sets["authored_level"].as_str().map(str::to_owned)))
    };
    assert_eq!(level("required", Backend::Landlock), None, "it is refused");
    let given_up = Some(("write".to_owned(), Some("read".to_owned())));
    assert_eq!(level("best-effort", Backend::Landlock), given_up);
    assert_eq!(level("best-effort", Backend::Native), Some(("read".to_owned(), None)), "mounts keep it");
}
