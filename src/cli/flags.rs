//! Flags → [`Request`], exhaustive.

mod complete;
mod gpu;
mod limits;
mod network;
mod output;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};

use super::help::MORE;
use super::report::Problem;
use crate::policy::Policy;
use crate::request::baseline::{Baseline, Conflict, ConflictRule};
use crate::request::codex::Surroundings;
use crate::request::file as policy_file;
use crate::request::load::{self, LoadError, absolute, variable};
use crate::request::profiles;
use crate::request::{Allow, Backend, Format, Git, Landlock, Mode, Net, Origin, Request, Said, Tmp, Wall, Watch};
use gpu::GpuFlags;
use limits::LimitFlags;
use network::NetworkFlags;
use output::OutputFlags;
pub use output::{EndFlags, Output};

const CONFLICT: Origin = Origin::Flag("--baseline-conflict");

/// Headings of `--help`, in the order of the options below; `-h` leaves out what is hidden there.
mod heading {
    pub(super) const FILES: &str = "Files";
    pub(super) const GPU: &str = "GPUs and devices";
    pub(super) const NETWORK: &str = "Network";
    pub(super) const ENVIRONMENT: &str = "Environment";
    pub(super) const LIMITS: &str = "Limits";
    pub(super) const ENGINE: &str = "Engine";
    pub(super) const POLICY: &str = "Policies";
    pub(super) const OUTPUT: &str = "Output";
}

/// The options that `run`, `plan` and `why` share.
#[derive(Debug, Default, Args)]
#[command(after_help = MORE, after_long_help = "")]
pub struct Flags {
    /// Start from what a well-known tool needs: ringfence profiles lists them.
    ///
    /// All else that is said counts more.
    #[arg(long, value_name = "NAME", value_parser = profile_names(), hide_possible_values = true)]
    profile: Vec<String>,
    /// What may be written: nothing, the workspace, or everything.
    #[arg(long, short, value_enum, value_name = "MODE")]
    sandbox: Option<Mode>,
    /// Read a policy: TOML with the same words, OpenShell's YAML, Codex's JSON.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make a path readable that would be hidden.
    #[arg(long, value_name = "PATH", help_heading = heading::FILES)]
    read: Vec<PathBuf>,
    /// Make a path writable.
    #[arg(long, value_name = "PATH", help_heading = heading::FILES)]
    write: Vec<PathBuf>,
    /// Let existing files below a path be changed, none be made or removed.
    #[arg(long, value_name = "PATH", help_heading = heading::FILES, hide_short_help = true)]
    modify: Vec<PathBuf>,
    /// Hide a path; with * ? [ ] {a,b} or **, everything that matches now.
    #[arg(long, value_name = "PATH|GLOB", help_heading = heading::FILES)]
    deny: Vec<PathBuf>,
    /// What may be written below .git.
    #[arg(long, value_enum, value_name = "HOW", help_heading = heading::FILES)]
    git: Option<Git>,
    /// A private /tmp, or the host's.
    #[arg(long, value_enum, value_name = "WHICH", help_heading = heading::FILES, hide_short_help = true)]
    tmp: Option<Tmp>,
    /// Give no /proc.
    #[arg(long, help_heading = heading::FILES, hide_short_help = true)]
    no_proc: bool,
    #[command(flatten)]
    gpu: GpuFlags,
    /// Grant a device node.
    #[arg(long, value_name = "PATH", help_heading = heading::GPU)]
    device: Vec<PathBuf>,
    #[command(flatten)]
    network: NetworkFlags,
    /// Let the command connect to a unix socket of the host.
    #[arg(long, value_name = "SOCKET", help_heading = heading::NETWORK, hide_short_help = true)]
    unix: Vec<PathBuf>,
    /// Set a variable, or let one through that looks like a secret.
    #[arg(long, value_name = "K[=V]", help_heading = heading::ENVIRONMENT)]
    env: Vec<OsString>,
    /// Start with an empty environment.
    #[arg(long, help_heading = heading::ENVIRONMENT, hide_short_help = true)]
    env_clear: bool,
    /// Start in this directory, and take it as the workspace.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = heading::ENVIRONMENT)]
    cd: Option<PathBuf>,
    /// Leave a descriptor above 2 open in the command: whatever it is can be used.
    #[arg(long, value_name = "N", help_heading = heading::ENVIRONMENT, hide_short_help = true)]
    pass_fd: Vec<i32>,
    #[command(flatten)]
    limits: LimitFlags,
    /// What enforces the plan.
    #[arg(long, value_enum, value_name = "WHICH", help_heading = heading::ENGINE)]
    backend: Option<Backend>,
    /// Let a family of system calls through.
    #[arg(long, value_enum, value_name = "WHAT", help_heading = heading::ENGINE, hide_short_help = true)]
    allow: Vec<Allow>,
    /// Where Landlock cannot do all that the plan asks of it: nothing runs (required), or it runs and tells what is lost.
    #[arg(long, value_enum, value_name = "HOW", help_heading = heading::ENGINE, hide_short_help = true)]
    landlock: Option<Landlock>,
    /// Write what Landlock denies to the kernel's audit log (Linux 6.15).
    #[arg(long, help_heading = heading::ENGINE, hide_short_help = true)]
    audit: bool,
    /// Set a feature, as Codex does: use_legacy_landlock=true is --backend landlock.
    #[arg(short = 'c', value_name = "KEY=VALUE", value_parser = feature, help_heading = heading::ENGINE, hide_short_help = true)]
    feature: Vec<Feature>,
    /// The format of --config, where its content is not to tell; openshell without a --config looks for OpenShell's
    /// policy as OpenShell does.
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = heading::POLICY, hide_short_help = true)]
    format: Option<Format>,
    #[command(flatten)]
    output: OutputFlags,
    /// Leave out what a policy says and nothing here can enforce. It only takes access away, and plan lists it.
    #[arg(long, help_heading = heading::POLICY, hide_short_help = true)]
    allow_unenforced: bool,
    /// Add the paths that every process needs, where the policy says nothing of them.
    #[arg(long, value_name = "WHAT", value_parser = ["core"], help_heading = heading::POLICY, hide_short_help = true)]
    baseline: Option<String>,
    /// Where GPUs need more than a rule says: promote, promote-narrow, keep or refuse, at all paths or at a glob.
    #[arg(long, value_name = "MODE[:GLOB]", value_parser = conflict, help_heading = heading::POLICY, hide_short_help = true)]
    baseline_conflict: Vec<ConflictRule>,
    /// Enrich an OpenShell policy by OpenShell's own steps, for comparisons: /proc becomes writable with a GPU.
    #[arg(long, help_heading = heading::POLICY, hide_short_help = true)]
    openshell_compat: bool,
    /// Whose wish it is that everything is noted.
    #[arg(skip)]
    learner: Option<Origin>,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

