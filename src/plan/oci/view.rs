//! The file system view in OCI's words: mounts in the plan's order, and the files of the bundle that some of them show.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::spec::{DeviceRule, Mount as OciMount};
use super::{Item, Lost, Made};
use crate::plan::mounts::{Mount, MountOp, MountPlan, RootView};
use crate::policy::tables::{BASE_DEVICES, DEV_LINKS, PROC_OF_INIT};
use crate::request::Origin;

/// The root in the bundle.
pub(super) const ROOTFS: &str = "rootfs";

/// The unreadable directory and file in the bundle, shown in the place of what is hidden.
const HIDDEN: [&str; 2] = ["hidden/file", "hidden/directory"];

/// What stands in `/` of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Top {
    /// A directory, shown with all that is mounted in it.
    Dir,
    /// A directory that the caller can neither list nor enter, as nobody can inside: crun cannot even bind it.
    Closed,
    /// A file.
    File,
    /// A link, made anew.
    Link(OsString),
}

/// What becomes of the view.
#[derive(Debug, Default)]
pub(super) struct View {
    pub mounts: Vec<OciMount>,
    pub masked: Vec<String>,
    pub readonly: Vec<String>,
    pub devices: Vec<DeviceRule>,
    /// What the bundle holds beside its configuration.
    pub items: Vec<Item>,
    pub lost: Vec<Lost>,
    /// Protected names that are missing, and that the command can make.
    pub unblocked: Vec<String>,
    /// Directories of the bundle that are shown inside: where, and their path in the bundle.
    ours: Vec<(PathBuf, Option<PathBuf>)>,
    size: Option<u64>,
    /// Whether the caller is uid 0, to whom the host's device nodes belong.
    root: bool,
}

