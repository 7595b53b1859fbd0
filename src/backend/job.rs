//! One command, as a process of ours in a sandbox is told about it. Paths and variables are bytes, never text.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::process::Rlimit;
use serde::{Deserialize, Serialize};

use super::child::Setup;
use super::init::stdio::Stream;
use crate::host::paths::FileId;
use crate::plan::ProcessPlan;
use crate::plan::env::EnvPlan;
use crate::sys::signal::SignalSet;

/// Bytes of the system: text where they are, to keep it short.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Word {
    /// Writes a word down.
    pub fn new(word: impl AsRef<OsStr>) -> Self {
        let word = word.as_ref();
        word.to_str().map_or_else(|| Self::Bytes(word.as_bytes().to_vec()), |text| Self::Text(text.to_owned()))
    }

    /// Reads it back.
    #[must_use]
    pub fn get(self) -> OsString {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }
}

/// A command and what it starts with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    command: Vec<Word>,
    cwd: Word,
    env: Vec<(Word, Word)>,
    pass_fd: Vec<RawFd>,
    program: Option<RawFd>,
    streams: Vec<Kept>,
    signals: Vec<i32>,
    open_files: (Option<u64>, Option<u64>),
}

/// [`Stream`], as it is written down.
#[derive(Debug, Serialize, Deserialize)]
enum Kept {
    Keep,
    Anchored,
    Terminal,
    Node(String, u32),
    ReadOnly { path: Word, device: u64, inode: u64, dir: bool, offset: u64 },
}

/// A [`Job`], read back.
#[derive(Debug)]
pub struct Told {
    /// The command; its environment is complete.
    pub process: ProcessPlan,
    /// What its standard streams become.
    pub streams: [Stream; 3],
    /// The caller's signal mask.
    pub signals: SignalSet,
    /// The caller's limit of open files.
    pub open_files: Rlimit,
}

impl Job {
    /// Writes a command down.
    #[must_use]
    pub fn new(process: &ProcessPlan, setup: &Setup) -> Self {
        let ProcessPlan { command, cwd, env, pass_fd, program } = process;
        let Setup { streams, signals, open_files, .. } = setup;
        Self {
            command: command.iter().map(Word::new).collect(),
            cwd: Word::new(cwd),
            env: env.vars.iter().map(|(name, value)| (Word::new(name), Word::new(value))).collect(),
            pass_fd: pass_fd.clone(),
            program: *program,
            streams: streams.iter().map(keep).collect(),
            signals: signals.members(),
            open_files: (open_files.current, open_files.maximum),
        }
    }

    /// Reads it back.
    #[must_use]
    pub fn read(self) -> Told {
        let vars = self.env.into_iter().map(|(name, value)| (name.get(), value.get())).collect();
        let process = ProcessPlan {
            command: self.command.into_iter().map(Word::get).collect(),
            cwd: self.cwd.get().into(),
            env: EnvPlan { vars, ..EnvPlan::default() },
            pass_fd: self.pass_fd,
            program: self.program,
        };
        Told {
            process,
            streams: streams(self.streams),
            signals: SignalSet::of(&self.signals),
            open_files: Rlimit { current: self.open_files.0, maximum: self.open_files.1 },
        }
    }
}

fn keep(stream: &Stream) -> Kept {
    match stream {
        Stream::Keep => Kept::Keep,
        Stream::Anchored => Kept::Anchored,
        Stream::Terminal => Kept::Terminal,
        Stream::Node(path, flags) => Kept::Node((*path).to_owned(), flags.bits()),
        Stream::ReadOnly { path, id, dir, offset } => {
            Kept::ReadOnly { path: Word::new(path), device: id.dev, inode: id.ino, dir: *dir, offset: *offset }
        }
    }
}

fn streams(kept: Vec<Kept>) -> [Stream; 3] {
    let mut streams = kept.into_iter().map(|kept| match kept {
        Kept::Keep => Stream::Keep,
        Kept::Anchored => Stream::Anchored,
        Kept::Terminal => Stream::Terminal,
        Kept::Node(path, flags) => Stream::node(&path, flags),
        Kept::ReadOnly { path, device, inode, dir, offset } => {
            Stream::ReadOnly { path: path.get().into(), id: FileId { dev: device, ino: inode }, dir, offset }
        }
    });
    std::array::from_fn(|_| streams.next().unwrap_or(Stream::node("/dev/null", 0)))
}
