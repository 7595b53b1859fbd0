//! Steps about the process: what it reads of itself and of the machine, names of threads, sockets.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::Task;
use super::finding::{Finding, errno, name};
use crate::sys;

/// Opens a file and reads its beginning.
pub(super) fn read(path: &str) -> Result<String, Errno> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        match rustix::io::read(&file, text.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Step 1.
pub(super) fn itself(_: &Task) -> Finding {
    let judge = |path: &str, looked: Result<(), Errno>| match looked {
        Ok(()) => Finding::ok("ok"),
        Err(error) => Finding::wrong(
            name(error),
            format!("`{path}`: without a /proc that shows the process, no GPU library starts"),
        ),
    };
    let files = ["/proc/self/maps", "/proc/self/status"].map(|path| judge(path, read(path).map(drop)));
    let link = "/proc/self/ns/pid";
    let link = judge(link, rustix::fs::readlink(link, Vec::new()).map(drop));
    Finding::worst(files.into_iter().chain([link]))
}

/// Step 2.
pub(super) fn numa(_: &Task) -> Finding {
    const NODES: &str = "/sys/devices/system/node";
    let judge = |path: &str, looked: Result<(), Errno>| match looked {
        Ok(()) => Finding::ok("ok"),
        Err(Errno::NOENT) => Finding::ok("absent"),
        Err(error) => Finding::wrong(name(error), format!("`{path}` cannot be read: memory is placed without NUMA")),
    };
    let listed = judge(NODES, std::fs::read_dir(NODES).map(drop).map_err(|error| errno(&error)));
    let map = format!("{NODES}/node0/cpumap");
    let map = judge(&map, read(&map).map(drop));
    let policy = match sys::memory::policy().map_err(|error| errno(&error)) {
        Ok(()) | Err(Errno::NOSYS) => Finding::ok("ok"),
        Err(error) => Finding::wrong(format!("get_mempolicy: {}", name(error)), "a filter refuses get_mempolicy"),
    };
    Finding::worst([listed, map, policy])
}

/// Step 6.
pub(super) fn sizes(_: &Task) -> Finding {
    let paths = ["/proc/sys/vm/mmap_min_addr", "/sys/devices/system/memory/block_size_bytes"];
    Finding::worst(paths.map(|path| match read(path) {
        Ok(_) => Finding::ok("ok"),
        Err(Errno::NOENT) => Finding::tolerated("ENOENT", format!("`{path}` is absent: a default is taken")),
        Err(error) => Finding::wrong(name(error), format!("`{path}` cannot be read")),
    }))
}

/// Step 15: libcuda's socket, by which processes share memory.
pub(super) fn socket(task: &Task) -> Finding {
    let attempt = || {
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        let name = format!("cuda-uvmfd-probe-{}", std::process::id());
        bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        listen(&socket, 1)
    };
    match attempt() {
        Ok(()) => Finding::ok("ok"),
        Err(error) => {
            Finding::matters(task.nvidia(), name(error), "abstract sockets cannot be bound: cuInit answers 304")
        }
    }
}

/// Names a new thread of this process, as libcuda names its own.
fn name_thread() -> Result<(), Errno> {
    let write = || {
        let path = format!("/proc/self/task/{}/comm", rustix::thread::gettid().as_raw_nonzero());
        let file = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, b"cuda-probe").map(drop)
    };
    let thread = std::thread::Builder::new().spawn(write).map_err(|error| errno(&error))?;
    thread.join().unwrap_or(Err(Errno::IO))
}

fn judge_comm(task: &Task, named: Result<(), Errno>, whose: &str) -> Finding {
    match named {
        Ok(()) => Finding::ok("ok"),
        Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
            Finding::wrong(name(error), format!("comm {whose} is absent: /proc is hidden, and cuInit answers 304"))
        }
        Err(error) => Finding::matters(
            task.nvidia(),
            name(error),
            format!("comm {whose} cannot be written: cuInit answers 304 (drivers from 570 on)"),
        ),
    }
}

