//! Several requests into one: what is said later replaces single values and adds to lists.

use super::Request;

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
            timeout,
            allow,
            pass_fd,
            files,
            cd,
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
        self.pass_fd.extend(pass_fd);
        self.files.extend(files);
        Self {
            sandbox: sandbox.or(self.sandbox),
            gpu: gpu.or(self.gpu),
            net: net.or(self.net),
            git: git.or(self.git),
            tmp: tmp.or(self.tmp),
            backend: backend.or(self.backend),
            env_clear: env_clear.or(self.env_clear),
            proc: proc.or(self.proc),
            timeout: timeout.or(self.timeout),
            cd: cd.or(self.cd),
            command: if command.is_empty() { self.command } else { command },
            ..self
        }
    }
}
