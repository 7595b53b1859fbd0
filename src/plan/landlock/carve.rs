//! The wall as all there is: no namespaces, no mounts, the host's own `/dev`, `/proc` and `/tmp`.
//!
//! The rights of a path are those of all rules above it, so a rule can add and never take away. Where a readable
//! directory holds something that is not to be read, its other entries are named one by one; that is exact, for the
//! command can make no new ones there. Where a directory is writable, new entries must get their rights from a rule for
//! the directory itself, so nothing in it can be kept from the command: such a policy is refused, and the rule named.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Beneath, Expect, LandlockPlan, LandlockRule, SCOPE_ABI, TCP_ABI, Tcp};
use crate::host::kept::Kept;
use crate::host::paths::{FileId, Kind};
use crate::host::siblings::{Listing, Listings, MOST};
use crate::plan::mounts::{Mount, MountOp, Node, Tree, View};
use crate::policy::paths::Access;
use crate::request::{Net, Origin};

/// What the rules are made from.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The paths and what they are to be.
    pub tree: &'a Tree,
    /// What the mounts would be.
    pub ops: &'a [MountOp],
    /// Entries of the directories that must be taken apart.
    pub listings: &'a Listings,
    /// What is kept from the caller already.
    pub kept: &'a Kept,
    /// What may be done in `/proc`.
    pub proc: &'a (Access, Origin),
    /// What may be done with the host's shared memory.
    pub shm: Option<&'a (Access, Origin)>,
    /// A directory that is private because nobody else knows of it, in the place of `/tmp`.
    pub scratch: Option<&'a Path>,
    /// What may be done in `/tmp` where it is the host's own although the view has a private one.
    pub tmp: Option<Access>,
    /// The caller.
    pub uid: u32,
    /// The kernel's ABI.
    pub abi: u32,
    /// The network.
    pub net: Net,
    /// The ports that can be connected to, where the network is not open; 0: one that is known at the start.
    pub ports: &'a [u16],
    /// Whether denials go to the audit log.
    pub audit: bool,
}

/// Something of the view that rules cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaid {
    /// The path.
    pub path: PathBuf,
    /// What cannot be done about it, in words; who asked stands behind it.
    pub what: String,
    /// Who asked.
    pub because: Origin,
    /// Whether somebody wrote that it must not be seen: no effort is good enough then.
    pub denied: bool,
}

impl std::fmt::Display for Unsaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it cannot {} ({})", self.what, self.because)
    }
}

/// The rules, what they cannot say, and what the reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carved {
    /// The wall.
    pub wall: LandlockPlan,
    /// What the wall does not keep.
    pub unsaid: Vec<Unsaid>,
    /// Directories that cannot be listed, because what is hidden below them would be.
    pub unlisted: Vec<PathBuf>,
    /// Directories that the caller may not list and in which nothing can be read but on the way to a rule.
    pub closed: Vec<PathBuf>,
    /// Whether init names threads, which no rule lets the command do.
    pub names_threads: bool,
}

/// Turns a view into rules.
#[must_use]
pub fn carve(view: Seen<'_>) -> Carved {
    let mut carver = Carver {
        view,
        rules: Vec::new(),
        apart: BTreeSet::new(),
        unsaid: Vec::new(),
        unlisted: Vec::new(),
        closed: Vec::new(),
    };
    for (path, node) in view.tree.iter().filter(|(path, _)| !path.starts_with("/dev")) {
        carver.node(path, node);
    }
    carver.devices();
    carver.others();
    let names_threads = carver.names_threads();
    let Carver { rules, apart, unsaid, unlisted, closed, .. } = carver;
    let apart = apart.into_iter().collect();
    let abi = view.abi;
    let scoped = abi >= SCOPE_ABI;
    let tcp = if abi >= TCP_ABI && view.net != Net::Host { Tcp::Connect(view.ports.to_vec()) } else { Tcp::Free };
    let wall =
        LandlockPlan { abi, rules, apart, scope_abstract: scoped, scope_signals: scoped, tcp, audit: view.audit };
    Carved { wall, unsaid, unlisted, closed, names_threads }
}

struct Carver<'a> {
    view: Seen<'a>,
    rules: Vec<LandlockRule>,
    /// What was taken apart, and what is hidden for it: under another name nothing of it may get the rights of that name.
    apart: BTreeSet<FileId>,
    unsaid: Vec<Unsaid>,
    unlisted: Vec<PathBuf>,
    closed: Vec<PathBuf>,
}

/// The entries of a directory through which one comes to these paths.
fn names_in(directory: &Path, less: &[Less<'_>]) -> Vec<OsString> {
    let name = |one: &Less<'_>| Some(one.path.strip_prefix(directory).ok()?.iter().next()?.to_owned());
    let names: BTreeSet<_> = less.iter().filter_map(name).collect();
    names.into_iter().collect()
}

/// A path below a rule that is to have less than the rule.
#[derive(Clone)]
struct Less<'a> {
    path: &'a Path,
    because: &'a Origin,
    hidden: bool,
    /// Hidden and a directory: whoever may list above it may list it.
    listable: bool,
}

