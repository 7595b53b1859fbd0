//! A small machine, and what becomes of a policy on it. Nothing of the real machine is asked.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ringfence::host::gpu::{CallerIds, Gpus, NodeLookup};
use ringfence::host::paths::{FileId, Kind, PathFact, Present, Root};
use ringfence::host::{self, Caller, Facts};
use ringfence::plan::baseline::{Decision, Event};
use ringfence::plan::show::effective;
use ringfence::plan::{self, Plan, PlanError};
use ringfence::policy::gpu::GpuWish;
use ringfence::policy::{Policy, tables};
use ringfence::request::baseline::{Baseline, Conflict, ConflictRule};
use ringfence::request::network::Reach;
use ringfence::request::{Backend, Origin, Provenance, Request, Said, Source, load, openshell};

use crate::lab;

pub const PROJECT: &str = "/home/you/project";

/// A trailing `/` makes a directory, ` -> ` a link.
const MACHINE: &[&str] = &[
    "app/",
    "bin -> usr/bin",
    "dev/nvidia-caps/",
    "dev/shm/",
    "etc/ld.so.cache",
    "lib/",
    "lib64/",
    "proc/sys/kernel/",
    "run/",
    "srv/proc -> /proc",
    "srv/checkpoints/run-17/",
    "srv/datasets/tiles-2025/",
    "opt/conda/",
    "sys/bus/pci/",
    "sys/class/net/",
    "sys/devices/",
    "tmp/",
    "usr/bin/true",
    "usr/lib/",
    "var/log/",
    "home/you/project/",
    "home/user/notebooks/",
    "home/user/out/",
];

/// A directory tree that is a machine, with the GPUs of a fixture.
pub struct Machine {
    directory: tempfile::TempDir,
    gpus: lab::Host,
}

impl Machine {
    pub fn new(gpus: &str) -> Self {
        Self::without(gpus, &[])
    }

    /// The machine without some of its entries.
    pub fn without(gpus: &str, missing: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let windows: &[&str] = if gpus == "wsl2" { &["usr/lib/wsl/lib/"] } else { &[] };
        for entry in MACHINE.iter().chain(windows).filter(|entry| !missing.contains(entry)) {
            let (name, target) = entry.split_once(" -> ").map_or((*entry, None), |(name, to)| (name, Some(to)));
            let path = directory.path().join(name);
            std::fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            match target {
                Some(target) => symlink(target, path).unwrap(),
                None if name.ends_with('/') => {}
                None => std::fs::write(path, "").unwrap(),
            }
        }
        Self { directory, gpus: lab::Host::named(gpus) }
    }

