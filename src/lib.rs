//! ringfence: a Linux command sandbox in which the GPU works.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]

mod backend;
mod cli;
pub mod host;
pub mod plan;
pub mod policy;
pub mod request;
mod supervise;
mod sys;

pub use cli::main as run_main;
