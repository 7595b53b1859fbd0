//! Machines with files, and the check that turns devices and a machine into text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use expect_test::Expect;
use ringfence::host::gpu::cdi::{CdiDir, Specs, probe};
use ringfence::host::gpu::{CallerIds, NodeFact, NodeLookup};
use ringfence::host::paths::Kind;
use ringfence::plan::gpu::cdi::{Around, CdiError, CdiPlan, Ground, edits};
use ringfence::plan::gpu::profile::application_profile;
use ringfence::policy::gpu::cdi::CdiName;
use ringfence::request::Origin;

/// The user's own directory: its files may be his, whoever runs the tests.
pub const OWN: &str = "/cdi";

/// The owner of all nodes: not whoever runs the tests.
const NOBODY: u32 = 54321;

/// A machine: files below a directory of its own, nodes in memory.
pub struct Machine {
    root: tempfile::TempDir,
    nodes: BTreeMap<PathBuf, NodeFact>,
    caller: CallerIds,
    dirs: Vec<PathBuf>,
    granted: Vec<&'static str>,
    denied: Vec<&'static str>,
    ground: Vec<(&'static str, Ground)>,
}

impl NodeLookup for Machine {
    fn node(&self, path: &Path) -> Option<NodeFact> {
        self.nodes.get(path).copied()
    }
}

impl Machine {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let machine = Self {
            root,
            nodes: BTreeMap::new(),
            caller: CallerIds { uid, gid: 1000, groups: vec![44, 993] },
            dirs: vec![OWN.into()],
            granted: vec!["utility", "compute"],
            denied: Vec::new(),
            ground: vec![("/", Ground::Shown), ("/tmp", Ground::Anew), ("/run", Ground::Anew), ("/dev", Ground::Anew)],
        };
        machine.dir(OWN)
    }

    /// With one file of this text in the user's own directory.
    pub fn with(text: &str) -> Self {
        Self::new().file("/cdi/a.json", text)
    }

    pub fn real(&self, path: &str) -> PathBuf {
        self.root.path().join(path.strip_prefix('/').unwrap())
    }

    pub fn mode(self, path: &str, mode: u32) -> Self {
        std::fs::set_permissions(self.real(path), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn dir(mut self, path: &str) -> Self {
        let above = Path::new(path).parent().filter(|above| !self.real(above.to_str().unwrap()).exists());
        if let Some(above) = above.map(Path::to_owned) {
            self = self.dir(above.to_str().unwrap());
        }
        if !self.real(path).exists() {
            std::fs::create_dir(self.real(path)).unwrap();
        }
        self.mode(path, 0o755)
    }

    pub fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let machine = self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        std::fs::write(machine.real(path), text).unwrap();
        machine.mode(path, 0o644)
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        let machine = self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        std::os::unix::fs::symlink(target, machine.real(path)).unwrap();
        machine
    }

    pub fn fixture(self, name: &str) -> Self {
        let text = std::fs::read(Path::new("tests/cdi").join(name)).unwrap();
        self.file(&format!("{OWN}/{}", Path::new(name).file_name().unwrap().to_str().unwrap()), text)
    }

    /// The nodes of a machine of `tests/hosts`: `c MAJOR MINOR PATH MODE [gid=GID]`.
    pub fn nodes_of(mut self, host: &str) -> Self {
        let text = std::fs::read_to_string(format!("tests/hosts/{host}/nodes")).unwrap();
        for words in text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            if words[0] == "c" {
                let gid = words.get(5).map_or(0, |word| word.strip_prefix("gid=").unwrap().parse().unwrap());
                let number = (words[1].parse().unwrap(), words[2].parse().unwrap());
                self = self.node(words[3], number, u32::from_str_radix(words[4], 8).unwrap(), gid);
            }
        }
        self
    }

    pub fn node(self, path: &str, (major, minor): (u32, u32), mode: u32, gid: u32) -> Self {
        self.entry(path, Kind::Char { major, minor }, mode, gid)
    }

    pub fn entry(mut self, path: &str, kind: Kind, mode: u32, gid: u32) -> Self {
        self.nodes.insert(path.into(), NodeFact { kind, uid: NOBODY, gid, mode, id: None });
        self
    }

    pub fn null(self) -> Self {
        self.node("/dev/null", (1, 3), 0o666, 0)
    }

    pub fn without(mut self, path: &str) -> Self {
        self.nodes.remove(Path::new(path)).unwrap();
        self
    }

    pub fn dirs(mut self, dirs: &[&str]) -> Self {
        self.dirs = dirs.iter().map(PathBuf::from).collect();
        self
    }

    pub fn groups(mut self, groups: &[u32]) -> Self {
        self.caller.groups = groups.to_vec();
        self
    }

    /// Somebody who is neither root nor the owner of what the tests make.
    pub fn stranger(mut self) -> Self {
        self.caller.uid += 4242;
        self
    }

