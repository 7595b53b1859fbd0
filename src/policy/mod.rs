//! Room 2, *what it means*: a [`Policy`] is valid by construction and touches no machine.

pub mod check;
pub mod env;
pub mod globs;
pub mod gpu;
pub mod paths;
pub mod tables;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::request::{Allow, Backend, Git, Mode, Net, Said, Tmp};
use env::EnvPolicy;
use gpu::GpuWish;
use paths::{Glob, Rule};

/// What was asked for, checked: absolute, lexically normal paths, parsed selectors, no contradictions.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The sandbox mode.
    pub mode: Mode,
    /// The working directory: where the command starts and, in workspace-write, what it may write.
    pub workspace: PathBuf,
    /// Path rules, unordered; which one wins is decided by [`crate::plan::mounts::Tree`].
    pub rules: Vec<Rule>,
    /// Deny globs, expanded at start by the host room.
    pub globs: Vec<Glob>,
    /// Device nodes asked for by path.
    pub devices: Vec<Said<PathBuf>>,
    /// Host sockets that may be connected to.
    pub unix: Vec<Said<PathBuf>>,
    /// Which GPUs.
    pub gpu: Said<GpuWish>,
    /// Which network.
    pub net: Said<Net>,
    /// How `.git` is protected.
    pub git: Said<Git>,
    /// What `/tmp` is.
    pub tmp: Said<Tmp>,
    /// A fresh procfs, or none.
    pub proc: Said<bool>,
    /// Who enforces.
    pub backend: Said<Backend>,
    /// What becomes of the environment.
    pub env: EnvPolicy,
    /// When to end the command.
    pub timeout: Option<Said<Duration>>,
    /// System call families let through.
    pub allow: Vec<Said<Allow>>,
    /// Descriptors above 2 that stay open.
    pub pass_fd: Vec<i32>,
    /// Configuration files that the policy was read from.
    pub files: Vec<PathBuf>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

impl Policy {
    /// Whether anything is confined at all.
    #[must_use]
    pub fn confines(&self) -> bool {
        self.mode != Mode::FullAccess
    }
}
