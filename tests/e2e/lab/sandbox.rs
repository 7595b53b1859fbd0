//! One sandboxed command: how it is started, and the process while it runs.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringfence::policy::paths::normal;
use rustix::process::Signal;

use super::found::Found;
use super::{Lab, Ran, until};

/// No command of this suite takes longer, not even 10,000 rules in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

#[must_use]
pub struct Sandbox<'a> {
    lab: &'a Lab,
    options: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cwd: PathBuf,
    input: Input,
    wrapper: Option<String>,
    sandboxed: bool,
    codex: bool,
    backend: &'static str,
}

enum Input {
    Null,
    Text(Vec<u8>),
    Open(Stdio),
    /// Stays open as long as the process runs.
    Held,
}

impl<'a> Sandbox<'a> {
    pub(super) fn new<S: AsRef<OsStr>>(lab: &'a Lab, options: impl IntoIterator<Item = S>) -> Self {
        Self {
            lab,
            options: options.into_iter().map(|option| option.as_ref().to_owned()).collect(),
            env: Vec::new(),
            cwd: lab.dir.join("work"),
            input: Input::Null,
            wrapper: None,
            sandboxed: true,
            codex: false,
            backend: lab.backend,
        }
    }

    /// By another engine than the lab's.
    pub fn backend(mut self, name: &'static str) -> Self {
        self.backend = name;
        self
    }

    /// By the command line of Codex's helper.
    pub(super) fn by_codex(mut self) -> Self {
        self.codex = true;
        if self.lab.is_native() {
            self.env.push(("PATH".into(), Some(format!("{}:{}", self.lab.path("no-bwrap"), super::PATH).into())));
        }
        self
    }

    /// No sandbox at all: the control.
    pub fn without(mut self) -> Self {
        self.sandboxed = false;
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.env.push((name.into(), None));
        self
    }

    pub fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.cwd = path.as_ref().to_owned();
        self
    }

    pub fn typing(mut self, text: &str) -> Self {
        self.input = Input::Text(text.into());
        self
    }

    pub fn input(mut self, input: impl Into<Stdio>) -> Self {
        self.input = Input::Open(input.into());
        self
    }

    /// An input that neither ends nor says anything.
    pub fn waiting(mut self) -> Self {
        self.input = Input::Held;
        self
    }

    /// The binary under test, for those who start it themselves.
    pub fn binary(&self) -> &Path {
        &self.lab.binary
    }

    /// A bash script of the host that starts the sandbox as `"$@"`.
    pub fn by(mut self, script: &str) -> Self {
        self.wrapper = Some(script.to_owned());
        self
    }

    /// `ringfence gpus` instead of a command, with this option, in JSON.
    pub fn gpus(mut self, how: &str) -> Ran {
        let mut words: Vec<OsString> = vec![self.lab.binary.clone().into()];
        words.extend(["gpus", how, "--json", "--backend", self.backend].map(OsString::from));
        words.append(&mut self.options);
        self.without().run(words)
    }

    pub fn sh(self, script: &str) -> Ran {
        self.run(["sh", "-c", script])
    }

    pub fn bash(self, script: &str) -> Ran {
        self.run(["bash", "-c", script])
    }

    pub fn python(self, script: &str) -> Ran {
        self.run(["python3", "-c", script])
    }

    pub fn run<S: AsRef<OsStr>>(self, command: impl IntoIterator<Item = S>) -> Ran {
        let running = self.start(command);
        let ran = running.finish();
        if let Some(left) = &ran.left {
            panic!("{left}\n  by {ran}");
        }
        ran
    }

    pub fn start<S: AsRef<OsStr>>(self, command: impl IntoIterator<Item = S>) -> Running {
        let writable = self.writable();
        let words: Vec<OsString> = command.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let mut argv = Vec::new();
        if let Some(script) = &self.wrapper {
            argv.extend(["bash", "-c", script, "bash"].map(OsString::from));
        }
        if self.sandboxed {
            argv.push(self.lab.binary.clone().into());
            if self.codex {
                argv.extend(["codex-linux-sandbox", "--sandbox-policy-cwd"].map(OsString::from));
                argv.push(self.cwd.clone().into());
            } else {
                argv.extend(["run", "--backend", self.backend].map(OsString::from));
                let more = std::env::var("RINGFENCE_LAB_OPTIONS").unwrap_or_default();
                argv.extend(more.split_ascii_whitespace().map(OsString::from));
            }
            argv.extend(self.options.iter().cloned());
            argv.push("--".into());
        }
        argv.extend(words);
        let (program, arguments) = argv.split_first().unwrap();
        let mut command = self.lab.command(program);
        command.args(arguments).current_dir(&self.cwd);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let what = describe(self.lab, &argv);
        let found = self.sandboxed.then(|| (Found::look(&self.lab.dir), writable));
        Running::start(command, self.input, what, found)
    }

    /// Where the options let the command make files.
    fn writable(&self) -> Vec<PathBuf> {
        let of_options =
            self.options.windows(2).filter(|pair| pair[0] == "--write").map(|pair| normal(&self.cwd.join(&pair[1])));
        let full = self.options.iter().any(|option| option.to_string_lossy().contains("full-access")) || self.codex;
        let git = self.options.iter().any(|option| option == "commit" || option == "--profile");
        let everything = (full || git).then(|| self.lab.dir.clone());
        of_options.chain([self.cwd.clone(), self.lab.dir.join("work")]).chain(everything).collect()
    }
}

