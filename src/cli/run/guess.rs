//! What a command may have been refused, by its words and that it failed: nobody has watched it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::cli::inspect::canonical;
use crate::plan::denial::{Denial, Remedy};
use crate::plan::seen::{Act, Seen};
use crate::plan::{Plan, denial};
use crate::request::Net;

/// Programs whose arguments are what they write to.
const WRITERS: [&str; 13] =
    ["chmod", "chown", "cp", "dd", "install", "ln", "mkdir", "mv", "rm", "rmdir", "tee", "touch", "truncate"];

/// What the words of a command that failed name and the plan refuses.
pub(super) fn denials(plan: &Plan) -> Vec<Denial> {
    let words: Vec<&str> = plan.process.command.iter().filter_map(|word| word.to_str()).collect();
    let program = words.first().and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str());
    let writes = program.is_some_and(|name| WRITERS.contains(&name));
    let arguments = || words.iter().skip(1).filter(|word| !word.starts_with('-'));
    let seen: Vec<_> = arguments().filter(|_| writes).filter_map(|word| written(word, &plan.process.cwd)).collect();
    let files = denial::denials(plan, &seen).into_iter().map(|denial| Denial { certain: false, ..denial });
    files.chain(arguments().filter_map(|word| host(word, plan))).collect()
}

/// The path that a word names, as it would be written to.
fn written(word: &str, cwd: &Path) -> Option<Seen> {
    let path: PathBuf = cwd.join(word.rsplit_once('=').map_or(word, |(_, path)| path));
    let canonical = canonical(&path);
    let act = if canonical.exists() { Act::Change } else { Act::Make };
    (!canonical.as_os_str().as_bytes().is_empty()).then(|| Seen { act, what: canonical.into_os_string() })
}

/// The host of a word that is a URL, where there is no network.
fn host(word: &str, plan: &Plan) -> Option<Denial> {
    let net = &plan.confinement.as_ref()?.net;
    let url = url::Url::parse(word).ok().filter(|url| ["http", "https", "ssh", "git"].contains(&url.scheme()))?;
    let host = url.host_str().filter(|_| net.value == Net::None)?;
    Some(Denial {
        act: Act::Internet,
        what: host.into(),
        because: format!("net none, because {}", net.by),
        remedy: Some(Remedy::listed("--allow-host", host)),
        certain: false,
        times: 1,
    })
}
