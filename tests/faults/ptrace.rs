//! The few calls of ptrace(2) that a tracer needs, one function each, and getsid(2). A call on a process that has just died fails, and its
//! death is told by the next wait: so such errors are dropped.
#![allow(unsafe_code, reason = "neither std nor rustix knows ptrace, nor a session whose leader is elsewhere")]

use rustix::process::Signal;

/// As a wait status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// On the way into or out of a system call.
    Call,
    /// A process was made, or a program started: the event's number.
    Event(i32),
    /// Stopped by a signal of job control.
    Group,
    /// A signal is about to be delivered.
    Signal(i32),
    /// Gone, with the code that a shell would tell.
    Gone(i32),
}

/// How a tracee goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// To the next system call.
    ToCall,
    /// To the next event.
    ToEvent,
    /// Stays stopped.
    Listen,
}

/// A system call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub number: i64,
    pub arguments: [u64; 6],
}

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;

/// Whether this tracer knows the machine's registers.
pub const KNOWN_HERE: bool = cfg!(target_arch = "x86_64");

fn request(what: libc::c_uint, pid: i32, address: usize, data: usize) -> i64 {
    // SAFETY: the callers below pass requests that take numbers, or pointers to live locals of the size the kernel writes.
    unsafe { libc::ptrace(what, pid, address, data) }
}

/// Begins to trace a process and all that it will make.
pub fn seize(pid: i32) -> bool {
    request(libc::PTRACE_SEIZE, pid, 0, usize::try_from(OPTIONS).unwrap()) == 0
}

pub fn resume(pid: i32, go: Go, signal: i32) {
    let what = match go {
        Go::ToCall => libc::PTRACE_SYSCALL,
        Go::ToEvent => libc::PTRACE_CONT,
        Go::Listen => libc::PTRACE_LISTEN,
    };
    request(what, pid, 0, usize::try_from(signal).unwrap());
}

/// What came with an event: the number of a new process.
pub fn message(pid: i32) -> i32 {
    let mut value: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, pid, 0, (&raw mut value) as usize);
    i32::try_from(value).unwrap_or(0)
}

/// The call that a tracee stands before; none on the way out of one.
pub fn entry(pid: i32) -> Option<Entry> {
    // SAFETY: plain data, for which zero means "nothing".
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let told = request(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of_val(&info), (&raw mut info) as usize);
    if told <= 0 || info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: `op` says which part is filled in.
    let entry = unsafe { info.u.entry };
    Some(Entry { number: i64::try_from(entry.nr).ok()?, arguments: entry.args })
}

/// Before a call: makes it none at all.
#[cfg(target_arch = "x86_64")]
pub fn skip_call(pid: i32) {
    change_registers(pid, |registers| registers.orig_rax = u64::MAX);
}

/// After a call: makes it one that has failed.
#[cfg(target_arch = "x86_64")]
pub fn fail_call(pid: i32, errno: i32) {
    change_registers(pid, |registers| registers.rax = i64::from(-errno).cast_unsigned());
}

#[cfg(target_arch = "x86_64")]
fn change_registers(pid: i32, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: plain data.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    if request(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers) as usize) == 0 {
        change(&mut registers);
        request(libc::PTRACE_SETREGS, pid, 0, (&raw mut registers) as usize);
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn skip_call(_: i32) {}

#[cfg(not(target_arch = "x86_64"))]
pub fn fail_call(_: i32, _: i32) {}

/// The session of a process, 0 where its leader is in another PID namespace (so is a test runner's in a container, where
/// rustix panics); `None` where there is no such process.
pub fn session_of(pid: i32) -> Option<i32> {
    // SAFETY: a number goes in, and a number comes out.
    let session = unsafe { libc::getsid(pid) };
    (session >= 0).then_some(session)
}

/// Waits for a child or tracee of this thread; `None` when there is none left.
pub fn wait() -> Option<(i32, Stop)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a live local that the kernel writes.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD | libc::WUNTRACED) };
        if pid > 0 {
            return Some((pid, meaning(status)));
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

fn meaning(status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Gone(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Gone(128 + libc::WTERMSIG(status));
    }
    let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
    let of_job_control = [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
    match event {
        libc::PTRACE_EVENT_STOP if of_job_control.contains(&signal) => Stop::Group,
        0 if signal == libc::SIGTRAP | 0x80 => Stop::Call,
        0 => Stop::Signal(signal),
        _ => Stop::Event(event),
    }
}
