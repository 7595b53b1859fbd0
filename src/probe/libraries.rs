//! The libraries themselves, each in a process of its own: whether they start in here, and what they see.

use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use super::Task;
use super::finding::Finding;
use crate::host::gpu::loader::{Answer, Device, LoaderError, Question, ask};

/// The first use of a GPU without persistence mode takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// libcuda, of which the selection is known.
pub(super) fn cuda(task: &Task) -> Finding {
    judge(Sought::of(task, &Question::Cuda, task.nvidia()), asked(&Question::Cuda), expected(task))
}

/// ROCm.
pub(super) fn hsa(task: &Task) -> Finding {
    judge(Sought::of(task, &Question::Hsa, task.grants_some("/dev/kfd")), asked(&Question::Hsa), None)
}

/// Level Zero is Intel's; with another's render node there is nothing for it to find.
pub(super) fn level_zero(task: &Task) -> Finding {
    judge(Sought::of(task, &Question::LevelZero, false), asked(&Question::LevelZero), None)
}

/// Vulkan may be installed without a driver for the GPU that is granted.
pub(super) fn vulkan(task: &Task) -> Finding {
    judge(Sought::of(task, &Question::Vulkan, false), asked(&Question::Vulkan), None)
}

fn asked(question: &Question<'_>) -> Result<Answer, LoaderError> {
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend_from_slice(value.as_bytes());
        CString::new(pair).ok()
    };
    let environment: Vec<_> = std::env::vars_os().filter_map(variable).collect();
    ask(question, &environment, PATIENCE)
}

/// How many devices CUDA must see: one for each granted node, unless something else says how many.
fn expected(task: &Task) -> Option<usize> {
    let narrowed = std::env::var_os("CUDA_VISIBLE_DEVICES").is_some() || task.everything;
    let instances = task.grants_some("/dev/nvidia-caps/");
    let count = (0..32).filter(|number| task.grants(Path::new(&format!("/dev/nvidia{number}")))).count();
    (!narrowed && !instances).then_some(count)
}

/// A library, and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Sought {
    library: &'static str,
    /// Whether a GPU is granted that it must find.
    granted: bool,
    /// Whether it is installed outside.
    outside: bool,
}

impl Sought {
    fn of(task: &Task, question: &Question<'_>, granted: bool) -> Self {
        let library = question.library();
        Self { library, granted, outside: task.libraries.iter().any(|name| name == library) }
    }
}

fn judge(sought: Sought, asked: Result<Answer, LoaderError>, want: Option<usize>) -> Finding {
    let Sought { library, granted, outside } = sought;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error @ LoaderError::Missing { .. }) if outside => {
            return Finding::matters(granted, "hidden", format!("{error}; it is there outside of the sandbox"));
        }
        Err(LoaderError::Missing { .. }) if !granted => return Finding::ok("not installed"),
        // A driver without this library may still be of use: for graphics, or to ask about the GPU.
        Err(error @ LoaderError::Missing { .. }) => return Finding::tolerated("not installed", error.to_string()),
        Err(error) => {
            let outcome = match &error {
                LoaderError::Call { function, code, .. } => format!("{function}: {code}"),
                LoaderError::Killed { signal } => format!("signal {signal}"),
                _ => "no answer".to_owned(),
            };
            return Finding::matters(granted, outcome, error.to_string());
        }
    };
    let seen: Vec<_> = answer.devices.iter().filter(|device| device.kind != "cpu").collect();
    let show = |device: &&Device| match &device.uuid {
        Some(uuid) => format!("{} ({uuid})", device.name),
        None => device.name.clone(),
    };
    let names: Vec<_> = seen.iter().map(show).collect();
    let version = answer.version.map(|version| format!("CUDA {}.{}: ", version / 1000, version % 1000 / 10));
    let list = if names.is_empty() { "no device".to_owned() } else { names.join(", ") };
    let outcome = format!("{}{list}", version.unwrap_or_default());
    match want {
        Some(want) if granted && want != seen.len() => {
            Finding::wrong(outcome, format!("`{library}` sees {} devices, granted are {want}", seen.len()))
        }
        _ if granted && seen.is_empty() => {
            Finding::wrong(outcome, "the library starts and sees none of what is granted")
        }
        _ => Finding::ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict;

    fn answer(names: &[&str]) -> Answer {
        let device = |name: &&str| Device { kind: "gpu".to_owned(), uuid: None, name: (*name).to_owned() };
        Answer { version: Some(12080), devices: names.iter().map(device).collect(), instance: None }
    }

    fn check(granted: bool, asked: Result<Answer, LoaderError>, want: Option<usize>) -> (Verdict, String) {
        let sought = Sought { library: "libcuda.so.1", granted, outside: false };
        let Finding { outcome, verdict, .. } = judge(sought, asked, want);
        (verdict, outcome)
    }

    #[test]
    fn what_a_library_sees_is_compared_with_what_is_granted() {
        let two = || Ok(answer(&["A", "B"]));
        assert_eq!(check(true, two(), Some(2)), (Verdict::Ok, "CUDA 12.8: A, B".to_owned()));
        assert_eq!(check(true, two(), Some(1)).0, Verdict::Wrong);
        assert_eq!(check(true, two(), None).0, Verdict::Ok);
        assert_eq!(check(true, Ok(answer(&[])), None).0, Verdict::Wrong);
        assert_eq!(check(false, Ok(answer(&[])), None).0, Verdict::Ok);
        let refused = || Err(LoaderError::Call { function: "cuInit".to_owned(), code: 304, name: String::new() });
        assert_eq!(check(true, refused(), Some(1)), (Verdict::Wrong, "cuInit: 304".to_owned()));
        assert_eq!(check(false, refused(), None).0, Verdict::Tolerated);
        let missing = || Err(LoaderError::Missing { library: "x".to_owned(), why: "y".to_owned() });
        assert_eq!(check(false, missing(), None), (Verdict::Ok, "not installed".to_owned()));
        assert_eq!(check(true, missing(), Some(1)).0, Verdict::Tolerated);
        let outside = Sought { library: "x", granted: true, outside: true };
        assert_eq!(judge(outside, missing(), Some(1)).verdict, Verdict::Wrong);
        assert_eq!(
            check(true, Err(LoaderError::Killed { signal: 11 }), None),
            (Verdict::Wrong, "signal 11".to_owned())
        );
    }
}
