//! What holds for every policy, machine and setting.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use ringfence::host::Facts;
use ringfence::host::paths::PathFact;
use ringfence::plan::baseline::{By, Decision, Entry, Event};
use ringfence::plan::show::effective;
use ringfence::plan::{self, Plan};
use ringfence::policy::Policy;
use ringfence::policy::baseline::PathGlob;
use ringfence::policy::paths::Access;
use ringfence::request::baseline::Conflict;
use ringfence::request::{Origin, Request, Said, Source, load, openshell, write};

use crate::machine::{Case, Machine, PROJECT};

/// Paths of policies: with what is above, beside and below what a baseline wants.
const PATHS: &[&str] = &[
    "/usr",
    "/usr/lib",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/proc",
    "/proc/sys",
    "/srv/proc",
    "/dev/shm",
    "/tmp",
    "/dev/nvidiactl",
    "/dev/nvidia0",
    "/dev/nvidia1",
    "/dev/nvidia-uvm",
    "/dev/null",
    "/dev/urandom",
    "/dev/dxg",
    "/sys/devices",
    "/sys",
    "/opt/conda",
    "/srv/checkpoints/run-17",
    "/home/user/notebooks",
    "/app",
    "/missing",
];

const GLOBS: &[&str] = &[
    "/**",
    "/proc",
    "/proc/**",
    "/dev/**",
    "/dev/nvidia[0-9]*",
    "/dev/nvidiactl",
    "/dev/shm",
    "/usr/**",
    "/lib*",
    "/tmp",
    "/sys/**",
    "/etc/**",
    "/opt/conda",
];

const HOSTS: &[&str] = &["no-gpu", "two-gpus", "mig", "wsl2", "no-uvm"];

