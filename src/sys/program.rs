//! Programs in memory files: made, and run with bounds.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions};

use super::process::{Forked, exit_now, fork_into};
use super::signal::{SignalSet, send, set_default};

/// A program that has ended by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, if it has one.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub errors: Vec<u8>,
}

/// Why there is no end to tell of.
#[derive(Debug)]
pub enum NotEnded {
    /// It did not start: the error of execveat(2), or of what has to be done before.
    NotStarted(io::Error),
    /// It took too long, and was killed.
    TooLong,
    /// It wrote too much, and was killed.
    TooMuch,
}

/// How long a program may run, and how many bytes it may write to each stream.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Then it is killed.
    pub time: Duration,
    /// Then too.
    pub bytes: usize,
}

/// How long a killed process may take to end: one that waits for a driver may not end at all.
const KILLED: Duration = Duration::from_secs(1);

/// Puts a program into a memory file that nobody can change.
///
/// # Errors
/// As memfd_create(2); `EACCES` where the kernel lets nothing in memory be executed (sysctl vm.memfd_noexec=2).
pub fn image(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 every memory file can be executed, and there is no flag for it.
    let made = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        made => made,
    };
    let mut file = File::from(made?);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// Becomes the program that a descriptor leads to (execveat(2)); returns only when that failed. The descriptor may close
/// on exec, and no `/proc` is needed. `environment` and `argv` must end with a null pointer.
fn become_descriptor(program: RawFd, argv: &[*const c_char], environment: &[*const c_char]) -> Errno {
    debug_assert!(argv.last().is_some_and(|last| last.is_null()), "execveat reads up to a null pointer");
    // SAFETY: the path is a NUL-terminated literal; the two arrays end with a null pointer and point to NUL-terminated
    // strings that the caller keeps alive; the kernel copies all of them before it drops this memory.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program,
            c"".as_ptr(),
            argv.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Replaces this process by the program of a descriptor, as [`execute`](super::process::execute) does by that of a path.
///
/// # Errors
/// As execveat(2).
pub fn execute_descriptor(
    program: BorrowedFd<'_>,
    argv: &[CString],
    environment: &[CString],
) -> io::Result<std::convert::Infallible> {
    let (argv, environment) = (pointers(argv), pointers(environment));
    Err(become_descriptor(program.as_raw_fd(), &argv, &environment).into())
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Runs the program of a descriptor in `/`, with no input, this environment and no other descriptor, and collects what it
/// says.
///
/// # Errors
/// See [`NotEnded`].
pub fn run(
    program: BorrowedFd<'_>,
    argv: &[CString],
    environment: &[CString],
    bounds: Bounds,
) -> Result<Ended, NotEnded> {
    let fail = |error: Errno| NotEnded::NotStarted(error.into());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    // Without a `/dev` an empty pipe does as well.
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    let null = null.or_else(|_| pipe_with(PipeFlags::CLOEXEC).map(|(read, _)| read)).map_err(fail)?;
    let [output, errors, failure] =
        [pipe_with(PipeFlags::CLOEXEC), pipe_with(PipeFlags::CLOEXEC), pipe_with(PipeFlags::CLOEXEC)];
    let (output, errors, failure) = (output.map_err(fail)?, errors.map_err(fail)?, failure.map_err(fail)?);
    // Nothing is allocated in the child: it may be a copy of one thread of several.
    let (argv, environment) = (pointers(argv), pointers(environment));
    let child = Child { null: null.as_fd(), output: &output.1, errors: &errors.1, failure: &failure.1, program };
    match fork_into(0).map_err(NotEnded::NotStarted)? {
        Forked::Child => child.become_program(&argv, &environment),
        Forked::Parent(pid, pidfd) => {
            drop((output.1, errors.1, failure.1, null));
            started(&failure.0, pid)?;
            Listener { pid, pidfd, streams: [Some(output.0), Some(errors.0)], said: [Vec::new(), Vec::new()] }
                .listen(bounds)
        }
    }
}

/// What the new process has, until it is the program.
struct Child<'a> {
    null: BorrowedFd<'a>,
    output: &'a OwnedFd,
    errors: &'a OwnedFd,
    failure: &'a OwnedFd,
    program: BorrowedFd<'a>,
}

/// Numbers in the new process: what is above closes, and these two close by themselves.
const PROGRAM: RawFd = 3;
const FAILURE: RawFd = 4;

impl Child<'_> {
    fn become_program(&self, argv: &[*const c_char], environment: &[*const c_char]) -> ! {
        // Where not even this works, the parent learns of an end without a word.
        if self.place_all().is_ok() {
            let error = match prepare() {
                Ok(()) => become_descriptor(PROGRAM, argv, environment),
                Err(error) => error,
            };
            let number = error.raw_os_error();
            // SAFETY: the pointer and the length are those of a live local, which the kernel only reads.
            unsafe { libc::write(FAILURE, (&raw const number).cast(), size_of::<i32>()) };
        }
        exit_now(127)
    }

    /// Gives each descriptor the number that it is to have.
    fn place_all(&self) -> Result<(), Errno> {
        let wanted = [self.null, self.output.as_fd(), self.errors.as_fd(), self.program, self.failure.as_fd()];
        // First out of the way of each other. The copies close with everything else that is above.
        let mut away = [0; 5];
        for (slot, fd) in away.iter_mut().zip(wanted) {
            *slot = std::os::fd::IntoRawFd::into_raw_fd(rustix::io::fcntl_dupfd_cloexec(fd, FAILURE + 1)?);
        }
        let flags = [0, 0, 0, libc::O_CLOEXEC, libc::O_CLOEXEC];
        away.into_iter().zip(flags).zip(0..).try_for_each(|((from, flags), to)| place(from, to, flags))
    }
}

