//! A child that shares this process's memory until it is another program, as of posix_spawn(3): nothing is copied at its
//! start, and no page afterwards.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

use rustix::process::Pid;

use super::process::exit_now;

/// Room for what a child calls until it is another program, in bytes; debug builds need the most.
const STACK: usize = 1024 * 1024;
/// What lies below the stack, so that one which is too small ends the process.
const GUARD: usize = 64 * 1024;

/// Starts a child that runs `child`, which gives its exit code, in this process's memory, on a stack of its own, with copies
/// of everything else (descriptors, directories, ids, signal handlers, limits). The caller waits until the child has become
/// another program or ended, and what the child has changed in memory stays: so it gets no more than a shared borrow, and
/// must drop nothing that is not its own.
///
/// The stack stays mapped, some pages: to take it away would keep the child waiting for the processor. So this is for who
/// starts one child, not many.
///
/// The caller must have no other thread, and block all signals: there is no handler that could run in both.
///
/// # Errors
/// As clone(2) and mmap(2).
pub fn start(child: &dyn Fn() -> i32) -> io::Result<Pid> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = (&raw const child).cast_mut().cast();
    let top = top_of_stack()?;
    // SAFETY: below `top`, which is aligned, is writable memory that nobody else uses or unmaps. `argument` points to a local
    // that lives until the call returns, which is when the child no longer uses this memory (CLONE_VFORK); `run` reads it as
    // what it is. Two processes never run in this memory at the same time, as the caller has no other thread.
    let pid = unsafe { libc::clone(run, top, flags, argument) };
    match Pid::from_raw(pid.max(0)) {
        Some(pid) => Ok(pid),
        None => Err(io::Error::last_os_error()),
    }
}

extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: it is what `start` passes: a live borrow.
    let child = unsafe { *argument.cast::<&dyn Fn() -> i32>() };
    exit_now(child())
}

/// Of a new mapping with a guard at its low end, towards which stacks grow on the processors that we know.
fn top_of_stack() -> io::Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
    // SAFETY: with a null address the kernel chooses a range that nobody uses.
    let base = unsafe { libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let usable = base.wrapping_byte_add(GUARD);
    // SAFETY: the upper part of the range that was just mapped; nothing points to it.
    let result = unsafe { libc::mprotect(usable, STACK, libc::PROT_READ | libc::PROT_WRITE) };
    if result == 0 { Ok(usable.wrapping_byte_add(STACK)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};
    use std::cell::Cell;

    #[test]
    fn the_child_runs_in_the_same_memory_and_ends_before_the_caller_goes_on() {
        let seen = Cell::new(0);
        let own = rustix::process::getpid();
        let child = || {
            seen.set(if rustix::process::getpid() == own { 1 } else { 2 });
            7
        };
        let pid = start(&child).unwrap();
        assert_eq!(seen.get(), 2, "it has run, as another process");
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(7));
    }
}
