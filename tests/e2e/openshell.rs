//! Policies of OpenShell, from the file to what the command can do.

use std::fmt::Write as _;
use std::path::Path;

use crate::lab::{Lab, Need, Ran, in_private_mounts};

const NONE: [&str; 0] = [];
const BACKENDS: [&str; 3] = ["native", "bwrap", "landlock"];

/// Labs of each user, once.
fn labs() -> Vec<Lab> {
    Lab::native(&[Need::Landlock(6), Need::Tool("python3"), Need::Tool("bwrap")])
}

/// What every program of the probes needs.
const SYSTEM: &str = "/usr, /lib, /lib64, /bin, /etc, /proc";

fn policy(read_only: &str, read_write: &str, more: &str) -> String {
    format!(
        "version: 1\nfilesystem_policy:\n  include_workdir: true\n  read_only: [{SYSTEM}{read_only}]\n  \
         read_write: [/dev/null{read_write}]\n{more}"
    )
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openshell").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A policy that is refused: the code says so, the place is told, and nothing has happened.
#[track_caller]
fn assert_refused(lab: &Lab, file: &str, place: &str, word: &str) {
    for backend in BACKENDS {
        let before = lab.listing();
        let ran = lab.sandbox(["--config", file]).backend(backend).run(["touch", "started"]);
        assert!([2, 125].contains(&ran.code()), "{ran}");
        assert!(ran.stdout().is_empty() && !ran.stderr().contains("panicked"), "{ran}");
        ran.assert_says(&format!("{file}{place}")).assert_says(word);
        assert_eq!(lab.listing(), before, "something was made: {ran}");
    }
}

#[test]
fn bad_policies_are_refused_with_their_place_and_nothing_runs() {
    for lab in labs() {
        for (name, place, word) in [
            ("invalid-compat-typo.yaml", ":8:18", "hard_requirement"),
            ("invalid-identity-and-traversal.yaml", ":4:21", ".."),
            ("invalid-identity-and-traversal.yaml", ":7:16", "run_as_user"),
            ("invalid-root-rw.yaml", ":4:16", "everything writable"),
            ("invalid-unknown-key.yaml", ":6:3", "read_write"),
            ("invalid-version.yaml", ":2:10", "version"),
        ] {
            let file = lab.file(format!("policies/{name}"), &fixture(name));
            assert_refused(&lab, &file, place, word);
        }
        let twice = lab
            .file("policies/twice.yaml", "version: 1\nfilesystem_policy:\n  read_only: [/usr]\n  read_only: [/etc]\n");
        assert_refused(&lab, &twice, ":4:", "read_only");
        let twice = lab.file("policies/top.yaml", "version: 1\nversion: 1\n");
        assert_refused(&lab, &twice, ":2:", "version");
        let broken = lab.file("policies/broken.yaml", "version: 1\nfilesystem_policy: [\n");
        assert_refused(&lab, &broken, ":", "");
        let anchors = lab.file("policies/anchors.yaml", "version: 1\nfilesystem_policy: &a\n  read_only: [*a]\n");
        assert_refused(&lab, &anchors, ":", "");
        for text in ["", "\0\0\0", "- 1\n", "version: 1\n---\nversion: 1\n"] {
            let odd = lab.file("policies/odd.yaml", text);
            let ran = lab.sandbox(["--config", &odd, "--format", "openshell"]).run(["touch", "started"]);
            assert!([2, 125].contains(&ran.code()) && !lab.exists("work/started"), "{text:?}: {ran}");
            assert!(!ran.stderr().contains("panicked"), "{ran}");
        }
        // The control: the same with nothing wrong in it.
        let good = lab.file("policies/good.yaml", &policy("", "", ""));
        for backend in BACKENDS {
            lab.sandbox(["--config", &good]).backend(backend).run(["touch", "started"]).assert_works();
            std::fs::remove_file(lab.path("work/started")).unwrap();
        }
    }
}

#[test]
fn a_huge_file_is_refused_at_once() {
    for lab in labs() {
        let mut text = policy("", "", "");
        while text.len() < 50 << 20 {
            text.push_str(
                "# filling, filling, filling, filling, filling, filling, filling, filling, filling, filling\n",
            );
        }
        let file = lab.file("policies/huge.yaml", &text);
        let ran = lab.sandbox(["--config", &file]).run(["touch", "started"]);
        assert!([2, 125].contains(&ran.code()) && !lab.exists("work/started"), "{ran}");
        ran.assert_says(&file);
        assert!(ran.took.as_secs() < 5, "{ran}");
    }
}

#[test]
fn what_a_rule_names_by_a_link_is_there_under_both_names() {
    for lab in labs() {
        let real = lab.file("data/deep/file", "42");
        let links = [lab.link("links/file", &real), lab.link("links/dir", lab.path("data/deep"))];
        let names = [links[0].clone(), format!("{}/file", links[1]), real];
        for rule in &links {
            let file = lab.file("policies/link.yaml", &policy(&format!(", {rule}"), "", ""));
            for backend in BACKENDS {
                let cat = |name: &str| lab.sandbox(["--config", &file]).backend(backend).run(["cat", name]);
                let seen = names.each_ref().map(|name| cat(name).stdout() == "42");
                // By name alone Landlock keeps no link from being followed.
                let other = backend == "landlock";
                let want = if rule == &links[0] { [true, other, true] } else { [other, true, true] };
                assert_eq!(seen, want, "{rule} {backend} as {}", lab.user);
            }
        }
    }
}

#[test]
fn a_proc_that_is_only_read_is_the_sandboxs_own() {
    for lab in labs() {
        let read = lab.file("policies/read.yaml", &policy("", "", ""));
        let write = lab.file(
            "policies/write.yaml",
            &policy("", ", /proc", "").replace(", /proc]\n  read_write", "]\n  read_write"),
        );
        let outside = std::process::id();
        let script = format!(
            "set -- /proc/[0-9]*; test $# -lt 8 && echo few; test -e /proc/{outside} && echo outside; \
             test \"$(readlink /proc/self)\" -lt 100 && echo own; (echo x > /proc/self/comm) && echo named; \
             (echo 500 > /proc/self/oom_score_adj) && echo adjusted"
        );
        for backend in ["native", "bwrap"] {
            let inside = |file: &str| lab.sandbox(["--config", file]).backend(backend).sh(&script).stdout();
            assert_eq!(inside(&read), "few\nown", "{backend} as {}", lab.user);
            assert_eq!(inside(&write), "few\nown\nnamed\nadjusted", "the control: {backend} as {}", lab.user);
        }
    }
}

#[test]
fn a_log_is_out_of_the_command_s_reach_and_waits_for_nobody() {
    for lab in labs() {
        let (outside, inside) = (lab.file("log", ""), lab.path("work/log"));
        lab.sandbox(["--log", &outside]).run(["true"]).assert_works();
        assert!(lab.content("log").contains("baseline.add"), "the control");
        lab.outside(&format!("mkfifo {}", lab.path("fifo"))).assert_works();
        for (log, why) in [(&inside, "the command could change the log"), (&lab.path("fifo"), "No such device")] {
            let ran = lab.sandbox(["--log", log]).run(["touch", "started"]);
            ran.assert_error(why);
            assert!(!lab.exists("work/started") && !lab.exists("work/log") && ran.took.as_secs() < 5, "{ran}");
        }
    }
}

#[test]
fn what_is_missing_is_refused_where_all_is_required_and_never_made() {
    for lab in labs() {
        let missing = lab.path("dev/nvidia7");
        let hard = "landlock: {compatibility: hard_requirement}\n";
        for (read_only, read_write) in
            [(format!(", {missing}"), String::new()), (String::new(), format!(", {missing}"))]
        {
            let file = lab.file("policies/missing.yaml", &policy(&read_only, &read_write, hard));
            assert_refused(&lab, &file, ":", &missing);
            // Where an effort is enough, it is told and still not made.
            let file = lab.file("policies/missing.yaml", &policy(&read_only, &read_write, ""));
            for backend in BACKENDS {
                let ran = lab.sandbox(["--config", &file]).backend(backend).sh(&format!("test -e {missing}"));
                assert!(ran.code() == 1 && !lab.exists("dev"), "{ran}");
            }
        }
        for node in ["/dev/nvidia7", "/dev/ringfence-none"] {
            let file = lab.file("policies/node.yaml", &policy("", &format!(", {node}"), hard));
            assert_refused(&lab, &file, ":", node);
            assert!(std::fs::symlink_metadata(node).is_err());
        }
    }
}

#[test]
fn read_only_below_read_write_is_refused_or_kept() {
    for lab in labs() {
        let inner = lab.file("area/inner/file", "old");
        let (area, below) = (lab.path("area"), lab.path("area/inner"));
        let text = policy(&format!(", {below}"), &format!(", {area}"), "landlock: {compatibility: hard_requirement}\n");
        let file = lab.file("policies/nested.yaml", &text);
        for backend in BACKENDS {
            let ran = lab
                .sandbox(["--config", &file])
                .backend(backend)
                .start(["sh", "-c", &format!("echo x > {area}/beside; echo x > {inner}")])
                .finish();
            assert_ne!(ran.code(), 0, "{ran}");
            assert_eq!(lab.content("area/inner/file"), "old", "{ran}");
            assert_eq!(lab.exists("area/beside"), backend != "landlock", "{ran}");
            drop(std::fs::remove_file(lab.path("area/beside")));
        }
    }
}

const NETWORK: &str = "network_policies:\n  api:\n    endpoints:\n      - {host: api.example.com, port: 443}\n    binaries:\n      - path: /usr/bin/curl\n";

#[test]
fn a_network_policy_is_refused_unless_nothing_is_all_there_is_then() {
    let connect = "import socket; socket.create_connection(('127.0.0.1', int(__import__('sys').argv[1])), 2)";
    for lab in labs() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let file = lab.file("policies/net.yaml", &policy("", "", NETWORK));
        assert_refused(&lab, &file, ":", "--allow-unenforced");
        for backend in BACKENDS {
            let options = ["--config", file.as_str(), "--allow-unenforced"];
            let sandbox = || lab.sandbox(options).backend(backend);
            sandbox().sh("echo runs").assert_prints("runs");
            let ran = sandbox().run(["/usr/bin/python3", "-c", connect, &port]);
            assert!(ran.code() != 0, "{ran}");
        }
        lab.sandbox(NONE).without().run(["python3", "-c", connect, &port]).assert_works();
    }
}

