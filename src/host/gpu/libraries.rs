//! The libraries of GPU drivers, found where the dynamic loader looks for them: in its cache, and in directories that
//! some systems put in its way. Nothing is opened but the cache.

mod cache;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::host::paths::{Kind, PathFact, Root};

/// A library that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Library {
    /// The name that programs ask for: `libcuda.so.1`.
    pub name: String,
    /// Where the dynamic loader finds it.
    pub path: PathBuf,
    /// The file itself, links resolved.
    pub real: PathBuf,
    /// The driver's version, which is the end of the file's name: `595.45.04` of `libcuda.so.595.45.04`.
    pub version: Option<String>,
}

/// Names that a driver's own libraries are asked for by, one or two of each vendor. Where they lie, the rest lies.
pub const DRIVERS: &[&str] =
    &["libcuda.so.1", "libnvidia-ml.so.1", "libhsa-runtime64.so.1", "libze_intel_gpu.so.1", "libdxcore.so"];

/// Directories of drivers that the loader's cache need not know: they are named by `LD_LIBRARY_PATH`, by a run path, or by
/// a file of the loader's own.
///
/// Sources: WSL2, `/etc/ld.so.conf.d/ld.wsl.conf`; nixpkgs, `addDriverRunpath`; NVIDIA's container images, which set
/// `LD_LIBRARY_PATH`; Jetson Linux, `nvidia-tegra.conf`.
pub const DIRECTORIES: &[&str] = &[
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/aarch64-linux-gnu/tegra",
    "/usr/lib/aarch64-linux-gnu/nvidia",
];

const CACHE: &str = "/etc/ld.so.cache";

/// Libraries of these names, in the order of `names`, each by the loader's order: first the cache, then [`DIRECTORIES`].
/// A library that is named twice by two ways to one file is told once.
///
/// `root` is `/` in production; nothing outside of it is read. A cache that is missing or broken holds nothing.
#[must_use]
pub fn find(root: &Path, names: &[&str]) -> Vec<Library> {
    let Ok(opened) = Root::open(root) else { return Vec::new() };
    let text = crate::host::read::whole(&opened.real(Path::new(CACHE))).unwrap_or_default();
    let mut cached: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for entry in cache::entries(&text) {
        if let Some(name) = names.iter().find(|name| name.as_bytes() == entry.name) {
            cached.entry(name).or_default().push(entry.path());
        }
    }
    let mut found = Vec::new();
    for name in names {
        let beside = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
        for path in cached.remove(name).unwrap_or_default().into_iter().chain(beside) {
            let library = library(&opened, name, path);
            found.extend(library.filter(|library| !found.iter().any(|known: &Library| known.is_same(library))));
        }
    }
    found
}

impl Library {
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.real == other.real
    }
}

fn library(root: &Root, name: &str, path: PathBuf) -> Option<Library> {
    let PathFact::Present(present) = root.look(&path) else { return None };
    if present.kind != Kind::File {
        return None;
    }
    let version = present.path.file_name().and_then(|file| version(&file.to_string_lossy(), name));
    Some(Library { name: name.to_owned(), path, real: present.path, version })
}

/// The directories that hold libraries of drivers, as named and as resolved, without repetitions: what must stay visible
/// for the GPU to work. One look at the cache and a dozen at paths.
#[must_use]
pub fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for library in find(root, DRIVERS) {
        for directory in [library.path.parent(), library.real.parent()].into_iter().flatten() {
            if !found.iter().any(|known| known == directory) {
                found.push(directory.to_owned());
            }
        }
    }
    found
}

/// `595.45.04` of `libcuda.so.595.45.04`. `libcuda.so.1` has none: a version has a dot.
fn version(file: &str, name: &str) -> Option<String> {
    let stem = name.split_once(".so").map_or(name, |(stem, _)| stem);
    let version = file.strip_prefix(stem)?.strip_prefix(".so.")?;
    is_version(version).then(|| version.to_owned())
}

/// Whether it is two or more numbers with dots between.
pub(super) fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('.') && text.split('.').all(number)
}

