//! The plan as stable text, for people and snapshots, and as JSON.

pub mod effective;
mod html;
mod limits;
mod network;
mod outline;
mod tree;

pub use html::page;
pub use limits::limit;
pub use outline::outline;

use std::path::Path;

use serde_json::{Value, json};

use super::baseline::{Decision, Event};
use super::choose::{Choice, Engine};
use super::landlock::{LandlockRule, Tcp};
use super::mounts::{Mount, MountOp, RootView};
use super::network::managed::is_proxy_variable;
use super::{Confinement, Plan};
use crate::policy::tables::Shape;

/// One line of the plan.
struct Line {
    what: String,
    target: String,
    because: String,
}

impl Line {
    fn new(what: impl Into<String>, target: impl Into<String>, because: impl ToString) -> Self {
        Self { what: what.into(), target: target.into(), because: because.to_string() }
    }
}

/// Every line with its reason: what `ringfence plan` prints.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    for (title, lines) in sections(plan) {
        if lines.is_empty() {
            continue;
        }
        out += &format!("{title}\n");
        let width = lines.iter().map(|line| line.what.len() + line.target.len()).max().unwrap_or(0).min(72);
        for Line { what, target, because } in lines {
            let left = if target.is_empty() { what } else { format!("{what} {target}") };
            let width = width + 1;
            out += &format!("  {left:<width$}  because {because}\n");
        }
    }
    for note in &plan.notes {
        out += &format!("note: {note}\n");
    }
    out
}

