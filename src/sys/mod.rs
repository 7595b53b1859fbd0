//! Room 8, *the cellar*: kernel calls that rustix does not offer. The only room with `unsafe`; one call, one function.
#![allow(unsafe_code, reason = "this is the room for it")]
#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]

pub mod fd;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod net;
pub mod process;
pub mod program;
pub mod seccomp;
pub mod signal;

/// Takes note of a result that changes nothing whatever it is; the comment at the call says why.
pub fn ignore<T, E>(_result: Result<T, E>) {}
