//! The rights that are printed are those that the kernel is asked for.

use std::path::Path;

use expect_test::expect_file;
use ringfence::plan::choose::Engine;
use ringfence::plan::landlock::{Beneath, rights};
use ringfence::plan::show::{self, effective};
use ringfence::request::Source::{Image, User};

use crate::machine::{Case, Machine};
use crate::policies::*;
use std::fmt::Write as _;

const EVERY_LEVEL: &str = "version: 1
filesystem_policy:
  read_only: [/usr, /lib, /lib64, /etc/ld.so.cache, /proc, /dev/urandom, /dev/nvidia0]
  read_write: [/srv/checkpoints/run-17, /dev/null, /dev/nvidia1, /tmp]
";

#[test]
fn on_landlock_alone_under_every_abi() {
    let machine = Machine::new("two-gpus");
    let mut checked = 0;
    for abi in 1..=rights::NEWEST_ABI {
        for (source, yaml, gpu) in [
            (User, EVERY_LEVEL, "0"),
            (User, EVERY_LEVEL, "auto"),
            (User, EVERY_LEVEL, "off"),
            (Image, PROC_READ, "all"),
            (User, NET_ONLY, "0"),
        ] {
            let mut case = Case::of(source, yaml).gpu(gpu).landlock_alone();
            case.who.abi = abi;
            let (_, plan) = case.plan(&machine).unwrap();
            assert_eq!(plan.choice.engine, Engine::Landlock);
            let wall = &plan.confinement.as_ref().unwrap().landlock;
            assert_eq!(wall.abi, abi);
            let json = show::json(&plan);
            for entry in json["effective"].as_array().unwrap().iter().filter(|entry| entry["level"] != "none") {
                let path = Path::new(entry["path"].as_str().unwrap());
                let rules: Vec<_> =
                    wall.rules.iter().filter(|rule| rule.path == path && rule.allow != Beneath::List).collect();
                if rules.is_empty() && wall.rules.iter().any(|rule| rule.path.starts_with(path)) {
                    continue;
                }
                let dir = machine.root().join(path.strip_prefix("/").unwrap()).is_dir();
                let mask = rules.iter().fold(0, |mask, rule| mask | rights::rights(rule.allow, abi, dir));
                assert_eq!(entry["rights"], serde_json::json!(rights::names(mask)), "ABI {abi}: {entry}\n{rules:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 9 * 20, "{checked}");
}

#[test]
fn the_rights_of_each_level() {
    let machine = Machine::new("two-gpus");
    let mut text = String::new();
    for (title, alone) in [("with namespaces", false), ("Landlock alone", true)] {
        let case = Case::user(EVERY_LEVEL).gpu("0");
        let case = if alone { case.landlock_alone() } else { case };
        let (_, plan) = case.plan(&machine).unwrap();
        writeln!(text, "== {title}").unwrap();
        for entry in effective::json(&plan).as_array().unwrap() {
            let rights: Vec<_> =
                entry["rights"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            let word = |key: &str| entry[key].as_str().unwrap();
            writeln!(text, "{} {}: {}", word("path"), word("level"), rights.join(" ")).unwrap();
        }
    }
    expect_file!["snapshots/rights.txt"].assert_eq(&text);
}
