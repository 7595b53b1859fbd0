//! The statements of the specification, one by one, as far as the baseline makes them true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::expect_file;
use ringfence::plan::baseline::{Event, Relation};
use ringfence::plan::show::{self, effective};
use ringfence::request::Source::{self, Admin, BuiltIn, Image, User};
use ringfence::request::baseline::Conflict;

use crate::defaults::table;
use crate::machine::{Case, Machine, PROJECT, Who, level, line};
use crate::policies::*;
use crate::settings::gpu_train;

fn machine() -> Machine {
    Machine::new("two-gpus")
}

#[test]
fn s3_without_include_workdir_nothing_of_it_can_be_written() {
    for workdir in ["", "  include_workdir: false\n"] {
        let yaml = format!("version: 1\nfilesystem_policy:\n{workdir}  read_only: [/usr]\n");
        for source in [Image, Admin, User] {
            let (policy, plan) = Case::of(source, &yaml).plan(&machine()).unwrap();
            assert_eq!(level(&plan, PROJECT), None);
            let printed = effective::openshell(&plan, &policy);
            assert!(!printed.contains(PROJECT) && printed.contains("include_workdir: false"), "{printed}");
        }
    }
    let (_, plan) = Case::user(PLAIN).plan(&machine()).unwrap();
    assert_eq!(level(&plan, PROJECT).as_deref(), Some("write"), "the control");
}

#[test]
fn s5_every_spelling_of_proc_is_proc() {
    let told = |spelling: &str| {
        let yaml = format!("version: 1\nfilesystem_policy: {{read_only: [/usr, \"{spelling}\"]}}\n");
        let cases = [
            Case::user(&yaml),
            Case::user(&yaml).gpu("0"),
            Case::of(Admin, &yaml),
            Case::of(Image, &yaml),
            Case::of(Image, &yaml).admin("[baseline]\nkeep = [\"/proc\"]\n"),
            Case::user(&yaml).flag(Conflict::Refuse, "/proc"),
        ];
        cases.map(|case| case.told(&machine()))
    };
    let want = told("/proc");
    assert!(want[1].contains("Conflict /proc: read -> modify, Exact"), "{}", want[1]);
    for spelling in ["/proc/", "//proc", "/proc/.", "/./proc//", "/srv/proc"] {
        assert_eq!(told(spelling), want, "{spelling}");
    }
}

#[test]
fn s6_a_read_only_proc_that_a_user_wrote() {
    let two = &machine();
    let refuse = "[baseline]\nconflicts = [{ match = \"/**\", mode = \"refuse\" }]\n";
    let cases = [
        ("--gpu 0", two, Case::user(RO_PROC).gpu("0")),
        ("--gpu 0, refused by a setting", two, Case::user(RO_PROC).gpu("0").own(refuse)),
        ("--gpu auto", two, Case::user(RO_PROC)),
        ("no gpu", two, Case::user(RO_PROC).gpu("off")),
    ];
    expect_file!["snapshots/ro-proc.txt"].assert_eq(&table(&cases));
}

#[test]
fn s7_the_built_in_policy_with_a_gpu_changes_proc_and_nothing_else() {
    let levels = |case: Case<'_>| {
        let (_, plan) = case.plan(&machine()).unwrap();
        let list = effective::json(&plan);
        let of = |entry: &serde_json::Value| (entry["path"].to_string(), entry["level"].to_string());
        list.as_array().unwrap().iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let without = levels(Case::built_in().gpu("off"));
    let with = levels(Case::built_in().gpu("0"));
    let changed: Vec<_> = without.iter().filter(|(path, level)| with.get(*path) != Some(*level)).collect();
    assert_eq!(changed, [(&"\"/proc\"".to_owned(), &"\"read\"".to_owned())]);
    let added: Vec<_> = with.keys().filter(|path| !without.contains_key(*path)).collect();
    assert!(
        added.iter().all(|path| path.contains("/dev/nvidia") || path.contains("/dev/shm") || path.contains("/sys/")),
        "{added:?}"
    );
    let (_, plan) = Case::built_in().gpu("0").plan(&machine()).unwrap();
    let list = effective::json(&plan);
    let proc = list.as_array().unwrap().iter().find(|entry| entry["path"] == "/proc").unwrap().clone();
    assert_eq!((&proc["level"], &proc["authored_level"]), (&"modify".into(), &"read".into()));
    assert!(proc["why"].as_str().unwrap().contains("CUDA names its threads"), "{proc}");
}

