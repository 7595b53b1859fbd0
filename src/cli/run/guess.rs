//! What a command may have been refused, by its words and that it failed: nobody has watched it.

use std::path::Path;

use crate::cli::inspect::canonical;
use crate::plan::denial::{Denial, Remedy};
use crate::plan::seen::{Act, Seen};
use crate::plan::{Plan, denial};
use crate::request::Net;

/// Programs that write to each path they are given.
const WRITERS: [&str; 9] = ["chmod", "chown", "mkdir", "mv", "rm", "rmdir", "tee", "touch", "truncate"];

/// Programs that write to the last path they are given.
const COPIERS: [&str; 3] = ["cp", "install", "ln"];

/// What the words of a command that failed name and the plan refuses.
pub(super) fn denials(plan: &Plan) -> Vec<Denial> {
    let words: Vec<&str> = plan.process.command.iter().filter_map(|word| word.to_str()).collect();
    let program = words.first().and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str());
    let arguments = || words.iter().skip(1).filter(|word| !word.starts_with('-'));
    let skipped = match program {
        Some(name) if WRITERS.contains(&name) => 0,
        Some(name) if COPIERS.contains(&name) => arguments().count().saturating_sub(1),
        _ => usize::MAX,
    };
    let seen: Vec<_> = arguments().skip(skipped).map(|word| written(word, &plan.process.cwd)).collect();
    let files = denial::denials(plan, &seen).into_iter().map(|denial| Denial { certain: false, ..denial });
    files.chain(hosts(plan)).collect()
}

/// The hosts of its words that are URLs, where there is no network.
pub(super) fn hosts(plan: &Plan) -> Vec<Denial> {
    plan.process.command.iter().skip(1).filter_map(|word| host(word.to_str()?, plan)).collect()
}

/// The path that a word names, as it would be written to.
fn written(word: &str, cwd: &Path) -> Seen {
    let path = canonical(&cwd.join(word));
    let act = if path.exists() { Act::Change } else { Act::Make };
    Seen { act, what: path.into_os_string() }
}

/// The host of a word that is a URL, where there is no network.
fn host(word: &str, plan: &Plan) -> Option<Denial> {
    let net = &plan.confinement.as_ref()?.net;
    let url = url::Url::parse(word).ok().filter(|url| ["http", "https", "ssh", "git"].contains(&url.scheme()))?;
    let host = url.host_str().filter(|_| net.value == Net::None)?;
    let port = url.port_or_known_default().unwrap_or_default();
    let own = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let remedy =
        if own { Remedy::listed("--expose-host", &port.to_string()) } else { Remedy::listed("--allow-host", host) };
    Some(Denial {
        act: Act::Internet,
        what: host.into(),
        because: format!("net none, because {}", net.by),
        remedy: Some(remedy),
        certain: false,
        times: 1,
    })
}
