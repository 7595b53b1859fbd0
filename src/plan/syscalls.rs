//! Which system calls are refused, as one table of rows. Everything that no row names is allowed.
//!
//! A deny list and not an allow list: GPU drivers, language runtimes and test suites use nearly every call there is,
//! and namespaces, mounts and Landlock carry the sandbox. The table takes away what would dig below those, what reaches
//! kernel code that a command does not need, and what leaves set-ID files behind for later.
//!
//! Left alone on purpose, with the programs that need it:
//! - `ioctl`: every GPU program, thousands of times a second; so it must not even have an argument tested.
//! - `mmap`, `mprotect`, `memfd_create`: just-in-time compilers, ROCm's loader (writable and executable), libcuda.
//! - `mbind`, `set_mempolicy`, `sched_setaffinity`: libnuma in libcuda, NCCL, ROCm.
//! - `sendmsg`, `connect`, `getsockopt`, `shutdown` and their kin: Python asyncio, Node, tmux, all local servers.
//! - `pidfd_open`, `pidfd_send_signal`, `seccomp`, `landlock_*`: process supervisors and sandboxes inside this one.
//! - `adjtimex`, `clock_adjtime`: `ntp_gettime` reads with them. What they set lies in memory where no filter sees it,
//!   and the kernel asks for `CAP_SYS_TIME`.
//! - `mkdir`: the kernel drops set-ID bits there by itself.
//! - raw IP sockets: the kernel asks for `CAP_NET_RAW`.

mod table;

#[cfg(test)]
mod tests;

use std::fmt;

pub use crate::request::Watch;

/// What the caller gets instead of the call, or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The call fails with `EPERM`: it exists, and it is refused.
    Eperm,
    /// The call fails with `ENOSYS`, as on a kernel without it, so that the program takes its older way.
    Enosys,
    /// The call fails with `EAFNOSUPPORT`, as on a kernel built without that address family.
    Eafnosupport,
    /// The call waits while init looks at it. Init does what the call asks in its place, or lets it go on.
    AskInit,
}

impl Action {
    /// The error number that the call fails with, if it does; never zero, far below 4096.
    #[must_use]
    pub const fn errno(self) -> Option<u16> {
        match self {
            Self::Eperm => Some(1),
            Self::Enosys => Some(38),
            Self::Eafnosupport => Some(97),
            Self::AskInit => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eperm => "deny EPERM",
            Self::Enosys => "deny ENOSYS",
            Self::Eafnosupport => "deny EAFNOSUPPORT",
            Self::AskInit => "ask init about",
        })
    }
}

/// Which wish of the caller takes a row out of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lift {
    /// None: the row always stands.
    Never,
    /// `--allow ptrace`, or debuggers of GPU programs.
    Ptrace,
    /// As [`Lift::Ptrace`], and programs that read each other's memory, as MPI does.
    Memory,
    /// Performance counters.
    Perf,
    /// Asynchronous input and output.
    IoUring,
    /// A network namespace, or the host's network on purpose: the row stands only where nothing else keeps the network
    /// away.
    OwnNetwork,
    /// As [`Lift::OwnNetwork`], and TCP ports that can be connected to.
    Connects,
    /// Everything but TCP ports without a network namespace: the row stands only there, and sees to it that nothing but
    /// TCP connects, in a way that Landlock sees.
    OnlyTcp,
    /// As [`Lift::OwnNetwork`], and a GPU: CUDA listens on a socket of its own when it starts.
    Listens,
    /// Everybody who has not said `--no-unix`.
    UnixSockets,
    /// A PID namespace: the row stands only where the user's other processes can be named.
    OwnProcesses,
    /// An IPC namespace: the row stands only where shared memory and queues are the host's.
    OwnIpc,
    /// A `/proc` in which threads can be named, or none: the row stands only where init has to name them.
    OwnNames,
    /// Everybody who has not said `--explain`.
    Unwatched,
    /// Everybody but `ringfence learn`.
    Unlearned,
}

