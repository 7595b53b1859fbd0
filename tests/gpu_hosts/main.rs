//! GPU wishes on fixture machines: data in, text out. `tests/hosts/<name>` is the root of a machine.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::too_many_lines, reason = "a test")]

mod broken;
mod classes;
mod env;
mod lab;
mod many;
mod mig;
mod published;
mod selectors;
mod show;
mod vendors;
mod visible;
mod wishes;
