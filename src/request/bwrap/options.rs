//! The options of bubblewrap, and what each means here.
//!
//! Source: bwrap(1) and `bwrap --help` of 0.8 to 0.11.

use crate::policy::paths::Access;

/// An option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub name: &'static str,
    /// How many words stand behind it.
    pub values: usize,
    pub what: What,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Bind {
        access: Access,
        optional: bool,
    },
    Tmpfs,
    Dev,
    Proc,
    ReadOnly,
    Link,
    NoNet,
    Net,
    Set,
    Unset,
    Clear,
    /// Nothing here, and why.
    Nothing(&'static str),
    /// More than can be said, and the cure; it may be empty.
    Inexpressible(&'static str, &'static str),
}

/// Links in `/` that a narrowed root has anyway.
pub(super) const ROOT_LINKS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Nodes of GPUs, by the beginning of their names: they are granted as a whole, `gpu = "auto"`.
pub(super) const GPU_NODES: &[&str] = &["/dev/dri", "/dev/nvidia", "/dev/kfd", "/dev/dxg"];

const ALWAYS: What = What::Nothing("is so for every sandbox");
const OURS: What = What::Nothing("is about bubblewrap's own process");
const DIRECTORY: What = What::Nothing("nothing is made in the root; what is bound brings its directories");
const CONTENT: What =
    What::Inexpressible("puts content there, which there is no word for", "bind a directory that has it");
const OVERLAY: What =
    What::Inexpressible("lays directories over one another, which there is no word for", "bind one of them, or a copy");
const IDS: What =
    What::Inexpressible("gives another identity, which there is no word for", "leave it out: inside as outside");
const FILTER: What = What::Inexpressible("brings a filter of its own", "leave it out: plan lists what is denied here");
const NAMESPACE: What =
    What::Inexpressible("uses namespaces that stand already", "use a session: ringfence session start");
const LABEL: What = What::Inexpressible("sets a label of SELinux", "");

const fn bind(access: Access, optional: bool) -> What {
    What::Bind { access, optional }
}

const fn option(name: &'static str, values: usize, what: What) -> Known {
    Known { name, values, what }
}

pub(super) const TABLE: &[Known] = &[
    option("--ro-bind", 2, bind(Access::Read, false)),
    option("--ro-bind-try", 2, bind(Access::Read, true)),
    option("--bind", 2, bind(Access::Write, false)),
    option("--bind-try", 2, bind(Access::Write, true)),
    option("--dev-bind", 2, bind(Access::Write, false)),
    option("--dev-bind-try", 2, bind(Access::Write, true)),
    option("--tmpfs", 1, What::Tmpfs),
    option("--dev", 1, What::Dev),
    option("--proc", 1, What::Proc),
    option("--remount-ro", 1, What::ReadOnly),
    option("--symlink", 2, What::Link),
    option("--unshare-net", 0, What::NoNet),
    option("--unshare-all", 0, What::NoNet),
    option("--share-net", 0, What::Net),
    option("--setenv", 2, What::Set),
    option("--unsetenv", 1, What::Unset),
    option("--clearenv", 0, What::Clear),
    option("--unshare-user", 0, ALWAYS),
    option("--unshare-user-try", 0, ALWAYS),
    option("--unshare-ipc", 0, ALWAYS),
    option("--unshare-pid", 0, ALWAYS),
    option("--unshare-uts", 0, ALWAYS),
    option("--unshare-cgroup", 0, ALWAYS),
    option("--unshare-cgroup-try", 0, ALWAYS),
    option("--die-with-parent", 0, ALWAYS),
    option("--new-session", 0, ALWAYS),
    option("--disable-userns", 0, ALWAYS),
    option("--assert-userns-disabled", 0, ALWAYS),
    option("--cap-drop", 1, ALWAYS),
    option("--as-pid-1", 0, OURS),
    option("--argv0", 1, OURS),
    option("--level-prefix", 0, OURS),
    option("--lock-file", 1, OURS),
    option("--sync-fd", 1, OURS),
    option("--block-fd", 1, OURS),
    option("--userns-block-fd", 1, OURS),
    option("--info-fd", 1, OURS),
    option("--json-status-fd", 1, OURS),
    option("--chdir", 1, What::Nothing("is no key of a file: --cd DIR says it when the command is run")),
    option("--hostname", 1, What::Nothing("is the host's, in a namespace of the sandbox's own")),
    option("--dir", 1, DIRECTORY),
    option("--mqueue", 1, What::Nothing("message queues are the sandbox's own")),
    option("--perms", 1, What::Nothing("modes are the host's")),
    option("--size", 1, What::Inexpressible("limits a single tmpfs", "say tmp_size = \"…\", which is for all of them")),
    option("--file", 2, CONTENT),
    option("--bind-data", 2, CONTENT),
    option("--ro-bind-data", 2, CONTENT),
    option("--bind-fd", 2, CONTENT),
    option("--ro-bind-fd", 2, CONTENT),
    option("--chmod", 2, What::Inexpressible("changes a mode, which there is no word for", "")),
    option("--overlay-src", 1, OVERLAY),
    option("--overlay", 3, OVERLAY),
    option("--tmp-overlay", 1, OVERLAY),
    option("--ro-overlay", 1, OVERLAY),
    option("--uid", 1, IDS),
    option("--gid", 1, IDS),
    option("--cap-add", 1, What::Inexpressible("gives a capability: no sandbox here has one", "")),
    option("--seccomp", 1, FILTER),
    option("--add-seccomp-fd", 1, FILTER),
    option("--userns", 1, NAMESPACE),
    option("--userns2", 1, NAMESPACE),
    option("--pidns", 1, NAMESPACE),
    option("--exec-label", 1, LABEL),
    option("--file-label", 1, LABEL),
    option("--args", 1, What::Inexpressible("reads options from a descriptor", "write them out")),
];
