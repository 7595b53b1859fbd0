//! Room 7, *the door*: the only room that prints or exits.
#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "this is the room for it")]

mod codex;
mod convert;
mod doctor;
mod flags;
mod gpus;
mod inspect;
mod oci;
mod report;
mod run;
mod session;

use clap::{Parser, Subcommand};

/// Run a command that is not trusted: the machine read-only, the workspace writable, the network off, host secrets and
/// sockets out of reach, and the GPU working.
#[derive(Debug, Parser)]
#[command(name = NAME, version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const RUN: &str = "Run a command in the sandbox";
const EXEC: &str = "Run a command in a session, a sandbox that stands";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = RUN)]
    Run(flags::Flags),
    /// Keep a sandbox: start it once, run one command after another in it, end it.
    Session(session::SessionArgs),
    #[command(about = EXEC)]
    Exec(session::ExecArgs),
    /// Print what would be applied, every line with the reason and who asked for it.
    Plan(inspect::PlanArgs),
    /// Tell whether a path may be read or written inside, and which rule says so.
    Why(inspect::WhyArgs),
    /// Write the plan as a bundle of the Open Container Initiative, for runc, crun and what uses them.
    Oci(Box<oci::OciArgs>),
    /// Print a policy in our own format: ringfence convert --config policy.yaml --to toml.
    Convert(convert::ConvertArgs),
    /// List the GPUs: usable or not, and why not; or try what the options of run would give.
    Gpus(Box<gpus::GpusArgs>),
    /// Check what this machine offers: ok, degraded or missing, with the command that cures it.
    Doctor(doctor::DoctorArgs),
    /// Be the helper that Codex starts: its flags, its JSON policies, its exit codes.
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
    let mut arguments = std::env::args_os().skip(1).peekable();
    match arguments.peek().and_then(|word| word.to_str()) {
        Some("run") => Command::Run(RunAlone::parse_from(arguments).flags),
        Some("exec") => Command::Exec(ExecAlone::parse_from(arguments).args),
        _ => Cli::parse().command,
    }
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
        Command::Session(args) => session::session(args),
        Command::Exec(args) => session::exec(args),
        Command::Plan(args) => inspect::plan(args),
        Command::Why(args) => inspect::why(args),
        Command::Oci(args) => oci::oci(*args),
        Command::Convert(args) => convert::convert(args),
        Command::Gpus(args) => gpus::gpus(*args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Codex(args) => codex::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_command_alone_is_the_one_among_the_others() {
        let mut all = Cli::command();
        all.build();
        for (name, mut alone) in [("run", RunAlone::command()), ("exec", ExecAlone::command())] {
            let mut among = all.find_subcommand(name).expect("the command").clone();
            assert_eq!(alone.render_help().to_string(), among.render_help().to_string());
        }
    }
}
