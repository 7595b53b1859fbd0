//! Repositories: no code gets into them that runs outside, and `--git commit` lets git work all the same.

use crate::lab::{Lab, Need, until};

const NONE: [&str; 0] = [];
const GIT: Need = Need::Tool("git");

/// A repository in the workspace with one commit, and an identity for more of them.
fn repository(lab: &Lab) {
    lab.file("home/.gitconfig", "[user]\nname = n\nemail = e@example.org\n[init]\ndefaultBranch = main\n");
    lab.outside("git init -q . && echo 1 > f && git add f && git commit -qm first").assert_works();
}

#[test]
fn hooks_and_config_cannot_be_written_unless_git_is_granted() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        let hook = "echo '#!/bin/sh' > .git/hooks/pre-commit";
        lab.sandbox(NONE).sh(hook).assert_refused_for(".git/hooks");
        lab.sandbox(NONE).sh("git config core.fsmonitor /bin/false").assert_refused_for(".git/config");
        lab.sandbox(NONE).sh("git commit -q --allow-empty -m x").assert_refused_for(".git");
        lab.sandbox(NONE).sh("git log --format=%s && git status --short").assert_prints("first");
        lab.sandbox(["--write", ".git"]).sh(hook).assert_works();
        assert!(lab.exists("work/.git/hooks/pre-commit"));
    }
}

#[test]
fn commit_lets_git_commit_and_no_code_in() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        let commit = ["--git", "commit"];
        let work = "echo 2 > g && git add g && git commit -qm second && git branch topic && git tag one && \
                    git checkout -q topic && echo 3 > g && git commit -qam third && git checkout -q main && \
                    git merge -q topic && git reset -q --hard HEAD~1 && git stash list && git gc -q";
        lab.sandbox(commit).sh(work).assert_works();
        lab.outside("git log --format=%s topic && git fsck 2>&1 && git status --short")
            .assert_prints("third\nsecond\nfirst");
        let attacks = [
            "echo x > .git/hooks/pre-commit",
            "mkdir -p .git/hooks && touch .git/hooks/post-checkout",
            "mv .git/hooks .git/h",
            "git config core.fsmonitor /bin/false",
            "echo x >> .git/config",
            "mv .git/config .git/c",
            "echo x > .git/config.worktree",
            "mkdir -p .git/info && echo '* filter=x' > .git/info/attributes",
            "echo ../elsewhere > .git/commondir",
            "mkdir -p .git/modules/m/hooks",
            "mkdir -p .git/worktrees/w",
        ];
        let before = git_code(&lab);
        let works = |attack: &&str| lab.sandbox(commit).sh(attack).code() == 0 || git_code(&lab) != before;
        let worked: Vec<_> = attacks.into_iter().filter(works).collect();
        assert!(worked.is_empty(), "as {}: {worked:#?}", lab.user);
        lab.outside("git fsck && git status --short").assert_prints("");
        // The control: the same attacks work where git is granted as a whole.
        for attack in ["echo x > .git/hooks/pre-commit", "echo ../elsewhere > .git/commondir"] {
            lab.sandbox(["--write", ".git"]).sh(attack).assert_works();
        }
    }
}

#[test]
fn the_repository_cannot_be_moved_aside_for_one_with_hooks() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        let attack = "mv .git aside; mkdir -p .git/hooks && cp -r aside/. .git/ && echo true > .git/hooks/pre-commit";
        let ran = lab.sandbox(["--git", "commit"]).sh(attack);
        assert!(!lab.exists("work/.git/hooks/pre-commit"), "code for the host: {ran}");
        lab.outside(attack).assert_works();
        assert!(lab.exists("work/.git/hooks/pre-commit"));
    }
}

#[test]
fn a_directory_on_the_way_to_protected_attributes_cannot_be_moved_aside() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        let attack = "mv .git/info .git/i; mkdir -p .git/info && echo '* filter=x' > .git/info/attributes";
        let ran = lab.sandbox(["--git", "commit"]).sh(attack);
        assert!(!lab.exists("work/.git/info/attributes"), "{ran}");
        lab.outside(attack).assert_works();
        assert!(lab.exists("work/.git/info/attributes"));
    }
}

/// What must be the same afterwards: the files that git runs code from.
fn git_code(lab: &Lab) -> String {
    let code = "cd .git && ls -lR hooks; cat config; ls -l config.worktree commondir modules worktrees info 2>&1; true";
    lab.outside(code).stdout()
}

