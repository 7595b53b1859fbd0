//! Rules for paths: carve-outs to any depth and both ways, deny lists, `modify`.

use crate::lab::{Lab, Need, Ran, in_private_mounts};

const NONE: [&str; 0] = [];

/// What can be done with the file `$d/f` of each directory: `-`, `r` or `rw`.
fn access(ran: impl Fn(&str) -> Ran, directories: &[&str]) -> String {
    let script = format!(
        "for d in {}; do a=-; cat $d/f >/dev/null 2>&1 && a=r; (echo more >> $d/f) 2>/dev/null && a=${{a}}w; \
         echo $d $a; done",
        directories.join(" ")
    );
    ran(&script).assert_works().stdout().replace('\n', ", ")
}

#[test]
fn carve_outs_nest_to_three_levels_and_reopen_below_a_denied_parent() {
    for lab in Lab::every_user(&[]) {
        let all = ["a", "a/b", "a/b/c", "a/b/c/d", "a/r", "a/r/n", "z"];
        for dir in all {
            lab.file(format!("work/{dir}/f"), "text");
        }
        let rules = [
            ["--deny", "a"],
            ["--write", "a/b"],
            ["--deny", "a/b/c"],
            ["--write", "a/b/c/d"],
            ["--read", "a/r"],
            ["--deny", "a/r/n"],
        ];
        let inside = access(|script| lab.sandbox(rules.concat()).sh(script), &all);
        assert_eq!(inside, "a -, a/b rw, a/b/c -, a/b/c/d rw, a/r r, a/r/n -, z rw", "as {}", lab.user);
        let plain = access(|script| lab.sandbox(NONE).sh(script), &all);
        assert_eq!(plain, "a rw, a/b rw, a/b/c rw, a/b/c/d rw, a/r rw, a/r/n rw, z rw", "the control");
        // The order of the rules does not matter.
        let backwards: Vec<_> = rules.into_iter().rev().flatten().collect();
        assert_eq!(access(|script| lab.sandbox(&backwards).sh(script), &all), inside);
    }
}

#[test]
fn carve_outs_nest_in_a_read_only_sandbox_and_in_full_rules_of_a_file() {
    for lab in Lab::every_user(&[]) {
        let all = ["a", "a/b", "a/b/c", "z"];
        for dir in all {
            lab.file(format!("work/{dir}/f"), "text");
        }
        let flags = ["-s", "read-only", "--write", "a", "--read", "a/b", "--write", "a/b/c"];
        assert_eq!(access(|s| lab.sandbox(flags).sh(s), &all), "a rw, a/b r, a/b/c rw, z r");
        let text = "sandbox = 'read-only'\n[paths]\n'work/a' = 'write'\n'work/a/b' = 'none'\n'work/a/b/c' = 'read'\n";
        let config = lab.file("policy.toml", text);
        assert_eq!(access(|s| lab.sandbox(["--config", &config]).sh(s), &all), "a rw, a/b -, a/b/c r, z r");
    }
}

#[test]
fn at_equal_depth_the_more_restrictive_rule_wins() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("work/a/f", "text");
        lab.sandbox(["--write", "a", "--deny", "a"]).run(["cat", &file]).assert_refused_for(&file);
        lab.sandbox(["--write", "a", "--read", "a"]).sh("echo x > a/f").assert_refused_for("a/f");
        lab.sandbox(["--write", "a"]).sh("echo x > a/f").assert_works();
    }
}