/// Step 16.
pub(super) fn comm(task: &Task) -> Finding {
    judge_comm(task, name_thread(), "of a thread")
}

/// Step 16, where a rule that is bound to one process does not reach.
pub(super) fn comm_in_child(task: &Task) -> Finding {
    let named = sys::process::try_inside(0, name_thread).map_err(|error| errno(&error));
    judge_comm(task, named, "in a child")
}

/// Step 16, one generation further.
pub(super) fn comm_in_grandchild(task: &Task) -> Finding {
    let below = || sys::process::try_inside(0, name_thread).map_err(|error| errno(&error));
    let named = sys::process::try_inside(0, below).map_err(|error| errno(&error));
    judge_comm(task, named, "in a grandchild")
}

/// Step 17: a server of the host would run the work in a process of its own, outside.
pub(super) fn mps(task: &Task) -> Finding {
    let directory = std::env::var_os("CUDA_MPS_PIPE_DIRECTORY").filter(|path| !path.is_empty());
    let path = directory.map_or_else(|| PathBuf::from("/tmp/nvidia-mps"), PathBuf::from).join("control");
    let attempt = || {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(&path)?)
    };
    judge_mps(task, attempt(), &path)
}

fn judge_mps(task: &Task, reached: Result<(), Errno>, path: &Path) -> Finding {
    let shown = path.display();
    match reached {
        Ok(()) | Err(Errno::PROTOTYPE | Errno::AGAIN) if task.mps || task.unconfined => Finding::ok("reachable"),
        Err(error) if task.mps => Finding::wrong(
            name(error),
            format!("`{shown}` is granted and cannot be reached: CUDA_MPS_PIPE_DIRECTORY has to name its directory"),
        ),
        Err(Errno::NOENT | Errno::NOTDIR) => Finding::ok("absent"),
        Ok(()) | Err(Errno::PROTOTYPE | Errno::AGAIN) => Finding::wrong(
            "reachable",
            format!("`{shown}` is a server of the host: it runs the work in its own process, outside of the sandbox"),
        ),
        Err(Errno::CONNREFUSED) => Finding::tolerated("ECONNREFUSED", format!("nobody listens at `{shown}`")),
        Err(error) => {
            Finding::matters(task.nvidia(), name(error), format!("`{shown}` is denied where it should be absent"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict;

    #[test]
    fn threads_are_named_here() {
        // Not in a child: a copy of one of many threads of a test must not allocate.
        let task = Task::default();
        assert_eq!(comm(&task), Finding::ok("ok"));
        let gpu = Task { granted: vec!["/dev/nvidiactl".into()], ..Task::default() };
        assert_eq!(judge_comm(&gpu, Err(Errno::ACCESS), "x").verdict, Verdict::Wrong);
        assert_eq!(judge_comm(&task, Err(Errno::ACCESS), "x").verdict, Verdict::Tolerated);
        assert_eq!(judge_comm(&task, Err(Errno::NOENT), "x").verdict, Verdict::Wrong);
    }

    #[test]
    fn a_server_of_the_host_is_wrong_unless_it_is_granted() {
        let table = [
            (false, Ok(()), Verdict::Wrong),
            (false, Err(Errno::NOENT), Verdict::Ok),
            (false, Err(Errno::CONNREFUSED), Verdict::Tolerated),
            (true, Ok(()), Verdict::Ok),
            (true, Err(Errno::PROTOTYPE), Verdict::Ok),
            (true, Err(Errno::NOENT), Verdict::Wrong),
        ];
        for (mps, reached, want) in table {
            let task = Task { mps, ..Task::default() };
            assert_eq!(judge_mps(&task, reached, Path::new("/x/control")).verdict, want, "{mps} {reached:?}");
        }
    }

    #[test]
    fn a_file_is_read_and_a_missing_one_is_an_error() {
        assert!(read("/proc/self/status").unwrap().contains("Name:"));
        assert_eq!(read("/proc/self/missing"), Err(Errno::NOENT));
        assert_eq!(itself(&Task::default()), Finding::ok("ok"));
    }
}