#[test]
fn s8_without_a_gpu_nothing_of_one() {
    for case in [Case::built_in(), Case::user(RO_PROC), Case::user(NET_ONLY), gpu_train()] {
        let (_, plan) = case.clone().gpu("off").plan(&machine()).unwrap();
        let text = show::text(&plan);
        let node = |line: &str| line.trim_start().starts_with("device ") && line.contains("/dev/nvidia");
        assert!(!text.lines().any(node), "{text}");
        assert!(
            plan.decisions
                .iter()
                .all(|one| !one.device && one.asked.as_ref().is_none_or(|by| !by.to_string().starts_with("gpu")))
        );
        assert_ne!(level(&plan, "/proc").as_deref(), Some("modify"));
        // The control.
        let (_, plan) = case.gpu("0").plan(&machine()).unwrap();
        assert!(show::text(&plan).contains("/dev/nvidiactl"));
    }
}

#[test]
fn s9_one_gpu_is_its_node() {
    let (_, plan) = Case::user(PLAIN).gpu("1").plan(&machine()).unwrap();
    // The second in PCI order has minor 0.
    assert_eq!(level(&plan, "/dev/nvidia1"), None);
    assert_eq!(level(&plan, "/dev/nvidia0").as_deref(), Some("device"));
}

#[test]
fn s12_a_missing_node_is_made_by_nobody() {
    for (list, mode) in
        [("read_only", ""), ("read_write", ""), ("read_write", "landlock: {compatibility: hard_requirement}\n")]
    {
        let yaml = format!("version: 1\nfilesystem_policy: {{{list}: [/dev/nvidia7]}}\n{mode}");
        let told = match Case::user(&yaml).gpu("0").plan(&machine()) {
            Ok((_, plan)) => show::text(&plan),
            Err(error) => error,
        };
        assert!(!told.contains("block /dev") && !told.contains("mkdir"), "{list}: {told}");
        assert!(!told.contains("device rw /dev/nvidia7"), "{told}");
    }
}

#[test]
fn s14_what_is_read_only_in_a_writable_proc_is_read_only() {
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/usr, /proc/sys], read_write: [/proc]}\n";
    let (_, plan) = Case::user(yaml).plan(&machine()).unwrap();
    let text = show::text(&plan);
    assert!(text.lines().any(|line| line.trim_start().starts_with("read-only /proc/sys")), "{text}");
}

#[test]
fn s15_the_most_paths_of_a_policy_come_back() {
    let paths = |count: usize| (0..count).map(|n| format!("/usr/p{n}")).collect::<Vec<_>>().join(", ");
    let policy = |count| format!("version: 1\nfilesystem_policy: {{read_only: [{}]}}\n", paths(count));
    let parse = |text: &str| {
        let (file, here) = (std::path::Path::new("p.yaml"), std::path::Path::new(PROJECT));
        ringfence::request::openshell::parse(text, file, User, here)
    };
    assert!(parse(&policy(257)).unwrap_err().to_string().contains("fs.too_many_paths"));
    assert!(parse(&policy(256)).is_ok(), "the control");
    let yaml = policy(200);
    let (policy, plan) = Case::user(&yaml).gpu("0").plan(&machine()).unwrap();
    parse(&effective::openshell(&plan, &policy)).unwrap();
}

