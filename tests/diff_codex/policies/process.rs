//! Flags, and where the command starts.

use crate::policy::{Policy, Profile};

const W: &str = ":root=read {W}=write";

/// Nobody listens there.
const PROXY: &[(&str, Option<&str>)] = &[("HTTP_PROXY", Some("http://127.0.0.1:9"))];

pub const POLICIES: &[Policy] = &[
    Policy::of("no proc", W).flags(&["--no-proc"]),
    Policy::of("inherited pid namespace", W).flags(&["--inherit-pid-namespace"]),
    Policy::with("inherited pid namespace, enabled", Profile::Managed(W, "enabled"))
        .flags(&["--inherit-pid-namespace"]),
    Policy::of("no proc, minimal", ":minimal=read :helper=read {W}=write").flags(&["--no-proc"]),
    Policy::of("command cwd below", W).flags(&["--command-cwd", "{W}/sub"]),
    Policy::of("command cwd relative", W).flags(&["--command-cwd", "sub"]),
    Policy::of("command cwd missing", W).flags(&["--command-cwd", "{W}/none"]),
    Policy::of("command cwd outside", W).flags(&["--command-cwd", "{O}"]),
    Policy::of("command cwd through a link", W)
        .flags(&["--command-cwd", "{W}/link/d"])
        .prepare(|tree| tree.link("W/link", "{O}")),
    Policy::of("command cwd denied", ":root=read {W}=write {W}/docs=deny").flags(&["--command-cwd", "{W}/docs"]),
    Policy::of("started below", W).cwd("{W}/sub"),
    Policy::of("started outside", W).cwd("{O}"),
    Policy::of("started in a link", W).cwd("{W}/link").prepare(|tree| tree.link("W/link", "sub")),
    Policy::of("started where denied", ":root=read {W}=write {W}/docs=deny").cwd("{W}/docs"),
    Policy::of("started where hidden", ":minimal=read :helper=read {W}=write").cwd("{O}"),
    Policy::of("variables", W).env(&[
        ("SOMETHING", Some("1")),
        ("HTTP_PROXY", Some("http://127.0.0.1:9")),
        ("PWD", Some("{W}")),
    ]),
    Policy::of("managed network", W).flags(&["--managed-network", "{}"]).env(PROXY),
    Policy::of("managed network, the older flag", W).flags(&["--allow-network-for-proxy"]).env(PROXY),
    Policy::of("managed network, ports", W)
        .flags(&["--managed-network", r#"{"loopbackPorts":[9],"allowLocalBinding":true}"#])
        .env(PROXY),
    Policy::of("managed network, unix sockets", W)
        .flags(&["--managed-network", r#"{"dangerouslyAllowAllUnixSockets":true}"#])
        .env(PROXY),
    Policy::with("managed network, enabled", Profile::Managed(W, "enabled"))
        .flags(&["--managed-network", "{}"])
        .env(PROXY),
    Policy::of("landlock, W write", W).flags(&["--use-legacy-landlock"]),
    Policy::of("landlock, names there", W).flags(&["--use-legacy-landlock"]).prepare(|tree| tree.dir("W/.git")),
    Policy::of("landlock, read", ":root=read").flags(&["--use-legacy-landlock"]),
    Policy::of("landlock, denied", ":root=read {W}=write {W}/docs=deny").flags(&["--use-legacy-landlock"]),
    Policy::of("landlock, read below", ":root=read {W}=write {W}/docs=read").flags(&["--use-legacy-landlock"]),
    Policy::of("landlock, minimal", ":minimal=read :helper=read {W}=write").flags(&["--use-legacy-landlock"]),
    Policy::of(
        "landlock, names written",
        ":root=read {W}=write {W}/.git=write {W}/.agents=write {W}/.codex=write {W}/.aws=write",
    )
    .flags(&["--use-legacy-landlock"]),
    Policy::of("landlock, root write", ":root=write").flags(&["--use-legacy-landlock"]),
    Policy::with("landlock, disabled", Profile::Json(r#"{"type":"disabled"}"#)).flags(&["--use-legacy-landlock"]),
];
