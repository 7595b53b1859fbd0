//! The server as a client of the protocol meets it: each denial next to its control, and callers that want more than the
//! operator granted. The server finds the `ringfence` that was built beside it: `cargo build` first, as `just mcp` does.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_ringfence-mcp");

/// A workspace with something beside it.
struct Lab {
    place: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let place = tempfile::Builder::new().prefix("ringfence-mcp-").tempdir_in("/var/tmp").unwrap();
        for name in ["work", "work/sub", "home", "other"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        Self { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().canonicalize().unwrap().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut server = Command::new(SERVER);
        server.args(words).current_dir(self.path("work"));
        server.env("HOME", self.path("home")).env_remove("XDG_CONFIG_HOME").env_remove("RINGFENCE_HELPER");
        server
    }

    async fn start(&self, words: &[&str]) -> Client {
        let transport = TokioChildProcess::new(tokio::process::Command::from(self.command(words))).unwrap();
        Client(().serve(transport).await.unwrap())
    }

    /// What a server says that does not start.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words).stdin(std::process::Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stderr).replace(self.path("").to_str().unwrap(), "/lab/")
    }
}

struct Client(RunningService<RoleClient, ()>);

impl Client {
    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("{arguments}") };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        self.0.call_tool(call).await.unwrap()
    }

    /// What a run tells.
    async fn run(&self, arguments: Value) -> Value {
        let result = self.call("run", arguments).await;
        assert_ne!(result.is_error, Some(true), "{}", text(&result));
        result.structured_content.unwrap()
    }

    async fn shell(&self, script: &str) -> Value {
        self.run(json!({"command": ["sh", "-c", script]})).await
    }

    async fn error(&self, tool: &'static str, arguments: Value) -> String {
        let Value::Object(arguments) = arguments else { panic!("{arguments}") };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        match self.0.call_tool(call).await {
            Ok(result) => {
                assert_eq!(result.is_error, Some(true), "{}", text(&result));
                text(&result)
            }
            Err(error) => error.to_string(),
        }
    }
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.clone()).collect()
}

#[tokio::test]
async fn tools_are_listed_with_what_they_take() {
    let lab = Lab::new();
    let client = lab.start(&[]).await;
    let tools = client.0.list_all_tools().await.unwrap();
    let mut names: Vec<_> = tools.iter().map(|tool| tool.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["plan", "run", "why"]);
    let run = tools.iter().find(|tool| tool.name == "run").unwrap();
    let properties = run.input_schema.get("properties").unwrap().as_object().unwrap();
    let mut takes: Vec<_> = properties.keys().collect();
    takes.sort();
    assert_eq!(takes, ["command", "cwd", "deny", "gpu", "input", "timeout_seconds"]);
}

#[tokio::test]
async fn a_command_runs_in_the_workspace_and_writes_nowhere_else() {
    let lab = Lab::new();
    let script =
        format!("echo one > file; echo two > {}; echo said >&2; cat; exit 3", lab.path("other/file").display());
    let client = lab.start(&["--explain"]).await;
    let done = client.run(json!({"command": ["sh", "-c", script], "input": "in"})).await;
    assert_eq!((&done["exit_code"], &done["stdout"], &done["signal"]), (&json!(3), &json!("in"), &Value::Null));
    assert!(done["stderr"].as_str().unwrap().contains("Read-only file system"), "{done}");
    assert_eq!(done["denials"][0]["what"], json!(lab.path("other/file")), "{done}");
    assert_eq!((lab.read("work/file"), lab.read("other/file")), ("one\n".into(), String::new()));
    let wider = lab.start(&["--write", lab.path("other").to_str().unwrap()]).await;
    assert_eq!(wider.run(json!({"command": ["sh", "-c", script]})).await["exit_code"], 3);
    assert_eq!(lab.read("other/file"), "two\n");
    assert_eq!(wider.shell("kill -KILL $$").await["signal"], 9);
    assert_eq!(wider.run(json!({"command": ["no-such-program"]})).await["exit_code"], 127);
}

