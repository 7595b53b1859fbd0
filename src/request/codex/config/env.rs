//! `[shell_environment_policy]`.

use globset::{GlobBuilder, GlobMatcher};

use super::CODE;
use crate::request::openshell::reader::{Reader, Section, Word};
use crate::request::{Origin, Request, Said};

const KEYS: &[&str] =
    &["inherit", "ignore_default_excludes", "exclude", "include_only", "set", "experimental_use_profile"];

/// What `inherit = "core"` lets through.
const CORE: &[&str] = &["HOME", "LOGNAME", "PATH", "SHELL", "USER", "USERNAME", "TMPDIR", "TEMP", "TMP"];

const CURE: &str = "say inherit = \"core\" or \"none\", or list whole names in include_only";

/// Adds the variables to a request.
pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>, request: &mut Request) {
    let Some(table) = reader.section(top, "shell_environment_policy", KEYS) else { return };
    let inherit = reader.word(&table, "inherit");
    let names = match inherit.as_ref().map(|word| word.text.as_str()) {
        None | Some("all") => None,
        Some("core") => Some(CORE.iter().map(ToString::to_string).collect()),
        Some("none") => Some(Vec::new()),
        Some(other) => {
            let spot = inherit.as_ref().map_or(&table.spot, |word| &word.spot);
            reader.refuse(spot, CODE, format!("`{other}` is not all, core or none"));
            None
        }
    };
    let (exclude, include) = (reader.words(&table, "exclude"), reader.words(&table, "include_only"));
    let names = excluded(reader, names, &exclude);
    let (names, narrowed) = included(reader, names, &include);
    let by = inherit.map(|word| reader.origin(word.spot.place)).or(narrowed);
    if let (Some(names), Some(by)) = (names, by) {
        request.env_clear = Some(Said::new(true, by.clone()));
        request.env.extend(names.into_iter().map(|name| Said::new((name.into(), None), by.clone())));
    }
    for field in reader.names(&table, "set").iter().flat_map(Section::fields) {
        if let Some(value) = reader.text(&field) {
            request.env.push(reader.said((field.name.into(), Some(value.text.into())), field.key_place));
        }
    }
    if reader.flag(&table, "ignore_default_excludes") == Some(true) {
        let note = "variables that look like secrets are dropped all the same: env = [\"NAME\"] lets one through";
        reader.note(&table.spot, note);
    }
    if reader.flag(&table, "experimental_use_profile").is_some() {
        reader.note(&table.spot, "experimental_use_profile is about Codex's own shell, and left out");
    }
}

type Names = Option<Vec<String>>;

/// Without those that a pattern names. Of names that nobody knows none can be taken away.
fn excluded(reader: &mut Reader<'_>, names: Names, exclude: &[Word]) -> Names {
    let Some(mut names) = names else {
        if let Some(first) = exclude.first() {
            let message = "with inherit = \"all\", exclude cannot be said in our own format";
            reader.refuse_with(&first.spot, CODE, message, Some(CURE.to_owned()));
        }
        return None;
    };
    for glob in globs(reader, exclude) {
        names.retain(|name| !glob.is_match(name));
    }
    Some(names)
}

/// Only those that a pattern names, and who said so.
fn included(reader: &mut Reader<'_>, names: Names, include: &[Word]) -> (Names, Option<Origin>) {
    let Some(first) = include.first() else { return (names, None) };
    let by = Some(reader.origin(first.spot.place));
    if let Some(mut names) = names {
        let globs = globs(reader, include);
        names.retain(|name| globs.iter().any(|glob| glob.is_match(name)));
        return (Some(names), by);
    }
    for word in include.iter().filter(|word| word.text.contains(['*', '?', '['])) {
        let message = format!("`{}` is a pattern, which env cannot be", word.text);
        reader.refuse_with(&word.spot, CODE, message, Some(CURE.to_owned()));
    }
    (Some(include.iter().map(|word| word.text.clone()).collect()), by)
}

fn globs(reader: &mut Reader<'_>, words: &[Word]) -> Vec<GlobMatcher> {
    let mut globs = Vec::new();
    for word in words {
        match GlobBuilder::new(&word.text).case_insensitive(true).build() {
            Ok(glob) => globs.push(glob.compile_matcher()),
            Err(error) => reader.refuse(&word.spot, CODE, format!("no pattern: {}", error.kind())),
        }
    }
    globs
}
