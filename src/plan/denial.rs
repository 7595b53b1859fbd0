//! What a plan refuses of what a command was seen to touch, who says so, and what would allow it.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use super::baseline::Entry;
use super::seen::{Act, OF_EACH_PROCESS, Seen};
use super::syscalls::Lift;
use super::why::{self, Answer};
use super::{Confinement, Plan};
use crate::host::gpu::rows;
use crate::policy::paths::Access;
use crate::policy::tables::HOME_SECRETS;
use crate::request::{Net, Origin};

/// One thing that a command did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What the command tried.
    pub act: Act,
    /// A path, `address:port`, or the name of a call.
    pub what: OsString,
    /// Which rule says so.
    pub because: String,
    /// What would allow it; `None` where nothing would, or where the user's own rule would have to go.
    pub remedy: Option<Remedy>,
    /// Whether it is known, and not guessed.
    pub certain: bool,
    /// How often it was met, where that is counted; else 1.
    pub times: u64,
}

/// One word more, and the same command gets it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remedy {
    /// On the command line, as a shell takes it.
    pub flag: String,
    /// In a file.
    pub toml: String,
    /// Whether its path has to be made outside before: only what is there can have a rule, and the directory that it lies in
    /// is too much to grant.
    pub missing: bool,
}

impl Remedy {
    /// An option with a value, which a file takes in a list.
    #[must_use]
    pub fn listed(flag: &str, value: &str) -> Self {
        let key = flag.trim_start_matches('-').replace('-', "_");
        Self {
            flag: format!("{flag} {}", quoted(value)),
            toml: format!("{key} = [{}]", toml_string(value)),
            missing: false,
        }
    }

    /// An option with a word, of which a file has one.
    #[must_use]
    pub fn single(flag: &str, word: &str) -> Self {
        let key = flag.trim_start_matches('-').replace('-', "_");
        Self { flag: format!("{flag} {word}"), toml: format!("{key} = {}", toml_string(word)), missing: false }
    }

    /// From an option as it is written on the command line.
    #[must_use]
    pub fn of_flag(text: &str) -> Self {
        match text.split_once(' ') {
            Some((flag, value)) => Self { flag: text.to_owned(), ..Self::listed(flag, value) },
            None => Self::switch(text),
        }
    }

    /// An option without a value.
    #[must_use]
    pub fn switch(flag: &str) -> Self {
        let key = flag.trim_start_matches('-').replace('-', "_");
        Self { flag: flag.to_owned(), toml: format!("{key} = true"), missing: false }
    }

    /// A rule for a path, if it is text.
    fn path(flag: &str, path: &Path) -> Option<Self> {
        // The whole machine is no cure.
        let is_plain = !path.components().any(|part| part == Component::ParentDir);
        let text = path.to_str().filter(|_| path.parent().is_some() && is_plain)?;
        Some(Self::listed(flag, text))
    }
}

/// A string of TOML on one line, whatever it holds: JSON's escapes are TOML's, which wants one more.
#[must_use]
pub fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_@%+=:,./-".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What of all that was seen is refused; each thing once, for the most that was tried with it.
#[must_use]
pub fn denials(plan: &Plan, seen: &[Seen]) -> Vec<Denial> {
    let Some(confinement) = &plan.confinement else { return Vec::new() };
    let mut found = BTreeMap::new();
    for seen in seen {
        if let Some(denial) = judge(plan, confinement, seen) {
            let known = found.entry(seen.what.clone()).or_insert_with(|| denial.clone());
            if known.act < denial.act {
                *known = denial;
            }
        }
    }
    found.into_values().collect()
}

