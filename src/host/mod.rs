//! Room 3, *what this machine has*: reads below a given root and never decides.
//!
//! Production passes `/`; tests pass a fixture directory. Everything found is a value in [`Facts`].

pub mod bwrap;
pub mod cache;
pub mod engines;
mod gitconfig;
pub mod gpu;
pub mod kept;
pub mod kernel;
pub mod limits;
pub mod mountinfo;
mod names;
pub mod paths;
pub mod placeholder;
pub mod pulse;
mod read;
pub mod repo;
pub mod resolver;
pub mod scratch;
pub mod shut;
pub mod siblings;
pub mod sockets;
mod trouble;
pub mod users;
pub mod walk;
mod wished;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::policy::baseline::rows::ROWS;
use crate::policy::paths::{Access, Rule};
use crate::policy::{Policy, tables};
use crate::request::{Dialect, Git, Origin, Said, Tmp};
use paths::{FileId, Kind, PathFact, Present, Root};

/// What the plan needs to know about the machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The caller.
    pub caller: Caller,
    /// The caller's environment.
    pub env: Vec<(OsString, OsString)>,
    /// The workspace.
    pub workspace: PathFact,
    /// Where the command is to start.
    pub start_in: PathFact,
    /// Each rule of the policy and what is at its path.
    pub rules: Vec<(Rule, PathFact)>,
    /// Credential stores that exist.
    pub secrets: Vec<(Rule, Present)>,
    /// What the deny globs match.
    pub globbed: Vec<walk::Match>,
    /// Where else denied directories and files can be seen, through other mounts.
    pub aliases: Vec<(Rule, Present)>,
    /// Protected names below writable directories.
    pub protected: Vec<Protected>,
    /// This program and its configuration: whoever can write them decides about the next run.
    pub own_files: Vec<PathFact>,
    /// Repositories of the writable directories and nested ones of the workspace.
    pub repos: Vec<repo::Repo>,
    /// In `git = "commit"`: the entries of git directories that run code.
    pub git_code: Vec<Protected>,
    /// Directories of the workspace that cannot be searched for repositories.
    pub closed: Vec<Present>,
    /// Directories to be writable whose own permissions forbid it to the caller, who owns them.
    pub unwritable: Vec<PathBuf>,
    /// Where the links in protected directories lead.
    pub linked: Vec<PathFact>,
    /// Whether the search for nested repositories reached its bound.
    pub nested_bounded: bool,
    /// Devices asked for by path.
    pub devices: Vec<(Said<PathBuf>, PathFact)>,
    /// Sockets asked for by path.
    pub unix: Vec<(Said<PathBuf>, PathFact)>,
    /// Host sockets outside private directories.
    pub sockets: Vec<Present>,
    /// Directories above what is hidden that the caller cannot enter inside.
    pub shut: BTreeMap<PathBuf, FileId>,
    /// Entries of `/run` that stay, top-level links, system directories: baseline paths that exist.
    pub baseline: Vec<Present>,
    /// The GPUs and their nodes.
    pub gpus: gpu::Gpus,
    /// Files of the driver that a sandbox may have its own version of; empty where there is no GPU.
    pub driver_files: gpu::driver_files::DriverFiles,
    /// What files say of the CDI devices that are wished for.
    pub cdi: gpu::cdi::Specs,
    /// What is protected already, from outside.
    pub kept: kept::Kept,
    /// Entries of the directories that hold something hidden, where Landlock alone could be what enforces.
    pub listings: siblings::Listings,
    /// A name for a private directory in the place of `/tmp`, where nothing can be mounted on that.
    pub scratch: Option<PathBuf>,
    /// Where compiled GPU code of this workspace can be kept; `None` where there is no GPU.
    pub cache: Option<Result<cache::Place, cache::Unfit>>,
    /// How names are resolved; `None` where no plan would change it.
    pub resolver: Option<resolver::Resolver>,
    /// What can limit a command here.
    pub limits: limits::LimitFacts,
    /// What could enforce a plan here.
    pub engines: engines::Engines,
    /// Highest Landlock ABI of the kernel, 0 without Landlock.
    pub landlock_abi: u32,
}

/// Who runs ringfence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// User, group and supplementary groups.
    pub ids: gpu::CallerIds,
    /// Home directories: `$HOME` and the one of the user database, where they differ.
    pub homes: Vec<PathBuf>,
    /// The user's name, where the user database has one.
    pub user: Option<String>,
    /// The group's name, where the policy asks for a group by name.
    pub group: Option<String>,
}