impl Lift {
    /// Who can ask for it, where somebody can.
    fn by_whom(self) -> Option<&'static str> {
        match self {
            Self::Ptrace => Some("--allow ptrace or gpu class debug"),
            Self::Memory => Some("--allow ptrace or gpu class debug or ipc"),
            Self::Perf => Some("gpu class profiling"),
            Self::IoUring => Some("gpu class gds"),
            Self::Never
            | Self::OwnNetwork
            | Self::Connects
            | Self::OnlyTcp
            | Self::Listens
            | Self::UnixSockets
            | Self::OwnProcesses
            | Self::OwnIpc
            | Self::OwnNames
            | Self::Unwatched
            | Self::Unlearned => None,
        }
    }
}

/// What decides which rows stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Modes {
    /// The sandbox's processes may stop and steer each other, and see each other's memory.
    pub ptrace: bool,
    /// The sandbox's processes may see each other's memory and descriptors.
    pub memory: bool,
    /// Performance counters can be opened.
    pub perf: bool,
    /// `io_uring` can be used.
    pub io_uring: bool,
    /// What the command can reach of the network is decided by its namespace, not by system calls.
    pub own_network: bool,
    /// The command may connect to TCP ports where no namespace decides about them.
    pub connects: bool,
    /// The command may make unix sockets, and not only pairs.
    pub unix_sockets: bool,
    /// The command may listen on sockets where no namespace decides about them.
    pub listens: bool,
    /// What the command can name of processes is decided by its namespace.
    pub own_processes: bool,
    /// Whose shared memory and queues the command can name is decided by its namespace.
    pub own_ipc: bool,
    /// Nothing in `/proc` can be written, and init writes names of threads there for the command.
    pub names_threads: bool,
    /// What init notes of the command's calls.
    pub watch: Option<Watch>,
}

impl Modes {
    /// Nothing is lifted but what namespaces make needless.
    pub const STRICT: Self = Self {
        ptrace: false,
        memory: false,
        perf: false,
        io_uring: false,
        own_network: true,
        connects: false,
        unix_sockets: true,
        listens: false,
        own_processes: true,
        own_ipc: true,
        names_threads: false,
        watch: None,
    };
    /// As [`Modes::STRICT`], with debuggers.
    pub const DEBUGGING: Self = Self { ptrace: true, ..Self::STRICT };

    fn lifts(self, row: &Row) -> bool {
        match row.lift {
            Lift::Never => false,
            Lift::Ptrace => self.ptrace,
            Lift::Memory => self.ptrace || self.memory,
            Lift::Perf => self.perf,
            Lift::IoUring => self.io_uring,
            Lift::OwnNetwork => self.own_network,
            Lift::Connects => self.own_network || self.connects,
            Lift::OnlyTcp => self.own_network || !self.connects,
            Lift::Listens => self.own_network || self.listens,
            Lift::UnixSockets => self.unix_sockets,
            Lift::OwnProcesses => self.own_processes,
            Lift::OwnIpc => self.own_ipc,
            Lift::OwnNames => !self.names_threads,
            Lift::Unwatched => self.watch.is_none(),
            Lift::Unlearned => self.watch != Some(Watch::Everything),
        }
    }
}

/// How a [`Test`] compares its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// At least one bit of the mask is set.
    AnySet,
    /// The bits under the mask equal this value.
    Is(u32),
    /// The bits under the mask differ from this value.
    IsNot(u32),
}

/// A question about one argument of a call.
///
/// Only the low 32 bits are looked at. All arguments that the table asks about are `int`, `mode_t` or flags of which
/// the kernel itself takes the low word, so a filter that compared all 64 bits could be passed with garbage above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// Which argument, counted from 0; at most 5.
    pub arg: u8,
    /// The bits that count.
    pub mask: u32,
    /// What they are compared with.
    pub compare: Compare,
}

impl Test {
    /// Whether the test is true of these arguments.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let Some(arg) = args.get(usize::from(self.arg)) else { return false };
        let word = arg & u64::from(self.mask);
        match self.compare {
            Compare::AnySet => word != 0,
            Compare::Is(value) => word == u64::from(value),
            Compare::IsNot(value) => word != u64::from(value),
        }
    }
}

