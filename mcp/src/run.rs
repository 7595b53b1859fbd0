//! One command.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::ceiling::{Ceiling, CeilingError, Narrowed};
use crate::output::{Bounded, read};

/// What is to be run.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Where it starts, below the workspace.
    pub directory: Option<&'a Path>,
    /// The program and its arguments.
    pub command: &'a [String],
    /// What it reads.
    pub input: Option<String>,
}

/// How a command went.
#[derive(Debug, Serialize)]
pub struct Done {
    /// Its exit code; null where a signal ended it.
    exit_code: Option<i64>,
    /// The number of the signal that ended it.
    signal: Option<i64>,
    /// `timeout` or `idle-timeout`, where one ended it.
    timed_out: Value,
    stdout: String,
    stderr: String,
    /// How many bytes of both are left out.
    omitted_bytes: u64,
    /// What it was refused, and what would allow it; the operator decides that.
    denials: Value,
    /// Which limits it hit.
    limits: Value,
}

/// Runs a command. Where `stop` is ready before, it is ended.
///
/// # Errors
/// Why it has not run.
pub async fn run(
    ceiling: &Ceiling,
    narrowed: &Narrowed,
    asked: Asked<'_>,
    stop: impl Future<Output = ()>,
) -> Result<Done, CeilingError> {
    let Asked { directory, command, input } = asked;
    let start = |error| CeilingError::Start { program: ceiling.program.clone(), error };
    // Without CLOEXEC: `ringfence` inherits it, and no other process is started meanwhile.
    let outcome = File::from(memfd_create("outcome", MemfdFlags::empty()).map_err(|error| start(error.into()))?);
    let mut words = ceiling.words(narrowed);
    words.push("--quiet".into());
    words.push(format!("--json-outcome={}", outcome.as_raw_fd()).into());
    words.push("--".into());
    words.extend(inside(directory, command));
    let mut child = Command::new(&ceiling.program);
    child.arg("run").args(words).kill_on_drop(true);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().map_err(start)?;
    let process = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let whole = async { Ok((talk(&mut child, input, ceiling.max_output).await?, child.wait().await?)) };
    tokio::pin!(whole);
    let ended = tokio::select! {
        ended = &mut whole => ended,
        () = stop => {
            // Not KILL: `ringfence` ends only when nothing is left inside.
            if let Some(process) = process {
                kill_process(process, Signal::TERM).unwrap_or_default();
            }
            whole.await
        }
    };
    let ((stdout, stderr), status) = ended.map_err(start)?;
    let told = outcome.metadata().map_err(start)?.len();
    let mut text = vec![0; usize::try_from(told.min(16 << 20)).unwrap_or(0)];
    outcome.read_exact_at(&mut text, 0).map_err(start)?;
    finished(&text, status, &stdout, &stderr)
}

/// The command, in a directory that is entered inside: what it leads to there is all that it can lead to.
fn inside(directory: Option<&Path>, command: &[String]) -> Vec<OsString> {
    let enter = |directory: &Path| {
        let enter = ["/bin/sh", "-c", "cd -- \"$0\" && exec \"$@\""].map(OsString::from);
        enter.into_iter().chain([directory.into()])
    };
    directory.into_iter().flat_map(enter).chain(command.iter().map(OsString::from)).collect()
}

async fn talk(child: &mut Child, input: Option<String>, most: usize) -> std::io::Result<(Bounded, Bounded)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A command need not read what it is given.
            drop(stdin.write_all(input.as_bytes()).await);
        }
    };
    let ((), stdout, stderr) = tokio::join!(write, read(stdout, most), read(stderr, most));
    Ok((stdout?, stderr?))
}

fn finished(
    text: &[u8],
    status: std::process::ExitStatus,
    stdout: &Bounded,
    stderr: &Bounded,
) -> Result<Done, CeilingError> {
    let told: Value = serde_json::from_slice(text).unwrap_or_default();
    let ending = told.get("ending");
    let field = |name: &str| ending.and_then(|ending| ending.get(name));
    let number = |name: &str| field(name).and_then(Value::as_i64);
    let code = told.get("code").and_then(Value::as_i64);
    let kind = field("kind").and_then(Value::as_str);
    let (exit_code, signal) = match (told.get("version").and_then(Value::as_i64), kind) {
        (Some(1), Some("exit" | "not-executed")) => (code, None),
        (Some(1), Some("signal")) => (None, number("signal")),
        (Some(1), Some("failed")) => {
            let part = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let hint = Some(part("hint")).filter(|hint| !hint.is_empty()).map(|hint| format!("\n\nhint: {hint}"));
            return Err(CeilingError::Refused(part("error") + &hint.unwrap_or_default()));
        }
        _ => {
            return Err(CeilingError::Refused(format!(
                "ringfence told no outcome ({status}): {}",
                stderr.text().trim_end()
            )));
        }
    };
    let part = |name: &str| told.get(name).cloned().unwrap_or_default();
    Ok(Done {
        exit_code,
        signal,
        timed_out: part("timed_out"),
        stdout: stdout.text(),
        stderr: stderr.text(),
        omitted_bytes: stdout.omitted() + stderr.omitted(),
        denials: part("denials"),
        limits: part("limits"),
    })
}