fn judge(plan: &Plan, confinement: &Confinement, seen: &Seen) -> Option<Denial> {
    let path = Path::new(&seen.what);
    let (because, remedy, certain) = match seen.act {
        // What the kernel tells and takes there, it decides by itself, for each process another way.
        _ if OF_EACH_PROCESS.iter().any(|top| path.starts_with(top)) => return None,
        Act::Look
        | Act::Read
        | Act::Execute
        | Act::Change
        | Act::Make
        | Act::MakeAgain
        | Act::Unix
        | Act::UnixAbsent => {
            let answer = why::why(plan, path);
            if allows(seen.act, &answer) {
                return None;
            }
            (format!("{}, because {}", answer.line, answer.because), remedy(plan, seen.act, path, &answer), true)
        }
        Act::Internet => {
            let address = seen.what.to_str()?.parse().ok()?;
            let (remedy, certain) = unreachable(confinement, address)?;
            (format!("net {}, because {}", confinement.net.value.name(), confinement.net.by), remedy, certain)
        }
        Act::Call => return call(confinement, &seen.what),
        Act::More => return None,
    };
    Some(Denial { act: seen.act, what: seen.what.clone(), because, remedy, certain, times: 1 })
}

fn allows(act: Act, answer: &Answer) -> bool {
    match act {
        Act::Change => answer.access >= Access::Modify,
        Act::Make => answer.access == Access::Write,
        // Else it fails outside, too.
        Act::MakeAgain => !answer.is_missing,
        // A private directory has the sandbox's own sockets.
        Act::UnixAbsent => answer.by.is_none(),
        _ => answer.access >= Access::Read,
    }
}

/// The rule that would allow it. Where the user's own rule would have to go, there is none.
fn remedy(plan: &Plan, act: Act, path: &Path, answer: &Answer) -> Option<Remedy> {
    let hidden_by_user = answer.access == Access::None && answer.by.as_ref().is_some_and(Origin::is_explicit);
    if hidden_by_user {
        return None;
    }
    if matches!(act, Act::Unix | Act::UnixAbsent) {
        return Remedy::path("--unix", path);
    }
    if rows::below_dev(path).is_some() && answer.access == Access::None {
        let of_gpu = rows::all().any(|row| row.is_at(path));
        let by_path = || if rows::never(path).is_none() { Remedy::path("--device", path) } else { None };
        return if of_gpu { Some(Remedy::single("--gpu", "all")) } else { by_path() };
    }
    let flag = if act.writes() { "--write" } else { "--read" };
    // What is not there cannot have a rule.
    if answer.is_missing {
        return None;
    }
    if leads_on(plan, path, act) {
        return None;
    }
    let git = path.ancestors().find(|above| above.ends_with(".git"));
    let of_git =
        git.filter(|_| act.writes()).or_else(|| matches!(answer.by, Some(Origin::Protected(_))).then_some(&*answer.at));
    if let Some(top) = of_git {
        return protected(plan, act, path, top);
    }
    // Only what is there can be granted, so a name is granted with the directory that it is made in, where that is no home.
    let directory = path.parent().filter(|directory| act == Act::Make && !is_wide(plan, directory));
    let narrow = directory.unwrap_or(path);
    let missing = act == Act::Make && directory.is_none();
    // Of two rules for one path the stricter counts.
    let same = |entry: &Entry| {
        let by = &entry.rule.because;
        entry.path == narrow && by.is_explicit() && !by.is_profile()
    };
    if plan.effective.iter().any(same) {
        return None;
    }
    Remedy::path(flag, narrow).map(|remedy| Remedy { missing, ..remedy })
}

/// Names in a home from which something is run at a login or by its name.
const STARTS: &[&str] = &[
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".cargo/bin",
    ".config/autostart",
    ".config/environment.d",
    ".config/fish",
    ".config/git",
    ".config/systemd",
    ".gitconfig",
    ".local/bin",
    ".local/share/applications",
    ".local/share/systemd",
    ".npmrc",
    ".pam_environment",
    ".profile",
    ".xprofile",
    ".xsession",
    ".xsessionrc",
    ".zlogin",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    "bin",
];

