//! The dialect of deny globs: `*` and `?` do not cross `/`, `**` does, `[…]` and `{a,b}` as in a shell.

use globset::{GlobBuilder, GlobMatcher};

/// Compiles one pattern.
///
/// # Errors
/// What is wrong with it, in words.
pub fn compile(pattern: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn stars_stay_inside_a_component_and_double_stars_do_not() {
        let table = [
            ("/w/*.env", "/w/a.env", true),
            ("/w/*.env", "/w/sub/a.env", false),
            ("/w/**/*.env", "/w/a.env", true),
            ("/w/**/*.env", "/w/sub/deep/a.env", true),
            ("/w/**/secret", "/w/a/secret", true),
            ("/w/key?", "/w/key1", true),
            ("/w/key?", "/w/key/", false),
            ("/w/{a,b}.pem", "/w/b.pem", true),
            ("/w/[ab].pem", "/w/c.pem", false),
        ];
        for (glob, path, want) in table {
            assert_eq!(super::compile(glob).expect("a good glob").is_match(path), want, "{glob} {path}");
        }
    }
}
