//! Devices of CDI files: nodes and directories of the host under other names, links and variables. Stand-ins are made in
//! mount namespaces of the tests' own, over /dev and /run.

use std::process::Command;

use crate::devices::{private_dev, undo};
use crate::lab::{Lab, Need, in_private_mounts};

const NONE: [&str; 0] = [];
const GPU: [&str; 2] = ["--gpu", "cdi:v.test/d=a"];

/// Covers /run with one of our own that has a file of this device; `LAB` in it is the lab.
fn device(lab: &Lab, edits: &str) {
    device_of(lab, "v.test/d", edits);
}

fn device_of(lab: &Lab, kind: &str, edits: &str) {
    let text = format!(
        r#"{{"cdiVersion":"1.1.0","kind":"{kind}","devices":[{{"name":"a","containerEdits":{{{}}}}}]}}"#,
        edits.replace("LAB", &lab.path(""))
    );
    let covered = "mountpoint -q /run && grep -q ringfence-run /proc/self/mountinfo";
    let script = format!(
        "set -e; {covered} || mount -t tmpfs -o mode=755 ringfence-run /run; mkdir -p /run/cdi; cat > /run/cdi/a.json"
    );
    let mut shell = Command::new("sh").args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

#[test]
fn a_node_under_another_name_is_the_host_s_and_its_own_name_is_absent() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            // The numbers of /dev/zero.
            private_dev(&lab, &["standin c 1 5", "other c 1 7"]);
            device(
                &lab,
                r#""deviceNodes":[{"path":"/dev/sub/shown","hostPath":"/dev/standin","type":"c","major":1,"minor":5}],
                   "env":["STANDIN=yes","LD_PRELOAD=/x.so","RINGFENCE=0"],
                   "hooks":[{"hookName":"createContainer","path":"/bin/false","args":["nvidia-cdi-hook","create-symlinks",
                       "--link","../shown::/dev/sub/by-path/x","--link","../none::/dev/sub/by-path/y"]}]"#,
            );
            let read = "head -c 3 /dev/sub/shown | wc -c";
            lab.sandbox(GPU).sh(&format!("sh -c '{read}'")).assert_prints("3");
            lab.sandbox(GPU).sh("stat -c '%F %t:%T' /dev/sub/shown").assert_prints("character special file 1:5");
            lab.sandbox(GPU).sh("echo x > /dev/sub/shown").assert_works();
            lab.sandbox(GPU)
                .sh("readlink /dev/sub/by-path/x; head -c 2 /dev/sub/by-path/x | wc -c")
                .assert_prints("../shown\n2");
            lab.sandbox(GPU).run(["test", "-L", "/dev/sub/by-path/y"]).assert_code(1);
            lab.sandbox(GPU).run(["test", "-e", "/dev/standin"]).assert_code(1);
            lab.sandbox(GPU).run(["test", "-e", "/dev/other"]).assert_code(1);
            lab.sandbox(GPU).sh("echo $STANDIN:$LD_PRELOAD:$RINGFENCE").assert_prints("yes::1");
            lab.sandbox([&GPU[..], &["--env", "STANDIN=mine"]].concat()).sh("echo $STANDIN").assert_prints("mine");
            for attack in
                ["rm /dev/sub/shown", "rm /dev/sub/by-path/x", "mv /dev/sub/shown /dev/x", "touch /dev/sub/new"]
            {
                lab.sandbox(GPU).sh(attack).assert_refused_for("/dev/");
            }
            // Without it, and under a denial of either name, it is not there.
            lab.sandbox(NONE).run(["test", "-e", "/dev/sub/shown"]).assert_code(1);
            lab.sandbox([&GPU[..], &["--deny", "/dev/standin"]].concat())
                .run(["test", "-e", "/dev/sub/shown"])
                .assert_code(1);
            lab.sandbox([&GPU[..], &["--deny", "/dev/other"]].concat()).sh(read).assert_prints("3");
            undo(&lab);
        }
    });
}

