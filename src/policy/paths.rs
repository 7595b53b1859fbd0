//! Access levels and the rule that wins: the most specific one, at equal depth the more restrictive one.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::request::Origin;

/// What may be done with a file or a tree, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Not even its content can be seen.
    #[serde(alias = "deny")]
    None,
    /// Read and execute.
    Read,
    /// Write existing files; create and delete nothing.
    Modify,
    /// Everything.
    Write,
}

impl Access {
    /// Whether files can be changed.
    #[must_use]
    pub fn writes(self) -> bool {
        self >= Self::Modify
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Modify => "modify",
            Self::Write => "write",
        })
    }
}

/// One path, what may be done below it, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Absolute and lexically normal; a directory's rule covers all below it.
    pub path: PathBuf,
    /// The level.
    pub access: Access,
    /// Who said it.
    pub because: Origin,
}

/// A deny glob: what it matches when the sandbox starts is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// Absolute pattern as it is matched.
    pub pattern: String,
    /// The longest directory prefix without a metacharacter: where the walk starts.
    pub base: PathBuf,
    /// The pattern as it was written.
    pub written: String,
    /// How many directories below its start are searched; `None`: all.
    pub max_depth: Option<std::num::NonZeroUsize>,
    /// Who said it.
    pub because: Origin,
}

/// Removes `.`, `..` and doubled slashes from an absolute path without looking at the file system.
///
/// `..` is taken lexically on purpose: what it means on disk is found out by the host room, which resolves the result.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// Whether a path is a directory or lies below it, both of them [`normal`]: [`Path::starts_with`] at a tenth of its price,
/// which counts where it is asked of thousands of rules.
#[must_use]
pub fn lies_in(path: &Path, directory: &Path) -> bool {
    let (path, directory) = (path.as_os_str().as_bytes(), directory.as_os_str().as_bytes());
    let Some(rest) = path.strip_prefix(directory) else { return false };
    directory == b"/" || rest.first().is_none_or(|byte| *byte == b'/')
}

/// Whether a deny argument is a glob and not a plain path.
#[must_use]
pub fn has_metacharacters(path: &OsStr) -> bool {
    path.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_paths_have_no_dots() {
        for (path, want) in [("/a/./b//c", "/a/b/c"), ("/a/../b", "/b"), ("/../..", "/"), ("/", "/")] {
            assert_eq!(normal(Path::new(path)), Path::new(want), "{path}");
        }
    }

    #[test]
    fn what_lies_in_a_directory_starts_with_it() {
        let paths =
            ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a.b", "/a/bc", "/b", "/devices", "/dev/null", "/dev"].map(Path::new);
        for path in paths {
            for directory in paths {
                let want = path.starts_with(directory);
                assert_eq!(lies_in(path, directory), want, "{} in {}", path.display(), directory.display());
            }
        }
    }
}
