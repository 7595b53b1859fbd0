//! Container Device Interface: files and a machine in, text out.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test"
)]

mod edits;
mod fixtures;
mod ground;
mod hooks;
mod lab;
mod mounts;
mod names;
mod reading;
mod trust;
