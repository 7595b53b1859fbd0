//! `[shell_environment_policy]`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use crate::request::load::{LoadError, Text};
use crate::request::{Origin, Request, Said};

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvTable {
    inherit: Option<Spanned<Inherit>>,
    ignore_default_excludes: Option<Spanned<bool>>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
    #[serde(default)]
    include_only: Vec<Spanned<String>>,
    #[serde(default)]
    set: BTreeMap<Spanned<String>, String>,
    experimental_use_profile: Option<Spanned<bool>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Inherit {
    All,
    Core,
    None,
}

/// What `inherit = "core"` lets through.
const CORE: &[&str] = &["HOME", "LOGNAME", "PATH", "SHELL", "USER", "USERNAME", "TMPDIR", "TEMP", "TMP"];

const CURE: &str = "say inherit = \"core\" or \"none\", or list whole names in include_only";

/// Adds the variables to a request.
///
/// # Errors
/// [`LoadError::Parse`] for what our words cannot say.
pub(super) fn read(source: &Text<'_>, table: EnvTable, request: &mut Request) -> Result<(), LoadError> {
    let EnvTable { inherit, ignore_default_excludes, exclude, include_only, set, experimental_use_profile } = table;
    let inherit = inherit.map(|said| source.said(said));
    let names = match inherit.as_ref().map_or(Inherit::All, |said| said.value) {
        Inherit::All => None,
        Inherit::Core => Some(CORE.iter().map(ToString::to_string).collect()),
        Inherit::None => Some(Vec::new()),
    };
    let names = excluded(source, names, exclude)?;
    let (names, narrowed) = included(source, names, include_only)?;
    let by = inherit.map(|said| said.by).or(narrowed);
    if let (Some(names), Some(by)) = (names, by) {
        request.env_clear = Some(Said::new(true, by.clone()));
        request.env.extend(names.into_iter().map(|name| Said::new((name.into(), None), by.clone())));
    }
    for (name, value) in set {
        let said = source.said(name);
        request.env.push(Said::new((said.value.into(), Some(OsString::from(value))), said.by));
    }
    if let Some(said) = ignore_default_excludes.map(|said| source.said(said)).filter(|said| said.value) {
        let note = "variables that look like secrets are dropped all the same: env = [\"NAME\"] lets one through";
        request.notes.push(format!("{}: {note}", said.by));
    }
    if let Some(said) = experimental_use_profile.map(|said| source.said(said)) {
        request.notes.push(format!("{}: experimental_use_profile is about Codex's own shell, and left out", said.by));
    }
    Ok(())
}

type Names = Option<Vec<String>>;

/// Without those that a pattern names. Of names that nobody knows none can be taken away.
fn excluded(source: &Text<'_>, names: Names, exclude: Vec<Spanned<String>>) -> Result<Names, LoadError> {
    let Some(mut names) = names else {
        let Some(first) = exclude.into_iter().next() else { return Ok(None) };
        let message = format!("with inherit = \"all\", exclude cannot be said in our own format: {CURE}");
        return Err(source.error(first.span(), message));
    };
    for pattern in &exclude {
        let glob = glob(source, pattern)?;
        names.retain(|name| !glob.is_match(name));
    }
    Ok(Some(names))
}

/// Only those that a pattern names, and who said so.
fn included(
    source: &Text<'_>,
    names: Names,
    include: Vec<Spanned<String>>,
) -> Result<(Names, Option<Origin>), LoadError> {
    let Some(first) = include.first() else { return Ok((names, None)) };
    let by = source.said(first.clone()).by;
    if let Some(mut names) = names {
        let globs = include.iter().map(|pattern| glob(source, pattern)).collect::<Result<Vec<_>, _>>()?;
        names.retain(|name| globs.iter().any(|glob| glob.is_match(name)));
        return Ok((Some(names), Some(by)));
    }
    if let Some(pattern) = include.iter().find(|pattern| pattern.get_ref().contains(['*', '?', '['])) {
        let message = format!("`{}` is a pattern, which env cannot be: {CURE}", pattern.get_ref());
        return Err(source.error(pattern.span(), message));
    }
    Ok((Some(include.into_iter().map(Spanned::into_inner).collect()), Some(by)))
}

fn glob(source: &Text<'_>, pattern: &Spanned<String>) -> Result<GlobMatcher, LoadError> {
    let glob = GlobBuilder::new(pattern.get_ref()).case_insensitive(true).build();
    let glob = glob.map_err(|error| source.error(pattern.span(), format!("no pattern: {}", error.kind())))?;
    Ok(glob.compile_matcher())
}
