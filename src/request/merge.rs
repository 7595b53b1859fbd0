//! Several requests into one: what is said later replaces single values and adds to lists.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Allow, Dialect, Identity, Provenance, Request, Said, Wall};

impl Request {
    /// Lays `later` over `self`: profiles, user file, then `--config`, then flags.
    #[must_use]
    pub fn overlaid_by(mut self, later: Request) -> Self {
        let Request {
            profile,
            sandbox,
            read,
            write,
            modify,
            optional,
            deny,
            device,
            unix,
            gpu,
            gpu_options,
            net,
            git,
            tmp,
            backend,
            env,
            env_clear,
            proc,
            pid_namespace,
            limits,
            allow,
            wall,
            reach,
            baseline,
            identity,
            workdir,
            provenance,
            pass_fd,
            files,
            cd,
            start_in,
            dialect,
            glob_depth,
            notes,
            command,
        } = later;
        let Self { read: a, write: b, modify: c, deny: d, device: e, unix: f, optional: g, .. } = &mut self;
        for (list, more) in [(a, read), (b, write), (c, modify), (d, deny), (e, device), (f, unix), (g, optional)] {
            list.extend(more);
        }
        self.add(env, allow, pass_fd);
        self.remember(profile, files, notes);
        Self {
            sandbox: sandbox.or(self.sandbox),
            gpu: gpu.or(self.gpu),
            gpu_options: self.gpu_options.overlaid_by(gpu_options),
            net: net.or(self.net),
            git: git.or(self.git),
            tmp: tmp.or(self.tmp),
            backend: backend.or(self.backend),
            env_clear: env_clear.or(self.env_clear),
            proc: proc.or(self.proc),
            pid_namespace: pid_namespace.or(self.pid_namespace),
            limits: self.limits.overlaid_by(limits),
            wall: self.wall.overlaid_by(wall),
            reach: self.reach.overlaid_by(reach),
            baseline: self.baseline.overlaid_by(baseline),
            identity: self.identity.overlaid_by(identity),
            workdir: workdir.or(self.workdir),
            provenance: self.provenance.overlaid_by(provenance),
            cd: cd.or(self.cd),
            start_in: start_in.or(self.start_in),
            dialect: if dialect == Dialect::Ringfence { self.dialect } else { dialect },
            glob_depth: glob_depth.or(self.glob_depth),
            command: if command.is_empty() { self.command } else { command },
            ..self
        }
    }
}

impl Request {
    fn add(&mut self, env: Vec<Said<(OsString, Option<OsString>)>>, allow: Vec<Said<Allow>>, pass_fd: Vec<i32>) {
        self.env.extend(env);
        self.allow.extend(allow);
        self.pass_fd.extend(pass_fd);
    }

    fn remember(&mut self, profile: Vec<Said<String>>, files: Vec<PathBuf>, notes: Vec<String>) {
        self.profile.extend(profile);
        self.files.extend(files);
        self.notes.extend(notes);
    }
}

impl Wall {
    fn overlaid_by(self, Self { landlock, audit, watch }: Self) -> Self {
        Self { landlock: landlock.or(self.landlock), audit: audit.or(self.audit), watch: watch.or(self.watch) }
    }
}

impl Identity {
    fn overlaid_by(self, Self { user, group }: Self) -> Self {
        Self { user: user.or(self.user), group: group.or(self.group) }
    }
}

impl Provenance {
    fn overlaid_by(mut self, Self { policy, files }: Self) -> Self {
        self.files.extend(files);
        Self { policy: policy.or(self.policy), ..self }
    }
}
