//! The smallest readable policy that covers what a command was seen to do: paths folded to directories that make sense,
//! nothing that was refused unless it was asked for, secrets never by a directory above them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::denial::{Denial, leads_on, toml_string};
use super::seen::{Act, Seen};
use super::why::{self, Answer};
use super::{Plan, show};
use crate::host::gpu::rows;
use crate::policy::Policy;
use crate::policy::paths::Access;
use crate::policy::tables::ROOT_LINKS;
use crate::request::{Git, Mode, Net, Origin, Tmp};

/// What was learned of one run of a command.
pub struct Lesson<'a> {
    /// What the command ran by.
    pub plan: &'a Plan,
    /// See there.
    pub policy: &'a Policy,
    /// What it touched, of what is there now.
    pub seen: &'a [Seen],
    /// Links that it went by.
    pub links: &'a [PathBuf],
    /// Hosts and ports that it reached.
    pub reached: &'a [String],
    /// What it was refused.
    pub denials: &'a [Denial],
    /// The policy that is learned on, by its name in [`Origin::File`]: what it grants is kept.
    pub config: Option<&'a Path>,
    /// The caller's home.
    pub home: Option<&'a Path>,
    /// Whether a path is there now: only what is there can have a rule.
    pub is_there: &'a dyn Fn(&Path) -> bool,
    /// Whether what was refused becomes a part of the policy.
    pub grant: bool,
}

/// One line of the table of paths.
#[derive(Debug)]
struct Line {
    access: Access,
    /// How many different paths stand behind it.
    files: usize,
}

type Lines = BTreeMap<PathBuf, Line>;

impl std::fmt::Debug for Lesson<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lesson").field("seen", &self.seen).field("denials", &self.denials).finish_non_exhaustive()
    }
}

