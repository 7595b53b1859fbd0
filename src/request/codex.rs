//! Codex's JSON policies → [`Request`]: permission profiles, and the sandbox policies of the generation before.
//!
//! Every form becomes a [`Meaning`] first; `expand.rs` turns that into rules. What is unknown is refused: a key that was
//! misspelt must not be a permission that was lost.

pub mod config;
mod expand;
mod legacy;
mod managed;
mod profile;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::load::GpuValue;
use super::{Origin, Request, Said};

pub use managed::managed;

/// Why a JSON policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodexError {
    /// It is no JSON, or says something that is not known.
    #[error("{place}: {message}")]
    Parse {
        /// The flag or file.
        place: String,
        /// What is wrong, with line and column where they are known.
        message: String,
    },
    /// A path that must be absolute.
    #[error("{by}: path `{}` is not absolute", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
        /// Where it stands.
        by: Origin,
    },
    /// A glob that is none, or would have to be searched for everywhere.
    #[error("{by}: glob pattern `{pattern}` {why}")]
    Glob {
        /// The pattern as it is written.
        pattern: String,
        /// Where it stands.
        by: Origin,
        /// What is wrong.
        why: &'static str,
    },
    /// Two policies that are to say the same do not.
    #[error("--sandbox-policy and the split policies contradict each other: {0}")]
    Contradiction(String),
}

impl CodexError {
    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Parse { .. } => return None,
            Self::Relative { .. } => "write the whole path, from / on, or use project_roots with a subpath".to_owned(),
            Self::Glob { .. } => "globs know *, ?, ** and [...], for example `src/**/*.env`".to_owned(),
            Self::Contradiction(_) => "give one of them, or the same meaning in both".to_owned(),
        })
    }
}

/// What the words of a policy are resolved against.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The workspace: absolute.
    pub workspace: &'a Path,
    /// `TMPDIR`, if it is set.
    pub tmpdir: Option<&'a OsStr>,
}

/// What a policy says, whichever form it had.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Meaning {
    files: Files,
    network: bool,
    gpu: Option<GpuValue>,
    /// The flag or file.
    place: String,
}

/// What may be done with files.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Files {
    /// No sandbox at all was asked for.
    Disabled,
    /// Everything.
    Unrestricted,
    /// What entries say, and nothing else.
    Restricted {
        entries: Vec<Said<Entry>>,
        glob_depth: Option<std::num::NonZeroUsize>,
        /// What becomes of the GPU when nothing is said about it: `None` where the entries decide.
        read_only: Option<bool>,
    },
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: EntryPath,
    access: EntryAccess,
    /// `skip` is what happens to every missing path.
    #[serde(default)]
    #[allow(dead_code, reason = "the only word there is says what happens anyway")]
    missing_path_behavior: Option<MissingPath>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MissingPath {
    Skip,
}

/// In ascending order: of two entries for the same path the greater one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryAccess {
    Read,
    Write,
    #[serde(alias = "none")]
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum EntryPath {
    Path { path: PathBuf },
    GlobPattern { pattern: String },
    Special { value: Special },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Special {
    Root {},
    Minimal {},
    #[serde(alias = "current_working_directory")]
    ProjectRoots {
        #[serde(default)]
        subpath: Option<PathBuf>,
    },
    Tmpdir {},
    SlashTmp {},
    /// A word of a later version, kept by the program that wrote the policy.
    Unknown {
        #[serde(default)]
        path: Option<String>,
        #[serde(default)]
        #[allow(dead_code, reason = "accepted, and without effect as all of it")]
        subpath: Option<PathBuf>,
    },
}

/// Reads a `--permission-profile`.
///
/// # Errors
/// [`CodexError`], with the place.
pub fn profile(text: &str, place: &str, around: Surroundings<'_>) -> Result<Request, CodexError> {
    expand::request(profile::parse(text, place)?, around)
}

/// Reads a `--sandbox-policy`.
///
/// # Errors
/// [`CodexError`], with the place.
pub fn sandbox_policy(text: &str, place: &str, around: Surroundings<'_>) -> Result<Request, CodexError> {
    expand::request(legacy::parse(text, place)?, around)
}

/// Reads `--file-system-sandbox-policy` and `--network-sandbox-policy`; a `--sandbox-policy` beside them must agree.
///
/// # Errors
/// [`CodexError`], with the place.
pub fn split_policies(
    files: &str,
    network: &str,
    legacy: Option<&str>,
    around: Surroundings<'_>,
) -> Result<Request, CodexError> {
    let mut meaning = legacy::parse_split(files, "--file-system-sandbox-policy", network)?;
    if let Some(text) = legacy {
        let legacy = legacy::parse(text, "--sandbox-policy")?;
        expand::agree(&meaning, &legacy, around)?;
        meaning.gpu = meaning.gpu.or(legacy.gpu);
    }
    expand::request(meaning, around)
}

/// Reads a file with any of these policies: the keys tell which one it is.
///
/// # Errors
/// [`CodexError`], with the place.
pub fn any(text: &str, place: &str, around: Surroundings<'_>) -> Result<Request, CodexError> {
    let value: serde_json::Value = object(text, place)?;
    let word = |key: &str| value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    if !word("kind").is_empty() {
        // A file has no second half: the network of a split policy is off.
        return expand::request(legacy::parse_split(text, place, "\"restricted\"")?, around);
    }
    if legacy::TYPES.contains(&word("type")) {
        return sandbox_policy(text, place, around);
    }
    profile(text, place, around)
}

fn json<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, CodexError> {
    serde_json::from_str(text)
        .map_err(|error| CodexError::Parse { place: place.to_owned(), message: error.to_string() })
}

/// As [`json`] for an object: a list would be taken for the values of its keys in their order.
fn object<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, CodexError> {
    if !text.trim_start().starts_with('{') {
        let message = "a policy is a JSON object".to_owned();
        return Err(CodexError::Parse { place: place.to_owned(), message });
    }
    refuse_lists(&json(text, place)?, "").map_err(|message| CodexError::Parse { place: place.to_owned(), message })?;
    json(text, place)
}

/// Keys whose values are lists. A list elsewhere would be taken for the values of an object's keys in their order.
const LISTS: &[&str] = &["entries", "read", "write", "writable_roots", "gpu"];

fn refuse_lists(value: &serde_json::Value, key: &str) -> Result<(), String> {
    match value {
        serde_json::Value::Object(fields) => fields.iter().try_for_each(|(key, value)| refuse_lists(value, key)),
        serde_json::Value::Array(items) if LISTS.contains(&key) => {
            items.iter().try_for_each(|item| refuse_lists(item, ""))
        }
        serde_json::Value::Array(_) => Err(format!("`{key}` is a list, which is not known here")),
        _ => Ok(()),
    }
}

/// The entries with their places.
fn placed(entries: Vec<Entry>, place: &str, list: &str) -> Vec<Said<Entry>> {
    let at = |index| Origin::Json { source: place.to_owned(), at: format!("{list}[{index}]") };
    entries.into_iter().enumerate().map(|(index, entry)| Said::new(entry, at(index))).collect()
}
