//! The parts of `config.json` that bundles are made of, named as in the runtime specification (version 1.0.2, with
//! recursive read-only mounts as runc 1.1 and crun 1.4 have them).

use std::collections::BTreeMap;

use serde::Serialize;

/// The configuration of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Version of the specification.
    pub oci_version: &'static str,
    /// The command.
    pub process: Process,
    /// What `/` is.
    pub root: Root,
    /// What is mounted on it, in this order.
    pub mounts: Vec<Mount>,
    /// What the bundle does not do, one remark each.
    pub annotations: BTreeMap<String, String>,
    /// All that is particular to Linux.
    pub linux: Linux,
}

/// The command and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whose process it is.
    pub user: User,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: String,
    /// None, in each of the five sets.
    pub capabilities: Capabilities,
    /// What each of its processes may.
    pub rlimits: Vec<Rlimit>,
    /// Whether programs can give it more rights.
    pub no_new_privileges: bool,
}

/// Ids inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Sets of capabilities, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The most that there can ever be.
    pub bounding: Vec<String>,
    /// In force.
    pub effective: Vec<String>,
    /// Kept across execve(2), with the file's.
    pub inheritable: Vec<String>,
    /// What can be put in force.
    pub permitted: Vec<String>,
    /// Kept across execve(2).
    pub ambient: Vec<String>,
}

/// A limit of setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// `RLIMIT_…`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// In the limit's own unit.
    pub hard: u64,
    /// See `hard`.
    pub soft: u64,
}

/// The root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// In the bundle.
    pub path: &'static str,
    /// Whether it is mounted read-only.
    pub readonly: bool,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where, inside.
    pub destination: String,
    /// Type of file system, or `bind`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Of a bind: absolute on the host, or relative to the bundle.
    pub source: String,
    /// As in fstab(5).
    pub options: Vec<String>,
}

/// What is particular to Linux.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// New namespaces.
    pub namespaces: Vec<Namespace>,
    /// Users.
    pub uid_mappings: Vec<IdMapping>,
    /// Groups.
    pub gid_mappings: Vec<IdMapping>,
    /// What the control group keeps.
    pub resources: Resources,
    /// System calls that are refused.
    pub seccomp: Seccomp,
    /// Made unreadable behind all mounts; what is not there is passed over.
    pub masked_paths: Vec<String>,
    /// Made read-only behind all mounts; what is not there is passed over.
    pub readonly_paths: Vec<String>,
}

/// A namespace that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// `pid`, `network`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A row of `uid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IdMapping {
    /// Inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// Outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// What the control group keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Which devices can be opened; the last that matches counts.
    pub devices: Vec<DeviceRule>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Time of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
}

/// A rule of the device control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// `c`, or all.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Major number, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<u32>,
    /// Minor number, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Letters of `rwm`.
    pub access: &'static str,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Of all processes together.
    pub limit: u64,
    /// Memory and swap together.
    pub swap: u64,
}

/// In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// So much time…
    pub quota: u64,
    /// …in each of these.
    pub period: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// At most.
    pub limit: u64,
}

/// A system call filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to calls without an entry.
    pub default_action: &'static str,
    /// Calls of any other architecture end the process.
    pub architectures: Vec<&'static str>,
    /// Entries; no two are about the same call with the same arguments.
    pub syscalls: Vec<Syscall>,
}

/// An entry of the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Syscall {
    /// Calls.
    pub names: Vec<&'static str>,
    /// What happens.
    pub action: &'static str,
    /// The error that the call fails with.
    pub errno_ret: u16,
    /// All of these must hold; each is about another argument.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
}

/// A question about an argument: `argument & value == value_two`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arg {
    /// From 0.
    pub index: usize,
    /// The bits that count.
    pub value: u64,
    /// What they are.
    pub value_two: u64,
    /// Always `SCMP_CMP_MASKED_EQ`.
    pub op: &'static str,
}
