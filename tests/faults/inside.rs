//! What the command finds out about its sandbox: this program again, inside. Each line says how the kernel answered one
//! attempt, so that a sandbox with all in force has one text, and one that lacks something has another.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use landlock::{AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr};
use rustix::process::{Resource, getrlimit};

/// The word that makes this program the one inside.
pub const WORD: &str = "inside";

/// More layers of Landlock than the kernel lets be put on one another.
const LAYERS: usize = 20;

/// What it ends with where its workspace has gone.
const NO_WORKSPACE: i32 = 98;

/// Looks, and tells on standard output and in `verdict`. Arguments: the lab's directory, the address of a host's
/// listener, whether missing names may be tried, milliseconds to wait before,
/// the code to end with.
pub fn main(arguments: &[String]) -> i32 {
    let [lab, address, tries, stay, code] = arguments else { return 99 };
    if fs::write("started", "").is_err() {
        return NO_WORKSPACE;
    }
    std::thread::sleep(Duration::from_millis(stay.parse().unwrap()));
    let verdict = verdict(Path::new(lab), address.parse().unwrap(), tries == "yes");
    if fs::write("verdict.new", &verdict).and_then(|()| fs::rename("verdict.new", "verdict")).is_err() {
        return NO_WORKSPACE;
    }
    println!("looked\n{verdict}");
    code.parse().unwrap()
}

fn verdict(lab: &Path, address: SocketAddr, tries: bool) -> String {
    let mut told = String::new();
    let status = status();
    let mut say = |name: &str, what: String| writeln!(told, "{name}: {what}").unwrap();
    say("write inside", answer(fs::write("made", "x")));
    say("write outside", answer(fs::write(lab.join("outside/made"), "x")));
    say("write home", answer(fs::write(lab.join("home/made"), "x")));
    say("read what is denied", answer(fs::read(lab.join("secret"))));
    say("read a denied directory", answer(fs::read(lab.join("closed/secret"))));
    say("read a credential", answer(fs::read(lab.join("home/.ssh/id_ed25519"))));
    if tries {
        say("write a hook", answer(fs::write(".git/hooks/post-checkout", "x")));
        say("change what git runs", answer(fs::OpenOptions::new().append(true).open(".git/config")));
        say("make a protected name", answer(fs::create_dir(".claude")));
    }
    say("connect", answer(TcpStream::connect_timeout(&address, Duration::from_millis(500))));
    say("namespace", answer(namespace()));
    say("variable", std::env::var("LAB_TOKEN").unwrap_or_default());
    say("temporary directory", answer(fs::write(std::env::temp_dir().join("made"), "x")));
    say("descriptors", descriptors());
    say("open files", format!("{:?}", getrlimit(Resource::Nofile)));
    say("core files", format!("{:?}", getrlimit(Resource::Core)));
    // Last, as they bind this process.
    say("layers of Landlock left", layers().to_string());
    told + &status
}

fn answer<T>(tried: io::Result<T>) -> String {
    match tried {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn namespace() -> io::Result<()> {
    let status = std::process::Command::new("unshare").args(["--user", "true"]).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// What is the same in each run, a line each.
fn status() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let known = ["NoNewPrivs", "Seccomp", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "Uid", "Gid", "Umask"];
    let lines = status.lines().filter(|line| known.iter().any(|name| line.starts_with(&format!("{name}:"))));
    lines.map(|line| line.replace('\t', " ") + "\n").collect()
}

fn descriptors() -> String {
    let Ok(found) = fs::read_dir("/proc/self/fd") else { return "unknown".to_owned() };
    let mut numbers: Vec<_> =
        found.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).collect();
    numbers.sort_unstable();
    format!("{numbers:?}")
}

fn layers() -> usize {
    let restrict = || {
        let rules = Ruleset::default().handle_access(AccessFs::MakeFifo).and_then(Ruleset::create);
        rules.and_then(|rules| rules.no_new_privs(true).restrict_self()).is_ok()
    };
    (0..LAYERS).take_while(|_| restrict()).count()
}
