//! One run of one case: the scene, the attack, the look from outside.
//!
//! The scene is the same for all: `work` is the workspace, `home` HOME, `out` a directory that the command may read and not
//! change, with a `file` in it; `vault/secret` and, in the workspace, `conf/private/key` hold the secret.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::case::{Blow, Case, Engine, Got};
use crate::lab::{Lab, Ran, Running, Sandbox, User, eventually, signal};
use crate::seen;

/// What the attack starts with.
const INSIDE: &str = include_str!("inside.py");

/// What both start with.
const LATER: &str = include_str!("later.py");

/// What the host's side starts with.
const OUTSIDE: &str = include_str!("outside.py");

/// No attack takes longer.
const LIMIT: Duration = Duration::from_secs(40);

/// Python without its start-up files: half the time.
const PYTHON: [&str; 5] = ["/usr/bin/python3", "-I", "-S", "-u", "-c"];

/// Where an attack runs.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    In(Engine),
    Control,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// How it got through.
    pub through: Option<String>,
    /// Why the kernel makes it impossible everywhere.
    pub lacks: Option<String>,
    /// Why it is not known what the sandbox did.
    pub unclear: Option<String>,
    /// Whether nothing was started because of another lab.
    disturbed: bool,
    pub took: Duration,
    /// What the attack said.
    pub said: String,
}

/// Runs it; again if it was not started because a socket of another lab, which each run covers, went away meanwhile.
pub fn run(case: &Case, user: User, place: Place) -> Outcome {
    (0..5).map(|_| once(case, user, place)).find(|found| !found.disturbed).unwrap_or_else(|| once(case, user, place))
}

fn once(case: &Case, user: User, place: Place) -> Outcome {
    let started_at = Instant::now();
    let engine = match place {
        Place::In(engine) => engine,
        Place::Control => Engine::Native,
    };
    let scene = Scene::new(user, engine);
    scene.as_suite(case.rooted);
    let _undone = Undone(&scene, case.undone);
    let mut host = Host::start(case, &scene);
    let before = seen::fingerprint(&scene.lab);
    let running = scene.start(case, place, &host.given);
    let held = wait(&running);
    let mut through = held.then(|| seen::holding(&scene.lab, case.got, &scene.mark)).flatten();
    if let (Blow::Supervisor(blow), true) = (case.blow, held) {
        running.signal(blow);
    }
    let ran = running.finish();
    let sandboxed = matches!(place, Place::In(_));

    // What lives on without a sandbox is what the host's side may be about. The host's side ends in any case: it clears up.
    let (heard, lived) = if sandboxed {
        let lived = processes(case, &scene, sandboxed);
        // A look at all processes can miss one that forks on and on: the host's side has waited until it stays.
        let heard = host.end();
        let waited = matches!(case.got, Got::Lives) && !case.outside.is_empty();
        (heard, lived.or_else(|| waited.then(|| processes(case, &scene, sandboxed)).flatten()))
    } else {
        (host.end(), processes(case, &scene, sandboxed))
    };
    through = through.or(lived).or(heard).or_else(|| scene.look(case, &before, &ran));
    if sandboxed {
        // Files that are left are looked for below too.
        let told = |left: &&String| !scene.may_litter(case) || !left.starts_with("left behind");
        through = through.or_else(|| ran.left.as_ref().filter(told).cloned());
    }
    let started = ran.stdout().contains("BEGIN");
    // The sockets of other labs are covered too, and may go away meanwhile.
    let own = scene.lab.path("");
    let of_another = |line: &str| line.contains("/ringfence-e2e-") && !line.contains(&own);
    let text = ran.stderr();
    let changed = |line: &str| line.starts_with("error: ") && (of_another(line) || text.contains("try again"));
    let disturbed = !started && text.lines().any(changed);
    let refused = case.may_refuse && ran.code() == 125;
    let unclear = (!started && !refused).then(|| "the attack did not start".to_owned());
    let lacks = ran.stdout().lines().find_map(|line| line.strip_prefix("LACKS ").map(str::to_owned));
    Outcome { through, lacks, unclear, disturbed, took: started_at.elapsed(), said: ran.to_string() }
}

