//! Plans as `ringfence plan --json` prints them, and whether one gives more than another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// What is compared of a plan.
#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    /// The command.
    pub command: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    effective: Vec<Rule>,
    sections: BTreeMap<String, Vec<Line>>,
}

/// A rule of the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Rule {
    path: PathBuf,
    level: String,
}

/// What is done, and with what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Line {
    what: String,
    target: String,
}

impl Line {
    fn hides(&self) -> bool {
        self.what.starts_with("hidden") || self.what.starts_with("blocked")
    }

    fn only_reads(&self) -> bool {
        self.what == "read-only" || self.what == "bound read-only"
    }
}

impl Plan {
    /// Whether nothing is restricted.
    pub fn is_open(&self) -> bool {
        self.sections.contains_key("confinement")
    }

    /// After which time a command is ended.
    pub fn timeout(&self) -> Option<Duration> {
        let line = self.section("limits").iter().find(|line| line.what == "end after")?;
        duration(&line.target)
    }

    /// The level of access to a path, by the policy's rules: the nearest one counts.
    pub fn writes(&self, path: &Path) -> bool {
        let rules = self.effective.iter().filter(|rule| path.starts_with(&rule.path));
        let nearest = rules.max_by_key(|rule| rule.path.components().count());
        nearest.is_some_and(|rule| ["write", "modify"].contains(&rule.level.as_str()))
    }

    /// What the policy's rules name, or the sandbox hides, in directories that commands can write: what a command could move.
    pub fn movable(&self) -> BTreeSet<PathBuf> {
        let rules = self.effective.iter().map(|rule| rule.path.clone());
        let hidden = self.section("files").iter().filter(|line| line.what.starts_with("hidden"));
        let named = rules.chain(hidden.map(|line| PathBuf::from(&line.target)));
        named.filter(|path| path.parent().is_some_and(|parent| self.writes(parent))).collect()
    }

    /// What this plan gives that `ceiling` does not, if anything: the first such thing, in words.
    pub fn widens(&self, ceiling: &Self) -> Option<String> {
        if self.cwd != ceiling.cwd {
            return Some(format!("the workspace is `{}` now", self.cwd.display()));
        }
        let kinds: BTreeSet<_> = self.sections.keys().chain(ceiling.sections.keys()).collect();
        self.more_rules(ceiling)
            .or_else(|| self.more_files(ceiling))
            .or_else(|| kinds.into_iter().find_map(|kind| self.more_lines(ceiling, kind)))
    }

    fn more_rules(&self, ceiling: &Self) -> Option<String> {
        let (now, before): (BTreeSet<_>, BTreeSet<_>) =
            (self.effective.iter().collect(), ceiling.effective.iter().collect());
        let added = now.difference(&before).find(|rule| rule.level != "none");
        let lost = before.difference(&now).find(|rule| rule.level == "none");
        let said = |rule: &&&Rule, how: &str| format!("{how}: `{}` ({})", rule.path.display(), rule.level);
        added.map(|rule| said(&rule, "a rule is new")).or_else(|| lost.map(|rule| said(&rule, "a rule is gone")))
    }

    fn more_files(&self, ceiling: &Self) -> Option<String> {
        let (now, before) = (self.section("files"), ceiling.section("files"));
        let added = now.iter().filter(|line| !line.hides() && !before.contains(line));
        let mut more = added.filter(|line| !ceiling.allows(line));
        if let Some(line) = more.next() {
            return Some(format!("{}: `{}`", line.what, line.target));
        }
        // What is gone outside of what commands can write was removed by others, and hides nothing any more.
        let mut hidden = before.iter().filter(|line| line.hides() && ceiling.writes(Path::new(&line.target)));
        let kept = |line: &Line| now.iter().any(|now| now.target == line.target && (now.hides() || now.only_reads()));
        hidden.find(|line| !kept(line)).map(|line| format!("no longer {}: `{}`", line.what, line.target))
    }

    /// Whether what is done with a path gives no more than what is done here with what is around it.
    fn allows(&self, line: &Line) -> bool {
        let around = self.section("files").iter().filter(|around| Path::new(&line.target).starts_with(&around.target));
        let nearest = around.max_by_key(|around| Path::new(&around.target).components().count());
        nearest.is_some_and(|nearest| match nearest.what.as_str() {
            "writable" => line.what == "writable" || line.only_reads(),
            _ => nearest.only_reads() && line.only_reads(),
        })
    }

    fn more_lines(&self, ceiling: &Self, kind: &str) -> Option<String> {
        let (now, before) = (self.section(kind), ceiling.section(kind));
        let added = || now.iter().find(|line| !before.contains(line));
        let lost = || before.iter().find(|line| !now.contains(line));
        let line = match kind {
            // Compared as rules and as files, or of no consequence beside them.
            "files" | "baseline" | "landlock" | "not enforced, so left out" => None,
            // A shorter time is asked for, and numbers of processes are the kernel's.
            "limits" => lost().filter(|line| line.what != "end after" && !line.target.starts_with('(')),
            // Variables may go with a GPU, but none that was dropped may come back.
            "environment" => added().filter(|line| line.what != "dropped").or_else(|| {
                lost().filter(|line| line.what == "dropped" && now.iter().any(|now| now.sets(&line.target)))
            }),
            "process" | "system calls" | "network" => added().or_else(lost),
            // Devices, and what is new: less is well, more is not.
            _ => added(),
        };
        line.map(|line| format!("{kind}: {} {}", line.what, line.target))
    }

