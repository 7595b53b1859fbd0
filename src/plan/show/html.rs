//! What a command may touch, as one page for a browser: `ringfence plan --html`.
//!
//! The page brings all that it needs and runs nothing: its own policy forbids scripts and everything from elsewhere.

mod write;

use std::collections::BTreeMap;
use std::path::Path;

use super::outline::joined;
use super::tree::{Branch, Level, tree};
use super::{Line, engine, limits, sections, show};
use crate::plan::Plan;
use crate::plan::mounts::{Mount, MountOp, RootView};
use crate::request::{Net, Origin};
use write::Page;

/// The whole page. Names in it are a command's or a policy's choice, so all of them are escaped.
#[must_use]
pub fn page(plan: &Plan) -> String {
    let tree = tree(plan);
    let command: Vec<_> = plan.process.command.iter().map(|word| show(Path::new(word))).collect();
    let command = command.join(" ");
    let mut page = Page::default();
    page.raw(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
    );
    page.text(&format!("{command} – ringfence plan"));
    page.raw("</title>\n<style>\n");
    page.raw(include_str!("html/page.css"));
    page.raw("</style>\n</head>\n<body>\n<header>\n<p>What this command may touch</p>\n<h1>");
    page.text(&command);
    page.raw("</h1>\n<p>in <code>");
    page.text(&show(&plan.process.cwd));
    page.raw("</code></p>\n</header>\n");
    cards(&mut page, plan, &tree);
    warnings(&mut page, plan);
    files(&mut page, &tree, &changed(plan));
    details(&mut page, plan);
    page.raw("<footer>Made by <code>ringfence ");
    page.text(env!("CARGO_PKG_VERSION"));
    page.raw(" plan --html</code>; ringfence why PATH tells of any other path.</footer>\n</body>\n</html>\n");
    page.done()
}

/// What counts, at a glance.
fn cards(page: &mut Page, plan: &Plan, tree: &Branch) {
    let mut counts = BTreeMap::new();
    tree.count(&mut counts);
    page.raw("<div class=\"cards\">\n<section><h2>Files</h2><b>");
    page.text(root(tree));
    page.raw("</b><p>");
    for (level, count) in counts {
        page.raw("<span class=\"chip ");
        page.raw(level.name());
        page.raw("\" data-level=\"");
        page.raw(level.name());
        page.raw("\">");
        page.text(&format!("{count} {}", level.name()));
        page.raw("</span> ");
    }
    page.raw("</p></section>\n");
    let (big, small) = devices(plan);
    page.card("GPUs and devices", &big, &small);
    let (big, small) = network_words(plan);
    page.card("Network", big, &small);
    let (big, small) = environment(plan);
    page.card("Environment", &big, &small);
    let mut limits = limits::lines(plan).into_iter().map(|line| limit(&line));
    let big = limits.next().unwrap_or_else(|| "none".to_owned());
    page.card("Limits", &big, &list(limits));
    let who = if plan.confinement.is_some() { engine(&plan.choice) } else { "nobody".to_owned() };
    page.card("Enforced by", &who, &plan.choice.because);
    page.raw("</div>\n");
}

fn root(tree: &Branch) -> &'static str {
    match tree.grant.as_ref().map(|grant| grant.level) {
        Some(Level::Read) => "the machine is read-only",
        Some(Level::Write) => "the machine is writable",
        _ => "nothing but what is listed",
    }
}

fn granted(plan: &Plan) -> impl Iterator<Item = &MountOp> {
    let ops = plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
    ops.filter(|op| matches!(op.what, Mount::Device { .. } | Mount::Devices))
}

fn devices(plan: &Plan) -> (String, String) {
    if plan.confinement.is_none() || granted(plan).any(|op| matches!(op.what, Mount::Devices)) {
        return ("all of the host's".to_owned(), String::new());
    }
    let of_gpu = |op: &&MountOp| matches!(op.because, Origin::Gpu(_));
    let base = granted(plan).filter(|op| matches!(op.because, Origin::Baseline(_))).count();
    let gpus = granted(plan).filter(of_gpu).count();
    let named = granted(plan).filter(|op| of_gpu(op) || !matches!(op.because, Origin::Baseline(_)));
    let named = list(named.map(|op| show(&op.target)));
    let big = if gpus == 0 { "no GPU".to_owned() } else { format!("{gpus} nodes of GPUs") };
    let comma = if named.is_empty() { "" } else { ", " };
    (big, format!("{named}{comma}{base} that every program expects"))
}

/// Without who counts it.
fn limit(line: &Line) -> String {
    if line.target.starts_with('(') { line.what.clone() } else { joined(line) }
}

/// So many of a list fit in a card.
const SOME: usize = 6;

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    let shown = words.get(..SOME.min(words.len())).unwrap_or_default().join(", ");
    if words.len() > SOME { format!("{shown} and {} more", words.len() - SOME) } else { shown }
}

