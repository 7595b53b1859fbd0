//! The runs: where they take place, and what each comes to.

use std::os::unix::fs::chown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// An ordinary user without an account.
const ORDINARY: u32 = 54321;

/// So many workspaces are used in turn: some are shared by runs at the same time.
const WORKSPACES: usize = 5;

/// No run takes longer.
const LIMIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

const ENGINES: &[&str] = &["native", "native", "bwrap", "landlock"];

/// One sort of run: options, command, what is done to the supervisor after so many milliseconds, and which codes are right.
type Sort = (&'static [&'static str], &'static [&'static str], Option<(u64, Signal)>, &'static [i32]);

/// Every seventh run is one of these in turn.
const SORTS: &[Sort] = &[
    (&["--timeout", "50ms"], &["sleep", "9"], None, &[124]),
    (&[], &["sleep", "9"], Some((0, Signal::KILL)), &[137]),
    (&[], &["sleep", "9"], Some((2, Signal::KILL)), &[137]),
    (&[], &["sleep", "9"], Some((6, Signal::KILL)), &[137]),
    (&[], &["sleep", "9"], Some((25, Signal::KILL)), &[137]),
    (&["--net", "allow", "--allow-host", "127.0.0.1:1"], &["true"], None, &[0]),
    (&["--net", "allow", "--allow-host", "127.0.0.1:1"], &["sleep", "9"], Some((20, Signal::KILL)), &[137]),
    (&[], &["sh", "-c", "exit 37"], None, &[37]),
    (&[], &["sleep", "9"], Some((10, Signal::TERM)), &[143]),
    (&["-s", "read-only"], &["true"], None, &[0]),
    (&[], &["sh", "-c", "(setsid sleep 9 &) ; exit 5"], None, &[5]),
    (&[], &["sh", "-c", "dd if=/dev/zero of=$TMPDIR/big bs=64k count=16 2>/dev/null; kill -SEGV $$"], None, &[139]),
];

/// Directories of the driver's own, for all that runs may leave.
pub struct Ground {
    pub dir: PathBuf,
    binary: PathBuf,
    users: usize,
}

/// The release binary, made now if need be; or `SOAK_BINARY`, one that is there already.
fn release_binary() -> PathBuf {
    if let Some(given) = std::env::var_os("SOAK_BINARY") {
        return given.into();
    }
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet"]).status().unwrap();
    assert!(built.success(), "cargo build --release failed");
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("release/ringfence")
}

impl Ground {
    pub fn make() -> Self {
        // Not below /tmp: that is private inside.
        let dir = PathBuf::from(format!("/var/tmp/ringfence-soak-{}", std::process::id()));
        let users = if rustix::process::geteuid().is_root() { 2 } else { 1 };
        for user in 0..users {
            for name in ["home", "cache", "tmp", "run"].map(str::to_owned).into_iter().chain((0..WORKSPACES).map(work))
            {
                let path = dir.join(user.to_string()).join(name);
                std::fs::create_dir_all(&path).unwrap();
                if user > 0 {
                    chown(&path, Some(ORDINARY), Some(ORDINARY)).unwrap();
                }
            }
        }
        let binary = dir.join("ringfence");
        std::fs::copy(release_binary(), &binary).unwrap();
        Self { dir, binary, users }
    }

    /// What went wrong with the run of this number.
    pub fn run(&self, number: usize) -> Result<(), String> {
        let sort: Sort = if number % 7 == 3 { SORTS[number / 7 % SORTS.len()] } else { (&[], &["true"], None, &[0]) };
        let (options, words, then, codes) = sort;
        let engine = ENGINES[number % ENGINES.len()];
        let mut command = self.command(number / ENGINES.len() % self.users, number % WORKSPACES);
        command.args(["run", "--backend", engine]).args(options).arg("--").args(words);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let pid = Pid::from_child(&child);
        if let Some((after, signal)) = then {
            std::thread::sleep(Duration::from_millis(after));
            let _gone = kill_process(pid, signal);
        }
        let code = code(&mut child, pid)?;
        if codes.contains(&code) {
            return Ok(());
        }
        let mut said = String::new();
        drop(std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said));
        Err(format!("{engine} {options:?} {words:?} {then:?}: code {code}, not {codes:?}: {said}"))
    }

    fn command(&self, user: usize, workspace: usize) -> Command {
        let own = self.dir.join(user.to_string());
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command.env("HOME", own.join("home")).env("XDG_CACHE_HOME", own.join("cache"));
        command.env("TMPDIR", own.join("tmp")).env("XDG_RUNTIME_DIR", own.join("run"));
        command.current_dir(own.join(work(workspace)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if user > 0 {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// Everything that is there, but for what is remembered of a bubblewrap.
    pub fn listing(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut queue = vec![self.dir.clone()];
        while let Some(directory) = queue.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    queue.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Nothing is mounted there: that has been counted.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn work(number: usize) -> String {
    format!("work{number}")
}

/// As a shell would tell it.
fn code(child: &mut Child, pid: Pid) -> Result<i32, String> {
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&LIMIT)) == Ok(0) {
        drop(child.kill());
        drop(child.wait());
        return Err(format!("did not end in {} s", LIMIT.tv_sec));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
