//! The ways from a client to the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A way that a client can go.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// What the client is run by; empty for a client outside.
    sandbox: Vec<String>,
    /// As the client has it.
    language: &'static str,
    proxy: String,
    directory: PathBuf,
}

impl Way {
    /// The client with a task, not yet started.
    fn client(&self, task: &[&str]) -> Command {
        let this = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let mut argv = self.sandbox.iter().chain([&this]);
        let mut command = Command::new(argv.next().unwrap());
        command.args(argv).args(["client", self.language]).args(task);
        command.current_dir(&self.directory).env("HTTP_PROXY", &self.proxy);
        command
    }

    /// Asks so many times, one after the other: how long each took.
    pub(crate) fn get(&self, url: &str, count: u64) -> Vec<Duration> {
        self.try_get(url, count).unwrap_or_else(|why| panic!("{}: {why}", self.name))
    }

    fn try_get(&self, url: &str, count: u64) -> Result<Vec<Duration>, String> {
        let mut command = self.client(&["get", url, &count.to_string()]);
        let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let times = String::from_utf8_lossy(&output.stdout);
        let times: Vec<_> = times.lines().filter_map(|line| line.parse().ok().map(Duration::from_nanos)).collect();
        let complete = output.status.success() && times.len() as u64 == count;
        if complete { Ok(times) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// A client that says a line and waits for one.
    pub(crate) fn start(&self, task: &[&str]) -> Child {
        self.client(task).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Whether there is a bridge of ours on it.
    pub(crate) fn is_ours(&self) -> bool {
        self.sandbox.iter().any(|word| word == "--net")
    }
}

/// The first is the one that the others are compared with. What does not work here is told and left out.
pub(crate) fn all(binary: &Path, server: SocketAddr, directory: &Path) -> Vec<Way> {
    let proxy = format!("http://{server}");
    let ours = |network: &[&str]| {
        let words = [&[binary.to_str().unwrap(), "run"], network, &["--"]].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let host = server.to_string();
    let allow: Vec<String> = ours(&["--net", "allow", "--allow-host", &host]);
    let way = |name, sandbox, language| {
        let (proxy, directory) = (proxy.clone(), directory.to_owned());
        Way { name, sandbox, language, proxy, directory }
    };
    let ways = [
        way("plain loopback", Vec::new(), "plain"),
        way("--net proxy", ours(&["--net", "proxy"]), "proxy"),
        way("--net allow, GET", allow.clone(), "proxy"),
        way("--net allow, CONNECT", allow, "connect"),
        way("Codex's bridge", codex(directory), "proxy"),
    ];
    let works = |way: &Way| match way.try_get(&format!("{proxy}/1"), 1) {
        Ok(_) => true,
        Err(why) => {
            println!("left out: {}: {}", way.name, why.trim());
            false
        }
    };
    ways.into_iter().filter(works).collect()
}

const PROFILE: &str = r#"{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"},{"path":{"type":"special","value":{"kind":"project_roots"}},"access":"write"}]},"network":"restricted"}"#;

/// Codex's own helper, where `just diff-codex` has installed it or `RINGFENCE_REFERENCE` names it, under the name that it
/// is called by.
fn codex(directory: &Path) -> Vec<String> {
    let installed = "target/reference/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    let program = std::env::var_os("RINGFENCE_REFERENCE").map_or_else(installed, PathBuf::from);
    let link = directory.join("codex-linux-sandbox");
    std::os::unix::fs::symlink(program, &link).unwrap();
    let link = link.to_str().unwrap();
    let words = [link, "--sandbox-policy-cwd", ".", "--permission-profile", PROFILE, "--managed-network", "{}", "--"];
    words.map(str::to_owned).to_vec()
}
