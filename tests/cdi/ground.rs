//! What a policy makes of paths that a file names.

use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect;
use ringfence::host::{self, Facts};
use ringfence::plan::gpu::cdi::{denied_by, denied_within, ground_at, ruled_below};
use ringfence::policy::Policy;
use ringfence::request::load;

use crate::lab::Machine;

fn facts(text: &str) -> (Policy, Facts, Machine) {
    facts_of(text, "/w")
}

fn facts_of(text: &str, workspace: &str) -> (Policy, Facts, Machine) {
    let machine = Machine::new().dir("/w").dir("/run").dir("/tmp").dir("/dev/shm").dir("/usr/lib").dir("/proc");
    let machine = machine.dir("/opt/a/b").file("/opt/a/key.pem", "").link("/alias", "opt/a").file("/etc/shadow", "");
    // What is in /opt/a/b is at /mnt too.
    let machine = machine.dir("/mnt").file(
        "/proc/self/mountinfo",
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n40 27 254:0 /opt/a/b /mnt rw - ext4 /dev/vda rw\n",
    );
    let machine = machine.dir("/srv/deep").file(
        "/proc/net/unix",
        "Num       RefCount Protocol Flags    Type St Inode Path\n\
         0000000000000000: 00000002 00000000 00010000 0001 01 17 /srv/deep/socket\n",
    );
    let _bound = std::os::unix::net::UnixListener::bind(machine.real("/srv/deep/socket")).unwrap();
    let mut request = load::parse(text, Path::new("agent.toml"), Path::new(workspace), None).unwrap();
    request.command = vec!["true".into()];
    let policy = Policy::new(request, Path::new(workspace)).unwrap();
    let facts = host::probe(&machine.real("/"), &policy, Vec::new()).unwrap();
    (policy, facts, machine)
}

fn told(text: &str, paths: &[&str]) -> String {
    let (policy, facts, _machine) = facts(text);
    let mut out = String::new();
    for path in paths.iter().map(Path::new) {
        write!(out, "{} {:?}", path.display(), ground_at(&policy, &facts, path)).unwrap();
        let by =
            |by: Option<_>| by.map_or_else(|| "nobody".to_owned(), |by: ringfence::request::Origin| by.to_string());
        writeln!(out, ", denied by {}, within by {}", by(denied_by(&facts, path)), by(denied_within(&facts, path)))
            .unwrap();
    }
    out
}

const PATHS: &[&str] = &[
    "/usr/lib",
    "/w/x",
    "/run/x",
    "/tmp/x",
    "/dev/x",
    "/opt",
    "/opt/a",
    "/opt/a/b",
    "/opt/a/b/c",
    "/opt/a/key.pem",
    "/alias/b",
    "/etc",
    "/etc/shadow",
    "/new",
];

