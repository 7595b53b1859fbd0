//! Fixture machines, and the check that turns a wish and a machine into text.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::Expect;
use ringfence::host::gpu::{self, CallerIds, Gpus, Look, NodeFact, NodeLookup, Slot};
use ringfence::host::paths::Kind;
use ringfence::plan::gpu::{Asked, GpuError, GpuPlan, grants};
use ringfence::policy::gpu::{Classes, GpuWish};
use ringfence::request::{Origin, Said};

/// A machine: files below `root`, nodes in memory so that tests can break them.
pub struct Host {
    name: String,
    root: PathBuf,
    /// A copy of the fixture with other files, if any; gone with the host.
    copy: Option<tempfile::TempDir>,
    nodes: BTreeMap<PathBuf, NodeFact>,
    caller: CallerIds,
    /// What the kernel says when it is asked whether the caller may open a node, on a machine that can be asked.
    kernel: Option<bool>,
    classes: Said<Classes>,
    env: Vec<(OsString, OsString)>,
    mig_uuids: Vec<(String, Result<Slot, String>)>,
}

impl NodeLookup for Host {
    fn node(&self, path: &Path) -> Option<NodeFact> {
        self.nodes.get(path).copied()
    }

    fn may_open(&self, _: &Path, _: u32) -> Option<bool> {
        self.kernel
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
            kernel: None,
            classes: Said::new(Classes::default(), Origin::Preset("workspace-write")),
            env: Vec::new(),
            mig_uuids: Vec::new(),
        }
    }

    /// A machine without nodes whose files lie elsewhere.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), ..Self::named("none") }
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

    /// The same machine, whose kernel answers this when it is asked about permission.
    pub fn with_kernel(mut self, may_open: bool) -> Self {
        self.kernel = Some(may_open);
        self
    }

    /// The same machine, asked for these classes.
    pub fn for_classes(mut self, classes: &str) -> Self {
        self.classes = Said::new(classes.parse().unwrap(), Origin::Flag("--gpu-class"));
        self
    }

    /// The same machine, with a variable of the caller's.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The same machine, whose driver's library knows a MIG UUID.
    pub fn with_mig_uuid(mut self, uuid: &str, known: Result<Slot, String>) -> Self {
        self.mig_uuids.push((uuid.to_owned(), known));
        self
    }

    /// The same machine, with one more node.
    pub fn with_node(self, line: &str) -> Self {
        let (path, fact) = node_line(line);
        self.with(path.to_str().unwrap(), fact)
    }

    /// All that a listing shows.
    pub fn gpus(&self) -> Gpus {
        self.probe(&Look { wish: &GpuWish::All, classes: &Classes::all(), all: true })
    }

    /// What a run looks for.
    pub fn gpus_for(&self, wish: &GpuWish) -> Gpus {
        self.probe(&Look { wish, classes: &self.classes.value, all: false })
    }

    fn probe(&self, look: &Look<'_>) -> Gpus {
        // A copy answers under the name of its original, so that texts can be compared.
        let root = Path::new("tests/hosts").join(&self.name);
        Gpus { root, mig_uuids: self.mig_uuids.clone(), ..gpu::probe(&self.root, self, &self.caller, look) }
    }

    /// What a wish comes to on this machine.
    pub fn grants(&self, wish: &str) -> Result<GpuPlan, Vec<GpuError>> {
        self.grants_among(wish, &self.gpus_for(&said(wish).value))
    }

    /// What a wish comes to where more was found than it means.
    pub fn grants_among(&self, wish: &str, gpus: &Gpus) -> Result<GpuPlan, Vec<GpuError>> {
        grants(Asked { wish: &said(wish), classes: &self.classes, gpus, env: &self.env })
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
    let text = match host.grants(wish) {
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
    for link in &plan.links {
        writeln!(text, "link {} to {}", link.path.display(), link.to.display()).unwrap();
    }
    for vendor in &plan.subset {
        writeln!(text, "subset of {}", vendor.word()).unwrap();
    }
    for change in &plan.env {
        let value = change.value.as_ref().map_or("(taken out)".into(), |value| value.to_string_lossy());
        writeln!(text, "env {}={value}: {}", change.name.to_string_lossy(), change.note).unwrap();
    }
    for note in &plan.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}