/// Reads and writes everywhere, and prints what worked.
fn answers(lab: &Lab, file: &str, backend: &'static str, probes: &[String]) -> String {
    let mut script = String::new();
    for path in probes {
        writeln!(script, "cat {path}/file > /dev/null 2>&1 && echo read {path}").unwrap();
        writeln!(script, "(echo x >> {path}/file) 2> /dev/null && echo write {path}").unwrap();
        writeln!(script, "(echo x > {path}/made) 2> /dev/null && echo make {path} && rm {path}/made").unwrap();
        writeln!(script, "ls {path} > /dev/null 2>&1 && echo list {path}").unwrap();
    }
    script.push_str("echo end");
    let ran = lab.sandbox(["--config", file]).backend(backend).start(["sh", "-c", &script]).finish();
    ran.assert_works();
    ran.stdout()
}

#[test]
fn a_policy_means_the_same_by_every_engine_and_in_every_format() {
    for lab in labs() {
        for place in ["shown", "written", "hidden", "written/below", "shown/below"] {
            lab.file(format!("{place}/file"), "old");
        }
        lab.file("work/file", "old");
        let probes: Vec<_> =
            ["shown", "written", "hidden", "written/below", "shown/below", "work"].map(|place| lab.path(place)).into();
        let (shown, written) = (lab.path("shown"), lab.path("written"));
        for include in [true, false] {
            let text =
                policy(&format!(", {shown}"), &format!(", {written}"), "landlock: {compatibility: hard_requirement}\n");
            let text = if include { text } else { text.replace("include_workdir: true", "include_workdir: false") };
            let file = lab.file("policies/p.yaml", &text);
            let mut want = String::new();
            for (place, verbs) in [
                ("shown", "read list"),
                ("written", "read write make list"),
                ("hidden", ""),
                ("written/below", "read write make list"),
                ("shown/below", "read list"),
                ("work", if include { "read write make list" } else { "" }),
            ] {
                for verb in verbs.split_whitespace() {
                    writeln!(want, "{verb} {}", lab.path(place)).unwrap();
                }
            }
            want.push_str("end");
            let binary = lab.sandbox(NONE).binary().to_str().unwrap().to_owned();
            let told = |words: &[&str]| {
                let ran: Ran = lab.sandbox(NONE).without().run([&[binary.as_str()], words].concat());
                ran.assert_works();
                ran.stdout()
            };
            let toml = lab.file("policies/p.toml", &told(&["convert", "--config", &file, "--to", "toml"]));
            let again = lab.file(
                "policies/again.yaml",
                &told(&["plan", "--format", "openshell", "--config", &file, "--", "true"]),
            );
            for backend in BACKENDS {
                for file in [&file, &toml, &again] {
                    assert_eq!(
                        answers(&lab, file, backend, &probes),
                        want,
                        "{file} by {backend} as {}, include_workdir {include}",
                        lab.user
                    );
                }
            }
        }
    }
}

