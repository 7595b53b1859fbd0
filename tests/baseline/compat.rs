//! `--openshell-compat`: compared with a second description of the same steps, which was written from the specification
//! alone; and what a plan makes of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringfence::plan::baseline::{Lists, Machine as Seen, enriched};
use ringfence::plan::show::effective;

use crate::lab;
use crate::machine::{Case, Machine, level};
use crate::policies::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Ro,
    Rw,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum If {
    Proxy,
    Gpu,
}

/// What OpenShell wants, in its order.
const WANTED: &[(List, If, &str)] = &[
    (List::Ro, If::Proxy, "/usr"),
    (List::Ro, If::Proxy, "/lib"),
    (List::Ro, If::Proxy, "/etc"),
    (List::Ro, If::Proxy, "/app"),
    (List::Ro, If::Proxy, "/var/log"),
    (List::Ro, If::Proxy, "/proc"),
    (List::Ro, If::Proxy, "/dev/urandom"),
    (List::Ro, If::Gpu, "/run/nvidia-persistenced"),
    (List::Ro, If::Gpu, "/usr/lib/wsl"),
    (List::Rw, If::Proxy, "/tmp"),
    (List::Rw, If::Gpu, "/dev/nvidiactl"),
    (List::Rw, If::Gpu, "/dev/nvidia-uvm"),
    (List::Rw, If::Gpu, "/dev/nvidia-uvm-tools"),
    (List::Rw, If::Gpu, "/dev/nvidia-modeset"),
    (List::Rw, If::Gpu, "/dev/dxg"),
    (List::Rw, If::Gpu, "/proc"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Append,
    Move,
}

/// Which list wants it, whether `read_only` has it, whether `read_write` has it, whether it exists, whether it is
/// `/proc`; `None`: either.
type Step = (List, Option<bool>, Option<bool>, Option<bool>, Option<bool>, Then);

const STEPS: &[Step] = &[
    (List::Ro, Some(true), None, None, None, Then::Nothing),
    (List::Ro, None, Some(true), None, None, Then::Nothing),
    (List::Ro, None, None, Some(false), None, Then::Nothing),
    (List::Ro, Some(false), Some(false), Some(true), None, Then::Append),
    (List::Rw, None, Some(true), None, None, Then::Nothing),
    (List::Rw, None, None, Some(false), None, Then::Nothing),
    (List::Rw, Some(true), Some(false), Some(true), Some(true), Then::Move),
    (List::Rw, Some(true), Some(false), Some(true), Some(false), Then::Nothing),
    (List::Rw, Some(false), Some(false), Some(true), None, Then::Append),
];

fn model(policy: &Lists, machine: &Seen, there: &BTreeSet<String>) -> Lists {
    let counts = |when: If| if when == If::Proxy { machine.proxy } else { machine.gpu };
    let rows = WANTED.iter().filter(|(_, when, _)| counts(*when));
    let mut wanted: Vec<(List, String)> = rows.map(|(list, _, path)| (*list, (*path).to_owned())).collect();
    for node in machine.nodes.iter().filter(|_| machine.gpu) {
        let Some(number) = node.strip_prefix("nvidia") else { continue };
        if number.parse::<u128>().is_ok() && !number.contains('+') {
            wanted.push((List::Rw, format!("/dev/{node}")));
        }
    }
    let both: Vec<String> = wanted.iter().filter(|(list, _)| *list == List::Rw).map(|(_, path)| path.clone()).collect();
    wanted.retain(|(list, path)| *list == List::Rw || !both.contains(path));
    let (mut ro, mut rw) = (policy.read_only.clone(), policy.read_write.clone());
    for (list, path) in wanted {
        let is = [ro.contains(&path), rw.contains(&path), there.contains(&path), path == "/proc"];
        let fits = |step: &&Step| {
            let asked = [step.1, step.2, step.3, step.4];
            step.0 == list && asked.iter().zip(is).all(|(asked, is)| asked.is_none_or(|asked| asked == is))
        };
        match (STEPS.iter().find(fits).unwrap().5, list) {
            (Then::Nothing, _) => {}
            (Then::Append, List::Ro) => ro.push(path),
            (Then::Append, List::Rw) => rw.push(path),
            (Then::Move, _) => {
                ro.retain(|known| *known != path);
                rw.push(path);
            }
        }
    }
    Lists { read_only: ro, read_write: rw }
}

const SPELLED: &[&str] = &[
    "/proc",
    "/proc/",
    "//proc",
    "/proc/.",
    "/proc/self",
    "/",
    "/dev",
    "/dev/nvidia0",
    "/dev/nvidia10",
    "/dev/nvidia",
    "/dev/nvidiactl",
    "/dev//nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/dxg",
    "/dev/urandom",
    "/usr",
    "/usr/",
    "/usr/lib/wsl",
    "/lib",
    "/etc",
    "/app",
    "/var/log",
    "/tmp",
    "/tmp/",
    "/run/nvidia-persistenced",
    "/var/run/nvidia-persistenced",
];

const NAMES: &[&str] = &[
    "nvidia",
    "nvidia0",
    "nvidia1",
    "nvidia10",
    "nvidia007",
    "nvidia-caps",
    "nvidiactl",
    "nvidia-uvm",
    "nvidia-uvm-tools",
    "nvidia-modeset",
    "nvidia0 ",
    "nvidia+1",
    "nvidia1a",
    "Nvidia0",
    "null",
    "dxg",
    "nvidia\u{661}",
];

fn some(pool: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(pool), 0..=most)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

#[test]
fn the_lists_are_those_of_the_specification() {
    let there = proptest::sample::subsequence(SPELLED.to_vec(), 0..=SPELLED.len());
    let extra = proptest::sample::subsequence(WANTED.to_vec(), 0..=WANTED.len());
    let input = (some(SPELLED, 8), some(SPELLED, 8), any::<(bool, bool)>(), some(NAMES, 8), there, extra);
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&input, |(read_only, read_write, (proxy, gpu), nodes, there, extra)| {
        let of_nodes = nodes.iter().skip(1).map(|node| format!("/dev/{node}"));
        let there: BTreeSet<String> =
            there.into_iter().chain(extra.iter().map(|row| row.2)).map(str::to_owned).chain(of_nodes).collect();
        let lists = Lists { read_only, read_write };
        let machine = Seen { proxy, gpu, nodes };
        let want = model(&lists, &machine, &there);
        prop_assert_eq!(enriched(lists, &machine, &|path| there.contains(path)), want);
        Ok(())
    });
    outcome.unwrap();
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Ro { "ro" } else { "rw" })
    }
}

