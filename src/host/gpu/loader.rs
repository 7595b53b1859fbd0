//! Asks a library of a GPU driver, by the driver loader: the one program here that is linked dynamically.
//!
//! `ringfence` is static and loads no library. What only a library knows is asked in a process of its own, which ends.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::program::{self, Bounds, NotEnded};

/// The driver loader (`loader/`), as `build.rs` made it.
const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/driver-loader"));

/// A library says a few lines of some hundred bytes.
const BYTES: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question<'a> {
    /// libcuda: whether it initialises, and its devices.
    Cuda,
    /// libhsa-runtime64: its agents.
    Hsa,
    /// libze_loader: its devices.
    LevelZero,
    /// libvulkan: its physical devices.
    Vulkan,
    /// libnvidia-ml: which instance a MIG UUID names.
    Mig(&'a str),
}

impl Question<'_> {
    /// Words of the driver loader's command line.
    fn words(&self) -> Vec<&str> {
        match self {
            Self::Cuda => vec!["cuda"],
            Self::Hsa => vec!["hsa"],
            Self::LevelZero => vec!["ze"],
            Self::Vulkan => vec!["vulkan"],
            Self::Mig(uuid) => vec!["nvml-mig", uuid],
        }
    }

    /// The library that is asked.
    #[must_use]
    pub fn library(&self) -> &'static str {
        match self {
            Self::Cuda => "libcuda.so.1",
            Self::Hsa => "libhsa-runtime64.so.1",
            Self::LevelZero => "libze_loader.so.1",
            Self::Vulkan => "libvulkan.so.1",
            Self::Mig(_) => "libnvidia-ml.so.1",
        }
    }
}

/// What a library has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which CUDA the driver is for: 12080 is 12.8.
    pub version: Option<u32>,
    /// Devices in the library's own order.
    pub devices: Vec<Device>,
    /// What a MIG UUID names: minor of the GPU, id of the GPU instance, id of the compute instance.
    pub instance: Option<(u32, u32, u32)>,
}

/// A device as a library sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `gpu`, `cpu` or `other`.
    pub kind: String,
    /// Without a prefix, where the library tells it.
    pub uuid: Option<String>,
    /// Product name.
    pub name: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum LoaderError {
    /// The driver loader did not start.
    NotStarted(io::Error),
    /// It started and ended without a word of its own: the dynamic loader or the C library said this.
    Silent(String),
    /// The library cannot be opened, by the dynamic loader's words.
    Missing {
        /// Its name.
        library: String,
        /// Why.
        why: String,
    },
    /// A function of the library returned an error.
    Call {
        /// Its name.
        function: String,
        /// What it returned.
        code: i32,
        /// What the library calls that; empty where it does not say.
        name: String,
    },
    /// The library killed its process.
    Killed {
        /// The signal.
        signal: i32,
    },
    /// It took longer than this.
    TooLong(Duration),
    /// It said what a driver loader does not say.
    Garbled(String),
}

/// Asks, with this environment (`NAME=value`) and no other, and waits for the answer that long.
///
/// # Errors
/// See [`LoaderError`].
pub fn ask(question: &Question<'_>, environment: &[CString], patience: Duration) -> Result<Answer, LoaderError> {
    let image = program::image("ringfence-driver-loader", IMAGE).map_err(LoaderError::NotStarted)?;
    let words = ["ringfence-driver-loader"].into_iter().chain(question.words());
    let argv: Result<Vec<_>, _> = words.map(CString::new).collect();
    let argv = argv.map_err(|error| LoaderError::NotStarted(error.into()))?;
    let ended = program::run(image.as_fd(), &argv, environment, Bounds { time: patience, bytes: BYTES });
    let ended = ended.map_err(|error| match error {
        NotEnded::NotStarted(error) => LoaderError::NotStarted(error),
        NotEnded::TooLong => LoaderError::TooLong(patience),
        NotEnded::TooMuch => LoaderError::Garbled(format!("more than {BYTES} bytes")),
    })?;
    if let Some(signal) = ended.signal {
        return Err(LoaderError::Killed { signal });
    }
    let errors = String::from_utf8_lossy(&ended.errors);
    read(&String::from_utf8_lossy(&ended.output), errors.lines().last().unwrap_or_default())
}

