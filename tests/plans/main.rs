//! Policies × machines → plans, as text. The diff of a snapshot is the security review of a change.
//!
//! `UPDATE_EXPECT=1 cargo test --test plans` writes the snapshots anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, dead_code, reason = "a test")]

mod caches;
mod choices;
#[path = "../gpu_hosts/lab.rs"]
mod lab;
mod oci;
mod others;
mod pictures;
mod profiles;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use expect_test::{expect, expect_file};
use ringfence::host::gpu::CallerIds;
use ringfence::host::{self, Caller};
use ringfence::plan::{self, show, why};
use ringfence::policy::Policy;
use ringfence::policy::paths::Access;
use ringfence::request::load;

const PROJECT: &str = "/home/you/project";

/// The directories and files of a small machine; a trailing `/` makes a directory.
const MACHINE: &[&str] = &[
    "bin/",
    "etc/ssl/private/",
    "etc/shadow",
    "proc/",
    "run/systemd/resolve/",
    "sys/",
    "tmp/",
    "usr/bin/true",
    "usr/lib/",
    "home/you/.ssh/id_ed25519",
    "home/you/.config/gh/hosts.yml",
    "home/you/data/sets/open/",
    "home/you/data/sets/closed/",
    "home/you/project/.git/config",
    "home/you/project/.git/hooks/",
    "home/you/project/.git/info/",
    "home/you/project/src/main.rs",
    "home/you/project/.env",
    "home/you/project/deploy/prod.env",
    "home/you/project/vendor/lib/.git/config",
];

fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for entry in MACHINE {
        let path = root.path().join(entry);
        if entry.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }
    root
}

/// Who runs it, on which kernel, with which GPUs: no test asks the real machine.
struct Host {
    gpus: &'static str,
    uid: u32,
    landlock_abi: u32,
}

const DESK: Host = Host { gpus: "no-gpu", uid: 1000, landlock_abi: 7 };

fn policy(toml: &str) -> Policy {
    let home = Some(Path::new("/home/you"));
    let mut request = load::parse(toml, Path::new("agent.toml"), Path::new(PROJECT), home).unwrap();
    request.command = vec!["true".into()];
    Policy::new(request, Path::new(PROJECT)).unwrap()
}

