//! The last steps before the command runs: what the process may still do. Shared by all backends.

pub mod capabilities;
pub mod landlock;
pub mod seccomp;
