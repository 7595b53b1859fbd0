//! Flags about what a command may use of the machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Caller, heading, said};
use crate::request::limits::{Count, Cpus, Limits, Size};
use crate::request::load::{absolute, duration};

/// The options about limits.
#[derive(Debug, Default, Args)]
pub(super) struct LimitFlags {
    /// Let all processes together have so much memory (512M, 2G).
    ///
    /// Beyond it, one of them is killed.
    #[arg(long, value_name = "SIZE", help_heading = heading::LIMITS)]
    memory: Option<Size>,
    /// Let there be so many processes and threads at once.
    #[arg(long, value_name = "N", help_heading = heading::LIMITS, hide_short_help = true)]
    pids: Option<Count>,
    /// Let them use so many processors' time (2, 0.5).
    #[arg(long, value_name = "N", help_heading = heading::LIMITS, hide_short_help = true)]
    cpus: Option<Cpus>,
    /// Let each process have so many open files.
    #[arg(long, value_name = "N", help_heading = heading::LIMITS, hide_short_help = true)]
    open_files: Option<Count>,
    /// Let no file become larger.
    #[arg(long, value_name = "SIZE", help_heading = heading::LIMITS, hide_short_help = true)]
    file_size: Option<Size>,
    /// Let the private /tmp, /dev/shm and the like hold so much.
    #[arg(long, value_name = "SIZE", help_heading = heading::LIMITS, hide_short_help = true)]
    tmp_size: Option<Size>,
    /// Send TERM after this time (90s, 5m, 2h), and KILL two seconds later.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = heading::LIMITS)]
    timeout: Option<Duration>,
    /// End the command, as --timeout does, when for so long nothing has used a processor or written to the terminal.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = heading::LIMITS, hide_short_help = true)]
    idle_timeout: Option<Duration>,
    /// Make the control group of --memory, --pids and --cpus in this one, instead of beside the caller's.
    #[arg(long, value_name = "DIR", help_heading = heading::LIMITS, hide_short_help = true)]
    cgroup: Option<PathBuf>,
}

impl LimitFlags {
    /// Sets a time after which the command is ended, unless one is set.
    pub(super) fn end_after(&mut self, time: Duration) {
        self.timeout.get_or_insert(time);
    }

    pub(super) fn limits(self, caller: &Caller) -> Limits {
        let Self { memory, pids, cpus, open_files, file_size, tmp_size, timeout, idle_timeout, cgroup } = self;
        let cgroup = cgroup.map(|path| absolute(&path, &caller.cwd, caller.home.as_deref()));
        Limits {
            memory: said(memory, "--memory"),
            pids: said(pids, "--pids"),
            cpus: said(cpus, "--cpus"),
            open_files: said(open_files, "--open-files"),
            file_size: said(file_size, "--file-size"),
            tmp_size: said(tmp_size, "--tmp-size"),
            timeout: said(timeout, "--timeout"),
            idle_timeout: said(idle_timeout, "--idle-timeout"),
            cgroup: said(cgroup, "--cgroup"),
        }
    }
}