#[test]
fn git_works_on_the_host_while_a_command_may_commit() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        let running = lab.sandbox(["--git", "commit"]).waiting().start(["sh", "-c", "echo ready; cat"]);
        running.wait_for("ready");
        lab.outside("git status --short && git log --format=%s && echo 2 > f && git commit -qam second")
            .assert_prints("first");
        let ran = running.finish();
        assert_eq!((ran.code(), &ran.left), (0, &None), "{ran}");
        lab.outside("git log --format=%s && git status --short").assert_prints("second\nfirst");
    }
}

#[test]
fn the_git_directory_behind_a_git_file_is_protected() {
    for lab in Lab::every_user(&[GIT]) {
        lab.outside("git init -q --separate-git-dir store . && cat .git && mkdir plain").assert_works();
        lab.sandbox(NONE).sh("touch store/hooks/pre-commit").assert_refused_for("store/hooks");
        lab.sandbox(NONE).sh("mv store elsewhere").assert_refused_for("store");
        lab.sandbox(NONE).sh("echo 'gitdir: plain' > .git").assert_refused_for(".git");
        lab.sandbox(NONE).sh("rm .git").assert_refused_for(".git");
        lab.sandbox(NONE).sh("touch plain/x").assert_works();
        lab.outside("rm .git").assert_works();
        lab.sandbox(NONE).sh("touch store/hooks/pre-commit").assert_works();
    }
}

#[test]
fn a_linked_worktree_can_commit_and_not_change_the_main_repository_s_code() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        lab.outside("git worktree add -q ../tree").assert_works();
        let tree = lab.path("tree");
        let inside = |options: &[&str], script: &str| lab.sandbox(options).cwd(&tree).sh(script);
        inside(&[], "echo 2 > f && git commit -qam second").assert_refused();
        inside(&["--git", "commit"], "echo 2 > f && git commit -qam second").assert_works();
        lab.outside("git log --format=%s tree").assert_prints("second\nfirst");
        let main = lab.path("work/.git");
        inside(&["--git", "commit"], &format!("touch {main}/hooks/pre-commit")).assert_refused_for("hooks");
        inside(&["--git", "commit"], &format!("echo x >> {main}/config")).assert_refused_for("config");
        inside(&["--write", &main], &format!("touch {main}/hooks/pre-commit")).assert_works();
    }
}

#[test]
fn a_git_file_that_points_to_a_foreign_repository_opens_nothing() {
    for lab in Lab::every_user(&[GIT]) {
        lab.outside("git init -q ../victim").assert_works();
        let victim = lab.path("victim/.git");
        lab.file("work/.git", &format!("gitdir: {victim}\n"));
        let write = format!("touch {victim}/refs/x");
        lab.sandbox(["--git", "commit"]).sh(&write).assert_refused_for(&victim);
        lab.sandbox(["--write", &victim]).sh(&write).assert_works();
    }
}

#[test]
fn nested_repositories_are_protected_like_the_workspace() {
    for lab in Lab::every_user(&[GIT]) {
        lab.outside("git init -q . && git init -q deep/er/sub && touch deep/er/sub/f").assert_works();
        for attack in ["touch deep/er/sub/.git/hooks/x", "echo x >> deep/er/sub/.git/config", "rm -rf deep/er/sub/.git"]
        {
            lab.sandbox(NONE).sh(attack).assert_refused_for("deep/er/sub/.git");
        }
        lab.sandbox(NONE).sh("echo x > deep/er/sub/f").assert_works();
        // Moving a directory above it changes nothing.
        let moved = "mv deep moved; touch moved/er/sub/.git/hooks/x deep/er/sub/.git/hooks/x";
        lab.sandbox(NONE).sh(moved).assert_refused_for(".git/hooks");
        until("the workspace is clean", || !lab.exists("work/.codex"));
    }
}

#[test]
fn hooks_that_configuration_names_are_protected_where_they_are() {
    for lab in Lab::every_user(&[GIT]) {
        repository(&lab);
        lab.outside("mkdir .husky && git config core.hooksPath .husky").assert_works();
        lab.sandbox(NONE).sh("touch .husky/pre-commit").assert_refused_for(".husky");
        lab.outside("git config core.hooksPath .missing").assert_works();
        lab.sandbox(NONE).sh("mkdir -p .missing && touch .missing/pre-commit").assert_refused_for(".missing");
        lab.sandbox(NONE).sh("touch .husky/pre-commit").assert_works();
    }
}
