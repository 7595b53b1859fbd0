//! `ringfence oci`: what runc and crun make of a bundle is what `ringfence run` does with the same options.

use std::net::TcpListener;
use std::process::Command;

use crate::devices::{private_dev, undo};
use crate::lab::{Lab, Need, Ran, in_private_mounts};

/// A runtime and what makes it run here.
struct Runtime {
    name: &'static str,
    options: &'static [&'static str],
}

/// With control groups, and so with rules for devices.
const RUNC: Runtime = Runtime { name: "runc", options: &[] };
/// Without: where the groups of a version are in part of the other one, it does nothing.
const CRUN: Runtime = Runtime { name: "crun", options: &["--cgroup-manager=disabled"] };

/// `ringfence oci` into `bundle-NUMBER` of the lab, whose command is a script.
fn write(lab: &Lab, number: u32, options: &[&str], script: &str) -> Ran {
    let binary = lab.sandbox([""; 0]).binary().to_string_lossy().into_owned();
    let bundle = lab.path(format!("bundle-{number}"));
    let words = [&[binary.as_str(), "oci", "--output", &bundle], options, &["--", "sh", "-c", script]].concat();
    lab.sandbox([""; 0]).without().run(words)
}

/// Runs a bundle of the lab.
fn run(lab: &Lab, runtime: &Runtime, number: u32) -> Ran {
    let (bundle, state) = (lab.path(format!("bundle-{number}")), lab.dir("state"));
    let id = format!("ringfence-e2e-{}-{number}", std::process::id());
    let (name, options) = (runtime.name, runtime.options);
    let words = [&[name], options, &["--root", &state, "run", "--bundle", &bundle, &id]].concat();
    lab.sandbox([""; 0]).without().env("XDG_RUNTIME_DIR", lab.path("state")).run(words)
}

/// crun refuses to start where version 2 has some controllers and version 1 the others.
fn unified_control_groups() {
    let script = "stat -f -c %T /sys/fs/cgroup | grep -q cgroup2fs && exit; umount -l /sys/fs/cgroup; \
                  mount -t cgroup2 none /sys/fs/cgroup";
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
}

/// Says what it may, one line each, and ends with a code of its own.
fn probe(lab: &Lab, port: u16) -> String {
    let (secret, elsewhere) = (lab.path("secret"), lab.path("elsewhere"));
    format!(
        "touch note && echo workspace; touch {elsewhere}/note 2>/dev/null && echo elsewhere
         touch .git/hooks/post-commit 2>/dev/null && echo hook; cat {secret} 2>/dev/null
         bash -c ': < /dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo network
         grep -E '^(Seccomp|NoNewPrivs|Cap...):' /proc/self/status
         stat -c '%F %t:%T' /dev/standin; head -c 3 /dev/standin | wc -c; ls /dev/other 2>/dev/null
         chmod 600 /dev/null /dev/standin 2>/dev/null; touch /dev/new 2>/dev/null && echo made
         unshare --user true 2>/dev/null && echo namespace; mknod n c 1 3 2>/dev/null && echo node
         id -u; pwd; echo $VARIABLE; ls /tmp /run; ulimit -n; exit 7"
    )
}

/// What the confined probe prints.
fn confined(lab: &Lab) -> String {
    let uid = if lab.user.is_root() { "0".to_owned() } else { lab.outside("id -u").stdout().trim().to_owned() };
    let none = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t{:016x}\n", 0)).concat();
    format!(
        "workspace\n{none}NoNewPrivs:\t1\nSeccomp:\t2\ncharacter special file 1:5\n3\n{uid}\n{}\nvalue\n/run:\n\n/tmp:\n512",
        lab.path("work")
    )
}

fn agrees(lab: &Lab, runtime: &Runtime) {
    private_dev(lab, &["standin c 1 5", "other c 1 5"]);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    lab.dir("work/.git/hooks");
    lab.file("work/.git/HEAD", "ref: refs/heads/main\n");
    lab.file("secret", "42\n");
    lab.dir("elsewhere");
    let (secret, elsewhere) = (lab.path("secret"), lab.path("elsewhere"));
    let script = probe(lab, server.local_addr().unwrap().port());
    let options = ["--device", "/dev/standin", "--deny", &secret, "--env", "VARIABLE=value", "--open-files", "512"];
    let want = confined(lab);
    let by_us = lab.sandbox(options).sh(&script);
    assert_eq!(by_us.assert_code(7).stdout(), want, "{by_us}");
    write(lab, 1, &options, &script).assert_works();
    let by_runtime = run(lab, runtime, 1);
    assert_eq!(by_runtime.assert_code(7).stdout(), want, "{by_runtime}");
    let node = "stat -c '%a' /dev/null /dev/standin /dev/zero";
    lab.outside(node).assert_prints("666\n666\n666");
    // The control: a grant more for each, and the same script says so.
    let open = ["--device", "/dev/standin", "--device", "/dev/other", "--write", &elsewhere, "--net", "host"];
    write(lab, 2, &open, &script).assert_works();
    let opened = run(lab, runtime, 2);
    let told = opened.assert_code(7).stdout();
    for line in ["workspace", "elsewhere", "42", "network", "/dev/other"] {
        assert!(told.lines().any(|known| known == line), "{line} is missing: {opened}");
    }
    undo(lab);
}

#[test]
fn runc_does_with_a_bundle_what_run_does() {
    in_private_mounts(|| {
        let tools = [Need::Tool("runc"), Need::Tool("bash")];
        // Without a mapping of uid 0 it does not start.
        Lab::as_root(&tools).iter().filter(|lab| lab.is_native()).for_each(|lab| agrees(lab, &RUNC));
    });
}