#[test]
fn a_node_to_be_read_is_not_written() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::Landlock(3)]) {
            private_dev(&lab, &["standin c 1 5"]);
            let edits = |permissions: &str| {
                format!(
                    r#""deviceNodes":[{{"path":"/dev/shown","hostPath":"/dev/standin","permissions":"{permissions}"}}]"#
                )
            };
            device(&lab, &edits("r"));
            lab.sandbox(GPU).sh("head -c 3 /dev/shown | wc -c").assert_prints("3");
            lab.sandbox(GPU).sh("echo x > /dev/shown").assert_refused_for("/dev/shown");
            // The rest of /dev is as ever.
            lab.sandbox(GPU)
                .sh("echo x > /dev/null && head -c 1 /dev/urandom > /dev/shm/x && ls /dev/pts")
                .assert_works();
            let script =
                "import os, pty; master, slave = pty.openpty(); os.write(slave, b'x'); print(os.isatty(slave))";
            lab.sandbox(GPU).python(script).assert_prints("True");
            device(&lab, &edits("rw"));
            lab.sandbox(GPU).sh("echo x > /dev/shown").assert_works();
            device(&lab, &edits("none"));
            lab.sandbox(GPU).run(["test", "-e", "/dev/shown"]).assert_code(1);
            undo(&lab);
        }
    });
}

#[test]
fn directories_and_files_under_other_names_are_there_and_read_only() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            lab.file("source/file", "content");
            lab.file("one", "one");
            lab.dir("onto/dir");
            lab.file("onto/file", "covered");
            device(
                &lab,
                r#""mounts":[{"hostPath":"LAB/source","containerPath":"LAB/onto/dir"},
                   {"hostPath":"LAB/one","containerPath":"LAB/onto/file","options":["ro","rbind"]},
                   {"hostPath":"LAB/source","containerPath":"/run/made/here"},
                   {"hostPath":"LAB/one","containerPath":"/tmp/made/one"}]"#,
            );
            for path in [lab.path("onto/dir"), "/run/made/here".to_owned()] {
                lab.sandbox(GPU).sh(&format!("cat {path}/file")).assert_prints("content");
                lab.sandbox(GPU).sh(&format!("echo x > {path}/file")).assert_refused_for(&path);
                lab.sandbox(GPU).sh(&format!("touch {path}/new")).assert_refused_for(&path);
                let options = format!("grep ' {path} ' /proc/self/mountinfo | cut -d' ' -f6");
                let options = lab.sandbox(GPU).sh(&options).stdout();
                assert!(["ro", "nosuid", "nodev"].iter().all(|option| options.contains(option)), "{path}: {options}");
            }
            for path in [lab.path("onto/file"), "/tmp/made/one".to_owned()] {
                lab.sandbox(GPU).sh(&format!("cat {path}")).assert_prints("one");
                lab.sandbox(GPU).sh(&format!("echo x > {path}")).assert_refused_for(&path);
            }
            // The control: without the device the host's own is there, and elsewhere nothing.
            lab.sandbox(NONE).sh(&format!("cat {}", lab.path("onto/file"))).assert_prints("covered");
            lab.sandbox(NONE).run(["test", "-e", "/run/made/here"]).assert_code(1);
            // Not even by a rule does it become writable, and what is hidden is hidden by every name.
            let source = lab.path("source");
            let write = [&GPU[..], &["--write", &source]].concat();
            lab.sandbox(&write).sh(&format!("echo x > {source}/new")).assert_works();
            std::fs::remove_file(lab.path("source/new")).unwrap();
            lab.sandbox(&write).sh("echo x > /run/made/here/file").assert_refused_for("/run/made/here/file");
            let secret = lab.path("source/file");
            lab.sandbox([&GPU[..], &["--deny", &secret]].concat()).run(["test", "-e", "/run/made/here"]).assert_code(1);
            lab.sandbox(NONE).sh(&format!("cat {secret}")).assert_prints("content");
        }
    });
}

#[test]
fn what_a_bind_mount_of_the_host_shows_once_more_is_hidden_in_parts_too() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            let (vault, again) = (lab.dir("vault"), lab.dir("again"));
            lab.file("vault/in/key", "secret");
            device(&lab, r#""mounts":[{"hostPath":"LAB/again/in","containerPath":"/run/made"}]"#);
            assert!(Command::new("mount").args(["--bind", &vault, &again]).status().unwrap().success());
            let ran = lab.sandbox([&GPU[..], &["--deny", &vault]].concat()).run(["test", "-e", "/run/made"]);
            let control = lab.sandbox(GPU).run(["cat", "/run/made/key"]);
            assert!(Command::new("umount").arg(&again).status().unwrap().success());
            ran.assert_code(1);
            control.assert_prints("secret");
        }
    });
}