#[test]
fn denied_files_directories_and_globs_cannot_be_read_listed_or_replaced() {
    for lab in Lab::every_user(&[]) {
        lab.file("work/one.txt", "secret");
        lab.file("work/dir/two.txt", "secret");
        lab.file("work/deep/er/three.env", "secret");
        lab.file("work/deep/.env", "secret");
        lab.file("work/open.txt", "open");
        let table = [
            ("one.txt", "one.txt"),
            ("dir", "dir/two.txt"),
            ("**/*.env", "deep/er/three.env"),
            ("deep/{.env,x}", "deep/.env"),
            ("o?e.txt", "one.txt"),
        ];
        for (deny, file) in table {
            let deny = ["--deny", deny];
            lab.sandbox(deny).run(["cat", file]).assert_refused_for(file);
            lab.sandbox(deny).sh(&format!("echo x > {file}")).assert_refused_for(file);
            lab.sandbox(deny).sh(&format!("rm -f {file}")).assert_refused_for(file);
            lab.sandbox(deny).sh(&format!("cp /dev/null new && mv -f new {file}")).assert_refused_for(file);
            lab.sandbox(deny).run(["cat", "open.txt"]).assert_prints("open");
            lab.sandbox(NONE).run(["cat", file]).assert_prints("secret");
            assert_eq!(lab.content(format!("work/{file}")), "secret");
        }
        lab.sandbox(["--deny", "dir"]).run(["ls", "dir"]).assert_refused_for("dir");
    }
}

#[test]
fn a_denied_path_stays_hidden_under_every_other_name() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("work/dir/secret", "42");
        lab.link("work/alias", &file);
        lab.link("work/way", "dir");
        let names = ["dir/../dir/secret", "alias", "way/secret", "/proc/self/cwd/dir/secret", "/proc/self/root/$P"];
        for deny in ["dir/secret", "alias", "way/secret", "dir", "way"] {
            for name in names.map(|name| name.replace("/$P", &file)) {
                lab.sandbox(["--deny", deny]).run(["cat", &name]).assert_refused();
                lab.sandbox(NONE).run(["cat", &name]).assert_prints("42");
            }
            // Nor does it come out when a directory above it moves.
            let move_it = "mkdir -p up/down; mv dir up/down/ && cat up/down/dir/secret";
            assert!(!lab.sandbox(["--deny", deny]).sh(move_it).stdout().contains("42"));
            lab.outside("test -d dir || mv up/down/dir .; rm -rf up").assert_works();
        }
        lab.sandbox(NONE).sh("mkdir -p up; mv dir up/ && cat up/dir/secret").assert_prints("42");
    }
}

#[test]
fn what_a_deny_matches_is_hidden_in_other_bind_mounts_too() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            let file = lab.file("vault/secret", "42");
            let [vault, other] = ["vault", "other"].map(|name| lab.dir(name));
            let mounted = std::process::Command::new("mount").args(["--bind", &vault, &other]).status().unwrap();
            assert!(mounted.success());
            let seen = format!("{other}/secret");
            for deny in [file, vault.clone(), format!("{vault}/*"), format!("{vault}/**/sec?et")] {
                let inside = lab.sandbox(["--deny", &deny]).run(["cat", &seen]);
                let plain = lab.sandbox(NONE).run(["cat", &seen]);
                inside.assert_refused();
                plain.assert_prints("42");
            }
            std::process::Command::new("umount").arg(&other).status().unwrap();
        }
    });
}

#[test]
fn rules_below_dev_hold_where_the_hosts_shared_memory_is_granted() {
    // It names both engines, whichever the lab is of.
    for lab in Lab::native(&[]) {
        let make =
            "d=/dev/shm/ringfence-test.$$; mkdir -m 700 $d && mkdir $d/h; echo text | tee $d/h/f > $d/f; echo $d";
        let dir = lab.outside(make).stdout();
        let hidden = format!("{dir}/h");
        let glob = format!("{dir}/**/f");
        let script = format!(
            "cat {hidden}/f {dir}/f; (echo text > {dir}/f) && echo changed; (: > {dir}/n) && rm {dir}/n && echo made"
        );
        let run = |backend: &'static str, rules: &[&str]| lab.sandbox(rules).backend(backend).sh(&script);
        let wall = lab.engines().contains(&"landlock");
        let plain = run("native", &["--write", &dir]).stdout();
        let denied = [["--write", &hidden], ["--read", &hidden], ["--write", &glob]].map(|[level, hidden]| {
            let rules = [level, &dir, "--deny", hidden];
            let alone = wall.then(|| run("landlock", &rules).stderr());
            (run("native", &rules).stdout(), alone)
        });
        // Without Landlock nothing can be limited to modify.
        let whole =
            ["native", "landlock"].map(|backend| wall.then(|| run(backend, &["--modify", "/dev/shm"]).stdout()));
        let refused = run("native", &["--modify", &dir]);
        lab.outside(&format!("rm -r {dir}")).assert_works();
        assert_eq!(plain, "text\ntext\nchanged\nmade", "the control");
        let [(written, a), (read, b), (globbed, c)] = denied;
        assert_eq!([written.as_str(), &read, &globbed], ["text\nchanged\nmade", "text", "made"]);
        for said in [a, b, c].iter().flatten() {
            assert!(said.contains("it cannot hide"), "{said}");
        }
        for said in whole.iter().flatten() {
            assert_eq!(said, "text\ntext\nchanged");
        }
        // Around it lies shared memory that is made anew, and everything in that can be written.
        refused.assert_error("cannot be limited to modify");
    }
}

