//! Mounts: libraries and directories of the host. Nothing becomes writable by a file's word, no socket comes in by it,
//! and nothing of the sandbox's own is covered.

use std::path::Path;

use super::{CdiMount, CdiProblem, Ground, Part, Planner};
use crate::host::gpu::cdi::MountEdit;
use crate::host::paths::{Kind, PathFact, Present};

/// Sockets, and directories of them, that NVIDIA's files ask for; with the class that grants one.
const SOCKETS: &[(&str, Option<&str>)] = &[
    ("/run/nvidia-persistenced/socket", None),
    ("/run/nvidia-fabricmanager/socket", None),
    ("/run/nvidia-topologyd", None),
    ("/tmp/nvidia-mps", Some("mps")),
];

/// Options that change nothing here: every mount is private, and gets the rest of its attributes from the host's.
const IDLE: &[&str] = &[
    "bind",
    "rbind",
    "rw",
    "nosuid",
    "nodev",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
    "relatime",
    "norelatime",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "strictatime",
    "async",
    "sync",
    "dirsync",
    "suid",
    "dev",
    "exec",
    "defaults",
    "nosymfollow",
    "symfollow",
];

/// Directories that are the sandbox's own, or the kernel's.
const NOT_COVERED: &[&str] = &["/proc", "/sys", "/dev"];

/// Directories in whose place a file cannot put another: programs, libraries, what all of a machine is made of.
const WHOLE: &[&str] = &[
    "/",
    "/bin",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/usr/share",
    "/var",
];

/// Files that decide which code every program runs.
const LOADER: &[&str] = &["/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld.so.conf"];