#[test]
fn a_command_does_not_write_what_the_next_run_believes() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            let file = lab.file("work/cdi/a.json", "{}");
            let write = format!("echo x >> {file}");
            let directory = lab.path("work/cdi");
            lab.sandbox(["--cdi-dir", &directory]).sh(&write).assert_refused_for(&file);
            lab.sandbox(["--cdi-dir", &directory]).sh(&format!("mv {directory} moved")).assert_refused();
            lab.sandbox(["--cdi-dir", &directory]).sh("touch beside").assert_works();
            // The control: a directory that says nothing to us.
            lab.sandbox(NONE).sh(&write).assert_works();
        }
    });
}

#[test]
fn nothing_is_put_over_what_a_rule_is_about() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            lab.file("source/work/file", "another");
            lab.file("source/denied/file", "another");
            lab.file("onto/denied/file", "secret");
            let deny = ["--deny", &lab.path("onto/denied")];
            for (target, options) in [("LAB", &[][..]), ("LAB/onto", &deny)] {
                let mount = format!(r#""mounts":[{{"hostPath":"LAB/source","containerPath":"{target}"}}]"#);
                device(&lab, &mount);
                let ran = lab.sandbox([&GPU[..], options].concat()).run(["true"]);
                ran.assert_error("would cover what the sandbox has of its own, or what a rule is about");
            }
            // The control: without the rule nothing speaks against it.
            lab.sandbox(GPU).sh(&format!("cat {}", lab.path("onto/denied/file"))).assert_prints("another");
        }
    });
}

#[test]
fn in_a_narrowed_root_it_is_shown_under_its_own_name() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            lab.file("source/file", "content");
            lab.file("other/file", "content");
            device(
                &lab,
                r#""mounts":[{"hostPath":"LAB/source","containerPath":"LAB/source"},
                   {"hostPath":"LAB/source","containerPath":"/opt/made/here"}],
                   "hooks":[{"hookName":"createContainer","path":"/bin/false","args":["nvidia-cdi-hook","create-symlinks",
                       "--link","here::/opt/made/link"]}]"#,
            );
            let work = lab.path("work");
            let narrow = [
                "--deny", "/", "--read", "/usr", "--read", "/bin", "--read", "/lib", "--read", "/lib64", "--write",
                &work,
            ];
            let source = lab.path("source/file");
            lab.sandbox([&GPU[..], &narrow].concat()).sh(&format!("cat {source}")).assert_prints("content");
            lab.sandbox([&GPU[..], &narrow].concat()).sh("cat /opt/made/here/file").assert_prints("content");
            lab.sandbox([&GPU[..], &narrow].concat()).sh("cat /opt/made/link/file").assert_prints("content");
            lab.sandbox([&GPU[..], &narrow].concat()).run(["test", "-e", &lab.path("other")]).assert_code(1);
            lab.sandbox(narrow).run(["test", "-e", &source]).assert_code(1);
        }
    });
}

#[test]
fn what_cannot_be_used_is_an_error_and_nothing_runs() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[]) {
            private_dev(&lab, &["standin c 1 5"]);
            let node = r#""deviceNodes":[{"path":"/dev/shown","hostPath":"/dev/standin","major":1,"minor":5}]"#;
            let run = |edits: &str| {
                device(&lab, edits);
                let ran = lab.sandbox(GPU).sh("touch ran");
                assert!(!lab.exists("work/ran"), "{ran}");
                ran
            };
            run(&node.replace("\"minor\":5", "\"minor\":6")).assert_error("is device 1:5, and the file says 1:6");
            run(&node.replace("standin", "nothing")).assert_error("`/dev/nothing` does not exist");
            let ran = run(r#""hooks":[{"hookName":"createContainer","path":"/bin/touch","args":["touch","ran"]}]"#);
            ran.assert_error("programs that a file names are never run");
            run(r#""colour":"red""#).assert_error("unknown field `colour`");
            device(&lab, node);
            assert!(Command::new("chmod").args(["666", "/run/cdi/a.json"]).status().unwrap().success());
            lab.sandbox(GPU).run(["true"]).assert_error("others than its owner can write it");
            assert!(Command::new("chmod").args(["644", "/run/cdi/a.json"]).status().unwrap().success());
            lab.sandbox(GPU).run(["test", "-c", "/dev/shown"]).assert_works();
            undo(&lab);
        }
    });
}

