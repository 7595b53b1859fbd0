//! Which backend enforces a plan, and why the others do not.

use std::path::{Path, PathBuf};

use super::Confinement;
use super::build::PlanError;
use super::landlock::WALL_ABI;
use super::mounts::{Mount, MountOp, RootView};
use crate::host::Facts;
use crate::host::engines::{NoBwrap, Usable};
use crate::host::kept::Kept;
use crate::host::kernel::Wsl;
use crate::policy::Policy;
use crate::request::{Backend, Net, Origin};

/// What bubblewrap takes in all, arguments from a file included (`MAX_ARGS` of its source).
const BWRAP_ARGUMENTS: usize = 9_000;

/// The most arguments that one mount comes to: `--perms 000 --tmpfs PATH --remount-ro PATH`.
const ARGUMENTS_OF_A_MOUNT: usize = 6;

/// With more mounts than this, bubblewrap takes longer than everything else together: it reads the whole mount table
/// again for each of them.
const BWRAP_MOUNTS: usize = 256;

/// Who enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Namespaces and mounts made by ringfence itself.
    Native,
    /// Namespaces and mounts made by this bubblewrap.
    Bwrap {
        /// The program.
        program: PathBuf,
        /// Whether it knows `--argv0`.
        argv0: bool,
    },
    /// Landlock and seccomp alone.
    Landlock,
}

/// The chosen backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Who enforces.
    pub engine: Engine,
    /// Why this one, in words.
    pub because: String,
    /// What was tried before, and why it is not used: one line each.
    pub passed_over: Vec<String>,
    /// What the user is told before the command starts.
    pub warnings: Vec<String>,
}

impl Choice {
    fn new(engine: Engine, because: impl Into<String>) -> Self {
        Self { engine, because: because.into(), passed_over: Vec::new(), warnings: Vec::new() }
    }

    /// Where nothing is enforced.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Engine::Native, "nothing is restricted")
    }

    fn after(mut self, attempts: Vec<String>) -> Self {
        self.passed_over = attempts;
        self
    }
}

/// Chooses for a confinement on a machine.
///
/// # Errors
/// [`PlanError::NoBackend`] with each attempt, or [`PlanError::Wsl1`].
pub fn choose(policy: &Policy, facts: &Facts, confinement: &Confinement) -> Result<Choice, PlanError> {
    if facts.engines.wsl == Wsl::One {
        return Err(PlanError::Wsl1);
    }
    let by = &policy.backend.by;
    let asked = |backend: &str| format!("{backend} by {by}");
    let chooser = Chooser { facts, confinement };
    match policy.backend.value {
        Backend::Native => Ok(Choice::new(Engine::Native, asked("native"))),
        Backend::Bwrap => match chooser.bwrap() {
            Ok(engine) => Ok(Choice::new(engine, asked("bwrap"))),
            Err(why) => Err(PlanError::NoBackend { attempts: vec![format!("bwrap: {why}")] }),
        },
        Backend::Landlock => match chooser.landlock(true) {
            Ok(()) => Ok(Choice::new(Engine::Landlock, asked("landlock"))),
            Err(why) => Err(PlanError::NoBackend { attempts: vec![format!("landlock: {why}")] }),
        },
        Backend::Auto => chooser.auto(),
        Backend::BwrapFirst => chooser.bwrap_first(),
    }
}

struct Chooser<'a> {
    facts: &'a Facts,
    confinement: &'a Confinement,
}

