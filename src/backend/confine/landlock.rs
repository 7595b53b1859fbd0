//! Landlock: translates the planned wall for the landlock crate.

use std::os::fd::{BorrowedFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};

use crate::backend::StepError;
use crate::plan::landlock::{Beneath, LandlockPlan, LandlockRule};

const STEP: &str = "build the landlock ruleset";

fn abi(version: u32) -> ABI {
    match version {
        0..=3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        7 => ABI::V7,
        8 => ABI::V8,
        _ => ABI::V9,
    }
}

fn rights(beneath: Beneath, abi: ABI) -> BitFlags<AccessFs> {
    let read = AccessFs::from_read(abi);
    let existing = AccessFs::WriteFile | AccessFs::Truncate;
    let devices = BitFlags::from(AccessFs::IoctlDev) & AccessFs::from_all(abi);
    // Devices first: nobody needs ioctls on nodes that lie elsewhere, and there are none.
    let all = AccessFs::from_all(abi) & !BitFlags::from(AccessFs::IoctlDev);
    match beneath {
        Beneath::List => AccessFs::ReadDir.into(),
        Beneath::Read => read,
        Beneath::Modify => read | existing,
        Beneath::Write => all,
        Beneath::Devices => read | existing | devices,
    }
}

/// Puts the calling thread behind the wall; `no_new_privs` must be set. `readable` are open files that no path leads to
/// and that may be opened again for reading, as `/dev/stdin` is.
///
/// # Errors
/// Any rule that the kernel does not take: nothing is enforced by halves.
pub fn restrict(plan: &LandlockPlan, readable: &[BorrowedFd<'_>]) -> Result<(), StepError> {
    let LandlockPlan { abi: version, rules, scope_abstract, scope_signals } = plan;
    if *version == 0 {
        return Ok(());
    }
    let abi = abi(*version);
    let fail =
        |error: RulesetError| StepError { step: format!("{STEP}: {error}").into(), path: None, errno: libc::EINVAL };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(fail)?;
    for (wanted, scope) in [(scope_abstract, Scope::AbstractUnixSocket), (scope_signals, Scope::Signal)] {
        if *wanted {
            ruleset = ruleset.scope(scope).map_err(fail)?;
        }
    }
    let mut created = ruleset.create().map_err(fail)?;
    for rule in rules {
        let Some((fd, allowed)) = open(rule, abi)? else { continue };
        created = created.add_rule(PathBeneath::new(fd, allowed)).map_err(fail)?;
    }
    for fd in readable {
        let directory = rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
        let read = rights(Beneath::Read, abi);
        let allowed = if directory { read } else { read & AccessFs::from_file(abi) };
        created = created.add_rule(PathBeneath::new(fd, allowed)).map_err(fail)?;
    }
    created.restrict_self().map_err(fail)?;
    Ok(())
}

/// Opens a rule's path inside the sandbox, with the rights that make sense for its kind.
fn open(rule: &LandlockRule, abi: ABI) -> Result<Option<(OwnedFd, BitFlags<AccessFs>)>, StepError> {
    let LandlockRule { path, allow, because: _ } = rule;
    let fail = |error: rustix::io::Errno| StepError::new(STEP, Some(path), error);
    let fd = match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        // Something of ours hides it: then nothing below it needs a right.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => return Ok(None),
        other => other.map_err(fail)?,
    };
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    let all = rights(*allow, abi);
    let directory = FileType::from_raw_mode(stat.st_mode).is_dir();
    Ok(Some((fd, if directory { all } else { all & AccessFs::from_file(abi) })))
}
