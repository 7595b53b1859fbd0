//! One file: its text → what it says, or everything that is wrong with it.

use std::path::PathBuf;

use super::reader::{Field, Map, Reader, shown};
use super::version::{VERSIONS, Version};
use crate::policy::gpu::cdi::{check_device, split_kind};
use crate::request::yaml::{self, Limits, Place};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// How many device nodes and mounts there may be in a file.
pub const MAX_EDITS: usize = 4096;
/// How many keys and values there may be: enough for as many edits as are allowed, with all that belongs to them.
const MAX_NODES: usize = 400_000;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Vendor of all its devices.
    pub vendor: String,
    /// Class of all its devices.
    pub class: String,
    /// Its devices, in the order of the file.
    pub devices: Vec<Device>,
    /// What is edited for each of them.
    pub edits: Edits,
}

/// One device of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name, without vendor and class.
    pub name: String,
    /// What is edited for it.
    pub edits: Edits,
}

/// What is edited in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Variables, and where they stand.
    pub env: Vec<EnvEdit>,
    /// Device nodes.
    pub nodes: Vec<NodeEdit>,
    /// Mounts.
    pub mounts: Vec<MountEdit>,
    /// Programs that an engine would run.
    pub hooks: Vec<HookEdit>,
    /// Where network interfaces are asked for.
    pub net_devices: Option<Place>,
    /// Where a class of cache and memory bandwidth is asked for.
    pub intel_rdt: Option<Place>,
    /// Groups that the container's process is to have.
    pub gids: Vec<(u32, Place)>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEdit {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEdit {
    /// Where it stands.
    pub place: Place,
    /// Its path inside.
    pub path: PathBuf,
    /// Its path on the host, where that is another one.
    pub host_path: Option<PathBuf>,
    /// What it is; nothing said: some device.
    pub kind: Option<NodeKind>,
    /// Its major number; nothing said: not known.
    pub major: Option<u32>,
    /// Its minor number. Where a major number is said, nothing means 0: the writers of these files leave zeros out.
    pub minor: Option<u32>,
    /// Permission bits that it is to have.
    pub file_mode: Option<u32>,
    /// What may be done with it.
    pub permissions: Permissions,
}

impl NodeEdit {
    /// Its path on the host.
    #[must_use]
    pub fn on_host(&self) -> &std::path::Path {
        self.host_path.as_deref().unwrap_or(&self.path)
    }
}

/// Kinds of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `b`
    Block,
    /// `c` and `u`
    Character,
    /// `p`
    Fifo,
}

/// What may be done with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// `none`: it is not to be there.
    None,
    /// Letters of `rwm`. What `m` means (make nodes of this number) no sandbox may do.
    Some {
        /// `w`
        write: bool,
    },
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEdit {
    /// Where it stands.
    pub place: Place,
    /// What, on the host.
    pub host_path: PathBuf,
    /// Where, inside.
    pub container_path: PathBuf,
    /// As of mount(8).
    pub options: Vec<String>,
    /// As of mount(8); nothing said: a bind mount.
    pub kind: Option<String>,
}

/// A program that an engine would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEdit {
    /// Where it stands.
    pub place: Place,
    /// The program. It is never run.
    pub path: PathBuf,
    /// Its arguments; the first is its own name.
    pub args: Vec<String>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where.
    pub place: Place,
    /// By which keys one comes there; empty for the whole file.
    pub at: String,
    /// What.
    pub message: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, at, message } = self;
        if at.is_empty() { write!(f, "{place}: {message}") } else { write!(f, "{place}: {at}: {message}") }
    }
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Vendor and class, where they can be told all the same.
    pub kind: Option<(String, String)>,
    /// Everything that is wrong with it.
    pub wrong: Vec<Wrong>,
}

const SPEC: &[&str] = &["cdiVersion", "kind", "annotations", "devices", "containerEdits"];
const DEVICE: &[&str] = &["name", "annotations", "containerEdits"];
const EDITS: &[&str] = &["env", "deviceNodes", "netDevices", "hooks", "mounts", "intelRdt", "additionalGids"];
const NODE: &[&str] = &["path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"];
const MOUNT: &[&str] = &["hostPath", "containerPath", "options", "type"];
const HOOK: &[&str] = &["hookName", "path", "args", "env", "timeout"];
const NET_DEVICE: &[&str] = &["hostInterfaceName", "name"];
const INTEL_RDT: &[&str] = &["closID", "l3CacheSchema", "memBwSchema", "schemata", "enableMonitoring"];
const HOOK_NAMES: &[&str] =
    &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Reads a file. Both of its languages are read as YAML, of which JSON is a part.
