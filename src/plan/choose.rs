//! Which backend enforces a plan, and why the others do not.

use std::path::PathBuf;

use super::alone;
use super::build::Draft;
use super::error::PlanError;
use super::landlock::carve::Carved;
use super::landlock::{TCP_ABI, WALL_ABI, rights};
use super::mounts::{Mount, MountOp};
use super::network::NetworkPlan;
use crate::host::Facts;
use crate::host::engines::{NoBwrap, Usable};
use crate::host::kernel::Wsl;
use crate::policy::Policy;
use crate::request::{Backend, Landlock, Net};

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

impl Engine {
    /// As `--backend` says it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => Backend::Native.name(),
            Self::Bwrap { .. } => Backend::Bwrap.name(),
            Self::Landlock => Backend::Landlock.name(),
        }
    }
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

/// Chooses for a confinement on a machine. With Landlock alone come the rules that it is to have.
///
/// # Errors
/// [`PlanError::NoBackend`] with each attempt, or [`PlanError::Wsl1`].
pub(super) fn choose(policy: &Policy, facts: &Facts, draft: &Draft) -> Result<(Choice, Option<Carved>), PlanError> {
    if facts.engines.wsl == Wsl::One {
        return Err(PlanError::Wsl1);
    }
    let by = &policy.backend.by;
    let asked = |backend: &str| format!("{backend} by {by}");
    let chooser = Chooser { policy, facts, draft };
    match policy.backend.value {
        Backend::Native => Ok((Choice::new(Engine::Native, asked("native")), None)),
        Backend::Bwrap => match chooser.bwrap() {
            Ok(engine) => Ok((Choice::new(engine, asked("bwrap")), None)),
            Err(why) => Err(PlanError::NoBackend { attempts: vec![format!("bwrap: {why}")] }),
        },
        Backend::Landlock => chooser.landlock(asked("landlock"), true).map_err(|why| {
            let attempts = vec![format!("landlock: {why}")];
            PlanError::NoBackend { attempts }
        }),
        Backend::Auto => chooser.auto(),
        Backend::BwrapFirst => chooser.bwrap_first(),
    }
}

type Chosen = (Choice, Option<Carved>);

struct Chooser<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    draft: &'a Draft,
}

