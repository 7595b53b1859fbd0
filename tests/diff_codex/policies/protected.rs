//! Protected names, in every state, and what lifts them.

use crate::policy::Policy;

const W: &str = ":root=read {W}=write";

pub const POLICIES: &[Policy] = &[
    Policy::of("names as directories", W).prepare(|tree| {
        ["W/.git/hooks", "W/.agents", "W/.codex", "W/.aws"].iter().for_each(|dir| tree.dir(dir));
    }),
    Policy::of("names as files", W).prepare(|tree| {
        ["W/.git", "W/.agents", "W/.codex", "W/.aws"].iter().for_each(|file| tree.file(file, "x\n"));
    }),
    Policy::of("names in a read-only W", ":root=read").prepare(|tree| tree.dir("W/.git")),
    Policy::of(".git further down", W).prepare(|tree| tree.dir("W/sub/.git")),
    Policy::of(".git in both roots", ":root=read {W}=write {W}/sub=write").prepare(|tree| {
        tree.dir("W/.git");
        tree.dir("W/sub/.git");
    }),
    Policy::of(".git is a link inside", W).prepare(|tree| tree.link("W/.git", "sub")),
    Policy::of(".git is a link outside", W).prepare(|tree| tree.link("W/.git", "{O}/d")),
    Policy::of(".git is a dangling link", W).prepare(|tree| tree.link("W/.git", "none")),
    Policy::of(".codex is a link inside", W).prepare(|tree| tree.link("W/.codex", "sub")),
    Policy::of(".git written", ":root=read {W}=write {W}/.git=write").prepare(|tree| tree.dir("W/.git/hooks")),
    Policy::of(".git written, missing", ":root=read {W}=write {W}/.git=write"),
    Policy::of(".git/x written", ":root=read {W}=write {W}/.git/x=write").prepare(|tree| tree.dir("W/.git/x")),
    Policy::of(".git/x written, missing", ":root=read {W}=write {W}/.git/x=write").prepare(|tree| tree.dir("W/.git")),
    Policy::of(".git/f written", ":root=read {W}=write {W}/.git/f=write").prepare(|tree| tree.dir("W/.git")),
    Policy::of(".git read", ":root=read {W}=write {W}/.git=read").prepare(|tree| tree.dir("W/.git")),
    Policy::of(".git denied", ":root=read {W}=write {W}/.git=deny").prepare(|tree| tree.dir("W/.git")),
    Policy::of(".git written, hooks read", ":root=read {W}=write {W}/.git=write {W}/.git/hooks=read")
        .prepare(|tree| tree.dir("W/.git/hooks")),
    Policy::of("gitdir in W", W).prepare(|tree| {
        tree.dir("W/data");
        tree.file("W/.git", "gitdir: data\n");
    }),
    Policy::of("gitdir in another root", ":root=read {W}=write {O}=write")
        .prepare(|tree| tree.file("W/.git", "gitdir: {O}/d\n")),
    Policy::of("gitdir through a link", ":root=read {W}=write {O}=write").prepare(|tree| {
        tree.link("W/way", "{O}");
        tree.file("W/.git", "gitdir: way/d\n");
    }),
    Policy::of("gitdir outside of roots", W).prepare(|tree| tree.file("W/.git", "gitdir: {O}/d\n")),
    Policy::of("gitdir missing", W).prepare(|tree| tree.file("W/.git", "gitdir: none\n")),
    Policy::of("names of a linked root", ":root=read {W}/link=write").prepare(|tree| {
        tree.dir("W/real/.git");
        tree.link("W/link", "real");
    }),
    Policy::of("W in a repository", W).prepare(|tree| tree.dir(".git")),
];
