//! Special entries, and roots that are not readable.

use crate::policy::{Policy, Profile};

pub const POLICIES: &[Policy] = &[
    Policy::of("minimal", ":minimal=read :helper=read"),
    Policy::of("minimal, W write", ":minimal=read :helper=read {W}=write"),
    Policy::of("minimal, W read", ":minimal=read :helper=read {W}=read"),
    Policy::of("minimal, W write, docs denied", ":minimal=read :helper=read {W}=write {W}/docs=deny"),
    Policy::of("minimal, W write, docs read", ":minimal=read :helper=read {W}=write {W}/docs=read"),
    Policy::of("minimal, W/docs/public write", ":minimal=read :helper=read {W}/docs/public=write"),
    Policy::of("minimal, O read, O/d write", ":minimal=read :helper=read {O}=read {O}/d=write"),
    Policy::of("minimal written", ":minimal=write :helper=read"),
    Policy::of("minimal, /etc denied", ":minimal=read :helper=read /etc=deny"),
    Policy::with("minimal, W write, enabled", Profile::Managed(":minimal=read :helper=read {W}=write", "enabled")),
    Policy::of("minimal without the helper", ":minimal=read {W}=write"),
    Policy::of(
        "directories instead of minimal",
        "/usr=read /bin=read /lib=read /lib64=read /etc=read :helper=read {W}=write",
    ),
    Policy::of("nothing", ""),
    Policy::of("current working directory", ":root=read :current_working_directory=write"),
    Policy::of("a part of project roots", ":root=read :project_roots/sub=write"),
    Policy::of("a missing part of project roots", ":root=read :project_roots=write :project_roots/none=read"),
    Policy::of("a denied part of project roots", ":root=read :project_roots=write :project_roots/docs=deny"),
    Policy::of("project roots read", ":root=write :project_roots=read"),
    Policy::of("tmpdir", ":root=read :tmpdir=write").env(&[("TMPDIR", Some("{T}"))]),
    Policy::of("tmpdir denied", ":root=read :tmpdir=deny").env(&[("TMPDIR", Some("{T}"))]),
    Policy::of("tmpdir unset", ":root=read :tmpdir=write").env(&[("TMPDIR", None)]),
    Policy::of("tmpdir missing", ":root=read {W}=write :tmpdir=write").env(&[("TMPDIR", Some("{T}/none"))]),
    Policy::of("tmpdir relative", ":root=read :tmpdir=write").env(&[("TMPDIR", Some("sub"))]),
    Policy::of("tmpdir empty", ":root=read :tmpdir=write").env(&[("TMPDIR", Some(""))]),
    Policy::of("tmpdir is a file", ":root=read :tmpdir=write").env(&[("TMPDIR", Some("{T}/f"))]),
    Policy::of("tmpdir is a link", ":root=read :tmpdir=write")
        .env(&[("TMPDIR", Some("{W}/link"))])
        .prepare(|tree| tree.link("W/link", "{T}")),
    Policy::of("slash tmp", ":root=read :slash_tmp=write"),
    Policy::of("slash tmp denied", ":root=read :slash_tmp=deny"),
    Policy::of("like workspace-write", ":root=read :project_roots=write :slash_tmp=write :tmpdir=write")
        .env(&[("TMPDIR", Some("{T}"))]),
    Policy::of(
        "workspace-write in full",
        ":root=read {W}=write /tmp=write {W}/.git=read? {W}/.agents=read? {W}/.codex=read? {W}/.aws=read?",
    )
    .prepare(|tree| tree.dir("W/.git")),
];
