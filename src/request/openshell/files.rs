//! `filesystem_policy`: what may be read, and what may be written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::reader::{Reader, Section, Spot, Word, shown};
use crate::policy::paths::normal;
use crate::request::Said;
use crate::request::yaml::Place;

const KEYS: &[&str] = &["include_workdir", "read_only", "read_write"];
const MOST_PATHS: usize = 256;
const LONGEST_PATH: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Files {
    pub read: Vec<Said<PathBuf>>,
    pub write: Vec<Said<PathBuf>>,
}

/// A path of a list, as it is compared and as it is written.
struct Listed {
    path: PathBuf,
    word: Word,
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>, workspace: &Path) -> Files {
    let Some(section) = reader.section(top, "filesystem_policy", KEYS) else {
        if !top.has("filesystem_policy") {
            reader.note(&Spot::file(), "there is no filesystem_policy, so the policy grants no path");
        }
        return Files::default();
    };
    let workdir = reader.flag(&section, "include_workdir") == Some(true);
    let workdir = section.get("include_workdir").filter(|_| workdir).map(|field| field.spot);
    let read = reader.words(&section, "read_only");
    let write = reader.words(&section, "read_write");
    let all = read.len() + write.len();
    if let Some(word) = read.iter().chain(&write).nth(MOST_PATHS) {
        let spot = Spot { key: section.spot.key.clone(), place: word.spot.place };
        reader.refuse(&spot, "fs.too_many_paths", format!("{all} paths, {MOST_PATHS} are allowed"));
    }
    let read = unique(reader, read, false);
    let mut write = unique(reader, write, true);
    refuse_conflicts(reader, &read, &write);
    if let Some(spot) = workdir {
        include_workspace(reader, &read, &mut write, workspace, spot);
    }
    let said = |listed: Vec<Listed>| {
        listed.into_iter().map(|Listed { path, word }| reader.said(path, word.spot.place)).collect()
    };
    Files { read: said(read), write: said(write) }
}

/// The valid paths, each once.
fn unique(reader: &mut Reader<'_>, words: Vec<Word>, write: bool) -> Vec<Listed> {
    let mut seen: BTreeMap<PathBuf, Place> = BTreeMap::new();
    let mut listed = Vec::new();
    for word in words {
        if !check(reader, &word, write) {
            continue;
        }
        let path = normal(Path::new(&word.text));
        match seen.get(&path) {
            Some(first) => {
                let message = format!("`{}` is there twice, first in line {}", shown(&word.text), first.line);
                reader.note(&word.spot, message);
            }
            None => {
                seen.insert(path.clone(), word.spot.place);
                listed.push(Listed { path, word });
            }
        }
    }
    listed
}

fn check(reader: &mut Reader<'_>, Word { text, spot }: &Word, write: bool) -> bool {
    if text.len() > LONGEST_PATH {
        let message = format!("`{}` has {} bytes, {LONGEST_PATH} are allowed", shown(text), text.len());
        reader.refuse(spot, "fs.path_too_long", message);
        return false;
    }
    let before = reader.violations.len();
    let relative = !text.starts_with('/');
    let climbs = text.split('/').any(|part| part == "..");
    if relative {
        let hint = text.starts_with('~').then(|| "`~` is not known here, write the whole path".to_owned());
        reader.refuse_with(spot, "fs.relative_path", format!("`{}` is not absolute", shown(text)), hint);
    }
    if climbs {
        reader.refuse(spot, "fs.path_traversal", format!("`{}` has `..` in it", shown(text)));
    }
    if write && !relative && !climbs && normal(Path::new(text)) == Path::new("/") {
        reader.refuse(spot, "fs.overly_broad", format!("`{}` would make everything writable", shown(text)));
    }
    reader.violations.len() == before
}

fn refuse_conflicts(reader: &mut Reader<'_>, read: &[Listed], write: &[Listed]) {
    let reads: BTreeMap<&Path, &Word> = read.iter().map(|listed| (listed.path.as_path(), &listed.word)).collect();
    for Listed { path, word } in write {
        if let Some(other) = reads.get(path.as_path()) {
            let (text, line) = (shown(&word.text), other.spot.place.line);
            let message = format!("`{text}` is also in read_only, as `{}` in line {line}", shown(&other.text));
            reader.refuse(&word.spot, "fs.conflicting_path", message);
        }
    }
}

fn include_workspace(reader: &mut Reader<'_>, read: &[Listed], write: &mut Vec<Listed>, workspace: &Path, spot: Spot) {
    let path = normal(workspace);
    if let Some(other) = read.iter().find(|listed| listed.path == path) {
        let message = format!("`{}` is the workspace, which include_workdir makes writable", shown(&other.word.text));
        return reader.refuse(&other.word.spot, "fs.conflicting_path", message);
    }
    if path == Path::new("/") {
        return reader.refuse(&spot, "fs.overly_broad", "the workspace is `/`, so everything would be writable");
    }
    if write.iter().all(|listed| listed.path != path) {
        let text = path.display().to_string();
        write.push(Listed { path, word: Word { text, spot } });
    }
}
