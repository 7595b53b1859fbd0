//! The `ringfence` binary.
//!
//! With glibc it starts without Rust's runtime, which would read `/proc/self/maps` and set up a signal stack at each
//! start: a tenth of a millisecond. glibc hands the arguments to std by itself; musl does not.
#![cfg_attr(all(target_os = "linux", target_env = "gnu"), no_main)]

/// What the C runtime calls.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the name must be `main`: this package defines it once, here")]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    ringfence::run_main()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {
    ringfence::run_main()
}
