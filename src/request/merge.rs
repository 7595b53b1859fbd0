//! Several requests into one: what is said later replaces single values and adds to lists.

use super::{Dialect, Identity, Request};

impl Request {
    /// Lays `later` over `self`: user file, then `--config`, then flags.
    #[must_use]
    pub fn overlaid_by(mut self, later: Request) -> Self {
        let Request {
            sandbox,
            read,
            write,
            modify,
            deny,
            device,
            unix,
            gpu,
            net,
            git,
            tmp,
            backend,
            env,
            env_clear,
            proc,
            pid_namespace,
            timeout,
            allow,
            landlock,
            audit,
            network,
            unenforced,
            allow_unenforced,
            baseline,
            identity,
            workdir,
            policy_source,
            sources,
            pass_fd,
            files,
            cd,
            start_in,
            dialect,
            glob_depth,
            notes,
            command,
        } = later;
        self.read.extend(read);
        self.write.extend(write);
        self.modify.extend(modify);
        self.deny.extend(deny);
        self.device.extend(device);
        self.unix.extend(unix);
        self.env.extend(env);
        self.allow.extend(allow);
        self.network.extend(network);
        self.unenforced.extend(unenforced);
        self.sources.extend(sources);
        self.pass_fd.extend(pass_fd);
        self.files.extend(files);
        self.notes.extend(notes);
        Self {
            sandbox: sandbox.or(self.sandbox),
            gpu: gpu.or(self.gpu),
            net: net.or(self.net),
            git: git.or(self.git),
            tmp: tmp.or(self.tmp),
            backend: backend.or(self.backend),
            env_clear: env_clear.or(self.env_clear),
            proc: proc.or(self.proc),
            pid_namespace: pid_namespace.or(self.pid_namespace),
            timeout: timeout.or(self.timeout),
            landlock: landlock.or(self.landlock),
            audit: audit.or(self.audit),
            workdir: workdir.or(self.workdir),
            policy_source: policy_source.or(self.policy_source),
            allow_unenforced: allow_unenforced.or(self.allow_unenforced),
            baseline: self.baseline.overlaid_by(baseline),
            identity: Identity {
                user: identity.user.or(self.identity.user),
                group: identity.group.or(self.identity.group),
            },
            cd: cd.or(self.cd),
            start_in: start_in.or(self.start_in),
            dialect: if dialect == Dialect::Ringfence { self.dialect } else { dialect },
            glob_depth: glob_depth.or(self.glob_depth),
            command: if command.is_empty() { self.command } else { command },
            ..self
        }
    }
}