/// Reads the driver loader's lines; `errors` is the last one that came on standard error.
fn read(text: &str, errors: &str) -> Result<Answer, LoaderError> {
    let mut answer = Answer::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let garbled = || LoaderError::Garbled(line.to_owned());
        let number = |word: &str| word.parse::<u32>().map_err(|_| garbled());
        match *words.as_slice() {
            ["version", version] => answer.version = Some(number(version)?),
            ["device", _, kind, uuid, name] => answer.devices.push(Device {
                kind: kind.to_owned(),
                uuid: (uuid != "-").then(|| uuid.to_owned()),
                name: name.to_owned(),
            }),
            ["mig", minor, gpu, compute] => answer.instance = Some((number(minor)?, number(gpu)?, number(compute)?)),
            ["missing", library, why] => {
                return Err(LoaderError::Missing { library: library.to_owned(), why: why.to_owned() });
            }
            ["error", function, code, name] => {
                let code = code.parse().map_err(|_| garbled())?;
                return Err(LoaderError::Call { function: function.to_owned(), code, name: name.to_owned() });
            }
            ["done"] => return Ok(answer),
            ["library", _] => {}
            // A library may print what it likes; it begins none of its lines so.
            ["usage" | "version" | "device" | "mig" | "missing" | "error", ..] => return Err(garbled()),
            _ => {}
        }
    }
    Err(LoaderError::Silent(errors.to_owned()))
}

/// What a number of a library means and what to do, where it is known better than its name says: function, number, name
/// where the library gives none, text.
///
/// Sources: CUDA driver API, `CUresult`; NVML API, `nvmlReturn_t`; HSA runtime, `hsa_status_t`; Level Zero,
/// `ze_result_t`; Vulkan, `VkResult`.
const MEANINGS: &[(&str, i32, &str, &str)] = &[
    (
        "cuInit",
        3,
        "CUDA_ERROR_NOT_INITIALIZED",
        "a flaw of the open module with HMM: switch that off, options nvidia_uvm uvm_disable_hmm=1 in /etc/modprobe.d",
    ),
    (
        "cuInit",
        100,
        "CUDA_ERROR_NO_DEVICE",
        "no device is visible: its node is absent, CUDA_VISIBLE_DEVICES names none, or MIG mode has no instance",
    ),
    (
        "cuInit",
        304,
        "CUDA_ERROR_OPERATING_SYSTEM",
        "the system refused something: writing /proc/self/task/*/comm, memfd_create, an abstract socket, or opening \
         /dev/nvidia-uvm-tools, which may be absent but not denied",
    ),
    ("cuInit", 802, "CUDA_ERROR_SYSTEM_NOT_READY", "the fabric manager of the host has not set up NVLink"),
    (
        "cuInit",
        803,
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "libcuda and the kernel module are of different versions: reboot after an update, or reload the module",
    ),
    (
        "cuInit",
        804,
        "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        "a libcuda for forward compatibility was found first, and this GPU does not support it",
    ),
    (
        "cuInit",
        999,
        "CUDA_ERROR_UNKNOWN",
        "often nvidia-uvm is not loaded or needs to be loaded again: sudo nvidia-modprobe -u -c 0",
    ),
    ("nvmlInit_v2", 9, "NVML_ERROR_DRIVER_NOT_LOADED", "the kernel module is not loaded, or its nodes are absent"),
    ("nvmlInit_v2", 18, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", "library and kernel module are of different versions"),
    ("nvmlDeviceGetHandleByUUID", 2, "NVML_ERROR_INVALID_ARGUMENT", "this is no UUID of an instance"),
    ("nvmlDeviceGetHandleByUUID", 6, "NVML_ERROR_NOT_FOUND", "no instance has this UUID now: nvidia-smi -L lists them"),
    ("hsa_init", 0x1008, "HSA_STATUS_ERROR_OUT_OF_RESOURCES", "/dev/kfd cannot be opened, or a render node is denied"),
    ("zeInit", 0x7800_0001, "ZE_RESULT_ERROR_UNINITIALIZED", "no driver of Level Zero found a device"),
    ("vkCreateInstance", -3, "VK_ERROR_INITIALIZATION_FAILED", "a driver of Vulkan did not initialise"),
    ("vkCreateInstance", -9, "VK_ERROR_INCOMPATIBLE_DRIVER", "no driver of Vulkan (ICD) was found or could be loaded"),
];

/// Where the dynamic loader is expected, by the system's ABI.
const DYNAMIC_LOADER: &str =
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" };

impl fmt::Display for LoaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => {
                    write!(f, "the driver loader did not start: the dynamic loader `{DYNAMIC_LOADER}` is not there")
                }
                Some(libc::EACCES) => write!(
                    f,
                    "the driver loader did not start: {error} (sysctl vm.memfd_noexec=2, or `{DYNAMIC_LOADER}` cannot be \
                     read)"
                ),
                _ => write!(f, "the driver loader did not start: {error}"),
            },
            Self::Silent(words) => {
                f.write_str(
                    "the driver loader ended without a word: the system's C library is too old for it, or broken",
                )?;
                if words.is_empty() { Ok(()) } else { write!(f, " ({words})") }
            }
            Self::Missing { library, why } => write!(f, "`{library}` cannot be loaded: {why}"),
            Self::Call { function, code, name } => {
                let known = MEANINGS.iter().find(|(known, number, ..)| known == function && number == code);
                let name = if name.is_empty() { known.map_or("", |(_, _, name, _)| name) } else { name };
                let large = *code > 0xffff;
                let code = if large { format!("{code:#x}") } else { code.to_string() };
                write!(f, "{function} answers {code}")?;
                if !name.is_empty() {
                    write!(f, " ({name})")?;
                }
                known.map_or(Ok(()), |(.., meaning)| write!(f, ": {meaning}"))
            }
            Self::Killed { signal } => write!(f, "the library killed its process (signal {signal})"),
            Self::TooLong(patience) => write!(f, "the library did not answer within {patience:?}"),
            Self::Garbled(what) => write!(f, "the driver loader's answer cannot be read: {what:?}"),
        }
    }
}