#[test]
fn s17_every_decision_has_one_record_with_all_that_led_to_it() {
    let keys = [
        "path",
        "from",
        "to",
        "rights",
        "mode",
        "decided_by",
        "source",
        "why",
        "event",
        "resolved",
        "relation",
        "policy_location",
        "consequence",
        "abi",
    ];
    let keep = "[baseline]\nkeep = [\"/dev/shm\"]\n";
    let all = [
        (BuiltIn, None),
        (Image, Some(PROC_READ)),
        (Admin, Some(PROC_READ)),
        (User, Some(NODES_READ)),
        (User, Some(NET_ONLY)),
    ];
    for (source, yaml) in all {
        for gpu in ["auto", "0", "all", "off"] {
            let case = Case { yaml, source, ..Case::built_in() }.gpu(gpu).own(keep);
            let (_, plan) = case.plan(&machine()).unwrap();
            let json = show::json(&plan);
            let records = json["baseline"].as_array().unwrap();
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for record in records {
                for key in keys {
                    assert!(record.get(key).is_some(), "{key}: {record}");
                }
                *seen.entry(record["path"].as_str().unwrap()).or_default() += 1;
            }
            assert!(seen.values().all(|count| *count == 1), "{source} {gpu}: {seen:?}");
        }
    }
}

#[test]
fn s17_warnings_are_for_changes_of_what_somebody_wrote_and_for_what_stays_out_of_reach() {
    let mut text = String::new();
    for source in [BuiltIn, Image, Admin, User] {
        for gpu in ["auto", "0"] {
            let yaml = (source != Source::BuiltIn).then_some(PROC_READ);
            let (_, plan) = Case { yaml, source, ..Case::built_in() }.gpu(gpu).plan(&machine()).unwrap();
            for decision in &plan.decisions {
                let told = decision.to_string();
                let warned = plan.choice.warnings.contains(&told);
                let noted = plan.notes.contains(&told);
                assert!(!(warned && noted), "told twice: {told}");
                let silent = matches!(decision.event, Event::Add | Event::Skip);
                assert_eq!(silent, !warned && !noted, "{told}");
                if decision.relation == Some(Relation::Exact) {
                    let how = if warned { "warning" } else { "note" };
                    writeln!(text, "{source} {gpu}: {how}: {}", line(decision)).unwrap();
                }
            }
        }
    }
    expect_file!["snapshots/told.txt"].assert_eq(&text);
}

#[test]
fn the_whole_output_is_a_function_of_its_input() {
    let told = |()| {
        let (policy, plan) = Case::user(NODES_READ).gpu("0").plan(&machine()).unwrap();
        [show::text(&plan), show::json(&plan).to_string(), effective::openshell(&plan, &policy), effective::diff(&plan)]
    };
    assert_eq!(told(()), told(()));
}

#[test]
fn what_is_printed_for_openshell_and_as_a_difference() {
    let mut text = String::new();
    let cases = [
        ("built-in, 0", Case::built_in().gpu("0")),
        ("nodes, auto", Case::user(NODES_READ)),
        ("nodes, 0", Case::user(NODES_READ).gpu("0")),
        ("network left out", Case::user(RO_PROC).gpu("0")),
    ];
    for (title, case) in cases {
        let (policy, plan) = case.plan(&machine()).unwrap();
        let (yaml, diff) = (effective::openshell(&plan, &policy), effective::diff(&plan));
        writeln!(text, "== {title}\n{yaml}--- diff\n{diff}").unwrap();
    }
    expect_file!["snapshots/printed.txt"].assert_eq(&text);
}

#[test]
fn root_never_takes_the_place_of_another_user() {
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/usr]}\nprocess: {run_as_user: '1500'}\n";
    let machine = Machine::new("no-gpu");
    let by = |uid| Case { who: Who { uid, name: None, ..Case::built_in().who }, ..Case::user(yaml) };
    let error = by(0).plan(&machine).unwrap_err();
    assert!(error.contains("as the caller's user 0, not as 1500"), "{error}");
    // The control: what the caller may do anyway.
    let (_, plan) = by(1000).plan(&machine).unwrap();
    assert_eq!(plan.unenforced.len(), 1);
}
