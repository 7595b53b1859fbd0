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
    /// What the caller's variables were judged by.
    pub judged: EnvRule,
}

/// What becomes of any caller's environment, in a sandbox that stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvRule {
    /// Only what is named gets through.
    pub clear: bool,
    /// Names that look like secrets do not, unless they are named.
    pub filter: bool,
    /// Those that are.
    pub pass: Vec<OsString>,
    /// Those that never do.
    pub drop: Vec<OsString>,
    /// What is set, whatever the caller has.
    pub set: BTreeMap<OsString, OsString>,
}

impl EnvRule {
    /// The environment for a command of this caller.
    #[must_use]
    pub fn apply(&self, caller: &[(OsString, OsString)]) -> EnvPlan {
        let mut plan = EnvPlan { judged: self.clone(), ..EnvPlan::default() };
        for (name, value) in caller.iter().filter(|(name, _)| !self.drop.contains(name)) {
            let secret = if self.filter { secret_pattern(name) } else { None };
            match secret {
                _ if self.pass.contains(name) => {}
                _ if self.clear => continue,
                Some(pattern) => {
                    plan.dropped.push((name.clone(), dropped_by(pattern)));
                    continue;
                }
                None => {}
            }
            plan.vars.insert(name.clone(), value.clone());
        }
        plan.vars.extend(self.set.clone());
        plan
    }
}

impl EnvPlan {
    /// Applies the policy to the caller's environment.
    #[must_use]
    pub fn new(policy: &EnvPolicy, caller: &[(OsString, OsString)]) -> Self {
        let passed = policy.said.iter().filter(|said| said.value.1.is_none()).map(|said| said.value.0.clone());
        let rule = EnvRule { clear: policy.clear, filter: policy.filter, pass: passed.collect(), ..EnvRule::default() };
        let mut plan = rule.apply(caller);
        for said in &policy.said {
            if let (name, Some(value)) = &said.value {
                plan.set(name, value.clone(), said.by.clone());
            }
        }
        plan
    }

    /// What other callers' variables are judged by: as this one's were.
    #[must_use]
    pub fn rule(&self) -> EnvRule {
        let value = |(name, _): &(OsString, Origin)| Some((name.clone(), self.vars.get(name)?.clone()));
        EnvRule { set: self.set.iter().filter_map(value).collect(), ..self.judged.clone() }
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
        self.judged.drop.push(name.to_owned());
        if self.vars.remove(name).is_some() {
            self.dropped.push((name.to_owned(), by));
        }
    }

    /// Puts back a variable that was dropped.
    pub fn restore(&mut self, name: &str, caller: &[(OsString, OsString)]) {
        self.judged.pass.push(name.into());
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

    #[test]
    fn other_callers_are_judged_as_the_first_one_was() {
        let var = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
        let said = [("GH_TOKEN", None), ("A", Some("b"))];
        let said = said.map(|(name, value)| Said::new((name.into(), value.map(OsString::from)), Origin::Flag("--env")));
        let policy = EnvPolicy { clear: false, said: said.to_vec(), filter: true };
        let mut first = EnvPlan::new(&policy, &[("HOME", "/h"), ("SSH_AUTH_SOCK", "/s")].map(var));
        first.restore("SSH_AUTH_SOCK", &[("SSH_AUTH_SOCK", "/s")].map(var));
        first.drop(std::ffi::OsStr::new("DISPLAY"), Origin::Flag("--env"));
        first.set("TMPDIR", "/tmp", Origin::Flag("--tmp"));
        let caller = [
            ("A", "mine"),
            ("DISPLAY", ":0"),
            ("API_KEY", "k"),
            ("GH_TOKEN", "t"),
            ("SSH_AUTH_SOCK", "/other"),
            ("TMPDIR", "/x"),
            ("X", "y"),
        ];
        let other = first.rule().apply(&caller.map(var));
        let vars: Vec<_> =
            other.vars.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        assert_eq!(vars.join(" "), "A=b GH_TOKEN=t SSH_AUTH_SOCK=/other TMPDIR=/tmp X=y");
        assert_eq!(other.dropped.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["API_KEY"]);
    }
}