#[tokio::test]
async fn callers_narrow() {
    let lab = Lab::new();
    std::fs::write(lab.path("work/sub/secret"), "s").unwrap();
    let client = lab.start(&["--gpu", "auto", "--timeout", "1s", "--explain"]).await;
    let cat = |more: Value| {
        let mut call = json!({"command": ["cat", "sub/secret"]});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    assert_eq!(client.run(cat(json!({}))).await["stdout"], "s");
    for deny in [json!(["sub"]), json!(["**/secret"]), json!([lab.path("work/sub")])] {
        let done = client.run(cat(json!({"deny": deny, "gpu": "off"}))).await;
        assert_ne!(done["exit_code"], 0, "{done}");
    }
    assert_eq!(
        client.run(json!({"command": ["pwd"], "cwd": "sub"})).await["stdout"],
        format!("{}\n", lab.path("work/sub").display())
    );
    for seconds in [json!(0.2), json!(60), Value::Null] {
        let start = Instant::now();
        let done = client.run(json!({"command": ["sleep", "81.5"], "timeout_seconds": seconds})).await;
        assert_eq!(done["timed_out"], "timeout", "{seconds}");
        assert!(start.elapsed() < Duration::from_secs(20), "{seconds}");
    }
}

#[tokio::test]
async fn callers_never_widen() {
    let lab = Lab::new();
    std::fs::write(lab.path("work/secret"), "s").unwrap();
    std::fs::create_dir(lab.path("home/.ssh")).unwrap();
    std::fs::write(lab.path("home/.ssh/id"), "k").unwrap();
    let client = lab.start(&["--deny", "secret"]).await;
    for (word, value) in [
        ("write", json!(["/"])),
        ("read", json!(["/"])),
        ("sandbox", json!("full-access")),
        ("net", json!("host")),
        ("gpu", json!("all")),
    ] {
        let mut call = json!({"command": ["true"]});
        call.as_object_mut().unwrap().insert(word.to_owned(), value);
        client.error("run", call).await;
    }
    // What looks like an option is a command, or a name.
    for command in [json!(["--write=/", "true"]), json!(["--sandbox=full-access", "--", "cat", "secret"]), json!([])] {
        let call = json!({"command": command});
        match client
            .0
            .call_tool(CallToolRequestParams::new("run").with_arguments(call.as_object().unwrap().clone()))
            .await
        {
            Ok(result) => {
                assert!(result.is_error == Some(true) || result.structured_content.unwrap()["exit_code"] != 0, "{call}")
            }
            Err(error) => panic!("{error}"),
        }
    }
    for cwd in ["..", "/", "sub/../..", "/etc", "../work/../.."] {
        client.error("run", json!({"command": ["true"], "cwd": cwd})).await;
    }
    let outside = lab.path("other/file");
    let script = format!("echo x > {}; cat secret {}", outside.display(), lab.path("home/.ssh/id").display());
    for deny in
        [json!([]), json!(["secret", "--write=/"]), json!(["/"]), json!([lab.path("home/.ssh"), lab.path("other")])]
    {
        let call = json!({"command": ["sh", "-c", script], "deny": deny});
        if let Some(done) = client.call("run", call).await.structured_content {
            assert_eq!(done["stdout"], "", "{deny}");
        }
        assert!(!outside.exists(), "{deny}");
    }
    assert_eq!(client.shell("cat /etc/passwd").await["exit_code"], 0);
}

/// A directory that is swapped for a link while it is entered leads nowhere that the command may not go anyway.
#[tokio::test]
async fn a_working_directory_is_no_workspace() {
    let lab = Lab::new();
    let client = lab.start(&[]).await;
    let link = format!("ln -s {} link", lab.path("other").display());
    assert_eq!(client.shell(&link).await["exit_code"], 0);
    let done = client.run(json!({"command": ["touch", "x"], "cwd": "link"})).await;
    assert_ne!(done["exit_code"], 0, "{done}");
    assert!(!lab.path("other/x").exists());
    assert_eq!(client.run(json!({"command": ["touch", "x"], "cwd": "sub"})).await["exit_code"], 0);
}

/// What a command leaves in the place of what the operator named is refused, and told.
#[tokio::test]
async fn what_the_operator_named_cannot_be_led_elsewhere() {
    let lab = Lab::new();
    std::fs::create_dir_all(lab.path("work/a/data")).unwrap();
    std::fs::create_dir(lab.path("other/data")).unwrap();
    let client = lab.start(&["--write", "a/data"]).await;
    assert_eq!(client.shell("echo 1 > a/data/x").await["exit_code"], 0);
    let swap = format!("mv a b && ln -s {} a", lab.path("other").display());
    assert_eq!(client.shell(&swap).await["exit_code"], 0);
    let told = client.error("run", json!({"command": ["sh", "-c", "echo owned > a/data/x"]})).await;
    assert!(told.contains("means something else now"), "{told}");
    assert!(!lab.path("other/data/x").exists());

    let lab = Lab::new();
    std::fs::create_dir(lab.path("work/a")).unwrap();
    std::fs::write(lab.path("work/a/secret"), "s").unwrap();
    let client = lab.start(&["--deny", "a/secret"]).await;
    let done = client.shell("cat a/secret; mv a b; cat b/secret").await;
    assert_eq!(done["stdout"], "", "{done}");
    if lab.path("work/b").exists() {
        let told = client.error("run", json!({"command": ["cat", "b/secret"]})).await;
        assert!(told.contains("means something else now"), "{told}");
    }
}

#[tokio::test]
async fn policies_that_commands_could_write_are_refused() {
    let lab = Lab::new();
    for place in ["work/policy.toml", "other/policy.toml"] {
        std::fs::write(lab.path(place), "deny = ['/etc/hostname']\n").unwrap();
    }
    let told = lab.refused(&["--config", "policy.toml"]);
    assert!(told.contains("`/lab/work/policy.toml` can be changed by the commands"), "{told}");
    let policy = lab.path("other/policy.toml");
    let client = lab.start(&["--config", policy.to_str().unwrap()]).await;
    assert_ne!(client.shell("cat /etc/hostname").await["exit_code"], 0);
    assert_eq!(client.shell("true").await["exit_code"], 0);
    std::fs::write(&policy, "write = ['/var/tmp']\n").unwrap();
    let told = client.error("run", json!({"command": ["true"]})).await;
    assert!(told.contains("other/policy.toml"), "{told}");
}

#[test]
fn bad_command_lines_start_nothing() {
    let lab = Lab::new();
    for (words, told) in [
        (&["make"][..], "`make` is no option of ringfence run"),
        (&["--write", "/no/such"], "does not exist"),
        (&["--sandbox", "full-access"], "restrict nothing"),
        (&["--", "make"], "the commands come from who calls"),
        (&["--max-output", "much"], "is not a number of bytes"),
        (&["--json-outcome=3"], "says nothing to a server"),
        (&["--config"], "takes a value"),
    ] {
        let refused = lab.refused(words);
        assert!(refused.contains(told), "{words:?}: {refused}");
    }
}

#[tokio::test]
async fn output_is_bounded() {
    let lab = Lab::new();
    let client = lab.start(&["--max-output", "100"]).await;
    let done = client.shell("echo first; head -c 1000000 /dev/zero | tr '\\0' x; echo last").await;
    let told = done["stdout"].as_str().unwrap();
    assert!(told.starts_with("first\n") && told.ends_with("last\n") && told.len() < 200, "{told}");
    assert_eq!(done["omitted_bytes"], 1_000_000 + 6 + 5 - 100);
    let done = client.shell("printf 'a\\377b'").await;
    assert_eq!(done["stdout"], "a\u{fffd}b");
}

#[tokio::test]
async fn questions_are_answered() {
    let lab = Lab::new();
    let client = lab.start(&["--deny", "/etc/hostname"]).await;
    let plan = text(&client.call("plan", json!({"deny": ["sub"]})).await);
    assert!(plan.contains("/etc/hostname") && plan.contains("work/sub"), "{plan}");
    for (path, write, yes) in [
        ("/etc/hostname", false, false),
        ("/etc/passwd", false, true),
        ("/etc/passwd", true, false),
        ("sub/x", true, true),
    ] {
        let answer = text(&client.call("why", json!({"path": path, "write": write})).await);
        assert!(answer.starts_with(if yes { "yes: " } else { "no: " }), "{path} {write}: {answer}");
    }
    let told = text(&client.call("why", json!({"path": "--sandbox=full-access"})).await);
    assert!(told.starts_with("yes: ") && told.contains("work/--sandbox=full-access"), "{told}");
}

fn running(word: &str) -> bool {
    let listed = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).contains(word)
}