impl std::error::Error for LoaderError {}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, want: &Expect) {
        let read = read(text, "symbol lookup error");
        want.assert_eq(&read.map_or_else(|error| error.to_string(), |answer| format!("{answer:?}")));
    }

    #[test]
    fn the_driver_loader_s_lines_are_read() {
        let text = "library\tlibcuda.so.1\nversion\t12080\nhello of a library\ndevice\t0\tgpu\t00-11\tA GPU\ndone\n";
        check(
            text,
            &expect![[
                r#"Answer { version: Some(12080), devices: [Device { kind: "gpu", uuid: Some("00-11"), name: "A GPU" }], instance: None }"#
            ]],
        );
        check("mig\t0\t1\t2\ndone\n", &expect!["Answer { version: None, devices: [], instance: Some((0, 1, 2)) }"]);
        check(
            "device\t0\tcpu\t-\t\ndone",
            &expect![[
                r#"Answer { version: None, devices: [Device { kind: "cpu", uuid: None, name: "" }], instance: None }"#
            ]],
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in ["", "version\t1\n", "words\n"] {
            check(
                text,
                &expect![
                    "the driver loader ended without a word: the system's C library is too old for it, or broken (symbol lookup error)"
                ],
            );
        }
        check("mig\t0\t1\tx\n", &expect![[r#"the driver loader's answer cannot be read: "mig\t0\t1\tx""#]]);
        check("mig\t0\n", &expect![[r#"the driver loader's answer cannot be read: "mig\t0""#]]);
        check("missing\tlibcuda.so.1\tno such file\n", &expect!["`libcuda.so.1` cannot be loaded: no such file"]);
    }

    #[test]
    fn numbers_of_libraries_have_names_and_meanings() {
        let call = |function: &str, code, name: &str| {
            LoaderError::Call { function: function.to_owned(), code, name: name.to_owned() }.to_string()
        };
        for code in [100, 304, 803, 804, 999] {
            let text = call("cuInit", code, "");
            assert!(text.contains(&format!("answers {code} (CUDA_ERROR_")) && text.contains("): "), "{text}");
        }
        assert_eq!(call("cuInit", 7, "NAME"), "cuInit answers 7 (NAME)");
        assert_eq!(call("cuMemAlloc", 304, ""), "cuMemAlloc answers 304");
        assert!(call("zeInit", 0x7800_0001, "").starts_with("zeInit answers 0x78000001 (ZE_RESULT"));
    }

    #[test]
    fn the_driver_loader_starts_here_and_asks_for_the_library() {
        // With hardware the library may answer; then it has devices.
        for question in [Question::Cuda, Question::Hsa, Question::LevelZero, Question::Vulkan, Question::Mig("MIG-x")] {
            match ask(&question, &[], Duration::from_secs(30)) {
                Ok(answer) => assert!(!answer.devices.is_empty(), "{question:?}"),
                Err(LoaderError::Missing { library, why }) => {
                    assert_eq!(library, question.library());
                    assert!(why.contains(question.library()), "{why}");
                }
                Err(LoaderError::Call { .. }) => {}
                Err(error) => panic!("{question:?}: {error}"),
            }
        }
    }
}