#[test]
fn long_lists_load_and_the_limit_of_the_format_holds() {
    for lab in labs() {
        let paths: Vec<_> = (0..301).map(|number| lab.dir(format!("many/{number}"))).collect();
        lab.file("many/300/file", "text");
        let list = |count: usize| paths[..count].iter().fold(String::new(), |all, path| all + ", " + path);
        let own = SYSTEM.split(", ").count();
        for (count, works) in [(256 - own - 1, true), (257 - own, false), (257, false)] {
            let file = lab.file("policies/long.yaml", &policy(&list(count), "", ""));
            let ran = lab.sandbox(["--config", &file]).run(["true"]);
            assert_eq!(ran.code() == 0, works, "{count}: {ran}");
            if !works {
                assert_refused(&lab, &file, ":", "256");
            }
        }
        let mut toml = String::from("complete = true\n[filesystem]\n");
        toml.clear();
        writeln!(toml, "complete = true").unwrap();
        let quoted: Vec<_> = SYSTEM
            .split(", ")
            .map(str::to_owned)
            .chain(paths.iter().cloned())
            .map(|path| format!("{path:?}"))
            .collect();
        writeln!(toml, "read = [{}]\nwrite = [\"/dev/null\"]", quoted.join(", ")).unwrap();
        let file = lab.file("policies/long.toml", &toml);
        for backend in ["native", "landlock"] {
            let ran = lab
                .sandbox(["--config", &file])
                .backend(backend)
                .cwd(lab.path("many/0"))
                .run(["cat", &lab.path("many/300/file")]);
            ran.assert_prints("text");
            lab.sandbox(["--config", &file])
                .backend(backend)
                .cwd(lab.path("many/0"))
                .run(["ls", &lab.path("home")])
                .assert_refused();
        }
    }
}

