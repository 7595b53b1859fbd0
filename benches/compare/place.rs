//! Where it is measured: a directory with a workspace in it, a session that stands, and small programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything is removed with it.
pub struct Place {
    kept: tempfile::TempDir,
    pub ringfence: PathBuf,
}

/// The session of this place.
pub const SESSION: &str = "bench";

/// The release binary, made now if need be: the one that cargo makes for a benchmark unwinds, and is not what is shipped.
fn release_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("RINGFENCE") {
        return std::fs::canonicalize(named).unwrap();
    }
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--quiet"]).status().unwrap();
    assert!(built.success(), "cargo build --release failed");
    std::env::current_exe().unwrap().parent().unwrap().with_file_name("ringfence")
}

impl Place {
    pub fn make() -> Self {
        // Not below /tmp, which is private inside.
        let base = std::env::var_os("BENCH_DIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let kept = tempfile::Builder::new().prefix("ringfence-bench-").tempdir_in(base).unwrap();
        let place = Self { kept, ringfence: release_binary() };
        for directory in ["work", "bin", "run"] {
            std::fs::create_dir(place.path(directory)).unwrap();
        }
        std::fs::set_permissions(place.path("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let source = place.path("bin/inside.c");
        std::fs::write(&source, include_str!("inside.c")).unwrap();
        let cc = Command::new("cc").args(["-O2", "-static", "-o"]).args([place.inside(), source]).status();
        assert!(cc.is_ok_and(|cc| cc.success()), "a C compiler and a static libc are needed");
        place.session("start");
        place
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.kept.path().join(name)
    }

    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// The program that measures calls and commands from inside.
    pub fn inside(&self) -> PathBuf {
        self.path("bin/inside")
    }

    /// A command in the workspace, with nothing on its standard streams.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, argv: &[S]) -> Command {
        let (program, arguments) = argv.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.work()).env("XDG_RUNTIME_DIR", self.path("run"));
        // cargo's own, where each program that is linked dynamically would look for its libraries first.
        command.env_remove("LD_LIBRARY_PATH");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A session of a program that uses the library.
    pub fn library_session(&self) -> ringfence::Session {
        let helper = self.path("bin/helper");
        let (run, ringfence) = (self.path("run"), &self.ringfence);
        let script = format!("#!/bin/sh\nXDG_RUNTIME_DIR={} exec {} \"$@\"\n", run.display(), ringfence.display());
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        ringfence::Sandbox::workspace_write(self.work()).helper(helper).start().unwrap()
    }

    fn session(&self, what: &str) {
        let status = Command::new(&self.ringfence)
            .args(["session", what, SESSION])
            .current_dir(self.work())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .status();
        assert!(status.unwrap().success(), "session {what}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.session("stop");
    }
}