#[test]
fn crun_does_with_a_bundle_what_run_does_for_root_and_for_others() {
    in_private_mounts(|| {
        let labs = Lab::native(&[Need::Tool("crun"), Need::Tool("bash")]);
        if !labs.is_empty() {
            unified_control_groups();
        }
        labs.iter().for_each(|lab| agrees(lab, &CRUN));
    });
}

#[test]
fn hidden_and_narrowed_views_are_the_same_too() {
    in_private_mounts(|| {
        let labs = Lab::native(&[Need::Tool("crun")]);
        if !labs.is_empty() {
            unified_control_groups();
        }
        for lab in labs {
            let (hidden, open) = (lab.dir("hidden"), lab.dir("hidden/open"));
            lab.file("hidden/open/file", "seen\n");
            lab.file("hidden/closed", "42\n");
            let script =
                format!("cat {open}/file; cat {hidden}/closed; ls {hidden}; touch {hidden}/new; touch /new; true");
            let narrow = ["--deny", "/", "--read", "/usr", "--read", &open, "--write", &lab.path("work")];
            let veiled = ["--deny", &hidden, "--read", &open];
            for (number, options) in [(1, &veiled[..]), (2, &narrow[..])] {
                let by_us = lab.sandbox(options).sh(&script);
                assert_eq!(by_us.assert_works().stdout().lines().next(), Some("seen"), "{by_us}");
                write(&lab, number, options, &script).assert_works();
                let by_runtime = run(&lab, &CRUN, number);
                assert_eq!(by_runtime.assert_works().stdout(), by_us.stdout(), "{by_runtime}");
                assert!(!by_runtime.stdout().contains("42"), "{by_runtime}");
            }
            // The control, which need not write on the machine.
            lab.outside(&script.replace("touch /new; ", "")).assert_prints("seen\n42\nclosed\nopen");
        }
    });
}

#[test]
fn limits_are_kept_by_the_runtime_s_control_group() {
    in_private_mounts(|| {
        for lab in Lab::as_root(&[Need::Tool("runc"), Need::Tool("python3"), Need::ControlGroups]) {
            if !lab.is_native() {
                continue;
            }
            let script = "python3 -c \"print(len(bytearray(200 << 20)))\"";
            for (number, memory, code) in [(1, "100M", 137), (2, "1G", 0)] {
                write(&lab, number, &["--memory", memory], script).assert_works();
                run(&lab, &RUNC, number).assert_code(code);
            }
        }
    });
}

#[test]
fn a_bundle_is_valid_whole_and_never_written_over() {
    for lab in Lab::native(&[]) {
        let told = write(&lab, 1, &["--memory", "1G", "--device", "/dev/null", "--deny", "/srv"], "true");
        told.assert_works().assert_says("there is no Landlock wall").assert_says("protected names that are missing");
        let config = lab.content("bundle-1/config.json");
        let spec: oci_spec::runtime::Spec = serde_json::from_str(&config).unwrap();
        // What the reference knows of it is all that it says: no word is misspelt.
        let (ours, theirs): (serde_json::Value, _) =
            (serde_json::from_str(&config).unwrap(), serde_json::to_value(&spec).unwrap());
        missing(&ours, &theirs, "");
        assert_eq!(ours["process"]["capabilities"]["bounding"], serde_json::json!([]));
        let before = lab.listing();
        write(&lab, 1, &[], "true").assert_code(125).assert_says("File exists").assert_says("does not exist yet");
        assert_eq!(lab.listing(), before);
        assert_eq!(lab.content("bundle-1/config.json"), config);
        let binary = lab.sandbox([""; 0]).binary().to_string_lossy().into_owned();
        let inside = lab.path("work/bundle");
        let words = [binary.as_str(), "oci", "--output", &inside, "--", "true"];
        lab.sandbox([""; 0]).without().run(words).assert_code(125).assert_says("could change its own bundle");
        assert!(!lab.exists("work/bundle"));
    }
}

/// Whatever one document says, the other says too.
fn missing(ours: &serde_json::Value, theirs: &serde_json::Value, at: &str) {
    match (ours, theirs) {
        (serde_json::Value::Object(ours), serde_json::Value::Object(theirs)) => {
            for (key, value) in ours {
                let there = theirs.get(key).unwrap_or_else(|| panic!("{at}/{key} is not in the specification"));
                missing(value, there, &format!("{at}/{key}"));
            }
        }
        (serde_json::Value::Array(ours), serde_json::Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{at}");
            ours.iter().zip(theirs).for_each(|(ours, theirs)| missing(ours, theirs, at));
        }
        _ => assert_eq!(ours, theirs, "{at}"),
    }
}

#[test]
fn what_a_bundle_cannot_say_is_refused_unless_that_is_allowed() {
    for lab in Lab::native(&[Need::Landlock(3)]) {
        let table: [(&[&str], &str); 5] = [
            (&["--timeout", "5s"], "runtimes end no command after a time [oci.limit_unavailable]"),
            (&["--allow-host", "example.com"], "it stays off [oci.network_unavailable]"),
            (&["--landlock", "required"], "[oci.landlock_unavailable]"),
            (&["--backend", "landlock"], "a bundle is what the native engine does"),
            (&["-s", "full-access"], "full-access confines nothing"),
        ];
        for (number, (options, error)) in (1..).zip(table) {
            write(&lab, number, options, "true").assert_code(2).assert_says(error);
            assert!(!lab.exists(format!("bundle-{number}")));
        }
        for (number, options) in [(11, ["--timeout", "5s"]), (12, ["--allow-host", "example.com"])] {
            let allowed = [&options[..], &["--allow-unenforced"]].concat();
            write(&lab, number, &allowed, "true").assert_works().assert_says("note: ");
            assert!(lab.exists(format!("bundle-{number}/config.json")));
        }
    }
}
