//! Where cases are run: a directory, the probe, and an engine.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringfence::host;
use ringfence::plan::{self, Plan};
use ringfence::policy::Policy;
use ringfence::request::{Backend, Origin, Said, load};

use crate::case::Case;
use crate::probes::Attempt;
use crate::tree::Tree;

/// All engines; the first two promise the same.
pub const ENGINES: [Backend; 3] = [Backend::Native, Backend::Bwrap, Backend::Landlock];

/// A directory of its own, so that several can be at work.
pub struct Bench {
    /// Removed at the end; there are plain files in it, and no mounts.
    _kept: tempfile::TempDir,
    /// `{B}`: holds the tree and the policy.
    pub base: PathBuf,
    probe: PathBuf,
    ringfence: PathBuf,
}

/// What the probe said, attempt by attempt, and how the run ended.
pub struct Ran {
    /// `errno` and what was seen. Shorter than the attempts where the sandbox was ended.
    pub answers: Vec<(i32, String)>,
    pub code: Option<i32>,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        let kept = tempfile::Builder::new().prefix("ringfence-properties-").tempdir_in("/var/tmp").unwrap();
        let top = kept.path().canonicalize().unwrap();
        let (base, bin) = (top.join("B"), top.join("bin"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&bin).unwrap();
        let (source, probe) = (bin.join("probe.c"), bin.join("probe"));
        fs::write(&source, include_str!("probe.c")).unwrap();
        let cc = Command::new("cc").args(["-static", "-O1", "-o"]).args([&probe, &source]).status();
        assert!(cc.unwrap().success(), "a C compiler and a static libc are needed");
        let ringfence = std::env::var_os("RINGFENCE_PROPERTIES_BINARY");
        let ringfence = ringfence.map_or_else(|| env!("CARGO_BIN_EXE_ringfence").into(), PathBuf::from);
        Self { _kept: kept, base, probe, ringfence }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let cache = self.probe.with_file_name("cache");
        let variables = [("HOME", self.base.join("o")), ("XDG_CACHE_HOME", cache), ("PATH", "/usr/bin:/bin".into())];
        variables.map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    fn workspace(&self) -> PathBuf {
        self.base.join("w")
    }

    fn config(&self) -> PathBuf {
        self.base.join("p.toml")
    }

    /// Puts the tree and the policy there, and nothing else.
    pub fn lay(&self, case: &Case) -> Tree {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.base.to_str().unwrap()), "a mount was left on the host");
        fs::remove_dir_all(&self.base).unwrap();
        fs::create_dir(&self.base).unwrap();
        let tree = Tree::of(&self.base, &case.tree);
        tree.make();
        let mut text = case.policy.trim_start().replace("{B}", self.base.to_str().unwrap());
        if text.contains("\"/\"") {
            // Where nothing is shown that no rule names.
            text = format!("unix = []\n{text}[paths]\n{:?} = \"read\"\n", self.probe);
        }
        fs::write(self.config(), format!("gpu = \"off\"\n{text}")).unwrap();
        tree
    }

    /// The plan of what lies there.
    pub fn plan(&self, engine: Backend) -> Result<Plan, String> {
        let (config, workspace) = (self.config(), self.workspace());
        let text = fs::read_to_string(&config).unwrap();
        let home = self.base.join("o");
        let mut request = load::parse(&text, &config, &self.base, Some(&home)).map_err(|error| error.to_string())?;
        request.command = vec![self.probe.clone().into()];
        request.files = vec![config];
        request.backend = Some(Said::new(engine, Origin::Flag("--backend")));
        let all = |errors: Vec<String>| errors.join("; ");
        let policy =
            Policy::new(request, &workspace).map_err(|errors| all(errors.iter().map(ToString::to_string).collect()))?;
        let facts = host::probe(Path::new("/"), &policy, self.environment()).map_err(|error| error.to_string())?;
        plan::build(&policy, &facts).map_err(|errors| all(errors.iter().map(ToString::to_string).collect()))
    }

    /// Lets an engine run the probe.
    pub fn run(&self, engine: Backend, attempts: &[Attempt]) -> Ran {
        let mut command = Command::new(&self.ringfence);
        command.args(["run", "--backend", engine.name(), "--config"]).arg(self.config()).arg("--").arg(&self.probe);
        command.env_clear().envs(self.environment()).current_dir(self.workspace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for attempt in attempts {
            // A run that is refused reads nothing.
            if input.write_all(&attempt.line()).is_err() {
                break;
            }
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = |line: &str| {
            let (errno, seen) = line.split_once(' ')?;
            Some((errno.parse().ok()?, seen.to_owned()))
        };
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran { answers: text.lines().filter_map(answer).collect(), code: output.status.code(), stderr }
    }
}
