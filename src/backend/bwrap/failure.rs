//! What bubblewrap says when it fails, and what it means.

use crate::backend::{CREATE_NAMESPACES, MAP_IDS, MOUNT_PROC, StepError};

/// Its words, the step that failed, and the `errno` that the step's cure is found by.
const KNOWN: &[(&str, &str, i32)] = &[
    ("Can't mount proc", MOUNT_PROC, libc::EPERM),
    ("loopback: Failed RTM_NEWADDR", LOOPBACK, libc::EPERM),
    ("loopback: Failed RTM_NEWLINK", LOOPBACK, libc::EPERM),
    ("setting up uid map", MAP_IDS, libc::EPERM),
    ("setting up gid map", MAP_IDS, libc::EPERM),
    // What the plan covers has gone since it was made.
    ("Can't mkdir parents for", STALE, 0),
    ("Can't create file at", STALE, 0),
    ("Can't find source path", STALE, 0),
    ("with correct flags: No such file or directory", STALE, 0),
    // A mount goes with the file that it lies on.
    ("with correct flags: Invalid argument", STALE, 0),
    ("in mount table", STALE, 0),
    ("Unable to mount source on destination: No such file or directory", STALE, 0),
    ("No permissions to create", CREATE_NAMESPACES, libc::EPERM),
    ("Creating new namespace failed: Operation not permitted", CREATE_NAMESPACES, libc::EPERM),
    ("Creating new namespace failed: No space left", CREATE_NAMESPACES, libc::ENOSPC),
    ("Creating new namespace failed", CREATE_NAMESPACES, libc::EPERM),
];

/// What was planned cannot be mounted any more.
const STALE: &str = "mount what was planned";

/// The step at which a network namespace is of no use: AppArmor's restriction shows here.
pub(in crate::backend) const LOOPBACK: &str = "bring up loopback";

/// The failure that these words tell of; `None` when nothing was said.
#[must_use]
pub fn failure(words: &str) -> Option<StepError> {
    let words = words.trim();
    if words.is_empty() {
        return None;
    }
    let known = KNOWN.iter().find(|(text, ..)| words.contains(text));
    let last = words.lines().last().unwrap_or_default();
    Some(match known {
        Some((_, step, errno)) => StepError { step: (*step).into(), path: None, errno: *errno },
        None => StepError { step: format!("start the sandbox: {last}").into(), path: None, errno: StepError::TOLD },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_become_steps_with_a_cure_and_others_are_passed_on() {
        let table = [
            ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", MOUNT_PROC, true),
            ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", LOOPBACK, true),
            ("bwrap: setting up uid map: Permission denied", MAP_IDS, true),
            ("bwrap: No permissions to create a new namespace, likely because", CREATE_NAMESPACES, true),
            ("bwrap: Can't mkdir parents for /run/x/y: Read-only file system", STALE, true),
            (
                "bwrap: Can't bind mount /bindfileE on /newroot/s: Unable to remount destination \"/newroot/s\" with \
                 correct flags: No such file or directory",
                STALE,
                true,
            ),
            (
                "bwrap: Can't bind mount /bindfileE on /newroot/s: Unable to remount destination \"/newroot/s\" with \
                 correct flags: Invalid argument",
                STALE,
                true,
            ),
            (
                "bwrap: Can't bind mount /bindfileE on /newroot/s: Unable to find \"/newroot/s\" in mount table",
                STALE,
                true,
            ),
            (
                "bwrap: Can't bind mount /bindfile4 on /newroot/s: Unable to mount source on destination: No such file or \
                 directory",
                STALE,
                true,
            ),
            ("bwrap: Unknown option --perms", "start the sandbox: bwrap: Unknown option --perms", false),
        ];
        for (words, step, cured) in table {
            let error = failure(words).expect(words);
            assert_eq!((error.step.as_ref(), error.hint().is_some()), (step, cured), "{words}");
        }
        assert!(failure(" \n").is_none());
    }
}