impl Chooser<'_> {
    /// native, else a bubblewrap that may do more than we may, else Landlock alone.
    fn auto(&self) -> Result<Choice, PlanError> {
        let mut attempts = Vec::new();
        match self.native() {
            Ok(()) => return Ok(Choice::new(Engine::Native, "user namespaces can be made here")),
            Err(why) => attempts.push(format!("native: {why}")),
        }
        match self.bwrap() {
            Ok(engine) => {
                return Ok(Choice::new(engine, "it may make namespaces where we may not").after(attempts));
            }
            Err(why) => attempts.push(format!("bwrap: {why}")),
        }
        self.landlock_after(attempts)
    }

    /// The last resort, where it keeps the policy: inside another sandbox, say.
    fn landlock_after(&self, mut attempts: Vec<String>) -> Result<Choice, PlanError> {
        match self.landlock(false) {
            Ok(()) => Ok(Choice::new(Engine::Landlock, "the policy can be said in it").after(attempts)),
            Err(why) => {
                attempts.push(format!("landlock: {why}"));
                Err(PlanError::NoBackend { attempts })
            }
        }
    }

    /// bubblewrap where it is installed and can do it, else native, with a word about it.
    fn bwrap_first(&self) -> Result<Choice, PlanError> {
        let why = match self.bwrap() {
            Ok(engine) => return Ok(Choice::new(engine, "bubblewrap is installed")),
            Err(why) => why,
        };
        let attempt = format!("bwrap: {why}");
        match self.native() {
            Ok(()) => {
                let mut choice = Choice::new(Engine::Native, "it takes the place of bubblewrap");
                // What this one plan is too large for is nothing to install or repair.
                let told = matches!(&self.facts.engines.bwrap, Some(Err(_)));
                choice.warnings.extend(told.then(|| format!("{why}: the built-in engine takes its place")));
                Ok(choice.after(vec![attempt]))
            }
            Err(native) => self.landlock_after(vec![attempt, format!("native: {native}")]),
        }
    }

    fn native(&self) -> Result<(), String> {
        match &self.facts.engines.namespaces {
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn bwrap(&self) -> Result<Engine, String> {
        let Usable { program, features } = match &self.facts.engines.bwrap {
            Some(Ok(usable)) => usable,
            Some(Err(why)) => return Err(why.to_string()),
            None => return Err(NoBwrap::NotFound.to_string()),
        };
        let ops = &self.confinement.mounts.ops;
        if let Some(link) = ops.iter().find(|op| matches!(op.what, Mount::Pin { .. } | Mount::Plug { .. })) {
            return Err(format!("it cannot mount on the link {}", link.target.display()));
        }
        if ops.iter().any(|op| op.what == Mount::Devices) {
            return Err("it cannot show every device node and its own program".to_owned());
        }
        if ops.len() > BWRAP_MOUNTS || ops.len() * ARGUMENTS_OF_A_MOUNT > BWRAP_ARGUMENTS {
            return Err(format!("{} mounts are too many for it", ops.len()));
        }
        Ok(Engine::Bwrap { program: program.path.clone(), argv0: features.argv0 })
    }

    /// Whether Landlock alone keeps the policy; `asked`: by a user who knows what it leaves open.
    fn landlock(&self, asked: bool) -> Result<(), String> {
        if self.confinement.landlock.abi < WALL_ABI {
            return Err(format!("it needs ABI {WALL_ABI} (Linux 6.2), this kernel has {}", self.facts.landlock_abi));
        }
        let mounts = &self.confinement.mounts;
        if mounts.root == RootView::Empty {
            return Err("it cannot limit what is readable here, only what is writable".to_owned());
        }
        let kept = &self.facts.kept;
        let unsaid: Vec<_> = mounts.ops.iter().filter_map(|op| unsayable(op, kept, asked)).collect();
        match unsaid.as_slice() {
            [] if self.confinement.net.value == Net::Host && !asked && !kept.nested => {
                Err("it cannot keep sockets of the host out of reach".to_owned())
            }
            [] => Ok(()),
            [first] => Err(first.clone()),
            [first, rest @ ..] => Err(format!("{first}, and {} more like this", rest.len())),
        }
    }
}

/// What Landlock, whose rules only add rights, cannot say of a mount operation.
fn unsayable(op: &MountOp, kept: &Kept, asked: bool) -> Option<String> {
    let path = op.target.display();
    let by = &op.because;
    match op.what {
        // Shown in a private directory, which is not made here: the host's shows it too.
        Mount::Bind { make: true, .. } => None,
        Mount::Bind { writable: false, .. } | Mount::Block { .. } if kept.unwritable.contains(&op.target) => None,
        Mount::Mask { .. } | Mount::Veil { .. } if kept.unreadable.contains(&op.target) => None,
        // The outer sandbox's, which ends with it.
        Mount::Tmpfs { .. } | Mount::Block { .. } if op.target.starts_with("/tmp") && kept.nested => None,
        Mount::Bind { writable: false, .. } => {
            Some(format!("it cannot keep {path} read-only in a writable directory ({by})"))
        }
        Mount::Pin { .. } | Mount::Plug { .. } => Some(format!("it cannot keep the link {path} as it is ({by})")),
        // Sockets are kept away by the system call filter, or left to the user who asked; the wall lets nothing in procfs
        // be written.
        Mount::Mask { .. } if matches!(by, Origin::Baseline(_)) => None,
        Mount::Mask { .. } | Mount::Veil { .. } => Some(format!("it cannot hide {path} ({by})")),
        Mount::Block { .. } if asked => None,
        Mount::Guard if asked => None,
        Mount::Block { .. } | Mount::Guard => Some(format!("it cannot keep {path} from being made ({by})")),
        Mount::Tmpfs { .. } if op.target.starts_with("/dev") || op.target == Path::new("/run") => None,
        Mount::Tmpfs { .. } => Some(format!("it cannot make {path} private ({by})")),
        Mount::Bind { writable: true, .. }
        | Mount::Device { .. }
        | Mount::Devices
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::ReadOnly
        | Mount::Seal => None,
    }
}
