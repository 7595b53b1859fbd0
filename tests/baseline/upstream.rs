//! OpenShell's own tests of enrichment and discovery, in our words: of the comparison mode, and of what we do instead.

use std::path::{Path, PathBuf};

use ringfence::plan::baseline::Machine as Seen;
use ringfence::plan::baseline::{Event, Lists, enriched};
use ringfence::request::codex::Surroundings;
use ringfence::request::file::openshell_policy;
use ringfence::request::load::LoadError;
use ringfence::request::{Origin, Request, Source};

use crate::machine::{Case, Machine, level};
use crate::policies::*;

fn seen(proxy: bool, gpu: bool, nodes: &[&str]) -> Seen {
    Seen { proxy, gpu, nodes: nodes.iter().map(|node| (*node).to_owned()).collect() }
}

/// Everything that OpenShell would add where everything exists.
fn added(machine: &Seen) -> Lists {
    enriched(Lists::default(), machine, &|_| true)
}

fn has(list: &[String], path: &str) -> bool {
    list.iter().any(|known| known == path)
}

#[test]
fn with_a_gpu_proc_is_to_be_written_and_nothing_else() {
    let lists = added(&seen(true, true, &[]));
    assert!(has(&lists.read_write, "/proc") && !has(&lists.read_only, "/proc"));
    // Ours: one wish, and narrow.
    let (_, plan) = Case::user(NET_ONLY).gpu("0").plan(&Machine::new("two-gpus")).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("modify"));
    assert_eq!(plan.decisions.iter().filter(|one| one.path == Path::new("/proc")).count(), 1);
}

#[test]
fn without_a_gpu_proc_is_to_be_read() {
    let lists = added(&seen(true, false, &[]));
    assert!(has(&lists.read_only, "/proc") && !has(&lists.read_write, "/proc"));
    let (_, plan) = Case::user(NET_ONLY).plan(&Machine::new("no-gpu")).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("read"));
}

#[test]
fn no_path_is_in_both_lists() {
    for (proxy, gpu) in [(true, true), (true, false), (false, true), (false, false)] {
        let lists = added(&seen(proxy, gpu, &["nvidia0", "nvidia1"]));
        assert!(lists.read_only.iter().all(|path| !has(&lists.read_write, path)), "{lists:?}");
    }
    for gpu in ["off", "auto", "all"] {
        let (_, plan) = Case::user(NET_ONLY).gpu(gpu).plan(&Machine::new("two-gpus")).unwrap();
        let mut wanted: Vec<_> = plan.decisions.iter().map(|one| &one.path).collect();
        wanted.dedup();
        assert_eq!(wanted.len(), plan.decisions.len(), "{gpu}");
    }
}

#[test]
fn tmp_is_to_be_written_and_no_directory_of_a_fixed_name() {
    let lists = added(&seen(true, false, &[]));
    assert!(has(&lists.read_write, "/tmp") && !has(&lists.read_write, "/sandbox"));
    let (_, plan) = Case::user(NET_ONLY).plan(&Machine::new("no-gpu")).unwrap();
    assert_eq!(level(&plan, "/tmp").as_deref(), Some("write"));
    assert_eq!(level(&plan, "/sandbox"), None);
}

#[test]
fn only_names_with_a_number_are_gpus() {
    let nodes = ["nvidia", "nvidia0", "nvidia10", "nvidiactl", "nvidia-caps", "nvidia0x", "xnvidia0", "nvidia-uvm"];
    let lists = added(&seen(false, true, &nodes));
    let listed: Vec<_> = lists.read_write.iter().filter(|path| path.starts_with("/dev/")).map(String::as_str).collect();
    let want = [
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia-modeset",
        "/dev/dxg",
        "/dev/nvidia0",
        "/dev/nvidia10",
    ];
    assert_eq!(listed, want);
}

#[test]
fn an_explicit_tmp_to_be_read_stays_so_whoever_wrote_it() {
    let lists = Lists { read_only: vec!["/tmp".to_owned()], read_write: Vec::new() };
    let after = enriched(lists, &seen(true, true, &[]), &|_| true);
    assert!(has(&after.read_only, "/tmp") && !has(&after.read_write, "/tmp"));
    for source in [Source::Image, Source::Admin, Source::User] {
        let (_, plan) = Case::of(source, NET_AND_TMP_READ).plan(&Machine::new("two-gpus")).unwrap();
        assert_eq!(level(&plan, "/tmp").as_deref(), Some("read"), "{source}");
        assert!(plan.decisions.iter().any(|one| one.path == Path::new("/tmp") && one.event == Event::Keep));
    }
}

#[test]
fn without_a_network_a_gpu_brings_its_nodes_and_moves_proc() {
    let lists = Lists { read_only: vec!["/usr".to_owned(), "/proc".to_owned()], read_write: vec!["/tmp".to_owned()] };
    let there = ["/proc", "/dev/nvidia0"];
    let after = enriched(lists, &seen(false, true, &["nvidia0"]), &|path| there.contains(&path));
    assert_eq!(after.read_only, ["/usr"]);
    assert_eq!(after.read_write, ["/tmp", "/proc", "/dev/nvidia0"]);
    let (_, plan) = Case::of(Source::Image, PROC_READ).plan(&Machine::new("two-gpus")).unwrap();
    assert_eq!(level(&plan, "/proc").as_deref(), Some("modify"));
    assert_eq!(level(&plan, "/dev/nvidia0").as_deref(), Some("device"));
}

