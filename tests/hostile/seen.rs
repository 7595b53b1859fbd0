//! What can be seen from outside: the lab's files, and the processes of the attack while it holds still.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::case::Got;
use crate::lab::Lab;

/// What must not change: everything below these directories of the lab, as text by path.
pub fn fingerprint(lab: &Lab) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut queue: Vec<_> = ["out", "home", "vault"].iter().map(|name| PathBuf::from(lab.path(name))).collect();
    while let Some(path) = queue.pop() {
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            queue.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        let told = describe(&path);
        found.insert(path, told);
    }
    found
}

fn describe(path: &Path) -> String {
    let Ok(meta) = fs::symlink_metadata(path) else { return "gone".to_owned() };
    let content = if meta.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let mut names = vec![0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let times = (meta.mtime(), meta.mtime_nsec());
    // Contents and entries of a directory have rows of their own.
    let times = if meta.is_dir() { (0, 0) } else { times };
    format!(
        "{:o} {}:{} {times:?} {} {:?}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        String::from_utf8_lossy(&names[..length]),
        String::from_utf8_lossy(&content)
    )
}

/// The first difference; `lenient`: but for new entries with nothing in them.
pub fn changed(before: &BTreeMap<PathBuf, String>, lab: &Lab, lenient: bool) -> Option<String> {
    let now = fingerprint(lab);
    let paths: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let is_empty = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        Ok(found) => found.is_file() && found.len() == 0,
        Err(_) => false,
    };
    let is_litter = |path: &Path| lenient && !before.contains_key(path) && is_empty(path);
    let differs = |path: &&&PathBuf| before.get(**path) != now.get(**path) && !is_litter(path);
    let path = paths.iter().find(differs)?;
    Some(format!("{} was {:?} and is {:?}", path.display(), before.get(*path), now.get(*path)))
}

/// Whether a text occurs in a file below the workspace.
pub fn lies_in(directory: &Path, text: &str) -> Option<String> {
    let mut queue = vec![directory.to_owned()];
    while let Some(path) = queue.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            queue.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if meta.is_file() && fs::read(&path).is_ok_and(|content| contains(&content, text)) {
            return Some(format!("the secret lies in {}", path.display()));
        }
    }
    None
}

pub fn contains(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The processes of the attack: ours are not Python.
fn attackers(lab: &Lab) -> Vec<i32> {
    let is_python = |pid: &i32| link(*pid, "exe").contains("python") || link(*pid, "exe").contains("setuid");
    lab.processes().into_iter().filter(is_python).collect()
}

fn link(pid: i32, name: &str) -> String {
    fs::read_link(format!("/proc/{pid}/{name}")).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect()
}

fn status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().trim().to_owned()
}

/// What is to be seen while the command holds still.
pub fn holding(lab: &Lab, got: Got, mark: &str) -> Option<String> {
    let pids = attackers(lab);
    let descriptor = |test: &dyn Fn(i32, &str) -> Option<String>| {
        pids.iter().find_map(|pid| descriptors(*pid).iter().find_map(|fd| test(*pid, fd)))
    };
    match got {
        Got::Holds(text) => descriptor(&|pid, fd| Some(link(pid, &format!("fd/{fd}"))).filter(|to| to.contains(text))),
        Got::Writes(text) => descriptor(&|pid, fd| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default().trim();
            let writes = u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & 3 != 0);
            Some(link(pid, &format!("fd/{fd}"))).filter(|to| writes && to.contains(text))
        }),
        Got::Socket(protocol) => descriptor(&|pid, fd| {
            let mut name = [0_u8; 64];
            let length =
                rustix::fs::getxattr(format!("/proc/{pid}/fd/{fd}"), "system.sockprotoname", &mut name[..]).ok()?;
            let name = String::from_utf8_lossy(&name[..length]).trim_end_matches('\0').to_owned();
            (name == protocol).then(|| format!("a socket of {name}"))
        }),
        Got::Device(major, minor) => descriptor(&|pid, fd| {
            let found = rustix::fs::stat(format!("/proc/{pid}/fd/{fd}")).ok()?;
            let is_device = rustix::fs::FileType::from_raw_mode(found.st_mode).is_char_device();
            let number = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
            (is_device && number == (major, minor)).then(|| format!("device {major}:{minor} is open"))
        }),
        Got::Namespaces => ["user", "mnt", "net", "ipc", "uts", "pid", "cgroup", "time"].iter().find_map(|kind| {
            let found: BTreeSet<_> = pids.iter().map(|pid| link(*pid, &format!("ns/{kind}"))).collect();
            (found.len() > 1).then(|| format!("namespaces {found:?}"))
        }),
        Got::Mounted => pids.iter().find_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            text.lines().find(|line| line.contains(mark)).map(str::to_owned)
        }),
        Got::Privileged => pids.iter().find_map(|pid| {
            let capabilities = status(*pid, "CapEff:");
            let root = !lab.user.is_root() && status(*pid, "Uid:").split_whitespace().nth(1) == Some("0");
            (root || !capabilities.trim_start_matches('0').is_empty())
                .then(|| format!("effective {capabilities}, root {root}"))
        }),
        Got::Changed | Got::Told | Got::Outside | Got::Made(_) | Got::Lives => None,
    }
}
