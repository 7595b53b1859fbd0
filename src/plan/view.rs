//! From rules and facts to the file system view: the tree of nodes and the operations around it.

mod named;
mod proc;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::host::Facts;
use crate::host::paths::{Kind, PathFact, Present};
use crate::policy::Policy;
use crate::policy::paths::{Access, Rule, lies_in};
use crate::policy::tables::{self, Shape};
use crate::request::{Dialect, Mode, Origin, Tmp};

use super::baseline::{Enriched, Entry};
use super::build::Told;
use super::cache::{self, CacheDirectory};
use super::error::PlanError;
use super::mounts::{Mount, MountOp, Node, RootView, Tree, View};
use super::{DeviceGrant, protect, special};

/// The tree, and the operations that make it.
#[derive(Debug)]
pub(super) struct Built {
    pub tree: Tree,
    pub ops: Vec<MountOp>,
    /// What may be done in `/proc`.
    pub proc: (Access, Origin),
    /// What may be done with shared memory, where it is wished for and cannot be private.
    pub shm: Option<(Access, Origin)>,
    /// What outlives the command.
    pub cache: Option<CacheDirectory>,
}

/// What is being built, and what was found wrong on the way.
pub(super) struct Builder<'a> {
    pub policy: &'a Policy,
    pub facts: &'a Facts,
    pub tree: Tree,
    /// Missing entries to block, once it is known that they lie in a writable directory.
    pub blocks: Vec<MountOp>,
    /// Links to pin, as `blocks`.
    pub pins: Vec<MountOp>,
    pub devices: Vec<DeviceGrant>,
    /// Mounts that show other content than the host's.
    shown: Vec<MountOp>,
    /// Links and other things that come with them.
    others: &'a [MountOp],
    /// What may be done in `/proc`.
    proc: (Access, Origin),
    /// What stays read-only in a `/proc` that can be written.
    kept_in_proc: Vec<MountOp>,
    /// What may be done with shared memory that is not private.
    shm: Option<(Access, Origin)>,
    /// What the user has rules for, by written and by canonical path, and the highest level.
    named: HashMap<&'a Path, Access>,
    pub errors: &'a mut Vec<PlanError>,
    pub notes: &'a mut Vec<String>,
}

pub(super) fn build(policy: &Policy, facts: &Facts, enriched: &Enriched, told: &mut Told) -> Built {
    let mut builder = Builder {
        policy,
        facts,
        tree: Tree::default(),
        blocks: Vec::new(),
        pins: Vec::new(),
        devices: enriched.devices.clone(),
        shown: enriched.shown.clone(),
        others: &enriched.others,
        proc: proc::level(policy, &enriched.entries),
        kept_in_proc: Vec::new(),
        shm: None,
        named: named::anyhow(facts),
        errors: &mut told.errors,
        notes: &mut told.notes,
    };
    builder.private_directories(&enriched.entries);
    for entry in &enriched.entries {
        builder.entry(entry);
    }
    for (rule, present) in &facts.aliases {
        builder.present(rule, present);
    }
    builder.globs();
    builder.secrets();
    builder.sockets();
    builder.kept_of_run();
    builder.named_devices();
    builder.refuse_wide_workspace();
    protect::names(&mut builder);
    protect::git_commit(&mut builder);
    builder.check_modify();
    let cache = if enriched.devices.is_empty() { None } else { cache::keep(&mut builder) };
    Built { cache, ..builder.finish() }
}

