//! ringfence: a Linux command sandbox in which the GPU works.
//!
//! ```no_run
//! use ringfence::{Gpu, Sandbox};
//!
//! fn main() -> std::io::Result<()> {
//!     // This program is its own helper: no `ringfence` needs to be installed.
//!     ringfence::dispatch();
//!     let sandbox = Sandbox::workspace_write("/project").gpu(Gpu::Auto);
//!     let output = sandbox.command("python3").arg("train.py").output()?;
//!     print!("{}", String::from_utf8_lossy(&output.stdout));
//!     Ok(())
//! }
//! ```
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]

#[cfg(not(fuzzing))]
mod backend;
/// As `supervise`: what is said to bubblewrap is read back by a program of `fuzz/`.
#[cfg(fuzzing)]
pub mod backend;
mod cli;
pub mod host;
pub mod plan;
pub mod policy;
mod probe;
pub mod request;
mod sandbox;
#[cfg(not(fuzzing))]
mod supervise;
/// For the programs in `fuzz/`, which are built with `cfg(fuzzing)`; private otherwise.
#[cfg(fuzzing)]
pub mod supervise;
mod sys;

/// For what is made from the command line: manual pages.
#[doc(hidden)]
pub use cli::command_line;
pub use cli::main as run_main;
pub use request::{Backend, Git, Landlock, Net, Tmp};
pub use sandbox::outcome::Outcome;
pub use sandbox::{Command, Exec, Gpu, Sandbox, Session, dispatch, outcome};
