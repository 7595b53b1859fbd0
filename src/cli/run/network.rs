//! What the bridge has to tell at the end.

use crate::cli::report::note;
use crate::supervise::outcome::{Ending, Outcome};
use crate::supervise::proxy::events::{Summary, Told};

/// So many refusals are told.
const TOLD: usize = 8;

/// After a failure, or with `--verbose`: what was refused or went wrong, and the flag that would allow it. With
/// `--verbose` also what went well.
pub(super) fn tell(outcome: &Outcome, verbose: bool) {
    if outcome.network_lost {
        note("the bridge ended before the command did: from then on nothing could be reached");
    }
    let failed = !matches!(outcome.ending, Ending::Exit(0));
    let Some(summary) = outcome.network.as_ref().filter(|_| verbose || failed) else { return };
    let Summary { allowed, denied, failed, up, down, told, reached: _ } = summary;
    let (first, more): (Vec<_>, Vec<_>) = told.iter().enumerate().partition(|(number, _)| *number < TOLD);
    for (_, one) in first {
        note(&line(one));
    }
    if !more.is_empty() {
        note(&format!("network: and {} more: --log FILE has all of them", more.len()));
    }
    if verbose {
        note(&format!(
            "network: allowed {allowed}, denied {denied}, failed {failed}; {up} bytes sent, {down} received"
        ));
    }
}

fn line(told: &Told) -> String {
    let Told { denied, to, reason, allow_with, times } = told;
    let what = if *denied { "was denied" } else { "could not be reached" };
    let to = if to.is_empty() { "what was asked for" } else { to };
    let times = if *times > 1 { format!(", {times} times") } else { String::new() };
    let cure = allow_with.as_ref().map(|flag| format!(": {flag} allows it")).unwrap_or_default();
    format!("network: {to} {what} ({reason}{times}){cure}")
}