fn describe(lab: &Lab, argv: &[OsString]) -> String {
    // Long scripts and long lists of arguments tell nothing.
    let short = |word: &OsString| word.to_string_lossy().chars().take(400).collect::<String>();
    let line = argv.iter().map(short).take(40).collect::<Vec<_>>().join(" ");
    format!("as {} by {}: {line}", lab.user, lab.backend)
}

/// A sandbox that runs.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<Vec<u8>>>,
    what: String,
    started: Instant,
    found: Option<(Found, Vec<PathBuf>)>,
}

impl Running {
    fn start(mut command: Command, input: Input, what: String, found: Option<(Found, Vec<PathBuf>)>) -> Self {
        let (stdin, text) = match input {
            Input::Null => (File::open("/dev/null").unwrap().into(), None),
            Input::Open(stdio) => (stdio, None),
            Input::Text(text) => (Stdio::piped(), Some(text)),
            Input::Held => (Stdio::piped(), None),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(command);
        let mut stdin = child.stdin.take();
        if let Some(text) = text {
            drop(stdin.take().unwrap().write_all(&text));
        }
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            follow(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            follow(child.stderr.take().unwrap(), Arc::default()),
        ];
        Self { child, stdin, stdout, readers, what, started, found }
    }

    /// The process of ours that the caller knows.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// PID 1 of the sandbox: the child of the supervisor that has a number in two PID namespaces.
    pub fn init(&self) -> i32 {
        let pid = self.pid();
        let children = |pid: &str| {
            let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        // Another program may stand between.
        let below = || {
            let near = children(&pid.to_string());
            near.iter().flat_map(|near| children(near)).chain(near.clone()).collect::<Vec<_>>()
        };
        let is_init = |pid: &&String| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let of_ours = !status.starts_with("Name:\tbwrap\n");
            of_ours && status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        };
        let mut found = None;
        until("the sandbox has an init", || {
            found = below().iter().find(is_init).map(|pid| pid.parse().unwrap());
            found.is_some()
        });
        found.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        super::signal(self.pid(), signal);
    }

    /// The state letter of the supervisor in /proc: `S` sleeping, `T` stopped.
    pub fn state(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(") ").next().unwrap_or_default().chars().take(1).collect()
    }

    /// What the command has printed until now.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// Waits until the command has printed this.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> &Self {
        let printed = || self.stdout.lock().unwrap().windows(text.len()).any(|part| part == text.as_bytes());
        assert!(super::eventually(printed), "never printed {text:?}: {}", self.what);
        self
    }

    /// Waits for the end; `left` says what was left behind for good.
    pub fn finish(mut self) -> Ran {
        drop(self.stdin.take());
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > LIMIT {
                drop(self.child.kill());
                panic!("still running after {LIMIT:?}: {}", self.what);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        // A process that was killed leaves the cleaning to another one: that takes a moment.
        let left = self.found.take().and_then(|(found, writable)| {
            let was_killed = status.code().is_none();
            if was_killed {
                super::eventually(|| found.compare(&writable).is_none());
            }
            found.compare(&writable)
        });
        let mut texts = self.readers.drain(..).map(|reader| reader.join().unwrap());
        let output = Output { status, stdout: texts.next().unwrap(), stderr: texts.next().unwrap() };
        drop(texts);
        Ran { what: std::mem::take(&mut self.what), output, took, left }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that fails halfway leaves it running.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn follow(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
        into.lock().unwrap().clone()
    })
}
