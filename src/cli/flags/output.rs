//! What is told of a run, and where.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use clap::Args;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::heading;
use crate::cli::report::Problem;
use crate::request::{Origin, Said, Watch};

/// The options about what is told.
#[derive(Debug, Default, Args)]
pub struct OutputFlags {
    /// Tell at the end all that was refused, by which rule, and what would allow it.
    ///
    /// It is noted call by call, in each process of the command. Calls that name a file or an address take some 10 µs more.
    #[arg(long, help_heading = heading::OUTPUT)]
    explain: bool,
    /// Tell at the end what was reached of the network, and what was not.
    #[arg(long, short, conflicts_with = "quiet", help_heading = heading::OUTPUT, hide_short_help = true)]
    verbose: bool,
    #[command(flatten)]
    end: EndFlags,
    /// Append one JSON line to a file, which the command must not be able to write, for each thing that the baseline
    /// added, promoted or left as it is, and for each connection that was made or refused.
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT, hide_short_help = true)]
    log: Option<PathBuf>,
}

/// What is told at the end of any command.
#[derive(Debug, Default, Args)]
pub struct EndFlags {
    /// Say nothing about what was refused, or which limit was hit.
    #[arg(long, short, help_heading = heading::OUTPUT)]
    quiet: bool,
    /// Write how it ended to this descriptor, as one line of JSON (docs/outcome.schema.json).
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(3..), help_heading = heading::OUTPUT, hide_short_help = true)]
    json_outcome: Option<i32>,
}

impl EndFlags {
    /// Takes over the descriptor of the outcome: the command does not get it.
    ///
    /// # Errors
    /// When it is not open.
    pub fn take(&self) -> Result<Output, Vec<Problem>> {
        let outcome = self.json_outcome.map(taken).transpose()?;
        Ok(Output { quiet: self.quiet, outcome, ..Output::default() })
    }
}

/// What is told of a run.
#[derive(Debug, Default)]
pub struct Output {
    /// Whether the network is summed up where all went well.
    pub verbose: bool,
    /// Whether nothing is told but errors of our own.
    pub quiet: bool,
    /// Where the outcome is written as JSON.
    pub outcome: Option<File>,
    /// Where decisions are recorded.
    pub log: Option<PathBuf>,
}

impl OutputFlags {
    /// Whether the outcome goes to a descriptor.
    pub(super) fn tells(&self, number: i32) -> bool {
        self.end.json_outcome == Some(number)
    }

    /// What is to be noted while the command runs.
    pub(super) fn watch(&self) -> Option<Said<Watch>> {
        self.explain.then(|| Said::new(Watch::Refusals, Origin::Flag("--explain")))
    }

    /// As [`EndFlags::take`], with the rest.
    ///
    /// # Errors
    /// See there.
    pub fn take(&mut self) -> Result<Output, Vec<Problem>> {
        Ok(Output { verbose: self.verbose, log: self.log.take(), ..self.end.take()? })
    }
}

fn taken(number: i32) -> Result<File, Vec<Problem>> {
    let wrong = |error: rustix::io::Errno| {
        let hint = "open it before, for example: ringfence run --json-outcome 3 -- CMD 3> outcome.json";
        vec![Problem::new(format!("--json-outcome: descriptor {number}: {error}"), Some(hint.to_owned()))]
    };
    let fd = crate::sys::fd::borrow_if_open(number).ok_or(rustix::io::Errno::BADF).map_err(wrong)?;
    let copy: OwnedFd = fcntl_dupfd_cloexec(fd, 3).map_err(wrong)?;
    if number > 2 {
        fcntl_setfd(fd, FdFlags::CLOEXEC).map_err(wrong)?;
    }
    Ok(File::from(copy))
}
