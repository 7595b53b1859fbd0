use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::plan::show;
use crate::request::load;

const NATIVE: Engine = Engine::Native;

fn bwrap() -> Engine {
    Engine::Bwrap { program: "/usr/bin/bwrap".into(), argv0: false }
}

fn home(path: &str, version: Version, controllers: &[Controller]) -> Home {
    let (left_behind, switched_off) = Default::default();
    Home { path: path.into(), version, controllers: controllers.to_vec(), switched_off, left_behind }
}

fn facts(kernel: (u32, u32), homes: Vec<Home>) -> LimitFacts {
    let homeless = "there is none";
    LimitFacts { kernel: Some(kernel), pid_max: Some(32768), pid_max_sealed: false, homes, homeless }
}

/// What becomes of the words of a file.
fn outcome(words: &str, facts: &LimitFacts, (engine, uid): (&Engine, u32)) -> String {
    let request = load::parse(words, Path::new("a.toml"), Path::new("/w"), None).unwrap();
    let policy = Policy::new(request, Path::new("/w")).unwrap();
    let mut told = Told::default();
    let plan = Counting { policy: &policy, facts, engine, uid }.plan(&mut told);
    let mut out = String::new();
    for group in &plan.groups {
        let switch_on = if group.switch_on.is_empty() { "nothing" } else { &group.switch_on };
        out += &format!("in {}, switch on {switch_on}:\n", group.home.display());
        for (of, said) in &group.limits {
            out += &format!("  {} because {}\n", show::limit(*of, said.value), said.by);
        }
        for Setting { file, value, may_miss } in &group.settings {
            out += &format!("  {file} = {value}{}\n", if *may_miss { ", if it is there" } else { "" });
        }
        for Counter { of: _, file, word } in &group.counters {
            out += &format!("  read {word} of {file}\n");
        }
    }
    for ResourceLimit { what, value, because } in &plan.each {
        out += &format!("{what:?} {value} because {because}\n");
    }
    out.extend(plan.pid_max.iter().map(|said| format!("pid_max {} because {}\n", said.value, said.by)));
    out.extend(told.warnings.iter().map(|warning| format!("warning: {warning}\n")));
    out.extend(told.errors.iter().map(|error| format!("error: {error}\n")));
    out
}

fn check(words: &str, facts: &LimitFacts, who: (&Engine, u32), want: Expect) {
    want.assert_eq(&outcome(words, facts, who));
}

const ALL: &str = "memory = '64M'\npids = 20\ncpus = 1.5\nopen_files = 100\nfile_size = '1G'\n";

