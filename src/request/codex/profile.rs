//! Permission profiles, tagged and untagged.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;

use super::{CodexError, Entry, EntryAccess, EntryPath, Files, Meaning, object, placed};
use crate::request::load::GpuValue;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Disabled {},
    External {
        #[serde(default)]
        network: Network,
    },
    Managed {
        file_system: FileSystem,
        #[serde(default)]
        network: Network,
        #[serde(default)]
        gpu: Option<GpuValue>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum FileSystem {
    Unrestricted {},
    Restricted {
        entries: Vec<Entry>,
        #[serde(default)]
        glob_scan_max_depth: Option<NonZeroUsize>,
    },
}

/// The forms before there were types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Untagged {
    #[serde(default)]
    file_system: Option<UntaggedFiles>,
    #[serde(default)]
    network: Option<Network>,
    #[serde(default)]
    gpu: Option<GpuValue>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UntaggedFiles {
    entries: Vec<Entry>,
    read: Option<Vec<PathBuf>>,
    write: Option<Vec<PathBuf>>,
    glob_scan_max_depth: Option<NonZeroUsize>,
}

/// `"enabled"`, `"restricted"`, `{"enabled": true}`.
#[derive(Default, Deserialize)]
#[serde(untagged, expecting = "network is \"enabled\", \"restricted\" or {\"enabled\": true}")]
enum Network {
    Word(NetworkWord),
    Switch(NetworkSwitch),
    #[default]
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NetworkWord {
    Enabled,
    Restricted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkSwitch {
    #[serde(default)]
    enabled: Option<bool>,
}

impl Network {
    fn enabled(&self) -> bool {
        match self {
            Self::Word(word) => *word == NetworkWord::Enabled,
            Self::Switch(switch) => switch.enabled == Some(true),
            Self::Nothing => false,
        }
    }
}

pub(super) fn parse(text: &str, place: &str) -> Result<Meaning, CodexError> {
    let value: serde_json::Value = object(text, place)?;
    if value.get("type").is_some() { tagged(text, place) } else { untagged(text, place) }
}

fn tagged(text: &str, place: &str) -> Result<Meaning, CodexError> {
    let meaning = |files, network: bool, gpu| Meaning { files, network, gpu, place: place.to_owned() };
    Ok(match object(text, place)? {
        Tagged::Disabled {} => meaning(Files::Disabled, true, None),
        Tagged::External { network } => meaning(Files::Unrestricted, network.enabled(), None),
        Tagged::Managed { file_system: FileSystem::Unrestricted {}, network, gpu } => {
            meaning(Files::Unrestricted, network.enabled(), gpu)
        }
        Tagged::Managed { file_system: FileSystem::Restricted { entries, glob_scan_max_depth }, network, gpu } => {
            meaning(restricted(entries, glob_scan_max_depth, place), network.enabled(), gpu)
        }
    })
}

fn untagged(text: &str, place: &str) -> Result<Meaning, CodexError> {
    let Untagged { file_system, network, gpu } = object(text, place)?;
    let UntaggedFiles { mut entries, read, write, glob_scan_max_depth } = file_system.unwrap_or_default();
    if !entries.is_empty() && (read.is_some() || write.is_some()) {
        let message = "file_system has entries and also read or write: keep one form".to_owned();
        return Err(CodexError::Parse { place: place.to_owned(), message });
    }
    for (paths, access) in [(read, EntryAccess::Read), (write, EntryAccess::Write)] {
        let entry = |path| Entry { path: EntryPath::Path { path }, access, missing_path_behavior: None };
        entries.extend(paths.unwrap_or_default().into_iter().map(entry));
    }
    Ok(Meaning {
        files: restricted(entries, glob_scan_max_depth, place),
        network: network.is_some_and(|network| network.enabled()),
        gpu,
        place: place.to_owned(),
    })
}

fn restricted(entries: Vec<Entry>, glob_depth: Option<NonZeroUsize>, place: &str) -> Files {
    Files::Restricted { entries: placed(entries, place, "entries"), glob_depth, read_only: None }
}
