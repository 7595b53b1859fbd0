//! OpenShell's policies, in YAML → [`Request`].
//!
//! All that is wrong is told at once, each with its place and a stable code. Nothing that is said is taken for more than
//! it says: a word that is not known is refused, and what cannot be enforced is never let through instead.

mod addresses;
mod endpoint;
mod files;
mod host;
mod middleware;
mod network;
mod options;
mod process;
pub(super) mod reader;
mod rules;

use std::fmt;
use std::path::{Path, PathBuf};

use self::reader::{Reader, Section, Spot};
use super::network::Reach;
use super::yaml::{self, Kind, Node, Place, Value};
use super::{Dialect, Landlock, Mode, Net, Origin, Provenance, Request, Said, Source, Wall};

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Stable, for programs: `fs.path_traversal`.
    pub code: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// By which key: `filesystem_policy.read_only[2]`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// One thing to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, path, line, column, key, message, hint: _ } = self;
        let colon = if key.is_empty() { "" } else { ": " };
        write!(f, "{}:{line}:{column}: {key}{colon}{message} [{code}]", path.display())
    }
}

/// A policy that cannot be used, with all reasons in the order of the text; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Rejected(pub Vec<Violation>);

fn lines(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n")
}

const KEYS: &[&str] =
    &["version", "filesystem_policy", "landlock", "process", "network_policies", "network_middlewares"];

/// Reads a policy. `workspace` is what `include_workdir` stands for; absolute.
///
/// # Errors
/// [`Rejected`], with everything that is wrong. Of a text that is no YAML only the first fault is told.
pub fn parse(text: &str, file: &Path, source: Source, workspace: &Path) -> Result<Request, Rejected> {
    let mut reader = Reader::new(file);
    let request = match yaml::parse(text) {
        Ok(node) => read(&mut reader, &node, workspace),
        Err(error) => {
            let spot = Spot { key: String::new(), place: error.place };
            reader.refuse_with(&spot, "policy.yaml", error.message, error.hint.map(str::to_owned));
            Request::default()
        }
    };
    let Reader { mut violations, mut notes, .. } = reader;
    if violations.is_empty() {
        notes.sort_by_key(|(place, _)| *place);
        let notes = notes.into_iter().map(|(_, note)| note).collect();
        return Ok(Request {
            notes,
            provenance: Provenance { policy: Some(source), files: vec![(file.to_owned(), source)] },
            ..request
        });
    }
    violations.sort_by_key(|violation| (violation.line, violation.column));
    Err(Rejected(violations))
}

fn read(reader: &mut Reader<'_>, node: &Node, workspace: &Path) -> Request {
    let Some(top) = reader.top(node, KEYS) else { return Request::default() };
    version(reader, &top);
    let files = files::read(reader, &top, workspace);
    let landlock = process::landlock(reader, &top);
    let identity = process::identity(reader, &top);
    let middlewares = middleware::read(reader, &top);
    let network = network::read(reader, &top, &middlewares);
    let net_place = top.get("network_policies").map_or(Place::START, |field| field.key_place);
    Request {
        dialect: Dialect::OpenShell,
        sandbox: Some(reader.said(Mode::WorkspaceWrite, Place::START)),
        read: files.read,
        write: files.write,
        net: Some(reader.said(net_of(&network), net_place)),
        wall: Wall { landlock: Some(landlock), audit: None, watch: None },
        identity,
        reach: Reach { rules: network.rules, unenforced: network.unenforced, ..Reach::default() },
        ..Request::default()
    }
}

/// Hosts that nobody may reach are no network.
fn net_of(network: &network::Network) -> Net {
    if network.rules.iter().any(|rule| rule.value.is_everybodys()) { Net::Allow } else { Net::None }
}

fn version(reader: &mut Reader<'_>, top: &Section<'_>) {
    let Some(field) = top.get("version") else {
        let hint = Some("begin the file with `version: 1`".to_owned());
        return reader.refuse_with(&top.spot.below("version"), "policy.version", "is missing", hint);
    };
    match &field.node.value {
        Value::Scalar(scalar) if scalar.kind() == Kind::Integer && scalar.text == "1" => {}
        Value::Scalar(scalar) if scalar.text == "1" => {
            reader.refuse(&field.spot, "policy.version", "`1` is text here, a number without quotes is expected");
        }
        Value::Scalar(scalar) if scalar.kind() == Kind::Null => {
            reader.refuse(&field.spot, "policy.version", "is empty, the number 1 is expected");
        }
        Value::Scalar(scalar) => {
            let message = format!("`{}` is not 1, the only version there is", reader::shown(&scalar.text));
            reader.refuse(&field.spot, "policy.version", message);
        }
        Value::List(_) | Value::Map(_) => {
            reader.refuse(&field.spot, "policy.version", "is not the number 1, the only version there is");
        }
    }
}

/// What counts where no policy file exists.
#[must_use]
pub fn built_in(workspace: &Path) -> Request {
    fn said<T>(value: T) -> Said<T> {
        Said::new(value, Origin::BuiltIn("OpenShell policy"))
    }
    let paths = |list: &[&str]| list.iter().map(|path| said(PathBuf::from(path))).collect::<Vec<_>>();
    let mut write = vec![said(workspace.to_owned())];
    write.extend(paths(&["/tmp", "/dev/null"]));
    Request {
        dialect: Dialect::OpenShell,
        sandbox: Some(said(Mode::WorkspaceWrite)),
        read: paths(&["/usr", "/lib", "/proc", "/dev/urandom", "/app", "/etc", "/var/log"]),
        write,
        net: Some(said(Net::None)),
        wall: Wall { landlock: Some(said(Landlock::Required)), audit: None, watch: None },
        provenance: Provenance { policy: Some(Source::BuiltIn), files: Vec::new() },
        ..Request::default()
    }
}

/// Whether a text of unknown language is YAML, by its first line that says something: TOML has `=` or `[` there, JSON
/// `{`.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().map(str::trim);
    let Some(line) = lines.find(|line| !line.is_empty() && !line.starts_with('#')) else { return false };
    line.starts_with("---") || line.starts_with('%') || is_key(line)
}

/// `word:`, with quotes or without, and a blank or nothing behind it.
fn is_key(line: &str) -> bool {
    let rest = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => line.get(1..).and_then(|rest| rest.split_once(quote)).map(|(_, rest)| rest),
        _ => {
            let end = line.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(line.len());
            line.split_at_checked(end).filter(|(word, _)| !word.is_empty()).map(|(_, rest)| rest)
        }
    };
    let value = rest.and_then(|rest| rest.trim_start().strip_prefix(':'));
    value.is_some_and(|value| value.is_empty() || value.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn the_language_is_told_by_the_first_line() {
        for text in [
            "version: 1",
            "# comment\n\n  \nversion: 1\n",
            "version:\n  1",
            "\"version\": 1",
            "'version': 1",
            "version : 1",
            "\u{feff}version: 1",
            "---\nversion: 1",
            "%YAML 1.2\n---\n",
            "version: 1\r\n",
        ] {
            assert!(looks_like(text), "{text}");
        }
        for text in [
            "",
            "# version: 1",
            "read = ['a']",
            "\"a: b\" = 1",
            "'a:' = 1",
            "a.b = 1",
            "key = \"x: y\"",
            "[features]",
            "[[network]]",
            "{\"version\": 1}",
            "{ version: 1 }",
            "version:1",
            ": 1",
            "word",
            "\"unclosed: 1",
            "- a: 1",
        ] {
            assert!(!looks_like(text), "{text}");
        }
    }
}
