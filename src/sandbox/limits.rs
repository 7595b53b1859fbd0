//! What commands may use of the machine.

use std::path::Path;
use std::time::Duration;

use super::Sandbox;

impl Sandbox {
    /// Lets all processes of a command together have so much memory, in bytes; beyond it, one is killed.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Self {
        self.flag("--memory", bytes.to_string())
    }

    /// Lets a command have so many processes and threads at once.
    #[must_use]
    pub fn pids(self, count: u64) -> Self {
        self.flag("--pids", count.to_string())
    }

    /// Lets a command use so many processors' time, in thousandths: 1500 is one and a half.
    #[must_use]
    pub fn millicpus(self, thousandths: u64) -> Self {
        self.flag("--cpus", format!("{}.{:03}", thousandths / 1000, thousandths % 1000))
    }

    /// Lets each process have so many open files.
    #[must_use]
    pub fn open_files(self, count: u64) -> Self {
        self.flag("--open-files", count.to_string())
    }

    /// Lets no file become larger than so many bytes.
    #[must_use]
    pub fn file_size(self, bytes: u64) -> Self {
        self.flag("--file-size", bytes.to_string())
    }

    /// Lets the private `/tmp`, `/dev/shm` and the like hold so many bytes.
    #[must_use]
    pub fn tmp_size(self, bytes: u64) -> Self {
        self.flag("--tmp-size", bytes.to_string())
    }

    /// Ends a command, as [`Sandbox::timeout`] does, when for so long nothing has used a processor or written to the
    /// terminal.
    #[must_use]
    pub fn idle_timeout(self, time: Duration) -> Self {
        self.flag("--idle-timeout", format!("{}s", time.as_secs_f64()))
    }

    /// Makes the control group of [`Sandbox::memory`], [`Sandbox::pids`] and [`Sandbox::millicpus`] in this one, instead
    /// of beside the caller's.
    #[must_use]
    pub fn cgroup(self, group: impl AsRef<Path>) -> Self {
        self.flag("--cgroup", group.as_ref())
    }
}
