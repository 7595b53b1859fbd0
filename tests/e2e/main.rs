//! End to end: the real binary, looked at from inside and from outside, on every backend and for every user that this
//! run may be. Each denial stands next to its control: the same command works with one grant more, or outside.
//!
//! A test that cannot run here says so on standard error; `RINGFENCE_MUST=userns,landlock,root,python3` turns that into
//! a failure.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops where something is wrong, and tells what it skips"
)]

mod backends;
mod caches;
mod cdi;
mod codex;
mod codex_proxy;
mod comm;
mod convert;
mod devices;
mod explain;
mod fs;
mod git;
mod gpu;
mod gpu_probe;
mod input;
mod kernels;
mod lab;
mod landlock;
mod learn;
mod limits;
mod net;
mod oci;
mod openshell;
mod process;
mod profiles;
mod programs;
mod protected;
mod proxy_denied;
mod proxy_doors;
mod proxy_egress;
mod proxy_hostile;
mod proxy_http;
mod proxy_lab;
mod proxy_life;
mod proxy_names;
mod rules;
mod second_run;
mod secrets;
mod session;
mod signals;
mod streams;
mod syscalls;
mod terminal;
mod transparent;
mod watch;
