//! Landlock: translates the planned wall for the landlock crate.

use std::os::fd::{BorrowedFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::backend::StepError;
use crate::backend::plain::Last;
use crate::host::paths::{FileId, Kind, id_of, kind_of};
use crate::plan::landlock::{Beneath, Expect, LandlockPlan, LandlockRule, Tcp, rights};

const STEP: &str = "build the landlock ruleset";

fn abi(version: u32) -> ABI {
    match version {
        0 => ABI::Unsupported,
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        7 => ABI::V7,
        8 => ABI::V8,
        _ => ABI::V9,
    }
}

fn rights(allow: Beneath, version: u32, dir: bool) -> BitFlags<AccessFs> {
    BitFlags::from_bits_truncate(u64::from(rights::rights(allow, version, dir)))
}

/// The ruleset of a plan, not yet in force; none where the kernel has no Landlock.
#[derive(Debug)]
pub struct Wall(Option<Built>);

#[derive(Debug)]
struct Built {
    ruleset: RulesetCreated,
    abi: u32,
}

impl Wall {
    /// Looks up what the rules name.
    ///
    /// # Errors
    /// Any rule that the kernel does not take: nothing is enforced by halves.
    pub fn build(plan: &LandlockPlan) -> Result<Self, StepError> {
        if plan.abi == 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some(Built { ruleset: ruleset(plan)?, abi: plan.abi })))
    }

    /// Puts the calling thread behind it; see [`super::Walls::stand_behind`].
    ///
    /// # Errors
    /// As landlock_restrict_self(2).
    pub fn restrict(self, readable: &[BorrowedFd<'_>]) -> Result<(), StepError> {
        let Some(Built { mut ruleset, abi: version }) = self.0 else { return Ok(()) };
        for fd in readable {
            let dir = rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
            ruleset = ruleset.add_rule(PathBeneath::new(fd, rights(Beneath::Read, version, dir))).map_err(fail)?;
        }
        ruleset.restrict_self().map(drop).map_err(fail)
    }
}

fn ruleset(plan: &LandlockPlan) -> Result<RulesetCreated, StepError> {
    let LandlockPlan { abi: version, rules, apart, scope_abstract, scope_signals, tcp, audit } = plan;
    let abi = abi(*version);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(fail)?;
    for (wanted, scope) in [(scope_abstract, Scope::AbstractUnixSocket), (scope_signals, Scope::Signal)] {
        if *wanted {
            ruleset = ruleset.scope(scope).map_err(fail)?;
        }
    }
    if let Tcp::Connect(_) = tcp {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp).map_err(fail)?;
    }
    let mut created = ruleset.create().map_err(fail)?;
    let mut last = Last::default();
    for rule in rules {
        let Some((fd, dir)) = open(rule, apart, &mut last)? else { continue };
        created = created.add_rule(PathBeneath::new(fd, rights(rule.allow, *version, dir))).map_err(fail)?;
    }
    if let Tcp::Connect(ports) = tcp {
        for port in ports {
            created = created.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(fail)?;
        }
    }
    if *audit {
        // The command is another program than this one: without the flag nothing of it would be logged.
        created = created.log_new_exec(true).map_err(fail)?;
    }
    Ok(created)
}

fn fail(error: RulesetError) -> StepError {
    StepError { step: format!("{STEP}: {error}").into(), path: None, errno: libc::EINVAL }
}

/// Opens a rule's path, once, and compares it with what was planned; tells whether it is a directory.
fn open<'a>(
    rule: &'a LandlockRule,
    apart: &[FileId],
    last: &mut Last<'a>,
) -> Result<Option<(OwnedFd, bool)>, StepError> {
    let LandlockRule { path, allow: _, expect, because: _ } = rule;
    let fail = |error: Errno| StepError::new(STEP, Some(path), error);
    let found = match expect {
        // Nothing but the way to it says what it is.
        Expect::Apart => last.open(path),
        _ => rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
    };
    let fd = match found {
        // Something of ours hides it: then nothing below it needs a right.
        Err(Errno::NOENT | Errno::ACCESS) => return Ok(None),
        Err(Errno::NOTDIR) => return Err(StepError::changed(STEP, path)),
        other => other.map_err(fail)?,
    };
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    let kind = kind_of(&stat);
    let is_it = match *expect {
        Expect::Anything => true,
        Expect::File(id) => id == id_of(&stat),
        Expect::Apart => apart.binary_search(&id_of(&stat)).is_err(),
        Expect::Device { major, minor } => kind == Kind::Char { major, minor },
    };
    if !is_it && *expect == Expect::Apart {
        // A bind mount, say. To name it would give its rights to what is hidden.
        let step = format!("{STEP}: something hidden, or what it lies in, has this name too:").into();
        return Err(StepError { step, path: Some(path.clone()), errno: StepError::TOLD });
    }
    if !is_it {
        return Err(StepError::changed(STEP, path));
    }
    // What a link leads to has rules of its own.
    Ok((kind != Kind::Symlink).then_some((fd, kind == Kind::Dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_masks_are_those_of_the_crate_that_follows_the_kernel() {
        for version in 1..=rights::NEWEST_ABI {
            let all = AccessFs::from_all(abi(version));
            assert_eq!(u64::from(rights::all(version)), all.bits(), "ABI {version}");
            let files = AccessFs::from_file(abi(version));
            let ours = rights(Beneath::Write, version, false) | rights(Beneath::Devices, version, false);
            assert_eq!(ours | rights(Beneath::Read, version, false), files, "ABI {version}, files");
            assert_eq!(rights(Beneath::Read, version, true), AccessFs::from_read(abi(version)), "ABI {version}, read");
        }
    }
    #[test]
    fn what_is_not_what_was_planned_gets_no_rule() {
        let around = tempfile::tempdir().unwrap();
        let top = around.path().canonicalize().unwrap();
        for name in ["planned", "other"] {
            std::fs::write(top.join(name), "").unwrap();
        }
        let id = |name: &str| id_of(&rustix::fs::stat(top.join(name)).unwrap());
        let open = |path: &std::path::Path, expect, apart: &[FileId]| {
            let because = crate::request::Origin::Baseline("test");
            let rule = LandlockRule { path: path.to_owned(), allow: Beneath::Read, expect, because };
            super::open(&rule, apart, &mut Last::default()).map(|found| found.is_some())
        };
        let planned = top.join("planned");
        assert!(matches!(open(&planned, Expect::File(id("planned")), &[]), Ok(true)), "the control");
        assert!(open(&planned, Expect::File(id("other")), &[]).is_err_and(|error| error.is_stale()));
        assert!(matches!(open(&planned, Expect::Apart, &[id("other")]), Ok(true)), "the control");
        assert!(open(&planned, Expect::Apart, &[id("planned")]).is_err());
        let null = std::path::Path::new("/dev/null");
        assert!(matches!(open(null, Expect::Device { major: 1, minor: 3 }, &[]), Ok(true)), "the control");
        assert!(open(null, Expect::Device { major: 1, minor: 5 }, &[]).is_err_and(|error| error.is_stale()));
    }
}