impl Builder<'_> {
    fn private_directories(&mut self, entries: &[Entry]) {
        self.private("/run", 0o755, Origin::Baseline("sockets of the host's services"));
        match self.policy.tmp.value {
            // Not the host's where the policy lets it be written, and not there where it is silent.
            Tmp::Private if self.policy.dialect == Dialect::OpenShell => {
                if let Some(entry) = entries.iter().find(|entry| self.is_private(entry, "/tmp")) {
                    let because = entry.rule.because.clone();
                    let node =
                        Node { view: View::Private(0o1777), id: None, kind: Kind::Dir, because, anchored: false };
                    self.tree.insert("/tmp".into(), node);
                }
            }
            Tmp::Private => self.private("/tmp", 0o1777, Origin::Baseline("files and sockets of other programs")),
            Tmp::Host if self.policy.dialect != Dialect::OpenShell => {
                let rule = Rule { path: "/tmp".into(), access: Access::Write, because: self.policy.tmp.by.clone() };
                self.node(&rule, "/tmp".into(), None, Kind::Dir);
            }
            Tmp::Host | Tmp::Rules => {}
        }
    }

    /// Whether a rule asks for a directory that every sandbox has one of its own of.
    fn is_private(&self, entry: &Entry, path: &str) -> bool {
        let private = self.policy.dialect == Dialect::OpenShell && self.policy.tmp.value == Tmp::Private;
        private && entry.rule.access.writes() && entry.path == Path::new(path)
    }

    /// Adds a rule of the effective policy.
    fn entry(&mut self, entry: &Entry) {
        let Entry { path, rule, fact, .. } = entry;
        if path == Path::new("/proc") {
            // The most restrictive rule of all is taken already.
        } else if self.is_private(entry, "/dev/shm") || entry.is_added() && path == Path::new("/dev/shm") {
            self.shm = Some((rule.access, rule.because.clone()));
        } else if !(self.is_private(entry, "/tmp") || entry.device && entry.is_added()) {
            self.rule(rule, fact);
        }
    }

    fn private(&mut self, path: &str, mode: u32, because: Origin) {
        let node = Node { view: View::Private(mode), id: None, kind: Kind::Dir, because, anchored: false };
        self.tree.insert(path.into(), node);
    }

    fn node(&mut self, rule: &Rule, path: PathBuf, id: Option<crate::host::paths::FileId>, kind: Kind) {
        // Credentials and sockets of other programs come and go: whatever is there when the sandbox starts is hidden.
        let whatever = matches!(rule.because, Origin::Secret(_)) || kind == Kind::Socket;
        let id = if whatever && rule.access == Access::None { None } else { id };
        let node = Node { view: View::Host(rule.access), id, kind, because: rule.because.clone(), anchored: false };
        self.tree.insert(path, node);
    }

    /// Adds a rule at an existing path.
    pub(super) fn present(&mut self, rule: &Rule, present: &Present) {
        if rule.access.writes() && self.facts.unwritable.contains(&present.path) {
            // The command owns it and could change the permissions, but nothing could be blocked in it before.
            self.notes
                .push(format!("{} is not writable by its own permissions: it stays read-only", rule.path.display()));
            return self.present(&Rule { access: Access::Read, ..rule.clone() }, present);
        }
        let path = present.path.clone();
        if lies_in(&path, Path::new("/dev")) {
            return self.rule_in_dev(rule, present);
        }
        if lies_in(&path, Path::new("/proc")) {
            return self.rule_in_proc(rule, present);
        }
        match present.kind {
            Kind::Char { .. } if rule.access >= Access::Read => self.device(rule, present),
            Kind::Block if rule.access >= Access::Read => {
                self.errors.push(PlanError::NotADevice { path, found: "a block device", by: rule.because.clone() })
            }
            kind => self.node(rule, path, Some(present.id), kind),
        }
    }

    fn rule(&mut self, rule: &Rule, fact: &PathFact) {
        if let (PathFact::Present(present), PathFact::Present(workspace)) = (fact, &self.facts.workspace) {
            let inside = || lies_in(&rule.path, &workspace.path) || lies_in(&rule.path, &self.policy.workspace);
            let leaves = !lies_in(&present.path, &workspace.path) && inside();
            if leaves && rule.access >= Access::Read && self.policy.mode == Mode::WorkspaceWrite {
                let (path, target, by) = (rule.path.clone(), present.path.clone(), rule.because.clone());
                self.errors.push(PlanError::LeadsOut { path, target, by });
                return;
            }
        }
        let skips = self.policy.skips_missing(rule);
        let grants = rule.access != Access::None;
        match fact {
            PathFact::Present(present) => self.present(rule, present),
            PathFact::Unreachable { errno } if rule.access != Access::None => self
                .errors
                .push(PlanError::Unreachable { path: rule.path.clone(), by: rule.because.clone(), errno: *errno }),
            PathFact::Unreachable { .. } => {}
            PathFact::Missing { .. } | PathFact::Dangling { .. } if rule.access.writes() && skips => {
                self.notes.push(format!("{} ({}) does not exist: skipped", rule.path.display(), rule.because));
            }
            PathFact::Missing { .. } | PathFact::Dangling { .. } if rule.access.writes() => {
                self.errors.push(PlanError::MissingWritable { path: rule.path.clone(), by: rule.because.clone() })
            }
            PathFact::Missing { .. } | PathFact::Dangling { .. }
                if grants && self.policy.dialect.expects_all() && !skips =>
            {
                self.errors.push(PlanError::MissingRequired { path: rule.path.clone(), by: rule.because.clone() });
            }
            PathFact::Missing { parent, name } => {
                let told = grants && self.policy.dialect.expects_all() && !matches!(rule.because, Origin::BuiltIn(_));
                self.notes.extend(
                    told.then(|| format!("{} ({}) does not exist: skipped", rule.path.display(), rule.because)),
                );
                let (path, by) = (rule.path.display(), &rule.because);
                self.notes.extend((!skips).then(|| {
                    format!("{path} ({by}) does not exist: outside writable directories the rule does nothing")
                }));
                self.block(parent.join(name), Shape::Dir, rule.because.clone());
            }
            PathFact::Dangling { link, id } => {
                let what = Mount::Plug { id: *id };
                self.pins.push(MountOp { target: link.clone(), what, because: rule.because.clone() });
            }
        }
    }

    /// Plans to block a missing entry, if it turns out to be writable.
    pub(super) fn block(&mut self, target: PathBuf, shape: Shape, because: Origin) {
        self.blocks.push(MountOp { target, what: Mount::Block { shape }, because });
    }

    fn rule_in_dev(&mut self, rule: &Rule, present: &Present) {
        let whole = present.path == Path::new("/dev");
        // To be read: whoever wrote that for OpenShell meant the few nodes of a container.
        let complete = self.policy.dialect == Dialect::OpenShell;
        match present.kind {
            Kind::Char { .. } if rule.access == Access::Read && !Self::is_base(present) => self.notes.push(format!(
                "{} ({}) is not granted: a device that can be read can be told what to do, so it takes write access",
                rule.path.display(),
                rule.because
            )),
            Kind::Char { .. } if rule.access >= Access::Read => self.device(rule, present),
            Kind::Dir if rule.access == Access::Read && complete && (whole || special::has_nodes(&present.path)) => {
                let path = rule.path.display();
                self.notes
                    .push(format!("{path} ({}) shows the nodes that are granted, each by its own rule", rule.because));
            }
            Kind::Dir if rule.access >= Access::Read && (whole || special::has_nodes(&present.path)) => {
                self.errors.push(PlanError::DeviceDirectory { path: present.path.clone(), by: rule.because.clone() });
            }
            // Absent from the private /dev, unless the host's directory around it is shown.
            _ if rule.access == Access::None => {
                self.devices.retain(|device| !device.lies_in(&present.path));
                if !special::has_nodes(&present.path) {
                    self.node(rule, present.path.clone(), Some(present.id), present.kind);
                }
            }
            Kind::Block => self.errors.push(PlanError::NotADevice {
                path: present.path.clone(),
                found: "a block device",
                by: rule.because.clone(),
            }),
            kind => self.node(rule, present.path.clone(), Some(present.id), kind),
        }
    }

    /// Whether it is in every `/dev` anyway.
    fn is_base(present: &Present) -> bool {
        tables::BASE_DEVICES.iter().any(|(path, ..)| present.path == Path::new(path))
    }

    fn device(&mut self, rule: &Rule, present: &Present) {
        let Kind::Char { major, minor } = present.kind else { return };
        if Self::is_base(present) {
            return;
        }
        self.devices.push(DeviceGrant {
            path: present.path.clone(),
            source: None,
            major,
            minor,
            read_only: false,
            id: Some(present.id),
            because: rule.because.clone(),
            required: false,
        });
    }

    fn named_devices(&mut self) {
        for (said, fact) in &self.facts.devices {
            let rule = Rule { path: said.value.clone(), access: Access::Write, because: said.by.clone() };
            match fact {
                PathFact::Present(present) if matches!(present.kind, Kind::Char { .. }) => self.device(&rule, present),
                other => self.errors.push(PlanError::NotADevice {
                    path: said.value.clone(),
                    found: describe(other),
                    by: said.by.clone(),
                }),
            }
        }
        let denied: Vec<_> = self.facts.rules.iter().filter(|(rule, _)| rule.access == Access::None).collect();
        self.devices.retain(|device| !denied.iter().any(|(rule, _)| device.is_at(&rule.path)));
        self.devices.sort_by(|a, b| a.path.cmp(&b.path));
        self.devices.dedup_by(|a, b| a.path == b.path);
    }

    fn globs(&mut self) {
        for found in &self.facts.globbed {
            let Some(glob) = self.policy.globs.get(found.glob) else { continue };
            let because = Origin::Glob(glob.written.clone(), Box::new(glob.because.clone()));
            let rule = Rule { path: found.present.path.clone(), access: Access::None, because };
            self.present(&rule, &found.present);
        }
        for (index, glob) in self.policy.globs.iter().enumerate() {
            if !self.facts.globbed.iter().any(|found| found.glob == index) {
                self.notes.push(format!("{} ({}) matches nothing now", glob.written, glob.because));
            }
        }
        if !self.policy.globs.is_empty() {
            self.notes.push("deny globs hide what matches at the start; files made later are not hidden".to_owned());
        }
    }

    fn secrets(&mut self) {
        let named = named::as_written(self.facts);
        for (rule, present) in &self.facts.secrets {
            if !named.contains(rule.path.as_path()) {
                self.present(rule, present);
            }
        }
    }

    /// Whether the user has a rule of at least this level for exactly this path.
    pub(super) fn is_named(&self, path: &Path, access: Access) -> bool {
        self.named.get(path).is_some_and(|named| *named >= access)
    }

    fn sockets(&mut self) {
        for (said, fact) in &self.facts.unix {
            match fact {
                PathFact::Present(present) if present.kind == Kind::Socket => {
                    let rule = Rule { path: present.path.clone(), access: Access::Read, because: said.by.clone() };
                    self.node(&rule, present.path.clone(), Some(present.id), present.kind);
                    if present
                        .path
                        .file_name()
                        .is_some_and(|name| tables::ENGINE_SOCKETS.iter().any(|known| name == *known))
                    {
                        self.notes.push(format!("{} gives the command root on this machine", present.path.display()));
                    }
                }
                _ => self.errors.push(PlanError::NotASocket { path: said.value.clone(), by: said.by.clone() }),
            }
        }
        for socket in &self.facts.sockets {
            let granted = self.tree.at(&socket.path).is_some_and(|node| node.kind == Kind::Socket);
            if !granted {
                let because = Origin::Baseline("a socket of the host");
                let rule = Rule { path: socket.path.clone(), access: Access::None, because };
                self.node(&rule, socket.path.clone(), Some(socket.id), socket.kind);
            }
        }
        if self.facts.landlock_abi < 9 {
            self.notes.push(
                "host sockets that are bound after the start, outside /run and /tmp, can be connected to: \
                 this kernel cannot forbid it (Landlock ABI 9)"
                    .to_owned(),
            );
        }
    }

    /// What stays visible of the host's `/run`.
    fn kept_of_run(&mut self) {
        if self.policy.dialect == Dialect::OpenShell {
            // Names are resolved outside, where the network is reached at all.
            return;
        }
        for (path, why) in tables::RUN_KEPT {
            let path = Path::new(path);
            let present = self.facts.baseline.iter().find(|present| present.path == path).cloned();
            let denied = self.facts.rules.iter().any(|(rule, _)| rule.access == Access::None && rule.path == path);
            if let Some(present) = present.filter(|_| !denied) {
                let because = Origin::Baseline(why);
                self.present(&Rule { path: path.to_owned(), access: Access::Read, because }, &present);
            }
        }
    }

    /// A writable home or root makes every other protection pointless: shells and desktops run code from there.
    fn refuse_wide_workspace(&mut self) {
        let (Mode::WorkspaceWrite, PathFact::Present(workspace)) = (self.policy.mode, &self.facts.workspace) else {
            return;
        };
        if !self.policy.dialect.refuses_wide_workspace() {
            return;
        }
        let path = &workspace.path;
        let what = if path == Path::new("/") {
            "the whole machine"
        } else if self.facts.caller.homes.iter().any(|home| home.starts_with(path)) {
            "your home directory or above it"
        } else {
            return;
        };
        if !self.is_named(path, Access::Read) {
            self.errors.push(PlanError::WideWorkspace { path: path.clone(), what });
        }
    }

    fn check_modify(&mut self) {
        let nodes: Vec<_> = self.tree.iter().filter(|(_, node)| node.view == View::Host(Access::Modify)).collect();
        for (path, node) in nodes {
            let below_write = path
                .ancestors()
                .skip(1)
                .filter_map(|above| self.tree.at(above))
                .any(|above| matches!(above.view, View::Host(Access::Write) | View::Private(_)));
            let below_write = below_write || special::in_private_shm(&self.tree, path);
            let why = if self.facts.landlock_abi < super::landlock::WALL_ABI {
                "it needs Landlock ABI 3 (Linux 6.2)"
            } else if below_write {
                "it lies below a writable directory, and Landlock rules only add rights"
            } else {
                continue;
            };
            self.errors.push(PlanError::Modify { path: path.to_owned(), by: node.because.clone(), why });
        }
    }

    /// What is read-only, blocked or pinned in a writable tree must not be moved aside for something else of that name,
    /// and what is hidden not to where the next run does not look for it.
    fn anchor(&mut self) {
        let restricted = |(_, node): &(&Path, &Node)| {
            node.view == View::Host(Access::Read) || node.view == View::Host(Access::None) && node.because.is_explicit()
        };
        let nodes = self.tree.iter().filter(restricted).map(|(path, _)| path);
        let entries = self.blocks.iter().chain(&self.pins).map(|op| op.target.as_path());
        // What lies in one directory lies together in the tree.
        let mut parents: Vec<_> = nodes.chain(entries).filter_map(Path::parent).collect();
        parents.dedup();
        for parent in parents.into_iter().map(Path::to_owned).collect::<Vec<_>>() {
            self.tree.anchor_above(&parent);
        }
    }

    fn finish(mut self) -> Built {
        self.anchor();
        let mut ops = Vec::new();
        if self.tree.root() == RootView::Empty {
            ops.extend(super::links::of_narrow_root(self.facts, &self.tree));
        }
        let in_proc = |op: &MountOp| lies_in(&op.target, Path::new("/proc"));
        let mut dev = self.tree.operations_in_new(Path::new("/dev"));
        let rest = self.tree.operations().into_iter().filter(|op| !lies_in(&op.target, Path::new("/dev")));
        let (mut proc, rest): (Vec<_>, Vec<_>) = rest.partition(in_proc);
        proc.splice(0..0, self.kept_in_proc);
        let seen = self.shown.into_iter().filter(|op| special::shows(&self.tree, &op.target));
        let (shown_in_proc, shown): (Vec<_>, Vec<_>) = seen.partition(in_proc);
        proc.extend(shown_in_proc);
        ops.extend(rest);
        ops.extend(shown);
        if self.policy.restricts_no_files() {
            self.notes.extend(special::lost(&self.devices, self.others));
        }
        special::others(self.others, &mut ops, &mut dev);
        ops.extend(protect::once(self.blocks, self.pins).filter(|op| self.tree.is_writable(&op.target)));
        ops.extend(special::dev(self.policy, self.tree.root(), &self.devices, dev));
        let gpu = !self.devices.is_empty();
        ops.extend(special::proc(self.policy, self.facts, self.tree.root(), (&self.proc, gpu), proc));
        if self.tree.root() == RootView::Empty {
            let because = Origin::Baseline("nothing can be made in the narrowed root");
            ops.push(MountOp { target: "/".into(), what: Mount::Seal, because });
        }
        Built { ops, tree: self.tree, proc: self.proc, shm: self.shm, cache: None }
    }
}

fn describe(fact: &PathFact) -> &'static str {
    match fact {
        PathFact::Present(present) => match present.kind {
            Kind::Dir => "a directory",
            Kind::File => "a regular file",
            Kind::Symlink => "a symbolic link",
            Kind::Block => "a block device",
            Kind::Socket => "a socket",
            Kind::Fifo => "a named pipe",
            Kind::Char { .. } => "a character device",
        },
        PathFact::Missing { .. } => "missing",
        PathFact::Dangling { .. } => "a link that leads nowhere",
        PathFact::Unreachable { .. } => "not reachable",
    }
}
