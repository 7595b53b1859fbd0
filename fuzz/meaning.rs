//! What a policy means, without who said it: for comparing two ways of saying the same.

use ringfence::policy::Policy;

/// Everything that two policies must have in common, as text.
pub fn meaning(policy: &Policy) -> String {
    let mut rules: Vec<_> = policy.rules.iter().map(|rule| (&rule.path, rule.access)).collect();
    rules.sort();
    rules.dedup();
    let mut globs: Vec<_> = policy.globs.iter().map(|glob| (&glob.pattern, glob.max_depth)).collect();
    globs.sort();
    globs.dedup();
    let paths = |list: &[ringfence::request::Said<std::path::PathBuf>]| {
        list.iter().map(|said| said.value.clone()).collect::<Vec<_>>()
    };
    let env: Vec<_> = policy.env.said.iter().map(|said| said.value.clone()).collect();
    let env = (policy.env.clear, env);
    format!(
        "{:?}\n{rules:?}\n{globs:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{env:?}",
        policy.mode,
        paths(&policy.devices),
        paths(&policy.unix),
        policy.gpu.value,
        policy.net.value,
        policy.git.value,
        policy.tmp.value,
        (policy.proc.value, policy.backend.value),
        policy.limits.timeout.as_ref().map(|said| said.value),
    )
}