///
/// # Errors
/// [`Unusable`]: where the text cannot be read at all, with the first fault; else with all of them.
pub fn parse(text: &str) -> Result<Spec, Unusable> {
    let limits = Limits { bytes: MAX_BYTES, nodes: MAX_NODES };
    let top = yaml::parse_within(text, limits).map_err(|error| {
        let wrong = Wrong { place: error.place, at: String::new(), message: error.message };
        Unusable { kind: None, wrong: vec![wrong] }
    })?;
    let mut reader = Reader::default();
    let field = Field { at: String::new(), place: Place::START, node: &top };
    let spec = reader.map(&field, SPEC).and_then(|map| spec(&mut reader, &map));
    let kind = spec.as_ref().map(|(spec, _)| (spec.vendor.clone(), spec.class.clone()));
    if let Some((_, Some(version))) = &spec {
        check_version(&mut reader, *version);
    }
    let mut wrong = reader.wrong;
    wrong.sort_by_key(|one| one.place);
    match spec {
        Some((spec, Some(_))) if wrong.is_empty() => Ok(spec),
        _ => Err(Unusable { kind, wrong }),
    }
}

/// A file must declare at least the version that has what it uses.
fn check_version(reader: &mut Reader, version: Version) {
    for used in std::mem::take(&mut reader.uses) {
        if used.needs > version {
            let message = format!("{} needs cdiVersion {}, the file says {version}", used.what, used.needs);
            reader.wrong.push(Wrong { place: used.place, at: String::new(), message });
        }
    }
}

fn spec(reader: &mut Reader, map: &Map<'_>) -> Option<(Spec, Option<Version>)> {
    let version = version(reader, map);
    reader.annotations(map);
    let kind = kind(reader, map);
    let devices = devices(reader, map);
    let edits = edits(reader, map, "containerEdits");
    let (vendor, class) = kind?;
    Some((Spec { vendor, class, devices, edits }, version))
}

fn version(reader: &mut Reader, map: &Map<'_>) -> Option<Version> {
    let (text, field) = reader.required(map, "cdiVersion")?;
    let version = text.parse().ok();
    if version.is_none() {
        let known: Vec<_> = VERSIONS.iter().map(Version::to_string).collect();
        reader.refuse(&field, format!("`{}` is none of {}", shown(&text), known.join(" ")));
    }
    version
}

fn kind(reader: &mut Reader, map: &Map<'_>) -> Option<(String, String)> {
    let (text, field) = reader.required(map, "kind")?;
    match split_kind(&text) {
        Ok((vendor, class)) => {
            if class.contains('.') {
                reader.uses(field.place, "a dot in the class", Version::DOTTED_CLASS);
            }
            Some((vendor.to_owned(), class.to_owned()))
        }
        Err(fault) => {
            reader.refuse(&field, format!("`{}` is not a vendor and a class: {fault}", shown(&text)));
            None
        }
    }
}

fn devices(reader: &mut Reader, map: &Map<'_>) -> Vec<Device> {
    let items = reader.list(map, "devices");
    if items.is_empty() && !reader.wrong.iter().any(|wrong| wrong.at == "devices") {
        let at = "devices".to_owned();
        let place = map.get("devices").map_or(map.place, |field| field.place);
        reader.wrong.push(Wrong { place, at, message: "there is no device in it".to_owned() });
    }
    let mut names = std::collections::BTreeSet::new();
    let mut devices = Vec::new();
    for item in items {
        let Some(map) = reader.map(&item, DEVICE) else { continue };
        reader.annotations(&map);
        reader.must_have(&map, "containerEdits");
        let edits = edits(reader, &map, "containerEdits");
        let Some((name, field)) = reader.required(&map, "name") else { continue };
        if let Err(fault) = check_device(&name) {
            reader.refuse(&field, format!("`{}` is no name: {fault}", shown(&name)));
        } else if !names.insert(name.clone()) {
            reader.refuse(&field, format!("device `{name}` is there twice"));
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            reader.uses(field.place, "a device name that begins with a digit", Version::DIGIT_FIRST);
        }
        devices.push(Device { name, edits });
    }
    devices
}

fn edits(reader: &mut Reader, map: &Map<'_>, key: &str) -> Edits {
    let Some(map) = reader.section(map, key, EDITS) else { return Edits::default() };
    let mut edits = Edits { env: env(reader, &map), ..Edits::default() };
    for item in counted(reader, &map, "deviceNodes") {
        edits.nodes.extend(reader.map(&item, NODE).and_then(|map| node(reader, &map, item.place)));
    }
    for item in counted(reader, &map, "mounts") {
        edits.mounts.extend(reader.map(&item, MOUNT).and_then(|map| mount(reader, &map, item.place)));
    }
    for item in reader.list(&map, "hooks") {
        edits.hooks.extend(reader.map(&item, HOOK).and_then(|map| hook(reader, &map, item.place)));
    }
    edits.net_devices = net_devices(reader, &map);
    edits.intel_rdt = intel_rdt(reader, &map);
    for item in reader.list(&map, "additionalGids") {
        reader.uses(item.place, "additionalGids", Version::GIDS);
        edits.gids.extend(reader.number_at(&item).map(|gid| (gid, item.place)));
    }
    edits
}

/// The items of a list of nodes or mounts, until there are too many in the file.
fn counted<'a>(reader: &mut Reader, map: &Map<'a>, key: &str) -> Vec<Field<'a>> {
    let items = reader.list(map, key);
    let before = reader.edits;
    reader.edits += items.len();
    // The first one too many, and no other, is told.
    let too_many = MAX_EDITS.checked_sub(before).and_then(|left| items.get(left));
    if let Some(field) = too_many {
        reader.refuse(field, format!("the file has more than {MAX_EDITS} device nodes and mounts"));
    }
    if reader.edits > MAX_EDITS { Vec::new() } else { items }
}

