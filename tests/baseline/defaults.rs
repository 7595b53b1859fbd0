//! What becomes of a conflict where nobody said anything: by the source of the policy, and by how the rule in the way
//! stands to the path.

use std::fmt::Write as _;

use expect_test::expect_file;
use ringfence::request::Source::{Admin, Image};

use crate::machine::{Case, Machine, level};
use crate::policies::*;

pub fn table(cases: &[(&str, &Machine, Case<'_>)]) -> String {
    let mut text = String::new();
    for (title, machine, case) in cases {
        writeln!(text, "== {title}\n{}", case.told(machine)).unwrap();
    }
    text
}

#[test]
fn the_rule_is_about_the_path_itself() {
    let two = &Machine::new("two-gpus");
    let cases = [
        ("built-in, auto", two, Case::built_in()),
        ("built-in, 0", two, Case::built_in().gpu("0")),
        ("image, auto", two, Case::of(Image, PROC_READ)),
        ("admin, auto", two, Case::of(Admin, PROC_READ)),
        ("admin, all", two, Case::of(Admin, PROC_READ).gpu("all")),
        ("user, auto", two, Case::user(PROC_READ)),
        ("user, auto said", two, Case::user(PROC_READ).gpu("auto")),
        ("user, 0", two, Case::user(PROC_READ).gpu("0")),
        ("user, all", two, Case::user(PROC_READ).gpu("all")),
        ("user, off", two, Case::user(PROC_READ).gpu("off")),
    ];
    expect_file!["snapshots/exact.txt"].assert_eq(&table(&cases));
}

#[test]
fn nodes_and_shared_memory_are_promoted_like_proc() {
    let two = &Machine::new("two-gpus");
    let cases = [
        ("image", two, Case::of(Image, NODES_READ)),
        ("admin", two, Case::of(Admin, NODES_READ)),
        ("user, auto", two, Case::user(NODES_READ)),
        ("user, 0", two, Case::user(NODES_READ).gpu("0")),
        ("user, 1: nvidia0, the second in PCI order", two, Case::user(NODES_READ).gpu("1")),
    ];
    expect_file!["snapshots/nodes.txt"].assert_eq(&table(&cases));
}

#[test]
fn the_rule_is_about_something_above() {
    let two = &Machine::new("two-gpus");
    let cases = [
        ("image", two, Case::of(Image, DEV_READ)),
        ("admin", two, Case::of(Admin, DEV_READ)),
        ("user, auto", two, Case::user(DEV_READ)),
        ("user, 0", two, Case::user(DEV_READ).gpu("0")),
    ];
    expect_file!["snapshots/ancestor.txt"].assert_eq(&table(&cases));
}

#[test]
fn the_rule_is_about_something_below() {
    let two = &Machine::new("two-gpus");
    let cases = [
        ("image", two, Case::of(Image, BELOW_PROC_READ)),
        ("admin", two, Case::of(Admin, BELOW_PROC_READ)),
        ("user, auto", two, Case::user(BELOW_PROC_READ)),
        ("user, 0", two, Case::user(BELOW_PROC_READ).gpu("0")),
        ("image, both", two, Case::of(Image, PROC_AND_BELOW_READ)),
        ("admin, both", two, Case::of(Admin, PROC_AND_BELOW_READ)),
        ("user, auto, both", two, Case::user(PROC_AND_BELOW_READ)),
        ("user, 0, both", two, Case::user(PROC_AND_BELOW_READ).gpu("0")),
    ];
    expect_file!["snapshots/descendant.txt"].assert_eq(&table(&cases));
}

#[test]
fn what_nobody_names_is_added() {
    let two = Machine::new("two-gpus");
    let mig = Machine::new("mig");
    let wsl = Machine::new("wsl2");
    let none = Machine::new("no-gpu");
    let broken = Machine::new("no-uvm");
    let core = Case { core: true, ..Case::user(PLAIN) };
    let cases = [
        ("no gpu", &none, Case::user(PLAIN)),
        ("no gpu, 0", &none, Case::user(PLAIN).gpu("0")),
        ("two gpus, off", &two, Case::user(PLAIN).gpu("off")),
        ("two gpus, auto", &two, Case::user(PLAIN)),
        ("two gpus, 1", &two, Case::user(PLAIN).gpu("1")),
        ("mig, its parts", &mig, Case::user(PLAIN).gpu("mig:0/1/0,mig:0/5/0,mig:0/5/1")),
        ("wsl2, all", &wsl, Case::user(PLAIN).gpu("all")),
        ("no uvm, auto", &broken, Case::user(PLAIN)),
        ("no uvm, all", &broken, Case::user(PLAIN).gpu("all")),
        ("core", &none, core),
    ];
    expect_file!["snapshots/added.txt"].assert_eq(&table(&cases));
}

#[test]
fn a_network_brings_what_programs_need() {
    let none = Machine::new("no-gpu");
    let two = Machine::new("two-gpus");
    let cases = [
        ("user", &none, Case::user(NET_ONLY)),
        ("image: the application too", &none, Case::of(Image, NET_ONLY)),
        ("admin", &none, Case::of(Admin, NET_ONLY)),
        ("user, two gpus", &two, Case::user(NET_ONLY).gpu("0")),
        ("/tmp to be read", &none, Case::user(NET_AND_TMP_READ)),
        ("/tmp to be read, image", &none, Case::of(Image, NET_AND_TMP_READ)),
        ("fixture net-mixed", &two, Case::user(NET_MIXED)),
    ];
    expect_file!["snapshots/network.txt"].assert_eq(&table(&cases));
}

#[test]
fn a_rule_for_everything_covers_proc() {
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/]}\n";
    let proc = |case: Case<'_>| {
        let (_, plan) = case.plan(&Machine::new("two-gpus")).unwrap();
        let text = ringfence::plan::show::text(&plan);
        let lines = text.lines().filter(|line| line.contains(" /proc ")).map(|line| line.split(" because").next());
        lines.map(|line| line.unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(proc(Case::user(yaml).gpu("off")), ["fresh procfs /proc", "read-only /proc"]);
    let with_gpu = ["fresh procfs /proc", "modify /proc", "add read -> modify /proc"];
    assert_eq!(proc(Case::user(yaml)), with_gpu, "it is no rule for /proc, so nothing is in the way");
}

#[test]
fn all_rules_for_a_path_are_promoted() {
    // The most restrictive of several holds, so promoting one of them would change nothing.
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/usr, /proc, /srv/proc]}\n";
    let (_, plan) = Case::user(yaml).gpu("0").plan(&Machine::new("two-gpus")).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("modify"));
    assert!(ringfence::plan::show::text(&plan).lines().any(|line| line.trim_start().starts_with("modify /proc ")));
}
