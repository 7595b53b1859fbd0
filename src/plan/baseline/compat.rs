//! How OpenShell enriches a policy, step by step, for comparisons: `--openshell-compat`.
//!
//! Source: NVIDIA/OpenShell at 2f7fb6559, `enrich_proto_baseline_paths` and its lists.

use std::path::{Path, PathBuf};

use super::levels::Levels;
use super::{By, Enriched, Entry};
use crate::host::Facts;
use crate::host::gpu::{Gpus, Node, NodeState};
use crate::host::paths::PathFact;
use crate::plan::DeviceGrant;
use crate::plan::build::Told;
use crate::policy::Policy;
use crate::policy::baseline::rows::Group;
use crate::policy::paths::{Access, Rule};
use crate::request::Origin;

/// The two lists of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// `read_only`, as it is written.
    pub read_only: Vec<String>,
    /// `read_write`.
    pub read_write: Vec<String>,
}

/// What OpenShell looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Whether the policy has a network.
    pub proxy: bool,
    /// Whether `/dev/nvidiactl` or `/dev/dxg` exists.
    pub gpu: bool,
    /// Names of `/dev`, in its order: those of `nvidia` and digits are GPUs.
    pub nodes: Vec<String>,
}

const PROXY_READ_ONLY: &[&str] = &["/usr", "/lib", "/etc", "/app", "/var/log", "/proc", "/dev/urandom"];
const PROXY_READ_WRITE: &[&str] = &["/tmp"];
const GPU_READ_ONLY: &[&str] = &["/run/nvidia-persistenced", "/usr/lib/wsl"];
const GPU_READ_WRITE: &[&str] =
    &["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/dxg", "/proc"];

/// The lists after enrichment. `exists` is asked only of paths that are to be added.
#[must_use]
pub fn enriched(mut lists: Lists, machine: &Machine, exists: &dyn Fn(&str) -> bool) -> Lists {
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let mut read_only = Vec::new();
    let mut read_write = Vec::new();
    if machine.proxy {
        read_only.extend(owned(PROXY_READ_ONLY));
        read_write.extend(owned(PROXY_READ_WRITE));
    }
    if machine.gpu {
        read_only.extend(owned(GPU_READ_ONLY));
        read_write.extend(owned(GPU_READ_WRITE));
        read_write.extend(machine.nodes.iter().filter(|node| is_gpu(node)).map(|node| format!("/dev/{node}")));
    }
    read_only.retain(|path| !read_write.contains(path));
    for path in read_only {
        if !lists.read_only.contains(&path) && !lists.read_write.contains(&path) && exists(&path) {
            lists.read_only.push(path);
        }
    }
    for path in read_write {
        if lists.read_write.contains(&path) || !exists(&path) {
            continue;
        }
        if lists.read_only.contains(&path) {
            // The one path that is promoted; every other one stays as it is written, without a word.
            if path == "/proc" {
                lists.read_only.retain(|known| *known != path);
                lists.read_write.push(path);
            }
            continue;
        }
        lists.read_write.push(path);
    }
    lists
}

fn is_gpu(name: &str) -> bool {
    name.strip_prefix("nvidia").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A policy enriched as OpenShell does it.
pub(super) fn enrich(policy: &Policy, facts: &Facts, levels: &Levels, told: &mut Told) -> Enriched {
    told.warnings.push(
        "--openshell-compat: the policy is enriched as OpenShell does it, with every right where a GPU wants more: \
         for comparisons, not for use"
            .to_owned(),
    );
    let of = |wanted: fn(Access) -> bool| {
        let rules = facts.rules.iter().filter(|(rule, _)| wanted(rule.access));
        rules.map(|(rule, _)| rule.path.to_string_lossy().into_owned()).collect()
    };
    let lists = Lists { read_only: of(|access| access == Access::Read), read_write: of(Access::writes) };
    let nodes = nodes(&facts.gpus);
    let names = nodes.iter().filter_map(|node| Some(node.path.file_name()?.to_str()?.to_owned())).collect();
    let control = |node: &&&Node| node.path.ends_with("nvidiactl") || node.path.ends_with("dxg");
    let machine = Machine {
        proxy: policy.has_network(),
        gpu: nodes.iter().find(control).is_some_and(|node| node.state != NodeState::Absent),
        nodes: names,
    };
    let exists = |path: &str| {
        let node = nodes.iter().any(|node| node.path.as_os_str() == path && node.state != NodeState::Absent);
        node || path == "/proc" || facts.of_baseline(Path::new(path)).is_some()
    };
    let after = enriched(lists.clone(), &machine, &exists);
    let mut found = Enriched { entries: levels.entries().to_vec(), ..Enriched::default() };
    let writes_proc = |lists: &Lists| lists.read_write.iter().any(|path| path == "/proc");
    if writes_proc(&after) && !writes_proc(&lists) {
        found.entries.retain(|entry| entry.path != *"/proc");
    }
    let added = |list: &[String], before: &[String], access: Access| {
        list.iter().filter(|path| !before.contains(path)).map(|path| (path.clone(), access)).collect::<Vec<_>>()
    };
    let read_only = added(&after.read_only, &lists.read_only, Access::Read);
    let read_write = added(&after.read_write, &lists.read_write, Access::Write);
    for (path, access) in read_only.into_iter().chain(read_write) {
        let because = Origin::Baseline("as OpenShell has it");
        if let Some(node) = nodes.iter().find(|node| node.path.as_os_str() == path.as_str()) {
            found.devices.extend(device(node, because));
            continue;
        }
        let present = facts.of_baseline(Path::new(&path)).cloned();
        let fact = present.map_or(PathFact::Unreachable { errno: 0 }, PathFact::Present);
        let rule = Rule { path: PathBuf::from(&path), access, because };
        let by = By::Baseline(Group::Core);
        found.entries.push(Entry {
            path: fact.leads_to(&rule.path).to_owned(),
            rule,
            fact,
            by,
            authored: None,
            device: false,
        });
    }
    found
}

fn nodes(gpus: &Gpus) -> Vec<&Node> {
    let own = gpus.gpus.iter().flat_map(|gpu| &gpu.nodes);
    gpus.shared.iter().chain(own).chain(gpus.wsl.iter().map(|wsl| &wsl.node)).collect()
}

fn device(node: &Node, because: Origin) -> Option<DeviceGrant> {
    let (NodeState::Ok { id }, Some(number)) = (node.state, node.expected) else { return None };
    let (major, minor) = (number.major, number.minor);
    let path = node.path.clone();
    Some(DeviceGrant { path, source: None, major, minor, read_only: false, id, because, required: false })
}
