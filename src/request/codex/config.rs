//! Codex's `config.toml` → [`Request`] in our own words: the sandbox settings of both generations, and which variables
//! commands get. What else is in the file is Codex's own business, and is named in a note.

mod env;
mod profile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use self::env::EnvTable;
use self::profile::ProfileTable;
use super::Surroundings;
use crate::request::load::{LoadError, Text};
use crate::request::{Mode, Net, Origin, Request, Said, Tmp};

/// What of the file is about sandboxes.
#[derive(Debug, Deserialize)]
struct Config {
    sandbox_mode: Option<Spanned<Mode>>,
    sandbox_workspace_write: Option<Spanned<WorkspaceWrite>>,
    default_permissions: Option<Spanned<String>>,
    #[serde(default)]
    permissions: BTreeMap<Spanned<String>, ProfileTable>,
    shell_environment_policy: Option<EnvTable>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

/// `[sandbox_workspace_write]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WorkspaceWrite {
    writable_roots: Vec<Spanned<PathBuf>>,
    network_access: Option<Spanned<bool>>,
    exclude_tmpdir_env_var: bool,
    exclude_slash_tmp: bool,
}

/// Keys that only this file has.
const KEYS: &[&str] = &[
    "sandbox_mode",
    "sandbox_workspace_write",
    "default_permissions",
    "permissions",
    "shell_environment_policy",
    "approval_policy",
];

/// Whether a text in TOML is Codex's: by a key that our own files do not have.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    let key = |line: &str| {
        let line = line.trim_start().trim_start_matches('[').trim_start();
        let end = line.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        KEYS.contains(&word) && rest.trim_start().starts_with(['=', '.', ']'])
    };
    text.lines().any(key)
}

/// Reads the file. `~/` is `home`, other relative paths lie beside the file; the workspace and `TMPDIR` are the
/// surroundings'.
///
/// # Errors
/// [`LoadError::Parse`], with the line.
pub fn parse(text: &str, path: &Path, home: Option<&Path>, around: Surroundings<'_>) -> Result<Request, LoadError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let source = Text::new(text, path, absolute.parent().unwrap_or(Path::new("/")), home);
    let config: Config = source.values(text)?;
    let (mut request, remark) = match (config.sandbox_mode, config.default_permissions) {
        (Some(mode), by_name) => {
            let ignored = by_name.is_some() || !config.permissions.is_empty();
            let ignored = ignored.then_some("default_permissions and [permissions] have no effect beside sandbox_mode");
            (of_mode(&source, mode, config.sandbox_workspace_write, around), ignored)
        }
        (None, Some(name)) => {
            let request = profile::request(&source, &config.permissions, name, around)?;
            (
                request,
                config
                    .sandbox_workspace_write
                    .map(|_| "[sandbox_workspace_write] has no effect beside default_permissions"),
            )
        }
        (None, None) => {
            let by = Origin::Preset("default of Codex");
            let request = Request { sandbox: Some(Said::new(Mode::ReadOnly, by)), ..Request::default() };
            (request, Some("sandbox_mode is not set: Codex only reads then, and so does this"))
        }
    };
    if let Some(table) = config.shell_environment_policy {
        env::read(&source, table, &mut request)?;
    }
    let place = path.display();
    request.notes.extend(remark.map(|what| format!("{place}: {what}")));
    if !config.others.is_empty() {
        let names: Vec<_> = config.others.into_keys().collect();
        request.notes.push(format!("{place}: not about the sandbox, and left out: {}", names.join(", ")));
    }
    Ok(request)
}

/// `sandbox_mode`, and what belongs to it.
fn of_mode(
    source: &Text<'_>,
    mode: Spanned<Mode>,
    table: Option<Spanned<WorkspaceWrite>>,
    around: Surroundings<'_>,
) -> Request {
    let mode = source.said(mode);
    let by = mode.by.clone();
    let value = mode.value;
    let mut request = Request { sandbox: Some(mode), ..Request::default() };
    if value != Mode::WorkspaceWrite {
        let note = "[sandbox_workspace_write] has no effect in this mode".to_owned();
        request.notes.extend(table.map(|table| format!("{}: {note}", source.said(table).by)));
        return request;
    }
    let table = table.map(Spanned::into_inner).unwrap_or_default();
    let roots = table.writable_roots.into_iter().map(|root| source.path(source.said(root)));
    request.write = roots.collect();
    request.net = table.network_access.map(|said| source.said(said)).filter(|said| said.value).map(host);
    if !table.exclude_slash_tmp {
        request.tmp = Some(Said::new(Tmp::Host, by.clone()));
    }
    if !table.exclude_tmpdir_env_var {
        request.write.extend(tmpdir(around).map(|path| Said::new(path, by)));
    }
    // A root that is not there is skipped.
    request.optional = request.write.clone();
    request
}

fn host(said: Said<bool>) -> Said<Net> {
    Said::new(Net::Host, said.by)
}

/// Where `TMPDIR` is, if it is a directory of its own.
fn tmpdir(around: Surroundings<'_>) -> Option<PathBuf> {
    let path = around.tmpdir.map(PathBuf::from).filter(|path| path.is_absolute());
    path.map(|path| crate::policy::paths::normal(&path)).filter(|path| path != Path::new("/tmp"))
}

#[cfg(test)]
mod tests;