#[test]
fn a_readable_root() {
    expect![[r#"
        /usr/lib Shown, denied by nobody, within by nobody
        /w/x Writable, denied by nobody, within by nobody
        /run/x Anew, denied by nobody, within by nobody
        /tmp/x Anew, denied by nobody, within by nobody
        /dev/x Anew, denied by nobody, within by nobody
        /opt Shown, denied by nobody, within by nobody
        /opt/a Shown, denied by nobody, within by nobody
        /opt/a/b Shown, denied by nobody, within by nobody
        /opt/a/b/c Shown, denied by nobody, within by nobody
        /opt/a/key.pem Shown, denied by nobody, within by nobody
        /alias/b Shown, denied by nobody, within by nobody
        /etc Shown, denied by nobody, within by secret: password hashes
        /etc/shadow Shown, denied by secret: password hashes, within by secret: password hashes
        /new Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("", PATHS));
}

#[test]
fn denials() {
    expect![[r#"
        /usr/lib Shown, denied by nobody, within by nobody
        /w/x Writable, denied by nobody, within by nobody
        /run/x Anew, denied by nobody, within by nobody
        /tmp/x Anew, denied by nobody, within by nobody
        /dev/x Anew, denied by nobody, within by nobody
        /opt Shown, denied by nobody, within by agent.toml:1
        /opt/a Hidden, denied by agent.toml:1, within by agent.toml:1
        /opt/a/b Shown, denied by nobody, within by nobody
        /opt/a/b/c Shown, denied by nobody, within by nobody
        /opt/a/key.pem Hidden, denied by agent.toml:1, within by nobody
        /alias/b Shown, denied by nobody, within by nobody
        /etc Shown, denied by nobody, within by secret: password hashes
        /etc/shadow Shown, denied by secret: password hashes, within by secret: password hashes
        /new Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/opt/a', '/usr']\nread = ['/opt/a/b', '/usr/lib']\n", PATHS));
    expect![[r#"
        /usr/lib Shown, denied by nobody, within by nobody
        /w/x Writable, denied by nobody, within by nobody
        /run/x Anew, denied by nobody, within by nobody
        /tmp/x Anew, denied by nobody, within by nobody
        /dev/x Anew, denied by nobody, within by nobody
        /opt Writable, denied by nobody, within by agent.toml:1
        /opt/a Hidden, denied by agent.toml:1, within by agent.toml:1
        /opt/a/b Hidden, denied by agent.toml:1, within by nobody
        /opt/a/b/c Hidden, denied by agent.toml:1, within by nobody
        /opt/a/key.pem Hidden, denied by agent.toml:1, within by nobody
        /alias/b Shown, denied by agent.toml:1, within by nobody
        /etc Shown, denied by nobody, within by secret: password hashes
        /etc/shadow Shown, denied by secret: password hashes, within by secret: password hashes
        /new Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/alias']\nwrite = ['/opt']\n", PATHS));
    expect![[r#"
        /usr/lib Shown, denied by nobody, within by nobody
        /w/x Writable, denied by nobody, within by nobody
        /run/x Anew, denied by nobody, within by nobody
        /tmp/x Anew, denied by nobody, within by nobody
        /dev/x Anew, denied by nobody, within by nobody
        /opt Shown, denied by nobody, within by baseline: a deny glob
        /opt/a Shown, denied by nobody, within by baseline: a deny glob
        /opt/a/b Shown, denied by nobody, within by nobody
        /opt/a/b/c Shown, denied by nobody, within by nobody
        /opt/a/key.pem Shown, denied by baseline: a deny glob, within by baseline: a deny glob
        /alias/b Shown, denied by nobody, within by nobody
        /etc Shown, denied by nobody, within by secret: password hashes
        /etc/shadow Shown, denied by secret: password hashes, within by secret: password hashes
        /new Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/opt/**/*.pem']\n", PATHS));
}

#[test]
fn a_denial_holds_by_every_name() {
    expect![[r#"
        /opt/a/b/c Hidden, denied by agent.toml:1, within by nobody
        /mnt Shown, denied by agent.toml:1, within by agent.toml:1
        /mnt/c Shown, denied by agent.toml:1, within by nobody
        /srv Shown, denied by nobody, within by baseline: a socket of the host
        /srv/deep/socket Shown, denied by nobody, within by baseline: a socket of the host
    "#]]
    .assert_eq(&told("deny = ['/opt/a/b']\n", &["/opt/a/b/c", "/mnt", "/mnt/c", "/srv", "/srv/deep/socket"]));
    // Of two rules for one directory, the stricter.
    expect![[r#"
        /opt/a Hidden, denied by agent.toml:1, within by agent.toml:1
        /opt/a/x Hidden, denied by agent.toml:1, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/alias']\nwrite = ['/opt/a']\n", &["/opt/a", "/opt/a/x"]));
    expect![[r#"
        /opt/a Hidden, denied by agent.toml:1, within by agent.toml:1
        /opt/a/x Hidden, denied by agent.toml:1, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/opt/a']\nwrite = ['/alias']\n", &["/opt/a", "/opt/a/x"]));
    expect![[r#"
        /opt/a Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("read = ['/opt/a']\nwrite = ['/alias']\n", &["/opt/a"]));
    expect![[r#"
        /opt/a Shown, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("read = ['/alias']\nwrite = ['/opt/a']\n", &["/opt/a"]));
}

#[test]
fn a_narrowed_root() {
    expect![[r#"
        /usr/lib Shown, denied by nobody, within by nobody
        /w/x Writable, denied by nobody, within by nobody
        /run/x Shown, denied by nobody, within by nobody
        /tmp/x Writable, denied by nobody, within by nobody
        /dev/x Anew, denied by nobody, within by nobody
        /opt Shown, denied by nobody, within by agent.toml:1
        /opt/a Shown, denied by nobody, within by agent.toml:1
        /opt/a/b Hidden, denied by agent.toml:1, within by agent.toml:1
        /opt/a/b/c Hidden, denied by agent.toml:1, within by nobody
        /opt/a/key.pem Shown, denied by nobody, within by nobody
        /alias/b Anew, denied by nobody, within by nobody
        /etc Anew, denied by nobody, within by secret: password hashes
        /etc/shadow Anew, denied by secret: password hashes, within by secret: password hashes
        /new Anew, denied by nobody, within by nobody
    "#]]
    .assert_eq(&told("deny = ['/', '/opt/a/b']\nread = ['/usr', '/opt', '/run/x']\ntmp = 'host'\n", PATHS));
}

#[test]
fn what_lies_below_is_known() {
    let (_, facts, _machine) = facts("read = ['/opt/a/b']\ndeny = ['/usr/**/*.pem']\n");
    for (path, want) in [("/opt", true), ("/opt/a", true), ("/opt/a/b", false), ("/etc", true), ("/run", false)] {
        assert_eq!(ruled_below(&facts, Path::new(path)), want, "{path}");
    }
    let (_, facts, _machine) = facts_of("sandbox = 'read-only'\n", "/opt/a");
    assert!(ruled_below(&facts, Path::new("/opt")), "the workspace, also where no rule names it");
}