/// One row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Name of the call, as in the manual.
    pub call: &'static str,
    /// Its number on this architecture, or the first one of a range.
    pub first: u32,
    /// The last number of the range; equal to `first` but for numbers that belong to another ABI.
    pub last: u32,
    /// All of these must hold for the row to apply; none means always.
    pub tests: &'static [Test],
    /// The tests in words; empty without tests.
    pub when: &'static str,
    /// What happens instead of the call, or before it.
    pub action: Action,
    /// What takes the row out.
    pub lift: Lift,
    /// What the row stops, or is for.
    pub why: &'static str,
}

impl Row {
    /// Whether the row is about this call.
    #[must_use]
    pub fn applies(&self, number: u32, args: &[u64; 6]) -> bool {
        (self.first..=self.last).contains(&number) && self.tests.iter().all(|test| test.holds(args))
    }

    /// Whether two rows can be told in one line.
    fn tells_the_same(&self, other: &Self) -> bool {
        (self.action, self.when, self.why, self.lift) == (other.action, other.when, other.why, other.lift)
    }

    fn write_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if self.first == self.last { Ok(()) } else { write!(f, " ({:#x}..={:#x})", self.first, self.last) }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_group(f, &[self])
    }
}

/// The rows that hold for one sandbox.
///
/// Its `Display` is stable text, one line for each group of rows with the same reason, without a final newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyscallPlan {
    /// The rows in the order of the table. Of several rows for one call the first that applies counts.
    pub rows: Vec<&'static Row>,
    /// The rows that the caller had taken out.
    pub lifted: Vec<&'static Row>,
    /// What decided.
    pub modes: Modes,
}

/// Plans the system call filter.
#[must_use]
pub fn plan(modes: Modes) -> SyscallPlan {
    let rows = table::ROWS.iter().filter(|row| !modes.lifts(row)).collect();
    let lifted = table::ROWS.iter().filter(|row| modes.lifts(row) && row.lift.by_whom().is_some()).collect();
    SyscallPlan { rows, lifted, modes }
}

impl SyscallPlan {
    /// Whether init says no to a call of this row in the kernel's place: to note it. `ENOSYS` is no refusal, and what says it
    /// is called all the time.
    #[must_use]
    pub fn is_noted(&self, row: &Row) -> bool {
        let refuses = matches!(row.action, Action::Eperm | Action::Eafnosupport);
        self.modes.watch.is_some() && refuses && row.first == row.last
    }

    /// The row that decides about this call of the native architecture, or `None` if it is allowed.
    #[must_use]
    pub fn decision(&self, number: u32, args: &[u64; 6]) -> Option<&'static Row> {
        self.rows.iter().copied().find(|row| row.applies(number, args))
    }
}

impl fmt::Display for SyscallPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let native = std::env::consts::ARCH;
        write!(f, "kill on any call that is not {native}, because its number would mean another call")?;
        for group in self.rows.chunk_by(|a, b| a.tells_the_same(b)) {
            f.write_str("\n")?;
            write_group(f, group)?;
        }
        for group in self.lifted.chunk_by(|a, b| a.lift == b.lift) {
            f.write_str("\nallow ")?;
            write_names(f, group)?;
            let by_whom = group.first().and_then(|row| row.lift.by_whom()).unwrap_or_default();
            write!(f, " because {by_whom}")?;
        }
        Ok(())
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &[&Row]) -> fmt::Result {
    let Some(row) = group.first() else { return Ok(()) };
    write!(f, "{} ", row.action)?;
    write_names(f, group)?;
    if !row.when.is_empty() {
        write!(f, " when {}", row.when)?;
    }
    write!(f, " because {}", row.why)
}

fn write_names(f: &mut fmt::Formatter<'_>, group: &[&Row]) -> fmt::Result {
    for (index, row) in group.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        row.write_name(f)?;
    }
    Ok(())
}
