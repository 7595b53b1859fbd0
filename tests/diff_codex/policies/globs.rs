//! Globs.

use crate::policy::{Policy, Profile};
use crate::tree::Tree;

/// Files for patterns to match, at several depths, a directory and a link that match too.
fn files(tree: &Tree) {
    for file in ["W/a.env", "W/sub/b.env", "W/sub/t/c.env", "W/docs/.hidden.env", "W/x1.log", "W/x22.log", "W/[x"] {
        tree.file(file, "secret\n");
    }
    tree.dir("W/dir.env");
    tree.link("W/link.env", "f");
}

const fn glob(name: &'static str, entries: &'static str) -> Policy {
    Policy::of(name, entries).prepare(files)
}

pub const POLICIES: &[Policy] = &[
    glob("glob below W", ":root=read {W}=write glob({W}/**/*.env)=deny"),
    glob("glob relative", ":root=read {W}=write glob(**/*.env)=deny"),
    glob("glob of one directory", ":root=read {W}=write glob(*.env)=deny"),
    glob("glob with a dot before", ":root=read {W}=write glob(./*.env)=deny"),
    glob("glob of everything below", ":root=read {W}=write glob(sub/**)=deny"),
    glob("glob of a directory", ":root=read {W}=write glob(**/t)=deny"),
    glob("glob in the middle", ":root=read {W}=write glob(s*/t/c.env)=deny"),
    glob("glob with one letter", ":root=read {W}=write glob(x?.log)=deny"),
    glob("glob with a class", ":root=read {W}=write glob(x[0-9].log)=deny"),
    glob("glob with an open class", ":root=read {W}=write glob([x)=deny"),
    glob("glob with braces", ":root=read {W}=write glob(*.{env,log})=deny"),
    glob("glob without a star", ":root=read {W}=write glob({W}/a.env)=deny"),
    glob("glob from the root", ":root=read {W}=write glob(/**/*.env)=deny"),
    glob("glob of nothing", ":root=read {W}=write glob({W}/none/**/*.env)=deny"),
    glob("glob in a read-only W", ":root=read glob({W}/**/*.env)=deny"),
    glob("glob, minimal", ":minimal=read :helper=read {W}=write glob({W}/**/*.env)=deny"),
    glob("glob upwards", ":root=read {W}=write glob(../W/*.env)=deny"),
    glob("glob for reading", ":root=read {W}=write glob({W}/*.env)=read"),
    glob("glob for writing", ":root=read glob({W}/*.env)=write"),
    glob("glob and a write below", ":root=read {W}=write glob({W}/**/*.env)=deny {W}/a.env=read"),
    glob("glob outside", ":root=read {W}=write glob({O}/*)=deny"),
    Policy::with("glob, depth 1", Profile::Depth(":root=read {W}=write glob({W}/**/*.env)=deny", 1)).prepare(files),
    Policy::with("glob, depth 2", Profile::Depth(":root=read {W}=write glob({W}/**/*.env)=deny", 2)).prepare(files),
];
