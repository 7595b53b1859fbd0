//! `codex-linux-sandbox`: the helper that Codex starts, with its flags, its policies and its exit codes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::flags::{Feature, feature};
use super::report::{Problem, note, problems};
use super::run::{self, prepare_policy};
use crate::policy::Policy;
use crate::request::codex::{self, CodexError, Surroundings};
use crate::request::{Backend, Origin, Request, Said};

/// The name that this program answers to.
pub const NAME: &str = "codex-linux-sandbox";

/// Exit code where no sandbox could be made.
const FAILED: i32 = 1;

/// Exit code of a command line or a policy that cannot be used.
const USAGE: i32 = 2;

/// Run a command under one of Codex's policies, with the GPU working.
///
/// What follows the options is the command; `--` before it is optional. Exit codes: the command's own, 128 + n when
/// signal n killed it, 127 not found, 126 not executable, 2 for a bad command line or policy, 1 when there can be no
/// sandbox.
#[derive(Debug, Parser)]
#[command(name = NAME, version, max_term_width = 100)]
pub struct Args {
    /// The directory that the policy is about.
    #[arg(long, value_name = "DIR")]
    sandbox_policy_cwd: PathBuf,
    /// Where the command starts; the working directory otherwise.
    #[arg(long, value_name = "DIR")]
    command_cwd: Option<PathBuf>,
    /// A permission profile.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["sandbox_policy", "file_system_sandbox_policy"])]
    permission_profile: Option<String>,
    /// A sandbox policy of the generation before permission profiles.
    #[arg(long, value_name = "JSON")]
    sandbox_policy: Option<String>,
    /// What may be done with files; needs --network-sandbox-policy.
    #[arg(long, value_name = "JSON", requires = "network_sandbox_policy")]
    file_system_sandbox_policy: Option<String>,
    /// What may be done with the network; needs --file-system-sandbox-policy.
    #[arg(long, value_name = "JSON", requires = "file_system_sandbox_policy")]
    network_sandbox_policy: Option<String>,
    /// Enforce by Landlock and seccomp alone: for policies that can be said in it.
    #[arg(long)]
    use_legacy_landlock: bool,
    /// Lead everything that leaves the sandbox through the proxies that the proxy variables name; {} is enough.
    #[arg(long, value_name = "JSON")]
    managed_network: Option<String>,
    /// As --managed-network, of the generation before.
    #[arg(long)]
    allow_network_for_proxy: bool,
    /// Give no /proc.
    #[arg(long)]
    no_proc: bool,
    /// Stay in the caller's PID namespace.
    #[arg(long)]
    inherit_pid_namespace: bool,
    /// Set a feature: use_legacy_landlock=true.
    #[arg(short = 'c', value_name = "KEY=VALUE", value_parser = feature)]
    feature: Vec<Feature>,
    /// Of the inner stage, which ringfence starts by itself.
    #[arg(long, hide = true)]
    apply_seccomp_then_exec: bool,
    /// See `apply_seccomp_then_exec`.
    #[arg(long, hide = true)]
    proxy_route_spec: Option<String>,
    /// See `apply_seccomp_then_exec`.
    #[arg(long, hide = true)]
    verify_fd_mount: Vec<OsString>,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, value_name = "CMD", required = true)]
    command: Vec<OsString>,
}

/// Runs the command; the result is the exit code.
pub fn run(args: Args) -> i32 {
    let request = match args.request() {
        Ok(request) => request,
        Err((problem, code)) => return problems(&[problem]).min(code),
    };
    let (policy, plan) = match policy(request).and_then(prepare_policy) {
        Ok(prepared) => prepared,
        Err(found) => return problems(&found).min(FAILED),
    };
    for warning in &plan.choice.warnings {
        note(warning);
    }
    run::command(&policy, plan, &run::Telling::default()).unwrap_or_else(|found| problems(&found).min(FAILED))
}

/// What is wrong, and the exit code for it.
type Refused = (Problem, i32);

fn policy(request: Request) -> Result<Policy, Vec<Problem>> {
    let workspace = request.cd.clone().unwrap_or_default();
    Policy::new(request, &workspace).map_err(|errors| errors.into_iter().map(Problem::from).collect())
}

impl Args {
    fn request(self) -> Result<Request, Refused> {
        self.refuse_inner_stage()?;
        let here = std::env::current_dir();
        let absolute = |path: &Path| match &here {
            _ if path.is_absolute() => Ok(path.to_owned()),
            Ok(here) => Ok(here.join(path)),
            Err(error) => Err(usage(format!("`{}`: the working directory: {error}", path.display()), None)),
        };
        let workspace = absolute(&self.sandbox_policy_cwd)?;
        let start_in = absolute(self.command_cwd.as_deref().unwrap_or(Path::new("")))?;
        let tmpdir = std::env::var_os("TMPDIR");
        let around = Surroundings { workspace: &workspace, tmpdir: tmpdir.as_deref() };
        let mut request = self.policy(around)?;
        if self.managed_network.is_some() || self.allow_network_for_proxy {
            codex::managed(&mut request, self.managed_network.as_deref()).map_err(|error| (error.into(), USAGE))?;
        }
        let flag = Origin::Flag;
        let legacy_landlock = self.use_legacy_landlock || self.feature.contains(&Feature::UseLegacyLandlock(true));
        request.backend = Some(if legacy_landlock {
            Said::new(Backend::Landlock, flag("--use-legacy-landlock"))
        } else {
            Said::new(Backend::BwrapFirst, flag(NAME))
        });
        request.start_in = Some(start_in);
        if self.no_proc {
            request.proc = Some(Said::new(false, flag("--no-proc")));
        }
        if self.inherit_pid_namespace {
            request.pid_namespace = Some(Said::new(false, flag("--inherit-pid-namespace")));
        }
        request.command = self.command;
        Ok(request)
    }

    fn policy(&self, around: Surroundings<'_>) -> Result<Request, Refused> {
        let legacy = self.sandbox_policy.as_deref();
        let split = self.file_system_sandbox_policy.as_deref().zip(self.network_sandbox_policy.as_deref());
        let parsed = match (self.permission_profile.as_deref(), split, legacy) {
            (Some(profile), _, _) => codex::profile(profile, "--permission-profile", around),
            (None, Some((files, network)), legacy) => codex::split_policies(files, network, legacy, around),
            (None, None, Some(legacy)) => codex::sandbox_policy(legacy, "--sandbox-policy", around),
            (None, None, None) => {
                let hint = "give --permission-profile JSON, or --sandbox-policy JSON".to_owned();
                return Err(usage("no policy was given".to_owned(), Some(hint)));
            }
        };
        parsed.map_err(|error| {
            let code = if matches!(error, CodexError::Glob { .. }) { FAILED } else { USAGE };
            (error.into(), code)
        })
    }

    /// The second stage is started by ringfence alone: from outside it would confine nothing.
    fn refuse_inner_stage(&self) -> Result<(), Refused> {
        let inner = [
            (self.apply_seccomp_then_exec, "--apply-seccomp-then-exec"),
            (self.proxy_route_spec.is_some(), "--proxy-route-spec"),
            (!self.verify_fd_mount.is_empty(), "--verify-fd-mount"),
        ];
        match inner.iter().find(|(given, _)| *given) {
            Some((_, flag)) => Err(usage(format!("{flag} belongs to the inner stage and cannot be given"), None)),
            None => Ok(()),
        }
    }
}

fn usage(what: String, hint: Option<String>) -> Refused {
    (Problem::new(what, hint), USAGE)
}

impl From<CodexError> for Problem {
    fn from(error: CodexError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}
