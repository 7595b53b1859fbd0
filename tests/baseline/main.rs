//! The baseline: policies × machines × settings → decisions and effective rules, as text, and as properties.
//!
//! `UPDATE_EXPECT=1 cargo test --test baseline` writes the snapshots anew.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a test"
)]

mod compat;
mod defaults;
#[path = "../gpu_hosts/lab.rs"]
mod lab;
mod machine;
mod policies;
mod properties;
mod rights;
mod settings;
mod statements;
mod upstream;
