//! The generation before permission profiles: one sandbox policy, or one for files and one for the network.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;

use super::profile::NetworkWord;
use super::{CodexError, Entry, EntryAccess, EntryPath, Files, Meaning, Special, json, object, placed};
use crate::request::load::GpuValue;
use crate::request::{Origin, Said};

/// Values of `type` that tell a sandbox policy from a permission profile.
pub(super) const TYPES: &[&str] = &["danger-full-access", "read-only", "external-sandbox", "workspace-write"];

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum SandboxPolicy {
    DangerFullAccess {},
    ReadOnly {
        #[serde(default)]
        network_access: bool,
        #[serde(default)]
        gpu_passthrough: Option<bool>,
    },
    ExternalSandbox {
        #[serde(default = "restricted")]
        network_access: NetworkWord,
    },
    WorkspaceWrite {
        #[serde(default)]
        writable_roots: Vec<PathBuf>,
        #[serde(default)]
        network_access: bool,
        #[serde(default)]
        exclude_tmpdir_env_var: bool,
        #[serde(default)]
        exclude_slash_tmp: bool,
        #[serde(default)]
        gpu_passthrough: Option<bool>,
    },
}

fn restricted() -> NetworkWord {
    NetworkWord::Restricted
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitFiles {
    kind: SplitKind,
    #[serde(default)]
    entries: Vec<Entry>,
    #[serde(default)]
    glob_scan_max_depth: Option<NonZeroUsize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SplitKind {
    Restricted,
    Unrestricted,
    ExternalSandbox,
}

pub(super) fn parse(text: &str, place: &str) -> Result<Meaning, CodexError> {
    let meaning = |files, network: bool, gpu: Option<bool>| Meaning {
        files,
        network,
        gpu: gpu.map(GpuValue::Switch),
        place: place.to_owned(),
    };
    Ok(match object(text, place)? {
        SandboxPolicy::DangerFullAccess {} => meaning(Files::Disabled, true, None),
        SandboxPolicy::ExternalSandbox { network_access } => {
            meaning(Files::Unrestricted, network_access == NetworkWord::Enabled, None)
        }
        SandboxPolicy::ReadOnly { network_access, gpu_passthrough } => {
            let entries = vec![special(Special::Root {}, EntryAccess::Read, Origin::Preset("read-only"))];
            let files = Files::Restricted { entries, glob_depth: None, read_only: Some(true) };
            meaning(files, network_access, gpu_passthrough)
        }
        SandboxPolicy::WorkspaceWrite {
            writable_roots,
            network_access,
            exclude_tmpdir_env_var,
            exclude_slash_tmp,
            gpu_passthrough,
        } => {
            let preset = || Origin::Preset("workspace-write");
            let workspace = Special::ProjectRoots { subpath: None };
            let mut entries = vec![
                special(Special::Root {}, EntryAccess::Read, preset()),
                special(workspace, EntryAccess::Write, preset()),
            ];
            let temporary = [(Special::SlashTmp {}, exclude_slash_tmp), (Special::Tmpdir {}, exclude_tmpdir_env_var)];
            let kept = temporary.into_iter().filter(|(_, excluded)| !excluded);
            entries.extend(kept.map(|(place, _)| special(place, EntryAccess::Write, preset())));
            let root = |path| Entry {
                path: EntryPath::Path { path },
                access: EntryAccess::Write,
                missing_path_behavior: None,
            };
            entries.extend(placed(writable_roots.into_iter().map(root).collect(), place, "writable_roots"));
            let files = Files::Restricted { entries, glob_depth: None, read_only: Some(false) };
            meaning(files, network_access, gpu_passthrough)
        }
    })
}

fn special(value: Special, access: EntryAccess, by: Origin) -> Said<Entry> {
    Said::new(Entry { path: EntryPath::Special { value }, access, missing_path_behavior: None }, by)
}

pub(super) fn parse_split(files: &str, place: &str, network: &str) -> Result<Meaning, CodexError> {
    let SplitFiles { kind, entries, glob_scan_max_depth } = object(files, place)?;
    let network: NetworkWord = json(network, "--network-sandbox-policy")?;
    let files = match kind {
        SplitKind::Unrestricted | SplitKind::ExternalSandbox => Files::Unrestricted,
        SplitKind::Restricted => Files::Restricted {
            entries: placed(entries, place, "entries"),
            glob_depth: glob_scan_max_depth,
            read_only: None,
        },
    };
    Ok(Meaning { files, network: network == NetworkWord::Enabled, gpu: None, place: place.to_owned() })
}