/// An entry that stays read-only below a writable directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// The writable directory, canonical.
    pub below: PathBuf,
    /// The entry, relative to it.
    pub name: PathBuf,
    /// What is there.
    pub fact: PathFact,
    /// The placeholder that blocks it when it is missing; `None`: it is not blocked.
    pub block: Option<tables::Shape>,
    /// Whether the directory is empty: a repository can only be cloned into it while nothing blocks it.
    pub guarded: bool,
    /// Why it is protected.
    pub why: String,
}

/// Looks at everything that `policy` names, and at the GPUs if any are wished for.
///
/// # Errors
/// Only when `root` itself cannot be opened.
pub fn probe(path: &Path, policy: &Policy, env: Vec<(OsString, OsString)>) -> std::io::Result<Facts> {
    trouble::forget();
    let root = &Root::open(path)?;
    let home = env.iter().find(|(name, _)| name == "HOME").map(|(_, value)| value.as_os_str());
    let mut caller = users::caller(root, home);
    if policy.identity.group.is_some() {
        caller.group = users::group_name(root, caller.ids.gid);
    }
    let confines = policy.confines();
    let facts = root.look_at_all(policy.rules.iter().map(|rule| rule.path.as_path()));
    let rules: Vec<_> = policy.rules.iter().cloned().zip(facts).collect();
    let workspace = match rules.iter().find(|(rule, _)| rule.path == policy.workspace) {
        Some((_, fact)) => fact.clone(),
        None => root.look(&policy.workspace),
    };
    let of_user = repo::OfUser::new(&caller.homes, &env);
    let protecting = Protecting::of(root, policy, &rules, &workspace, &of_user);
    let (gpus, cdi) = (wished::gpus(path, policy, &caller.ids), wished::cdi(path, policy, &caller.ids));
    let has_gpu = confines && !(gpus.is_empty() && policy.gpu.value.cdi_names().next().is_none());
    let narrowed = policy.is_narrowed();
    let mut baseline = if confines { baseline(root, narrowed, &gpus) } else { Vec::new() };
    baseline.extend(cdi.same_names().cloned());
    let private = [Path::new("/run"), Path::new("/tmp")];
    let private = if policy.tmp.value == Tmp::Rules { &private[..1] } else { &private };
    let mut sockets = if confines { sockets::bound(root, private) } else { Vec::new() };
    sockets.extend(protecting.sockets);
    let globbed = walk::expand(root, &policy.globs);
    let mut facts = Facts {
        kept: kept::Kept::default(),
        listings: siblings::Listings::default(),
        scratch: None,
        resolver: policy.reach.transparent.as_ref().map(|_| resolver::probe(path, root)),
        cache: has_gpu.then(|| cache::probe(root, &env, workspace.leads_to(&policy.workspace))),
        secrets: if confines { secrets(root, policy, &caller.homes, &env) } else { Vec::new() },
        aliases: aliases(root, denied(policy, &rules, &globbed)),
        globbed,
        protected: protecting.protected,
        own_files: if confines && !policy.restricts_no_files() { own_files(root, policy, &env) } else { Vec::new() },
        repos: protecting.repos,
        git_code: protecting.git_code,
        nested_bounded: protecting.nested_bounded,
        closed: protecting.closed,
        linked: protecting.linked,
        unwritable: protecting.unwritable,
        devices: policy.devices.iter().map(|said| (said.clone(), look_at_node(root, &said.value))).collect(),
        unix: policy.unix.iter().map(|said| (said.clone(), root.look(&said.value))).collect(),
        sockets,
        shut: BTreeMap::new(),
        baseline,
        gpus,
        driver_files: if has_gpu { gpu::driver_files::probe(root) } else { gpu::driver_files::DriverFiles::default() },
        cdi,
        limits: limits::probe(path, policy),
        engines: engines::probe(path, root, policy, &rules, &env),
        landlock_abi: kernel::landlock_abi(),
        caller,
        env,
        start_in: if policy.start_in == policy.workspace { workspace.clone() } else { root.look(&policy.start_in) },
        workspace,
        rules,
    };
    facts.look_around(root, policy);
    facts.shut = shut::above(root, &facts.caller.ids, shut::hidden(&facts));
    trouble::none()?;
    Ok(facts)
}

