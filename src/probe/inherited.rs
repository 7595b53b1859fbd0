//! What a sandbox must not let in: descriptors, settings of the kernel, numbers of hidden GPUs.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Task;
use super::finding::{Finding, name};

/// Numbers above this nobody is likely to pass.
const DESCRIPTORS: i32 = 4096;

/// Whatever is open could lead around the selection: a node of a GPU that is hidden.
pub(super) fn descriptors(task: &Task) -> Finding {
    let open = (3..DESCRIPTORS).filter(|number| !task.descriptors.contains(number));
    let open: Vec<_> = open.filter_map(|number| Some((number, crate::sys::fd::borrow_if_open(number)?))).collect();
    if open.is_empty() {
        return Finding::ok("none");
    }
    let show = |(number, fd): &(i32, std::os::fd::BorrowedFd<'_>)| {
        let link = rustix::fs::readlink(format!("/proc/self/fd/{number}"), Vec::new());
        let target = link.map(|target| target.to_string_lossy().into_owned());
        let kind = || rustix::fs::fstat(fd.as_fd()).map_or(0, |found| found.st_mode);
        format!("{number} ({})", target.unwrap_or_else(|_| format!("mode {:o}", kind())))
    };
    let list: Vec<_> = open.iter().map(show).collect();
    Finding::wrong(list.join(", "), "descriptors came in that nobody gave: one of a GPU's node opens the GPU")
}

/// The host's core_pattern starts a program outside: uid 0 must not be able to write it.
pub(super) fn core_pattern(task: &Task) -> Finding {
    let path = "/proc/sys/kernel/core_pattern";
    match rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) if task.unconfined => Finding::ok("writable: nothing is confined"),
        Ok(_) => Finding::wrong("writable", format!("`{path}` can be written: a crash starts a program on the host")),
        Err(error @ (Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::NOTDIR)) => {
            Finding::ok(name(error))
        }
        Err(error) => Finding::tolerated(name(error), format!("`{path}` cannot be written, for another reason")),
    }
}

/// With some GPUs hidden, the numbers of the host name others, or none.
pub(super) fn ordinals(task: &Task) -> Finding {
    let offered = std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
    let granted = (0..32).filter(|number| task.grants(Path::new(&format!("/dev/nvidia{number}")))).count();
    let value = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    judge_ordinals(value.as_deref(), granted < offered && !task.everything)
}

fn judge_ordinals(value: Option<&str>, subset: bool) -> Finding {
    let Some(value) = value else { return Finding::ok("not set") };
    let numbers = value.split(',').any(|item| item.trim().parse::<u32>().is_ok());
    if subset && numbers {
        let meaning = "CUDA_VISIBLE_DEVICES holds numbers of the host while GPUs are hidden: it names others, or none";
        return Finding::wrong(value, meaning);
    }
    Finding::ok(if value.is_empty() { "empty: no GPUs" } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict;

    #[test]
    fn numbers_are_wrong_only_where_gpus_are_hidden() {
        for (value, subset, want) in [
            (None, true, Verdict::Ok),
            (Some("0"), false, Verdict::Ok),
            (Some("1,0"), true, Verdict::Wrong),
            (Some("GPU-1234"), true, Verdict::Ok),
            (Some(""), true, Verdict::Ok),
        ] {
            assert_eq!(judge_ordinals(value, subset).verdict, want, "{value:?} {subset}");
        }
    }

    #[test]
    fn an_open_descriptor_is_found_by_its_number() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let found = descriptors(&Task::default());
        assert_eq!(found.verdict, Verdict::Wrong);
        assert!(found.outcome.contains(&format!("{number} (/proc/")), "{found:?}");
        let all = Task { descriptors: (3..DESCRIPTORS).collect(), ..Task::default() };
        assert_eq!(descriptors(&all), Finding::ok("none"));
    }
}
