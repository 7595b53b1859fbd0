//! `ringfence session` and `ringfence exec`: one sandbox for many commands.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions};

use super::flags::{EndFlags, Flags};
use super::report::{Problem, plain, print, problems};
use super::run::{failed, started, tell};
use crate::backend::helper;
use crate::backend::session::Standing;
use crate::backend::session::place::{Place, SessionError};
use crate::plan::limits::LimitPlan;
use crate::plan::{Plan, ProcessPlan};
use crate::policy::error::PolicyError;
use crate::request::load::{absolute, duration, variable};
use crate::request::{Origin, Said};
use crate::supervise;
use crate::supervise::session::Hosting;

/// Options of `session`.
#[derive(Debug, Args)]
pub struct SessionArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a sandbox that stands until it is stopped. It takes the options of run, which hold for all commands in it.
    Start(Box<StartArgs>),
    /// List the sessions of this user.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a session and all that runs in it.
    Stop {
        /// Which one.
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// All of this user's.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    /// What it is called: letters, digits, dashes, underscores and dots
    name: String,
    /// Stay here, print a line with its directory once commands can be run, and end with standard input, a pipe: for
    /// programs.
    #[arg(long)]
    tied: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Options of `exec`.
#[derive(Debug, Default, Args)]
pub struct ExecArgs {
    /// The session.
    name: String,
    /// Send TERM to the command after this time (90s, 5m, 2h), and end it two seconds later.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Start in this directory; in the current one otherwise.
    #[arg(long, value_name = "DIR")]
    cd: Option<PathBuf>,
    /// Set a variable, or let one through that looks like a secret.
    #[arg(long, value_name = "K[=V]")]
    env: Vec<OsString>,
    /// Leave a descriptor above 2 open in the command: whatever it is can be used.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pass_fd: Vec<i32>,
    #[command(flatten)]
    end: EndFlags,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl ExecArgs {
    /// Of a command line without options.
    pub fn of_command(name: &str, command: &[OsString]) -> Self {
        Self { name: name.to_owned(), command: command.to_vec(), ..Self::default() }
    }
}

/// The result is the exit code.
pub fn session(args: SessionArgs) -> i32 {
    let done = match args.what {
        What::Start(args) => start(*args),
        What::List { json } => list(json).map(|()| 0),
        What::Stop { name, all } => stop(name, all).map(|()| 0),
    };
    done.unwrap_or_else(|found| problems(&found))
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let hint = error.hint();
        Self::new(error.to_string(), hint)
    }
}

fn one(error: SessionError) -> Vec<Problem> {
    vec![error.into()]
}

fn start(args: StartArgs) -> Result<i32, Vec<Problem>> {
    let StartArgs { name, tied, flags } = args;
    if flags.has_command() {
        let hint = Some(format!("ringfence exec {name} -- COMMAND runs one in it"));
        return Err(vec![Problem::new("a session is started without a command", hint)]);
    }
    if flags.explains() {
        let hint = Some("explain one command: ringfence run --explain -- COMMAND".to_owned());
        return Err(vec![Problem::new("--explain is for one command, and a session has many", hint)]);
    }
    let place = Place::of_user().map_err(one)?;
    if tied {
        let (ready, tie) = (copy(1)?, copy(0)?);
        return keep(&place, &name, flags, ready, Some(tie));
    }
    let (waits, ready) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| cannot("make a pipe", error.into()))?;
    let mut ready = Some(ready);
    let keeper = helper::fork("start the process that keeps the session", || {
        let kept = rustix::process::setsid().map_err(|error| cannot("start a session", error.into()));
        let ready = ready.take().ok_or_else(|| cannot("make a pipe", rustix::io::Errno::BADF.into()));
        let kept = kept.and_then(|_| keep(&place, &name, flags, ready?, None));
        kept.unwrap_or_else(|found| problems(&found))
    });
    let keeper = keeper.map_err(|error| vec![Problem::from(error)])?;
    drop(ready);
    let mut byte = [0];
    match std::fs::File::from(waits).read(&mut byte) {
        Ok(1) => Ok(0),
        // It has told why.
        _ => Ok(code_of(keeper)),
    }
}

fn cannot(step: &str, error: std::io::Error) -> Vec<Problem> {
    vec![Problem::new(format!("{step}: {error}"), None)]
}

/// The exit code of a keeper that has ended.
fn code_of(keeper: Pid) -> i32 {
    let ended = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(keeper), WaitOptions::empty()));
    ended.ok().flatten().and_then(|(_, status)| status.exit_status()).unwrap_or(super::report::OURS)
}

fn copy(number: i32) -> Result<OwnedFd, Vec<Problem>> {
    let stream = crate::sys::fd::borrow_if_open(number).ok_or(rustix::io::Errno::BADF);
    stream.and_then(|stream| rustix::io::fcntl_dupfd_cloexec(stream, 3)).map_err(|error| cannot("tie it", error.into()))
}

