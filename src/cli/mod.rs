//! Room 7, *the door*: the only room that prints or exits.
#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "this is the room for it")]

mod codex;
mod completions;
mod convert;
mod doctor;
mod flags;
mod gpus;
mod help;
mod init;
mod inspect;
mod learn;
mod mcp;
mod oci;
mod outcome;
mod profiles;
mod report;
mod run;
mod session;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Run a command that is not trusted: the machine read-only, the workspace
/// writable, the network off, secrets out of reach, and the GPU working.
#[derive(Debug, Parser)]
#[command(name = NAME, disable_version_flag = true, arg_required_else_help = true, max_term_width = 100)]
#[command(verbatim_doc_comment)]
struct Cli {
    /// Print the version.
    #[arg(long, short = 'V')]
    version: bool,
    /// With --version: also what it was built from, and what is here.
    #[arg(long, short, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const RUN: &str = "Run a command in the sandbox";
const EXEC: &str = "Run a command in a session, a sandbox that stands";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = RUN)]
    Run(flags::Flags),
    #[command(about = EXEC)]
    Exec(session::ExecArgs),
    #[command(flatten)]
    Other(Other),
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Keep a sandbox that stands for many commands.
    Session(session::SessionArgs),
    /// Print what would be applied, each line with its reason.
    Plan(inspect::PlanArgs),
    /// Tell whether a path may be used, and by which rule.
    Why(inspect::WhyArgs),
    /// Run a command, and print the policy that it needs.
    Learn(Box<learn::LearnArgs>),
    /// Write the plan as a bundle for runc, crun and others.
    Oci(Box<oci::OciArgs>),
    /// Print a policy in our own format.
    Convert(convert::ConvertArgs),
    /// Write a commented ringfence.toml to start from.
    Init(init::InitArgs),
    /// List what well-known tools need, or print one.
    Profiles(profiles::ProfilesArgs),
    /// Serve agents over the Model Context Protocol.
    Mcp(mcp::McpArgs),
    /// List the GPUs and why one cannot be used, or try them.
    Gpus(Box<gpus::GpusArgs>),
    /// Check what this machine offers, and what cures it.
    Doctor(doctor::DoctorArgs),
    /// Print what bash, zsh or fish need for completion.
    Completions(completions::CompletionsArgs),
    /// Be the helper that Codex starts, with its flags.
    #[command(name = codex::NAME)]
    Codex(codex::Args),
}

/// Runs the command line of this process and exits. For other programs that want to be `ringfence` when they are
/// called so; called `codex-linux-sandbox`, it is the helper that Codex starts.
///
/// Exit codes of `run`: the command's own; 128 + n when signal n killed it; 127 when its program was not found, 126 when
/// it cannot be executed; 124 when `--timeout` ended it; 125 when ringfence itself failed; 2 for a bad command line.
pub fn main() -> ! {
    // Where this fails there is no `/dev/null`, and no stream to tell it to.
    crate::sys::ignore(crate::sys::fd::fill_standard_streams());
    // A reader that goes away gives an error, not death, as Rust's runtime has it.
    crate::sys::signal::ignore(libc::SIGPIPE);
    if called_as(gpus::probe::NAME) {
        std::process::exit(gpus::probe::inside());
    }
    if let Some(arguments) = inner_stage() {
        let Err(what) = crate::backend::inner_stage(&arguments);
        std::process::exit(report::problems(&[report::Problem::new(what, None)]).min(2));
    }
    let code = if called_as(codex::NAME) { codex::run(codex::Args::parse()) } else { dispatch(command()) };
    std::process::exit(code)
}

/// `ringfence run`, without the other commands: to build all of them costs as much as a start takes elsewhere.
#[derive(Debug, Parser)]
#[command(name = "ringfence run", bin_name = "ringfence run", about = RUN, max_term_width = 100)]
struct RunAlone {
    #[command(flatten)]
    flags: flags::Flags,
}

/// As [`RunAlone`].
#[derive(Debug, Parser)]
#[command(name = "ringfence exec", bin_name = "ringfence exec", about = EXEC, max_term_width = 100)]
struct ExecAlone {
    #[command(flatten)]
    args: session::ExecArgs,
}

fn command() -> Command {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    without_options(&arguments).unwrap_or_else(|| with_options(arguments))
}

