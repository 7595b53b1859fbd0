//! `ringfence learn`: runs a command and prints the smallest policy that covers what it did.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::flags::{Flags, Output};
use super::inspect::canonical;
use super::report::{Problem, problems};
use super::run::{self, Telling, denials, failed, prepare_policy};
use crate::plan::Plan;
use crate::plan::learn::Lesson;
use crate::plan::seen::{Act, Seen};
use crate::plan::why;
use crate::policy::Policy;
use crate::request::{Mode, Net, Origin};
use crate::supervise::outcome::Outcome;

/// Options of `learn`.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// Write the policy to a new file, and not to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take into the policy what was refused, but for secrets, protected names and what a rule of yours denies.
    #[arg(long)]
    grant: bool,
    #[command(flatten)]
    flags: Flags,
}

/// What asks for the network of a command that is learned from, where nobody else has: everything is refused, by name.
const LEARN: Origin = Origin::BuiltIn("learn");

/// Runs the command and prints a policy; the result is the command's exit code.
pub fn learn(args: LearnArgs) -> i32 {
    let LearnArgs { output: file, grant, mut flags } = args;
    if !flags.has_command() {
        let hint = Some("ringfence learn -- COMMAND [ARGUMENT]...".to_owned());
        return problems(&[Problem::new("there is nothing to learn from without a command", hint)]).min(2);
    }
    let output = match flags.take_output() {
        Ok(output) => output,
        Err(found) => return problems(&found),
    };
    let learned = place(file.as_deref()).and_then(|place| {
        let learned = watched(flags, &output, grant, (file.as_deref(), place));
        // Where nothing was learned, nothing stays.
        learned.inspect_err(|_| file.iter().for_each(|file| crate::sys::ignore(std::fs::remove_file(file))))
    });
    learned.unwrap_or_else(|found| failed(&found, &output))
}

/// Whether the command's output would stand where the policy is to stand, and not on a terminal.
fn is_one_file() -> bool {
    let (output, errors) = (std::io::stdout(), std::io::stderr());
    let same =
        |one: rustix::fs::Stat, other: rustix::fs::Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    let found = rustix::fs::fstat(&output).and_then(|one| Ok(same(one, rustix::fs::fstat(&errors)?)));
    found.unwrap_or(false) && !output.is_terminal()
}

/// Where the policy goes, opened before anything runs: a file that is not there yet, or standard output.
fn place(file: Option<&Path>) -> Result<File, Vec<Problem>> {
    let Some(file) = file else {
        // What the command prints goes to the errors: what is printed here is a policy, and nothing else.
        let copy = std::io::stdout().as_fd().try_clone_to_owned();
        if is_one_file() {
            let hint = Some("name a file for the policy: --output FILE".to_owned());
            return Err(vec![Problem::new("output and errors go to one file: the policy would be among them", hint)]);
        }
        let moved = copy.and_then(|copy| Ok((copy, rustix::stdio::dup2_stdout(std::io::stderr().as_fd())?)));
        return moved.map(|(copy, ())| File::from(copy)).map_err(|error| {
            let hint = Some("name a file for the policy: --output FILE".to_owned());
            vec![Problem::new(format!("standard output: {error}"), hint)]
        });
    };
    File::options().write(true).create_new(true).open(file).map_err(|error| {
        let hint = Some("name a new file outside the workspace, or leave --output out".to_owned());
        vec![Problem::new(format!("make `{}`: {error}", file.display()), hint)]
    })
}

