//! The program that makes the sandbox: named, the calling program itself, or found on PATH.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Sandbox;

/// The name under which a program is `ringfence`.
pub(super) const NAME: &str = "ringfence";

/// Whether the calling program can be started as its own helper.
static DISPATCHES: AtomicBool = AtomicBool::new(false);

/// Lets the calling program be its own helper, so that no `ringfence` needs to be installed.
///
/// Call it first thing in `main`, before any thread is started. When the program was started under the name
/// `ringfence`, as [`Command`](super::Command) does, or `codex-linux-sandbox`, this runs the command line of that name and
/// does not return.
///
/// ```no_run
/// fn main() -> std::io::Result<()> {
///     ringfence::dispatch();
///     let status = ringfence::Sandbox::read_only("/").command("true").status()?;
///     assert!(status.success());
///     Ok(())
/// }
/// ```
pub fn dispatch() {
    DISPATCHES.store(true, Ordering::Relaxed);
    if crate::cli::is_called() {
        crate::cli::main()
    }
}

/// The helper for commands of `sandbox`.
///
/// # Errors
/// `NotFound`, naming the ways to provide one.
pub(super) fn find(sandbox: &Sandbox) -> io::Result<PathBuf> {
    if let Some(helper) = &sandbox.helper {
        return Ok(helper.clone());
    }
    if let Some(helper) = std::env::var_os("RINGFENCE_HELPER").filter(|helper| !helper.is_empty()) {
        return Ok(helper.into());
    }
    if DISPATCHES.load(Ordering::Relaxed) {
        // Not the path of the program: another version may lie there by now.
        return Ok("/proc/self/exe".into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    on_path(&path, &sandbox.writable).ok_or_else(|| {
        let text = "the program `ringfence` was not found on PATH: install it with `cargo install ringfence`, name it \
                    with RINGFENCE_HELPER or Sandbox::helper, or call ringfence::dispatch() first thing in main";
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

/// The first `ringfence` in absolute directories of `path` that does not lie in a writable one: what a command of an
/// earlier run left there must not make the sandbox of the next.
fn on_path(path: &OsStr, writable: &[PathBuf]) -> Option<PathBuf> {
    let writable: Vec<_> = writable.iter().filter_map(|dir| std::fs::canonicalize(dir).ok()).collect();
    std::env::split_paths(path).filter(|directory| directory.is_absolute()).find_map(|directory| {
        let program = std::fs::canonicalize(directory.join(NAME)).ok()?;
        let directory = std::fs::canonicalize(directory).ok()?;
        let metadata = std::fs::metadata(&program).ok()?;
        let executable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        let safe = !writable.iter().any(|dir| program.starts_with(dir) || directory.starts_with(dir));
        (executable && safe).then_some(program)
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_helper_that_commands_can_write_to_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let dir = std::fs::canonicalize(dir.path()).unwrap();
        for (place, mode) in [("work/bin", 0o755), ("data", 0o644), ("bin", 0o755)] {
            std::fs::create_dir_all(dir.join(place)).unwrap();
            let program = dir.join(place).join(NAME);
            std::fs::write(&program, "").unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(dir.join("links")).unwrap();
        std::os::unix::fs::symlink(dir.join("work/bin/ringfence"), dir.join("links/ringfence")).unwrap();
        let path = |places: &[&str]| std::env::join_paths(places.iter().map(|place| dir.join(place))).unwrap();
        let all = path(&["work/bin", "links", "data", "bin"]);
        assert_eq!(on_path(&all, &[dir.join("work")]), Some(dir.join("bin/ringfence")));
        assert_eq!(on_path(&all, &[]), Some(dir.join("work/bin/ringfence")));
        assert_eq!(on_path(&path(&["work/bin", "data", "missing"]), &[dir.join("work")]), None);
        assert_eq!(on_path(OsStr::new("work/bin:."), &[]), None);
    }
}