fn prepare() -> Result<(), Errno> {
    let above = FAILURE.cast_unsigned() + 1;
    super::fd::close_range(above, u32::MAX).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    rustix::process::setpgid(None, None)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::chdir("/")?;
    set_default(libc::SIGPIPE);
    let _ours = SignalSet::of(&[]).block_only();
    Ok(())
}

fn place(from: RawFd, to: RawFd, flags: i32) -> Result<(), Errno> {
    // SAFETY: dup3 takes three integers. What stood at the number belongs to a copy of this process that is about to
    // become another program, and is not used any more.
    let result = unsafe { libc::dup3(from, to, flags) };
    if result < 0 { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)) } else { Ok(()) }
}

/// Waits until the new process is the program, or says why it is not.
fn started(failure: &OwnedFd, pid: Pid) -> Result<(), NotEnded> {
    let mut number = [0; size_of::<i32>()];
    let read = loop {
        match rustix::io::read(failure, &mut number) {
            Err(Errno::INTR) => {}
            read => break read,
        }
    };
    if read != Ok(number.len()) {
        return Ok(());
    }
    super::ignore(rustix::process::waitpid(Some(pid), WaitOptions::empty()));
    Err(NotEnded::NotStarted(io::Error::from_raw_os_error(i32::from_ne_bytes(number))))
}

/// Who hears what the program says.
struct Listener {
    pid: Pid,
    pidfd: OwnedFd,
    streams: [Option<OwnedFd>; 2],
    said: [Vec<u8>; 2],
}

impl Listener {
    fn listen(mut self, bounds: Bounds) -> Result<Ended, NotEnded> {
        let deadline = Instant::now() + bounds.time;
        loop {
            let Some(ready) = self.wait(deadline) else {
                self.kill();
                return Err(NotEnded::TooLong);
            };
            let [output, errors, ended] = ready;
            // What a process leaves behind in the pipes is read before its end is looked at; what its children may say
            // later is not waited for.
            for number in [output.then_some(0), errors.then_some(1)].into_iter().flatten() {
                self.read(number);
            }
            if self.said.iter().any(|said| said.len() > bounds.bytes) {
                self.kill();
                return Err(NotEnded::TooMuch);
            }
            if ended && !output && !errors {
                return Ok(self.end());
            }
        }
    }