/// The same as JSON: `{command, cwd, sections: {TITLE: [{what, target, because}]}, effective, baseline, notes}`. Paths that are not UTF-8 are
/// written with replacement characters.
#[must_use]
pub fn json(plan: &Plan) -> Value {
    let sections: serde_json::Map<String, Value> = sections(plan)
        .into_iter()
        .map(|(title, lines)| {
            let lines = lines
                .into_iter()
                .map(|line| json!({"what": line.what, "target": line.target, "because": line.because}))
                .collect();
            (title.to_owned(), Value::Array(lines))
        })
        .collect();
    let command: Vec<_> = plan.process.command.iter().map(|word| word.to_string_lossy()).collect();
    json!({
        "command": command,
        "cwd": plan.process.cwd.to_string_lossy(),
        "sections": sections,
        "effective": effective::json(plan),
        "baseline": plan.decisions.iter().map(|decision| effective::record(plan, decision)).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

fn sections(plan: &Plan) -> Vec<(&'static str, Vec<Line>)> {
    let mut sections = vec![("process", process(plan)), ("limits", limits::lines(plan))];
    match &plan.confinement {
        Some(confinement) => {
            sections.push(("files", files(confinement)));
            sections.push(("network", network::lines(confinement)));
            sections.push(("landlock", wall(confinement)));
            sections.push(("system calls", system_calls(confinement)));
        }
        None => sections.push(("confinement", vec![Line::new("nothing is restricted", "", "sandbox full-access")])),
    }
    sections.push(("baseline", baseline(plan)));
    sections.push(("not enforced, so left out", unenforced(plan)));
    sections.push(("environment", environment(plan)));
    sections
}

fn process(plan: &Plan) -> Vec<Line> {
    let mut lines = vec![Line::new("start in", show(&plan.process.cwd), "the working directory")];
    for fd in &plan.process.pass_fd {
        lines.push(Line::new("keep descriptor", fd.to_string(), "--pass-fd"));
    }
    if let Some(confinement) = &plan.confinement {
        lines.extend(enforced_by(plan));
        lines.extend(namespaces(plan, confinement));
        lines.push(network::which(plan, confinement));
        lines.push(Line::new("no capabilities, no_new_privs, no core files", "", "every sandbox"));
    }
    lines
}

fn enforced_by(plan: &Plan) -> Vec<Line> {
    let Choice { engine: _, because, passed_over, warnings: _ } = &plan.choice;
    let mut lines = vec![Line::new("enforced by", engine(&plan.choice), because)];
    lines.extend(passed_over.iter().filter_map(|attempt| {
        let (which, why) = attempt.split_once(": ")?;
        Some(Line::new("not by", which, why))
    }));
    lines
}

/// Who enforces, in words.
fn engine(choice: &Choice) -> String {
    match &choice.engine {
        Engine::Native => "ringfence itself".to_owned(),
        Engine::Bwrap { program, argv0: _ } => show(program),
        Engine::Landlock => "Landlock and system calls alone".to_owned(),
    }
}

fn namespaces(plan: &Plan, confinement: &Confinement) -> Option<Line> {
    let Confinement { uid, gid, pid_namespace, .. } = confinement;
    let pid = if pid_namespace.value { "pid, " } else { "" };
    let ids = format!("user, {pid}mount, ipc, uts, cgroup; uid {uid} gid {gid}");
    let none = plan.choice.engine == Engine::Landlock;
    (!none).then(|| Line::new("new namespaces", ids, "every sandbox has its own"))
}

/// What `/` is.
fn root_line(confinement: &Confinement) -> Line {
    let root = match confinement.mounts.root {
        RootView::HostReadOnly => "read-only",
        RootView::HostWritable => "writable",
        RootView::Empty => "empty",
    };
    Line::new(root, "/", "everything below it, unless a line says otherwise")
}

fn files(confinement: &Confinement) -> Vec<Line> {
    let mut lines = vec![root_line(confinement)];
    lines.extend(confinement.mounts.ops.iter().map(file));
    lines
}

fn file(op: &MountOp) -> Line {
    let what = match &op.what {
        Mount::Bind { writable: true, .. } => "writable".to_owned(),
        Mount::Bind { writable: false, .. } => "read-only".to_owned(),
        Mount::Device { source, major, minor, read_only } => {
            let read = if *read_only { ", to be read" } else { "" };
            let of = source.as_ref().map(|source| format!(", the host's {}, as", show(source))).unwrap_or_default();
            format!("device {major}:{minor}{read}{of}")
        }
        Mount::Other { source, .. } => format!("read-only, the host's {}, as", show(source)),
        Mount::Devices => "all device nodes".to_owned(),
        Mount::Pin { .. } => "pinned link".to_owned(),
        Mount::Plug { .. } => "hidden link".to_owned(),
        Mount::Mask { .. } => "hidden".to_owned(),
        Mount::Veil { .. } => "hidden but for what is below".to_owned(),
        Mount::Block { shape: Shape::Dir } => "blocked, missing".to_owned(),
        Mount::Block { .. } => "blocked, missing file".to_owned(),
        Mount::Guard => "watched, missing".to_owned(),
        Mount::Tmpfs { .. } => "private tmpfs".to_owned(),
        Mount::Dir => "empty directory".to_owned(),
        Mount::Link { to } => format!("link to {}", Path::new(to).display()),
        Mount::Devpts => "private terminals".to_owned(),
        Mount::Proc => "fresh procfs".to_owned(),
        Mount::Data { bytes, .. } => format!("content of {} bytes", bytes.len()),
        Mount::ReadOnly => "read-only".to_owned(),
        Mount::Seal => "sealed read-only".to_owned(),
        Mount::Closed => "closed".to_owned(),
    };
    Line::new(what, show(&op.target), &op.because)
}

fn wall(confinement: &Confinement) -> Vec<Line> {
    let plan = &confinement.landlock;
    let alike = |a: &LandlockRule, b: &LandlockRule| {
        (a.allow, a.path.parent(), &a.because) == (b.allow, b.path.parent(), &b.because)
    };
    let mut lines: Vec<_> = plan.rules.chunk_by(alike).flat_map(rules).collect();
    if plan.scope_abstract {
        lines.push(Line::new(
            "no abstract sockets of the host",
            "",
            "a socket that is passed in could connect to them",
        ));
    }
    if plan.scope_signals {
        lines.push(Line::new("no signals to processes outside", "", "there is no PID namespace of its own"));
    }
    match &plan.tcp {
        Tcp::Free => {}
        Tcp::Connect(ports) if ports.is_empty() => {
            lines.push(Line::new("no TCP port", "", "there is no network namespace of its own"));
        }
        Tcp::Connect(ports) => {
            let ports: Vec<_> = ports.iter().map(|port| network::port(*port)).collect();
            let why = "there is no network namespace of its own, and Landlock knows no hosts";
            lines.push(Line::new("connect by TCP, on any host, to", ports.join(" "), why));
        }
    }
    if plan.audit {
        lines.push(Line::new("denials go to the audit log", "", "--audit"));
    }
    if !lines.is_empty() {
        lines.insert(0, Line::new(format!("ABI {}", plan.abi), "", "the highest of this kernel"));
    }
    lines
}

/// A directory that was taken apart is one line: its entries are the machine's, and many.
fn rules(alike: &[LandlockRule]) -> Vec<Line> {
    const MANY: usize = 4;
    match (alike, alike.first().and_then(|rule| rule.path.parent())) {
        ([first, ..], Some(parent)) if alike.len() > MANY => {
            let all = format!("{} of {} entries", show(&parent.join("*")), alike.len());
            vec![Line::new(first.allow.name(), all, &first.because)]
        }
        _ => alike.iter().map(|rule| Line::new(rule.allow.name(), show(&rule.path), &rule.because)).collect(),
    }
}

/// What the baseline added to the policy, changed in it, or left as it is.
fn baseline(plan: &Plan) -> Vec<Line> {
    let line = |decision: &Decision| {
        let what = match decision.event {
            Event::Add => "add",
            Event::Conflict => "promote",
            Event::Keep | Event::OptOut => "keep",
            Event::Skip | Event::Refuse => return None,
        };
        let (from, to) = decision.levels();
        let what = format!("{what} {from} -> {to}");
        let by = decision.mode.map(|mode| format!(" ({} by {})", mode.name(), decision.decided_by)).unwrap_or_default();
        let asked = decision.asked.as_ref().map(ToString::to_string).unwrap_or_default();
        let why = if decision.event == Event::Keep { decision.consequence } else { &asked };
        Some(Line::new(what, show(&decision.path), format!("{why}{by}")))
    };
    plan.decisions.iter().filter_map(line).collect()
}

fn unenforced(plan: &Plan) -> Vec<Line> {
    plan.unenforced.iter().map(|said| Line::new(said.value.code, &said.value.what, &said.by)).collect()
}

fn system_calls(confinement: &Confinement) -> Vec<Line> {
    confinement
        .syscalls
        .to_string()
        .lines()
        .map(|line| match line.split_once(" because ") {
            Some((what, why)) => Line::new(what.trim_end(), "", why.trim()),
            None => Line::new(line, "", "the system call table"),
        })
        .collect()
}

fn environment(plan: &Plan) -> Vec<Line> {
    let env = &plan.process.env;
    let dropped = env.dropped.iter().map(|(name, by)| Line::new("dropped", name.to_string_lossy(), by));
    let set = env.set.iter().map(|(name, by)| {
        let value = env.vars.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let value = if is_proxy_variable(name) { without_secrets(&value) } else { value };
        Line::new("set", format!("{}={value}", name.to_string_lossy()), by)
    });
    dropped.chain(set).collect()
}

/// A proxy's address without the user's name, password and query.
fn without_secrets(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let path = path.split_once('?').map_or_else(|| path.to_owned(), |(path, _)| format!("{path}?***"));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{authority}{path}")
}

/// A path on one line: a newline in a name must not look like another line of the plan.
#[must_use]
pub fn show(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_is_told_is_not_shown() {
        for (address, shown) in [
            ("http://me:s3cret@localhost:8099/?tok=s3cret", "http://***@localhost:8099/?***"),
            ("me:s3cret@localhost:8099", "***@localhost:8099"),
            ("http://s3@cret@[::1]:1", "http://***@[::1]:1"),
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
            ("http://h/a@b", "http://h/a@b"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }
}
