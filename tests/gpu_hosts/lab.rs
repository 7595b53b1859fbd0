//! Fixture machines, and the check that turns a wish and a machine into text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::Expect;
use ringfence::host::gpu::{self, CallerIds, Gpus, NodeFact, NodeLookup};
use ringfence::host::paths::Kind;
use ringfence::plan::gpu::{GpuPlan, grants};
use ringfence::policy::gpu::GpuWish;
use ringfence::request::{Origin, Said};

/// A machine: files below `root`, nodes in memory so that tests can break them.
pub struct Host {
    name: String,
    root: PathBuf,
    /// A copy of the fixture with other files, if any; gone with the host.
    copy: Option<tempfile::TempDir>,
    nodes: BTreeMap<PathBuf, NodeFact>,
    caller: CallerIds,
}

impl NodeLookup for Host {
    fn node(&self, path: &Path) -> Option<NodeFact> {
        self.nodes.get(path).copied()
    }
}

pub fn fact(kind: Kind, mode: u32, gid: u32) -> NodeFact {
    NodeFact { kind, uid: 0, gid, mode, id: None }
}

impl Host {
    pub fn named(name: &str) -> Self {
        let root = Path::new("tests/hosts").join(name);
        let text = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_default();
        let mut nodes: BTreeMap<_, _> = text("nodes").lines().map(node_line).collect();
        for line in text("paths").lines() {
            let (kind, path) = line.split_once(' ').unwrap();
            let kind = if kind == "d" { Kind::Dir } else { Kind::File };
            nodes.insert(path.into(), fact(kind, 0o755, 0));
            let parents = Path::new(path).ancestors().skip(1);
            nodes.extend(parents.map(|dir| (dir.to_owned(), fact(Kind::Dir, 0o755, 0))));
        }
        Self {
            name: name.to_owned(),
            root,
            copy: None,
            nodes,
            caller: CallerIds { uid: 1000, gid: 1000, groups: vec![44] },
        }
    }

    pub fn with(mut self, path: &str, fact: NodeFact) -> Self {
        self.nodes.insert(path.into(), fact);
        self
    }

    pub fn without(mut self, path: &str) -> Self {
        self.nodes.remove(Path::new(path)).unwrap();
        self
    }

    /// The same machine with another text in a file of `/proc` or `/sys`; with none, the file or directory is gone.
    pub fn with_file(mut self, path: &str, text: Option<&str>) -> Self {
        let root = self.copy.get_or_insert_with(|| {
            let copy = tempfile::tempdir().unwrap();
            copy_tree(&self.root, copy.path());
            copy
        });
        self.root = root.path().to_owned();
        let path = self.root.join(path.strip_prefix('/').unwrap());
        match text {
            Some(text) => std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| std::fs::write(path, text)),
            None if path.is_dir() => std::fs::remove_dir_all(path),
            None => std::fs::remove_file(path),
        }
        .unwrap();
        self
    }

    /// The text of a file of the machine.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path.strip_prefix('/').unwrap())).unwrap()
    }

    pub fn caller(mut self, uid: u32, groups: &[u32]) -> Self {
        self.caller = CallerIds { uid, gid: uid, groups: groups.to_vec() };
        self
    }

    pub fn gpus(&self) -> Gpus {
        // A copy answers under the name of its original, so that texts can be compared.
        let root = Path::new("tests/hosts").join(&self.name);
        Gpus { root, ..gpu::probe(&self.root, self, &self.caller) }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_tree(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// `c <major> <minor> <path> <mode> [gid=<gid>]` or `l - - <path> <target>`.
fn node_line(line: &str) -> (PathBuf, NodeFact) {
    let words: Vec<_> = line.split_whitespace().collect();
    if words[0] == "l" {
        return (words[3].into(), fact(Kind::Symlink, 0o777, 0));
    }
    let kind = Kind::Char { major: words[1].parse().unwrap(), minor: words[2].parse().unwrap() };
    let gid = words.get(5).map_or(0, |word| word.strip_prefix("gid=").unwrap().parse().unwrap());
    (words[3].into(), fact(kind, u32::from_str_radix(words[4], 8).unwrap(), gid))
}

pub fn char_device(major: u32, minor: u32) -> NodeFact {
    fact(Kind::Char { major, minor }, 0o666, 0)
}

pub fn said(wish: &str) -> Said<GpuWish> {
    let by = match wish {
        "auto" => Origin::Preset("workspace-write"),
        "all" => Origin::Flag("--gpu"),
        _ => Origin::File { path: "agent.toml".into(), line: 7 },
    };
    Said::new(wish.parse().unwrap(), by)
}

pub fn check(wish: &str, host: &str, expect: Expect) {
    check_on(wish, &Host::named(host), expect);
}

pub fn check_on(wish: &str, host: &Host, expect: Expect) {
    let text = match grants(&said(wish), false, &host.gpus()) {
        Ok(plan) => plan_text(&plan),
        Err(errors) => errors.iter().fold(String::new(), |mut text, error| {
            writeln!(text, "error: {error}").unwrap();
            if let Some(hint) = error.hint() {
                writeln!(text, "hint: {hint}").unwrap();
            }
            text
        }),
    };
    expect.assert_eq(&text);
}

fn plan_text(plan: &GpuPlan) -> String {
    let mut text = String::new();
    for grant in &plan.devices {
        let number = format!("{}:{}", grant.major, grant.minor);
        writeln!(text, "device {} {number} because {}", grant.path.display(), grant.because).unwrap();
    }
    for (path, by) in &plan.read_paths {
        writeln!(text, "read {} because {by}", path.display()).unwrap();
    }
    if plan.subset {
        writeln!(text, "subset").unwrap();
    }
    for note in &plan.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}
