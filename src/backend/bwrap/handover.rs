//! What crosses to the inner stage: a sealed memory file. Paths and variables are bytes, never text.

use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};

use crate::backend::StepError;
use crate::backend::child::{Setup, Terminal};
use crate::backend::job::{Job, Told, Word};
use crate::backend::network::Doors;
use crate::backend::plain::Last;
use crate::host::paths::{FileId, id_of};
use crate::plan::choose::{Choice, Engine};
use crate::plan::landlock::{Beneath, Expect, LandlockPlan, LandlockRule, Tcp};
use crate::plan::limits::{LimitPlan, Resource, ResourceLimit};
use crate::plan::mounts::{Mount, MountOp, MountPlan, RootView};
use crate::plan::syscalls::{self, Modes};
use crate::plan::{Confinement, Plan};
use crate::request::Net;
use crate::request::Origin;
use crate::request::Said;

/// All that the inner stage is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    job: Job,
    abi: u32,
    rules: Vec<(Word, Beneath)>,
    scope_abstract: bool,
    scope_signals: bool,
    tcp: Tcp,
    audit: bool,
    modes: Modes,
    pid_namespace: bool,
    /// What each process may: what, how much.
    limits: Vec<(Resource, u64)>,
    /// The caller's standard streams.
    pub originals: [RawFd; 3],
    /// The line to the supervisor.
    pub control: RawFd,
    /// Hangs up with the last process of the sandbox.
    pub alive: RawFd,
    /// The line to the bridge, and what goes over it.
    pub network: Option<(RawFd, Doors)>,
    /// Where commands are asked for.
    pub listener: Option<RawFd>,
    /// What must be, or must not be, at a path once everything is mounted.
    pub checks: Vec<Check>,
}

/// One thing that the kernel is asked about before the command starts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Check {
    path: Word,
    /// Device and inode that the plan saw, where it did.
    id: Option<(u64, u64)>,
    /// What must hold.
    pub want: Want,
}

/// What must hold of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// The file is there, as a mount of its own.
    There,
    /// The file is there, on a read-only mount.
    ReadOnly,
    /// If something is there, it is on a read-only mount.
    NoneOrReadOnly,
    /// Another file is there.
    Hidden,
    /// A character device of this number is there.
    Device(u32, u32),
}

impl Check {
    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.path.clone().get().into()
    }

    /// Whether this is what the plan saw there, as far as it knows.
    pub fn is(&self, found: FileId) -> bool {
        self.id.is_none_or(|id| id == (found.dev, found.ino))
    }
}

/// The descriptors that cross with it.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// The caller's standard streams.
    pub originals: [RawFd; 3],
    /// The line to the supervisor.
    pub control: RawFd,
    /// Hangs up with the last process of the sandbox.
    pub alive: RawFd,
    /// The line to the bridge.
    pub network: Option<RawFd>,
    /// Where commands are asked for.
    pub listener: Option<RawFd>,
}

impl Handover {
    /// Of a plan with a confinement.
    #[must_use]
    pub fn new(
        plan: &Plan,
        confinement: &Confinement,
        setup: &Setup,
        descriptors: Descriptors,
        checks: Vec<Check>,
    ) -> Self {
        let LandlockPlan { abi, rules, apart: _, scope_abstract, scope_signals, tcp, audit } = &confinement.landlock;
        let doors = confinement.network.as_ref().map(Doors::of);
        Self {
            // The inner stage asks the caller's terminal itself.
            job: Job::new(&plan.process, setup),
            abi: *abi,
            rules: rules.iter().map(|rule| (Word::new(&rule.path), rule.allow)).collect(),
            scope_abstract: *scope_abstract,
            scope_signals: *scope_signals,
            tcp: tcp.clone(),
            audit: *audit,
            modes: confinement.syscalls.modes,
            pid_namespace: confinement.pid_namespace.value,
            limits: plan.limits.each.iter().map(|limit| (limit.what, limit.value)).collect(),
            originals: descriptors.originals,
            control: descriptors.control,
            alive: descriptors.alive,
            network: descriptors.network.zip(doors),
            listener: descriptors.listener,
            checks,
        }
    }

