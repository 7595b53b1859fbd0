//! What a policy is here, and its JSON.

use serde_json::{Value, json};

use crate::tree::Tree;

/// One policy: how the helper is called, and what lies in the directories before.
#[derive(Clone, Copy)]
pub struct Policy {
    pub name: &'static str,
    pub profile: Profile,
    /// Flags next to the usual ones.
    pub flags: &'static [&'static str],
    /// Adds to the tree that every policy has.
    pub prepare: fn(&Tree),
    /// Variables, or without a value none of that name.
    pub env: &'static [(&'static str, Option<&'static str>)],
    /// Where the helper is started; `{W}` nearly always.
    pub cwd: &'static str,
}

/// What `--permission-profile` gets. `{W}`, `{O}`, `{T}` and `{B}` stand for the workspace, a directory outside, one for
/// temporary files, and the one that holds them all.
#[derive(Debug, Clone, Copy)]
pub enum Profile {
    /// As it stands.
    Json(&'static str),
    /// Entries in short, then the network: `:root=read {W}=write {W}/a=read? glob({W}/*.env)=deny`. A colon starts a
    /// special one, `?` at the end means that a missing path is skipped. `:helper` is the helper itself, which the
    /// reference starts again inside, so that it must be visible where the root is not.
    Managed(&'static str, &'static str),
    /// The same, with `glob_scan_max_depth`.
    Depth(&'static str, u32),
}

impl Policy {
    /// A managed policy without network and without anything special.
    pub const fn of(name: &'static str, entries: &'static str) -> Self {
        Self::with(name, Profile::Managed(entries, "restricted"))
    }

    pub const fn with(name: &'static str, profile: Profile) -> Self {
        Self { name, profile, flags: &[], prepare: |_| {}, env: &[], cwd: "{W}" }
    }

    pub const fn prepare(mut self, prepare: fn(&Tree)) -> Self {
        self.prepare = prepare;
        self
    }

    pub const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    pub const fn env(mut self, env: &'static [(&'static str, Option<&'static str>)]) -> Self {
        self.env = env;
        self
    }

    pub const fn cwd(mut self, cwd: &'static str) -> Self {
        self.cwd = cwd;
        self
    }

    /// Whether it opens a directory that all runs share, so that only one of them may be there at a time.
    pub fn is_shared(&self) -> bool {
        match self.profile {
            Profile::Json(text) => text.contains("\"write\""),
            Profile::Managed(entries, _) | Profile::Depth(entries, _) => entries.split_whitespace().any(|entry| {
                entry.ends_with("=write") && !entry.starts_with('{') && !entry.starts_with(":project_roots")
            }),
        }
    }
}

impl Profile {
    /// The text for the helper; `helper` are the paths that it is reached by.
    pub fn json(self, tree: &Tree, helper: &[String]) -> String {
        let (entries, network, depth) = match self {
            Self::Json(text) => return tree.fill(text),
            Self::Managed(entries, network) => (entries, network, None),
            Self::Depth(entries, depth) => (entries, "restricted", Some(depth)),
        };
        let entries: Vec<_> = entries.split_whitespace().flat_map(|word| entry(word, tree, helper)).collect();
        let mut files = json!({"type": "restricted", "entries": entries});
        if let Some(depth) = depth {
            files["glob_scan_max_depth"] = json!(depth);
        }
        json!({"type": "managed", "file_system": files, "network": network}).to_string()
    }
}

fn entry(word: &str, tree: &Tree, helper: &[String]) -> Vec<Value> {
    let (place, access) = word.rsplit_once('=').unwrap();
    let (access, skip) = access.strip_suffix('?').map_or((access, false), |access| (access, true));
    let places = match place.strip_prefix(':') {
        Some("helper") => helper.iter().map(|path| json!({"type": "path", "path": path})).collect(),
        Some(special) => vec![json!({"type": "special", "value": special_value(special)})],
        None => match place.strip_prefix("glob(").and_then(|rest| rest.strip_suffix(')')) {
            Some(glob) => vec![json!({"type": "glob_pattern", "pattern": tree.fill(glob)})],
            None => vec![json!({"type": "path", "path": tree.fill(place)})],
        },
    };
    let full = places.into_iter().map(|path| {
        let mut entry = json!({"path": path, "access": access});
        if skip {
            entry["missing_path_behavior"] = json!("skip");
        }
        entry
    });
    full.collect()
}

fn special_value(special: &str) -> Value {
    match special.split_once('/') {
        Some(("unknown", path)) => json!({"kind": "unknown", "path": path}),
        Some((kind, below)) => json!({"kind": kind, "subpath": below}),
        None => json!({"kind": special}),
    }
}
