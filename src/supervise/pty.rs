//! The private terminal: what the command sees instead of the caller's, and the bytes between the two.
//!
//! With the caller's own terminal a command could read what is typed, or push input that the shell executes later.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, SpecialCodeIndex};

use crate::backend::child::Terminal as Settings;
use crate::sys;

/// How much is moved at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// The caller's terminal and the master of the private one.
#[derive(Debug)]
pub struct Terminal {
    /// The caller's terminal to read from: standard input, if it is one.
    input: Option<BorrowedFd<'static>>,
    /// The caller's terminal to write to.
    output: Option<BorrowedFd<'static>>,
    settings: Option<Settings>,
    raw: bool,
    master: Option<OwnedFd>,
    /// Typed, but not yet taken by the command's side.
    pending: Vec<u8>,
    /// Whether the suspend character was typed.
    suspend: bool,
    /// Bytes that were shown.
    shown: u64,
}

impl Terminal {
    /// Looks which standard streams are terminals.
    pub fn of_caller() -> Self {
        let terminal = |number| sys::fd::borrow_if_open(number).filter(|fd| rustix::termios::isatty(fd));
        let input = terminal(0);
        let output = terminal(1).or_else(|| terminal(2)).or(input);
        let settings = Settings::of_streams();
        Self { input, output, settings, raw: false, master: None, pending: Vec::new(), suspend: false, shown: 0 }
    }

    /// Whether the suspend character was typed since the last time.
    pub fn take_suspend(&mut self) -> bool {
        std::mem::take(&mut self.suspend)
    }

    /// How many bytes the command has shown.
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// Whether a standard stream of the caller is a terminal.
    pub fn uses(&self, number: i32) -> bool {
        use std::os::fd::AsRawFd;
        [self.input, self.output].into_iter().flatten().any(|fd| fd.as_raw_fd() == number)
    }

    /// The caller's settings.
    pub fn settings(&self) -> Option<Settings> {
        self.settings.clone()
    }

    /// Starts to move data.
    pub fn attach(&mut self, master: OwnedFd) {
        // Typed input that nobody reads must not stop the supervisor.
        let nonblocking = rustix::fs::fcntl_getfl(&master)
            .and_then(|flags| rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK));
        if nonblocking.is_ok() {
            self.master = Some(master);
            self.make_raw();
        }
    }

    /// Lets the private terminal interpret what is typed, if we are in the foreground.
    pub fn make_raw(&mut self) {
        let (Some(input), Some(settings), Some(_)) = (self.input, &self.settings, &self.master) else { return };
        if !is_foreground(input) {
            return;
        }
        let mut raw = settings.termios.clone();
        raw.make_raw();
        self.raw = rustix::termios::tcsetattr(input, OptionalActions::Now, &raw).is_ok();
    }

    /// Gives the caller's terminal its settings back.
    pub fn restore(&mut self) {
        let (Some(input), Some(settings), true) = (self.input, &self.settings, self.raw) else { return };
        // When the terminal is gone there is nothing to restore.
        sys::ignore(rustix::termios::tcsetattr(input, OptionalActions::Drain, &settings.termios));
        self.raw = false;
    }

    /// Copies the size of the caller's terminal; false without a private one.
    pub fn resize(&mut self) -> bool {
        let (Some(output), Some(master)) = (self.output, &self.master) else { return false };
        rustix::termios::tcgetwinsize(output).and_then(|size| rustix::termios::tcsetwinsize(master, size)).is_ok()
    }

    /// What to poll: the master, then the caller's input while there is room for it.
    pub fn watched(&self) -> Vec<PollFd<'_>> {
        let Some(master) = &self.master else { return Vec::new() };
        let mut wanted = PollFlags::IN;
        if !self.pending.is_empty() {
            wanted |= PollFlags::OUT;
        }
        let mut watched = vec![PollFd::new(master, wanted)];
        if let (Some(input), true, true) = (&self.input, self.raw, self.pending.len() < CHUNK) {
            watched.push(PollFd::new(input, PollFlags::IN));
        }
        watched
    }

    /// Moves what is there; `ready` answers [`Terminal::watched`].
    pub fn pump(&mut self, ready: &[bool]) {
        if ready.get(1) == Some(&true) {
            self.take_input();
        }
        self.give_input();
        if ready.first() == Some(&true) && !self.show_output() {
            self.master = None;
        }
    }

    fn take_input(&mut self) {
        let Some(input) = self.input else { return };
        let mut buffer = chunk();
        match rustix::io::read(input, &mut buffer) {
            Ok(0) | Err(_) => self.input = None,
            Ok(length) => {
                let typed = buffer.get(..length).unwrap_or_default();
                let suspend =
                    self.settings.as_ref().map(|settings| settings.termios.special_codes[SpecialCodeIndex::VSUSP]);
                self.suspend |= suspend.is_some_and(|code| typed.contains(&code));
                self.pending.extend_from_slice(typed);
            }
        }
    }

    fn give_input(&mut self) {
        let Some(master) = &self.master else { return };
        if self.pending.is_empty() {
            return;
        }
        if let Ok(written) = rustix::io::write(master, &self.pending) {
            self.pending.drain(..written);
        }
    }

    /// Shows one chunk; false when the private terminal is closed.
    fn show_output(&mut self) -> bool {
        let (Some(output), Some(master)) = (self.output, &self.master) else { return false };
        let mut buffer = chunk();
        match rustix::io::read(master, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => false,
            Ok(length) => {
                self.shown = self.shown.saturating_add(length as u64);
                write_all(output, buffer.get(..length).unwrap_or_default())
            }
            Err(_) => true,
        }
    }

    /// Shows what is left after the end.
    pub fn drain(&mut self) {
        while let (Some(output), Some(master)) = (self.output, &self.master) {
            let mut buffer = chunk();
            match rustix::io::read(master, &mut buffer) {
                Ok(length) if length > 0 => {
                    write_all(output, buffer.get(..length).unwrap_or_default());
                }
                _ => self.master = None,
            }
        }
    }
}

/// Not on the stack, whose pages would be touched where there is no terminal too.
fn chunk() -> Vec<u8> {
    vec![0; CHUNK]
}

fn is_foreground(terminal: BorrowedFd<'_>) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| Some(group) == crate::sys::process::own_group())
}

fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => return false,
        }
    }
    true
}