impl Lesson<'_> {
    /// The policy, in the words of `--config`, with a reason for each line.
    #[must_use]
    pub fn toml(&self) -> String {
        let (mut lines, left_out) = self.lines();
        let (mut wanted, never) = self.refused();
        if self.grant {
            // One path has one line.
            let (granted, missing): (Lines, Lines) = wanted.into_iter().partition(|(path, _)| (self.is_there)(path));
            for (path, Line { access, files }) in granted {
                let line = lines.entry(path).or_insert(Line { access, files: 0 });
                line.access = line.access.max(access);
                line.files += files;
            }
            wanted = missing;
        }
        let mut text = String::new();
        self.head(&mut text);
        self.network(&mut text);
        text.push_str("\n[paths]\n");
        line(&mut text, "\"/\" = \"none\"", "nothing but what is listed, and what every program needs");
        let workspace = &self.policy.workspace;
        if !self.writes_workspace() {
            line(&mut text, &rule(workspace, Access::Read), "the workspace");
        }
        for (path, Line { access, files }) in &lines {
            line(&mut text, &rule(path, *access), &paths(*files));
        }
        for denied in self.policy.rules.iter().filter(|rule| rule.access == Access::None && rule.because.is_explicit())
        {
            if denied.path != Path::new("/") && !lines.contains_key(&denied.path) {
                line(&mut text, &rule(&denied.path, Access::None), &denied.because.to_string());
            }
        }
        self.told(&mut text, &lines, &wanted, &never);
        for path in left_out {
            text += &format!("# looked into, and shows only what is listed here: {}\n", show::show(&path));
        }
        if self.seen.iter().any(|seen| seen.act == Act::More) {
            text.push_str("# The command touched more than could be noted: this is not all of it.\n");
        }
        text
    }

    fn head(&self, text: &mut String) {
        let command: Vec<_> = self.plan.process.command.iter().map(|word| word.to_string_lossy()).collect();
        let command = command.join(" ").escape_debug().to_string();
        *text += &format!("# Learned by `ringfence learn` from: {command}\n");
        if self.writes_workspace() {
            line(text, "sandbox = \"workspace-write\"", "it wrote in the workspace");
        } else {
            line(text, "sandbox = \"read-only\"", "it wrote nothing in the workspace");
        }
        let gpu = self.seen.iter().any(|seen| rows::all().any(|row| row.is_at(Path::new(&seen.what))));
        if gpu {
            line(text, "gpu = \"auto\"", "it opened nodes of a GPU");
        } else {
            line(text, "gpu = \"off\"", "it opened no node of a GPU");
        }
        let policy = self.policy;
        if policy.git.value == Git::Commit {
            line(text, "git = \"commit\"", &policy.git.by.to_string());
        }
        if policy.tmp.value == Tmp::Host {
            line(text, "tmp = \"host\"", &policy.tmp.by.to_string());
        }
        let list = |key: &str, values: Vec<String>| format!("{key} = [{}]", values.join(", "));
        let globs: Vec<_> = policy.globs.iter().filter(|glob| glob.because.is_explicit()).collect();
        if !globs.is_empty() {
            line(text, &list("deny", globs.iter().map(|glob| quoted(&glob.pattern)).collect()), "as it was said");
        }
        // A value of the command line may be a secret; one of a file is in a file already.
        let written = |by: &Origin| !matches!(by, Origin::Flag(_));
        let variable = |(name, value): &(std::ffi::OsString, Option<std::ffi::OsString>)| match value {
            Some(value) => quoted(&format!("{}={}", name.to_string_lossy(), value.to_string_lossy())),
            None => quoted(&name.to_string_lossy()),
        };
        let (told, untold): (Vec<_>, Vec<_>) =
            policy.env.said.iter().partition(|said| said.value.1.is_none() || written(&said.by));
        if !told.is_empty() {
            line(text, &list("env", told.iter().map(|said| variable(&said.value)).collect()), "as it was said");
        }
        if !untold.is_empty() {
            text.push_str("# env: variables that were set on the command line have to be set there again\n");
        }
        if !policy.allow.is_empty() {
            line(text, "allow = [\"ptrace\"]", "as it was said");
        }
        let devices = self.touched(|answer| matches!(answer.by, Some(Origin::Flag("--device") | Origin::File { .. })));
        let devices: Vec<_> =
            devices.filter(|path| path.starts_with("/dev")).filter_map(|path| path.to_str()).collect();
        if !devices.is_empty() {
            line(text, &list("device", devices.into_iter().map(quoted).collect()), "opened");
        }
        let sockets = self.seen.iter().filter(|seen| seen.act == Act::Unix).filter_map(|seen| seen.what.to_str());
        let sockets: Vec<_> =
            sockets.filter(|path| self.policy.unix.iter().any(|said| said.value == Path::new(path))).collect();
        if !sockets.is_empty() {
            line(text, &list("unix", sockets.into_iter().map(quoted).collect()), "connected to");
        }
    }

    /// Hosts that it reached, and ports; nothing where it reached none.
    fn network(&self, text: &mut String) {
        let policy = self.policy;
        if policy.net.value == Net::Host || policy.net.value == Net::Proxy {
            line(text, &format!("net = {}", quoted(policy.net.value.name())), &policy.net.by.to_string());
            return;
        }
        let refused = self.denials.iter().filter(|denial| denial.act == Act::Internet);
        let hosts = refused.filter_map(|denial| denial.remedy.as_ref()?.flag.strip_prefix("--allow-host "));
        let hosts: Vec<_> = hosts.map(str::to_owned).collect();
        let granted = if self.grant { hosts.as_slice() } else { &[] };
        let kept = policy.reach.hosts.allow.iter().filter(|said| self.is_kept(&said.by));
        let kept: Vec<_> = kept.map(|said| said.value.target.to_string()).collect();
        let mut allowed: Vec<String> =
            self.reached.iter().chain(granted).chain(&kept).map(|host| quoted(host)).collect();
        allowed.sort();
        allowed.dedup();
        if allowed.is_empty() {
            line(text, "net = \"none\"", "it reached nothing");
        } else {
            line(text, &format!("allow_host = [{}]", allowed.join(", ")), "reached");
            if policy.reach.transparent.as_ref().is_some() {
                line(text, "transparent = true", "programs need not know of the proxy");
            }
        }
        if granted.is_empty() && !hosts.is_empty() {
            let hosts: Vec<_> = hosts.iter().map(|host| quoted(host)).collect();
            *text += "# It was refused these hosts; in the place of net or allow_host, this lets it reach them:\n";
            *text += &format!("# allow_host = [{}]\n# transparent = true\n", hosts.join(", "));
        }
        for (key, ports) in [("publish", &policy.reach.publish), ("expose_host", &policy.reach.expose)] {
            if !ports.is_empty() {
                let ports: Vec<_> = ports.iter().map(|said| quoted(&said.value.to_string())).collect();
                line(text, &format!("{key} = [{}]", ports.join(", ")), "as it was said");
            }
        }
    }

    /// What was refused: what a line could allow, and what none is to.
    fn refused(&self) -> (Lines, Vec<&Denial>) {
        let mut wanted = Lines::new();
        let mut never = Vec::new();
        for denial in self.denials.iter().filter(|denial| denial.certain) {
            let path = Path::new(&denial.what);
            let access = match denial.act {
                Act::Look | Act::Read | Act::Execute => Access::Read,
                Act::Change | Act::Make => Access::Write,
                Act::MakeAgain | Act::Unix | Act::UnixAbsent | Act::Internet | Act::Call | Act::More => continue,
            };
            match self.fold(path).filter(|_| self.may_grant(path, denial.act)) {
                Some(fold) => grow(&mut wanted, fold, access),
                None => never.push(denial),
            }
        }
        (wanted, never)
    }

    /// Whether a line may allow what was refused: no secret, nothing that runs later, nothing that a rule of the user's denies.
    fn may_grant(&self, path: &Path, act: Act) -> bool {
        let by = why::why(self.plan, path).by;
        let kept = by.as_ref().is_some_and(Origin::is_explicit)
            || matches!(by, Some(Origin::Secret(_) | Origin::Protected(_)))
            || act.writes() && path.components().any(|part| part.as_os_str() == ".git");
        path.is_absolute() && !path.starts_with("/dev") && !kept && !leads_on(self.plan, path, act)
    }

    /// Tells what was refused and is no line.
    fn told(&self, text: &mut String, lines: &Lines, wanted: &Lines, never: &[&Denial]) {
        if !wanted.is_empty() {
            text.push_str("# It was refused these; without the #, a line allows it:\n");
        }
        for (path, Line { access, files }) in wanted {
            let why = if !(self.is_there)(path) {
                "refused; it must be made outside before it can have a rule"
            } else if lines.contains_key(path) {
                "refused; in the place of the line above for it"
            } else {
                "refused"
            };
            line(text, &format!("# {}", rule(path, *access)), &format!("{}, {why}", paths(*files)));
        }
        for denial in never {
            let what = show::show(Path::new(&denial.what));
            *text += &format!("# refused, and no part of a learned policy: {what} ({})\n", denial.because);
        }
        for call in self.denials.iter().filter(|denial| denial.act == Act::Call) {
            *text += &format!("# refused: the call {}\n", call.what.display());
        }
    }

    /// Whether a file of the workspace was made or changed.
    fn writes_workspace(&self) -> bool {
        let granted = |seen: &Seen| why::why(self.plan, Path::new(&seen.what)).access.writes();
        let inside = |seen: &&Seen| seen.act.writes() && Path::new(&seen.what).starts_with(&self.policy.workspace);
        let kept = self.config.is_some() && self.policy.mode == Mode::WorkspaceWrite;
        kept || self.seen.iter().filter(inside).any(granted)
    }

    fn touched(&self, rule: impl Fn(&Answer) -> bool) -> impl Iterator<Item = &Path> {
        let paths = self.seen.iter().filter(|seen| !matches!(seen.act, Act::Internet | Act::Call | Act::More));
        paths.map(|seen| Path::new(&seen.what)).filter(move |path| rule(&why::why(self.plan, path)))
    }

    /// The table of paths, and what was listed that is no line.
    fn lines(&self) -> (Lines, Vec<PathBuf>) {
        let mut lines = Lines::new();
        let mut listed = Vec::new();
        let links = self.links.iter().map(|path| (Act::Look, path.as_path()));
        let files = self.seen.iter().map(|seen| (seen.act, Path::new(&seen.what)));
        for (act, path) in files.chain(links) {
            let access = match act {
                Act::Look | Act::Read | Act::Execute => Access::Read,
                Act::Change | Act::Make => Access::Write,
                Act::MakeAgain | Act::Unix | Act::UnixAbsent | Act::Internet | Act::Call | Act::More => continue,
            };
            let answer = why::why(self.plan, path);
            if !self.is_the_host_s(path, &answer) || !allows(access, &answer) {
                continue;
            }
            match self.fold(path) {
                Some(fold) => grow(&mut lines, self.narrowed(fold, path, access, &answer), access.min(answer.access)),
                None if act == Act::Read => listed.push(path.to_owned()),
                None => {}
            }
        }
        listed.sort();
        listed.dedup();
        self.keep(&mut lines);
        self.narrow(&mut lines);
        (without_covered(with_whole_etc(lines)), listed)
    }

    /// Whether the policy that is learned on says it.
    fn is_kept(&self, by: &Origin) -> bool {
        self.config.is_some_and(|config| matches!(by, Origin::File { path, .. } if path == config))
    }

    /// What the policy says that is learned on: another run needed it.
    fn keep(&self, lines: &mut Lines) {
        let rules = self.policy.rules.iter().filter(|rule| rule.access > Access::None && self.is_kept(&rule.because));
        for rule in rules.filter(|rule| rule.path != self.policy.workspace) {
            let line = lines.entry(rule.path.clone()).or_insert(Line { access: rule.access, files: 0 });
            line.access = line.access.max(rule.access);
        }
    }

    /// What the user said less of than a line above it grants.
    fn narrow(&self, lines: &mut Lines) {
        let said = self.policy.rules.iter().filter(|rule| rule.because.is_explicit() && !rule.because.is_profile());
        for rule in said.filter(|rule| rule.access > Access::None) {
            let above = lines.iter().rev().find(|(top, _)| rule.path.starts_with(top));
            if above.is_some_and(|(top, line)| *top != rule.path && line.access > rule.access) {
                lines.insert(rule.path.clone(), Line { access: rule.access, files: 0 });
            }
        }
    }

    /// A rule for one file that the user gave is no rule for the directory it lies in; nor is a store of secrets.
    fn narrowed(&self, fold: PathBuf, path: &Path, access: Access, answer: &Answer) -> PathBuf {
        let here = self.plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
        let secret = here.filter(|op| matches!(op.because, Origin::Secret(_))).any(|op| path.starts_with(&op.target));
        // A rule of the user's that is narrower than the fold says what he meant.
        let said = answer.by.as_ref().is_some_and(Origin::is_explicit);
        let wide = (access.writes() || said) && answer.at.starts_with(&fold);
        if secret || wide || !(self.is_there)(&fold) { answer.at.clone() } else { fold }
    }

    /// What is private to a sandbox, and the workspace, needs no line.
    fn is_the_host_s(&self, path: &Path, answer: &Answer) -> bool {
        let private = ["/proc", "/dev", "/run"].iter().any(|top| path.starts_with(top))
            && answer.by.as_ref().is_none_or(|by| !by.is_explicit());
        let tmp = path.starts_with("/tmp") && self.policy.tmp.value == Tmp::Private;
        path.is_absolute() && !private && !tmp && !path.starts_with(&self.policy.workspace) && !path.starts_with("/dev")
    }

    /// The directory that stands for a path, or the path itself; `None` where that would be too much: the root, a home, what is
    /// above those and above the workspace.
    fn fold(&self, path: &Path) -> Option<PathBuf> {
        let in_home = self.home.and_then(|home| Some((home, path.strip_prefix(home).ok()?)));
        let (top, rest) = in_home.unwrap_or((Path::new("/"), path.strip_prefix("/").ok()?));
        let first = rest.components().next()?;
        let depth = match (in_home.is_some(), first.as_os_str().to_str()) {
            (true, Some(".cache" | ".config")) => 2,
            (true, Some(".local")) | (false, Some("var" | "home")) => 3,
            (true, _) | (false, Some("usr" | "bin" | "sbin" | "lib" | "lib32" | "lib64" | "sys")) => 1,
            (false, _) => 2,
        };
        // Above the workspace and the home there are others'.
        let is_above = |fold: &Path, other: &Path| other.starts_with(fold);
        let too_much =
            |fold: &Path| is_above(fold, &self.policy.workspace) || self.home.is_some_and(|home| is_above(fold, home));
        if path.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        let folds = (depth..=rest.components().count()).filter_map(|depth| Some(top.join(first_of(rest, depth)?)));
        folds.into_iter().find(|fold| !too_much(fold))
    }
}

