//! The two helpers: the reference, and ours.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::user::{self, User};

/// The name by which both are called.
const NAME: &str = "codex-linux-sandbox";

/// Where npm puts the reference, below the project or below the directory that `just diff-codex` uses.
const INSTALLED: &str = "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";

pub struct Helper {
    /// The link that is called.
    pub link: PathBuf,
    /// What it points at.
    pub binary: PathBuf,
}

impl Helper {
    /// A link of the right name, in a directory of its own.
    pub fn new(dir: &Path, binary: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let link = dir.join(NAME);
        let binary = fs::canonicalize(binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        symlink(&binary, &link).unwrap();
        Self { link, binary }
    }

    /// The paths that must be visible inside for it to be started there again.
    pub fn paths(&self) -> Vec<String> {
        [&self.link, &self.binary].map(|path| path.to_str().unwrap().to_owned()).to_vec()
    }
}

/// The reference, or none, loudly.
pub fn reference() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("RINGFENCE_REFERENCE").map(PathBuf::from);
    let known = [root.join(INSTALLED), root.join("target/reference").join(INSTALLED)];
    let found = named.into_iter().chain(known).find(|path| path.is_file());
    if found.is_none() {
        skip("the reference is not installed: npm i --no-save @openai/codex@0.169.0");
    }
    found
}

/// Ours: this build, or what `RINGFENCE_DIFF_OURS` names.
pub fn ours(user: User, dir: &Path) -> PathBuf {
    let named = std::env::var_os("RINGFENCE_DIFF_OURS").map(PathBuf::from);
    named.unwrap_or_else(|| user::reachable_binary(user, dir))
}

/// Whether a user can walk to a program.
pub fn reachable(path: &Path, user: User) -> bool {
    let open_to_all = |path: &Path| fs::metadata(path).is_ok_and(|found| found.mode() & 0o001 != 0);
    user == User::Caller || fs::canonicalize(path).is_ok_and(|path| path.ancestors().all(open_to_all))
}

/// Says that something is not tested, past the capture of the test harness; `RINGFENCE_MUST=codex` makes it a failure.
pub fn skip(why: &str) {
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    assert!(!must.split(',').any(|name| name == "codex"), "RINGFENCE_MUST=codex: {why}");
    drop(writeln!(std::io::stderr(), "SKIPPED diff_codex: {why}"));
}