fn with_options(arguments: Vec<OsString>) -> Command {
    match arguments.first().and_then(|word| word.to_str()) {
        Some("run") => Command::Run(RunAlone::parse_from(arguments).flags),
        Some("exec") => Command::Exec(ExecAlone::parse_from(arguments).args),
        _ => match Cli::from_arg_matches(&command_line().get_matches()) {
            Ok(Cli { version: false, verbose: _, command: Some(command) }) => command,
            Ok(Cli { verbose, .. }) => std::process::exit(help::version(verbose)),
            Err(error) => error.exit(),
        },
    }
}

/// `run -- CMD` and `exec NAME -- CMD`: where there is no option, clap need not be told of any, which takes a tenth of a
/// millisecond.
fn without_options(arguments: &[OsString]) -> Option<Command> {
    match arguments {
        [run, dashes, command @ ..] if run == "run" && dashes == "--" && !command.is_empty() => {
            Some(Command::Run(flags::Flags::of_command(command)))
        }
        [exec, name, dashes, command @ ..] if exec == "exec" && dashes == "--" && !command.is_empty() => {
            let name = name.to_str().filter(|name| !name.starts_with('-'))?;
            Some(Command::Exec(session::ExecArgs::of_command(name, command)))
        }
        _ => None,
    }
}

/// The command line as a whole: for its pages and completions.
pub fn command_line() -> clap::Command {
    help::grouped(Cli::command())
}

/// The arguments of the inner stage, when this is it: by its name where bubblewrap can give it one, else by its first
/// argument.
fn inner_stage() -> Option<Vec<std::ffi::OsString>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let told = arguments.next_if(|word| word == crate::backend::INNER_STAGE).is_some();
    (told || called_as(crate::backend::INNER_STAGE)).then(|| arguments.collect())
}

/// The name of this program.
const NAME: &str = "ringfence";

/// Whether this program was started under a name that [`main`] answers to.
pub fn is_called() -> bool {
    [NAME, codex::NAME, crate::backend::INNER_STAGE, gpus::probe::NAME].into_iter().any(called_as)
}

/// Whether this program was started under a name.
fn called_as(name: &str) -> bool {
    std::env::args_os().next().is_some_and(|called| std::path::Path::new(&called).file_name() == Some(name.as_ref()))
}

fn dispatch(command: Command) -> i32 {
    match command {
        Command::Run(flags) => run::run(flags),
        Command::Exec(args) => session::exec(args),
        Command::Other(other) => dispatch_other(other),
    }
}

/// Apart: a start would touch the stack that all of them need together.
#[cold]
fn dispatch_other(command: Other) -> i32 {
    match command {
        Other::Session(args) => session::session(args),
        Other::Plan(args) => inspect::plan(args),
        Other::Why(args) => inspect::why(args),
        Other::Learn(args) => learn::learn(*args),
        Other::Oci(args) => oci::oci(*args),
        Other::Convert(args) => convert::convert(args),
        Other::Init(args) => init::init(&args),
        Other::Profiles(args) => profiles::profiles(args),
        Other::Mcp(args) => mcp::mcp(args),
        Other::Gpus(args) => gpus::gpus(*args),
        Other::Doctor(args) => doctor::doctor(&args),
        Other::Completions(args) => completions::completions(&args),
        Other::Codex(args) => codex::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_options_it_is_what_clap_makes_of_it() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in
            ["run -- true", "run -- a -b -- c", "run -- -x", "run -- --", "exec work -- true", "exec w -- -- --cd"]
        {
            let read = without_options(&words(line)).expect(line);
            assert_eq!(format!("{read:?}"), format!("{:?}", with_options(words(line))));
        }
        for line in [
            "run --",
            "run true",
            "run --gpu -- off",
            "exec work --",
            "exec --quiet -- true",
            "exec w x -- y",
            "plan -- a",
        ] {
            assert!(without_options(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn a_command_alone_is_the_one_among_the_others() {
        let mut all = Cli::command();
        all.build();
        for (name, mut alone) in [("run", RunAlone::command()), ("exec", ExecAlone::command())] {
            let mut among = all.find_subcommand(name).expect("the command").clone();
            assert_eq!(alone.render_help().to_string(), among.render_help().to_string());
            assert_eq!(alone.render_long_help().to_string(), among.render_long_help().to_string());
        }
    }
}
