//! Shapes of a profile: which are read, and which are refused.

use crate::policy::{Policy, Profile};

const fn json(name: &'static str, text: &'static str) -> Policy {
    Policy::with(name, Profile::Json(text))
}

pub const POLICIES: &[Policy] = &[
    json("disabled", r#"{"type":"disabled"}"#),
    json("disabled, more keys", r#"{"type":"disabled","nonsense":1}"#),
    json("external, enabled", r#"{"type":"external","network":"enabled"}"#),
    json("external, restricted", r#"{"type":"external","network":"restricted"}"#),
    json("external, no network", r#"{"type":"external"}"#),
    json("unrestricted, enabled", r#"{"type":"managed","file_system":{"type":"unrestricted"},"network":"enabled"}"#),
    json(
        "unrestricted, restricted",
        r#"{"type":"managed","file_system":{"type":"unrestricted"},"network":"restricted"}"#,
    ),
    json("unrestricted, no network", r#"{"type":"managed","file_system":{"type":"unrestricted"}}"#),
    json("managed, no file system", r#"{"type":"managed","network":"restricted"}"#),
    json("restricted, no entries", r#"{"type":"managed","file_system":{"type":"restricted"},"network":"restricted"}"#),
    json(
        "untagged entries",
        r#"{"file_system":{"entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]}}"#,
    ),
    json(
        "untagged entries, enabled",
        r#"{"file_system":{"entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":{"enabled":true}}"#,
    ),
    json("untagged read and write", r#"{"file_system":{"read":["/"],"write":["{W}"]},"network":{"enabled":false}}"#),
    json("untagged, more keys", r#"{"file_system":{"read":["/"],"nonsense":1}}"#),
    json("untagged network text", r#"{"file_system":{"read":["/"]},"network":"restricted"}"#),
    json("empty object", "{}"),
    json("legacy read-only", r#"{"type":"read-only"}"#),
    json("legacy workspace-write", r#"{"type":"workspace-write"}"#),
    json("legacy full access", r#"{"type":"danger-full-access"}"#),
    json(
        "unknown keys",
        r#"{"type":"managed","nonsense":1,"file_system":{"type":"restricted","nonsense":1,"entries":[{"nonsense":1,"path":{"type":"special","nonsense":1,"value":{"kind":"root","nonsense":1}},"access":"read"}]},"network":"restricted"}"#,
    ),
    json("network missing", r#"{"type":"managed","file_system":{"type":"restricted","entries":[]}}"#),
    json(
        "depth zero",
        r#"{"type":"managed","file_system":{"type":"restricted","entries":[],"glob_scan_max_depth":0},"network":"restricted"}"#,
    ),
    json("array", "[]"),
    Policy::of("unknown access", ":root=execute"),
    Policy::of("upper case access", ":root=Read"),
    Policy::of("none is deny", ":root=read {O}/d=none"),
    Policy::of("relative path", ":root=read sub=write"),
    Policy::of("unknown kind", ":root=read :weird=read"),
    Policy::of("unknown special", ":root=read :unknown/:later=write {W}=write"),
    Policy::of("dots in a path", ":root=read {W}/sub/../docs=write"),
    Policy::of("a slash at the end", ":root=read {W}/docs/=write"),
    Policy::with("read, enabled", Profile::Managed(":root=read", "enabled")),
    Policy::with("write W, enabled", Profile::Managed(":root=read {W}=write", "enabled")),
    Policy::with("root write, enabled", Profile::Managed(":root=write", "enabled")),
    Policy::with("root write W denied, enabled", Profile::Managed(":root=write {W}/docs=deny", "enabled")),
];