/// The view of a plan. `top` is what stands in `/`, where the root is the host's.
pub(super) fn view(plan: &MountPlan, top: &[(OsString, Top)], uid: u32) -> View {
    let MountPlan { root, ops, tmpfs_size } = plan;
    let rootfs = (PathBuf::from("/"), Some(PathBuf::from(ROOTFS)));
    let size = tmpfs_size.as_ref().map(|said| said.value);
    let mut view = View { ours: vec![rootfs], size, root: uid == 0, ..View::default() };
    view.item(ROOTFS.into(), Made::Dir(0o755));
    for (at, mode) in HIDDEN.into_iter().zip([Made::File(0, Vec::new()), Made::Dir(0)]) {
        view.item(at.into(), mode);
    }
    view.devices.push(DeviceRule { allow: false, kind: None, major: None, minor: None, access: "rwm" });
    if *root != RootView::Empty {
        let writable = *root == RootView::HostWritable;
        top.iter().for_each(|(name, what)| view.top(&Path::new("/").join(name), what, writable, ops));
    }
    ops.iter().for_each(|op| view.operation(op));
    view.mask_devices(ops);
    // What is bound onto itself brings along what is mounted in it: parents first.
    view.readonly.sort();
    view
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn options(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl View {
    fn item(&mut self, path: PathBuf, what: Made) {
        if !self.items.iter().any(|item| item.path == path) {
            self.items.push(Item { path, what });
        }
    }

    fn lose(&mut self, code: &'static str, what: String, by: &Origin, required: bool) {
        self.lost.push(Lost { code, what, by: by.clone(), required });
    }

    fn mount(&mut self, target: &Path, kind: &'static str, source: impl Into<String>, words: &[&str]) {
        let mount = OciMount { destination: text(target), kind, source: source.into(), options: options(words) };
        self.mounts.push(mount);
    }

    /// Something of the host, or a path in the bundle.
    fn bind(&mut self, source: &Path, target: &Path, dir: bool, writable: bool) {
        let words: &[&str] = match (dir, writable) {
            (true, true) => &["rbind", "rw", "rprivate", "rnosuid", "rnodev"],
            (true, false) => &["rbind", "ro", "rprivate", "rro", "rnosuid", "rnodev"],
            (false, true) => &["bind", "rw", "private", "nosuid", "nodev"],
            (false, false) => &["bind", "ro", "private", "nosuid", "nodev"],
        };
        self.mount(target, "bind", text(source), words);
        self.again_read_only(target, writable);
        // What lies below is the host's, and needs no mount point of ours.
        self.ours.push((target.to_owned(), None));
    }

    /// `/dev` is bound onto itself to make it read-only, and crun 1.8 brings what is mounted in it along as it was before.
    fn again_read_only(&mut self, target: &Path, writable: bool) {
        if !writable && target.starts_with("/dev") {
            self.readonly.push(text(target));
        }
    }

    /// An entry of the host's root, unless something stands in its place.
    fn top(&mut self, path: &Path, what: &Top, writable: bool, ops: &[MountOp]) {
        let replaced = ops.iter().any(|op| op.target == path && !matches!(op.what, Mount::Seal | Mount::ReadOnly));
        match what {
            Top::Link(to) => self.item(Path::new(ROOTFS).join(relative(path)), Made::Link(to.clone())),
            Top::Closed => self.item(Path::new(ROOTFS).join(relative(path)), Made::Dir(0)),
            Top::Dir | Top::File if replaced => {}
            Top::Dir | Top::File => {
                let dir = *what == Top::Dir;
                self.point(path, dir);
                self.bind(path, path, dir, writable);
            }
        }
    }

    /// Makes a mount point, where it lies in a directory of the bundle. In others it is there, or the runtime makes it.
    fn point(&mut self, target: &Path, dir: bool) {
        let what = if dir { Made::Dir(0o755) } else { Made::File(0o644, Vec::new()) };
        if let Some(path) = self.in_bundle(target) {
            self.item(path, what);
        }
    }

    /// Where in the bundle something inside is, unless a mount stands above it.
    fn in_bundle(&self, target: &Path) -> Option<PathBuf> {
        let above = self.ours.iter().rev().find(|(at, _)| target.starts_with(at) && target != at)?;
        let below = target.strip_prefix(&above.0).ok()?;
        Some(above.1.as_ref()?.join(below))
    }

    fn operation(&mut self, op: &MountOp) {
        let MountOp { target, what, because } = op;
        let in_proc = target.starts_with("/proc") && target != Path::new("/proc");
        match what {
            Mount::Mask { .. } if in_proc => self.masked.push(text(target)),
            Mount::Bind { .. } | Mount::Other { .. } | Mount::Data { .. } | Mount::Veil { .. } if in_proc => {
                let what = format!("{} cannot be shown: runtimes mount nothing in /proc", target.display());
                self.lose("oci.proc_unavailable", what, because, true);
            }
            Mount::Bind { id: _, dir, writable, make: _ } => {
                self.point(target, *dir);
                self.bind(target, target, *dir, *writable);
            }
            Mount::Other { source, id: _, dir, onto: _ } => {
                self.point(target, *dir);
                self.bind(source, target, *dir, false);
            }
            Mount::Device { source, major, minor, read_only } => {
                self.device(op, source.as_deref().unwrap_or(target), (*major, *minor), *read_only);
            }
            Mount::Devices => {
                self.mount(target, "bind", text(target), &["rbind", "rw", "rprivate", "nosuid"]);
                self.devices.push(DeviceRule { allow: true, kind: None, major: None, minor: None, access: "rwm" });
                self.ours.push((target.clone(), None));
            }
            Mount::Pin { .. } | Mount::Plug { .. } => self.lose(
                "oci.link_unavailable",
                format!("the link {} can be followed and replaced: runtimes mount on no link", target.display()),
                because,
                because.is_explicit() || matches!(what, Mount::Plug { .. }),
            ),
            Mount::Mask { id, dir } => self.mask(target, id.is_some(), *dir),
            Mount::Veil { .. } => self.veil(target),
            Mount::Block { .. } | Mount::Guard if because.is_explicit() => {
                let what = format!("{} is missing, and a mount needs something to stand on", target.display());
                self.lose("oci.placeholder_unavailable", what, because, true);
            }
            Mount::Block { .. } | Mount::Guard => self.unblocked.push(text(target)),
            Mount::Tmpfs { mode, make: _ } => self.tmpfs(target, *mode),
            Mount::Dir => self.point(target, true),
            Mount::Link { to } => self.link(op, to),
            Mount::Devpts => {
                let words = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
                self.mount(target, "devpts", "devpts", &words);
            }
            Mount::Proc => {
                self.point(target, true);
                self.mount(target, "proc", "proc", &["nosuid", "nodev", "noexec"]);
                self.ours.push((target.clone(), None));
            }
            Mount::Data { bytes, make: _ } => self.data(target, bytes),
            // The first process is the command itself, which may have its own files.
            Mount::ReadOnly if target == Path::new(PROC_OF_INIT) => {}
            // A directory of the bundle is bound read-only as it is.
            Mount::Seal if self.is_of_bundle(target) => {}
            Mount::ReadOnly | Mount::Seal => self.readonly.push(text(target)),
            // Only where Landlock alone enforces.
            Mount::Closed => {}
        }
    }

    fn is_of_bundle(&self, target: &Path) -> bool {
        self.ours.iter().rev().find(|(at, _)| at == target).is_some_and(|(_, bundle)| bundle.is_some())
    }

    /// Runtimes make the base nodes by themselves. Of others the node of the host is bound, and only its number lets it
    /// be opened, where there is a control group of devices.
    fn device(&mut self, op: &MountOp, source: &Path, number: (u32, u32), read_only: bool) {
        let MountOp { target, because, .. } = op;
        let base = BASE_DEVICES.iter().any(|(path, ..)| target == Path::new(path));
        if base {
            // For uid 0 the node's mode and times are its own.
            self.readonly.extend(self.root.then(|| text(target)));
            return;
        }
        if read_only {
            let what = format!("{} can be written to where there is no control group of devices", target.display());
            self.lose("oci.read_only_device", what, because, because.is_explicit());
        }
        self.point(target, false);
        self.mount(target, "bind", text(source), &["bind", "ro", "private", "nosuid", "noexec"]);
        self.again_read_only(target, false);
        let access = if read_only { "r" } else { "rw" };
        let (major, minor) = (Some(number.0), Some(number.1));
        self.devices.push(DeviceRule { allow: true, kind: Some("c"), major, minor, access });
    }

    /// Base nodes that a rule denies are made by the runtime all the same.
    fn mask_devices(&mut self, ops: &[MountOp]) {
        let is_host_s = ops.iter().any(|op| op.what == Mount::Devices);
        let there = |path: &str| ops.iter().any(|op| op.target == Path::new(path));
        let denied = BASE_DEVICES.iter().map(|(path, ..)| *path).filter(|path| !is_host_s && !there(path));
        for path in denied {
            self.mount(Path::new(path), "bind", HIDDEN[0], &["bind", "ro", "private", "nosuid", "nodev"]);
            self.masked.push(path.to_owned());
        }
    }

    /// What is known to be there is covered in the plan's order; what may be missing, behind everything else.
    fn mask(&mut self, target: &Path, known: bool, dir: bool) {
        if known {
            self.bind(Path::new(HIDDEN[usize::from(dir)]), target, dir, false);
        } else {
            self.masked.push(text(target));
        }
    }

    /// A directory of the bundle, in which the mount points are made that can be passed through to.
    fn veil(&mut self, target: &Path) {
        let path = PathBuf::from(format!("veils/{}", self.items.len()));
        self.item(path.clone(), Made::Dir(0o111));
        self.bind(&path, target, true, false);
        self.ours.push((target.to_owned(), Some(path)));
    }

    fn tmpfs(&mut self, target: &Path, mode: u32) {
        self.point(target, true);
        let (mode, size) = (format!("mode={mode:04o}"), self.size.map(|size| format!("size={size}")));
        // Not nodev: runtimes that may make nodes make them in /dev.
        let device = if target == Path::new("/dev") { None } else { Some("nodev") };
        let words: Vec<&str> =
            ["nosuid"].into_iter().chain(device).chain([mode.as_str()]).chain(size.as_deref()).collect();
        self.mount(target, "tmpfs", "tmpfs", &words);
        self.ours.push((target.to_owned(), None));
    }

    fn link(&mut self, op: &MountOp, to: &OsString) {
        let MountOp { target, because, .. } = op;
        if DEV_LINKS.iter().any(|(path, _)| target == Path::new(path)) {
            return;
        }
        match self.in_bundle(target) {
            Some(path) => self.item(path, Made::Link(to.clone())),
            None => {
                let what = format!("the link {} to {} is not made", target.display(), Path::new(to).display());
                self.lose("oci.link_unavailable", what, because, false);
            }
        }
    }

    fn data(&mut self, target: &Path, bytes: &[u8]) {
        let path = PathBuf::from(format!("files/{}", self.items.len()));
        self.item(path.clone(), Made::File(0o444, bytes.to_vec()));
        self.point(target, false);
        self.bind(&path, target, false, false);
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