/// Waits until the command holds still; false when it has ended instead.
fn wait(running: &Running) -> bool {
    let started = Instant::now();
    loop {
        if running.printed().contains("HOLD\n") {
            return true;
        }
        if running.state() == "Z" || running.state().is_empty() {
            return false;
        }
        if started.elapsed() > LIMIT {
            running.signal(Signal::KILL);
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Processes that live on. What no case is about is an escape all the same.
fn processes(case: &Case, scene: &Scene, sandboxed: bool) -> Option<String> {
    let lives = matches!(case.got, Got::Lives);
    if sandboxed && eventually(|| scene.lab.processes().is_empty()) || !sandboxed && !lives {
        scene.end_all();
        return None;
    }
    if !sandboxed {
        // What ends by itself a moment later does not live on.
        std::thread::sleep(Duration::from_millis(300));
    }
    let left = scene.lab.processes();
    let tell = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let told: Vec<_> = left.iter().map(tell).collect();
    scene.end_all();
    (!told.is_empty()).then(|| format!("processes live on: {told:?}"))
}

struct Scene {
    lab: Lab,
    engine: Engine,
    token: String,
    mark: String,
}

impl Scene {
    fn new(user: User, engine: Engine) -> Self {
        let lab = Lab::new(user, engine.name());
        let scene = Self { lab, engine, token: random("secret-"), mark: random("mark") };
        scene.lab.file("out/file", "original\n");
        scene.lab.file("vault/secret", &scene.token);
        scene.lab.file("work/conf/private/key", &scene.token);
        scene
    }

    /// The names that both sides know; of these, only the host knows `TOKEN`.
    fn names(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.lab.path(name);
        vec![
            ("WORK", path("work")),
            ("HOME", path("home")),
            ("OUT", path("out")),
            ("FILE", path("out/file")),
            ("VAULT", path("vault")),
            ("SECRET", path("vault/secret")),
            ("HIDDEN", path("work/conf/private")),
            ("LAB", path("")),
            ("MARK", self.mark.clone()),
            ("PROCESSES", link("/proc/self/ns/pid")),
            ("SUITE", std::process::id().to_string()),
        ]
    }

    /// A text with `@OUT` and so on filled in.
    fn fill(&self, text: &str) -> String {
        let names = self.names().into_iter().chain([("TOKEN", self.token.clone())]);
        names.fold(text.to_owned(), |text, (name, value)| text.replace(&format!("@{name}"), &value))
    }

    fn program(&self, parts: &[&str]) -> String {
        let names = self.names().into_iter().map(|(name, value)| format!("{name} = {value:?}\n"));
        names.chain(parts.iter().map(|part| format!("{part}\n"))).collect()
    }

    /// Does something as the user who runs the suite.
    fn as_suite(&self, script: &str) {
        if !script.is_empty() {
            let script = self.fill(script);
            let done = Command::new("sh").args(["-ec", &script]).current_dir("/").status().unwrap();
            assert!(done.success(), "{script}");
        }
    }

    fn start(&self, case: &Case, place: Place, given: &str) -> Running {
        let options: Vec<_> = case.options.iter().map(|option| self.fill(option)).collect();
        let mut sandbox: Sandbox<'_> = self.lab.sandbox(options).waiting();
        if matches!(place, Place::Control) {
            sandbox = sandbox.without();
        }
        for (name, value) in case.env {
            sandbox = sandbox.env(name, self.fill(value));
        }
        if let Some(script) = case.by {
            sandbox = sandbox.by(&self.fill(script));
        }
        if case.in_bash {
            let names = self.names().into_iter().map(|(name, value)| format!("{name}='{value}'\n"));
            let attack = names.chain(["echo BEGIN\n".to_owned(), case.attack.clone()]).collect::<String>();
            return sandbox.start(["bash", "-c", attack.as_str()]);
        }
        let attack = self.program(&[given, LATER, INSIDE, &case.attack]);
        sandbox.start(PYTHON.iter().copied().chain([attack.as_str()]))
    }

    fn may_litter(&self, case: &Case) -> bool {
        case.litters.is_some() && self.engine == Engine::Bwrap
    }

    fn look(
        &self,
        case: &Case,
        before: &std::collections::BTreeMap<std::path::PathBuf, String>,
        ran: &Ran,
    ) -> Option<String> {
        match case.got {
            Got::Changed => seen::changed(before, &self.lab, self.may_litter(case)),
            Got::Told => {
                let printed =
                    [&ran.output.stdout, &ran.output.stderr].iter().any(|text| seen::contains(text, &self.token));
                let hidden = self.lab.path("work/conf/private");
                drop(std::fs::remove_dir_all(hidden));
                printed.then(|| "the secret was printed".to_owned()).or_else(|| self.secret_in_work())
            }
            Got::Made(paths) => {
                let made = |path: &&&str| self.lab.exists(path) && !is_placeholder(Path::new(&self.lab.path(path)));
                paths.iter().find(made).map(|path| format!("{path} was made"))
            }
            _ => None,
        }
    }

    fn secret_in_work(&self) -> Option<String> {
        seen::lies_in(Path::new(&self.lab.path("work")), &self.token)
    }

    fn end_all(&self) {
        eventually(|| {
            let left = self.lab.processes();
            left.iter().for_each(|pid| signal(*pid, Signal::KILL));
            left.is_empty()
        });
    }
}

/// Takes back what was done, whatever happens.
struct Undone<'a>(&'a Scene, &'static str);

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        self.0.as_suite(self.1);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What the attack made may be closed to its owner.
        drop(Command::new("chmod").args(["-R", "u+rwX"]).arg(self.lab.path("work")).stderr(Stdio::null()).status());
    }
}

/// Placeholders mean nothing, and go a moment after a run that was killed.
fn is_placeholder(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.mode() & 0o777 == 0o555 && meta.mtime() == ringfence::host::placeholder::MARK)
}