    pub fn granted(mut self, classes: &[&'static str]) -> Self {
        self.granted.extend(classes);
        self
    }

    pub fn denied(mut self, path: &'static str) -> Self {
        self.denied.push(path);
        self
    }

    pub fn ground(mut self, path: &'static str, ground: Ground) -> Self {
        self.ground.push((path, ground));
        self
    }

    pub fn specs(&self, wanted: &[CdiName]) -> Specs {
        let dirs = CdiDir::list(self.dirs.iter().map(PathBuf::as_path));
        probe(self.root.path(), &dirs, wanted, &self.caller, self)
    }

    pub fn available(&self) -> Vec<String> {
        let dirs = CdiDir::list(self.dirs.iter().map(PathBuf::as_path));
        let names = ringfence::host::gpu::cdi::names(self.root.path(), &dirs, &self.caller);
        assert_eq!(names, self.specs(&[]).available);
        names.iter().map(CdiName::to_string).collect()
    }

    pub fn plan(&self, wanted: &[&str]) -> Result<CdiPlan, Vec<CdiError>> {
        let wanted: Vec<CdiName> = wanted.iter().map(|name| name.parse().unwrap()).collect();
        let denied = |path: &Path| {
            let by = self.denied.iter().any(|denied| path.starts_with(denied));
            by.then_some(Origin::Flag("--deny"))
        };
        let ground = |path: &Path| {
            let above = self.ground.iter().filter(|(above, _)| path.starts_with(above));
            above.max_by_key(|(above, _)| Path::new(above).components().count()).unwrap().1
        };
        let granted = |class: &str| self.granted.contains(&class);
        let within = |path: &Path| {
            let by = self.denied.iter().any(|denied| Path::new(denied).starts_with(path));
            by.then_some(Origin::Flag("--deny"))
        };
        let below = |path: &Path| within(path).is_some() && !self.denied.iter().any(|denied| Path::new(denied) == path);
        let around = Around {
            granted: &granted,
            denied: &denied,
            denied_number: &|_| None,
            denied_within: &within,
            ruled_below: &below,
            ground: &ground,
        };
        edits(&self.specs(&wanted), &wanted, &Origin::Flag("--gpu"), around)
    }

    pub fn text(&self, wanted: &[&str]) -> String {
        match self.plan(wanted) {
            Ok(plan) => plan_text(&plan),
            Err(errors) => errors.iter().fold(String::new(), |mut text, error| {
                writeln!(text, "error: {error}").unwrap();
                if let Some(hint) = error.hint() {
                    writeln!(text, "hint: {hint}").unwrap();
                }
                text
            }),
        }
    }

    pub fn check(&self, wanted: &[&str], expect: &Expect) {
        expect.assert_eq(&self.text(wanted));
    }
}

fn plan_text(plan: &CdiPlan) -> String {
    let CdiPlan { devices, links, read_paths, mounts, env, libraries, sockets, profile, notes } = plan;
    let mut text = String::new();
    for grant in devices {
        let of = grant.source.as_ref().map(|source| format!(" of {}", source.display())).unwrap_or_default();
        let read = if grant.read_only { " read-only" } else { "" };
        let number = format!("{}:{}", grant.major, grant.minor);
        writeln!(text, "device {}{of} {number}{read} because {}", grant.path.display(), grant.because).unwrap();
    }
    for (link, target, by) in links {
        writeln!(text, "link {} -> {} because {by}", link.display(), Path::new(target).display()).unwrap();
    }
    for (path, by) in read_paths {
        writeln!(text, "read {} because {by}", path.display()).unwrap();
    }
    for mount in mounts {
        let on = if mount.onto.is_some() { "onto" } else { "made at" };
        let (source, target) = (mount.source.display(), mount.target.display());
        writeln!(text, "mount {source} {on} {target} because {}", mount.because).unwrap();
    }
    for (name, value, by) in env {
        writeln!(text, "env {}={} because {by}", name.to_string_lossy(), value.to_string_lossy()).unwrap();
    }
    for (path, by) in libraries {
        writeln!(text, "libraries {} because {by}", path.display()).unwrap();
    }
    for (path, by) in sockets {
        writeln!(text, "socket {} because {by}", path.display()).unwrap();
    }
    if let Some(profile) = profile {
        write!(
            text,
            "profile because {}: {}",
            profile.because,
            String::from_utf8(application_profile(&profile.minors())).unwrap()
        )
        .unwrap();
    }
    for note in notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

/// A file of vendor `v.test/d` with one device `a` that has these edits, as JSON.
pub fn spec(edits: &str) -> String {
    format!(r#"{{"cdiVersion":"1.1.0","kind":"v.test/d","devices":[{{"name":"a","containerEdits":{{{edits}}}}}]}}"#)
}

/// What a device with these edits comes to.
pub fn check_edits(machine: Machine, edits: &str, expect: &Expect) {
    machine.file("/cdi/a.json", spec(edits)).check(&["v.test/d=a"], expect);
}
