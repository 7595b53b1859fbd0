//! `ringfence run`.

pub mod denials;
mod guess;
mod limits;
mod network;
pub mod progress;

use std::ffi::OsStr;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::flags::{Flags, Output};
use super::gpus::preflight;
use super::inspect::canonical;
use super::outcome;
use super::report::{Problem, note, problems};
use crate::backend::StepError;
use crate::plan::{Plan, show, why};
use crate::policy::Policy;
use crate::policy::error::PolicyError;
use crate::request::Origin;
use crate::supervise::outcome::{Ending, Outcome};
use crate::supervise::session::Hosting;
use crate::{host, plan, supervise};

/// Policy, facts and plan: what `run` and `plan` share, every line of it.
///
/// # Errors
/// Every problem found.
pub fn prepare(flags: Flags) -> Result<(Policy, Plan), Vec<Problem>> {
    prepare_policy(flags.policy()?)
}

/// As [`prepare`], for a policy that did not come from our own flags.
///
/// # Errors
/// Every problem found.
pub fn prepare_policy(policy: Policy) -> Result<(Policy, Plan), Vec<Problem>> {
    let environment = std::env::vars_os().collect();
    progress::at("looking at this machine");
    let facts = host::probe(Path::new("/"), &policy, environment)
        .map_err(|error| vec![Problem::new(format!("look at this machine: {error}"), None)])?;
    // To take thousands of rules apart takes milliseconds, and the end of the process none.
    let facts = ManuallyDrop::new(facts);
    progress::at("planning");
    let plan =
        plan::build(&policy, &facts).map_err(|errors| errors.into_iter().map(Problem::from).collect::<Vec<_>>())?;
    Ok((policy, plan))
}

/// Runs the command; the result is the exit code.
pub fn run(mut flags: Flags) -> i32 {
    if !flags.has_command() {
        return problems(&[PolicyError::NoCommand.into()]).min(2);
    }
    let output = match flags.take_output() {
        Ok(output) => output,
        Err(found) => return problems(&found),
    };
    started(flags, &output, |_| Ok(None)).unwrap_or_else(|found| failed(&found, &output))
}

/// Tells why there was no sandbox; the result is the exit code.
pub fn failed(found: &[Problem], output: &Output) -> i32 {
    let code = problems(found);
    if let Some(file) = &output.outcome {
        outcome::write(&outcome::of_failure(code, found), file);
    }
    code
}

/// Prepares, tells and checks what there is before a start, and starts it; the result is the exit code. `host` makes it
/// a session instead of a command, once all else is well.
///
/// # Errors
/// Every problem found.
pub fn started(
    flags: Flags,
    output: &Output,
    host: impl FnOnce(&Plan) -> Result<Option<Hosting>, Vec<Problem>>,
) -> Result<i32, Vec<Problem>> {
    progress::begin();
    let (policy, plan) = prepare(flags)?;
    let policy = ManuallyDrop::new(policy);
    let log = ready(&policy, &plan, output)?;
    let hosting = host(&plan)?;
    progress::clear();
    command(&policy, plan, &Telling { log: log.as_ref(), output: Some(output), hosting: hosting.as_ref() })
}

/// Tells and checks what there is before a start; what comes back is where connections are recorded.
///
/// # Errors
/// Every problem found.
pub fn ready(policy: &Policy, plan: &Plan, output: &Output) -> Result<Option<File>, Vec<Problem>> {
    for warning in &plan.choice.warnings {
        note(warning);
    }
    progress::at("looking at the GPUs");
    preflight::before_start(policy, plan)?;
    // What was to be recorded and is not must not happen either.
    output.log.as_deref().map(|log| record(log, plan)).transpose().map_err(|error| {
        vec![Problem::new(error, Some("name a file outside the workspace that you can write".to_owned()))]
    })
}

/// What is told of a run besides its exit code.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telling<'a> {
    /// Where each connection is recorded.
    pub log: Option<&'a File>,
    /// What is told, and where.
    pub output: Option<&'a Output>,
    /// The session that this is, instead of a command.
    pub hosting: Option<&'a Hosting>,
}

/// How often a start is tried: test suites make and remove a thousand sockets a second.
const ATTEMPTS: u32 = 5;

/// Runs the command of a plan and tells how it ended; the result is the exit code.
///
/// # Errors
/// Where there could be no sandbox.
pub fn command(policy: &Policy, plan: Plan, telling: &Telling<'_>) -> Result<i32, Vec<Problem>> {
    let (outcome, plan) = outcome(policy, plan, telling)?;
    let plan = ManuallyDrop::new(plan);
    tell(&outcome, &plan, telling.output);
    Ok(outcome.code())
}