impl Facts {
    /// What is at a path of the baseline, as it is written or where it leads.
    #[must_use]
    pub fn of_baseline(&self, path: &Path) -> Option<&Present> {
        let is_link = |present: &Present| present.link.as_ref().is_some_and(|(link, _)| link == path);
        self.baseline.iter().find(|present| present.path == path || is_link(present))
    }

    /// Looks at what only Landlock alone needs to know, where that could be what enforces.
    pub fn look_around(&mut self, root: &Root, policy: &Policy) {
        if self.engines.leave_landlock_alone(policy) {
            self.kept = kept::probe(root, policy, self, &self.engines);
            self.listings = siblings::above(root, siblings::restricted(self));
            self.scratch = scratch::name(root, &self.env);
        }
    }
}

fn existing<'a>(root: &Root, paths: impl Iterator<Item = &'a str>) -> Vec<Present> {
    paths.filter_map(|path| root.look_if_present(Path::new(path))).collect()
}

/// What stays visible of `/run`, where GPU libraries lie elsewhere, and what a narrowed root needs to be usable.
fn baseline(root: &Root, narrowed: bool, gpus: &gpu::Gpus) -> Vec<Present> {
    let names = names::Names::of(root, Path::new("/run"));
    let kept = tables::RUN_KEPT.iter().map(|(path, _)| *path);
    let kept = kept.filter(|path| path.strip_prefix("/run/").is_none_or(|below| names.may_hold(below)));
    let links = if narrowed { tables::ROOT_LINKS } else { &[] };
    let rows = if narrowed { ROWS } else { &[] };
    let named = links.iter().copied().chain(rows.iter().map(|row| row.path)).collect::<BTreeSet<_>>();
    let libraries = gpus.libraries.iter().map(|row| row.path).filter(|path| !named.contains(path));
    let found = gpus.directories.iter().filter_map(|path| path.to_str()).filter(|path| !named.contains(path));
    existing(root, kept.chain(libraries).chain(found).chain(named.iter().copied()))
}

/// A device node itself: a link in `/dev` is not followed, so that what is bound is what was named.
fn look_at_node(root: &Root, path: &Path) -> PathFact {
    match root.look_at_entry(path) {
        Some((id, kind)) => PathFact::Present(Present { path: path.to_owned(), id, kind, link: None }),
        None => root.look(path),
    }
}

fn secrets(root: &Root, policy: &Policy, homes: &[PathBuf], env: &[(OsString, OsString)]) -> Vec<(Rule, Present)> {
    if !policy.dialect.hides_secrets() {
        return kernel_internals(root).collect();
    }
    let of_system = tables::SYSTEM_SECRETS.iter().map(|(path, what)| (PathBuf::from(path), *what));
    // Below /run they are hidden anyway: no sandbox shows the host's.
    let sessions = env.iter().find(|(name, _)| name == "XDG_RUNTIME_DIR").map(|(_, path)| Path::new(path));
    let sessions =
        sessions.filter(|path| path.is_absolute()).map(|path| (path.join("ringfence"), "sockets of sessions"));
    let found = homes.iter().flat_map(|home| of_home(root, home)).chain(of_system).chain(sessions);
    let found = found.filter_map(|(path, what)| {
        let present = root.look_if_present(&path)?;
        Some((Rule { path, access: Access::None, because: Origin::Secret(what) }, present))
    });
    found.chain(kernel_internals(root)).collect()
}

/// The rows of a home directory that may name something. Nearly none does: one look at the directory saves a look at each.
fn of_home(root: &Root, home: &Path) -> Vec<(PathBuf, &'static str)> {
    let config = names::Names::of(root, &home.join(".config"));
    let names = names::Names::of(root, home);
    let may_be = |row: &str| match row.split_once('/') {
        Some((".config", below)) => config.may_hold(below),
        _ => names.may_hold(row),
    };
    let rows = tables::HOME_SECRETS.iter().filter(|(row, _)| may_be(row));
    rows.map(|(row, what)| (home.join(row), *what)).collect()
}