    fn section(&self, name: &str) -> &[Line] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Line {
    fn sets(&self, name: &str) -> bool {
        self.target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    }
}

/// Reads a duration as plans have it.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let scale = match unit {
        "s" => 1.0,
        "ms" => 0.001,
        "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/` can be read, `/w` written; `files` and `rules` come on top, `more` are sections.
    fn plan(rules: &[(&str, &str)], files: &[(&str, &str)], more: &[(&str, &str, &str)]) -> Plan {
        let rules = [("/", "read"), ("/w", "write")].iter().chain(rules);
        let files = [("read-only", "/"), ("writable", "/w")].iter().chain(files);
        let line = |what: &str, target: &str| Line { what: what.to_owned(), target: target.to_owned() };
        let mut sections = BTreeMap::from([("files".to_owned(), files.map(|(what, at)| line(what, at)).collect())]);
        for (section, what, target) in more {
            sections.entry((*section).to_owned()).or_insert_with(Vec::new).push(line(what, target));
        }
        let effective = rules.map(|(path, level)| Rule { path: path.into(), level: (*level).to_owned() }).collect();
        Plan { command: vec![], cwd: "/w".into(), effective, sections }
    }

    #[test]
    fn less_is_well_and_more_is_not() {
        let before = plan(
            &[("/w/no", "none")],
            &[("hidden", "/w/no"), ("hidden", "/s"), ("blocked, missing", "/w/.git")],
            &[("network", "allow", "a.com"), ("environment", "dropped", "TOKEN"), ("devices", "node", "/dev/g0")],
        );
        let with = |change: &dyn Fn(&mut Plan)| {
            let mut now = before.clone();
            change(&mut now);
            now.widens(&before)
        };
        let rule = |path: &str, level: &str| Rule { path: path.into(), level: level.to_owned() };
        let file = |plan: &mut Plan, what: &str, at: &str| {
            plan.sections.get_mut("files").unwrap().push(Line { what: what.to_owned(), target: at.to_owned() });
        };
        assert_eq!(with(&|_| ()), None);
        assert_eq!(with(&|plan| plan.effective.push(rule("/w/x", "none"))), None);
        assert_eq!(with(&|plan| file(plan, "hidden", "/w/x")), None);
        assert_eq!(with(&|plan| file(plan, "bound read-only", "/w/sub/.git")), None);
        assert_eq!(with(&|plan| file(plan, "writable", "/w/sub")), None);
        assert_eq!(with(&|plan| drop(plan.sections.remove("devices"))), None);
        let more = [
            with(&|plan| plan.cwd = "/x".into()),
            with(&|plan| plan.effective.push(rule("/x", "write"))),
            with(&|plan| plan.effective.push(rule("/s/x", "read"))),
            with(&|plan| plan.effective.retain(|rule| rule.level != "none")),
            with(&|plan| file(plan, "writable", "/x")),
            with(&|plan| file(plan, "bound read-only", "/s/x")),
            with(&|plan| file(plan, "bound read-only", "/w/no/x")),
            with(&|plan| file(plan, "writable", "/w/no/x")),
            with(&|plan| file(plan, "socket", "/w/x")),
            with(&|plan| plan.sections.get_mut("files").unwrap().retain(|line| line.target != "/w/.git")),
            with(&|plan| drop(plan.sections.insert("network".into(), vec![]))),
            with(&|plan| plan.sections.get_mut("devices").unwrap()[0].target = "/dev/g1".into()),
            with(&|plan| {
                plan.sections.get_mut("environment").unwrap()[0] = Line { what: "set".into(), target: "TOKEN=1".into() }
            }),
        ];
        let told: Vec<_> = more.into_iter().map(|more| more.unwrap_or_default()).collect();
        expect_test::expect![[r#"
            the workspace is `/x` now
            a rule is new: `/x` (write)
            a rule is new: `/s/x` (read)
            a rule is gone: `/w/no` (none)
            writable: `/x`
            bound read-only: `/s/x`
            bound read-only: `/w/no/x`
            writable: `/w/no/x`
            socket: `/w/x`
            no longer blocked, missing: `/w/.git`
            network: allow a.com
            devices: node /dev/g1
            environment: set TOKEN=1"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn durations_are_read_as_plans_print_them() {
        for time in
            [Duration::from_secs(90), Duration::from_millis(1500), Duration::from_millis(100), Duration::from_nanos(7)]
        {
            assert_eq!(duration(&format!("{time:?}")), Some(time));
        }
        assert_eq!(duration("soon"), None);
    }
}
