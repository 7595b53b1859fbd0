//! Codex's `config.toml` → [`Request`] in our own words: the sandbox settings of both generations, and which variables
//! commands get. What else is in the file is Codex's own business, and is named in a note.

mod env;
mod profile;

use std::path::{Path, PathBuf};

use super::Surroundings;
use crate::request::near::nearest;
use crate::request::openshell::Rejected;
use crate::request::openshell::reader::{Reader, Section, Spot, Word};
use crate::request::settings::{place, tree};
use crate::request::yaml::Place;
use crate::request::{Mode, Net, Origin, Request, Said, Tmp};

/// The keys about sandboxes; those of the table of the first generation.
const SANDBOX: &[&str] =
    &["sandbox_mode", "sandbox_workspace_write", "default_permissions", "permissions", "shell_environment_policy"];
const WORKSPACE_WRITE: &[&str] = &["writable_roots", "network_access", "exclude_tmpdir_env_var", "exclude_slash_tmp"];

/// The code of what our words cannot say, or mean otherwise.
const CODE: &str = "codex.config";

/// Whether a text in TOML is Codex's: by a key that our own files do not have.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    let key = |line: &str| {
        let line = line.trim_start().trim_start_matches('[').trim_start();
        let end = line.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        (SANDBOX.contains(&word) || word == "approval_policy") && rest.trim_start().starts_with(['=', '.', ']'])
    };
    text.lines().any(key)
}

/// What words are resolved against.
struct Around<'a> {
    /// Where the file lies.
    base: &'a Path,
    home: Option<&'a Path>,
    here: Surroundings<'a>,
}

impl Around<'_> {
    fn path(&self, text: &str) -> PathBuf {
        place(text, self.base, self.home)
    }

    /// Where `TMPDIR` is, if it is a directory of its own.
    fn tmpdir(&self) -> Option<PathBuf> {
        let path = self.here.tmpdir.map(PathBuf::from).filter(|path| path.is_absolute());
        path.map(|path| crate::policy::paths::normal(&path)).filter(|path| path != Path::new("/tmp"))
    }
}

/// Reads the file. `~/` is `home`, other relative paths lie beside the file; the workspace and `TMPDIR` are the
/// surroundings'.
///
/// # Errors
/// [`Rejected`], with everything that is wrong.
pub fn parse(text: &str, file: &Path, home: Option<&Path>, here: Surroundings<'_>) -> Result<Request, Rejected> {
    let mut reader = Reader::new(file);
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let around = Around { base: absolute.parent().unwrap_or(Path::new("/")), home, here };
    let request = match tree::toml(text) {
        Ok(node) => reader.top_any(&node).map(|top| read(&mut reader, &top, &around)).unwrap_or_default(),
        Err((place, message)) => {
            reader.refuse(&Spot { key: String::new(), place }, "codex.toml", message);
            Request::default()
        }
    };
    reader.finish(request)
}

fn read(reader: &mut Reader<'_>, top: &Section<'_>, around: &Around<'_>) -> Request {
    let table = reader.section(top, "sandbox_workspace_write", WORKSPACE_WRITE);
    let by_name = reader.word(top, "default_permissions");
    let mut request = match (reader.word(top, "sandbox_mode"), by_name) {
        (Some(mode), by_name) => {
            if let Some(name) = by_name {
                reader.note(&name.spot, "has no effect beside sandbox_mode");
            }
            of_mode(reader, &mode, table, around)
        }
        (None, Some(name)) => {
            if let Some(table) = table {
                reader.note(&table.spot, "has no effect beside default_permissions");
            }
            profile::request(reader, top, &name, around)
        }
        (None, None) => {
            reader.note(&Spot::file(), "sandbox_mode is not set: Codex only reads then, and so does this");
            let by = Origin::Preset("default of Codex");
            Request { sandbox: Some(Said::new(Mode::ReadOnly, by)), ..Request::default() }
        }
    };
    env::read(reader, top, &mut request);
    let others: Vec<_> = top.fields().map(|field| field.name).filter(|name| !SANDBOX.contains(name)).collect();
    if !others.is_empty() {
        reader.note(&Spot::file(), format!("not about the sandbox, and left out: {}", others.join(", ")));
    }
    request
}

/// `sandbox_mode`, and what belongs to it.
fn of_mode(reader: &mut Reader<'_>, word: &Word, table: Option<Section<'_>>, around: &Around<'_>) -> Request {
    let by = reader.origin(word.spot.place);
    let mode = match word.text.as_str() {
        "read-only" => Mode::ReadOnly,
        "workspace-write" => Mode::WorkspaceWrite,
        "danger-full-access" => Mode::FullAccess,
        other => {
            let near = nearest(other, &["read-only", "workspace-write", "danger-full-access"]);
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("`{other}` is not read-only, workspace-write or danger-full-access");
            reader.refuse_with(&word.spot, CODE, message, hint);
            return Request::default();
        }
    };
    let mut request = Request { sandbox: Some(Said::new(mode, by.clone())), ..Request::default() };
    if let (Some(table), false) = (&table, mode == Mode::WorkspaceWrite) {
        reader.note(&table.spot, "has no effect in this mode");
    }
    if mode != Mode::WorkspaceWrite {
        return request;
    }
    let (mut no_tmp, mut no_tmpdir) = (false, false);
    if let Some(table) = table {
        for word in reader.words(&table, "writable_roots") {
            request.write.push(reader.said(around.path(&word.text), word.spot.place));
        }
        let net = table.get("network_access").map_or(Place::START, |field| field.key_place);
        let net = reader.flag(&table, "network_access").unwrap_or_default().then(|| reader.said(Net::Host, net));
        request.net = net;
        no_tmp = reader.flag(&table, "exclude_slash_tmp").unwrap_or_default();
        no_tmpdir = reader.flag(&table, "exclude_tmpdir_env_var").unwrap_or_default();
    }
    request.tmp = (!no_tmp).then(|| Said::new(Tmp::Host, by.clone()));
    request.write.extend(around.tmpdir().filter(|_| !no_tmpdir).map(|path| Said::new(path, by)));
    // A root that is not there is skipped.
    request.optional = request.write.clone();
    request
}

#[cfg(test)]
mod tests;
