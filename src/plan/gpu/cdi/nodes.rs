//! Device nodes: which are granted, and whether the host has what a file says.

use std::path::Path;

use super::error::Found;
use super::{CdiProblem, Part, Planner};
use crate::host::gpu::cdi::{NodeEdit, NodeKind, Permissions};
use crate::host::gpu::rows::{self, below_dev, is_named};
use crate::host::gpu::{DeviceNumber, NodeFact};
use crate::host::paths::Kind;
use crate::plan::DeviceGrant;
use crate::policy::tables::{BASE_DEVICES, DEV_LINKS};

/// Nodes that no sandbox gets, whatever they are called: major, minor, and why. By name they are in [`rows::never`].
const NEVER_NUMBERS: &[(u32, Option<u32>, &str)] = &[
    (1, Some(1), "it is the machine's memory"),
    (1, Some(2), "it is the kernel's memory"),
    (1, Some(4), "it is the machine's I/O ports"),
    (1, Some(11), "it is the kernel's log"),
    (10, Some(144), "it is the firmware's memory"),
    (10, Some(223), "it types for the user"),
    (4, None, "it is a terminal of the host"),
    (5, Some(1), "it is a terminal of the host"),
    (136, None, "it is a terminal of the host"),
    (202, None, "it has the processor's registers"),
];

/// Which class a node of a vendor's belongs to, by name below `/dev`. What is not in the table belongs to none and
/// comes with the device.
const CLASSES: &[(&str, &str, &str)] = &[
    ("nvidia.com", "nvidia-modeset", "display"),
    ("nvidia.com", "nvidia-uvm", "compute"),
    ("nvidia.com", "nvidia-uvm-tools", "compute"),
    ("nvidia.com", "nvidia-caps/*", "compute"),
    ("nvidia.com", "dri/card*", "display"),
    ("nvidia.com", "dri/renderD*", "graphics"),
    ("nvidia.com", "nvidia-fs*", "gds"),
    ("nvidia.com", "gdrdrv", "gdrcopy"),
    ("nvidia.com", "infiniband/*", "rdma"),
    ("amd.com", "dri/card*", "display"),
    ("intel.com", "dri/card*", "display"),
];

/// Nodes that programs do without where the host has none.
const OPTIONAL: &[&str] = &["nvidia-uvm-tools"];

/// The terminal of the command is in every sandbox.
fn never(path: &Path) -> Option<&'static str> {
    rows::never(path).filter(|_| path != Path::new("/dev/tty"))
}

fn never_number(number: DeviceNumber) -> Option<&'static str> {
    let row = NEVER_NUMBERS
        .iter()
        .find(|(major, minor, _)| *major == number.major && minor.is_none_or(|minor| minor == number.minor));
    row.map(|(.., why)| *why)
}

fn class_of(vendor: &str, path: &Path) -> Option<&'static str> {
    let name = below_dev(path)?;
    let row = CLASSES.iter().find(|(of, pattern, _)| *of == vendor && is_named(pattern, name));
    row.map(|(.., class)| *class)
}

/// Whether the sandbox has something of its own at a path.
pub(super) fn is_own(path: &Path) -> bool {
    let base = BASE_DEVICES.iter().map(|(path, ..)| *path).chain(DEV_LINKS.iter().map(|(link, _)| *link));
    let dirs = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/ringfence-inner"];
    base.chain(["/dev/console"]).any(|own| path == Path::new(own)) || dirs.iter().any(|dir| path.starts_with(dir))
}

