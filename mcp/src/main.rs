//! `ringfence-mcp`: a server of the Model Context Protocol on standard input and output. Its operator says on its command line
//! what commands may do; the agent that calls may ask for less, never for more.
//!
//! How that holds:
//!
//! - The operator's words go to `ringfence` as they are. Of the agent's there are only `--deny`, `--gpu=off` and a shorter
//!   `--timeout`; everything else that it says stands behind `--`, where it is the command.
//! - Its working directory is entered inside, so it is never taken as the workspace, whatever it leads to by then.
//! - A command may have moved things that the operator's words name. So before each run a new plan is compared with the one of
//!   the start ([`plan::Plan::widens`]), while no other command runs, and policy files must be what they were.
#![deny(unsafe_code)]
#![allow(unreachable_pub, reason = "a program: nothing is exported")]

mod ceiling;
mod output;
mod plan;
mod run;
mod tools;

use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use rmcp::ServiceExt;
use rmcp::transport::stdio;
use tokio::io::{AsyncRead, ReadBuf, Stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use ceiling::{Ceiling, Words};
use tools::Server;

const USAGE: &str = "\
usage: ringfence-mcp [--ringfence PROGRAM] [--max-output BYTES] [OPTIONS OF ringfence run]

A server of the Model Context Protocol on standard input and output, with the tools run, plan and why. The options are the most
that a command may do; who calls a tool may only narrow them. Without --timeout, a command may take ten minutes.

  --ringfence PROGRAM   the program; beside this one, $RINGFENCE_HELPER or on PATH otherwise
  --max-output BYTES    how much of each output of a command is told (65536)";

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the program's door")]
fn main() -> ExitCode {
    let words = match Words::parse(std::env::args_os().skip(1)) {
        Ok(words) => words,
        Err(ceiling::Stop::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(ceiling::Stop::Version) => {
            println!("ringfence-mcp {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(ceiling::Stop::Mistake(mistake)) => {
            eprintln!("error: {mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match served(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(125)
        }
    }
}

fn served(words: Words) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(words));
    // A read of standard input may be under way, which nothing ends but input.
    runtime.shutdown_background();
    result
}

async fn serve(words: Words) -> Result<(), Box<dyn std::error::Error>> {
    let ceiling = Ceiling::new(words).await?;
    let (hung_up, is_over) = watch::channel(false);
    let (stdin, stdout) = stdio();
    let streams = (Watched { stdin, hung_up: hung_up.clone() }, stdout);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let whole = async {
        let service = Server::new(ceiling, is_over).serve(streams).await?;
        service.waiting().await?;
        Ok(())
    };
    let ended = tokio::select! {
        ended = whole => ended,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    };
    // A command that still runs is ended, and waited for.
    hung_up.send_replace(true);
    hung_up.closed().await;
    ended
}

/// Standard input, and a word when it ends: then nobody waits for a command any more.
struct Watched {
    stdin: Stdin,
    hung_up: watch::Sender<bool>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stdin).poll_read(context, into);
        if read.is_ready() && into.filled().len() == before {
            self.hung_up.send_replace(true);
        }
        read
    }
}