    /// Which of standard output, standard error and the process have something to tell; `None` when the time is over.
    fn wait(&self, deadline: Instant) -> Option<[bool; 3]> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let fds = [self.streams[0].as_ref(), self.streams[1].as_ref(), Some(&self.pidfd)];
            let mut watched: Vec<_> = fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
            match poll(&mut watched, Some(&wait)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(_) => continue,
            }
            let mut ready = watched.iter().map(|one| !one.revents().is_empty());
            return Some(fds.map(|fd| fd.is_some() && ready.next() == Some(true)));
        }
    }

    fn read(&mut self, number: usize) {
        let (Some(stream), Some(said)) = (self.streams.get_mut(number), self.said.get_mut(number)) else { return };
        let mut chunk = [0; 4096];
        match stream.as_ref().map(|fd| rustix::io::read(fd, &mut chunk)) {
            Some(Ok(length @ 1..)) => said.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Some(Err(Errno::INTR)) => {}
            _ => *stream = None,
        }
    }

    fn kill(&self) {
        super::ignore(send(self.pid.as_raw_nonzero().get(), true, libc::SIGKILL));
        let wait = Timespec { tv_sec: KILLED.as_secs().cast_signed(), tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0) {
            super::ignore(rustix::process::waitpid(Some(self.pid), WaitOptions::empty()));
        }
    }

    fn end(self) -> Ended {
        let status = rustix::process::waitpid(Some(self.pid), WaitOptions::empty()).ok().flatten();
        // What it has started goes with it.
        super::ignore(send(self.pid.as_raw_nonzero().get(), true, libc::SIGKILL));
        let [output, errors] = self.said;
        let code = status.and_then(|(_, status)| status.exit_status());
        Ended { code, signal: status.and_then(|(_, status)| status.terminating_signal()), output, errors }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A program of this machine, started by its descriptor.
    fn sh(script: &str) -> Result<Ended, NotEnded> {
        let shell = std::fs::File::open("/bin/sh").unwrap();
        let argv = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()];
        let bounds = Bounds { time: Duration::from_millis(1500), bytes: 10_000 };
        run(shell.as_fd(), &argv, &[c"A=b".to_owned()], bounds)
    }

    #[test]
    fn a_program_gets_nothing_but_what_it_is_given() {
        let ended = sh("echo $A; pwd; ls /proc/self/fd | wc -l; cat; echo word >&2; exit 3").unwrap();
        // The fourth is that of `ls` itself.
        assert_eq!(String::from_utf8_lossy(&ended.output), "b\n/\n4\n");
        assert_eq!((ended.code, ended.signal, ended.errors.as_slice()), (Some(3), None, &b"word\n"[..]));
        let ended = sh("kill -SEGV $$").unwrap();
        assert_eq!((ended.code, ended.signal), (None, Some(libc::SIGSEGV)));
    }

    #[test]
    fn bounds_hold_and_nobody_is_waited_for_who_only_holds_a_pipe() {
        assert!(matches!(sh("sleep 60"), Err(NotEnded::TooLong)));
        assert!(matches!(sh("yes"), Err(NotEnded::TooMuch)));
        let started = Instant::now();
        let ended = sh("sleep 60 & echo x").unwrap();
        assert_eq!(ended.output, b"x\n");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[test]
    fn what_is_no_program_says_so_and_an_image_is_one_that_nobody_changes() {
        let text = image("text", b"no program").unwrap();
        let bounds = Bounds { time: Duration::from_secs(5), bytes: 100 };
        let refused = run(text.as_fd(), &[c"x".to_owned()], &[], bounds);
        assert!(matches!(refused, Err(NotEnded::NotStarted(error)) if error.raw_os_error() == Some(libc::ENOEXEC)));
        assert_eq!(rustix::io::write(&text, b"x"), Err(Errno::PERM));
        let copy = image("true", &std::fs::read("/bin/true").unwrap()).unwrap();
        assert_eq!(run(copy.as_fd(), &[c"true".to_owned()], &[], bounds).unwrap().code, Some(0));
    }
}
