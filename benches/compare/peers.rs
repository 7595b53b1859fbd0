//! The sandboxes, all with one policy as far as they can: the root read-only, the workspace writable, no network, a `/dev`
//! of their own and a PID namespace.

use std::path::{Path, PathBuf};

use crate::place::{Place, SESSION};

/// One way to run a command.
pub struct Peer {
    pub name: &'static str,
    /// What stands before the command.
    pub before: Vec<String>,
    /// Whether commands are to be compared inside of it, too.
    pub inside: bool,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// What `npm install @openai/codex` brings, where `just diff-codex` has installed it or `RINGFENCE_REFERENCE` names it.
fn of_codex(part: &str) -> Option<PathBuf> {
    let installed = "target/reference/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    let codex = std::env::var_os("RINGFENCE_REFERENCE").map_or_else(installed, PathBuf::from);
    let wanted = codex.parent()?.parent()?.join(part);
    wanted.is_file().then_some(wanted)
}

/// What a plain bubblewrap can do of it.
fn bwrap(program: &Path, work: &str) -> Vec<String> {
    let options = "--ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /run";
    let rest = "--unshare-all --die-with-parent --new-session --";
    words(&format!("{} {options} --bind {work} {work} {rest}", program.display()))
}

/// All that are installed, the plain command first.
pub fn all(place: &Place) -> Vec<Peer> {
    let work = place.work().to_str().unwrap().to_owned();
    let ours = place.ringfence.display();
    let peer = |name, before: Option<Vec<String>>, inside| match before {
        Some(before) => Some(Peer { name, before, inside }),
        None => {
            println!("left out, not installed: {name}");
            None
        }
    };
    let when = |program: &str, line: String| found(program).map(|_| words(&line));
    let list = [
        peer(PLAIN, Some(Vec::new()), true),
        peer("unshare -Urpfn --mount-proc", when("unshare", "unshare -Urpfn --mount-proc --".into()), false),
        peer("bwrap", found("bwrap").map(|program| bwrap(&program, &work)), true),
        peer("bwrap of Codex", of_codex("codex-resources/bwrap").map(|program| bwrap(&program, &work)), false),
        peer(
            "firejail",
            when(
                "firejail",
                format!("firejail --quiet --noprofile --net=none --private-dev --read-only=/ --read-write={work} --"),
            ),
            false,
        ),
        peer(
            "codex sandbox",
            of_codex("bin/codex")
                .map(|codex| words(&format!("{} sandbox -c sandbox_mode=\"workspace-write\" --", codex.display()))),
            false,
        ),
        peer("sandlock", when("sandlock", format!("sandlock run -r / -w {work} -w /dev/null --")), true),
        peer("ringfence run -s read-only", Some(words(&format!("{ours} run -s read-only --"))), false),
        peer("ringfence run", Some(words(&format!("{ours} run --"))), true),
        peer(
            "ringfence run --backend bwrap",
            found("bwrap").map(|_| words(&format!("{ours} run --backend bwrap --"))),
            false,
        ),
        peer("ringfence run --backend landlock", Some(words(&format!("{ours} run --backend landlock --"))), true),
        peer(WARM, Some(words(&format!("{ours} exec {SESSION} --"))), true),
    ];
    list.into_iter().flatten().filter(|peer| works(place, peer)).collect()
}

/// The command without a sandbox.
pub const PLAIN: &str = "no sandbox";
/// A command in a sandbox that stands.
pub const WARM: &str = "ringfence exec";

fn works(place: &Place, peer: &Peer) -> bool {
    let works = place.command(&peer.line(&["true"])).status().is_ok_and(|status| status.success());
    if !works {
        println!("left out, does not work here: {}", peer.name);
    }
    works
}

impl Peer {
    /// The whole command line.
    pub fn line<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        self.before.iter().cloned().chain(command.iter().map(|word| word.as_ref().to_owned())).collect()
    }
}