/// A `-c KEY=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `use_legacy_landlock`.
    UseLegacyLandlock(bool),
}

/// Reads a `-c KEY=VALUE`.
pub fn feature(text: &str) -> Result<Feature, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim().parse().map_err(|_| format!("`{text}` is not KEY=true or KEY=false"))?;
    match key.trim() {
        "use_legacy_landlock" | "features.use_legacy_landlock" => Ok(Feature::UseLegacyLandlock(value)),
        _ => Err(format!("`{key}` is not a feature: there is use_legacy_landlock")),
    }
}

/// Named in completions, and when one is misspelt.
fn profile_names() -> PossibleValuesParser {
    PossibleValuesParser::new(profiles::PROFILES.iter().map(|profile| profile.name))
}

/// Reads a `--baseline-conflict MODE[:GLOB]`.
fn conflict(text: &str) -> Result<ConflictRule, String> {
    let (mode, pattern) = text.split_once(':').unwrap_or((text, "/**"));
    let mode = <Conflict as clap::ValueEnum>::from_str(mode, false)
        .map_err(|_| format!("`{mode}` is not promote, promote-narrow, keep or refuse"))?;
    Ok(ConflictRule { pattern: pattern.to_owned(), sources: Vec::new(), mode, reason: None })
}

/// Where relative paths of flags belong, and where configuration lies.
struct Caller {
    cwd: PathBuf,
    home: Option<PathBuf>,
}

/// Reads one policy and nothing else, for `convert`; with it comes the workspace.
///
/// # Errors
/// Every problem with it, worded for people.
pub fn read(
    config: Option<&Path>,
    format: Option<Format>,
    cd: Option<&Path>,
) -> Result<(Request, PathBuf), Vec<Problem>> {
    let caller = Caller::new(cd)?;
    let request = caller.named(config, format, cd)?.ok_or_else(|| {
        let hint = Some("name it with --config FILE, or --format openshell to look for OpenShell's".to_owned());
        vec![Problem::new("there is no policy to convert", hint)]
    })?;
    let workspace = cd.map_or_else(|| caller.cwd.clone(), |cd| absolute(cd, &caller.cwd, caller.home.as_deref()));
    Ok((request, workspace))
}

impl Flags {
    /// Of a command line without options.
    pub fn of_command(command: &[OsString]) -> Self {
        Self { command: command.to_vec(), ..Self::default() }
    }

    /// The question of `ringfence why`: `PATH` asks about reading, `--write PATH` without another path about writing.
    /// More than one path is no question.
    pub fn take_question(&mut self) -> Option<(PathBuf, bool)> {
        match (self.command.len(), self.command.pop()) {
            (1, Some(path)) => Some((path.into(), false)),
            (0, _) => self.write.pop().map(|path| (path, true)),
            _ => None,
        }
    }