/// Keeps the session until it ends.
fn keep(
    place: &Place,
    name: &str,
    mut flags: Flags,
    ready: OwnedFd,
    tie: Option<OwnedFd>,
) -> Result<i32, Vec<Problem>> {
    let claim = place.claim(name).map_err(one)?;
    let output = flags.take_output()?;
    started(flags, &output, |plan| {
        if plan.confinement.is_none() {
            let hint = Some("run the commands themselves".to_owned());
            return Err(vec![Problem::new("a session without a sandbox keeps nothing", hint)]);
        }
        // Nothing of the caller's goes in with the first process.
        for number in [0, 1] {
            crate::sys::fd::replace_by_null(number).map_err(|error| cannot("release the streams", error))?;
        }
        Ok(Some(Hosting::new(claim, ready, tie)))
    })
}

fn list(json: bool) -> Result<(), Vec<Problem>> {
    let sessions = Place::of_user().and_then(|place| place.list()).map_err(one)?;
    if json {
        let value = sessions.iter().map(|session| {
            let terms = session.terms.as_ref();
            serde_json::json!({
                "name": session.name,
                "pid": session.process.as_raw_nonzero(),
                "engine": terms.map(|terms| &terms.engine),
                "directory": terms.map(|terms| terms.directory.to_string_lossy()),
            })
        });
        print(&format!("{:#}\n", value.collect::<serde_json::Value>()));
        return Ok(());
    }
    for session in sessions {
        let (name, process) = (&session.name, session.process.as_raw_nonzero());
        let rest = session.terms.map_or("starting".to_owned(), |terms| {
            format!("{:8}  {}", terms.engine, plain(&terms.directory.to_string_lossy()))
        });
        print(&format!("{name:16}  {process:>8}  {rest}\n"));
    }
    Ok(())
}

fn stop(name: Option<String>, all: bool) -> Result<(), Vec<Problem>> {
    let place = Place::of_user().map_err(one)?;
    let names = if all {
        place.list().map_err(one)?.into_iter().map(|session| session.name).collect()
    } else {
        Vec::from_iter(name)
    };
    let failed: Vec<_> = names.iter().filter_map(|name| place.stop(name).err()).map(Problem::from).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Runs a command in a session; the result is the exit code.
pub fn exec(args: ExecArgs) -> i32 {
    let output = match args.end.take() {
        Ok(output) => output,
        Err(found) => return problems(&found),
    };
    let plan_of = |args: ExecArgs| {
        let (line, terms) = Place::of_user().and_then(|place| place.connect(&args.name)).map_err(one)?;
        let plan = asked(args, &terms.env)?;
        Ok::<_, Vec<Problem>>((plan, Standing { line, terms }))
    };
    let (plan, standing) = match plan_of(args) {
        Ok(ready) => ready,
        Err(found) => return failed(&found, &output),
    };
    match supervise::join(&plan, standing) {
        Ok(outcome) => {
            tell(&outcome, &plan, Some(&output));
            outcome.code()
        }
        Err(error) => failed(&[error.into()], &output),
    }
}

/// The command as it is asked for.
fn asked(args: ExecArgs, rule: &crate::plan::env::EnvRule) -> Result<Plan, Vec<Problem>> {
    let ExecArgs { name: _, timeout, cd, env: said, pass_fd, end: _, command } = args;
    let caller: Vec<_> = std::env::vars_os().collect();
    let mut rule = rule.clone();
    for word in said {
        match variable(word) {
            (name, _) if name.is_empty() => {
                let by = Origin::Flag("--env");
                return Err(vec![PolicyError::EnvName { name: String::new(), by }.into()]);
            }
            (name, Some(value)) => drop(rule.set.insert(name, value)),
            (name, None) => {
                rule.drop.retain(|dropped| *dropped != name);
                rule.pass.push(name);
            }
        }
    }
    let cwd = match (cd, std::env::current_dir()) {
        (Some(cd), Ok(cwd)) => absolute(&cd, &cwd, std::env::var_os("HOME").map(PathBuf::from).as_deref()),
        (Some(cd), Err(_)) if cd.is_absolute() => cd,
        (None, Ok(cwd)) => cwd,
        (_, Err(error)) => {
            let hint = Some("it was deleted or cannot be reached: name another one with --cd DIR".to_owned());
            return Err(vec![Problem::new(format!("the working directory: {error}"), hint)]);
        }
    };
    let process = ProcessPlan { command, cwd, env: rule.apply(&caller), pass_fd, program: None };
    let timeout = timeout.map(|timeout| Said::new(timeout, Origin::Flag("--timeout")));
    Ok(Plan { limits: LimitPlan { timeout, ..LimitPlan::default() }, ..Plan::of_process(process) })
}
