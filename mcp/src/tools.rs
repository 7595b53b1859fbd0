//! The tools, as agents see them.

use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::{Mutex, watch};

use crate::ceiling::{Ceiling, CeilingError, Narrowed};
use crate::output::Bounded;
use crate::run;

/// What can be asked to be less than the operator allows.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Less {
    /// Paths or globs to hide from the command, relative to the workspace.
    #[serde(default)]
    deny: Vec<String>,
    /// `off` gives the command no GPU.
    #[serde(default)]
    gpu: Option<Gpu>,
}

/// Which GPUs: only fewer can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Gpu {
    /// None.
    Off,
}

/// What `run` takes.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunParams {
    /// The program and its arguments, one string each. No shell looks at them; for a shell, `["sh", "-c", "…"]`.
    command: Vec<String>,
    /// Where it starts: a directory in the workspace, relative to it.
    #[serde(default)]
    cwd: Option<String>,
    /// Ends the command after so many seconds, if that is less than the operator allows.
    #[serde(default)]
    timeout_seconds: Option<f64>,
    /// What it reads from standard input.
    #[serde(default)]
    input: Option<String>,
    /// Paths or globs to hide from the command, relative to the workspace.
    #[serde(default)]
    deny: Vec<String>,
    /// `off` gives the command no GPU.
    #[serde(default)]
    gpu: Option<Gpu>,
}

/// What `why` takes.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyParams {
    /// The path, absolute or relative to the workspace.
    path: String,
    /// Whether to ask about writing instead of reading.
    #[serde(default)]
    write: bool,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Server {
    ceiling: Arc<Ceiling>,
    /// One command at a time: nothing that one of them does may come between the look at a plan and its use.
    turn: Arc<Mutex<()>>,
    /// Whether the client has gone.
    is_over: watch::Receiver<bool>,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Server {
    /// A server for these limits.
    pub fn new(ceiling: Ceiling, is_over: watch::Receiver<bool>) -> Self {
        Self { ceiling: Arc::new(ceiling), turn: Arc::default(), is_over, tool_router: Self::tool_router() }
    }

    #[tool(
        description = "Run a command in a sandbox and wait for its end. It can write in the workspace, and do what else the \
                       operator of this server allows, nothing more. The result has exit_code (or signal), stdout, stderr, \
                       timed_out, denials (what the sandbox refused, and why) and limits. Commands run one after another; \
                       what a command leaves running ends with it, and /tmp is empty for each.",
        annotations(title = "Run a command in a sandbox", open_world_hint = false)
    )]
    async fn run(&self, params: Parameters<RunParams>, context: RequestContext<RoleServer>) -> CallToolResult {
        let mut is_over = self.is_over.clone();
        let stop = async move {
            tokio::select! {
                () = context.ct.cancelled() => {}
                _ = is_over.wait_for(|over| *over) => {}
            }
        };
        self.run_in_turn(params.0, stop).await.unwrap_or_else(|error| failed(&error))
    }

    async fn run_in_turn(&self, params: RunParams, stop: impl Future<Output = ()>) -> Result<CallToolResult, String> {
        let RunParams { command, cwd, timeout_seconds, input, deny, gpu } = params;
        if command.first().is_none_or(String::is_empty) {
            return Err("`command` is empty".to_owned());
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err("`command` has a zero byte".to_owned());
        }
        let directory = cwd.map(|cwd| self.below_workspace(&cwd)).transpose()?;
        let narrowed = Narrowed { timeout: Some(self.time(timeout_seconds)?), ..self.narrowed(Less { deny, gpu }) };
        let _turn = self.turn.lock().await;
        self.ceiling.check(&narrowed).await.map_err(said)?;
        let asked = run::Asked { directory: directory.as_deref(), command: &command, input };
        let done = run::run(&self.ceiling, &narrowed, asked, stop).await.map_err(said)?;
        let value = serde_json::to_value(done).map_err(|error| error.to_string())?;
        Ok(CallToolResult::structured(value))
    }

    #[tool(
        description = "Tell what a sandboxed command may do, line by line with the reasons. Nothing is run.",
        annotations(title = "What commands may do", read_only_hint = true)
    )]
    async fn plan(&self, params: Parameters<Less>) -> CallToolResult {
        let narrowed = self.narrowed(params.0);
        let words = self.ceiling.words(&narrowed);
        let mut plan = Command::new(&self.ceiling.program);
        plan.arg("plan").args(words).args(["--", "true"]);
        self.answer(plan, &[0]).await
    }

    #[tool(
        description = "Tell whether sandboxed commands may read, or with `write` write, a path, and which rule says so.",
        annotations(title = "Whether a path is allowed", read_only_hint = true)
    )]
    async fn why(&self, params: Parameters<WhyParams>) -> CallToolResult {
        let path = self.ceiling.workspace().join(&params.0.path);
        let mut why = Command::new(&self.ceiling.program);
        why.arg("why").args(self.ceiling.words(&Narrowed::default()));
        if params.0.write {
            let mut word = std::ffi::OsString::from("--write=");
            word.push(path);
            why.arg(word);
        } else {
            why.arg("--").arg(path);
        }
        self.answer(why, &[0, 1]).await
    }

    /// What a command of ours prints; `well` are the exit codes with an answer.
    async fn answer(&self, mut command: Command, well: &[i32]) -> CallToolResult {
        let _turn = self.turn.lock().await;
        let output = match command.stdin(Stdio::null()).kill_on_drop(true).output().await {
            Ok(output) => output,
            Err(error) => return failed(&format!("start ringfence: {error}")),
        };
        let answered = output.status.code().is_some_and(|code| well.contains(&code)) && !output.stdout.is_empty();
        let mut text = Bounded::new(self.ceiling.max_output);
        text.push(if answered { &output.stdout } else { &output.stderr });
        if answered { CallToolResult::success(vec![ContentBlock::text(text.text())]) } else { failed(&text.text()) }
    }

    fn narrowed(&self, less: Less) -> Narrowed {
        let Less { deny, gpu } = less;
        let deny = deny.into_iter().map(|path| self.ceiling.workspace().join(path)).collect();
        Narrowed { deny, no_gpu: gpu == Some(Gpu::Off), timeout: None }
    }

    fn time(&self, seconds: Option<f64>) -> Result<Duration, String> {
        let most = self.ceiling.timeout();
        let Some(seconds) = seconds else { return Ok(most) };
        let asked = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time >= Duration::from_millis(1));
        asked.map(|time| time.min(most)).ok_or_else(|| format!("`timeout_seconds` cannot be {seconds}"))
    }

    /// By its name: what it leads to is found inside, where it can do no harm.
    fn below_workspace(&self, directory: &str) -> Result<PathBuf, String> {
        let workspace = self.ceiling.workspace();
        let asked = workspace.join(directory);
        let inside = asked.strip_prefix(workspace).ok().map(Path::to_owned);
        inside
            .filter(|rest| rest.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)))
            .map(|rest| workspace.join(rest))
            .ok_or_else(|| format!("`cwd` is to be a directory in the workspace {}", workspace.display()))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn said(error: CeilingError) -> String {
    error.to_string()
}

fn failed(text: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(format!("error: {text}"))])
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let instructions = format!(
            "Commands run in a sandbox. Their workspace is {}; the tool `plan` tells what else they may do. What the sandbox \
             refuses stands in `denials`: only the operator can allow it.",
            self.ceiling.workspace().display()
        );
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")))
            .with_instructions(instructions)
    }
}