fn own_files(root: &Root, policy: &Policy, env: &[(OsString, OsString)]) -> Vec<PathFact> {
    let program = std::env::current_exe().ok();
    // What another sandbox will run. Policies that are complete are not added to where nothing is there yet.
    let cache =
        cache::own(root, env).filter(|fact| matches!(fact, PathFact::Present(_)) || !policy.dialect.is_complete());
    // By a file there the next run may get any device that the user may open.
    let devices = policy.cdi_dirs.iter().map(|said| &said.value);
    policy.files.iter().chain(&program).chain(devices).map(|path| root.look(path)).chain(cache).collect()
}

/// Paths that exist and are denied, and what denies them.
fn denied<'a>(policy: &Policy, rules: &'a [(Rule, PathFact)], globbed: &'a [walk::Match]) -> Vec<(Rule, &'a Present)> {
    let named = rules.iter().filter_map(|(rule, fact)| match fact {
        PathFact::Present(present) if rule.access == Access::None => Some((rule.clone(), present)),
        _ => None,
    });
    let matched = globbed.iter().filter_map(|found| {
        let glob = policy.globs.get(found.glob)?;
        let because = Origin::Glob(glob.written.clone(), Box::new(glob.because.clone()));
        Some((Rule { path: found.present.path.clone(), access: Access::None, because }, &found.present))
    });
    named.chain(matched).collect()
}

/// Denied paths by their other names.
fn aliases(root: &Root, denied: Vec<(Rule, &Present)>) -> Vec<(Rule, Present)> {
    if denied.is_empty() {
        return Vec::new();
    }
    let table = read::whole(&root.real(Path::new("/proc/self/mountinfo"))).unwrap_or_default();
    let table = mountinfo::parse(&table);
    let mut found = Vec::new();
    for (rule, present) in denied {
        for alias in mountinfo::aliases(&table, &present.path) {
            let rule = Rule { path: alias, ..rule.clone() };
            // Covered mounts lead to something else: the device tells.
            let seen = root.look_if_present(&rule.path);
            let same = |seen: &Present| seen.id.dev == present.id.dev;
            found.extend(seen.filter(same).map(|seen| (rule, seen)));
        }
    }
    found
}

/// File systems of kernel internals, where they are mounted.
fn kernel_internals(root: &Root) -> impl Iterator<Item = (Rule, Present)> {
    let sys = root.look_at_entry(Path::new("/sys")).map(|(id, _)| id.dev);
    tables::KERNEL_INTERNALS.iter().filter_map(move |path| {
        let (id, kind) = root.look_at_entry(Path::new(path)).filter(|(id, _)| Some(id.dev) != sys)?;
        let rule = Rule { path: path.into(), access: Access::None, because: Origin::Secret("kernel internals") };
        Some((rule, Present { path: path.into(), id, kind, link: None }))
    })
}

#[derive(Default)]
struct Protecting {
    dialect: Dialect,
    /// Whether the policy lets a `.git` be made anywhere.
    makes_repositories: bool,
    protected: Vec<Protected>,
    repos: Vec<repo::Repo>,
    git_code: Vec<Protected>,
    nested_bounded: bool,
    sockets: Vec<Present>,
    closed: Vec<Present>,
    linked: Vec<PathFact>,
    unwritable: Vec<PathBuf>,
}

impl Protecting {
    fn of(
        root: &Root,
        policy: &Policy,
        rules: &[(Rule, PathFact)],
        workspace: &PathFact,
        of_user: &repo::OfUser,
    ) -> Self {
        let mut found = Self {
            dialect: policy.dialect,
            makes_repositories: policy.git.value == Git::Commit
                || rules.iter().any(|(rule, _)| rule.access.writes() && rule.path.ends_with(".git")),
            ..Self::default()
        };
        if !policy.confines() || policy.restricts_no_files() {
            return found;
        }
        let workspace = match workspace {
            PathFact::Present(present) => present.path.as_path(),
            _ => Path::new(""),
        };
        let mut directories: Vec<&Path> = rules.iter().filter_map(|(rule, fact)| writable(rule, fact)).collect();
        directories.sort();
        directories.dedup();
        let names = policy.dialect.protected_names();
        let is_name = |part: std::path::Component<'_>| names.iter().any(|(known, _)| part.as_os_str() == *known);
        let is_protected = |directory: &Path| {
            directory.components().any(is_name)
                && directories.iter().any(|above| {
                    let name = directory.strip_prefix(above).ok().and_then(|below| below.components().next());
                    name.is_some_and(is_name)
                })
        };
        for directory in &directories {
            if is_protected(directory) {
                // Granted by its own name, and its inside with it.
                continue;
            }
            if root.owner_may_not_write(directory) {
                found.unwritable.push(directory.to_path_buf());
                continue;
            }
            found.names(root, directory, of_user, *directory != Path::new("/"));
        }
        if directories.contains(&workspace) {
            let inside = repo::search(root, workspace);
            found.nested_bounded = inside.bounded;
            for directory in inside.closed {
                found.closed.extend(root.look_if_present(&directory));
            }
            found.repos.extend(repo::above(root, workspace, of_user));
            for directory in inside.repos {
                found.names(root, &directory, of_user, false);
            }
            let files = inside.sockets.iter().filter_map(|path| root.look_if_present(path)).collect();
            found.sockets = sockets::bound_among(root, files);
        }
        if policy.git.value == Git::Commit {
            found.interior(root, workspace);
        }
        found
    }