    /// Whether a command is named.
    pub fn has_command(&self) -> bool {
        !self.command.is_empty()
    }

    /// Sets a time after which the command is ended, unless one is set.
    pub fn end_after(&mut self, time: Duration) {
        self.limits.end_after(time);
    }

    /// What is told of the run; a descriptor for it is the caller's from here on.
    ///
    /// # Errors
    /// When that is not open.
    pub fn take_output(&mut self) -> Result<Output, Vec<Problem>> {
        if let Some(fd) = self.pass_fd.iter().find(|fd| self.output.tells(**fd)) {
            let hint = Some("name two descriptors".to_owned());
            return Err(vec![Problem::new(
                format!("--pass-fd {fd} would let the command write its own outcome"),
                hint,
            )]);
        }
        self.output.take()
    }

    /// Notes everything, and refuses the network by name where nobody says what it is to be.
    pub fn learn(&mut self, by: Origin) {
        self.learner = Some(by);
    }

    /// The policy that is named.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Whether what the command is refused is to be noted.
    pub fn explains(&self) -> bool {
        self.output.watch().is_some()
    }

    /// Whether a plan is to be printed in OpenShell's format: a file's own format is told by its content then.
    pub fn take_output_format(&mut self) -> bool {
        let wanted = self.format == Some(Format::Openshell);
        if wanted && self.config.is_some() {
            self.format = None;
        }
        wanted
    }

    /// The profiles, the administrator's file, the user's, `--config`, then flags, checked.
    ///
    /// # Errors
    /// Every problem with them, worded for people.
    pub fn policy(self) -> Result<Policy, Vec<Problem>> {
        let caller = Caller::new(self.cd.as_deref())?;
        let net = self.learner.clone().map(|by| Said::new(Net::Allow, by));
        let mut request = Request { net, ..Request::default() };
        let system = Path::new(policy_file::SYSTEM_DIRECTORY).join("config.toml");
        for file in [Some(system), caller.user_file()].into_iter().flatten().filter(|file| policy_file::is_there(file))
        {
            request = request.overlaid_by(caller.load(&file, Some(Format::Toml), self.cd.as_deref())?);
        }
        if let Some(named) = caller.named(self.config.as_deref(), self.format, self.cd.as_deref())? {
            request = request.overlaid_by(named);
        }
        // A configuration that does not exist yet must not be made by the command either.
        request.files.extend(caller.user_file());
        let request = request.overlaid_by(self.request(&caller));
        let request = profiles::below(request, caller.home.as_deref()).map_err(Problem::of_file)?;
        Policy::new(request, &caller.cwd).map_err(|errors| errors.into_iter().map(Problem::from).collect())
    }

    /// The directories of `--cdi-dir`, absolute.
    pub fn cdi_dirs(&self) -> Vec<PathBuf> {
        self.gpu.cdi_dirs()
    }

    fn request(self, caller: &Caller) -> Request {
        let Self {
            profile,
            sandbox,
            config: _,
            format: _,
            read,
            write,
            modify,
            deny,
            git,
            tmp,
            no_proc,
            gpu,
            device,
            network,
            unix,
            env,
            env_clear,
            cd,
            limits,
            pass_fd,
            allow,
            backend,
            landlock,
            audit,
            allow_unenforced,
            baseline,
            baseline_conflict,
            openshell_compat,
            feature,
            output,
            learner,
            command,
        } = self;
        let legacy_landlock = feature.contains(&Feature::UseLegacyLandlock(true)).then_some(Backend::Landlock);
        let mut request = Request {
            profile: each(profile, "--profile"),
            sandbox: said(sandbox, "--sandbox"),
            read: caller.paths(read, "--read"),
            write: caller.paths(write, "--write"),
            modify: caller.paths(modify, "--modify"),
            deny: caller.globs(deny, "--deny"),
            device: each(device, "--device"),
            unix: caller.paths(unix, "--unix"),
            net: said(network.net(), "--net"),
            git: said(git, "--git"),
            tmp: said(tmp, "--tmp"),
            backend: said(backend, "--backend").or(said(legacy_landlock, "-c use_legacy_landlock")),
            env: env.into_iter().map(|text| Said::new(variable(text), Origin::Flag("--env"))).collect(),
            env_clear: said(env_clear.then_some(true), "--env-clear"),
            proc: said(no_proc.then_some(false), "--no-proc"),
            limits: limits.limits(caller),
            allow: each(allow, "--allow"),
            wall: Wall {
                landlock: said(landlock, "--landlock"),
                audit: said(audit.then_some(true), "--audit"),
                watch: learner.map(|by| Said::new(Watch::Everything, by)).or_else(|| output.watch()),
            },
            reach: network.reach(said(allow_unenforced.then_some(true), "--allow-unenforced")),
            baseline: settings(baseline_conflict, baseline.is_some(), openshell_compat),
            pass_fd,
            cd: cd.map(|path| absolute(&path, &caller.cwd, caller.home.as_deref())),
            command,
            ..Request::default()
        };
        gpu.fill(caller, &mut request);
        request
    }
}