impl std::fmt::Debug for If {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Proxy { "proxy" } else { "gpu" })
    }
}

fn compat(case: Case<'_>) -> Case<'_> {
    Case { compat: true, ..case }
}

#[test]
fn a_plan_has_proc_writable_and_a_banner() {
    let machine = Machine::new("two-gpus");
    for case in [Case::built_in(), Case::user(PROC_READ), Case::user(PLAIN), Case::user(NET_ONLY)] {
        let (policy, plan) = compat(case.clone()).plan(&machine).unwrap();
        assert_eq!(level(&plan, "/proc").as_deref(), Some("write"));
        assert_eq!(plan.choice.warnings.iter().filter(|line| line.starts_with("--openshell-compat: ")).count(), 1);
        let yaml = effective::openshell(&plan, &policy);
        assert_eq!(yaml.matches("\"/proc\"").count(), 1, "{yaml}");
        // The control.
        let (_, plan) = case.plan(&machine).unwrap();
        assert_ne!(level(&plan, "/proc").as_deref(), Some("write"));
        assert!(!plan.choice.warnings.iter().any(|line| line.contains("compat")));
    }
}

#[test]
fn a_proc_that_is_writable_already_stays_so() {
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/usr], read_write: [/proc]}\n";
    for machine in ["two-gpus", "no-gpu"] {
        let (_, plan) = compat(Case::user(yaml)).plan(&Machine::new(machine)).unwrap();
        assert_eq!(level(&plan, "/proc").as_deref(), Some("write"), "{machine}");
    }
}

#[test]
fn without_a_gpu_nothing_is_promoted() {
    let (_, plan) = compat(Case::user(PROC_READ)).plan(&Machine::new("no-gpu")).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("read"));
}

#[test]
fn a_node_without_a_control_node_is_no_gpu() {
    let host = lab::Host::named("two-gpus").without("/dev/nvidiactl");
    let machine = Machine::new("two-gpus").with_gpus(host);
    let (_, plan) = compat(Case::user(PROC_READ)).plan(&machine).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("read"));
    assert_eq!(level(&plan, "/dev/nvidia0"), None);
}

#[test]
fn directories_that_are_links_exist() {
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/opt/conda]}\nnetwork_policies: {a: {endpoints: [{host: a.b.c, port: 1}], binaries: [{path: /a}]}}\n";
    let machine = Machine::without("no-gpu", &["lib/"]);
    std::os::unix::fs::symlink("opt/conda", machine.root().join("lib")).unwrap();
    let (_, plan) = compat(Case::user(yaml)).plan(&machine).unwrap();
    assert_eq!(level(&plan, "/opt/conda").as_deref(), Some("read"));
    assert_eq!(level(&plan, "/usr").as_deref(), Some("read"));
}

#[test]
fn it_is_refused_where_settings_say_so() {
    let machine = Machine::new("two-gpus");
    let forbidden = "[baseline]\nallow_compat = false\n";
    for case in [Case::built_in().admin(forbidden), Case::built_in().own(forbidden)] {
        let error = compat(case.clone()).plan(&machine).unwrap_err();
        assert!(error.contains("--openshell-compat is not allowed here"), "{error}");
        assert!(case.plan(&machine).is_ok(), "the control");
    }
    // It knows no settings, so an administrator's would be gone around.
    let settings =
        ["[baseline]\nkeep = [\"/proc\"]\n", "[baseline]\nconflicts = [{match = \"/proc\", mode = \"keep\"}]\n"];
    let own = "[baseline]\nallow_compat = true\n";
    for said in settings {
        let case = compat(Case::built_in().admin(said));
        assert!(case.clone().plan(&machine).is_err() && case.clone().own(own).plan(&machine).is_err(), "{said}");
        assert!(case.admin(own).plan(&machine).is_ok(), "the administrator's word");
        assert!(compat(Case::built_in().own(said)).plan(&machine).is_ok(), "the user's own");
    }
    let later = compat(Case::built_in().admin(forbidden).own("[baseline]\nallow_compat = true\n"));
    assert!(later.plan(&machine).is_err(), "a later file does not allow it again");
    let earlier = compat(Case::built_in().own("[baseline]\nallow_compat = true\n").admin(forbidden));
    assert!(earlier.plan(&machine).is_err(), "nor does an earlier one");
}