fn network_words(plan: &Plan) -> (&'static str, String) {
    let Some(confinement) = &plan.confinement else { return ("the host's", String::new()) };
    let hosts = || confinement.network.iter().flat_map(|network| &network.hosts.allow);
    match confinement.net.value {
        Net::None => ("none", confinement.net.by.to_string()),
        Net::Allow if hosts().next().is_none() => ("no host", confinement.net.by.to_string()),
        Net::Allow => ("listed hosts only", list(hosts().map(|said| said.value.target.to_string()))),
        Net::Proxy => ("the host's proxies", confinement.net.by.to_string()),
        Net::Host => ("the host's", confinement.net.by.to_string()),
    }
}

fn environment(plan: &Plan) -> (String, String) {
    let env = &plan.process.env;
    let names = list(env.dropped.iter().map(|(name, _)| show(Path::new(name))));
    let big = if names.is_empty() { "nothing dropped".to_owned() } else { format!("{} dropped", env.dropped.len()) };
    (
        big,
        format!(
            "{names}{} {} variables, {} of them set",
            if names.is_empty() { "" } else { ";" },
            env.vars.len(),
            env.set.len()
        ),
    )
}

/// What a reader must not miss.
fn warnings(page: &mut Page, plan: &Plan) {
    let left_out = plan.unenforced.iter().map(|said| format!("not enforced: {} ({})", said.value.what, said.by));
    let all: Vec<_> = plan.choice.warnings.iter().chain(&plan.notes).cloned().chain(left_out).collect();
    if all.is_empty() {
        return;
    }
    page.raw("<section class=\"warn\"><h2>To be known</h2>\n<ul>");
    for one in all {
        page.raw("<li>");
        page.text(&one);
        page.raw("</li>");
    }
    page.raw("</ul></section>\n");
}

/// What a writable directory's own rule opens, not what follows from another.
fn changed(plan: &Plan) -> Vec<&Path> {
    let Some(confinement) = &plan.confinement else { return vec![Path::new("/")] };
    let root = (confinement.mounts.root == RootView::HostWritable).then_some(Path::new("/"));
    let opens = |op: &&MountOp| {
        matches!(op.what, Mount::Bind { writable: true, .. }) && !matches!(op.because, Origin::Protected(_))
    };
    root.into_iter().chain(confinement.mounts.ops.iter().filter(opens).map(|op| op.target.as_path())).collect()
}

fn files(page: &mut Page, tree: &Branch, changed: &[&Path]) {
    page.raw("<section><h2>Files</h2>\n<p class=\"changes\">May be changed on this machine: ");
    page.text(if changed.is_empty() { "nothing." } else { "" });
    for path in changed {
        page.raw("<code>");
        page.text(&show(path));
        page.raw("</code> ");
    }
    page.raw("</p>\n<div class=\"legend\">");
    for level in Level::ALL {
        page.raw("<span>");
        page.chip(level);
        page.raw(" ");
        page.raw(level.means());
        page.raw("</span>");
    }
    page.raw("</div>\n<ul class=\"tree\"><li><details open><summary>");
    page.entry(tree);
    page.raw("</summary>");
    branches(page, &tree.below);
    page.raw("</details></li></ul>\n</section>\n");
}

/// More than so many entries that are alike are shown when they are asked for.
const MANY: usize = 4;

fn branches(page: &mut Page, all: &[Branch]) {
    page.raw("<ul>\n");
    for group in all.chunk_by(Branch::is_like) {
        let long = group.len() > MANY;
        if let (true, Some(first)) = (long, group.first()) {
            page.raw("<li><details class=\"more\"><summary>");
            page.group(first, group.len());
            page.raw("</summary><ul>\n");
        }
        group.iter().for_each(|branch| one(page, branch));
        if long {
            page.raw("</ul></details></li>\n");
        }
    }
    page.raw("</ul>");
}

fn one(page: &mut Page, branch: &Branch) {
    if branch.below.is_empty() {
        page.raw("<li class=\"leaf\">");
        page.entry(branch);
        page.raw("</li>\n");
        return;
    }
    page.raw("<li><details open><summary>");
    page.entry(branch);
    page.raw("</summary>");
    branches(page, &branch.below);
    page.raw("</details></li>\n");
}

/// Everything else, a table each; what is long is closed.
fn details(page: &mut Page, plan: &Plan) {
    let titles = [
        ("network", "Network", true),
        ("limits", "Limits", true),
        ("environment", "Environment", true),
        ("process", "Process and engine", true),
        ("confinement", "Confinement", true),
        ("baseline", "Changed, kept or refused by the baseline", true),
        ("not enforced, so left out", "Not enforced, so left out", true),
        ("landlock", "Landlock", false),
        ("system calls", "System calls", false),
    ];
    let mut sections = sections(plan);
    for (key, title, open) in titles {
        let lines = sections.iter_mut().find(|(name, _)| *name == key).map(|(_, lines)| std::mem::take(lines));
        if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
            table(page, title, &lines, open && lines.len() <= 3 * MANY);
        }
    }
}

fn table(page: &mut Page, title: &'static str, lines: &[Line], open: bool) {
    page.raw(if open { "<section><details open><summary>" } else { "<section><details><summary>" });
    page.text(&format!("{title} ({})", lines.len()));
    page.raw("</summary>\n<table>");
    for line in lines {
        page.raw("<tr><td>");
        page.text(&joined(line));
        page.raw("</td><td>");
        page.text(&line.because);
        page.raw("</td></tr>\n");
    }
    page.raw("</table></details></section>\n");
}
