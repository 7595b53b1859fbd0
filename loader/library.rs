//! Libraries, their functions, and what went wrong with them.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;

use crate::say::{self, Clean};

// Before glibc 2.34 `dlopen` is in a library of its own; later that one is empty.
#[link(name = "dl")]
#[link(name = "c")]
unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
    fn _exit(code: c_int) -> !;
}

/// All symbols at once: what is missing is known before anything is called.
const RTLD_NOW: c_int = 2;

/// Ends the process at once.
pub fn exit(code: c_int) -> ! {
    // SAFETY: it takes an integer and does not return.
    unsafe { _exit(code) }
}

/// An open library. It is never closed: drivers' libraries do not all survive that.
pub struct Library(NonNull<c_void>);

/// Directories of drivers that programs find by a run path or a variable, where the dynamic loader does not look by itself:
/// those of `src/host/gpu/libraries.rs`.
const DIRECTORIES: &[&str] = &[
    "/usr/lib/wsl/lib/",
    "/run/opengl-driver/lib/",
    "/usr/local/nvidia/lib64/",
    "/usr/local/nvidia/lib/",
    "/usr/lib/aarch64-linux-gnu/tegra/",
    "/usr/lib/aarch64-linux-gnu/nvidia/",
];

impl Library {
    /// Opens it by the rules of the dynamic loader, or in one of the directories that these rules do not reach, and says
    /// that it is open.
    pub fn open(name: &'static CStr) -> Result<Self, Failure> {
        let beside = || DIRECTORIES.iter().find_map(|directory| open_beside(directory, name));
        // Once more at the end: the error that is told is the one of the name.
        let handle = open(name).or_else(beside).or_else(|| open(name));
        let library = handle.map(Self).ok_or(Failure::Missing(name))?;
        say::line(&[&"library", &Clean::buffer(name.to_bytes())]);
        Ok(library)
    }

    /// The address of a function.
    pub fn symbol(&self, name: &'static CStr) -> Result<NonNull<c_void>, Failure> {
        // SAFETY: the handle is open, and the name NUL-terminated.
        NonNull::new(unsafe { dlsym(self.0.as_ptr(), name.as_ptr()) }).ok_or(Failure::NoFunction(name))
    }
}

fn open(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name is NUL-terminated. The library's initialisers run, as they would in any program that uses it; this
    // process exists for nothing else.
    NonNull::new(unsafe { dlopen(name.as_ptr(), RTLD_NOW) })
}

fn open_beside(directory: &str, name: &CStr) -> Option<NonNull<c_void>> {
    let mut path = [0_u8; 128];
    let name = name.to_bytes_with_nul();
    path.get_mut(..directory.len())?.copy_from_slice(directory.as_bytes());
    path.get_mut(directory.len()..directory.len() + name.len())?.copy_from_slice(name);
    open(CStr::from_bytes_until_nul(&path).ok()?)
}

/// A function of a library, with a type of ours.
macro_rules! function {
    ($library:expr, $name:literal, $type:ty) => {
        $library.symbol($name).map(|address| {
            // SAFETY: the library's documentation gives the function of this name this type, and a function pointer has
            // the size of a data pointer on every system that has `dlsym`.
            unsafe { core::mem::transmute::<*mut core::ffi::c_void, $type>(address.as_ptr()) }
        })
    };
}
pub(crate) use function;

/// Why there is no answer.
pub enum Failure {
    /// The library cannot be opened.
    Missing(&'static CStr),
    /// The library has no such function.
    NoFunction(&'static CStr),
    /// A function refused.
    Call {
        /// Its name.
        function: &'static CStr,
        /// What it returned.
        code: c_int,
        /// What the library calls that; null where it does not say. It lives as long as the library.
        name: *const c_char,
    },
    /// A word is missing on the command line.
    Usage,
}

impl Failure {
    /// Says it, as the last line.
    pub fn tell(&self) {
        match self {
            Self::Missing(name) => {
                // SAFETY: it takes nothing.
                let why = unsafe { dlerror() };
                // SAFETY: null, or a string that lives until the next call of the dynamic loader's functions, of which there
                // is none before it is written.
                let why = unsafe { Clean::string(why) };
                say::line(&[&"missing", &Clean::buffer(name.to_bytes()), &why]);
            }
            Self::NoFunction(name) => {
                say::line(&[&"error", &Clean::buffer(name.to_bytes()), &0, &"no such function in the library"]);
            }
            Self::Call { function, code, name } => {
                // SAFETY: null or a constant of a library that is never closed, as `Failure::Call` says.
                let name = unsafe { Clean::string(*name) };
                say::line(&[&"error", &Clean::buffer(function.to_bytes()), code, &name]);
            }
            Self::Usage => say::line(&[&"usage"]),
        }
    }
}