fn env(reader: &mut Reader, map: &Map<'_>) -> Vec<EnvEdit> {
    let mut env = Vec::new();
    for item in reader.list(map, "env") {
        let Some(text) = reader.text(&item) else { continue };
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                env.push(EnvEdit { place: item.place, name: name.to_owned(), value: value.to_owned() });
            }
            _ => reader.refuse(&item, format!("`{}` is not NAME=VALUE", shown(&text))),
        }
    }
    env
}

fn node(reader: &mut Reader, map: &Map<'_>, place: Place) -> Option<NodeEdit> {
    let path = reader.required_path(map, "path");
    let mut host_path = None;
    if let Some((text, field)) = reader.optional(map, "hostPath") {
        reader.uses(field.place, "hostPath of a device node", Version::HOST_PATH);
        host_path = reader.path(text, &field);
    }
    let mut kind = None;
    if let Some((text, field)) = reader.optional(map, "type") {
        kind = match text.as_str() {
            "b" => Some(NodeKind::Block),
            "c" | "u" => Some(NodeKind::Character),
            "p" => Some(NodeKind::Fifo),
            _ => None,
        };
        if kind.is_none() {
            reader.refuse(&field, format!("`{}` is none of b c u p", shown(&text)));
        }
    }
    let (major, minor) = (reader.number(map, "major"), reader.number(map, "minor"));
    let file_mode = reader.number(map, "fileMode");
    let (_uid, _gid) = (reader.number(map, "uid"), reader.number(map, "gid"));
    let permissions = permissions(reader, map);
    Some(NodeEdit { place, path: path?, host_path, kind, major, minor, file_mode, permissions })
}

fn permissions(reader: &mut Reader, map: &Map<'_>) -> Permissions {
    let all = Permissions::Some { write: true };
    let Some((text, field)) = reader.optional(map, "permissions") else { return all };
    if text == "none" {
        return Permissions::None;
    }
    if !text.chars().all(|c| "rwm".contains(c)) {
        reader.refuse(&field, format!("`{}` is neither `none` nor letters of rwm", shown(&text)));
    }
    Permissions::Some { write: text.contains('w') }
}

fn mount(reader: &mut Reader, map: &Map<'_>, place: Place) -> Option<MountEdit> {
    let host_path = reader.required_path(map, "hostPath");
    let container_path = reader.required_path(map, "containerPath");
    let options = reader.texts(map, "options");
    let kind = reader.optional(map, "type");
    if let Some((_, field)) = &kind {
        reader.uses(field.place, "type of a mount", Version::MOUNT_TYPE);
    }
    let kind = kind.map(|(kind, _)| kind);
    Some(MountEdit { place, host_path: host_path?, container_path: container_path?, options, kind })
}

fn hook(reader: &mut Reader, map: &Map<'_>, place: Place) -> Option<HookEdit> {
    let name = reader.required(map, "hookName").filter(|(name, _)| !HOOK_NAMES.contains(&name.as_str()));
    if let Some((name, field)) = name {
        reader.refuse(&field, format!("`{}` is none of {}", shown(&name), HOOK_NAMES.join(" ")));
    }
    let path = reader.required_path(map, "path");
    let args = reader.texts(map, "args");
    // Read to be checked: nothing is started with it.
    for item in reader.list(map, "env") {
        if reader.text(&item).is_some_and(|text| text.find('=').is_none_or(|at| at == 0)) {
            reader.refuse(&item, "it is not NAME=VALUE");
        }
    }
    let _timeout = reader.number(map, "timeout");
    Some(HookEdit { place, path: path?, args })
}

fn net_devices(reader: &mut Reader, map: &Map<'_>) -> Option<Place> {
    let items = reader.list(map, "netDevices");
    for item in &items {
        reader.uses(item.place, "netDevices", Version::NET_DEVICES);
        if let Some(map) = reader.map(item, NET_DEVICE) {
            let _checked = (reader.required(&map, "hostInterfaceName"), reader.required(&map, "name"));
        }
    }
    items.first().map(|item| item.place)
}

fn intel_rdt(reader: &mut Reader, map: &Map<'_>) -> Option<Place> {
    let place = map.get("intelRdt")?.place;
    reader.uses(place, "intelRdt", Version::INTEL_RDT);
    let map = reader.section(map, "intelRdt", INTEL_RDT)?;
    for key in ["closID", "l3CacheSchema", "memBwSchema"] {
        let _checked = reader.optional(&map, key);
    }
    for key in ["schemata", "enableMonitoring"] {
        if let Some(field) = map.get(key) {
            reader.uses(field.place, format!("{key} of intelRdt"), Version::SCHEMATA);
        }
    }
    let _checked = (reader.texts(&map, "schemata"), reader.flag(&map, "enableMonitoring"));
    Some(place)
}
