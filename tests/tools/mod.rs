//! Programs that a test cannot do without, and a directory for it. Skips shout, and `RINGFENCE_MUST` makes them failures.

use std::io::Write as _;
use std::path::Path;

/// Whether a program is on PATH; says loudly that a test is left out.
pub fn have(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| directory.join(tool).is_file()) {
        return true;
    }
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    assert!(!must.split(',').any(|name| name == tool), "RINGFENCE_MUST={tool}: it is not installed");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the capture of the test harness: a skip that nobody sees is a lie.
    drop(writeln!(std::io::stderr(), "SKIPPED: {test}: {tool} is not installed (RINGFENCE_MUST={tool})"));
    false
}

/// A directory that goes away with the test, visible in sandboxes.
pub fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ringfence-test-").tempdir_in(Path::new("/var/tmp")).unwrap()
}