fn watched(mut flags: Flags, output: &Output, grant: bool, place: (Option<&Path>, File)) -> Result<i32, Vec<Problem>> {
    flags.learn(LEARN);
    let config = flags.config().map(Path::to_owned);
    let (policy, plan) = prepared(flags.policy()?)?;
    let (file, mut place) = place;
    if let Some(file) = file.filter(|file| why::changes_host(&plan, &canonical(file))) {
        let hint = Some("name a file outside of what the command can write".to_owned());
        return Err(vec![Problem::new(format!("the command could write its own policy, `{}`", file.display()), hint)]);
    }
    let log = run::ready(&policy, &plan, output)?;
    let telling = Telling { log: log.as_ref(), output: Some(output), hosting: None };
    let (outcome, plan) = run::outcome(&policy, plan, &telling)?;
    run::tell(&outcome, &plan, Some(output));
    let text = lesson(&policy, &plan, &outcome, (config.as_deref(), grant));
    let written = place.write_all(text.as_bytes());
    written.map_err(|error| vec![Problem::new(format!("write the policy: {error}"), None)])?;
    Ok(outcome.code())
}

/// With names for programs that know of no proxy, where that can be had and nobody has said otherwise.
fn prepared(mut policy: Policy) -> Result<(Policy, Plan), Vec<Problem>> {
    if policy.mode == Mode::FullAccess {
        let hint = Some("leave out --sandbox full-access: what is refused is listed".to_owned());
        return Err(vec![Problem::new("nothing can be learned without a sandbox", hint)]);
    }
    let ours = policy.net.value == Net::Allow && policy.net.by == LEARN;
    if ours && policy.reach.transparent.is_none() {
        let named = Policy { reach: policy.reach.clone(), ..policy.clone() };
        policy.reach.transparent = Some(LEARN);
        return prepare_policy(policy).or_else(|_| prepare_policy(named));
    }
    prepare_policy(policy)
}

fn lesson(policy: &Policy, plan: &Plan, outcome: &Outcome, (config, grant): (Option<&Path>, bool)) -> String {
    let (seen, links) = on_host(&outcome.seen);
    let home = std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok());
    let reached = outcome.network.as_ref().map(|summary| summary.reached.as_slice()).unwrap_or_default();
    let denials = denials::of(outcome, plan);
    let home = home.as_deref();
    let is_there = &|path: &Path| path.exists();
    Lesson { plan, policy, seen: &seen, links: &links, reached, denials: &denials, config, home, is_there, grant }
        .toml()
}

/// What of it is there, and the links on the way to it: a link that is not there leads nowhere.
fn on_host(seen: &[Seen]) -> (Vec<Seen>, Vec<PathBuf>) {
    let mut links = BTreeSet::new();
    let mut kept = Vec::new();
    // Each shell looks whether this is still there, and has no other use for it.
    let came_from = std::env::var_os("OLDPWD");
    for one in seen {
        if one.act == Act::Look && Some(&one.what) == came_from.as_ref() {
            continue;
        }
        let path = Path::new(&one.what);
        let is_path = !matches!(one.act, Act::Internet | Act::Call | Act::More);
        if is_path && leads_to_each_process(path) {
            continue;
        }
        if is_path {
            add_links(path, &mut links);
        }
        if !is_path || one.act.writes() || path.symlink_metadata().is_ok() {
            kept.push(one.clone());
        }
    }
    (kept, links.into_iter().collect())
}

/// Whether a path, such as `/etc/mtab`, is a link to what each process has of its own.
fn leads_to_each_process(path: &Path) -> bool {
    path.read_link()
        .is_ok_and(|target| target.is_absolute() && target.starts_with("/proc") || target.starts_with("../proc"))
}

/// As many as the kernel follows in one path.
const MOST_LINKS: usize = 40;

fn add_links(path: &Path, links: &mut BTreeSet<PathBuf>) {
    let mut rest: Vec<_> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut at = PathBuf::new();
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => drop(at.pop()),
            _ => at.push(&part),
        }
        let Ok(target) = at.read_link() else { continue };
        // What each process has of its own is no place.
        if at.starts_with("/proc") || followed == MOST_LINKS {
            return;
        }
        followed += 1;
        if !leads_to_each_process(&at) {
            links.insert(at.clone());
        }
        at.pop();
        rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
    }
}
