//! The command's environment: the caller's without secrets, then what was said, then what the sandbox adds.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::policy::env::{EnvPolicy, dropped_by, secret_pattern};
use crate::request::Origin;

/// The complete environment of the command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvPlan {
    /// Names and values, sorted by name.
    pub vars: BTreeMap<OsString, OsString>,
    /// Variables of the caller that were taken out, and why.
    pub dropped: Vec<(OsString, Origin)>,
    /// Variables that were set or changed, and who asked.
    pub set: Vec<(OsString, Origin)>,
}

impl EnvPlan {
    /// Applies the policy to the caller's environment.
    #[must_use]
    pub fn new(policy: &EnvPolicy, caller: &[(OsString, OsString)]) -> Self {
        let mut plan = Self::default();
        let passed = |name: &OsString| policy.said.iter().any(|said| said.value.0 == *name && said.value.1.is_none());
        for (name, value) in caller {
            let secret = if policy.filter { secret_pattern(name) } else { None };
            match secret {
                _ if passed(name) => {}
                _ if policy.clear => continue,
                Some(pattern) => {
                    plan.dropped.push((name.clone(), dropped_by(pattern)));
                    continue;
                }
                None => {}
            }
            plan.vars.insert(name.clone(), value.clone());
        }
        for said in &policy.said {
            if let (name, Some(value)) = &said.value {
                plan.set(name, value.clone(), said.by.clone());
            }
        }
        plan
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>, by: Origin) {
        let name = name.into();
        self.set.retain(|(set, _)| *set != name);
        self.vars.insert(name.clone(), value.into());
        self.set.push((name, by));
    }

    /// Takes a variable out, if it is there.
    pub fn drop(&mut self, name: &std::ffi::OsStr, by: Origin) {
        if self.vars.remove(name).is_some() {
            self.dropped.push((name.to_owned(), by));
        }
    }

    /// Puts back a variable that was dropped.
    pub fn restore(&mut self, name: &str, caller: &[(OsString, OsString)]) {
        if let Some((name, value)) = caller.iter().find(|(known, _)| known == name) {
            self.dropped.retain(|(dropped, _)| dropped != name);
            self.vars.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Said;

    fn plan(clear: bool, said: &[(&str, Option<&str>)], caller: &[(&str, &str)]) -> String {
        let said = said
            .iter()
            .map(|(name, value)| Said::new((OsString::from(name), value.map(OsString::from)), Origin::Flag("--env")))
            .collect();
        let caller: Vec<_> = caller.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let plan = EnvPlan::new(&EnvPolicy { clear, said, filter: true }, &caller);
        format!("{:?} dropped {:?}", plan.vars, plan.dropped.iter().map(|(name, _)| name).collect::<Vec<_>>())
    }

    #[test]
    fn secrets_are_dropped_unless_named_and_clear_keeps_only_what_is_named() {
        let caller = [("PATH", "/bin"), ("API_KEY", "k"), ("GH_TOKEN", "t")];
        assert_eq!(plan(false, &[], &caller), r#"{"PATH": "/bin"} dropped ["API_KEY", "GH_TOKEN"]"#);
        assert_eq!(
            plan(false, &[("GH_TOKEN", None)], &caller),
            r#"{"GH_TOKEN": "t", "PATH": "/bin"} dropped ["API_KEY"]"#
        );
        assert_eq!(
            plan(true, &[("PATH", None), ("A", Some("b"))], &caller),
            r#"{"A": "b", "PATH": "/bin"} dropped []"#
        );
        assert_eq!(
            plan(false, &[("API_KEY", Some("x"))], &caller[..2]),
            r#"{"API_KEY": "x", "PATH": "/bin"} dropped ["API_KEY"]"#
        );
    }
}