fn planned(toml: &str, host: &Host) -> Result<plan::Plan, String> {
    let root = machine();
    let env: Vec<(OsString, OsString)> =
        [("HOME", "/home/you"), ("PATH", "/usr/bin"), ("GITHUB_TOKEN", "t"), ("CUDA_VISIBLE_DEVICES", "0,1")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
    let policy = policy(toml);
    let mut facts = host::probe(root.path(), &policy, env).unwrap();
    let ids = CallerIds { uid: host.uid, gid: host.uid, groups: vec![44] };
    facts.caller = Caller { ids, homes: vec![PathBuf::from("/home/you")], ..Caller::default() };
    facts.landlock_abi = host.landlock_abi;
    facts.sockets.clear();
    facts.gpus = lab::Host::named(host.gpus).gpus();
    plan::build(&policy, &facts)
        .map_err(|errors| errors.iter().map(|error| format!("{error}\nhint: {:?}\n", error.hint())).collect())
}

/// The text of a plan without the table of system calls, which has a snapshot of its own.
fn text(toml: &str, host: &Host) -> String {
    let whole = match planned(toml, host) {
        Ok(plan) => show::text(&plan),
        Err(why) => return why,
    };
    let mut skipping = false;
    let kept = |line: &&str| {
        if !line.starts_with(' ') {
            skipping = line.starts_with("system calls");
        }
        !skipping
    };
    format!("{toml}---\n{}\n", whole.lines().filter(kept).collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_default_is_a_writable_workspace_and_a_read_only_machine() {
    expect_file!["snapshots/default.txt"].assert_eq(&text("", &DESK));
}

#[test]
fn read_only_writes_nothing_and_grants_no_gpu() {
    let host = Host { gpus: "two-gpus", ..DESK };
    expect_file!["snapshots/read-only.txt"].assert_eq(&text("sandbox = \"read-only\"\n", &host));
}

#[test]
fn one_of_two_gpus_is_its_node_and_the_shared_ones() {
    let host = Host { gpus: "two-gpus", ..DESK };
    expect_file!["snapshots/one-gpu.txt"].assert_eq(&text("gpu = [1]\n", &host));
}

#[test]
fn a_gpu_in_mig_mode_is_its_node_and_its_instances() {
    let host = Host { gpus: "mig", ..DESK };
    let instances = "gpu = [\"mig:0/1/0\", \"mig:0/5/0\", \"mig:0/5/1\"]\n";
    expect_file!["snapshots/mig.txt"].assert_eq(&text(instances, &host));
    let whole = text("gpu = [0]\n", &host);
    expect![[r#"
        GPU 0 cannot be used: it is in MIG mode, programs run on its instances: mig:0/1/0, mig:0/5/0, mig:0/5/1
          needed by: gpu = [0] (agent.toml:1)
        hint: Some("name the instances that it is to have: `--gpu mig:0/1/0`")
    "#]]
    .assert_eq(&whole);
}

#[test]
fn a_denied_node_has_no_link_by_its_place() {
    let host = Host { gpus: "intel", ..DESK };
    let links = |toml: &str| {
        let text = text(toml, &host);
        text.lines()
            .filter(|line| line.contains("by-path"))
            .map(|line| line.trim().to_owned() + "\n")
            .collect::<String>()
    };
    expect![[r#"
        link to ../renderD128 /dev/dri/by-path/pci-0000:00:02.0-render  because gpu: gpu intel:0 (auto), its node by place
        link to ../card1 /dev/dri/by-path/pci-0000:00:02.0-card         because gpu: gpu intel:0 (auto), its node by place
        link to ../renderD129 /dev/dri/by-path/pci-0000:03:00.0-render  because gpu: gpu intel:1 (auto), its node by place
        link to ../card2 /dev/dri/by-path/pci-0000:03:00.0-card         because gpu: gpu intel:1 (auto), its node by place
    "#]].assert_eq(&links("gpu = \"auto\"\n"));
    expect![[r#"
        link to ../renderD128 /dev/dri/by-path/pci-0000:00:02.0-render  because gpu: gpu intel:0 (auto), its node by place
        link to ../card1 /dev/dri/by-path/pci-0000:00:02.0-card         because gpu: gpu intel:0 (auto), its node by place
        link to ../card2 /dev/dri/by-path/pci-0000:03:00.0-card         because gpu: gpu intel:1 (auto), its node by place
    "#]].assert_eq(&links("gpu = \"auto\"\ndeny = [\"/dev/dri/renderD129\"]\n"));
}

#[test]
fn a_missing_module_is_told_with_its_cure() {
    let host = Host { gpus: "no-uvm", ..DESK };
    expect_file!["snapshots/no-uvm.txt"].assert_eq(&text("gpu = \"all\"\n", &host));
}

#[test]
fn carve_outs_and_globs() {
    let toml = "read = [\"~/data/sets/open\"]\ndeny = [\"~/data/sets\", \"**/*.env\", \"src/later\"]\n\
                [paths]\n\"~/data/sets/open\" = \"write\"\n";
    expect_file!["snapshots/carve-outs.txt"].assert_eq(&text(toml, &DESK));
}

#[test]
fn a_narrowed_root_shows_only_what_is_named() {
    let toml = "read = [\"/usr\", \"/bin\"]\ndeny = [\"/\"]\n";
    let host = Host { gpus: "wsl2", ..DESK };
    expect_file!["snapshots/narrowed.txt"].assert_eq(&text(toml, &host));
}

#[test]
fn git_commit_opens_the_repository_and_keeps_what_runs_code() {
    expect_file!["snapshots/git-commit.txt"].assert_eq(&text("git = \"commit\"\n", &DESK));
}

#[test]
fn root_gets_masks_in_procfs_and_the_host_s_network_a_scope() {
    let host = Host { uid: 0, ..DESK };
    expect_file!["snapshots/root-net-host.txt"].assert_eq(&text("net = \"host\"\n", &host));
}

#[test]
fn an_old_kernel_has_no_wall_and_modify_is_refused() {
    let host = Host { landlock_abi: 2, ..DESK };
    expect_file!["snapshots/old-kernel.txt"].assert_eq(&text("", &host));
    expect_file!["snapshots/old-kernel-modify.txt"].assert_eq(&text("modify = [\"~/data\"]\n", &host));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let host = Host { gpus: "two-gpus", ..DESK };
    let toml = "deny = [\"**/*.env\"]\ngpu = \"all\"\n";
    let json = |()| show::json(&planned(toml, &host).unwrap()).to_string();
    assert_eq!(json(()), json(()));
}

#[test]
fn why_names_the_line_that_decides() {
    let plan = planned("deny = [\"~/data/sets\"]\nwrite = [\"~/data\"]\n", &DESK).unwrap();
    let table = [
        ("/home/you/data/x", "write", "agent.toml:2"),
        ("/home/you/data/sets/closed", "none", "agent.toml:1"),
        ("/home/you/project/src/main.rs", "write", "preset workspace-write"),
        ("/home/you/project/.git/config", "read", "protected: .git"),
        ("/home/you/project/vendor/lib/.git/config", "read", "protected: .git"),
        ("/home/you/.ssh/id_ed25519", "none", "secret: SSH keys"),
        ("/etc/hostname", "read", "no other rule covers it"),
    ];
    for (path, access, because) in table {
        let answer = why::why(&plan, Path::new(path));
        assert_eq!(answer.access.to_string(), access, "{path}: {answer:?}");
        assert!(answer.because.starts_with(because), "{path}: {answer:?}");
    }
}

#[test]
fn why_asks_the_rules_where_landlock_is_all_there_is() {
    let toml = "backend = \"landlock\"\nlandlock = \"best-effort\"\nsandbox = \"read-only\"\n\
                modify = [\"~/data\"]\nread = [\"~/data/sets\"]\ndeny = [\"~/data/sets/closed\"]\n";
    let plan = planned(toml, &DESK).unwrap();
    let table = [
        // Taken apart: its entries have rules of their own, and nothing can be made in it.
        ("/home/you/data", "none"),
        ("/home/you/data/sets", "none"),
        ("/home/you/data/sets/open", "read"),
        ("/home/you/data/sets/closed", "none"),
        ("/usr/bin/true", "read"),
        ("/etc", "none"),
        ("/etc/shadow", "none"),
        ("/etc/made-later", "none"),
        ("/dev/null", "modify"),
    ];
    for (path, access) in table {
        let answer = why::why(&plan, Path::new(path));
        assert_eq!(answer.access.to_string(), access, "{path}: {answer:?}");
    }
}

#[test]
fn landlock_alone_gives_no_more_in_the_hosts_tmp_than_a_rule_says() {
    for (access, more) in [("modify", "write = [\"/tmp\"]\n"), ("modify", ""), ("write", ""), ("read", "")] {
        let rules = format!("{more}[paths]\n\"/tmp\" = \"{access}\"\n");
        let toml = format!("backend = \"landlock\"\ncomplete = true\nread = [\"/usr\"]\n{rules}");
        let plan = planned(&toml, &DESK).unwrap();
        assert_eq!(why::why(&plan, Path::new("/tmp/x")).access.to_string(), access, "{toml}");
    }
}

#[test]
fn landlock_alone_refuses_tcp_where_there_is_no_network_and_the_kernel_can() {
    for (net, abi, want) in [("none", 7, true), ("none", 4, true), ("none", 3, false), ("host", 7, false)] {
        let toml = format!("backend = \"landlock\"\nlandlock = \"best-effort\"\nnet = \"{net}\"\n");
        let plan = planned(&toml, &Host { landlock_abi: abi, ..DESK }).unwrap();
        let text = show::text(&plan);
        assert_eq!(text.contains("no TCP port"), want, "{net} {abi}\n{text}");
        let tcp = plan.confinement.unwrap().landlock.tcp;
        assert_eq!(tcp == ringfence::plan::landlock::Tcp::Connect(Vec::new()), want, "{net} {abi}");
    }
}

#[test]
fn what_is_denied_of_a_repository_is_not_opened_for_commits() {
    for denied in [".git", ".git/", "../project/.git"] {
        let toml = format!("git = \"commit\"\ndeny = [{denied:?}]\n");
        let plan = planned(&toml, &DESK).unwrap();
        for path in [".git", ".git/config", ".git/objects"] {
            let answer = why::why(&plan, &Path::new(PROJECT).join(path));
            assert_eq!(answer.access, Access::None, "{denied} {path} {answer:?}");
        }
        assert!(plan.notes.iter().any(|note| note.contains("is denied")), "{:?}", plan.notes);
    }
    // The control.
    let plan = planned("git = \"commit\"\n", &DESK).unwrap();
    assert_eq!(why::why(&plan, &Path::new(PROJECT).join(".git/objects")).access, Access::Write);
}