#[derive(Debug, Clone)]
struct Input {
    /// By path: 0 nothing is said, 1 to be read, 2 to be written.
    levels: Vec<u8>,
    network: bool,
    host: usize,
    gpu: &'static str,
    source: Source,
    keep: Vec<&'static str>,
    conflicts: Vec<(&'static str, Conflict)>,
    flags: Vec<(&'static str, Conflict)>,
    admin: bool,
    deny: Vec<&'static str>,
    core: bool,
}

fn input() -> impl Strategy<Value = Input> {
    let mode = || select(vec![Conflict::Promote, Conflict::PromoteNarrow, Conflict::Keep, Conflict::Refuse]);
    let rules = move |most| proptest::collection::vec((select(GLOBS), mode()), 0..=most);
    let level = prop_oneof![3 => Just(0_u8), 2 => Just(1_u8), 1 => Just(2_u8)];
    let said = (proptest::collection::vec(level, PATHS.len()), any::<bool>(), 0..HOSTS.len());
    let wish = select(vec!["auto", "auto", "0", "all", "off"]);
    let source = select(vec![Source::BuiltIn, Source::Image, Source::Admin, Source::User]);
    let settings = (subsequence(GLOBS.to_vec(), 0..=2), rules(3), rules(2), any::<bool>());
    let deny = subsequence(vec!["/proc", "/dev/nvidia0", "/dev/nvidiactl", "/usr", "/dev/shm", "/proc/sys"], 0..=2);
    (said, wish, source, settings, deny, any::<bool>()).prop_map(|(said, gpu, source, settings, deny, core)| {
        let ((levels, network, host), (keep, conflicts, flags, admin)) = (said, settings);
        Input { levels, network, host, gpu, source, keep, conflicts, flags, admin, deny, core }
    })
}

impl Input {
    fn yaml(&self) -> String {
        let list = |wanted: u8| {
            let paths = PATHS.iter().zip(&self.levels).filter(|(_, level)| **level == wanted).map(|(path, _)| *path);
            paths.collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
            "version: 1\nfilesystem_policy: {{include_workdir: true, read_only: [{}], read_write: [{}]}}\n",
            list(1),
            list(2)
        );
        if self.network {
            text += "network_policies: {a: {endpoints: [{host: a.b.c, port: 1}], binaries: [{path: /a}]}}\n";
        }
        text
    }

    fn settings(&self) -> String {
        let mut text = format!("[baseline]\nkeep = {:?}\nallow_cli_relax = true\nconflicts = [", self.keep);
        for (glob, mode) in &self.conflicts {
            write!(text, "{{ match = {glob:?}, mode = \"{}\" }}, ", mode.name()).unwrap();
        }
        text + "]\n"
    }

    fn case<'a>(&self, yaml: &'a str, settings: &'a str) -> Case<'a> {
        let mut case = Case::of(self.source, yaml).gpu(self.gpu);
        case.core = self.core;
        case.settings.push((settings, if self.admin { Source::Admin } else { Source::User }));
        case.flags = self.flags.iter().map(|(glob, mode)| (*mode, *glob)).collect();
        case
    }

    fn request(&self) -> Request {
        let (yaml, settings) = (self.yaml(), self.settings());
        let mut request = self.case(&yaml, &settings).request();
        request.deny.extend(self.deny.iter().map(|path| Said::new(path.into(), Origin::Flag("--deny"))));
        request
    }
}

/// The machines, made once.
struct World(Vec<Machine>);

impl World {
    fn new() -> Self {
        Self(HOSTS.iter().map(|host| Machine::new(host)).collect())
    }

    fn facts(&self, request: Request, host: usize) -> Option<(Policy, Facts)> {
        let policy = Policy::new(request, Path::new(PROJECT)).ok()?;
        let facts = self.0[host].facts(&policy, &Case::built_in().who);
        Some((policy, facts))
    }

    /// `None`: this is refused, and nothing more can be said of it.
    fn plan(&self, request: Request, host: usize) -> Option<(Policy, Facts, Plan)> {
        let (policy, facts) = self.facts(request, host)?;
        let plan = plan::build(&policy, &facts).ok()?;
        Some((policy, facts, plan))
    }
}

/// Runs a property, and sees that most inputs have a plan.
fn property(holds: impl Fn(&World, &Input) -> Result<bool, TestCaseError>) {
    let world = World::new();
    let (told, all) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&input(), |input| {
        all.set(all.get() + 1);
        told.set(told.get() + u32::from(holds(&world, &input)?));
        Ok(())
    });
    outcome.unwrap();
    assert!(told.get() * 4 > all.get(), "{} of {} inputs had a plan", told.get(), all.get());
}

fn about(decision: &Decision, glob: &str) -> bool {
    let glob = PathGlob::new(glob).unwrap();
    glob.matches(&decision.path) || glob.matches(&decision.resolved)
}

#[test]
fn what_is_to_be_kept_is_neither_added_nor_promoted() {
    property(|world, input| {
        let Some((_, _, plan)) = world.plan(input.request(), input.host) else { return Ok(false) };
        for decision in plan.decisions.iter().filter(|one| input.keep.iter().any(|glob| about(one, glob))) {
            prop_assert!(matches!(decision.event, Event::OptOut | Event::Skip), "{:?}", decision);
        }
        for entry in &plan.effective {
            let kept = input.keep.iter().any(|glob| PathGlob::new(glob).unwrap().matches(&entry.path));
            prop_assert!(!kept || matches!(entry.by, By::Policy(_)) && entry.authored.is_none(), "{:?}", entry);
        }
        Ok(true)
    });
}

#[test]
fn what_somebody_denied_is_never_promoted() {
    property(|world, input| {
        let Some((_, _, plan)) = world.plan(input.request(), input.host) else { return Ok(false) };
        for denied in input.deny.iter().map(Path::new) {
            for entry in plan.effective.iter().filter(|entry| entry.path == denied) {
                prop_assert!(entry.authored.is_none() && matches!(entry.by, By::Policy(_)), "{:?}", entry);
            }
            let json = effective::json(&plan);
            let shown = json.as_array().unwrap().iter().find(|entry| entry["path"] == denied.to_str().unwrap());
            prop_assert!(shown.is_none_or(|entry| entry["level"] == "none"), "{:?}", shown);
        }
        for decision in &plan.decisions {
            let denied = input.deny.iter().any(|path| decision.resolved == Path::new(path));
            prop_assert!(!denied || decision.to == Access::None, "{:?}", decision);
        }
        Ok(true)
    });
}

#[test]
fn nothing_changes_but_what_a_decision_names() {
    property(|world, input| {
        let Some((_, facts, plan)) = world.plan(input.request(), input.host) else { return Ok(false) };
        let mut written: BTreeMap<PathBuf, Access> = BTreeMap::new();
        for (rule, fact) in &facts.rules {
            let path = match fact {
                PathFact::Present(present) => present.path.clone(),
                _ => rule.path.clone(),
            };
            let level = written.entry(path).or_insert(rule.access);
            *level = rule.access.min(*level);
        }
        for entry in &plan.effective {
            // Of several rules for a path the most restrictive one holds.
            let level = |one: &Entry| (one.rule.access, one.authored.is_none());
            if plan.effective.iter().any(|one| one.path == entry.path && level(one) < level(entry)) {
                continue;
            }
            let decision = plan
                .decisions
                .iter()
                .find(|one| one.resolved == entry.path && matches!(one.event, Event::Add | Event::Conflict));
            match (written.get(&entry.path), decision) {
                (Some(level), None) => prop_assert!(entry.rule.access >= *level && entry.authored.is_none()),
                (Some(level), Some(decision)) => {
                    prop_assert_eq!(decision.from, *level);
                    prop_assert_eq!((entry.authored, entry.rule.access), (Some(*level), decision.to));
                }
                (None, Some(decision)) => {
                    prop_assert_eq!((entry.authored, entry.rule.access), (None, decision.to));
                    prop_assert!(matches!(entry.by, By::Baseline(_)));
                }
                (None, None) => prop_assert!(false, "nobody asked for {:?}", entry),
            }
        }
        // Strictest at each path, as the view is made.
        let json = effective::json(&plan);
        let list: Vec<_> = json.as_array().unwrap().iter().map(|entry| entry["path"].to_string()).collect();
        prop_assert!(list.is_sorted() && list.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", list);
        Ok(true)
    });
}

#[test]
fn what_is_printed_for_openshell_is_a_policy_without_conflicts() {
    property(|world, input| {
        let input =
            &Input { keep: Vec::new(), conflicts: Vec::new(), flags: Vec::new(), deny: Vec::new(), ..input.clone() };
        let Some((policy, _, plan)) = world.plan(input.request(), input.host) else { return Ok(false) };
        let yaml = effective::openshell(&plan, &policy);
        let parsed = openshell::parse(&yaml, Path::new("e.yaml"), Source::User, Path::new(PROJECT));
        prop_assert!(parsed.is_ok(), "{}\n{}", yaml, parsed.unwrap_err());
        let stays: Vec<_> = plan.decisions.iter().filter(|one| one.event == Event::Keep).map(|one| &one.path).collect();
        let again = Case::user(&yaml).gpu(input.gpu).flag(Conflict::Keep, "/**").request();
        let again = world.plan(again, input.host);
        if again.is_none() && !stays.is_empty() {
            // What stays for an image is refused to a user who names a GPU.
            return Ok(false);
        }
        prop_assert!(again.is_some(), "{}", yaml);
        for decision in again.unwrap().2.decisions {
            let settled = !matches!(decision.event, Event::Conflict | Event::Keep | Event::Refuse);
            prop_assert!(settled || stays.contains(&&decision.path), "{}\n{:?}", yaml, decision);
        }
        Ok(true)
    });
}

fn levels(plan: &Plan) -> BTreeMap<String, String> {
    let json = effective::json(plan);
    let pair = |entry: &serde_json::Value| (entry["path"].to_string(), entry["level"].to_string());
    json.as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn a_policy_in_our_own_words_has_the_same_rules() {
    property(|world, input| {
        let yaml = input.yaml();
        let case = Case::user(&yaml).gpu(input.gpu);
        let policy = openshell::parse(&yaml, Path::new("p.yaml"), Source::User, Path::new(PROJECT));
        let toml = write::toml(&policy.unwrap(), Path::new(PROJECT)).unwrap();
        let own = load::parse(&toml, Path::new("own.toml"), Path::new(PROJECT), None);
        prop_assert!(own.is_ok(), "{}\n{}", toml, own.unwrap_err());
        let own = own.unwrap().overlaid_by(case.of_flags());
        let (want, got) = (world.plan(case.request(), input.host), world.plan(own, input.host));
        prop_assert_eq!(want.is_some(), got.is_some(), "{}", toml);
        let (Some((_, _, want)), Some((_, _, got))) = (want, got) else { return Ok(false) };
        prop_assert_eq!(levels(&got), levels(&want), "{}", toml);
        Ok(true)
    });
}

#[test]
fn a_policy_whose_network_is_left_out_keeps_what_it_brings() {
    let world = World::new();
    let yaml = "version: 1\nfilesystem_policy: {read_only: [/opt/conda]}\nnetwork_policies:\n  a: {endpoints: [{host: a.b.c, port: 1, protocol: rest, enforcement: enforce, access: read-only}], binaries: [{path: /a}]}\n";
    let case = Case::user(yaml);
    let policy = openshell::parse(yaml, Path::new("p.yaml"), Source::User, Path::new(PROJECT)).unwrap();
    assert!(!policy.reach.unenforced.is_empty(), "the control");
    let toml = write::toml(&policy, Path::new(PROJECT)).unwrap();
    let own = load::parse(&toml, Path::new("own.toml"), Path::new(PROJECT), None).unwrap();
    let (_, _, want) = world.plan(case.request(), 0).unwrap();
    let (_, _, got) = world.plan(own.overlaid_by(case.of_flags()), 0).unwrap();
    assert_eq!(levels(&got), levels(&want), "{toml}");
}