impl Chooser<'_> {
    /// native, else a bubblewrap that may do more than we may, else Landlock alone.
    fn auto(&self) -> Result<Chosen, PlanError> {
        let mut attempts = Vec::new();
        match self.native() {
            Ok(()) => return Ok((Choice::new(Engine::Native, "user namespaces can be made here"), None)),
            Err(why) => attempts.push(format!("native: {why}")),
        }
        match self.bwrap() {
            Ok(engine) => {
                return Ok((Choice::new(engine, "it may make namespaces where we may not").after(attempts), None));
            }
            Err(why) => attempts.push(format!("bwrap: {why}")),
        }
        self.landlock_after(attempts)
    }

    /// The last resort, where it keeps the policy: inside another sandbox, say.
    fn landlock_after(&self, mut attempts: Vec<String>) -> Result<Chosen, PlanError> {
        match self.landlock("the policy can be said in it", false) {
            Ok((choice, carved)) => Ok((choice.after(attempts), carved)),
            Err(why) => {
                attempts.push(format!("landlock: {why}"));
                Err(PlanError::NoBackend { attempts })
            }
        }
    }

    /// bubblewrap where it is installed and can do it, else native, with a word about it.
    fn bwrap_first(&self) -> Result<Chosen, PlanError> {
        let why = match self.bwrap() {
            Ok(engine) => return Ok((Choice::new(engine, "bubblewrap is installed"), None)),
            Err(why) => why,
        };
        let attempt = format!("bwrap: {why}");
        match self.native() {
            Ok(()) => {
                let mut choice = Choice::new(Engine::Native, "it takes the place of bubblewrap");
                // What this one plan is too large for is nothing to install or repair.
                let told = matches!(&self.facts.engines.bwrap, Some(Err(_)));
                choice.warnings.extend(told.then(|| format!("{why}: the built-in engine takes its place")));
                Ok((choice.after(vec![attempt]), None))
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
        let ops = &self.draft.confinement.mounts.ops;
        if let Some(link) = ops.iter().find(|op| matches!(op.what, Mount::Pin { .. } | Mount::Plug { .. })) {
            return Err(format!("it cannot mount on the link {}", link.target.display()));
        }
        if ops.iter().any(|op| op.what == Mount::Devices) {
            return Err("it cannot show every device node and its own program".to_owned());
        }
        // For an ordinary user it makes another user namespace below the one that the network belongs to.
        if let Some(why) = self.draft.confinement.network.as_ref().and_then(NetworkPlan::needs_rights) {
            return Err(format!("it {why}"));
        }
        let sized = self.policy.limits.tmp_size.as_ref().is_some_and(|said| said.value.0.limit().is_some());
        if sized && !features.size {
            return Err("this version cannot limit what /tmp holds (--size)".to_owned());
        }
        if ops.len() > BWRAP_MOUNTS || ops.len() * ARGUMENTS_OF_A_MOUNT > BWRAP_ARGUMENTS {
            return Err(format!("{} mounts are too many for it", ops.len()));
        }
        Ok(Engine::Bwrap { program: program.path.clone(), argv0: features.argv0 })
    }

    /// What of the network it can keep apart.
    fn landlock_network(&self) -> Result<(), String> {
        let Some(network) = &self.draft.confinement.network else { return Ok(()) };
        if let Some(why) = network.needs_namespace() {
            return Err(why.to_owned());
        }
        if self.facts.landlock_abi < TCP_ABI {
            let have = self.facts.landlock_abi;
            return Err(format!("to tell TCP ports it needs ABI {TCP_ABI} (Linux 6.7), this kernel has {have}"));
        }
        if self.draft.rights.listens {
            return Err(
                "it cannot let CUDA have its sockets and TCP connect, and keep the host's sockets away".to_owned()
            );
        }
        Ok(())
    }

    /// Landlock alone, if it keeps the policy; `asked`: by a user who knows what it leaves open.
    fn landlock(&self, because: impl Into<String>, asked: bool) -> Result<Chosen, String> {
        let Self { policy, facts, draft } = self;
        let abi = facts.landlock_abi;
        let best_effort = policy.landlock.as_ref().is_some_and(|said| said.value == Landlock::BestEffort);
        let need = if best_effort { 1 } else { WALL_ABI };
        if abi < need {
            return Err(format!(
                "it needs ABI {need} (Linux {}), this kernel has {abi}",
                if best_effort { "5.13" } else { "6.2" }
            ));
        }
        if policy.net.value == Net::Host && !asked && !facts.kept.nested {
            return Err("it cannot keep sockets of the host out of reach".to_owned());
        }
        self.landlock_network()?;
        let asked = |op: &&MountOp| matches!(op.what, Mount::Data { .. }) && op.because.is_explicit();
        // What nobody asked for by name is let go of, with a note.
        if let Some(op) = draft.confinement.mounts.ops.iter().find(asked) {
            return Err(format!("it cannot show other content in {} ({})", op.target.display(), op.because));
        }
        let carved = alone::carved(policy, facts, draft);
        let refused: Vec<_> = carved.unsaid.iter().filter(|unsaid| unsaid.denied || !best_effort).collect();
        match refused.as_slice() {
            [] => {}
            [first] => return Err(first.to_string()),
            [first, rest @ ..] => return Err(format!("{first}, and {} more like this", rest.len())),
        }
        if carved.wall.rules.is_empty() {
            return Err("no rule of the policy grants anything".to_owned());
        }
        let mut choice = Choice::new(Engine::Landlock, because);
        choice.warnings.extend(carved.unsaid.iter().map(|unsaid| format!("Landlock alone, best effort: {unsaid}")));
        if best_effort {
            choice.warnings.extend(rights::missing(abi).map(|what| format!("Landlock alone, best effort: {what}")));
        }
        Ok((choice, Some(carved)))
    }
}