impl<'a> Planner<'a> {
    pub(super) fn mounts(&mut self, parts: &[Part<'a>]) {
        let mut there = 0;
        for (part, mount) in last_words(parts) {
            there += usize::from(self.mount(&part, mount) == Done::There);
        }
        if there > 0 {
            let what = if there == 1 { "1 mount is" } else { &format!("{there} mounts are") };
            self.plan.notes.push(format!("cdi: {what} not made: the sandbox shows the same at the same path anyway"));
        }
    }

    fn mount(&mut self, part: &Part<'a>, mount: &MountEdit) -> Done {
        let MountEdit { place, host_path: source, container_path: target, .. } = mount;
        if self.unusual(part, mount) || self.socket(part, mount) {
            return Done::Else;
        }
        if let Some(path) = refused_target(target).or_else(|| covered(source, target)) {
            self.fail(part, *place, CdiProblem::Covers { target: path.to_owned() });
            return Done::Else;
        }
        if NOT_COVERED.iter().any(|top| source.starts_with(top)) && !source.starts_with("/dev/shm") {
            self.fail(part, *place, CdiProblem::KernelSource { path: source.clone() });
            return Done::Else;
        }
        if let Some(by) = [source, target].into_iter().find_map(|path| (self.around.denied)(path)) {
            self.note(part, *place, format!("{} is not mounted: it is denied ({by})", target.display()));
            return Done::Else;
        }
        let Some(PathFact::Present(present)) = self.specs.paths.get(source) else {
            self.fail(part, *place, CdiProblem::SourceMissing { path: source.clone() });
            return Done::Else;
        };
        if let Some(by) = (self.around.denied)(&present.path) {
            self.note(part, *place, format!("{} is not mounted: it is denied ({by})", target.display()));
            return Done::Else;
        }
        if source == target && matches!((self.around.ground)(source), Ground::Shown | Ground::Writable) {
            return Done::There;
        }
        if let Some(socket) = self.specs.sockets.iter().find(|socket| socket.starts_with(&present.path)) {
            let (target, socket) = (target.display(), socket.display());
            self.note(part, *place, format!("{target} is not mounted: it holds the socket {socket} of the host"));
            return Done::Else;
        }
        if source == target {
            self.same(part, mount);
            return Done::Else;
        }
        let made = self.elsewhere(part, mount, present);
        self.plan.mounts.extend(made);
        Done::Else
    }

    /// Under its own name it need not be mounted, only be seen.
    fn same(&mut self, part: &Part<'a>, mount: &MountEdit) {
        let path = &mount.host_path;
        if !self.plan.read_paths.iter().any(|(known, _)| known == path) {
            let because = self.because(part, mount.place);
            self.plan.read_paths.push((path.clone(), because));
        }
    }

    fn elsewhere(&mut self, part: &Part<'a>, mount: &MountEdit, present: &Present) -> Option<CdiMount> {
        let MountEdit { place, host_path: source, container_path: target, .. } = mount;
        let dir = present.kind == Kind::Dir;
        if present.link.is_some() || !dir && present.kind != Kind::File {
            self.fail(part, *place, CdiProblem::SourceKind { path: source.clone(), link: present.link.is_some() });
            return None;
        }
        if (self.around.ruled_below)(target) {
            self.fail(part, *place, CdiProblem::Covers { target: target.clone() });
            return None;
        }
        let onto = match (self.around.ground)(target) {
            Ground::Anew => None,
            Ground::Hidden | Ground::Writable => {
                self.fail(part, *place, CdiProblem::Covers { target: target.clone() });
                return None;
            }
            Ground::Shown => match self.specs.paths.get(target) {
                Some(PathFact::Present(there)) if there.path == *target && (there.kind == Kind::Dir) == dir => {
                    Some(there.id)
                }
                _ => {
                    self.fail(part, *place, CdiProblem::NoMountPoint { target: target.clone(), dir });
                    return None;
                }
            },
        };
        if let Some(by) = (self.around.denied_within)(&present.path) {
            let (target, source) = (target.display(), source.display());
            self.note(part, *place, format!("{target} is not mounted: something in {source} must not be seen ({by})"));
            return None;
        }
        if !mount.options.iter().any(|option| option == "ro") {
            self.note(
                part,
                *place,
                format!("{} is read-only: under another name nothing is written", target.display()),
            );
        }
        let because = self.because(part, *place);
        let (source, id) = (present.path.clone(), present.id);
        Some(CdiMount { source, id, dir, target: target.clone(), onto, because })
    }

    /// Mounts of other kinds, and options that say something that is not done here.
    fn unusual(&mut self, part: &Part<'a>, mount: &MountEdit) -> bool {
        if let Some(kind) = mount.kind.as_deref().filter(|kind| !matches!(*kind, "bind" | "none")) {
            self.fail(part, mount.place, CdiProblem::MountKind { kind: kind.to_owned() });
            return true;
        }
        for option in &mount.options {
            match option.as_str() {
                "ro" => {}
                // Of no use where everything else can be run, and of a socket it says nothing.
                "noexec" if self.is_socket(&mount.host_path) => {}
                "noexec" => {
                    self.note(part, mount.place, format!("{}: noexec is not kept", mount.container_path.display()));
                }
                idle if IDLE.contains(&idle) => {}
                other => {
                    self.fail(part, mount.place, CdiProblem::MountOption { option: other.to_owned() });
                    return true;
                }
            }
        }
        false
    }

    fn is_socket(&self, path: &Path) -> bool {
        let is = |fact: &PathFact| matches!(fact, PathFact::Present(present) if present.kind == Kind::Socket);
        known_socket(path).is_some() || self.specs.paths.get(path).is_some_and(is)
    }

    /// Whoever may connect to a socket of the host asks a program outside to do something.
    fn socket(&mut self, part: &Part<'a>, mount: &MountEdit) -> bool {
        let source = &mount.host_path;
        if !self.is_socket(source) {
            return false;
        }
        match known_socket(source).flatten() {
            Some(_) if (self.around.denied)(source).is_some() => {
                self.note(part, mount.place, format!("{} is left out: it is denied", source.display()));
            }
            Some(class) if (self.around.granted)(class) => {
                let because = self.because(part, mount.place);
                self.plan.sockets.push((source.clone(), because));
            }
            Some(class) => {
                self.note(part, mount.place, format!("{} is left out: it needs the class {class}", source.display()));
            }
            None => {
                let what = format!("{} is left out: sockets of the host are granted one by one", source.display());
                self.note(part, mount.place, what);
            }
        }
        true
    }
}

/// What became of a mount.
#[derive(PartialEq, Eq)]
enum Done {
    /// The same is there anyway.
    There,
    /// It was noted down, left out or refused.
    Else,
}

/// Whether a path is in [`SOCKETS`], with the class that grants it. `/var/run` is `/run`.
fn known_socket(path: &Path) -> Option<Option<&'static str>> {
    let run = path.strip_prefix("/var/run").map(|rest| Path::new("/run").join(rest));
    let path = run.as_deref().unwrap_or(path);
    SOCKETS.iter().find(|(known, _)| path.starts_with(known)).map(|(_, class)| *class)
}

/// What of the sandbox's own a mount would cover.
fn refused_target(target: &Path) -> Option<&Path> {
    let in_shm = target.starts_with("/dev/shm") && target != Path::new("/dev/shm");
    let special = NOT_COVERED.iter().any(|top| target.starts_with(top)) && !in_shm;
    let loader = LOADER.iter().any(|own| target == Path::new(own));
    let ours = target.starts_with("/etc/ringfence");
    (special || loader || ours).then_some(target)
}

/// One of [`WHOLE`], if something else is to be there.
fn covered<'a>(source: &Path, target: &'a Path) -> Option<&'a Path> {
    let is_whole = WHOLE.iter().any(|own| target == Path::new(own));
    (is_whole && source != target).then_some(target)
}

/// All mounts, of those with one target the last: it replaces the ones before.
fn last_words<'a>(parts: &[Part<'a>]) -> Vec<(Part<'a>, &'a MountEdit)> {
    let all: Vec<_> = parts.iter().flat_map(|part| part.edits.mounts.iter().map(move |mount| (*part, mount))).collect();
    let mut last = std::collections::BTreeMap::new();
    for (at, (_, mount)) in all.iter().enumerate() {
        last.insert(mount.container_path.as_path(), at);
    }
    let counts =
        |(at, (_, mount)): &(usize, (Part<'_>, &MountEdit))| last.get(mount.container_path.as_path()) == Some(at);
    all.iter().copied().enumerate().filter(counts).map(|(_, found)| found).collect()
}
