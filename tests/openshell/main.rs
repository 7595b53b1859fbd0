//! OpenShell's policies: text in, text out, no machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test"
)]

mod decisions;
mod files;
mod fixtures;
mod middlewares;
mod network;
mod requests;

use std::fmt::Write as _;
use std::path::Path;

use expect_test::Expect;
use ringfence::request::openshell::{self, Rejected};
use ringfence::request::{Dialect, Mode, Net, Origin, Request, Said, Source};

fn parse(text: &str) -> Result<Request, Rejected> {
    openshell::parse(text, Path::new("p.yaml"), Source::User, Path::new("/project"))
}

/// Compares everything that is made of a policy, or everything that is wrong with it.
fn check(text: &str, want: &Expect) {
    want.assert_eq(&match parse(text) {
        Ok(request) => show(request),
        Err(Rejected(violations)) => {
            assert!(!violations.is_empty());
            let hint = |hint: Option<&String>| hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
            violations.iter().map(|one| format!("{one}\n{}", hint(one.hint.as_ref()))).collect()
        }
    });
}

/// As [`check`], for what stands below `network_policies.x.endpoints[0]`, as a flow mapping.
fn check_endpoint(endpoint: &str, want: &Expect) {
    check(&policy(endpoint), want);
}

fn policy(endpoint: &str) -> String {
    let lines: Vec<_> = endpoint.lines().map(|line| format!(" {line}")).collect();
    let lines = lines.join("\n");
    format!("version: 1\nnetwork_policies: {{x: {{binaries: [{{path: /bin/a}}], endpoints: [\n{lines}\n ]}}}}\n")
}

/// The codes alone, each once: for tables.
fn codes(text: &str) -> Vec<&'static str> {
    let violations = parse(text).err().map(|Rejected(violations)| violations).unwrap_or_default();
    let mut codes: Vec<_> = violations.iter().map(|violation| violation.code).collect();
    codes.dedup();
    codes
}

fn accept(text: &str) {
    if let Err(rejected) = parse(text) {
        panic!("{text}\n{rejected}");
    }
}

fn show(request: Request) -> String {
    let Request { sandbox, read, write, net, wall, reach, identity, provenance, dialect, notes, .. } = request;
    assert_eq!(dialect, Dialect::OpenShell);
    let mut out = String::new();
    let mut line = |what: &str, value: &str, by: &Origin| writeln!(out, "{what} {value}  <- {by}").unwrap();
    for (what, paths) in [("read", &read), ("write", &write)] {
        paths.iter().for_each(|Said { value, by }| line(what, &value.display().to_string(), by));
    }
    let landlock = wall.landlock.unwrap();
    line("landlock", landlock.value.name(), &landlock.by);
    for (what, said) in [("user", identity.user), ("group", identity.group)] {
        said.iter().for_each(|Said { value, by }| line(what, value, by));
    }
    for Said { value, by } in &reach.rules {
        let rest = format!("{} programs {:?} addresses {:?}", value.hosts.join(" "), value.programs, value.addresses);
        line(&format!("net `{}`", value.name), &rest, by);
    }
    for Said { value, by } in &reach.unenforced {
        line("unenforced", &format!("{}: {}", value.code, value.what), by);
    }
    notes.iter().for_each(|note| writeln!(out, "note {note}").unwrap());
    assert_eq!(sandbox.unwrap().value, Mode::WorkspaceWrite);
    assert_eq!(net.unwrap().value, Net::None);
    assert!(provenance.files.len() <= 1, "{provenance:?}");
    out
}
