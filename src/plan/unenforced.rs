//! What a policy says and nothing on this machine enforces: refused, or left out where the user allowed it. Leaving out
//! only ever takes access away, but for another user: whoever allows that runs the command as himself, root excepted.

use super::build::Told;
use super::error::PlanError;
use crate::host::Facts;
use crate::policy::Policy;
use crate::request::network::{NetworkRule, Unenforced};
use crate::request::{Net, Origin, Said};

/// The command runs as the caller and not as whom the policy names.
pub(super) const IDENTITY: &str = "process.identity_unavailable";

/// All that is left out. What may not be is an error.
pub(super) fn left_out(policy: &Policy, facts: &Facts, told: &mut Told) -> Vec<Said<Unenforced>> {
    // Where the user chose a network, no rule opens it further.
    let open = policy.net.value == Net::Allow || !matches!(policy.net.by, Origin::Flag(_));
    let hosts = policy.network.iter().filter(|rule| open && !rule.value.is_everybodys()).map(of_programs);
    let found: Vec<_> = hosts.chain(another_s_process(policy, facts)).collect();
    // Root instead of somebody else would be more than the policy gives.
    let root = |one: &Said<Unenforced>| one.value.code == IDENTITY && facts.caller.ids.uid == 0;
    if policy.allow_unenforced && !found.iter().any(root) {
        return policy.unenforced.iter().cloned().chain(found).collect();
    }
    let refused = found.into_iter().filter(|one| !policy.allow_unenforced || root(one));
    told.errors.extend(refused.map(|Said { value: Unenforced { code, what }, by }| PlanError::Unenforced {
        code,
        what,
        by,
    }));
    Vec::new()
}

/// Outside nobody can tell for certain which program a connection comes from.
fn of_programs(rule: &Said<NetworkRule>) -> Said<Unenforced> {
    let NetworkRule { name, hosts, programs, addresses: _ } = &rule.value;
    let (hosts, programs) = (hosts.join(", "), programs.join(", "));
    let what = format!("network {name}: {hosts} is for {programs} alone, and which program connects cannot be told");
    Said::new(Unenforced { code: "net.binary_identity_unavailable", what }, rule.by.clone())
}

/// The command runs as the caller, whose ids are the only ones that can be mapped.
fn another_s_process(policy: &Policy, facts: &Facts) -> Vec<Said<Unenforced>> {
    let caller = &facts.caller;
    let user = policy.identity.user.iter().map(|said| ("user", said, caller.ids.uid, &caller.user));
    let group = policy.identity.group.iter().map(|said| ("group", said, caller.ids.gid, &caller.group));
    let differs = |(_, said, id, name): &(&str, &Said<String>, u32, &Option<String>)| {
        said.value != id.to_string() && name.as_deref() != Some(said.value.as_str())
    };
    let told = |(what, said, id, _): (&str, &Said<String>, u32, &Option<String>)| {
        let what = format!("the command runs as the caller's {what} {id}, not as {}", said.value);
        Said::new(Unenforced { code: IDENTITY, what }, said.by.clone())
    };
    user.chain(group).filter(differs).map(told).collect()
}
