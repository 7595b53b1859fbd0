//! Cases that did not agree once, each with what was wrong.

use crate::case::Case;

/// All of them.
pub fn found() -> Vec<Case> {
    vec![
        // A short command that made a guarded name was told nothing of it, and ended with 0.
        Case::new(
            "o/.git/",
            r#"
sandbox = "read-only"
git = "commit"
write = ["{B}/o/.git", "{B}/w"]
"#,
        ),
        // What was denied of a repository was opened for commits.
        Case::new(
            "w/.git/ | w/.git/config | w/f",
            r#"
sandbox = "read-only"
git = "commit"
deny = ["{B}/w/.git"]
"#,
        ),
        // A link that leads nowhere, denied and protected, was to be mounted on twice: nothing started.
        Case::new(
            "w/.vscode -> nowhere",
            r#"
sandbox = "workspace-write"
deny = ["{B}/w/.vscode"]
"#,
        ),
        // Landlock alone: what is to be read in a directory to be modified was taken for another name of itself.
        Case::new(
            "o/b/ | o/x y/ | o/b/.ssh",
            r#"
sandbox = "read-only"
deny = ["{B}/o/b/.ssh"]
read = ["{B}/o/x y"]
modify = ["{B}/o"]
"#,
        ),
        // Landlock alone: a directory that the command removed before the watch began was the run's failure.
        Case::new(
            "w/a/ | w/a/c/ | w/a/c/f/",
            r#"
sandbox = "workspace-write"
write = ["{B}/w/a/c"]
"#,
        ),
    ]
}