/// Runs the command of a plan. Where the machine has changed since the plan was made, another one is made, a few times:
/// sockets and other programs' files come and go. The one that it ran by comes back.
///
/// # Errors
/// Where there could be no sandbox.
pub fn outcome(policy: &Policy, mut plan: Plan, telling: &Telling<'_>) -> Result<(Outcome, Plan), Vec<Problem>> {
    let mut outcome = supervise::run(&plan, telling.log, telling.hosting);
    for _ in 1..ATTEMPTS {
        if !outcome.as_ref().is_err_and(StepError::is_stale) {
            break;
        }
        plan = prepare_policy(policy.clone())?.1;
        progress::clear();
        outcome = supervise::run(&plan, telling.log, telling.hosting);
    }
    let outcome = outcome.map_err(|error| vec![error.into()])?;
    Ok((outcome, plan))
}

/// Records what the baseline did, before the command starts.
fn record(log: &Path, plan: &Plan) -> Result<File, String> {
    let lines: String =
        plan.decisions.iter().map(|decision| format!("{}\n", show::effective::record(plan, decision))).collect();
    if why::changes_host(plan, &canonical(log)) {
        return Err(format!("the command could change the log `{}`", log.display()));
    }
    // A link in its place may have been made by an earlier command: what it leads to is nobody's log. Nor is a pipe that
    // nobody reads.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().append(true).create(true).custom_flags(flags).open(log);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, lines.as_bytes()).map(|()| file))
        .map_err(|error| format!("write the log `{}`: {error}", log.display()))
}

/// Says what the exit code alone does not: to people, and as JSON.
pub fn tell(ended: &Outcome, plan: &Plan, output: Option<&Output>) {
    let (quiet, verbose) = output.map_or((false, false), |output| (output.quiet, output.verbose));
    let denials = denials::of(ended, plan);
    if let Some(file) = output.and_then(|output| output.outcome.as_ref()) {
        outcome::write(&outcome::of(ended, denials::is_watched(plan), &denials), file);
    }
    if let Ending::NotExecuted(error) = &ended.ending {
        not_executed(error, plan);
    }
    if quiet {
        return;
    }
    let expired = limits::tell(ended, plan);
    if !expired && !matches!(ended.ending, Ending::Exit(0) | Ending::NotExecuted(_)) {
        hidden_things_named(plan);
    }
    denials::tell(&denials, ended);
    network::tell(ended, verbose);
    if !expired && matches!(ended.ending, Ending::Exit(code) if code != 0) {
        denials::tell_missing(plan);
    }
}

/// Why the program could not be started.
fn not_executed(error: &StepError, plan: &Plan) {
    let program =
        plan.process.command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    let on_host = on_host(plan, error.path.as_deref());
    let (what, hint) = match error.errno {
        libc::ENOENT if on_host.is_some() => {
            let path = on_host.unwrap_or_default();
            let path = path.display();
            (
                format!("`{program}` is not there inside the sandbox"),
                Some(format!("ringfence why {path} tells who hides it")),
            )
        }
        libc::ENOENT => (format!("`{program}` was not found"), Some("check the spelling and PATH".to_owned())),
        _ => (error.to_string(), None),
    };
    problems(&[Problem::new(what, hint)]);
}

/// After a failure: says which hidden credential stores and variables the command line names, and what lets them in.
fn hidden_things_named(plan: &Plan) {
    let named = |text: &[u8]| {
        plan.process.command.iter().any(|word| word.as_bytes().windows(text.len()).any(|part| part == text))
    };
    let ops = plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
    let secrets = ops.filter(|op| matches!(op.because, Origin::Secret(_)) && named(op.target.as_os_str().as_bytes()));
    // What the caller cannot read either is not in the sandbox's hands.
    let readable = |path: &Path| accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok();
    // Where calls are noted, they tell of it.
    for op in secrets.filter(|op| !denials::is_watched(plan) && readable(&op.target)) {
        note(&format!("{0} is hidden ({1}): --read {0} lets the command read it", op.target.display(), op.because));
    }
    for (name, because) in plan.process.env.dropped.iter().filter(|(name, _)| named(name.as_bytes())) {
        let name = name.display();
        note(&format!("variable {name} was dropped ({because}): --env {name} lets it through"));
    }
}

/// Where the program is outside, if it is there.
fn on_host(plan: &Plan, tried: Option<&Path>) -> Option<PathBuf> {
    let program = tried?;
    if program.is_absolute() {
        return program.exists().then(|| program.to_owned());
    }
    let path = plan.process.env.vars.get(OsStr::new("PATH"))?;
    std::env::split_paths(path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}
