//! The lab: a directory of its own for each test, the real binary with a clean environment, and a host that must be as
//! it was found when a command has ended.

mod found;
pub mod need;
mod private;
mod ran;
mod sandbox;
mod user;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use need::Need;
pub use private::in_private_mounts;
pub use ran::Ran;
pub use sandbox::{Running, Sandbox};
pub use user::User;

/// Later backends join here.
const BACKENDS: &[&str] = &["native", "bwrap"];

/// Where programs are looked for, inside and outside.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// The program under test: the binary, or a script that makes a session for each of its commands.
fn program(user: User, lab: &Path) -> PathBuf {
    let binary = user::reachable_binary(user, lab);
    if std::env::var_os("RINGFENCE_LAB_SESSIONS").is_none() {
        return binary;
    }
    // Of root, for everybody: no sandbox shows anything below /run.
    let sockets = Path::new("/run/ringfence-as-session");
    drop(fs::create_dir(sockets));
    fs::set_permissions(sockets, fs::Permissions::from_mode(0o1777)).unwrap();
    let script = include_str!("../hostile/as-session");
    let (shell, rest) = script.split_once('\n').unwrap();
    let path = lab.join("as-session");
    fs::write(&path, format!("{shell}\nRINGFENCE='{}'\n{rest}", binary.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// One test's directory, for one user and one backend: `work` is the workspace, `home` is HOME.
pub struct Lab {
    dir: PathBuf,
    binary: PathBuf,
    backend: &'static str,
    /// The last number that a process got before.
    before: i32,
    pub user: User,
}

impl Lab {
    /// A lab for every backend and every user: as root for root and for an ordinary user, else for the caller. None,
    /// loudly, when something is missing here.
    pub fn every_user(needs: &[Need]) -> Vec<Self> {
        Self::for_users(&User::all(), needs)
    }

    /// As [`Lab::every_user`], on the native engine only: for what bubblewrap refuses, as `backends.rs` shows.
    pub fn native(needs: &[Need]) -> Vec<Self> {
        Self::every_user(needs).into_iter().filter(Self::is_native).collect()
    }

    /// Whether ringfence makes the namespaces itself.
    pub fn is_native(&self) -> bool {
        self.backend == "native"
    }

    /// This lab's engine, and in the labs of the first Landlock alone, where this kernel's does without being told that
    /// less will do.
    pub fn engines(&self) -> Vec<&'static str> {
        let alone = self.is_native() && need::all_met(&[Need::Landlock(3)], self.user);
        [self.backend].into_iter().chain(alone.then_some("landlock")).collect()
    }

    /// Labs of root only: what root may do outside, and must not be able to do inside.
    pub fn as_root(needs: &[Need]) -> Vec<Self> {
        let needs: Vec<_> = needs.iter().copied().chain([Need::Root]).collect();
        Self::for_users(&[User::Caller], &needs)
    }

    /// Labs of a user for whom file permissions count.
    pub fn as_ordinary_user(needs: &[Need]) -> Vec<Self> {
        Self::for_users(&User::all()[User::all().len() - 1..], needs)
    }

    fn for_users(users: &[User], needs: &[Need]) -> Vec<Self> {
        let labs = users.iter().flat_map(|user| BACKENDS.iter().map(move |backend| (*user, *backend)));
        labs.filter(|(user, _)| need::all_met(needs, *user)).map(|(user, backend)| Self::new(user, backend)).collect()
    }

    /// A lab of one user and one engine.
    pub fn new(user: User, backend: &'static str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Not below /tmp: that is private inside.
        let base = PathBuf::from(format!("/var/tmp/ringfence-e2e-{}", std::process::id()));
        let dir = base.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        // Another lab may remove the empty base between the two steps of making it.
        until("the lab's directory can be made", || fs::create_dir_all(&dir).is_ok());
        user.give(&dir);
        let binary = program(user, &dir);
        let lab = Self { dir, binary, backend, before: last_number(), user };
        lab.dir("work");
        lab.dir("home");
        lab.dir(found::CACHE);
        lab
    }

    /// A path in the lab, as text.
    pub fn path(&self, name: impl AsRef<Path>) -> String {
        self.dir.join(name).into_os_string().into_string().unwrap()
    }

    /// Makes a directory, and those above it.
    pub fn dir(&self, name: impl AsRef<Path>) -> String {
        let name = name.as_ref();
        for above in name.ancestors().collect::<Vec<_>>().into_iter().rev().filter(|path| !path.as_os_str().is_empty())
        {
            let path = self.dir.join(above);
            if fs::create_dir(&path).is_ok() {
                self.user.give(&path);
            }
        }
        self.dir.join(name).to_string_lossy().into_owned()
    }

    /// Makes a file, and the directories above it.
    pub fn file(&self, name: impl AsRef<Path>, content: &str) -> String {
        let name = name.as_ref();
        self.dir(name.parent().unwrap());
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap();
        self.user.give(&path);
        path.to_string_lossy().into_owned()
    }

    /// Makes a program.
    pub fn script(&self, name: &str, content: &str) -> String {
        let path = self.file(name, content);
        self.chmod(name, 0o755);
        path
    }

    pub fn link(&self, name: &str, target: impl AsRef<Path>) -> String {
        self.dir(Path::new(name).parent().unwrap());
        std::os::unix::fs::symlink(target, self.dir.join(name)).unwrap();
        self.path(name)
    }

    pub fn chmod(&self, name: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(self.dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What the host sees in a file.
    pub fn content(&self, name: impl AsRef<Path>) -> String {
        let path = self.dir.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn exists(&self, name: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.dir.join(name)).is_ok()
    }

    /// A sandbox with these options, started in the workspace.
    pub fn sandbox<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Sandbox<'_> {
        Sandbox::new(self, options)
    }

    /// The helper of Codex, with the lab's engine and these options.
    pub fn codex<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Sandbox<'_> {
        if self.is_native() && !self.exists("no-bwrap") {
            // Found first, and of no use.
            self.script("no-bwrap/bwrap", "#!/bin/sh\nexit 1\n");
        }
        Sandbox::new(self, options).by_codex()
    }

    /// The same command without a sandbox: the control.
    pub fn outside(&self, script: &str) -> Ran {
        self.sandbox([""; 0]).without().sh(script)
    }

    /// Everything that is in the lab.
    pub fn listing(&self) -> std::collections::BTreeSet<PathBuf> {
        found::listing(&self.dir)
    }

    /// Processes that were started by this lab, sandboxed or not, and live.
    pub fn processes(&self) -> Vec<i32> {
        let home = format!("RINGFENCE_LAB={}\0", self.dir.display());
        // The search of texts is the standard library's, which is optimized in debug builds too.
        let has = |pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environ).contains(&home)
        };
        // Numbers are given in turn: those that others had before are spared a look, unless it has begun anew.
        let before = if last_number() < self.before { 0 } else { self.before };
        let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).filter(|pid| *pid > before).filter(has).collect()
    }

    /// A command of the lab's user with the lab's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").env("TERM", "xterm").env("TZ", "UTC");
        command.env("XDG_CACHE_HOME", self.dir.join(found::CACHE));
        command.env("HOME", self.dir.join("home")).env("RINGFENCE_LAB", &self.dir);
        command.current_dir(self.dir.join("work"));
        self.user.becomes(&mut command);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut left = Vec::new();
        let mut none_left = || {
            left = self.processes();
            left.is_empty()
        };
        let panicking = std::thread::panicking();
        let ended = if panicking { none_left() } else { eventually(none_left) } || panicking;
        for pid in &left {
            signal(*pid, rustix::process::Signal::KILL);
        }
        let removed = found::remove(&self.dir) || panicking;
        assert!(ended, "{}: processes {left:?} outlived their test", self.user);
        assert!(removed, "{}: {} cannot be removed", self.user, self.dir.display());
    }
}

/// The number of the process that was started last.
fn last_number() -> i32 {
    fs::read_to_string("/proc/loadavg").unwrap().split_whitespace().last().unwrap().parse().unwrap()
}

/// Sends a signal to a process that may be gone.
pub fn signal(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

/// Whether something comes true within five seconds.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Waits until something is true, five seconds at most.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(eventually(condition), "waited in vain until {what}");
}