    /// Takes it apart: what init does from here on is the same for every engine. Who asked for what is known outside.
    #[must_use]
    pub fn into_plan(self, terminal: Option<Terminal>) -> (Plan, Setup) {
        let outside = || Origin::Baseline("as planned outside");
        let Told { process, streams, signals, open_files } = self.job.read();
        let setup = Setup::inside(streams, terminal, signals, open_files);
        let rule = |(path, allow): (Word, Beneath)| LandlockRule {
            path: path.get().into(),
            allow,
            expect: Expect::Anything,
            because: outside(),
        };
        let landlock = LandlockPlan {
            abi: self.abi,
            rules: self.rules.into_iter().map(rule).collect(),
            apart: Vec::new(),
            scope_abstract: self.scope_abstract,
            scope_signals: self.scope_signals,
            tcp: self.tcp,
            audit: self.audit,
        };
        let confinement = Confinement {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            pid_namespace: Said::new(self.pid_namespace, outside()),
            net: Said::new(Net::None, outside()),
            network: None,
            mounts: MountPlan { root: RootView::HostReadOnly, ops: Vec::new(), tmpfs_size: None },
            landlock,
            syscalls: syscalls::plan(self.modes),
            scratch: None,
            cache: None,
        };
        let limit = |(what, value)| ResourceLimit { what, value, because: outside() };
        let each = self.limits.into_iter().map(limit).collect();
        let engine = Engine::Bwrap { program: PathBuf::new(), argv0: false };
        let choice = Choice { engine, ..Choice::nothing() };
        let limits = LimitPlan { each, ..LimitPlan::default() };
        let plan = Plan { confinement: Some(confinement), choice, limits, ..Plan::of_process(process) };
        (plan, setup)
    }

    /// Writes it to a memory file that nobody can change any more.
    ///
    /// # Errors
    /// As memfd_create(2).
    pub fn seal(&self) -> std::io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = std::fs::File::from(rustix::fs::memfd_create("ringfence-handover", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        Ok(file.into())
    }

    /// Reads one that was sealed; anything else was not made by [`Handover::seal`].
    ///
    /// # Errors
    /// `InvalidInput` when it is none.
    pub fn open(fd: OwnedFd) -> std::io::Result<Self> {
        let none = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        match rustix::fs::fcntl_get_seals(fd.as_fd()) {
            Ok(seals) if seals.contains(SEALS) => {}
            // A file that cannot have seals says EINVAL.
            Ok(_) | Err(rustix::io::Errno::INVAL) => return Err(none()),
            Err(error) => return Err(error.into()),
        }
        let mut text = Vec::new();
        std::fs::File::from(fd).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|_| none())
    }
}

const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// What is to hold of the operations once bubblewrap has carried them out.
///
/// # Errors
/// When a directory that nobody has looked at yet is none any more.
pub fn checks(ops: &[MountOp]) -> Result<Vec<Check>, StepError> {
    let mut last = Last::default();
    let mut checks = Vec::new();
    for op in ops {
        let mut check = check(op);
        if let Some(Check { id: id @ None, want: Want::There, .. }) = &mut check {
            let found = last.open(&op.target).and_then(rustix::fs::fstat);
            let found = found.map(|found| id_of(&found)).map_err(|_| StepError::changed("mount", &op.target))?;
            *id = Some((found.dev, found.ino));
        }
        checks.extend(check);
    }
    Ok(checks)
}

/// What is bound must be what was planned, and read-only where it was; what is hidden must not be it.
fn check(op: &MountOp) -> Option<Check> {
    let (id, want) = match op.what {
        Mount::Bind { id, writable: true, .. } => (id, Want::There),
        Mount::Bind { id, writable: false, .. } => (id, Want::ReadOnly),
        Mount::Mask { id, .. } | Mount::Veil { id } => (Some(id?), Want::Hidden),
        Mount::Block { .. } => (None, Want::NoneOrReadOnly),
        Mount::Data { .. } => (None, Want::ReadOnly),
        Mount::Other { id, .. } => (Some(id), Want::ReadOnly),
        Mount::Device { major, minor, .. } => (None, Want::Device(major, minor)),
        Mount::Devices
        | Mount::Pin { .. }
        | Mount::Plug { .. }
        | Mount::Guard
        | Mount::Tmpfs { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::ReadOnly
        | Mount::Closed
        | Mount::Seal => return None,
    };
    Some(Check { path: Word::new(&op.target), id: id.map(|id| (id.dev, id.ino)), want })
}
