//! Settings of the baseline, checked: globs are compiled, and every rule knows who wrote it.

pub mod rows;

use std::ffi::OsStr;
use std::path::{Component, Path};

use globset::{GlobBuilder, GlobMatcher};

use crate::request::baseline::{Baseline, Conflict, ConflictRule};
use crate::request::{Origin, Said, Source};

/// A glob over whole paths: `*`, `?` and `[set]` stay inside one component, `**` does not, a trailing `/**` matches the
/// directory itself too, `\` escapes.
#[derive(Debug, Clone)]
pub struct PathGlob {
    written: String,
    parts: Vec<Part>,
}

/// A component of a glob. Each is matched by itself: a set such as `[!a]` would match the slash too.
#[derive(Debug, Clone)]
enum Part {
    /// `**`: any number of components, also none.
    Any,
    One(GlobMatcher),
}

impl PathGlob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn new(written: &str) -> Result<Self, String> {
        let path = Path::new(written);
        if !path.is_absolute() {
            return Err("is not absolute".to_owned());
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("has `..` in it".to_owned());
        }
        if written.trim_end_matches('/').split('/').skip(1).any(|part| matches!(part, "" | ".")) {
            // It would match nothing: paths are compared in their normal form.
            return Err("has an empty component or `.` in it".to_owned());
        }
        if unescaped(written, '{') || unescaped(written, '}') {
            return Err("has braces, which mean nothing here: write one pattern for each".to_owned());
        }
        let compile = |pattern: &str| {
            let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("is no glob: {}", error.kind()))
        };
        let part = |part: &str| if part == "**" { Ok(Part::Any) } else { compile(part).map(Part::One) };
        let parts = written.trim_end_matches('/').split('/').skip(1).map(part).collect::<Result<_, _>>()?;
        Ok(Self { written: written.to_owned(), parts })
    }

    /// Whether it is about a path.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let names: Vec<_> = path.iter().skip(1).collect();
        fits(&self.parts, &names)
    }

    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }
}

fn fits(parts: &[Part], names: &[&OsStr]) -> bool {
    match parts.split_first() {
        None => names.is_empty(),
        Some((Part::Any, rest)) => {
            (0..=names.len()).any(|after| names.get(after..).is_some_and(|names| fits(rest, names)))
        }
        Some((Part::One(part), rest)) => {
            names.split_first().is_some_and(|(name, names)| part.is_match(name) && fits(rest, names))
        }
    }
}

fn unescaped(text: &str, wanted: char) -> bool {
    let mut escaped = false;
    text.chars().any(|letter| {
        let found = letter == wanted && !escaped;
        escaped = letter == '\\' && !escaped;
        found
    })
}

/// What happens at the paths of a glob.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Which paths.
    pub glob: PathGlob,
    /// Policies of which sources; empty: of all.
    pub sources: Vec<Source>,
    /// What happens.
    pub mode: Conflict,
    /// Who wrote it.
    pub by: Origin,
    /// Whether it may be less strict than the default: written by an administrator.
    pub may_relax: bool,
}

/// All settings of the baseline.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Never added, never promoted.
    pub keep: Vec<(PathGlob, Origin)>,
    /// Of files, in their order: the first that fits counts.
    pub conflicts: Vec<Setting>,
    /// Of flags: stricter than the rest, unless an administrator lets them be less.
    pub flags: Vec<Setting>,
    /// Whether every process's paths are added although the policy has no network.
    pub core: bool,
    /// Whether the policy is enriched as OpenShell does it.
    pub compat: Option<Origin>,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No glob.
    #[error("{by}: pattern `{pattern}` {why}")]
    Glob {
        /// As written.
        pattern: String,
        /// What is wrong.
        why: String,
        /// Who wrote it.
        by: Origin,
    },
    /// Compatibility was asked for and is not allowed.
    #[error("{by} is not allowed here ({refused})")]
    Compat {
        /// Who asked.
        by: Origin,
        /// Who refuses.
        refused: Origin,
    },
}