/// Orders versions by their numbers: 570.86.10 comes after 570.9.
#[must_use]
pub fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_driver_loader_looks_in_the_same_directories() {
        let source = include_str!("../../../loader/library.rs");
        let list = source.split_once("const DIRECTORIES").and_then(|(_, rest)| rest.split_once("];")).unwrap().0;
        let theirs: Vec<_> = list.split('"').filter(|text| text.starts_with('/')).collect();
        let ours: Vec<_> = DIRECTORIES.iter().map(|directory| format!("{directory}/")).collect();
        assert_eq!(theirs, ours);
    }

    #[test]
    fn versions_are_the_ends_of_file_names() {
        for (file, name, want) in [
            ("libcuda.so.595.45.04", "libcuda.so.1", Some("595.45.04")),
            ("libcuda.so.470.1", "libcuda.so.1", Some("470.1")),
            ("libcuda.so.1", "libcuda.so.1", None),
            ("libcuda.so", "libcuda.so.1", None),
            ("libcuda.so.1.x", "libcuda.so.1", None),
            ("libcuda.so.1.", "libcuda.so.1", None),
            ("libcudadebugger.so.595.45.04", "libcuda.so.1", None),
            ("libdxcore.so", "libdxcore.so", None),
        ] {
            assert_eq!(version(file, name).as_deref(), want, "{file}");
        }
        assert!(numbers("570.86.10") > numbers("570.9") && numbers("570.86.10.1") > numbers("570.86.10"));
        assert_eq!(numbers("570.x"), [570]);
    }

    fn file(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_library_is_found_by_the_cache_and_by_what_the_cache_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        file(&root, "usr/lib/x/nvidia/current/libcuda.so.570.86.10");
        symlink("libcuda.so.570.86.10", root.join("usr/lib/x/nvidia/current/libcuda.so.1")).unwrap();
        fs::create_dir_all(root.join("etc/alternatives")).unwrap();
        symlink("/usr/lib/x/nvidia/current/libcuda.so.1", root.join("etc/alternatives/libcuda")).unwrap();
        symlink("/etc/alternatives/libcuda", root.join("usr/lib/x/libcuda.so.1")).unwrap();
        file(&root, "usr/lib/wsl/lib/libcuda.so.1");
        fs::create_dir_all(root.join("usr/local/nvidia/lib64/libcuda.so.1")).unwrap();
        assert_eq!(find(&root, &["libcuda.so.1"]).len(), 1, "without a cache only the one beside it");
        let names = [("libcuda.so.1", "/usr/lib/x/libcuda.so.1"), ("libcuda.so.1", "/usr/lib/gone/libcuda.so.1")];
        fs::write(root.join("etc/ld.so.cache"), cache::tests::written(&names, false)).unwrap();
        let found = find(&root, &["libnvidia-ml.so.1", "libcuda.so.1"]);
        let want = Library {
            name: "libcuda.so.1".to_owned(),
            path: "/usr/lib/x/libcuda.so.1".into(),
            real: "/usr/lib/x/nvidia/current/libcuda.so.570.86.10".into(),
            version: Some("570.86.10".to_owned()),
        };
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], want);
        assert_eq!(found[1].path, Path::new("/usr/lib/wsl/lib/libcuda.so.1"));
        let directories = directories(&root);
        let want = ["/usr/lib/x", "/usr/lib/x/nvidia/current", "/usr/lib/wsl/lib"].map(PathBuf::from);
        assert_eq!(directories, want);
    }

    #[test]
    fn nothing_outside_of_the_root_is_read_and_nothing_is_found_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        file(&root, "outside/libcuda.so.1");
        fs::create_dir_all(root.join("inside/usr/lib/wsl/lib")).unwrap();
        symlink(root.join("outside/libcuda.so.1"), root.join("inside/usr/lib/wsl/lib/libcuda.so.1")).unwrap();
        assert_eq!(find(&root.join("inside"), DRIVERS), []);
        assert_eq!(directories(&root.join("missing")), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_cache_of_this_machine_is_read() {
        if Path::new(CACHE).exists() {
            let found = find(Path::new("/"), &["libc.so.6"]);
            assert!(found.iter().any(|library| library.real.exists()), "{found:?}");
        }
    }
}
