//! The driver loader: a small program that is linked dynamically, because `ringfence` itself is not and so cannot load a
//! library. It asks one library of a GPU driver one question and ends.
//!
//! `build.rs` compiles it, `src/host/gpu/loader.rs` starts it and reads what it says: one line for each result, words
//! parted by tabs, the last line `done`, `error` or `missing`. It needs the C library and nothing else, not even std:
//! what a driver's library needs of the process is what it would find in a program in C.
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

mod cuda;
mod hsa;
mod library;
mod nvml;
mod say;
mod vulkan;
mod ze;

use core::ffi::{CStr, c_char, c_int};

use library::Failure;

/// Answers, with the second word of the command line.
type Answer = fn(Option<&CStr>) -> Result<(), Failure>;

/// What it is started for, and what does it.
const VERBS: &[(&CStr, Answer)] = &[
    (c"cuda", cuda::list),
    (c"hsa", hsa::list),
    (c"nvml-mig", nvml::mig),
    (c"vulkan", vulkan::list),
    (c"ze", ze::list),
];

/// What the C runtime calls.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let word = |number: c_int| {
        if number >= count {
            return None;
        }
        let at = usize::try_from(number).ok()?;
        // SAFETY: the C runtime passes `count` pointers, and `at` is below `count`.
        let pointer = unsafe { arguments.add(at) };
        // SAFETY: it is the address of one of these pointers.
        let word = unsafe { *pointer };
        // SAFETY: each of them leads to a NUL-terminated string that lives as long as the process.
        Some(unsafe { CStr::from_ptr(word) })
    };
    let verb = VERBS.iter().find(|(name, _)| word(1) == Some(name));
    let Some((_, answer)) = verb else {
        say::line(&[&"usage"]);
        return 2;
    };
    match answer(word(2)) {
        Ok(()) => {
            say::line(&[&"done"]);
            0
        }
        Err(failure) => {
            failure.tell();
            1
        }
    }
}

/// `core` was compiled to unwind and names this function in its tables. Nothing here unwinds (`-C panic=abort`), so nobody
/// calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    library::exit(3)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say::line(&[&"error", &"panic", &0, &"the driver loader has a fault"]);
    library::exit(3)
}
