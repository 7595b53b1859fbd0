//! What the command was refused, and what would allow it.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::guess;
use crate::cli::report::note;
use crate::host::paths::PathFact;
use crate::plan::baseline::Entry;
use crate::plan::denial::{self, DNS, Denial, Remedy};
use crate::plan::seen::Act;
use crate::plan::show;
use crate::plan::{Confinement, Plan};
use crate::supervise::outcome::{Ending, Outcome};
use crate::supervise::proxy::events::Told;

/// So many are told; JSON has all.
const TOLD: usize = 8;

/// What a command was refused, as far as anybody knows: what its calls named, if that was noted, what the bridge refused,
/// and after a failure what can be guessed.
pub fn of(outcome: &Outcome, plan: &Plan) -> Vec<Denial> {
    let seen = denial::denials(plan, &outcome.seen).into_iter().filter(works_outside);
    let told = outcome.network.iter().flat_map(|summary| &summary.told);
    let mut found: Vec<_> = seen.chain(told.filter(|told| told.denied).map(of_bridge)).collect();
    let failed = !matches!(outcome.ending, Ending::Exit(0) | Ending::NotExecuted(_) | Ending::Failed(_));
    if failed {
        // Where only a name server was asked, the words may tell for whom.
        let guesses = if is_watched(plan) { guess::hosts(plan) } else { guess::denials(plan) };
        found.extend(guesses.into_iter().filter(works_outside));
    }
    found
}

/// Whether the command's calls are noted.
pub(super) fn is_watched(plan: &Plan) -> bool {
    let watch = |confinement: &Confinement| confinement.syscalls.modes.watch.is_some();
    plan.confinement.as_ref().is_some_and(watch)
}

/// Tells each once, those with one cure together. What the bridge refused is told elsewhere, and so are secrets.
pub(super) fn tell(denials: &[Denial], outcome: &Outcome) {
    let of_bridge: Vec<_> = outcome.network.iter().flat_map(|summary| &summary.told).map(|told| &told.to).collect();
    let ours = denials.iter().filter(|denial| !of_bridge.iter().any(|to| **to == *denial.what.to_string_lossy()));
    let mut groups: Vec<(&Denial, usize)> = Vec::new();
    for denial in ours {
        let same = |(first, _): &&mut (&Denial, usize)| first.remedy.is_some() && first.remedy == denial.remedy;
        match groups.iter_mut().find(same) {
            Some((_, more)) => *more += 1,
            None => groups.push((denial, 0)),
        }
    }
    for (denial, more) in groups.iter().take(TOLD) {
        note(&line(denial, *more));
    }
    if groups.len() > TOLD {
        note(&format!("and {} more of the kind: --json-outcome FD has all of them", groups.len() - TOLD));
    }
}

/// After a failure: which directories of profiles are missing, and on a terminal, how more is told where nothing was.
pub(super) fn tell_more(plan: &Plan, denials: &[Denial]) {
    let missing = |entry: &&Entry| matches!(entry.fact, PathFact::Missing { .. }) && entry.rule.because.is_profile();
    for Entry { rule, .. } in
        plan.effective.iter().filter(missing).filter(|entry| entry.rule.access.writes()).take(TOLD)
    {
        let (path, by) = (show::show(&rule.path), &rule.because);
        note(&format!("{path} is not there, so {by} does not grant it: mkdir -p {path} outside lets it"));
    }
    if denials.is_empty() && !is_watched(plan) && plan.confinement.is_some() && std::io::stderr().is_terminal() {
        note("--explain tells what the sandbox refuses, if that is why");
    }
}

fn line(denial: &Denial, more: usize) -> String {
    let Denial { act, what, because, remedy, certain, times: _ } = denial;
    let guess = if *certain { "" } else { "a guess: " };
    let what = show::show(Path::new(what));
    let others = if more == 0 { String::new() } else { format!(", and {more} more,") };
    let failed = match act {
        Act::Look | Act::Read | Act::More => "could not be read",
        Act::Execute => "could not be executed",
        Act::Change => "could not be changed",
        Act::Make | Act::MakeAgain => "could not be made or removed",
        Act::Unix | Act::UnixAbsent => "could not be connected to",
        Act::Internet if is_name_server(&what) => "was not reached, so no name was found",
        Act::Internet => "could not be reached",
        Act::Call => "is a call that is refused",
    };
    let cure = match remedy {
        Some(Remedy { flag, missing: true, .. }) => format!(": {flag} allows it once it is there"),
        Some(Remedy { flag, .. }) => format!(": {flag} allows it"),
        None => String::new(),
    };
    format!("{guess}{what}{others} {failed} ({because}){cure}")
}

fn is_name_server(what: &str) -> bool {
    what.parse::<SocketAddr>().is_ok_and(|address| address.port() == DNS)
}

fn of_bridge(told: &Told) -> Denial {
    Denial {
        act: Act::Internet,
        what: told.to.clone().into(),
        because: told.reason.clone(),
        remedy: told.allow_with.as_deref().map(Remedy::of_flag),
        certain: true,
        times: told.times,
    }
}

/// Whether the caller could have done it without a sandbox. What would fail anyway is no denial of ours.
fn works_outside(denial: &Denial) -> bool {
    let path = Path::new(&denial.what);
    let may = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    match denial.act {
        Act::Look => path.symlink_metadata().is_ok(),
        Act::Read => may(path, Access::READ_OK),
        Act::Execute => may(path, Access::EXEC_OK),
        Act::Change if path.exists() => may(path, Access::WRITE_OK),
        Act::Change | Act::Make | Act::MakeAgain => {
            let there = path.ancestors().skip(1).find(|directory| directory.exists());
            there.is_some_and(|directory| may(directory, Access::WRITE_OK | Access::EXEC_OK))
        }
        Act::Unix | Act::UnixAbsent => path.metadata().is_ok_and(|found| found.file_type().is_socket()),
        Act::Internet => match denial.what.to_str().and_then(|text| text.parse::<SocketAddr>().ok()) {
            Some(address) if address.ip().to_canonical().is_loopback() => listens_outside(address),
            _ => true,
        },
        Act::Call | Act::More => true,
    }
}

/// Whether somebody on the host listens there (proc(5), `/proc/net/tcp`: address, port and state in hexadecimal).
fn listens_outside(address: SocketAddr) -> bool {
    let file = if matches!(address.ip(), IpAddr::V4(_)) { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let listens = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let port = words.next().and_then(|local| local.rsplit_once(':')).map(|(_, port)| port.to_owned());
        port == Some(format!("{:04X}", address.port())) && words.nth(1) == Some("0A")
    };
    std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(listens))
}