/// As whose word the plan takes the rule for `/usr` in a policy.
fn source(lab: &Lab, file: &str) -> String {
    let binary = lab.sandbox(NONE).binary().display().to_string();
    let plan = lab.outside(&format!("{binary} plan --json --config {file} -- true")).stdout();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let rules = plan["effective"].as_array().unwrap();
    rules.iter().find(|rule| rule["path"] == "/usr").unwrap()["source"].as_str().unwrap().to_owned()
}

#[test]
fn whose_word_a_policy_is_says_its_place_and_who_can_write_it() {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    in_private_mounts(|| {
        for lab in labs() {
            let text = policy("", "", "");
            let etc = lab.path("etc");
            let made = format!("cp -a /etc {etc} && mount --bind {etc} /etc");
            assert!(std::process::Command::new("sh").args(["-c", &made]).status().unwrap().success());
            for name in ["ringfence", "openshell", "navigator", "other"] {
                let directory = Path::new("/etc").join(name);
                create_dir(&directory).unwrap();
                write(directory.join("policy.yaml"), &text).unwrap();
            }
            let users = lab.file("work/policy.yaml", &text);
            symlink(&users, "/etc/ringfence/link.yaml").unwrap();
            let link = lab.link("work/link.yaml", "/etc/ringfence/policy.yaml");
            let ours = "/etc/ringfence/policy.yaml";
            let table = [
                (ours, "admin"),
                (&link, "admin"),
                ("/etc/openshell/policy.yaml", "image"),
                ("/etc/navigator/policy.yaml", "image"),
                ("/etc/other/policy.yaml", "user"),
                ("/etc/ringfence/link.yaml", "user"),
                (&users, "user"),
            ];
            let found = table.map(|(file, _)| source(&lab, file));
            set_permissions(ours, Permissions::from_mode(0o666)).unwrap();
            let open = source(&lab, ours);
            set_permissions(ours, Permissions::from_mode(0o644)).unwrap();
            set_permissions("/etc/ringfence", Permissions::from_mode(0o777)).unwrap();
            let in_open = source(&lab, ours);
            set_permissions("/etc/ringfence", Permissions::from_mode(0o755)).unwrap();
            chown(ours, Some(12_345), None).unwrap();
            let another_s = source(&lab, ours);
            chown(ours, Some(0), None).unwrap();
            let again = source(&lab, ours);
            assert!(std::process::Command::new("umount").arg("/etc").status().unwrap().success());
            assert_eq!(found, table.map(|(_, want)| want.to_owned()));
            assert_eq!([open, in_open, another_s, again], ["user", "user", "user", "admin"]);
        }
    });
}
