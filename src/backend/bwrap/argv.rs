//! Plan → arguments of bubblewrap: a pure function.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

use super::INNER;
use crate::plan::Confinement;
use crate::plan::mounts::{Mount, MountOp, RootView};
use crate::policy::tables::{BASE_DEVICES, DEV_LINKS};
use crate::request::Net;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// As it is.
    Text(OsString),
    /// The number of a descriptor that an empty file can be read from.
    Empty,
    /// The number of a descriptor that this can be read from.
    Data(Vec<u8>),
    /// The number of a descriptor that the inner stage's program can be read from.
    Inner,
}

impl<T: Into<OsString>> From<T> for Argument {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// Where the program of the inner stage comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This path of the host, which was compared with what runs.
    Path(OsString),
    /// A descriptor: no path leads to it any more.
    Descriptor,
}

/// The options for a confinement, without the command.
///
/// # Errors
/// The operation that bubblewrap has no words for. The choice of a backend knows them, so none comes here.
pub fn options<'a>(
    confinement: &Confinement,
    ops: &'a [MountOp],
    cwd: &Path,
    program: &Program,
) -> Result<Vec<Argument>, &'a MountOp> {
    let size = confinement.mounts.tmpfs_size.as_ref().map(|said| said.value.to_string());
    let mut out = Arguments { words: Vec::new(), size };
    out.add(["--new-session"]);
    if confinement.pid_namespace.value {
        // Else our inner stage outlives the supervisor, to end what the command has left.
        out.add(["--die-with-parent"]);
    }
    match confinement.mounts.root {
        RootView::HostReadOnly => out.add(["--ro-bind", "/", "/"]),
        RootView::HostWritable => out.add(["--bind", "/", "/"]),
        RootView::Empty => out.add(["--tmpfs", "/"]),
    }
    let seals_root = |op: &&MountOp| op.target == Path::new("/");
    out.devices(ops, program)?;
    for op in ops.iter().filter(|op| !below("/dev")(op) && !below("/proc")(op) && !seals_root(op)) {
        out.operation(op)?;
    }
    out.add(["--unshare-user", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    if confinement.pid_namespace.value {
        // Our inner stage is the reaper.
        out.add(["--unshare-pid", "--as-pid-1"]);
    }
    if confinement.net.value != Net::Host {
        out.add(["--unshare-net"]);
    }
    for op in ops.iter().filter(below("/proc")).chain(ops.iter().filter(seals_root)) {
        out.operation(op)?;
    }
    out.add(["--chdir"]);
    out.path(cwd);
    out.add(["--cap-drop", "ALL"]);
    Ok(out.words)
}

fn below(top: &'static str) -> impl Fn(&&MountOp) -> bool {
    move |op: &&MountOp| op.target.starts_with(top)
}

struct Arguments {
    words: Vec<Argument>,
    /// What each tmpfs may hold that the command can write.
    size: Option<String>,
}

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.words.extend(words.map(Argument::from));
    }

    fn path(&mut self, path: impl Into<OsString>) {
        self.words.push(Argument::Text(path.into()));
    }

    /// `OPTION PATH PATH`: something of the host at its own place.
    fn same(&mut self, option: &str, path: &Path) {
        self.add([option]);
        self.path(path);
        self.path(path);
    }

    /// `OPTION SOURCE PATH`: something of the host at another place.
    fn other(&mut self, option: &str, source: &Path, path: &Path) {
        self.add([option]);
        self.path(source);
        self.path(path);
    }

    fn at(&mut self, option: &str, path: &Path) {
        self.add([option]);
        self.path(path);
    }

    /// `/dev`: bubblewrap has a word for all of it, but for a policy that denies it.
    fn devices<'a>(&mut self, ops: &'a [MountOp], program: &Program) -> Result<(), &'a MountOp> {
        let whole = ops.iter().any(|op| op.what == Mount::Devpts);
        for op in ops.iter().filter(below("/dev")) {
            let top = op.target == Path::new("/dev");
            match op.what {
                Mount::Tmpfs { .. } if top && whole => {
                    self.at("--dev", &op.target);
                    self.denied_devices(ops);
                }
                Mount::Seal if top => {
                    self.inner(program);
                    self.operation(op)?;
                }
                _ => self.device(op)?,
            }
        }
        Ok(())
    }

    /// `--dev` makes every base node: those that the plan leaves out are hidden.
    fn denied_devices(&mut self, ops: &[MountOp]) {
        for (path, ..) in BASE_DEVICES.iter().filter(|(path, ..)| !ops.iter().any(|op| op.target == Path::new(path))) {
            self.hide_file(Path::new(path));
        }
    }

    fn hide_file(&mut self, path: &Path) {
        self.add(["--perms", "000", "--ro-bind-data"]);
        self.words.push(Argument::Empty);
        self.path(path);
    }

    /// In `/dev`: what `--dev` makes need not be said.
    fn device<'a>(&mut self, op: &'a MountOp) -> Result<(), &'a MountOp> {
        let is_base = BASE_DEVICES.iter().any(|(path, ..)| op.target == Path::new(path));
        let is_link = DEV_LINKS.iter().any(|(path, _)| op.target == Path::new(path));
        match &op.what {
            Mount::Devpts => Ok(()),
            Mount::Device { .. } if is_base => Ok(()),
            Mount::Link { .. } if is_link => Ok(()),
            _ => self.operation(op),
        }
    }

    /// The inner stage's program goes where every view has a directory of its own.
    fn inner(&mut self, program: &Program) {
        match program {
            Program::Path(path) => {
                self.add(["--ro-bind"]);
                self.path(path.clone());
            }
            Program::Descriptor => {
                self.add(["--perms", "555", "--ro-bind-data"]);
                self.words.push(Argument::Inner);
            }
        }
        self.add([INNER]);
    }

    fn operation<'a>(&mut self, op: &'a MountOp) -> Result<(), &'a MountOp> {
        let path = &op.target;
        match &op.what {
            Mount::Bind { writable: true, .. } => self.same("--bind", path),
            // Where none could be made, the command cannot make one either.
            Mount::Block { .. } => self.same("--ro-bind-try", path),
            // The sandbox's own, which stands there already: bound from outside, it would be the host's.
            Mount::ReadOnly if path == Path::new("/proc") => self.at("--remount-ro", path),
            Mount::Bind { writable: false, .. } | Mount::ReadOnly => self.same("--ro-bind", path),
            Mount::Device { source: None, .. } => self.same("--dev-bind", path),
            Mount::Device { source: Some(source), .. } => self.other("--dev-bind", source, path),
            Mount::Other { source, .. } => self.other("--ro-bind", source, path),
            Mount::Mask { dir: true, .. } => {
                self.add(["--perms", "000"]);
                self.at("--tmpfs", path);
                self.at("--remount-ro", path);
            }
            Mount::Mask { dir: false, .. } => self.hide_file(path),
            Mount::Data { bytes, .. } => {
                self.add(["--perms", "444", "--ro-bind-data"]);
                self.words.push(Argument::Data(bytes.clone()));
                self.path(path);
            }
            // Looked after from outside.
            Mount::Guard => {}
            Mount::Veil { .. } => {
                self.add(["--perms", "111"]);
                self.at("--tmpfs", path);
            }
            Mount::Tmpfs { mode, .. } => {
                if let Some(size) = self.size.clone() {
                    self.add(["--size", &size]);
                }
                self.add(["--perms", &format!("{mode:o}")]);
                self.at("--tmpfs", path);
            }
            Mount::Dir => self.at("--dir", path),
            Mount::Link { to } => {
                self.add(["--symlink"]);
                self.path(to.clone());
                self.path(path);
            }
            Mount::Proc => self.at("--proc", path),
            // Only where nothing is mounted.
            Mount::Closed => {}
            Mount::Seal => self.at("--remount-ro", path),
            Mount::Pin { .. } | Mount::Plug { .. } | Mount::Devices | Mount::Devpts => return Err(op),
        }
        Ok(())
    }
}
