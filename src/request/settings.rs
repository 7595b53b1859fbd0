//! What settings of other tools have in common: hosts at every port, paths of the shell, hosts by wildcard.

pub(super) mod tree;

use std::path::{Path, PathBuf};

use super::load::absolute;

/// A host as `allow_host` and `deny_host` have it. Other tools mean every port where none is named, and by `*.` the names
/// below a domain to any depth.
pub(super) fn host(pattern: &str) -> String {
    let deep = match pattern.strip_prefix("*.") {
        Some(domain) => format!("**.{domain}"),
        None => pattern.to_owned(),
    };
    let behind = deep.rsplit_once(']').map_or(deep.as_str(), |(_, behind)| behind);
    if behind.contains(':') { deep } else { format!("{deep}:*") }
}

/// A path without the `/**` at its end that means all below it, and what is left to be a pattern in it.
pub(super) fn without_all_below(path: &str) -> &str {
    match path.strip_suffix("/**") {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

/// A path as a shell would have it; a relative one is below `base`.
pub(super) fn place(path: &str, base: &Path, home: Option<&Path>) -> PathBuf {
    crate::policy::paths::normal(&absolute(Path::new(path), base, home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_mean_every_port_and_every_depth() {
        let table = [
            ("pypi.org", "pypi.org:*"),
            ("pypi.org:443", "pypi.org:443"),
            ("*.npmjs.org", "**.npmjs.org:*"),
            ("*.npmjs.org:8443", "**.npmjs.org:8443"),
            ("[::1]", "[::1]:*"),
            ("[::1]:443", "[::1]:443"),
            ("*:22", "*:22"),
        ];
        for (pattern, want) in table {
            assert_eq!(host(pattern), want);
        }
    }

    #[test]
    fn paths_are_whole_and_normal() {
        let home = Some(Path::new("/home/you"));
        let table = [("~/a/../b", "/home/you/b"), ("./x/", "/w/x"), (".", "/w"), ("/a//b/.", "/a/b")];
        for (path, want) in table {
            assert_eq!(place(path, Path::new("/w"), home), Path::new(want), "{path}");
        }
        for (path, want) in [("/a/**", "/a"), ("/**", "/"), ("src/**", "src"), ("/a/*.x", "/a/*.x")] {
            assert_eq!(without_all_below(path), want);
        }
    }
}
