//! What comes of a step, and how several operations come to one finding.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// How what came of a step is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it is to be.
    Ok,
    /// Not as on the host, and libraries go on.
    Tolerated,
    /// It keeps a library from working, or lets more in than was granted.
    Wrong,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In few words: `ok`, or the names of errors.
    pub outcome: String,
    /// The judgement.
    pub verdict: Verdict,
    /// What it means, where it is not as it is to be.
    pub meaning: Option<String>,
}

impl Finding {
    /// As it is to be.
    pub fn ok(outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), verdict: Verdict::Ok, meaning: None }
    }

    /// Not as on the host, and libraries go on.
    pub fn tolerated(outcome: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), verdict: Verdict::Tolerated, meaning: Some(meaning.into()) }
    }

    /// Something does not work, or should not.
    pub fn wrong(outcome: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), verdict: Verdict::Wrong, meaning: Some(meaning.into()) }
    }

    /// Wrong where a GPU is granted; without one nobody needs it.
    pub fn matters(gpu: bool, outcome: impl Into<String>, meaning: impl Into<String>) -> Self {
        if gpu { Self::wrong(outcome, meaning) } else { Self::tolerated(outcome, meaning) }
    }

    /// The worst of several, the first of its kind; each one's outcome is told once.
    pub fn worst(findings: impl IntoIterator<Item = Self>) -> Self {
        let mut outcomes: Vec<String> = Vec::new();
        let mut worst = Self::ok("");
        for finding in findings {
            if !outcomes.contains(&finding.outcome) {
                outcomes.push(finding.outcome.clone());
            }
            if finding.verdict > worst.verdict {
                worst = finding;
            }
        }
        Self { outcome: outcomes.join(", "), ..worst }
    }
}

/// An error of the kernel.
pub fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// `EACCES` and the like, as people look them up.
pub fn name(error: Errno) -> String {
    let known = [
        (Errno::ACCESS, "EACCES"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::BUSY, "EBUSY"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::INVAL, "EINVAL"),
        (Errno::IO, "EIO"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOENT, "ENOENT"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::NOTTY, "ENOTTY"),
        (Errno::NXIO, "ENXIO"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
        (Errno::PERM, "EPERM"),
        (Errno::ROFS, "EROFS"),
    ];
    let found = known.iter().find(|(number, _)| *number == error);
    found.map_or_else(|| format!("errno {}", error.raw_os_error()), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_is_told_and_each_outcome_once() {
        let all =
            [Finding::ok("ok"), Finding::tolerated("ENOENT", "a"), Finding::wrong("EACCES", "b"), Finding::ok("ok")];
        let worst = Finding::worst(all);
        assert_eq!(worst, Finding::wrong("ok, ENOENT, EACCES", "b"));
        assert_eq!(Finding::worst([Finding::ok("ok"), Finding::ok("ok")]), Finding::ok("ok"));
        assert_eq!(Finding::matters(false, "EROFS", "x").verdict, Verdict::Tolerated);
    }

    #[test]
    fn errors_have_their_names() {
        assert_eq!(name(Errno::ACCESS), "EACCES");
        assert_eq!(name(Errno::from_raw_os_error(4095)), "errno 4095");
    }
}