#[test]
fn one_group_of_version_2_has_all_three_and_ours_are_counted_on_top() {
    let all = [Controller::Memory, Controller::Pids, Controller::Cpu];
    let mut home = home("/sys/fs/cgroup/user.slice", Version::Two, &all);
    check(
        ALL,
        &facts((6, 1), vec![home.clone()]),
        (&NATIVE, 1000),
        expect![[r#"
            in /sys/fs/cgroup/user.slice, switch on nothing:
              memory 64M because a.toml:1
              processes 20 because a.toml:2
              processors 1.5 because a.toml:3
              memory.max = 67108864
              memory.swap.max = 0, if it is there
              pids.max = 21
              cpu.max = 150000 100000
              read oom_kill of memory.events
              read max of pids.events
            OpenFiles 100 because a.toml:4
            FileSize 1073741824 because a.toml:5
        "#]],
    );
    // What limits the caller's own group limits this one, if it is less.
    home.switched_off = vec![Controller::Cpu];
    home.left_behind = [(Controller::Memory, 32 << 20), (Controller::Pids, 21), (Controller::Cpu, 4000)].into();
    check(
        ALL,
        &facts((6, 1), vec![home.clone()]),
        (&bwrap(), 1000),
        expect![[r#"
            in /sys/fs/cgroup/user.slice, switch on +cpu:
              memory 32M because baseline: the caller's own group has no more
              processes 20 because a.toml:2
              processors 1.5 because a.toml:3
              memory.max = 33554432
              memory.swap.max = 0, if it is there
              pids.max = 21
              cpu.max = 150000 100000
              read oom_kill of memory.events
              read max of pids.events
            OpenFiles 100 because a.toml:4
            FileSize 1073741824 because a.toml:5
        "#]],
    );
    check(
        "memory = '16M'\npids = 'unlimited'\n",
        &facts((6, 1), vec![home]),
        (&NATIVE, 1000),
        expect![[r#"
            in /sys/fs/cgroup/user.slice, switch on +cpu:
              memory 16M because a.toml:1
              processes 21 because baseline: the caller's own group has no more
              processors 4 because baseline: the caller's own group has no more
              memory.max = 16777216
              memory.swap.max = 0, if it is there
              pids.max = 21
              cpu.max = 400000 100000
              read oom_kill of memory.events
              read max of pids.events
        "#]],
    );
}

#[test]
fn groups_of_version_1_lie_apart() {
    let homes = [Controller::Memory, Controller::Pids, Controller::Cpu]
        .map(|which| home(&format!("/sys/fs/cgroup/{}", which.name()), Version::One, &[which]));
    check(
        ALL,
        &facts((4, 18), homes.to_vec()),
        (&NATIVE, 0),
        expect![[r#"
            in /sys/fs/cgroup/memory, switch on nothing:
              memory 64M because a.toml:1
              memory.limit_in_bytes = 67108864
              memory.memsw.limit_in_bytes = 67108864, if it is there
              read oom_kill of memory.oom_control
            in /sys/fs/cgroup/pids, switch on nothing:
              processes 20 because a.toml:2
              pids.max = 21
              read max of pids.events
            in /sys/fs/cgroup/cpu, switch on nothing:
              processors 1.5 because a.toml:3
              cpu.cfs_period_us = 100000
              cpu.cfs_quota_us = 150000
            OpenFiles 100 because a.toml:4
            FileSize 1073741824 because a.toml:5
        "#]],
    );
}

#[test]
fn without_a_group_the_kernel_counts_for_each_process_and_namespace() {
    check(
        "memory = '64M'\npids = 20\n",
        &facts((6, 1), Vec::new()),
        (&NATIVE, 1000),
        expect![[r#"
        Data 67108864 because a.toml:1
        Processes 20 because a.toml:2
        warning: memory (a.toml:1) is limited for each process by itself, to 64M: for all together it needs a control group, and there is none
    "#]],
    );
    check(
        "pids = 500\n",
        &facts((6, 14), Vec::new()),
        (&NATIVE, 0),
        expect![[r#"
        pid_max 503 because a.toml:1
    "#]],
    );
    check(
        "pids = 99999\n",
        &facts((6, 14), Vec::new()),
        (&NATIVE, 0),
        expect![[r#"
        pid_max 32768 because a.toml:1
    "#]],
    );
}

#[test]
fn what_nothing_counts_is_refused() {
    let none = |kernel| facts(kernel, Vec::new());
    let sealed = LimitFacts { pid_max_sealed: true, ..none((6, 14)) };
    for (words, facts, engine, uid, why) in [
        ("pids = 20", none((5, 13)), NATIVE, 1000, "before Linux 5.14"),
        ("pids = 20", none((6, 14)), Engine::Landlock, 1000, "without namespaces"),
        ("pids = 20\nsandbox = 'full-access'", none((6, 14)), NATIVE, 1000, "without namespaces"),
        ("pids = 500", none((6, 13)), NATIVE, 0, "before Linux 6.14"),
        ("pids = 20", none((6, 14)), NATIVE, 0, "no fewer than 301"),
        ("pids = 500", none((6, 14)), bwrap(), 0, "native engine"),
        ("pids = 500", sealed, NATIVE, 0, "read-only here"),
        ("cpus = 1", none((6, 14)), NATIVE, 1000, "only a control group can, and there is none"),
        ("cgroup = '/x'\nmemory = '64M'", none((6, 14)), NATIVE, 1000, "`/x` (a.toml:1) does not do"),
        ("cgroup = '/x'\npids = 500", none((6, 14)), NATIVE, 1000, "`/x` (a.toml:1) does not do"),
        ("cgroup = '/x'\ncpus = 1", none((6, 14)), NATIVE, 1000, "`/x` (a.toml:1) does not do"),
    ] {
        let out = outcome(words, &facts, (&engine, uid));
        let errors: Vec<_> = out.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(matches!(errors.as_slice(), [error] if error.contains(why)), "{words}: {out}");
    }
}

#[test]
fn nobody_has_to_say_that_a_command_must_not_fork_without_end() {
    let of = |pid_max| LimitFacts { pid_max: Some(pid_max), ..facts((6, 14), Vec::new()) };
    let sealed = LimitFacts { pid_max_sealed: true, ..of(32768) };
    for (words, facts, engine, uid, want) in [
        ("", of(32768), NATIVE, 1000, "Processes 8192 because"),
        ("", of(4_194_304), bwrap(), 1000, "Processes 16384 because"),
        ("", of(8192), NATIVE, 1000, "Processes 4096 because"),
        ("", of(32768), NATIVE, 0, "pid_max 8195 because"),
        ("pids = 'unlimited'", of(32768), NATIVE, 0, ""),
        ("pids = 'unlimited'", of(32768), NATIVE, 1000, ""),
        // Where it cannot be had there is none, and no line says that there is.
        ("", sealed, NATIVE, 0, ""),
        ("", of(32768), Engine::Landlock, 1000, ""),
        ("sandbox = 'full-access'", of(32768), NATIVE, 1000, ""),
        ("", LimitFacts::default(), NATIVE, 1000, ""),
    ] {
        let out = outcome(words, &facts, (&engine, uid));
        assert!(out.starts_with(want) && out.is_empty() == want.is_empty(), "{words}: {out}");
    }
}