impl Settings {
    /// Checks what was said. `source` tells where a file came from: only an administrator's may relax.
    ///
    /// # Errors
    /// Every wrong setting.
    pub fn new(said: Baseline, source: &dyn Fn(&Origin) -> Source) -> Result<Self, Vec<SettingError>> {
        let Baseline { keep, conflicts, flags, core, allow_cli_relax, allow_compat, compat } = said;
        let mut errors = Vec::new();
        let is_admin = |by: &Origin| source(by) == Source::Admin;
        // What OpenShell does knows no settings: an administrator's must not be gone around by it unsaid.
        let settled = keep.iter().map(|said| &said.by).chain(conflicts.iter().map(|said| &said.by));
        let settled = settled.into_iter().find(|by| is_admin(by)).cloned();
        let no_compat = match allow_compat {
            Some(said) if !said.value => Some(said.by),
            Some(said) if is_admin(&said.by) => None,
            Some(_) | None => settled,
        };
        let mut glob = |pattern: &str, by: &Origin| match PathGlob::new(pattern) {
            Ok(glob) => Some(glob),
            Err(why) => {
                errors.push(SettingError::Glob { pattern: pattern.to_owned(), why, by: by.clone() });
                None
            }
        };
        let keep = keep.into_iter().filter_map(|said| Some((glob(&said.value, &said.by)?, said.by))).collect();
        let relaxes = allow_cli_relax.is_some_and(|said| said.value && is_admin(&said.by));
        let mut settings = |rules: Vec<Said<ConflictRule>>, may_relax: &dyn Fn(&Origin) -> bool| {
            let setting = |Said { value, by }: Said<ConflictRule>| {
                let ConflictRule { pattern, sources, mode, reason: _ } = value;
                Some(Setting { glob: glob(&pattern, &by)?, sources, mode, may_relax: may_relax(&by), by })
            };
            rules.into_iter().filter_map(setting).collect()
        };
        let conflicts = settings(conflicts, &is_admin);
        let flags = settings(flags, &|_| relaxes);
        let compat = compat.filter(|said| said.value).map(|said| said.by);
        if let (Some(by), Some(refused)) = (&compat, no_compat) {
            errors.push(SettingError::Compat { by: by.clone(), refused });
        }
        let settings = Self { keep, conflicts, flags, core: core.is_some_and(|said| said.value), compat };
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_anchored_and_stay_inside_a_component() {
        let table = [
            ("/proc", "/proc", true),
            ("/proc", "/proc/1", false),
            ("/proc/", "/proc", true),
            ("/sys/**", "/sys", true),
            ("/sys/**", "/sys/class/net", true),
            ("/sys/**", "/system", false),
            ("/dev/nvidia[0-9]*", "/dev/nvidia0", true),
            ("/dev/nvidia[0-9]*", "/dev/nvidiactl", false),
            ("/dev/*", "/dev/nvidia-caps/nvidia-cap1", false),
            ("/dev/**/nvidia-cap?", "/dev/nvidia-caps/nvidia-cap1", true),
            ("/dev/nvidia\\*", "/dev/nvidia0", false),
            ("/dev/nvidia\\*", "/dev/nvidia*", true),
            ("/**", "/dev/dxg", true),
            ("/**", "/", true),
            ("/dev[!x]shm", "/dev/shm", false),
            ("/dev?shm", "/dev/shm", false),
            ("/dev/[!a-m]*", "/dev/shm", true),
            ("/dev/**/shm/**", "/dev/shm", true),
            ("/dev/**/shm/**", "/dev/x/shm/y/z", true),
            ("/**/shm", "/dev/shm", true),
            ("/", "/", true),
        ];
        for (glob, path, want) in table {
            assert_eq!(PathGlob::new(glob).unwrap().matches(Path::new(path)), want, "{glob} {path}");
        }
        for bad in [
            "proc",
            "",
            "**/proc",
            "!/proc",
            "/a/../b",
            "/dev/{a,b}",
            "/dev/[z",
            "/dev/[a/b]",
            "//proc",
            "/./proc",
            "/proc/.",
        ] {
            assert!(PathGlob::new(bad).is_err(), "{bad}");
        }
        assert!(PathGlob::new("/dev/\\{a\\}").unwrap().matches(Path::new("/dev/{a}")), "escaped braces are letters");
    }
}
