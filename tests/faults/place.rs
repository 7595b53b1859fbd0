//! Where a run takes place: a lab for one user and one engine, what is in it, and what must be true of it afterwards.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::inside;
use crate::lab::{Lab, Need, User};
use crate::tracer::{self, Act, PROBE, Point, Story};

pub const ENGINES: &[&str] = &["native", "bwrap", "landlock"];

/// What the command ends with.
pub const CODE: i32 = 7;

/// What the command makes, in its workspace.
const MADE: &[&str] = &["started", "verdict", "verdict.new", "made"];

const NONE: [&str; 0] = [];

pub struct Place {
    pub lab: Lab,
    pub engine: &'static str,
    /// What the command says where everything is in force.
    verdict: String,
    listing: BTreeSet<PathBuf>,
    mounts: String,
    probe: String,
}

/// A service of the host that nobody in a sandbox may reach.
fn service() -> SocketAddr {
    static LISTENER: OnceLock<TcpListener> = OnceLock::new();
    LISTENER.get_or_init(|| TcpListener::bind("127.0.0.1:0").unwrap()).local_addr().unwrap()
}

fn furnish(lab: &Lab, engine: &str) {
    for name in ["outside", "tmp", "run", "work", "spare/work"] {
        lab.dir(name);
    }
    for name in ["secret", "closed/secret", "spare/closed/secret", "home/.ssh/id_ed25519"] {
        lab.file(name, "kept");
    }
    if engine != "landlock" {
        // Landlock alone refuses to run where it is: see SECURITY.md.
        for work in ["work", "spare/work"] {
            lab.dir(format!("{work}/.git/hooks"));
            lab.file(format!("{work}/.git/config"), "kept");
        }
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

impl Place {
    /// A place for each user and engine that can be had here.
    pub fn all() -> Vec<Self> {
        ENGINES.iter().flat_map(|engine| Self::of(engine)).collect()
    }

    /// A place for each user, on one engine.
    pub fn of(engine: &'static str) -> Vec<Self> {
        let needs: &[Need] =
            if engine == "bwrap" { &[Need::Tool("bwrap"), Need::Landlock(4)] } else { &[Need::Landlock(4)] };
        Lab::native(needs).into_iter().map(|lab| Self::new(lab, engine)).collect()
    }

    fn new(lab: Lab, engine: &'static str) -> Self {
        furnish(&lab, engine);
        let probe = lab.path(PROBE);
        let own = std::env::current_exe().unwrap();
        fs::hard_link(&own, &probe).or_else(|_| fs::copy(&own, &probe).map(drop)).unwrap();
        let listing = lab.listing();
        let mut place = Self { lab, engine, verdict: String::new(), listing, mounts: mounts(), probe };
        // The first run remembers in the cache what bubblewrap can do.
        let first = place.run(None);
        place.verdict = first.verdict.clone().unwrap_or_else(|| panic!("{place}: {first:?}"));
        assert_eq!(place.judge(&first, &[CODE]), None, "{place}");
        place.assert_confined();
        place
    }

    /// The control: outside, each of the attempts comes to something else, and the service is there.
    fn assert_confined(&self) {
        let outside = self.outside();
        self.tidy();
        let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let names = outside.lines().map(|line| line.split_once(':').unwrap().0).filter(|name| {
            // The same on both sides.
            ![
                "write inside",
                "descriptors",
                "open files",
                "temporary directory",
                "SigBlk",
                "Uid",
                "Gid",
                "Umask",
                "CapAmb",
            ]
            .contains(name)
        });
        for name in names {
            let (out, within) = (line(&outside, name), line(&self.verdict, name));
            // An ordinary user has none outside either, and cannot give up what bounds them.
            let alike = name.starts_with("Cap") && !self.lab.user.is_root();
            assert!(out != within || alike, "{self}: outside and inside: {out}");
        }
    }

    fn outside(&self) -> String {
        let mut command = Command::new(&self.probe);
        self.surround(&mut command);
        command.args(self.words(0));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if self.tries() {
            self.lab.file("work/.git/config", "kept");
        }
        said.strip_prefix("looked\n").unwrap().trim_end().to_owned()
    }

    /// Whether the command may try protected names: where nothing can be mounted on them, whoever makes one is ended.
    fn tries(&self) -> bool {
        self.engine != "landlock"
    }

    fn words(&self, stay: u32) -> [String; 6] {
        let tries = if self.tries() { "yes" } else { "no" };
        let (address, stay, code) = (service().to_string(), stay.to_string(), CODE.to_string());
        [inside::WORD.to_owned(), self.lab.path("."), address, tries.to_owned(), stay, code]
    }

    fn surround(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("LAB_TOKEN", "t0ken");
        command.env("HOME", self.lab.path("home")).env("RINGFENCE_LAB", self.lab.path(""));
        command.env("XDG_CACHE_HOME", self.lab.path("cache")).env("XDG_RUNTIME_DIR", self.lab.path("run"));
        command.env("TMPDIR", self.lab.path("tmp")).current_dir(self.lab.path("work"));
        if let User::Ordinary(id) = self.lab.user {
            command.uid(id).gid(id);
        }
    }

    /// Ringfence and its arguments.
    fn arguments(&self, stay: u32) -> Vec<OsString> {
        let binary = self.lab.sandbox(NONE).binary().to_owned();
        let mut words: Vec<OsString> = vec![binary.into()];
        words.extend(
            ["run", "--backend", self.engine, "--net", "allow", "--allow-host", "127.0.0.1:9"].map(OsString::from),
        );
        for denied in ["secret", "closed"] {
            words.extend(["--deny".into(), self.lab.path(denied).into()]);
        }
        words.extend(["--".into(), self.probe.clone().into()]);
        words.extend(self.words(stay).map(OsString::from));
        words
    }

    /// Ringfence, by a shell that waits for its tracer first; its command waits so many milliseconds before it looks.
    fn command(&self, stay: u32) -> Command {
        let mut command = Command::new("/bin/sh");
        self.surround(&mut command);
        command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(self.arguments(stay));
        command
    }

    /// One run, with something that happens in it.
    pub fn run(&self, at: Option<(&Point, &Act)>) -> Ran {
        self.ran(tracer::run(self.command(0), at, |_| ()))
    }

    /// One run, with somebody else's doing beside it, who gets the lab's directory and the number of ringfence.
    pub fn disturbed(&self, stay: u32, act: fn(&Path, i32, &AtomicBool)) -> Ran {
        let (over, lab) = (Arc::new(AtomicBool::new(false)), PathBuf::from(self.lab.path("")));
        let (told, mut other) = (Arc::clone(&over), None);
        let nowhere = (&Point { role: String::new(), call: -1, nth: 0 }, &Act::Error(0));
        let begin = |pid| other = Some(std::thread::spawn(move || act(&lab, pid, &told)));
        let story = tracer::run(self.command(stay), Some(nowhere), begin);
        over.store(true, Ordering::Relaxed);
        other.unwrap().join().unwrap();
        furnish(&self.lab, self.engine);
        self.ran(story)
    }

    /// Takes what is there and mounted now for what has to be there afterwards.
    pub fn look(&mut self) {
        self.listing = self.lab.listing();
        self.mounts = mounts();
    }

    /// What a run has left, which is then tidied up.
    fn ran(&self, story: Story) -> Ran {
        let read = |name: &str| fs::read_to_string(self.lab.path(name)).ok();
        let file = read("work/verdict").or_else(|| read("spare/work/verdict"));
        // Where the file is gone with what was in the workspace, what was said is the same.
        let gone = file.is_none();
        let said = || story.stdout.split_once("looked\n").map(|(_, verdict)| verdict.to_owned());
        let verdict = file.or_else(said);
        let work = ["work", "spare/work"].iter().flat_map(|work| MADE.iter().map(move |name| format!("{work}/{name}")));
        let made: BTreeSet<_> = work.map(|name| PathBuf::from(self.lab.path(name))).collect();
        let changed = self.lab.listing().symmetric_difference(&self.listing).cloned().collect::<BTreeSet<_>>();
        let left = changed.difference(&made).cloned().collect();
        self.tidy();
        Ran { story, verdict, gone, left, mounts: mounts() != self.mounts }
    }

    fn tidy(&self) {
        for path in self.lab.listing().difference(&self.listing) {
            let is_directory = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            drop(if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) });
        }
    }

    /// What is wrong with a run that was to end with one of these codes; where it is 125, before the command.
    pub fn judge(&self, ran: &Ran, codes: &[i32]) -> Option<String> {
        let Ran { story, verdict, gone, left, mounts } = ran;
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: &str| (!holds).then(|| wrong.push(what.to_owned()));
        expect(story.hung.is_empty(), &format!("did not end: {:?}", story.hung));
        expect(!mounts, "mounts of the host have changed");
        expect(left.is_empty(), &format!("left behind or lost: {left:?}"));
        expect(!story.stderr.contains("panicked"), "a panic");
        expect(story.code == 137 || story.late.is_empty(), &format!("outlived the supervisor: {:?}", story.late));
        expect(codes.contains(&story.code), &format!("code {}, not one of {codes:?}", story.code));
        if story.code == CODE {
            expect(verdict.is_some(), "the command's code without its verdict");
        }
        if story.code == 125 {
            expect(story.stderr.contains("error: "), "125 without an error");
        }
        if !self.verdict.is_empty()
            && let Some(verdict) = verdict
        {
            // A loss that is told: nothing is less confined for it.
            let told = |line: &str| line == "descriptors: unknown" && story.stderr.contains("going without /proc");
            let known = |line: &str| told(line) || self.verdict.lines().any(|known| known == line);
            // What cannot be done with what is gone is no more.
            let fails = |line: &str| *gone && !line.ends_with(": done");
            let lost: Vec<_> = verdict.lines().filter(|line| !known(line) && !fails(line)).collect();
            expect(lost.is_empty(), &format!("not in force: {lost:?}"));
        }
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {}", self.engine, self.lab.user)
    }
}

/// A run and what it has left.
#[derive(Debug)]
pub struct Ran {
    pub story: Story,
    pub verdict: Option<String>,
    /// Whether the workspace was emptied meanwhile.
    pub gone: bool,
    /// Entries that are there and were not, or the other way round.
    pub left: BTreeSet<PathBuf>,
    pub mounts: bool,
}