#[test]
fn wsl_has_one_node_and_a_directory_of_libraries() {
    let lists = added(&seen(false, true, &[]));
    assert!(has(&lists.read_write, "/dev/dxg") && has(&lists.read_only, "/usr/lib/wsl"));
    let narrow = "version: 1\nfilesystem_policy: {read_only: [/opt/conda]}\n";
    let (_, plan) = Case::user(narrow).plan(&Machine::new("wsl2")).unwrap();
    assert_eq!(level(&plan, "/dev/dxg").as_deref(), Some("device"));
    let covered = level(&plan, "/usr/lib/wsl").or_else(|| level(&plan, "/usr/lib"));
    assert_eq!(covered.as_deref(), Some("read"));
}

#[test]
fn a_gpu_is_found_by_its_control_node_or_that_of_wsl() {
    for (machine, want) in [("two-gpus", true), ("wsl2", true), ("no-gpu", false)] {
        let case = Case { compat: true, ..Case::built_in() };
        let (_, plan) = case.plan(&Machine::new(machine)).unwrap();
        let wide = level(&plan, "/proc").as_deref() == Some("write");
        assert_eq!(wide, want, "{machine}");
    }
}

/// Files where OpenShell's images have theirs, below a directory of the test.
struct Images(tempfile::TempDir);

impl Images {
    fn new(files: &[(&str, &str)]) -> Self {
        let images = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(images.0.path().join(name), text).unwrap();
        }
        images
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn find(&self, variable: Option<&str>) -> Result<Request, LoadError> {
        let variable = variable.map(|name| self.path(name));
        let places = [self.path("openshell.yaml"), self.path("navigator.yaml")];
        let around = Surroundings { workspace: Path::new("/w"), tmpdir: None };
        openshell_policy(variable.as_deref(), &places, around)
    }
}

fn file_of(request: &Request) -> String {
    match &request.read[0].by {
        Origin::File { path, .. } => path.file_name().unwrap().to_str().unwrap().to_owned(),
        other => other.to_string(),
    }
}

const GOOD: &str = "version: 1\nfilesystem_policy: {read_only: [/usr]}\n";

#[test]
fn without_a_file_the_built_in_policy_counts_and_has_no_network() {
    let request = Images::new(&[]).find(None).unwrap();
    assert_eq!(request.provenance.policy, Some(Source::BuiltIn));
    assert_eq!(file_of(&request), "built-in OpenShell policy");
    assert!(request.reach.rules.is_empty() && request.net.unwrap().value == ringfence::request::Net::None);
}

#[test]
fn a_file_that_is_there_is_used_the_newer_name_first_the_variable_before_both() {
    let all = Images::new(&[("openshell.yaml", GOOD), ("navigator.yaml", GOOD), ("mine.yaml", GOOD)]);
    assert_eq!(file_of(&all.find(Some("mine.yaml")).unwrap()), "mine.yaml");
    assert_eq!(file_of(&all.find(None).unwrap()), "openshell.yaml");
    assert_eq!(file_of(&Images::new(&[("navigator.yaml", GOOD)]).find(None).unwrap()), "navigator.yaml");
    // Nobody but root wrote an image's policy; these the user who runs the test could write.
    assert_eq!(all.find(None).unwrap().provenance.policy, Some(Source::User));
}

#[test]
fn a_bad_file_is_an_error_and_no_reason_to_take_the_next() {
    let bad = [
        ("version: [", "policy.yaml"),
        ("version: 2\n", "policy.version"),
        ("version: 1\nfilesystem_policy: {read_write: [/]}\n", "fs.overly_broad"),
        ("version: 1\nprocess: {run_as_user: root}\n", "process.identity"),
        ("", "policy."),
    ];
    for (text, code) in bad {
        let images = Images::new(&[("openshell.yaml", text), ("navigator.yaml", GOOD)]);
        let error = images.find(None).unwrap_err().to_string();
        assert!(error.contains(code), "{text:?}: {error}");
    }
    let images = Images::new(&[("navigator.yaml", GOOD)]);
    std::os::unix::fs::symlink("nowhere", images.path("openshell.yaml")).unwrap();
    assert!(
        matches!(images.find(None), Err(LoadError::Read { .. })),
        "a link that leads nowhere is a file that is bad"
    );
    assert!(matches!(images.find(Some("missing.yaml")), Err(LoadError::Read { .. })), "what is named must be there");
}

#[test]
fn a_place_that_cannot_be_looked_at_is_no_missing_file() {
    // A name that no file can have: as with a directory that may not be searched, nobody knows.
    let around = Surroundings { workspace: Path::new("/w"), tmpdir: None };
    let images = Images::new(&[("navigator.yaml", GOOD)]);
    let places = [images.path(&"x".repeat(300)), images.path("navigator.yaml")];
    assert!(matches!(openshell_policy(None, &places, around), Err(LoadError::Read { .. })));
}