fn link(path: &str) -> String {
    std::fs::read_link(path).unwrap().to_string_lossy().into_owned()
}

fn random(prefix: &str) -> String {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    format!("{prefix}{:016x}", u64::from_le_bytes(bytes))
}

/// The host's side of a case.
struct Host {
    child: Option<Child>,
    lines: Receiver<String>,
    given: String,
}

impl Host {
    fn start(case: &Case, scene: &Scene) -> Self {
        let (sender, lines) = channel();
        let mut host = Self { child: None, lines, given: String::new() };
        if case.outside.is_empty() {
            return host;
        }
        let token = format!("TOKEN = {:?}", scene.token);
        let program = scene.program(&[&token, LATER, OUTSIDE, &case.outside]);
        let mut command = scene.lab.command(PYTHON[0]);
        command.args(&PYTHON[1..]).arg(program).env_remove("RINGFENCE_LAB").env("HOSTS_SECRET", &scene.token);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        host.child = Some(child);
        loop {
            match host.lines.recv_timeout(LIMIT) {
                Ok(line) if line == "READY" => return host,
                Ok(line) => {
                    host.given += line.strip_prefix("GIVE ").unwrap_or_default();
                    host.given.push('\n');
                }
                Err(error) => panic!("{}: the host's side does not start: {error}", case.full_name()),
            }
        }
    }

    /// Ends it; what it says.
    fn end(&mut self) -> Option<String> {
        let mut child = self.child.take()?;
        let early = child.try_wait().unwrap().map(|status| format!("the process of the host ended: {status}"));
        // One that was stopped would not end.
        signal(i32::try_from(child.id()).unwrap(), Signal::CONT);
        drop(child.stdin.take());
        let mut said = Vec::new();
        let over = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(over.saturating_duration_since(Instant::now())) {
                Ok(line) => said.extend(line.strip_prefix("GOT ").map(str::to_owned)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    drop(child.kill());
                    break;
                }
            }
        }
        drop(child.wait());
        early.or_else(|| said.into_iter().next())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