    fn names(&mut self, root: &Root, directory: &Path, of_user: &repo::OfUser, block_missing: bool) {
        let guarded = block_missing && self.makes_repositories && is_empty(root, directory);
        for (name, why) in self.dialect.protected_names() {
            let fact = match root.look_at_child(directory, Path::new(name)) {
                // The directory itself was just found: no placeholder stands in its place.
                missing @ PathFact::Missing { .. } => missing,
                fact => placeholder::seen_through(root, fact),
            };
            if let PathFact::Present(Present { path, kind: Kind::Dir, .. }) = &fact {
                self.links(root, name, path);
            }
            if *name == ".git" {
                self.repos.extend(repo::read(root, directory, &fact, of_user));
            }
            self.protected.push(Protected {
                below: directory.to_owned(),
                name: name.into(),
                fact,
                block: block_missing.then_some(tables::Shape::Dir),
                guarded,
                why: format!("{name}: {why}"),
            });
        }
    }

    /// Where links in a protected directory lead; in a git directory, those among its code and its hooks.
    fn links(&mut self, root: &Root, name: &str, directory: &Path) {
        if name != ".git" {
            return self.linked.extend(repo::link_targets(root, directory));
        }
        let entries = tables::GIT_CODE.iter().map(|(name, ..)| root.look_at_child(directory, Path::new(name)));
        let links = entries.filter(|fact| matches!(fact, PathFact::Present(Present { link: Some(_), .. })));
        self.linked.extend(links.chain(repo::link_targets(root, &directory.join("hooks"))));
    }

    fn interior(&mut self, root: &Root, tree: &Path) {
        let Some(repo) = self.repos.iter().find(|repo| repo.tree == tree) else { return };
        // A broken git directory makes git look at the tree itself: with a HEAD it could be a bare repository.
        self.git_code.push(Protected {
            below: tree.to_owned(),
            name: "HEAD".into(),
            fact: placeholder::seen_through(root, root.look_at_child(tree, Path::new("HEAD"))),
            block: Some(tables::Shape::Dir),
            guarded: false,
            why: "HEAD: git would take the workspace itself for a repository".to_owned(),
        });
        for directory in [&repo.git_dir, &repo.common_dir].into_iter().flatten() {
            for (name, shape, why) in tables::GIT_CODE {
                self.git_code.push(Protected {
                    below: directory.path.clone(),
                    name: name.into(),
                    fact: placeholder::seen_through(root, root.look_at_child(&directory.path, Path::new(name))),
                    block: *shape,
                    guarded: false,
                    why: format!("{name}: {why}"),
                });
            }
        }
    }
}

/// Whether a directory holds nothing but what stands for missing entries.
fn is_empty(root: &Root, directory: &Path) -> bool {
    let Some(opened) = repo::open_directory(&root.real(directory)) else { return false };
    let mut empty = true;
    repo::each_entry(&opened, |name, _| {
        let path = directory.join(std::ffi::OsStr::from_bytes(name));
        empty &= root.look_at_entry(&path).is_none();
    });
    empty
}

/// The directory that a rule makes writable, where names in it are to be protected.
fn writable<'a>(rule: &Rule, fact: &'a PathFact) -> Option<&'a Path> {
    let PathFact::Present(Present { path, kind: Kind::Dir, .. }) = fact else { return None };
    let special = ["/dev", "/proc", "/sys"].iter().any(|dir| path.starts_with(dir));
    (rule.access >= Access::Modify && !special).then_some(path)
}
