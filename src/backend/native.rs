//! The native engine: namespaces and mounts made by ringfence itself. Without any, it is the Landlock engine.
//!
//! Three processes: the supervisor outside, init inside, the command below init. A fourth, the janitor, exists only
//! while placeholders do: it outlives a killed supervisor and removes them.

pub mod cover;
mod enter;
mod inside;
mod mounts;
mod tree;

use super::child::{Child, Setup, pair};
use super::{CREATE_NAMESPACES, StepError};
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::sys::{self, process::Forked};

pub(super) use enter::map_ids;

/// Starts the command of a plan.
///
/// # Errors
/// The step that failed.
pub fn spawn(plan: &Plan, mut setup: Setup) -> Result<Child, StepError> {
    let (ours, theirs) = pair()?;
    let bridge = setup.take_bridge();
    match sys::process::fork_into(namespaces(plan)) {
        Ok(Forked::Child) => {
            drop(ours);
            drop(bridge);
            enter::main(plan, &setup, &theirs)
        }
        Ok(Forked::Parent(pid, pidfd)) => {
            let groups = setup.groups.take();
            drop((theirs, setup));
            Child::attend(plan, pid, pidfd, ours, (None, groups)).map(|child| child.with_bridge(bridge))
        }
        Err(error) => Err(StepError::new(CREATE_NAMESPACES, None, error)),
    }
}

/// The network's is made by init itself, beside the mounts: to make it takes as long as all the others and the mounts.
fn namespaces(plan: &Plan) -> u64 {
    let Some(confinement) = &plan.confinement else { return 0 };
    if plan.choice.engine == Engine::Landlock {
        return 0;
    }
    let mut flags =
        libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    if confinement.pid_namespace.value {
        flags |= libc::CLONE_NEWPID;
    }
    u64::from(flags.cast_unsigned())
}