#[test]
fn without_mounts_another_name_cannot_be_had() {
    in_private_mounts(|| {
        for lab in Lab::native(&[Need::Landlock(3)]) {
            private_dev(&lab, &["standin c 1 5"]);
            lab.file("source/file", "content");
            for edits in [
                r#""deviceNodes":[{"path":"/dev/shown","hostPath":"/dev/standin"}]"#,
                r#""mounts":[{"hostPath":"LAB/source","containerPath":"/run/made"}]"#,
            ] {
                device(&lab, edits);
                let ran = lab.sandbox(GPU).backend("landlock").run(["true"]);
                ran.assert_error("it cannot show").assert_says("say --backend native or bwrap");
                lab.sandbox([&GPU[..], &["--landlock", "best-effort"]].concat())
                    .backend("landlock")
                    .run(["true"])
                    .assert_error("it cannot show");
            }
            device(&lab, r#""deviceNodes":[{"path":"/dev/standin"}]"#);
            lab.sandbox(GPU)
                .backend("landlock")
                .sh("head -c 3 /dev/standin | wc -c; echo x > /dev/standin")
                .assert_prints("3");
            device(&lab, r#""deviceNodes":[{"path":"/dev/standin","permissions":"r"}]"#);
            lab.sandbox(GPU).backend("landlock").sh("head -c 3 /dev/standin | wc -c").assert_prints("3");
            lab.sandbox(GPU).backend("landlock").sh("echo x > /dev/standin").assert_refused_for("/dev/standin");
            undo(&lab);
        }
    });
}

/// A node is what its number says: a denial of it holds by every name.
#[test]
fn a_denied_node_is_not_had_by_another_name() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            crate::devices::private_dev(&lab, &["standin c 1 3", "other c 1 3"]);
            device(&lab, r#""deviceNodes":[{"path":"/dev/standin","hostPath":"/dev/other"}]"#);
            lab.sandbox(GPU).sh("test -c /dev/standin && echo there").assert_prints("there");
            for denied in ["/dev/standin", "/dev/other"] {
                let options = [&GPU[..], &["--deny", denied]].concat();
                lab.sandbox(options).sh("test -e /dev/standin").assert_code(1);
            }
            let third = [&GPU[..], &["--deny", "/dev/null"]].concat();
            lab.sandbox(third).sh("test -e /dev/standin").assert_code(1);
            crate::devices::undo(&lab);
        }
    });
}

#[test]
fn indices_of_the_host_mean_nothing_to_a_device_of_a_file() {
    in_private_mounts(|| {
        for lab in Lab::every_user(&[Need::NoGpu]) {
            crate::devices::private_dev(&lab, &["standin c 1 3"]);
            let node = r#""deviceNodes":[{"path":"/dev/standin"}]"#;
            let shown = |kind: &str| {
                let sandbox = lab.sandbox(["--gpu", &format!("{kind}=a")]).env("CUDA_VISIBLE_DEVICES", "1");
                sandbox.sh("echo ${CUDA_VISIBLE_DEVICES-unset}").stdout()
            };
            device_of(&lab, "nvidia.com/gpu", node);
            assert_eq!(shown("nvidia.com/gpu"), "unset");
            device_of(&lab, "nvidia.com/gpu", &format!(r#"{node},"env":["CUDA_VISIBLE_DEVICES=0"]"#));
            assert_eq!(shown("nvidia.com/gpu"), "0", "what the file says is right inside");
            device_of(&lab, "v.test/d", node);
            assert_eq!(shown("v.test/d"), "1", "the control");
            crate::devices::undo(&lab);
        }
    });
}