    pub fn with_gpus(mut self, gpus: lab::Host) -> Self {
        self.gpus = gpus;
        self
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn facts(&self, policy: &Policy, who: &Who) -> Facts {
        let root = Root::open(self.root()).unwrap();
        let mut facts = host::probe(self.root(), policy, Vec::new()).unwrap();
        let ids = CallerIds { uid: who.uid, gid: who.uid, groups: vec![44] };
        let name = who.name.map(str::to_owned);
        let homes = vec![PathBuf::from("/home/you")];
        facts.caller = Caller { ids, homes, user: name.clone(), group: name };
        facts.landlock_abi = who.abi;
        facts.sockets.clear();
        facts.own_files.clear();
        let gpus = || self.gpus.gpus_for(&policy.gpu.value);
        facts.gpus = if policy.gpu.value == GpuWish::Off { Gpus::default() } else { gpus() };
        facts.baseline.extend(facts.gpus.libraries.iter().filter_map(|row| root.look_if_present(Path::new(row.path))));
        for (rule, fact) in &mut facts.rules {
            if let Some(node) = self.node(&rule.path) {
                *fact = PathFact::Present(node);
            }
        }
        if who.landlock_alone {
            facts.engines.namespaces = Some(Err("there are none here".to_owned()));
            facts.look_around(&root, policy);
        }
        facts
    }

    /// A node, which no test can make.
    fn node(&self, path: &Path) -> Option<Present> {
        let base = tables::BASE_DEVICES.iter().find(|(known, ..)| path == Path::new(known));
        let base = base.map(|(_, major, minor)| Kind::Char { major: *major, minor: *minor });
        let found = || self.gpus.node(path).map(|node| node.kind).filter(|kind| matches!(kind, Kind::Char { .. }));
        let kind = base.or_else(found)?;
        Some(Present { path: path.to_owned(), id: FileId { dev: 0, ino: 0 }, kind, link: None })
    }
}

/// Who asks, on which kernel.
#[derive(Clone)]
pub struct Who {
    pub uid: u32,
    pub name: Option<&'static str>,
    pub abi: u32,
    pub landlock_alone: bool,
}

/// A policy, its source, and what else is said.
#[derive(Clone)]
pub struct Case<'a> {
    /// `None`: the built-in policy.
    pub yaml: Option<&'a str>,
    pub source: Source,
    /// `None`: nothing is said.
    pub gpu: Option<&'a str>,
    /// Our own configuration: text, and whose it is.
    pub settings: Vec<(&'a str, Source)>,
    /// `--baseline-conflict MODE GLOB`.
    pub flags: Vec<(Conflict, &'a str)>,
    pub core: bool,
    pub compat: bool,
    pub who: Who,
}

impl<'a> Case<'a> {
    pub fn built_in() -> Self {
        let who = Who { uid: 1000, name: Some("sandbox"), abi: 7, landlock_alone: false };
        let (settings, flags) = (Vec::new(), Vec::new());
        Self { yaml: None, source: Source::BuiltIn, gpu: None, settings, flags, core: false, compat: false, who }
    }

    pub fn of(source: Source, yaml: &'a str) -> Self {
        Self { yaml: Some(yaml), source, ..Self::built_in() }
    }

    pub fn user(yaml: &'a str) -> Self {
        Self::of(Source::User, yaml)
    }

    pub fn gpu(self, wish: &'a str) -> Self {
        Self { gpu: Some(wish), ..self }
    }

    pub fn admin(mut self, toml: &'a str) -> Self {
        self.settings.push((toml, Source::Admin));
        self
    }

    pub fn own(mut self, toml: &'a str) -> Self {
        self.settings.push((toml, Source::User));
        self
    }

    pub fn flag(mut self, mode: Conflict, glob: &'a str) -> Self {
        self.flags.push((mode, glob));
        self
    }

    pub fn landlock_alone(mut self) -> Self {
        self.who.landlock_alone = true;
        self
    }

    pub fn request(&self) -> Request {
        let mut request = Request::default();
        for (toml, source) in &self.settings {
            let name = if *source == Source::Admin { "/etc/ringfence/config.toml" } else { "~/config.toml" };
            let said = load::parse(toml, Path::new(name), Path::new(PROJECT), None).unwrap();
            let provenance = Provenance { policy: None, files: vec![(name.into(), *source)] };
            request = request.overlaid_by(Request { provenance, ..said });
        }
        let policy = match self.yaml {
            None => openshell::built_in(Path::new(PROJECT)),
            Some(yaml) => openshell::parse(yaml, Path::new("p.yaml"), self.source, Path::new(PROJECT)).unwrap(),
        };
        let provenance = Provenance { policy: Some(self.source), ..policy.provenance };
        request = request.overlaid_by(Request { provenance, ..policy });
        request.overlaid_by(self.of_flags())
    }

    pub fn of_flags(&self) -> Request {
        fn said<T>(value: T, flag: &'static str) -> Said<T> {
            Said::new(value, Origin::Flag(flag))
        }
        let rule = |(mode, glob): &(Conflict, &str)| ConflictRule {
            pattern: (*glob).to_owned(),
            sources: Vec::new(),
            mode: *mode,
            reason: None,
        };
        Request {
            gpu: self.gpu.map(|wish| said(wish.to_owned(), "--gpu")),
            reach: Reach { allow_unenforced: Some(said(true, "--allow-unenforced")), ..Reach::default() },
            backend: self.who.landlock_alone.then(|| said(Backend::Landlock, "--backend")),
            baseline: Baseline {
                flags: self.flags.iter().map(|flag| said(rule(flag), "--baseline-conflict")).collect(),
                core: self.core.then(|| said(true, "--baseline")),
                compat: self.compat.then(|| said(true, "--openshell-compat")),
                ..Baseline::default()
            },
            command: vec!["true".into()],
            ..Request::default()
        }
    }

    pub fn policy(&self) -> Result<Policy, String> {
        Policy::new(self.request(), Path::new(PROJECT))
            .map_err(|errors| errors.iter().map(|error| format!("error: {error}\n")).collect())
    }

    pub fn plan(&self, machine: &Machine) -> Result<(Policy, Plan), String> {
        let policy = self.policy()?;
        let facts = machine.facts(&policy, &self.who);
        plan::build(&policy, &facts).map(|plan| (policy, plan)).map_err(|errors| hints(&errors))
    }

    /// What is decided and what holds; or why nothing runs.
    pub fn told(&self, machine: &Machine) -> String {
        self.plan(machine).map_or_else(|error| error, |(_, plan)| text(&plan))
    }
}

fn hints(errors: &[PlanError]) -> String {
    let mut text = String::new();
    for error in errors {
        writeln!(text, "error: {error}\n  hint: {}", error.hint().unwrap_or_default()).unwrap();
    }
    text
}

/// Remarks that are no matter of the baseline.
const OTHER_NOTES: &[&str] =
    &["a GPU is granted", "host sockets that are bound", "optional node left out", "there is no filesystem_policy"];

pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    let (skipped, decided): (Vec<_>, Vec<_>) = plan.decisions.iter().partition(|one| one.event == Event::Skip);
    for decision in decided {
        writeln!(text, "{}", line(decision)).unwrap();
    }
    if !skipped.is_empty() {
        let paths: Vec<_> = skipped.iter().map(|one| one.path.to_str().unwrap()).collect();
        writeln!(text, "skip {}", paths.join(" ")).unwrap();
    }
    for entry in effective::json(plan).as_array().unwrap() {
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let authored = entry["authored_level"].as_str().map(|level| format!(", was {level}")).unwrap_or_default();
        writeln!(text, "  {} {}{authored} <- {}", word("path"), word("level"), word("origin")).unwrap();
    }
    for warning in &plan.choice.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    for note in plan.notes.iter().filter(|note| !OTHER_NOTES.iter().any(|other| note.starts_with(other))) {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

/// One decision, all of it but the words.
pub fn line(decision: &Decision) -> String {
    let Decision { event, path, resolved, relation, from, to, wanted, mode, decided_by, source, written, .. } =
        decision;
    let path = path.display();
    let at = resolved.display();
    let leads = if path.to_string() == at.to_string() { String::new() } else { format!(" at {at}") };
    let mut line = format!("{event:?} {path}{leads}: {from} -> {to}");
    if to != wanted {
        write!(line, " ({wanted} wanted)").unwrap();
    }
    if let Some(relation) = relation {
        let mode = mode.map_or("-", Conflict::name);
        write!(line, ", {relation:?} {mode} by {decided_by}").unwrap();
    } else if *event == Event::OptOut {
        write!(line, ", by {decided_by}").unwrap();
    }
    if let (Some(source), Some(written)) = (source, written) {
        write!(line, "; {source}, {written}").unwrap();
    }
    line
}

/// The level at a path, as the effective policy has it.
pub fn level(plan: &Plan, path: &str) -> Option<String> {
    let list = effective::json(plan);
    let found = list.as_array().unwrap().iter().find(|entry| entry["path"] == path)?;
    Some(found["level"].as_str().unwrap().to_owned())
}