async fn until(what: impl Fn() -> bool) -> bool {
    for _ in 0..200 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn commands_end_with_their_call_and_with_the_server() {
    let lab = Lab::new();
    let client = lab.start(&[]).await;
    let sleep = |word: &str| {
        CallToolRequestParams::new("run")
            .with_arguments(json!({"command": ["sleep", word]}).as_object().unwrap().clone())
    };
    let peer = client.0.peer().clone();
    let call = sleep("82.5");
    let cancelled = tokio::spawn(async move {
        let request = rmcp::model::ClientRequest::CallToolRequest(rmcp::model::Request::new(call));
        let handle =
            peer.send_cancellable_request(request, rmcp::service::PeerRequestOptions::no_options()).await.unwrap();
        assert!(until(|| running("sleep 82.5")).await);
        handle.cancel(Some("enough".to_owned())).await.unwrap();
    });
    cancelled.await.unwrap();
    assert!(until(|| !running("sleep 82.5")).await);
    // The next one gets its turn.
    assert_eq!(client.shell("echo x").await["stdout"], "x\n");
    let peer = client.0.peer().clone();
    let call = sleep("83.5");
    let left = tokio::spawn(async move { peer.call_tool(call).await });
    assert!(until(|| running("sleep 83.5")).await);
    client.0.cancel().await.unwrap();
    assert!(until(|| !running("sleep 83.5")).await);
    drop(left.await);

    let mut server = lab.command(&[]);
    let mut server = server.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let process = server.id().to_string();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(Command::new("kill").arg(&process).status().unwrap().success());
    assert!(until(|| !Path::new("/proc").join(&process).join("exe").exists()).await);
    server.wait().unwrap();
}