impl<'a> Planner<'a> {
    pub(super) fn nodes(&mut self, parts: &[Part<'a>]) {
        for (part, node) in last_words(parts) {
            let grant = self.node(&part, node);
            self.plan.devices.extend(grant);
        }
    }

    fn node(&mut self, part: &Part<'a>, node: &NodeEdit) -> Option<DeviceGrant> {
        let Permissions::Some { write } = node.permissions else { return None };
        let (path, source) = (node.path.as_path(), node.on_host());
        if let Some(outside) = [path, source].into_iter().find(|path| below_dev(path).is_none()) {
            self.fail(part, node.place, CdiProblem::NodeElsewhere { path: outside.to_owned() });
            return None;
        }
        let fact = self.specs.nodes.get(source).copied();
        let number = fact.and_then(|fact| match fact.kind {
            Kind::Char { major, minor } => Some(DeviceNumber { major, minor }),
            _ => None,
        });
        if let Some(why) = self.left_out(part, node, number) {
            self.note(part, node.place, format!("{} is left out: {why}", path.display()));
            return None;
        }
        let number = match self.expected(node, fact) {
            Ok(number) => number,
            Err(problem) => {
                if fact.is_none() && below_dev(path).is_some_and(|name| OPTIONAL.contains(&name)) {
                    return None;
                }
                self.fail(part, node.place, problem);
                return None;
            }
        };
        let fact = fact?;
        let base = BASE_DEVICES.iter().find(|(base, ..)| path == Path::new(base));
        if base.is_some_and(|(_, major, minor)| (*major, *minor) == (number.major, number.minor)) {
            return None;
        }
        if is_own(path) {
            self.fail(part, node.place, CdiProblem::Covers { target: path.to_owned() });
            return None;
        }
        self.permitted(part, node, fact)?;
        Some(DeviceGrant {
            path: path.to_owned(),
            source: (path != source).then(|| source.to_owned()),
            major: number.major,
            minor: number.minor,
            read_only: !write,
            id: fact.id,
            because: self.because(part, node.place),
            required: true,
        })
    }

    /// Why a node is not granted although a file asks for it.
    fn left_out(&self, part: &Part<'_>, node: &NodeEdit, number: Option<DeviceNumber>) -> Option<String> {
        let paths = [node.path.as_path(), node.on_host()];
        let by_number = || number.and_then(never_number);
        if let Some(why) = paths.into_iter().find_map(never).or_else(by_number) {
            return Some(format!("no sandbox gets it, {why}"));
        }
        if let Some(by) = paths.into_iter().find_map(self.around.denied) {
            return Some(format!("it is denied ({by})"));
        }
        if let Some(by) = number.and_then(self.around.denied_number) {
            return Some(format!("it is denied by another name ({by})"));
        }
        let vendor = part.name.vendor();
        if paths.into_iter().any(|path| path.starts_with("/dev/nvidia-caps-imex-channels")) {
            let asked = part.name.class() == "imex-channel" || (self.around.granted)("imex");
            return (!asked).then(|| "it needs the class imex".to_owned());
        }
        let missing = |path: &Path| class_of(vendor, path).filter(|class| !(self.around.granted)(class));
        let class = paths.into_iter().find_map(missing)?;
        Some(format!("it needs the class {class}, which was not asked for"))
    }

    /// The number of the node, if it is what the file says.
    fn expected(&self, node: &NodeEdit, fact: Option<NodeFact>) -> Result<DeviceNumber, CdiProblem> {
        let path = node.on_host().to_owned();
        let major = node.major;
        // Those who write these files leave zeros out.
        let minor = node.minor.or(major.map(|_| 0));
        let Some(fact) = fact else { return Err(CdiProblem::NodeMissing { path }) };
        let kind = node.kind.unwrap_or(NodeKind::Character);
        let number = match fact.kind {
            Kind::Char { major, minor } if kind == NodeKind::Character => DeviceNumber { major, minor },
            found => return Err(CdiProblem::NodeKind { path, found: Found(found), wanted: node.kind }),
        };
        let differs =
            major.is_some_and(|major| major != number.major) || minor.is_some_and(|minor| minor != number.minor);
        if differs {
            return Err(CdiProblem::NodeNumber { path, found: number, major, minor: minor.unwrap_or(0) });
        }
        Ok(number)
    }

    fn permitted(&mut self, part: &Part<'_>, node: &NodeEdit, fact: NodeFact) -> Option<()> {
        // Capabilities of instances are held by opening them for reading, and nobody can do more.
        let may_be_written = fact.mode & 0o222 != 0;
        let writes = matches!(node.permissions, Permissions::Some { write: true }) && may_be_written;
        if !self.specs.caller.may_use(&fact, if writes { 0o6 } else { 0o4 }) {
            let NodeFact { uid, gid, mode, .. } = fact;
            let path = node.on_host().to_owned();
            // A file that asks for the group knows of it.
            let problem = if gid != 0 && self.gids.contains(&gid) {
                CdiProblem::Group { path, gid }
            } else {
                CdiProblem::NoPermission { path, uid, gid, mode }
            };
            self.fail(part, node.place, problem);
            return None;
        }
        if let Some(mode) = node.file_mode.map(|mode| mode & 0o7777).filter(|mode| *mode != fact.mode) {
            let path = node.on_host().display();
            let what =
                format!("{path} keeps its mode {:04o}: {mode:04o} cannot be given to a node of the host", fact.mode);
            self.note(part, node.place, what);
        }
        Some(())
    }
}

/// All nodes, of those with one path inside the last: it replaces the ones before.
fn last_words<'a>(parts: &[Part<'a>]) -> Vec<(Part<'a>, &'a NodeEdit)> {
    let all: Vec<_> = parts.iter().flat_map(|part| part.edits.nodes.iter().map(move |node| (*part, node))).collect();
    let mut last = std::collections::BTreeMap::new();
    for (at, (_, node)) in all.iter().enumerate() {
        last.insert(node.path.as_path(), at);
    }
    let counts = |(at, (_, node)): &(usize, (Part<'_>, &NodeEdit))| last.get(node.path.as_path()) == Some(at);
    all.iter().copied().enumerate().filter(counts).map(|(_, found)| found).collect()
}