fn settings(conflicts: Vec<ConflictRule>, core: bool, compat: bool) -> Baseline {
    Baseline {
        flags: conflicts.into_iter().map(|rule| Said::new(rule, CONFLICT)).collect(),
        core: said(core.then_some(true), "--baseline"),
        compat: said(compat.then_some(true), "--openshell-compat"),
        ..Baseline::default()
    }
}

fn each<T>(values: Vec<T>, flag: &'static str) -> Vec<Said<T>> {
    values.into_iter().map(|value| Said::new(value, Origin::Flag(flag))).collect()
}

fn said<T>(value: Option<T>, flag: &'static str) -> Option<Said<T>> {
    value.map(|value| Said::new(value, Origin::Flag(flag)))
}

impl Caller {
    fn new(cd: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Ok(Self { cwd: current_directory(cd)?, home })
    }

    /// Reads a configuration or a JSON policy, which is about the directory that the command is started in.
    fn load(&self, file: &Path, format: Option<Format>, cd: Option<&Path>) -> Result<Request, Vec<Problem>> {
        let read = |around: Surroundings<'_>| policy_file::read(file, format, self.home.as_deref(), around);
        self.around(cd, &read)
    }

    /// The policy of `--config` and `--format`, if there is one.
    fn named(
        &self,
        config: Option<&Path>,
        format: Option<Format>,
        cd: Option<&Path>,
    ) -> Result<Option<Request>, Vec<Problem>> {
        match (config, format) {
            (Some(file), format) => self.load(file, format, cd).map(Some),
            (None, Some(Format::Openshell)) => self.openshell(cd).map(Some),
            (None, Some(Format::Toml | Format::Codex | Format::Srt)) => {
                let hint = Some("name the file with --config FILE".to_owned());
                Err(vec![Problem::new("--format says how to read a file, and there is none", hint)])
            }
            (None, None) => Ok(None),
        }
    }

    /// OpenShell's policy, where OpenShell would look for it.
    fn openshell(&self, cd: Option<&Path>) -> Result<Request, Vec<Problem>> {
        let variable = std::env::var_os("OPENSHELL_SANDBOX_POLICY").filter(|path| !path.is_empty());
        let variable = variable.as_deref().map(Path::new);
        self.around(cd, &|around| policy_file::openshell_policy(variable, policy_file::OF_IMAGES, around))
    }

    fn around(
        &self,
        cd: Option<&Path>,
        read: &dyn Fn(Surroundings<'_>) -> Result<Request, LoadError>,
    ) -> Result<Request, Vec<Problem>> {
        let workspace = cd.map_or_else(|| self.cwd.clone(), |cd| absolute(cd, &self.cwd, self.home.as_deref()));
        let tmpdir = std::env::var_os("TMPDIR");
        read(Surroundings { workspace: &workspace, tmpdir: tmpdir.as_deref() }).map_err(Problem::of_file)
    }

    /// Flags are relative to the working directory; `~/` that was quoted from the shell is the home directory.
    fn paths(&self, paths: Vec<PathBuf>, flag: &'static str) -> Vec<Said<PathBuf>> {
        paths
            .into_iter()
            .map(|path| Said::new(absolute(&path, &self.cwd, self.home.as_deref()), Origin::Flag(flag)))
            .collect()
    }

    /// As [`Caller::paths`], where relative globs belong to the workspace.
    fn globs(&self, paths: Vec<PathBuf>, flag: &'static str) -> Vec<Said<PathBuf>> {
        let path = |path: PathBuf| load::absolute_or_glob(&path, &self.cwd, self.home.as_deref());
        paths.into_iter().map(|given| Said::new(path(given), Origin::Flag(flag))).collect()
    }

    /// `$XDG_CONFIG_HOME/ringfence/config.toml`, whether it exists or not. A file in the workspace is never read unasked: the
    /// command could have written it.
    fn user_file(&self) -> Option<PathBuf> {
        let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = base.or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(base.join("ringfence/config.toml"))
    }
}

/// The working directory. A deleted one has no path: then `--cd` must name another.
fn current_directory(cd: Option<&Path>) -> Result<PathBuf, Vec<Problem>> {
    match std::env::current_dir() {
        Ok(cwd) => Ok(cwd),
        Err(_) if cd.is_some_and(Path::is_absolute) => Ok(PathBuf::from("/")),
        Err(error) => {
            let hint = "it was deleted or cannot be reached: name another one with --cd DIR".to_owned();
            Err(vec![Problem::new(format!("the working directory: {error}"), Some(hint))])
        }
    }
}