/// Whether one line more would let the command run outside later, or change a login: it is named, and not offered. Stores of
/// secrets count that are not there, too.
#[must_use]
pub fn leads_on(plan: &Plan, path: &Path, act: Act) -> bool {
    let home = plan.process.env.vars.get(OsStr::new("HOME")).map(Path::new);
    let Some(rest) = home.and_then(|home| path.strip_prefix(home).ok()) else { return false };
    let secrets = HOME_SECRETS.iter().map(|(name, _)| name);
    act.writes() && STARTS.iter().chain(secrets).any(|name| rest.starts_with(name))
}

/// Whether a directory is everybody's, a home, or above one of those and the working directory: too much for one name.
fn is_wide(plan: &Plan, directory: &Path) -> bool {
    let home = plan.process.env.vars.get(OsStr::new("HOME")).map(Path::new);
    let above = |path: &Path| path.starts_with(directory);
    directory.components().count() <= 2 || above(&plan.process.cwd) || home.is_some_and(above)
}

/// What git writes every day has a word of its own; what it runs is named by its path, or the directory it is made in.
fn protected(plan: &Plan, act: Act, path: &Path, top: &Path) -> Option<Remedy> {
    let runs_code = ["hooks", "modules", "worktrees"];
    let below = path.components().skip_while(|part| part.as_os_str() != ".git").nth(1);
    if let Some(name) = below.map(|part| part.as_os_str().to_string_lossy()) {
        // It is written anew beside itself, and all of .git would have to be granted for that.
        if name.starts_with("config") {
            return None;
        }
        if !runs_code.contains(&&*name) {
            return Some(commit(plan, top));
        }
    }
    let inner = |directory: &&Path| *directory != top && directory.starts_with(top);
    let directory = path.parent().filter(|_| act == Act::Make).filter(inner);
    let missing = act == Act::Make && directory.is_none();
    Remedy::path("--write", directory.unwrap_or(path)).map(|remedy| Remedy { missing, ..remedy })
}

/// Git commits from the directory of the repository.
fn commit(plan: &Plan, top: &Path) -> Remedy {
    let commit = Remedy::single("--git", "commit");
    match top.parent().and_then(Path::to_str) {
        Some(tree) if Path::new(tree) != plan.process.cwd => {
            Remedy { flag: format!("--cd {} {}", quoted(tree), commit.flag), ..commit }
        }
        _ => commit,
    }
}

/// What would lead to an address that cannot be reached, and whether that is certain. `None` where it can be.
fn unreachable(confinement: &Confinement, address: SocketAddr) -> Option<(Option<Remedy>, bool)> {
    let net = confinement.net.value;
    if net == Net::Host || address.ip().is_unspecified() {
        return None;
    }
    if address.ip().to_canonical().is_loopback() {
        let door =
            confinement.network.iter().flat_map(|network| &network.doors).any(|door| door.port == address.port());
        return (!door).then(|| (Some(Remedy::listed("--expose-host", &address.port().to_string())), false));
    }
    let transparent = confinement.network.as_ref().is_some_and(|network| network.transparent.is_some());
    match net {
        Net::Allow if transparent => None,
        Net::Allow => Some((Some(Remedy::switch("--transparent")), true)),
        Net::None if address.port() == DNS => Some((Some(Remedy::listed("--allow-host", "NAME")), true)),
        Net::None => Some((Some(Remedy::listed("--allow-host", &address.to_string())), true)),
        Net::Proxy | Net::Host => Some((None, true)),
    }
}

/// Where names are asked for: the name itself is not known then.
pub const DNS: u16 = 53;

/// The name of a call and its row's reason, as init tells them.
fn call(confinement: &Confinement, told: &OsStr) -> Option<Denial> {
    let (name, why) = told.to_str()?.split_once(' ')?;
    let row = confinement.syscalls.rows.iter().find(|row| row.call == name && row.why == why);
    let remedy = row.filter(|row| matches!(row.lift, Lift::Ptrace | Lift::Memory)).map(|_| Remedy {
        flag: "--allow ptrace".to_owned(),
        toml: "allow = [\"ptrace\"]".to_owned(),
        missing: false,
    });
    Some(Denial { act: Act::Call, what: name.into(), because: why.to_owned(), remedy, certain: true, times: 1 })
}
