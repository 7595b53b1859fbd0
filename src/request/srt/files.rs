//! `filesystem`: everything can be read but what is denied, nothing be written but what is allowed.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::{inexpressible, note_unused};
use crate::policy::paths::has_metacharacters;
use crate::policy::tables::{HOME_SECRETS, SYSTEM_SECRETS};
use crate::request::openshell::reader::{Reader, Section, Word};
use crate::request::settings::{place, without_all_below};
use crate::request::{Git, Request, Said, Tmp};

/// What paths are relative to.
pub(super) struct Places<'a> {
    pub home: Option<&'a Path>,
    pub workspace: &'a Path,
}

impl Places<'_> {
    /// A path or pattern as it is meant.
    pub(super) fn said(&self, reader: &Reader<'_>, word: &Word) -> Said<PathBuf> {
        let plain = without_all_below(&word.text);
        let path = if has_metacharacters(plain.as_ref()) {
            crate::request::load::absolute_or_glob(Path::new(&word.text), self.workspace, self.home)
        } else {
            place(plain, self.workspace, self.home)
        };
        reader.said(path, word.spot.place)
    }
}

const KEYS: &[&str] = &["disabled", "denyRead", "allowRead", "allowWrite", "denyWrite", "allowGitConfig"];

/// The lists, resolved.
struct Lists {
    deny_read: Vec<Said<PathBuf>>,
    allow_read: Vec<Said<PathBuf>>,
    allow_write: Vec<Said<PathBuf>>,
    deny_write: Vec<Said<PathBuf>>,
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>, places: &Places<'_>, request: &mut Request) {
    let Some(section) = reader.section(top, "filesystem", KEYS) else { return };
    inexpressible(reader, &section, "disabled", "leave it out, and allow what is to be written: allowWrite [\"~\"]");
    let lists = Lists {
        deny_read: list(reader, &section, "denyRead", places, true),
        allow_read: list(reader, &section, "allowRead", places, false),
        allow_write: list(reader, &section, "allowWrite", places, false),
        deny_write: list(reader, &section, "denyWrite", places, false),
    };
    let writes_here = lists.allow_write.iter().any(|said| places.workspace.starts_with(&said.value));
    let git_config = reader.flag(&section, "allowGitConfig");
    if writes_here {
        // Only hooks and configuration are protected there.
        request.git = Some(reader.said(Git::Commit, section.spot.place));
        if git_config == Some(true) {
            let said = reader.said(places.workspace.join(".git/config"), section.spot.place);
            request.optional.push(said.clone());
            request.write.push(said);
        }
    } else {
        note_unused(reader, &section, "allowGitConfig", "no directory above it can be written");
    }
    rules(reader, lists, places.home, request);
}

/// Whether a path lies where credentials are: a rule to read would open what we hide without being asked.
fn is_secret(path: &Path, home: Option<&Path>) -> bool {
    let of_home = HOME_SECRETS.iter().filter_map(|(name, _)| Some(home?.join(name)));
    let of_system = SYSTEM_SECRETS.iter().map(|(path, _)| PathBuf::from(path));
    of_home.chain(of_system).any(|secret| path.starts_with(secret))
}

/// Whether a pattern hides a path, or something above it.
fn is_hidden_by(pattern: &Path, path: &Path) -> bool {
    let matcher = pattern.to_str().and_then(|text| GlobBuilder::new(text).literal_separator(true).build().ok());
    // What is no pattern to this crate may hide anything.
    matcher.is_none_or(|glob| {
        let glob = glob.compile_matcher();
        path.ancestors().any(|above| glob.is_match(above))
    })
}

/// The paths of a list; patterns only where there is a word for them.
fn list(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    places: &Places<'_>,
    patterns: bool,
) -> Vec<Said<PathBuf>> {
    let mut found = Vec::new();
    for word in reader.words(section, key) {
        let pattern = has_metacharacters(without_all_below(&word.text).as_ref());
        if word.text.is_empty() || pattern && !patterns {
            let what =
                if word.text.is_empty() { "is empty" } else { "is a pattern, and a path is meant here on Linux" };
            let cure = Some("name the directories".to_owned());
            reader.refuse_with(&word.spot, super::INEXPRESSIBLE, format!("`{}` {what}", word.text), cure);
            continue;
        }
        let said = places.said(reader, &word);
        let first = said.value.components().nth(1).map(|part| part.as_os_str().to_owned());
        if pattern && said.value.is_absolute() && first.is_none_or(|first| has_metacharacters(&first)) {
            let what = format!("`{}` would have to be searched for on the whole machine", word.text);
            reader.refuse_with(&word.spot, super::INEXPRESSIBLE, what, Some("begin it with a directory".to_owned()));
            continue;
        }
        found.push(said);
    }
    found
}

/// Who wins: what may not be written at any depth, and what may be read again where it is denied.
fn rules(reader: &mut Reader<'_>, lists: Lists, home: Option<&Path>, request: &mut Request) {
    let Lists { deny_read, allow_read, allow_write, deny_write } = lists;
    let covers = |list: &[Said<PathBuf>], path: &Path| list.iter().any(|said| path.starts_with(&said.value));
    let mut written = Vec::new();
    for said in allow_write {
        if covers(&deny_write, &said.value) {
            let note = format!("{}: {} stays read-only: denyWrite counts more", said.by, said.value.display());
            reader.notes.push((crate::request::yaml::Place::START, note));
        } else if said.value == Path::new("/tmp") {
            request.tmp = Some(Said::new(Tmp::Host, said.by));
        } else {
            written.push(said);
        }
    }
    let depth = |list: &[Said<PathBuf>], path: &Path| {
        let above = list.iter().filter(|said| path.starts_with(&said.value));
        above.map(|said| said.value.components().count()).max()
    };
    // What can be written can be read, and a rule to read would take the writing away.
    let opens = |path: &Path| depth(&deny_read, path) > depth(&written, path);
    let opened: Vec<_> = allow_read.iter().filter(|said| opens(&said.value)).cloned().collect();
    // A path that is allowed by name is, also where that name is denied.
    let named = |said: &Said<PathBuf>| allow_read.iter().chain(&written).any(|allowed| allowed.value == said.value);
    let deny: Vec<_> = deny_read.iter().filter(|said| !named(said)).cloned().collect();
    // A rule to read is one to open, so it stands only where something could be written and is not hidden.
    let in_tmp = |path: &Path| request.tmp.is_some() && path.starts_with("/tmp");
    let hidden = |path: &Path| depth(&deny, path) > depth(&allow_read, path).max(depth(&written, path));
    let read_only = deny_write.iter().filter(|said| {
        let path = &said.value;
        (covers(&written, path) || in_tmp(path)) && !hidden(path)
    });
    let patterns: Vec<_> = deny.iter().filter(|said| has_metacharacters(said.value.as_os_str())).cloned().collect();
    let opens_more = |said: &Said<PathBuf>| {
        is_secret(&said.value, home) || patterns.iter().any(|pattern| is_hidden_by(&pattern.value, &said.value))
    };
    let (closed, read_only): (Vec<_>, Vec<_>) = read_only.cloned().partition(opens_more);
    for said in &closed {
        let note = format!("{}: {} is hidden: a rule to read it would open it", said.by, said.value.display());
        reader.notes.push((crate::request::yaml::Place::START, note));
    }
    request.deny.extend(deny.into_iter().chain(closed));
    request.optional.extend(written.iter().chain(&opened).cloned());
    request.read.extend(opened.into_iter().chain(read_only));
    request.write.extend(written);
}
