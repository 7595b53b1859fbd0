//! From what a policy says to rules: specials get their paths, and of two words about one path the greater counts.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{CodexError, Entry, EntryAccess, EntryPath, Files, Meaning, Special, Surroundings};
use crate::policy::paths::{has_metacharacters, normal};
use crate::request::load::GpuValue;
use crate::request::{Dialect, Mode, Net, Origin, Request, Said, Tmp};

/// What `minimal` makes readable, where it exists.
pub(super) const MINIMAL: &[&str] =
    &["/bin", "/sbin", "/usr", "/etc", "/lib", "/lib64", "/nix/store", "/run/current-system/sw"];

/// The rules of a policy: plain paths in one map, globs beside it.
#[derive(Default)]
struct Rules {
    paths: BTreeMap<PathBuf, Said<EntryAccess>>,
    globs: Vec<Said<PathBuf>>,
    notes: Vec<String>,
}

pub(super) fn request(meaning: Meaning, around: Surroundings<'_>) -> Result<Request, CodexError> {
    let Meaning { files, network, gpu, place } = meaning;
    let by = |what: &str| Origin::Json { source: place.clone(), at: what.to_owned() };
    let mut request = Request {
        dialect: Dialect::Codex,
        cd: Some(around.workspace.to_owned()),
        net: Some(Said::new(if network { Net::Host } else { Net::None }, by("network"))),
        tmp: Some(Said::new(Tmp::Rules, by("file_system"))),
        ..Request::default()
    };
    let (rules, glob_depth, read_only) = match files {
        Files::Disabled => return Ok(unconfined(request, by("type"))),
        Files::Unrestricted => (everything(by("file_system")), None, None),
        Files::Restricted { entries, glob_depth, read_only } => (collect(entries, around)?, glob_depth, read_only),
    };
    if network && rules.is_everything() {
        return Ok(unconfined(request, by("file_system")));
    }
    let read_only = read_only.unwrap_or_else(|| !rules.writes());
    let mode = if read_only { Mode::ReadOnly } else { Mode::WorkspaceWrite };
    request.sandbox = Some(Said::new(mode, by("file_system")));
    request.gpu = Some(gpu_wish(gpu, mode, &by));
    request.glob_depth = glob_depth;
    request.deny = rules.globs;
    request.notes = rules.notes;
    for (path, Said { value, by }) in rules.paths {
        let list = match value {
            EntryAccess::Read => &mut request.read,
            EntryAccess::Write => &mut request.write,
            EntryAccess::Deny => &mut request.deny,
        };
        list.push(Said::new(path, by));
    }
    Ok(request)
}

fn unconfined(request: Request, by: Origin) -> Request {
    Request { sandbox: Some(Said::new(Mode::FullAccess, by)), net: None, tmp: None, ..request }
}

/// A switch looks for GPUs or does not; a word or a list is a selection that has to work.
fn gpu_wish(gpu: Option<GpuValue>, mode: Mode, by: &dyn Fn(&str) -> Origin) -> Said<String> {
    let text = |text: &str, by| Said::new(text.to_owned(), by);
    match gpu {
        None if mode == Mode::ReadOnly => text("off", Origin::Preset(mode.name())),
        None => text("auto", Origin::Preset(mode.name())),
        Some(GpuValue::Switch(on)) => text(if on { "auto" } else { "off" }, by("gpu")),
        Some(value) => text(&value.text(), by("gpu")),
    }
}

fn everything(by: Origin) -> Rules {
    let paths = BTreeMap::from([(PathBuf::from("/"), Said::new(EntryAccess::Write, by))]);
    Rules { paths, ..Rules::default() }
}

fn collect(entries: Vec<Said<Entry>>, around: Surroundings<'_>) -> Result<Rules, CodexError> {
    let mut rules = Rules::default();
    for Said { value: Entry { path, access, missing_path_behavior: _ }, by } in entries {
        match path {
            EntryPath::Path { path } if path.is_absolute() => rules.add(&path, access, by),
            EntryPath::Path { path } => return Err(CodexError::Relative { path, by }),
            EntryPath::GlobPattern { pattern } => rules.globs.push(glob(pattern, access, by)?),
            EntryPath::Special { value } => rules.special(&value, access, &by, around)?,
        }
    }
    Ok(rules)
}

impl Rules {
    fn add(&mut self, path: &Path, access: EntryAccess, by: Origin) {
        let path = normal(path);
        if self.paths.get(&path).is_none_or(|said| said.value < access) {
            self.paths.insert(path, Said::new(access, by));
        }
    }

