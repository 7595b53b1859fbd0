//! One policy on one helper: a fresh tree, the probes inside, and the host's view afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::find::Helper;
use crate::policy::Policy;
use crate::tree::Tree;
use crate::user::User;

const PROBES: &str = include_str!("probes.py");
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
const PYTHON: &str = "/usr/bin/python3";
const PATIENCE: Duration = Duration::from_secs(30);

/// What each probe said, and what the host saw.
pub type Results = BTreeMap<String, String>;

/// What a whole run of the suite shares.
pub struct Suite {
    pub base: PathBuf,
    /// Where the reference keeps its own files; policies that say so have another.
    pub scratch: PathBuf,
    pub user: User,
}

/// How a helper ended, and what it printed.
pub struct Ended {
    pub status: String,
    pub stdout: String,
    pub stderr: String,
}

/// The host's ends of what the probes try to reach.
struct Host {
    listener: UnixListener,
    datagrams: UnixDatagram,
    tcp: TcpListener,
    victim: Child,
    listener_path: PathBuf,
    datagrams_path: PathBuf,
}

impl Host {
    fn new(tree: &Tree, user: User) -> Self {
        let (listener_path, datagrams_path) = (tree.base.join("S/listener"), tree.base.join("S/datagrams"));
        let listener = UnixListener::bind(&listener_path).unwrap();
        let datagrams = UnixDatagram::bind(&datagrams_path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        for path in [&listener_path, &datagrams_path] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let mut sleep = Command::new("sleep");
        user.becomes(sleep.arg("120").current_dir("/").stdin(Stdio::null()));
        Self { listener, datagrams, tcp, victim: sleep.spawn().unwrap(), listener_path, datagrams_path }
    }

    /// What reached the host.
    fn noticed(&mut self) -> Results {
        let mut text = [0; 16];
        let facts = [
            ("unix listener was called", self.listener.accept().is_ok()),
            ("datagram came", self.datagrams.recv(&mut text).is_ok()),
            ("tcp listener was called", self.tcp.accept().is_ok()),
            ("process was killed", self.victim_ended()),
        ];
        facts.into_iter().map(|(what, is)| (format!("host sees that {what}"), is.to_string())).collect()
    }

    fn victim_ended(&mut self) -> bool {
        // A signal is delivered before `kill` returns; being reaped may take a moment.
        thread::sleep(Duration::from_millis(5));
        self.victim.try_wait().is_ok_and(|ended| ended.is_some())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _gone = self.victim.kill();
        drop(self.victim.wait());
    }
}

/// Everything that a policy does, on this helper.
pub fn policy(suite: &Suite, policy: &Policy, helper: &Helper, name: &str) -> Results {
    let tree = Tree::new(suite.base.join(name), suite.user);
    (policy.prepare)(&tree);
    let mut host = Host::new(&tree, suite.user);
    let tag = format!("{}-{name}", suite.base.file_name().unwrap().to_str().unwrap());
    let arguments = probe_arguments(&tree, &host, &tag);
    let start = |command: &[&str]| call(suite, &tree, policy, helper, command);
    // Before the probes, which delete what they can.
    let signalled = start(&["/bin/sh", "-c", "kill -TERM $$"]).status;
    let ended = start(&[PYTHON, "-ISc", PROBES, &arguments]);
    let lines = ended.stdout.lines().filter_map(|line| line.split_once('='));
    let mut results: Results = lines.map(|(name, said)| (name.to_owned(), said.to_owned())).collect();
    results.entry("ran".to_owned()).or_insert_with(|| "no".to_owned());
    results.insert("exit".to_owned(), ended.status);
    results.insert("exit after a signal".to_owned(), signalled);
    results.extend(host.noticed());
    results.extend(tree.seen_by_host());
    for dir in ["/tmp", "/dev/shm", "/dev"] {
        let left = fs::remove_file(Path::new(dir).join(&tag)).is_ok();
        results.insert(format!("host sees the file in {dir}"), left.to_string());
    }
    if results["ran"] == "no" {
        results.insert("stderr".to_owned(), ended.stderr);
    }
    results
}

fn probe_arguments(tree: &Tree, host: &Host, tag: &str) -> String {
    let entries = tree.entries();
    let full = |names: Vec<String>| names.iter().map(|name| tree.base.join(name)).collect::<Vec<_>>();
    let arguments = json!({
        "base": tree.base,
        "tag": tag,
        "dirs": full(entries.dirs),
        "others": full(entries.others),
        "missing": full(entries.missing),
        "listener": host.listener_path,
        "datagrams": host.datagrams_path,
        "port": host.tcp.local_addr().unwrap().port(),
        "victim": host.victim.id(),
    });
    arguments.to_string()
}

fn call(suite: &Suite, tree: &Tree, policy: &Policy, helper: &Helper, inner: &[&str]) -> Ended {
    let mut command = Command::new(&helper.link);
    command.arg("--sandbox-policy-cwd").arg(tree.base.join("W"));
    command.arg("--permission-profile").arg(policy.profile.json(tree, &helper.paths()));
    command.args(policy.flags.iter().map(|flag| tree.fill(flag))).arg("--").args(inner);
    environment(&mut command, suite, tree);
    for (name, value) in policy.env {
        match value {
            Some(value) => command.env(name, tree.fill(value)),
            None => command.env_remove(name),
        };
    }
    command.current_dir(tree.fill(policy.cwd));
    ended(command)
}

/// A call with these arguments, whatever they are.
pub fn raw(suite: &Suite, helper: &Helper, name: &str, arguments: &[&str]) -> Ended {
    let tree = Tree::new(suite.base.join(name), suite.user);
    let mut command = Command::new(&helper.link);
    command.args(arguments.iter().map(|argument| tree.fill(argument)));
    environment(&mut command, suite, &tree);
    command.current_dir(tree.base.join("W"));
    ended(command)
}

fn environment(command: &mut Command, suite: &Suite, tree: &Tree) {
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8");
    command.env("HOME", tree.base.join("home")).env("TMPDIR", &suite.scratch);
    suite.user.becomes(command);
}

/// Runs it to its end.
fn ended(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || text_of(&mut out));
    let err = thread::spawn(move || text_of(&mut err));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break said(status),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                drop(child.wait());
                break "hangs".to_owned();
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    Ended { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn said(status: ExitStatus) -> String {
    status.code().map_or_else(|| format!("signal {}", status.signal().unwrap()), |code| code.to_string())
}

fn text_of(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