impl<'a> Carver<'a> {
    /// What a node of the tree may be used for here.
    fn level(&self, path: &Path, node: &Node) -> Access {
        match node.view {
            View::Host(access) => access,
            // A sandbox around this one has made it private already.
            View::Private(_) if path == Path::new("/tmp") && self.view.kept.nested => Access::Write,
            View::Private(_) if path == Path::new("/tmp") => self.view.tmp.unwrap_or(Access::None),
            View::Private(_) => Access::None,
        }
    }

    fn node(&mut self, path: &'a Path, node: &'a Node) {
        let level = self.level(path, node);
        let Some(allow) = Beneath::of(level) else { return };
        if node.anchored && matches!(node.because, Origin::Protected(_)) {
            return;
        }
        let less = self.less(path, level);
        if !less.is_empty() && level < Access::Write {
            return self.split(path, allow, &node.because, &less);
        }
        // Whoever lets go of what cannot be said has the rest.
        self.unsaid.extend(less.iter().map(unsayable));
        let expect = node.id.map_or(Expect::Anything, Expect::File);
        self.rules.push(LandlockRule { path: path.into(), allow, expect, because: node.because.clone() });
    }

    /// Everything below `path` that is to have less than `level`.
    fn less(&self, path: &Path, level: Access) -> Vec<Less<'a>> {
        let view = self.view;
        let kept = |at: &Path, own: Access| match own {
            Access::None => view.kept.unreadable.iter().any(|known| known == at),
            Access::Read => view.kept.unwritable.iter().any(|known| known == at),
            Access::Modify | Access::Write => false,
        };
        let below = view.tree.below(path).filter(|(at, _)| !at.starts_with("/dev") && !in_proc(at));
        let nodes = below.filter_map(|(at, node)| {
            let own = self.level(at, node);
            let private = matches!(node.view, View::Private(_));
            let hidden = own == Access::None;
            let listable = hidden && node.kind == Kind::Dir && !private;
            // Shown by whoever made all of the machine writable; sockets are kept away by the system call filter.
            let open = private && (level == Access::Write && at == Path::new("/run") || view.kept.closed);
            // Nothing can be opened in it, and who connects is a question of system calls.
            let open = open || node.kind == Kind::Socket && hidden && !node.because.is_explicit();
            (own < level && !open && !kept(at, own)).then_some(Less {
                path: at,
                because: &node.because,
                hidden,
                listable,
            })
        });
        let mut less: Vec<_> = nodes.collect();
        if path == Path::new("/") && !view.kept.closed && !view.ops.iter().any(|op| op.what == Mount::Devices) {
            // The nodes of /dev are named one by one, and /proc has a level of its own.
            static DEV: Origin = Origin::Baseline("nodes are granted one by one");
            static PROC: Origin = Origin::Baseline("no rule shows it");
            less.push(Less { path: Path::new("/dev"), because: &DEV, hidden: true, listable: false });
            if self.view.proc.0 == Access::None {
                less.push(Less { path: Path::new("/proc"), because: &PROC, hidden: true, listable: false });
            }
        }
        less
    }

    /// Gives a directory's rights to its entries, one by one, but for those that are to have less.
    fn split(&mut self, directory: &Path, allow: Beneath, because: &Origin, less: &[Less<'a>]) {
        let asked = less.iter().any(|one| one.because.is_explicit());
        let entries = match self.view.listings.directories.get(directory) {
            Some(Listing::Entries(entries)) => entries,
            // As /home is on many a machine of many users: what lies beside has no name that we know, and no rule.
            Some(Listing::Closed) if !asked => {
                self.closed.push(directory.to_owned());
                &names_in(directory, less)
            }
            other => {
                let why = match other {
                    Some(Listing::TooMany) => format!("it has more than {MOST} entries"),
                    _ => "it cannot be listed".to_owned(),
                };
                let told = less.iter().map(|one| Unsaid {
                    what: format!("keep {} apart from the rest of {}: {why}", one.path.display(), directory.display()),
                    ..unsayable(one)
                });
                self.unsaid.extend(told);
                return;
            }
        };
        let kept = less.iter().map(|one| one.path).chain([directory]);
        self.apart.extend(kept.filter_map(|path| self.view.listings.identities.get(path)));
        if less.iter().any(|one| one.listable) {
            self.unlisted.push(directory.to_owned());
        } else {
            let expect = self.view.listings.identities.get(directory).map_or(Expect::Anything, |id| Expect::File(*id));
            let (path, because) = (directory.to_owned(), because.clone());
            self.rules.push(LandlockRule { path, allow: Beneath::List, expect, because });
        }
        let mut inside: HashMap<&OsStr, Vec<Less<'a>>> = HashMap::new();
        for one in less {
            let name = one.path.strip_prefix(directory).ok().and_then(|rest| rest.iter().next());
            inside.entry(name.unwrap_or_default()).or_default().push(one.clone());
        }
        for name in entries {
            let path = directory.join(name);
            match inside.get(name.as_os_str()) {
                None => {
                    // A rule for less than another one around it names it too, and nothing that this one is to give.
                    let known = self.view.listings.identities.get(&path);
                    let expect = known.map_or(Expect::Apart, |id| Expect::File(*id));
                    self.rules.push(LandlockRule { path, allow, expect, because: because.clone() });
                }
                // Its own node says what is left of it.
                Some(less) if less.iter().any(|one| one.path == path) => {}
                Some(less) => self.split(&path, allow, because, less),
            }
        }
    }

    fn devices(&mut self) {
        for MountOp { target, what, because } in self.view.ops {
            let rule = |allow, expect| LandlockRule { path: target.clone(), allow, expect, because: because.clone() };
            match what {
                // Under another name: said below.
                Mount::Device { source: Some(_), .. } => {}
                Mount::Device { source: None, major, minor, read_only } => {
                    let allow = if *read_only { Beneath::Read } else { Beneath::Devices };
                    self.rules.push(rule(allow, Expect::Device { major: *major, minor: *minor }));
                }
                Mount::Devices => self.rules.push(rule(Beneath::Devices, Expect::Anything)),
                // Named by a rule; the private one that is there anyway is not the host's to give.
                Mount::Bind { writable, .. } if target.starts_with("/dev") => {
                    let bound = if *writable { Access::Write } else { Access::Read };
                    let level = self.view.tree.at(target).map_or(bound, |node| self.level(target, node));
                    self.rules.extend(Beneath::of(level).map(|allow| rule(allow, Expect::Anything)));
                    self.all_below(target, level);
                }
                _ => {}
            }
        }
        if let Some(scratch) = self.view.scratch {
            let because = Origin::Baseline("in the place of a private /tmp");
            self.rules.push(LandlockRule::new(scratch, Beneath::Write, because));
        }
        if let Some((access, because)) = self.view.shm {
            let allow = Beneath::of(*access);
            self.rules.extend(allow.map(|allow| LandlockRule::new("/dev/shm", allow, because.clone())));
            self.all_below(Path::new("/dev/shm"), *access);
        }
        let (access, because) = self.view.proc;
        let allow = Beneath::of((*access).min(Access::Read));
        self.rules.extend(allow.map(|allow| LandlockRule::new("/proc", allow, because.clone())));
    }

    /// What is to have less in a directory of `/dev`, which is not taken apart.
    fn all_below(&mut self, directory: &Path, level: Access) {
        let told = |path: &Path| self.unsaid.iter().any(|one| one.path == path);
        let less = |path: &Path, node: &Node| self.level(path, node) < level && !told(path);
        let below = self.view.tree.below(directory).filter(|(path, node)| less(path, node));
        let less = below.map(|(path, node)| {
            let hidden = self.level(path, node) == Access::None;
            unsayable(&Less { path, because: &node.because, hidden, listable: false })
        });
        let less: Vec<_> = less.collect();
        self.unsaid.extend(less);
    }

    /// Whether init is to name threads, in the place of a right to write in `/proc`.
    ///
    /// The host's `/proc` has files of all the user's processes (`oom_score_adj`), and for uid 0 those of the kernel,
    /// which ask for no capability. A rule for `/proc/self` would hold for one process and not for those that it starts.
    fn names_threads(&self) -> bool {
        self.view.proc.0.writes()
    }

    /// What the tree does not hold: links, and what lies in `/proc`.
    fn others(&mut self) {
        let (access, because) = self.view.proc;
        if *access == Access::Write && self.view.uid == 0 {
            // Settings of the kernel compare user ids, and ask for no capability.
            let what = "keep the kernel's settings from uid 0 in a writable /proc [baseline.proc_root]".to_owned();
            self.unsaid.push(Unsaid { path: "/proc".into(), what, because: because.clone(), denied: true });
        }
        for op in self.view.ops {
            if let Mount::Device { source: Some(source), .. } | Mount::Other { source, .. } = &op.what {
                let what = format!("show {} as {}", source.display(), op.target.display());
                let (path, because) = (op.target.clone(), op.because.clone());
                self.unsaid.push(Unsaid { path, what, because, denied: true });
            }
            let hides_in_proc = in_proc(&op.target) && matches!(op.what, Mount::Mask { .. } | Mount::Veil { .. });
            let what = match op.what {
                Mount::Pin { .. } | Mount::Plug { .. } => "keep the link",
                _ if hides_in_proc && op.because.is_explicit() => "hide",
                _ => continue,
            };
            let denied = hides_in_proc;
            let as_it_is = if denied { "" } else { " as it is" };
            let what = format!("{what} {}{as_it_is}", op.target.display());
            self.unsaid.push(Unsaid { path: op.target.clone(), what, because: op.because.clone(), denied });
        }
    }
}

/// Below `/proc`, which is the host's and has entries for every process.
fn in_proc(path: &Path) -> bool {
    path.starts_with("/proc")
}

fn unsayable(less: &Less<'_>) -> Unsaid {
    let path = less.path.display();
    let what =
        if less.hidden { format!("hide {path}") } else { format!("keep {path} read-only in a writable directory") };
    let denied = less.hidden && less.because.is_explicit();
    Unsaid { path: less.path.to_owned(), what, because: less.because.clone(), denied }
}