    fn special(
        &mut self,
        special: &Special,
        access: EntryAccess,
        by: &Origin,
        around: Surroundings<'_>,
    ) -> Result<(), CodexError> {
        let mut add = |path: &Path| self.add(path, access, by.clone());
        match special {
            Special::Root {} => add(Path::new("/")),
            Special::SlashTmp {} => add(Path::new("/tmp")),
            Special::Minimal {} => MINIMAL.iter().for_each(|path| add(Path::new(path))),
            Special::ProjectRoots { subpath: None } => add(around.workspace),
            Special::ProjectRoots { subpath: Some(subpath) } => {
                let leaves = subpath.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
                if leaves {
                    let message = format!("{by}: subpath `{}` leaves the project root", subpath.display());
                    return Err(CodexError::Parse { place: "project_roots".to_owned(), message });
                }
                add(&around.workspace.join(subpath));
            }
            Special::Tmpdir {} => match around.tmpdir.map(Path::new) {
                Some(tmpdir) if tmpdir.is_absolute() => add(tmpdir),
                Some(tmpdir) if !tmpdir.as_os_str().is_empty() => {
                    self.notes.push(format!("TMPDIR `{}` is not absolute: {by} has no effect", tmpdir.display()));
                }
                _ => {}
            },
            Special::Unknown { path, subpath: _ } => {
                let word = path.as_deref().unwrap_or("unknown");
                self.notes.push(format!("{by}: the special path `{word}` is not known here and has no effect"));
            }
        }
        Ok(())
    }

    fn writes(&self) -> bool {
        self.paths.values().any(|said| said.value == EntryAccess::Write)
    }

    /// Full-disk write with nothing that narrows it.
    fn is_everything(&self) -> bool {
        self.globs.is_empty()
            && self.paths.contains_key(Path::new("/"))
            && self.paths.values().all(|said| said.value == EntryAccess::Write)
    }

    /// What the rules say about a path.
    fn access(&self, path: &Path) -> EntryAccess {
        path.ancestors().find_map(|above| self.paths.get(above)).map_or(EntryAccess::Deny, |said| said.value)
    }
}

/// Checks a deny glob, and says it in our dialect, where `[` must be closed.
fn glob(pattern: String, access: EntryAccess, by: Origin) -> Result<Said<PathBuf>, CodexError> {
    let why = if access != EntryAccess::Deny {
        "can only be denied: name the directory to grant it"
    } else if pattern.contains('{') {
        "has braces, which are not known here"
    } else if !has_metacharacters(pattern.as_ref()) {
        "has no metacharacter: say it as a path"
    } else if first_part_is_open(&pattern) {
        "would have to be searched for on the whole machine"
    } else {
        return Ok(Said::new(PathBuf::from(close_brackets(&pattern)), by));
    };
    Err(CodexError::Glob { pattern, by, why })
}

fn first_part_is_open(pattern: &str) -> bool {
    let mut parts = pattern.split('/').filter(|part| !part.is_empty());
    pattern.starts_with('/') && parts.next().is_none_or(|first| has_metacharacters(first.as_ref()))
}

/// An unclosed `[` is a character like any other.
fn close_brackets(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, set)) = rest.split_once('[') {
        out.push_str(before);
        match set_length(set) {
            Some(length) => {
                let (set, after) = set.split_at(length);
                out.push('[');
                out.push_str(set);
                rest = after;
            }
            None => {
                out.push_str("[[]");
                rest = set;
            }
        }
    }
    out + rest
}

/// How long a set is behind its `[`, the `]` included; a first `]` is one of its members.
fn set_length(set: &str) -> Option<usize> {
    let members = usize::from(set.starts_with(['!', '^']));
    let end = set.get(members..)?.char_indices().skip(1).find(|(_, letter)| matches!(letter, ']' | '/'))?;
    (end.1 == ']').then_some(members + end.0 + 1)
}

/// Whether split policies say nothing that the sandbox policy beside them does not allow.
pub(super) fn agree(split: &Meaning, legacy: &Meaning, around: Surroundings<'_>) -> Result<(), CodexError> {
    let contradiction = |what: &str| Err(CodexError::Contradiction(what.to_owned()));
    if split.network != legacy.network && legacy.files != Files::Disabled {
        return contradiction("the network is restricted in one and enabled in the other");
    }
    let (split, legacy) = match (&split.files, &legacy.files) {
        (Files::Restricted { entries: split, .. }, Files::Restricted { entries: legacy, .. }) => (split, legacy),
        (Files::Unrestricted, Files::Unrestricted | Files::Disabled) => return Ok(()),
        _ => return contradiction("files are restricted in one and not in the other"),
    };
    let (split, legacy) = (collect(split.clone(), around)?, collect(legacy.clone(), around)?);
    let wider = split
        .paths
        .iter()
        .find(|(path, said)| said.value == EntryAccess::Write && legacy.access(path) != EntryAccess::Write);
    match wider {
        Some((path, _)) => contradiction(&format!("only one of them makes `{}` writable", path.display())),
        None => Ok(()),
    }
}