/// So many components of a path; `None` where it has fewer.
fn first_of(path: &Path, depth: usize) -> Option<PathBuf> {
    let first: PathBuf = path.components().take(depth).collect();
    (first.components().count() == depth).then_some(first)
}

fn allows(access: Access, answer: &Answer) -> bool {
    if access == Access::Write { answer.access.writes() } else { answer.access >= access }
}

fn paths(number: usize) -> String {
    match number {
        0 => "kept".to_owned(),
        1 => "one path".to_owned(),
        _ => format!("{number} paths"),
    }
}

fn grow(lines: &mut Lines, path: PathBuf, access: Access) {
    let line = lines.entry(path).or_insert(Line { access, files: 0 });
    line.access = line.access.max(access);
    line.files += 1;
}

/// So many entries of one directory stand for all of it.
const ALL_OF: usize = 12;

/// The entries of `/etc` by themselves, or all of it: what is secret there stays hidden.
fn with_whole_etc(lines: Lines) -> Lines {
    let etc = Path::new("/etc");
    let is_entry = |path: &Path, line: &Line| path.parent() == Some(etc) && line.access == Access::Read;
    if lines.iter().filter(|(path, line)| is_entry(path, line)).count() <= ALL_OF {
        return lines;
    }
    let (entries, mut rest): (Lines, Lines) = lines.into_iter().partition(|(path, line)| is_entry(path, line));
    rest.insert(etc.to_owned(), Line { access: Access::Read, files: entries.values().map(|line| line.files).sum() });
    rest
}

/// Without those that a line above them says already.
fn without_covered(mut lines: Lines) -> Lines {
    if lines.contains_key(Path::new("/usr")) {
        lines.retain(|path, _| !ROOT_LINKS.iter().any(|link| path == Path::new(link)));
    }
    let mut kept = Lines::new();
    for (path, line) in lines {
        let above = kept.iter_mut().rev().find(|(top, _)| path.starts_with(top));
        match above {
            // Less than the line above it is no part of it.
            Some((_, top)) if top.access == line.access || top.access > line.access && line.files > 0 => {
                top.files += line.files;
            }
            _ => drop(kept.insert(path, line)),
        }
    }
    kept
}

fn quoted(text: &str) -> String {
    toml_string(text)
}

fn rule(path: &Path, access: Access) -> String {
    match path.to_str() {
        Some(text) => format!("{} = {}", quoted(text), quoted(&access.to_string())),
        None => format!("# not UTF-8, and TOML is: {}", show::show(path)),
    }
}

/// A line and its reason, in one column.
fn line(text: &mut String, what: &str, why: &str) {
    *text += &format!("{what:<44} # {}\n", why.escape_debug());
}
