//! A line on the terminal when a start takes long.
//!
//! No thread and no timer: the supervisor must have one thread and no signals of its own when it calls clone3. The phases
//! of a start, and the loops in them that have no bound, say where they are; the first one that says so after a second
//! shows it. So a start that is quick asks the clock a few times, which is no system call, and does nothing else.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When the start began; unset outside of one.
static BEGAN: OnceLock<Instant> = OnceLock::new();
/// Whether the line stands.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// What is quick needs no line.
pub const QUICK: Duration = Duration::from_secs(1);

/// A start begins.
pub fn begin() {
    // A second one in the same process goes on where the first began.
    let _began = BEGAN.get_or_init(Instant::now);
    crate::host::pulse::listen(at);
}

/// What a start is doing now: shown when it takes long already, once, until the next [`clear`].
pub fn at(phase: &str) {
    if BEGAN.get().is_some_and(|began| began.elapsed() >= QUICK) {
        show(phase);
    }
}

/// Shows what takes long, whatever the time.
pub fn show(phase: &str) {
    let mut terminal = std::io::stderr();
    if !SHOWN.swap(true, Ordering::Relaxed) && terminal.is_terminal() {
        let end = if steers() { "" } else { "\n" };
        // The terminal may be gone: there is nobody left to tell.
        drop(write!(terminal, "ringfence: {phase} takes long …{end}"));
    }
}

/// Removes the line, if it stands: something else is to be told, or the command starts.
pub fn clear() {
    let mut terminal = std::io::stderr();
    if SHOWN.swap(false, Ordering::Relaxed) && terminal.is_terminal() && steers() {
        drop(terminal.write_all(b"\r\x1b[K"));
    }
}

/// Whether the terminal can erase a line.
fn steers() -> bool {
    std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
}
