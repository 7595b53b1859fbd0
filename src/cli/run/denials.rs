//! What the command was refused, and what would allow it.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
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

/// So many are told; JSON has more.
const TOLD: usize = 8;

/// So many are kept, with names of so many bytes: a command chooses how many there are.
const MOST: usize = 1000;
const MOST_BYTES: usize = 256 << 10;

/// What a command was refused, as far as anybody knows: what its calls named, if that was noted, what the bridge refused,
/// and after a failure what can be guessed.
pub fn of(outcome: &Outcome, plan: &Plan) -> Vec<Denial> {
    let listening: LazyCell<Listening> = LazyCell::new(Listening::now);
    let seen = denial::denials(plan, &outcome.seen).into_iter().filter(|denial| works_outside(denial, &listening));
    let mut bytes = 0;
    let seen = seen.take(MOST).take_while(|denial| {
        bytes += denial.what.len();
        bytes <= MOST_BYTES
    });
    let told = outcome.network.iter().flat_map(|summary| &summary.told);
    let mut found: Vec<_> = seen.chain(told.filter(|told| told.denied).map(of_bridge)).collect();
    let failed = !matches!(outcome.ending, Ending::Exit(0) | Ending::NotExecuted(_) | Ending::Failed(_));
    if failed {
        // Where only a name server was asked, the words may tell for whom.
        let guesses = if is_watched(plan) { guess::hosts(plan) } else { guess::denials(plan) };
        found.extend(guesses.into_iter().filter(|denial| works_outside(denial, &listening)));
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
    let mut places = HashMap::new();
    for denial in ours {
        match denial.remedy.as_ref().and_then(|remedy| places.get(&remedy.flag)).copied() {
            Some(place) => groups.get_mut(place).into_iter().for_each(|(_, more): &mut (_, usize)| *more += 1),
            None => {
                places.extend(denial.remedy.as_ref().map(|remedy| (&remedy.flag, groups.len())));
                groups.push((denial, 0));
            }
        }
    }
    for (denial, more) in groups.iter().take(TOLD) {
        note(&line(denial, *more));
    }
    if groups.len() > TOLD {
        note(&format!("and {} more of the kind: --json-outcome FD has more of them", groups.len() - TOLD));
    }
}

/// After a failure: which directories of profiles are missing.
pub(super) fn tell_missing(plan: &Plan) {
    let missing = |entry: &&Entry| matches!(entry.fact, PathFact::Missing { .. }) && entry.rule.because.is_profile();
    for Entry { rule, .. } in
        plan.effective.iter().filter(missing).filter(|entry| entry.rule.access.writes()).take(TOLD)
    {
        let (path, by) = (show::show(&rule.path), &rule.because);
        note(&format!("{path} is not there, so {by} does not grant it: mkdir -p {path} outside lets it"));
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
fn works_outside(denial: &Denial, listening: &LazyCell<Listening>) -> bool {
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
            Some(address) if address.ip().to_canonical().is_loopback() => listening.has(address),
            _ => true,
        },
        Act::Call | Act::More => true,
    }
}

/// The ports of the host where somebody listens (proc(5), `/proc/net/tcp`: address, port and state in hexadecimal).
struct Listening([HashSet<u16>; 2]);

impl Listening {
    fn now() -> Self {
        let port = |line: &str| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (_, port) = words.next()?.rsplit_once(':')?;
            let listens = words.nth(1) == Some("0A");
            u16::from_str_radix(port, 16).ok().filter(|_| listens)
        };
        Self(["/proc/net/tcp", "/proc/net/tcp6"].map(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines().filter_map(port).collect()
        }))
    }

    fn has(&self, address: SocketAddr) -> bool {
        let [four, six] = &self.0;
        if matches!(address.ip(), IpAddr::V4(_)) {
            four.contains(&address.port())
        } else {
            six.contains(&address.port())
        }
    }
}