#[test]
fn a_missing_denied_path_cannot_be_made() {
    for lab in Lab::every_user(&[]) {
        lab.sandbox(["--deny", "later"]).sh("echo x > later").assert_code(2);
        lab.sandbox(["--deny", "later/than/this"]).sh("mkdir -p later/than").assert_refused_for("later");
        assert!(!lab.exists("work/later"));
        lab.sandbox(NONE).sh("echo x > later").assert_works();
    }
}

#[test]
fn modify_writes_existing_files_and_makes_and_removes_none() {
    for lab in Lab::every_user(&[Need::Landlock(3)]) {
        let dir = lab.dir("other");
        lab.file("other/f", "old");
        lab.file("other/sub/g", "old");
        let modify = ["--modify", &dir];
        lab.sandbox(modify).sh("echo new > ../other/f && echo new > ../other/sub/g").assert_works();
        assert_eq!(lab.content("other/f") + &lab.content("other/sub/g"), "new\nnew\n");
        let changes =
            ["touch $D/new", "rm -f $D/f", "mv $D/f $D/h", "mkdir $D/new", "ln -s f $D/new", "ln $D/f $D/new"];
        for change in changes.map(|change| change.replace("$D", &dir)) {
            lab.sandbox(modify).sh(&change).assert_refused_for(&dir);
            assert!(lab.exists("other/f") && !lab.exists("other/new") && !lab.exists("other/h"), "{change}");
        }
        for change in changes.map(|change| change.replace("$D", &dir)) {
            lab.sandbox(["--write", &dir]).sh(&change).assert_works();
            lab.outside("cd ../other; rm -rf new h; touch f");
        }
    }
}

#[test]
fn modify_that_cannot_be_enforced_is_refused_and_not_ignored() {
    for lab in Lab::every_user(&[]) {
        lab.dir("work/sub");
        lab.sandbox(["--modify", "sub"]).run(["true"]).assert_error("modify");
        lab.sandbox(NONE).run(["true"]).assert_works();
    }
}

#[test]
fn a_rule_for_one_file_is_for_that_file() {
    for lab in Lab::every_user(&[]) {
        let file = lab.file("other/f", "old");
        let sibling = lab.file("other/g", "old");
        let write = ["--write", &file];
        lab.sandbox(write).sh(&format!("echo new > {file}")).assert_works();
        assert_eq!(lab.content("other/f"), "new\n");
        lab.sandbox(write).sh(&format!("echo new > {sibling}")).assert_refused_for(&sibling);
        lab.sandbox(["--deny", "../other", "--read", &file]).run(["cat", &file]).assert_prints("new");
        lab.sandbox(["--deny", "../other", "--read", &file]).run(["cat", &sibling]).assert_refused_for(&sibling);
    }
}

#[test]
fn only_what_is_granted_is_there_when_the_root_is_denied() {
    for lab in Lab::every_user(&[]) {
        let secret = lab.file("other/secret", "42");
        let narrow = ["--deny", "/", "--read", "/usr", "--read", "/etc"];
        lab.sandbox(narrow).sh("echo x > made && echo *de").assert_prints("made");
        lab.sandbox(narrow).run(["cat", &secret]).assert_refused_for(&secret);
        let wider = [&narrow[..], &["--read", &secret]].concat();
        lab.sandbox(wider).run(["cat", &secret]).assert_prints("42");
    }
}
