//! Every profile: what it may say, and that it says why.

use std::path::PathBuf;

use super::*;
use crate::policy::paths::Access;
use crate::request::near::nearest;

fn home() -> Option<&'static Path> {
    Some(Path::new("/home/you"))
}

fn requests() -> impl Iterator<Item = (&'static Profile, Request)> {
    PROFILES.iter().map(|profile| (profile, profile.request(home()).expect(profile.name)))
}

/// Paths of a profile and their levels.
fn paths(request: &Request) -> Vec<(PathBuf, Access)> {
    let lists = [(&request.read, Access::Read), (&request.modify, Access::Modify), (&request.write, Access::Write)];
    lists.iter().flat_map(|(list, access)| list.iter().map(|said| (said.value.clone(), *access))).collect()
}

#[test]
fn they_are_listed_in_order_and_described_in_a_line() {
    let names: Vec<_> = PROFILES.iter().map(|profile| profile.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for profile in PROFILES {
        assert!(profile.text.starts_with("# ") && (10..110).contains(&profile.about().len()), "{}", profile.about());
    }
}

/// Whatever narrows, or chooses for all of a run, is the user's to say: it would stand in the way of what else is said.
#[test]
fn they_only_grant() {
    for (profile, request) in requests() {
        let (mut granted, mut reach) = (Request::default(), super::super::network::Reach::default());
        (granted.read, granted.modify) = (request.read.clone(), request.modify.clone());
        (granted.write, granted.optional) = (request.write.clone(), request.optional.clone());
        (granted.env, granted.gpu, granted.git) = (request.env.clone(), request.gpu.clone(), request.git.clone());
        (reach.allow, reach.publish) = (request.reach.allow.clone(), request.reach.publish.clone());
        granted.reach = reach;
        assert_eq!(granted, request, "{} says more than grants", profile.name);
        assert_eq!(request.optional.len(), paths(&request).len(), "{}: a path must exist", profile.name);
    }
}

#[test]
fn every_grant_says_why() {
    let key =
        |line: &str| line.split_once(" = ").is_some_and(|(_, value)| !value.starts_with('[')) || line.starts_with('"');
    for profile in PROFILES {
        for (line, number) in profile.text.lines().map(str::trim).zip(1..) {
            let says = line.starts_with('#') || line.split_once(" # ").is_some_and(|(_, why)| why.len() > 5);
            assert!(says || !key(line) && !line.starts_with(char::is_numeric), "{}:{number}: {line}", profile.name);
        }
    }
}

/// What programs, shells and agents start or obey later, outside too.
#[test]
fn what_runs_later_is_not_writable() {
    let table = [
        ".bashrc",
        ".profile",
        ".local/bin/x",
        ".local/lib/python3.12/site-packages/x.pth",
        ".local/share/uv/tools/x",
        ".local/share/opencode/bin/x",
        ".cargo/bin/cargo",
        ".cargo/config.toml",
        ".rustup/toolchains/x",
        ".npm/_npx/x",
        ".config/x",
        ".gitconfig",
        ".claude.json",
        ".claude/settings.json",
        ".claude/hooks/x",
        ".claude/plugins/x",
        ".claude/CLAUDE.md",
        ".codex/config.toml",
        ".codex/AGENTS.md",
        ".codex/rules/x",
        ".ipython/profile_default/startup/x.py",
        ".jupyter/jupyter_server_config.py",
        ".local/share/jupyter/kernels/x/kernel.json",
        ".aider.conf.yml",
    ];
    for (profile, request) in requests() {
        for (path, access) in paths(&request).into_iter().filter(|(_, access)| access.writes()) {
            for later in table.map(|name| home().unwrap().join(name)) {
                assert!(!later.starts_with(&path), "{}: {} is {access}", profile.name, later.display());
            }
        }
    }
}

/// The only credentials that a profile hands over are the agent's own login.
#[test]
fn credentials_stay_hidden() {
    let own =
        ["~/.claude.json", "~/.claude/.credentials.json", "~/.codex/auth.json", "~/.local/share/opencode/auth.json"];
    for (profile, request) in requests() {
        for (path, _) in paths(&request) {
            let below_home = path.strip_prefix(home().unwrap()).expect("below the home");
            let is_secret = |(secret, _): &(&str, &str)| below_home == Path::new(secret);
            let named = own.contains(&&*format!("~/{}", below_home.display()));
            let secret = crate::policy::tables::HOME_SECRETS.iter().any(is_secret);
            assert!(!secret || named, "{}: {}", profile.name, path.display());
        }
    }
}

/// A link that a command plants in a directory that it may write is followed by the next start, when a rule lies below.
#[test]
fn no_rule_lies_below_what_a_profile_lets_be_written() {
    let all: Vec<_> = requests().flat_map(|(_, request)| paths(&request)).collect();
    for (above, _) in all.iter().filter(|(_, access)| *access == Access::Write) {
        let below = all.iter().find(|(path, _)| path != above && path.starts_with(above));
        assert_eq!(below, None, "below {}", above.display());
    }
}

#[test]
fn hosts_are_named_with_their_port() {
    for (profile, request) in requests() {
        for host in &request.reach.allow {
            assert!(host.value.ends_with(":443"), "{}: {}", profile.name, host.value);
        }
    }
}

fn laid_below(text: &str) -> Result<Request, LoadError> {
    let request = load::parse(text, Path::new("a.toml"), Path::new("/base"), home()).expect("a good file");
    below(request, home())
}

#[test]
fn what_is_said_replaces_and_adds_to_a_profile() {
    let request =
        laid_below("profile = [\"git\", \"jupyter\", \"git\"]\ngit = \"protect\"\npublish = [9000]\n").unwrap();
    assert_eq!(request.git.map(|said| said.by.to_string()), Some("a.toml:2".to_owned()));
    assert_eq!(request.gpu.map(|said| said.by.to_string()), Some("profile jupyter:24".to_owned()));
    let ports: Vec<_> = request.reach.publish.iter().map(|said| said.value.to_string()).collect();
    assert_eq!(ports, ["9000"], "one's own ports are the ports");
    let request = laid_below("profile = [\"aider\"]\nsandbox = \"full-access\"\n").unwrap();
    assert!(request.git.is_none() && request.write.is_empty() && !request.env.is_empty(), "{request:?}");
    assert_eq!(laid_below("write = [\"x\"]\n").unwrap().write.len(), 1);
}

#[test]
fn an_unknown_profile_is_told_with_its_place() {
    let error = laid_below("\nprofile = [\"carg\"]\n").unwrap_err();
    assert_eq!(error.to_string(), "a.toml:2: there is no profile `carg`");
    let names: Vec<_> = PROFILES.iter().map(|profile| profile.name).collect();
    assert_eq!(["carg", "x", "something"].map(|name| nearest(name, &names)), [Some("cargo"), None, None]);
}
