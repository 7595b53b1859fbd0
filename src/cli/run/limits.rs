//! What a command did not get, because of its limits.

use crate::cli::report::{Problem, note, problems};
use crate::plan::Plan;
use crate::plan::limits::Resource;
use crate::plan::show::limit;
use crate::supervise::outcome::{Ending, Expired, Outcome};

/// Names the limits that were hit, as far as the kernel tells; whether one of them is how the command ended.
pub(super) fn tell(outcome: &Outcome, plan: &Plan) -> bool {
    let limits = plan.limits.groups.iter().flat_map(|group| &group.limits);
    for (of, said) in limits {
        if let Some((_, times)) = outcome.hits.iter().find(|(hit, _)| hit == of) {
            let times = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
            note(&format!("the limit of {} was hit {times} ({})", limit(*of, said.value), said.by));
        }
    }
    // A shell says it as 128 and the signal.
    let by_size = matches!(outcome.ending, Ending::Signal(libc::SIGXFSZ)) || outcome.code() == 128 + libc::SIGXFSZ;
    let size = plan.limits.each.iter().find(|limit| limit.what == Resource::FileSize && by_size);
    if let Some(limit) = size {
        note(&format!("the limit of the size of files was hit ({})", limit.because));
    }
    if let Some(expired) = outcome.expired {
        problems(&[Problem::new(ended(expired, plan), None)]);
    }
    outcome.expired.is_some()
}

fn ended(expired: Expired, plan: &Plan) -> String {
    let said = match expired {
        Expired::Time => plan.limits.timeout.as_ref(),
        Expired::Idle => plan.limits.idle.as_ref(),
    };
    let after = said.map(|said| said.value).unwrap_or_default();
    match expired {
        Expired::Time => format!("the command was ended after {after:?} (--timeout)"),
        Expired::Idle => format!("the command was ended after it had been idle for {after:?} (--idle-timeout)"),
    }
}
