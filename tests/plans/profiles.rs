//! Profiles: what each of them gives on a machine that has all that it names, and what gives way to the user's words.

use std::fmt::Write as _;
use std::path::Path;

use expect_test::{expect, expect_file};
use ringfence::host;
use ringfence::plan::{self, Plan, show, why};
use ringfence::policy::Policy;
use ringfence::request::profiles::{self, PROFILES};
use ringfence::request::{Request, load};

use super::{DESK, PROJECT, lab, machine};

const HOME: &str = "/home/you";

fn request(toml: &str) -> Request {
    let home = Some(Path::new(HOME));
    let said = load::parse(toml, Path::new("agent.toml"), Path::new(PROJECT), home).unwrap();
    profiles::below(Request { command: vec!["true".into()], ..said }, home).unwrap()
}

/// The plan on a machine with GPUs that has every path of `there`: directories, or files where the name has a suffix.
fn planned(toml: &str, there: &[&Path], links: &[(&str, &str)]) -> Result<Plan, String> {
    let root = machine();
    let inside = |path: &Path| root.path().join(path.strip_prefix("/").unwrap());
    for path in there {
        let is_file = path.extension().is_some() || path.file_name().unwrap().to_str().unwrap().starts_with(".p");
        let directory = if is_file { path.parent().unwrap() } else { path };
        std::fs::create_dir_all(inside(directory)).unwrap();
        if is_file {
            std::fs::write(inside(path), "").unwrap();
        }
    }
    for (link, target) in links {
        std::os::unix::fs::symlink(target, inside(Path::new(link))).unwrap();
    }
    let policy = Policy::new(request(toml), Path::new(PROJECT)).unwrap();
    let env = [("HOME", HOME), ("PATH", "/usr/bin"), ("OPENAI_API_KEY", "k"), ("GITHUB_TOKEN", "t")];
    let env = env.map(|(name, value)| (name.into(), value.into())).to_vec();
    let mut facts = host::probe(root.path(), &policy, env).unwrap();
    let ids = ringfence::host::gpu::CallerIds { uid: DESK.uid, gid: DESK.uid, groups: vec![44] };
    facts.caller = host::Caller { ids, homes: vec![HOME.into()], ..host::Caller::default() };
    facts.landlock_abi = DESK.landlock_abi;
    facts.sockets.clear();
    facts.gpus = lab::Host::named("two-gpus").gpus();
    plan::build(&policy, &facts).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn paths(request: &Request) -> Vec<&Path> {
    let lists = [&request.read, &request.modify, &request.write];
    lists.into_iter().flatten().map(|said| said.value.as_path()).collect()
}

/// Lines of the plan that a profile is the reason for, and notes about them.
fn of_profiles(plan: &Plan) -> String {
    let text = show::text(plan);
    // Variables of the proxy are the network's matter, and stand there for each profile with hosts.
    let lines =
        text.lines().filter(|line| line.contains("profile ") && !line.contains("roxy") && !line.contains("PROXY"));
    let lines = lines.filter(|line| !line.contains("GIT_CONFIG_"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn every_profile_gives_what_it_says_and_names_itself() {
    let mut all = String::new();
    for profile in PROFILES {
        let toml = format!("profile = [\"{}\"]\n", profile.name);
        let request = request(&toml);
        let plan = planned(&toml, &paths(&request), &[]).unwrap();
        writeln!(all, "{}\n{}", profile.name, of_profiles(&plan)).unwrap();
        for said in &request.write {
            let answer = why::why(&plan, &said.value);
            assert!(answer.access.writes(), "{}: {}", profile.name, said.value.display());
            assert!(answer.because.starts_with(&format!("profile {}:", profile.name)), "{}", answer.because);
        }
    }
    expect_file!["snapshots/profiles.txt"].assert_eq(&all);
}

#[test]
fn every_profile_plans_where_nothing_of_it_exists() {
    for profile in PROFILES {
        let toml = format!("profile = [\"{}\"]\n", profile.name);
        let plan = planned(&toml, &[], &[]).unwrap_or_else(|error| panic!("{}: {error}", profile.name));
        let missing = plan.notes.iter().filter(|note| note.contains("does not exist: skipped")).count();
        let writable = request(&toml).write.len();
        assert_eq!(missing, writable, "{}: {:?}", profile.name, plan.notes);
    }
}

/// What the same words mean in a file of one's own.
#[test]
fn optional_paths_may_be_missing_and_others_may_not() {
    let told = |toml: &str| planned(toml, &[], &[]).map(|plan| of_notes(&plan));
    assert!(told("write = [\"~/gone\"]\n").unwrap_err().contains("/home/you/gone"));
    for optional in ["true", "[\"~/gone\"]"] {
        let told = told(&format!("write = [\"~/gone\"]\noptional = {optional}\n")).unwrap();
        assert!(told.contains("/home/you/gone (agent.toml:1) does not exist: skipped"), "{told}");
    }
    for other in ["false", "[\"~/other\"]"] {
        assert!(told(&format!("write = [\"~/gone\"]\noptional = {other}\n")).is_err(), "{other}");
    }
    // A word of a profile's excuses none of the user's.
    assert!(told("profile = [\"pip\"]\nwrite = [\"~/.cache/pip\"]\n").is_err());
}

fn of_notes(plan: &Plan) -> String {
    plan.notes.iter().map(|note| format!("{note}\n")).collect()
}

#[test]
fn what_the_user_says_counts_more() {
    let there =
        ["/home/you/.cache/pip", "/home/you/.cargo/registry", "/home/you/.cargo/git", "/data/pip"].map(Path::new);
    let table = [
        ("", "write"),
        ("deny = [\"~/.cache\"]\n", "none"),
        ("deny = [\"~/.cache/pip\"]\n", "none"),
        ("deny = [\"~/.c*\"]\n", "none"),
        ("deny = [\"~/.cache/*\"]\n", "none"),
        ("read = [\"~/.cache/pip\"]\n", "read"),
        ("sandbox = \"read-only\"\n", "read"),
        // Nothing but what is named, by whomever.
        ("deny = [\"/\"]\nread = [\"/usr\", \"/home/you/project\"]\n", "write"),
        // Denied below: the rest stays.
        ("deny = [\"~/.cache/pip/http\"]\n", "write"),
        ("deny = [\"~/.cargo\"]\n", "write"),
    ];
    for (toml, want) in table {
        let plan = planned(&format!("profile = [\"pip\", \"cargo\"]\n{toml}"), &there, &[]).unwrap();
        let answer = why::why(&plan, Path::new("/home/you/.cache/pip"));
        assert_eq!(answer.access.to_string(), want, "{toml}: {}", answer.because);
    }
    let plan = planned("profile = [\"cargo\"]\ndeny = [\"~/.cargo\", \"~/.cach*\"]\n", &there, &[]).unwrap();
    expect![[r#"
        /home/you/.cargo/registry (profile cargo:6) is left out: agent.toml:2 says otherwise
        /home/you/.cargo/git (profile cargo:7) is left out: agent.toml:2 says otherwise
        /home/you/.cargo/.package-cache (profile cargo:8) is left out: agent.toml:2 says otherwise
        /home/you/.cargo/.package-cache-mutate (profile cargo:9) is left out: agent.toml:2 says otherwise
        a GPU is granted: its driver (version 595.45.04) is a large attack surface in the kernel; keep it updated
        deny globs hide what matches at the start; files made later are not hidden
        host sockets that are bound after the start, outside /run and /tmp, can be connected to: this kernel cannot forbid it (Landlock ABI 9)
    "#]].assert_eq(&of_notes(&plan));
}

/// A cache that is a link elsewhere, and what is denied is where it leads, or the other way round.
#[test]
fn what_is_denied_by_another_name_stays_denied() {
    let there = ["/data/pip", "/home/you/.cargo"].map(Path::new);
    let links = [("/home/you/.cache", "/data"), ("/also", "/data")];
    for deny in ["/data", "/also", "/data/pip", "/also/pip", "~/.cache", "/data/p*"] {
        let plan = planned(&format!("profile = [\"pip\"]\ndeny = [\"{deny}\"]\n"), &there, &links).unwrap();
        let answer = why::why(&plan, Path::new("/data/pip"));
        assert_eq!(answer.access.to_string(), "none", "{deny}: {}", answer.because);
    }
    let control = planned("profile = [\"pip\"]\n", &there, &links).unwrap();
    assert!(why::why(&control, Path::new("/data/pip")).access.writes());
}

#[test]
fn the_network_of_the_user_is_the_network() {
    let nets = |toml: &str| {
        let plan = planned(&format!("profile = [\"pip\"]\n{toml}"), &[], &[]).unwrap();
        let text = show::text(&plan);
        text.lines()
            .filter(|line| line.trim_start().starts_with("network ") || line.contains("pypi.org"))
            .fold(String::new(), |all, line| all + &line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
    };
    let all = ["", "net = \"none\"\n", "net = \"host\"\n", "deny_host = [\"pypi.org\"]\n"].map(nets).join("--\n");
    expect![[r#"
        network allowed hosts, through a proxy outside; a namespace of its own because profile pip:12
        allow pypi.org:443 because profile pip:12
        --
        network loopback only, in a namespace of its own because agent.toml:2
        --
        network the host's because agent.toml:2
        --
        network allowed hosts, through a proxy outside; a namespace of its own because profile pip:12
        allow pypi.org:443 because profile pip:12
        deny pypi.org because agent.toml:2
    "#]]
    .assert_eq(&all);
}
