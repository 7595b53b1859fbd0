//! The tables behind the defaults: credential stores, protected names, what is private, what stays of `/run`.
//!
//! One place each; read by the planner, by `ringfence plan`, by the documentation's tests.

/// Names directly under every writable directory that stay read-only: a file in them runs code or steers an agent
/// outside the sandbox later.
pub const PROTECTED_NAMES: &[(&str, &str)] = &[
    (".git", "git runs hooks and configured programs from it"),
    (".codex", "Codex reads its policy from it"),
    (".agents", "agents read instructions and skills from it"),
    (".claude", "Claude Code runs hooks and reads settings from it"),
    (".mcp.json", "agents start the servers that it names"),
    (".aws", "the AWS tools run credential processes from it"),
    (".vscode", "VS Code runs tasks from it"),
    (".idea", "JetBrains IDEs run configurations from it"),
    ("ringfence.toml", "ringfence may be started with it"),
];

/// The same for Codex's policies: these four and no more.
pub const PROTECTED_NAMES_OF_CODEX: &[(&str, &str)] = &[
    (".git", "git runs hooks and configured programs from it"),
    (".agents", "agents read instructions and skills from it"),
    (".codex", "Codex reads its policy from it"),
    (".aws", "the AWS tools run credential processes from it"),
];

/// Entries of a git directory that stay read-only in `git = "commit"`, because git or a later user command runs code
/// from them. With a shape, a missing one is blocked by a placeholder that means nothing to git; without, git would
/// misread any placeholder (an empty `rebase-merge` looks like a rebase), so only an existing one is protected.
pub const GIT_CODE: &[(&str, Option<Shape>, &str)] = &[
    ("hooks", Some(Shape::Dir), "git runs the programs in it"),
    ("config", Some(Shape::File), "it names programs (core.fsmonitor, filters, aliases)"),
    ("config.worktree", Some(Shape::File), "as config"),
    ("info/attributes", Some(Shape::File), "it selects filter programs"),
    ("commondir", Some(Shape::Here), "it moves config and hooks elsewhere"),
    ("modules", Some(Shape::Dir), "the git directories of submodules, with hooks and config of their own"),
    ("worktrees", Some(Shape::Dir), "pointers to other working trees"),
    ("gitdir", None, "a worktree pointer"),
    ("rebase-merge", None, "a rebase's todo list may hold exec lines"),
    ("rebase-apply", None, "as rebase-merge"),
    ("sequencer", None, "as rebase-merge"),
];

/// What a missing protected entry would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A directory.
    Dir,
    /// An empty regular file.
    File,
    /// A file that says `.`: a pointer to where it is.
    Here,
}

/// Credential stores below a home directory, and what they hold.
pub const HOME_SECRETS: &[(&str, &str)] = &[
    (".ssh", "SSH keys"),
    (".gnupg", "GnuPG keys"),
    (".aws", "AWS credentials"),
    (".azure", "Azure credentials"),
    (".config/gcloud", "Google Cloud credentials"),
    (".config/doctl", "DigitalOcean credentials"),
    (".config/hcloud", "Hetzner Cloud credentials"),
    (".oci", "Oracle Cloud credentials"),
    (".kube", "Kubernetes credentials"),
    (".docker/config.json", "registry credentials"),
    (".config/containers/auth.json", "registry credentials"),
    (".netrc", "passwords for ftp, curl and git"),
    ("_netrc", "passwords for ftp, curl and git"),
    (".git-credentials", "git passwords"),
    (".config/git/credentials", "git passwords"),
    (".npmrc", "npm token"),
    (".yarnrc.yml", "npm token"),
    (".pypirc", "PyPI token"),
    (".config/pypoetry/auth.toml", "PyPI token"),
    (".local/share/uv/credentials", "package index logins"),
    (".cargo/credentials", "crates.io token"),
    (".cargo/credentials.toml", "crates.io token"),
    (".gem/credentials", "RubyGems token"),
    (".m2/settings-security.xml", "Maven master password"),
    (".gradle/gradle.properties", "Gradle credentials"),
    (".terraform.d/credentials.tfrc.json", "Terraform token"),
    (".config/gh", "GitHub token"),
    (".config/glab-cli", "GitLab token"),
    (".config/hub", "GitHub token"),
    (".config/rclone", "cloud storage credentials"),
    (".s3cfg", "S3 credentials"),
    (".boto", "cloud storage credentials"),
    (".pgpass", "PostgreSQL passwords"),
    (".my.cnf", "MySQL password"),
    (".mylogin.cnf", "MySQL passwords"),
    (".vault-token", "Vault token"),
    (".password-store", "passwords"),
    (".config/sops", "age keys"),
    (".config/age", "age keys"),
    (".cache/huggingface/token", "Hugging Face token"),
    (".cache/huggingface/stored_tokens", "Hugging Face tokens"),
    (".huggingface/token", "Hugging Face token"),
    (".config/wandb", "Weights & Biases key"),
    (".kaggle", "Kaggle key"),
    (".codex/auth.json", "Codex login"),
    (".claude.json", "Claude Code login and settings"),
    (".claude/.credentials.json", "Claude Code login"),
    (".gemini", "Gemini login"),
    (".config/github-copilot", "Copilot login"),
    (".local/share/opencode/auth.json", "opencode login"),
    (".config/anthropic", "Anthropic key"),
    (".config/openai", "OpenAI key"),
    (".local/share/keyrings", "desktop keyring"),
    (".local/share/kwalletd", "desktop keyring"),
    (".config/op", "1Password"),
    (".config/1Password", "1Password"),
    (".config/Bitwarden", "Bitwarden"),
    (".config/keepassxc", "KeePassXC"),
    (".mozilla", "browser profile"),
    (".thunderbird", "mail profile"),
    (".config/google-chrome", "browser profile"),
    (".config/chromium", "browser profile"),
    (".config/BraveSoftware", "browser profile"),
    (".config/microsoft-edge", "browser profile"),
    (".config/vivaldi", "browser profile"),
    (".config/opera", "browser profile"),
    (".electrum", "wallet"),
    (".bitcoin", "wallet"),
    (".ethereum", "wallet"),
    (".bash_history", "shell history"),
    (".zsh_history", "shell history"),
    (".python_history", "shell history"),
    (".psql_history", "SQL history"),
    (".mysql_history", "SQL history"),
];

/// Credential stores of the system. A trailing `*` matches the rest of the file name.
pub const SYSTEM_SECRETS: &[(&str, &str)] = &[
    ("/etc/shadow", "password hashes"),
    ("/etc/shadow-", "password hashes"),
    ("/etc/gshadow", "password hashes"),
    ("/etc/gshadow-", "password hashes"),
    ("/etc/sudoers", "sudo rules"),
    ("/etc/sudoers.d", "sudo rules"),
    ("/etc/security/opasswd", "password hashes"),
    ("/etc/ssh/ssh_host_rsa_key", "SSH host key"),
    ("/etc/ssh/ssh_host_dsa_key", "SSH host key"),
    ("/etc/ssh/ssh_host_ecdsa_key", "SSH host key"),
    ("/etc/ssh/ssh_host_ed25519_key", "SSH host key"),
    ("/etc/ssl/private", "TLS keys"),
    ("/etc/letsencrypt", "TLS keys"),
    ("/etc/krb5.keytab", "Kerberos keys"),
    ("/etc/wireguard", "VPN keys"),
    ("/etc/NetworkManager/system-connections", "Wi-Fi passwords"),
    ("/etc/rancher", "Kubernetes credentials"),
    ("/etc/kubernetes", "Kubernetes credentials"),
    ("/etc/munge", "Slurm's authentication key"),
    ("/var/lib/docker", "containers' file systems"),
    ("/var/lib/containerd", "containers' file systems"),
    ("/var/lib/kubelet", "pods' secrets"),
    ("/var/spool/cron", "cron tables"),
    ("/var/mail", "mail"),
    ("/proc/keys", "names of kernel keys"),
    ("/sys/firmware", "firmware tables and variables"),
];

/// Mount points in `/sys` that hold kernel internals when something is mounted there.
pub const KERNEL_INTERNALS: &[&str] =
    &["/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/pstore", "/sys/fs/bpf"];

/// Who resolves names, as every resolver reads it (resolv.conf(5)).
pub const RESOLVER: &str = "/etc/resolv.conf";

/// Names that need not be asked for (hosts(5)).
pub const HOSTS: &str = "/etc/hosts";

/// Entries of the host's `/run` that stay readable in the private one, and who needs them.
pub const RUN_KEPT: &[(&str, &str)] = &[
    ("/run/systemd/resolve", "target of /etc/resolv.conf with systemd-resolved"),
    ("/run/resolvconf", "target of /etc/resolv.conf with resolvconf"),
    ("/run/NetworkManager/resolv.conf", "target of /etc/resolv.conf with NetworkManager"),
    ("/run/current-system", "NixOS programs"),
    ("/run/booted-system", "NixOS kernel modules' names"),
    ("/run/opengl-driver", "NixOS GPU libraries"),
    ("/run/opengl-driver-32", "NixOS GPU libraries, 32 bit"),
];

/// Device nodes every process expects, with their numbers (Documentation/admin-guide/devices.txt).
pub const BASE_DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links in every `/dev`.
pub const DEV_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Entries of a fresh procfs that a caller with uid 0 could write or read although it has no capability: sysctl and
/// procfs compare user ids. Directories become read-only, files unreadable.
pub const PROC_OF_ROOT: &[(&str, bool)] = &[
    ("/proc/sys", true),
    ("/proc/irq", true),
    ("/proc/bus", true),
    ("/proc/fs", true),
    ("/proc/acpi", true),
    ("/proc/scsi", true),
    (PROC_OF_INIT, true),
    ("/proc/sysrq-trigger", false),
    ("/proc/kcore", false),
    ("/proc/latency_stats", false),
    ("/proc/timer_list", false),
    ("/proc/mtrr", false),
    ("/proc/kmsg", false),
    ("/proc/slabinfo", false),
    ("/proc/vmallocinfo", false),
    ("/proc/pagetypeinfo", false),
    ("/proc/kpagecount", false),
    ("/proc/kpageflags", false),
    ("/proc/kpagecgroup", false),
];

/// Files of the sandbox's first process, as `oom_score_adj`: to the kernel they are root's.
pub const PROC_OF_INIT: &str = "/proc/1";

/// Links in `/` that merged-usr systems need when the root is narrowed: the dynamic loader is named by `/lib64`.
pub const ROOT_LINKS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Names of sockets that hand out root on the host.
pub const ENGINE_SOCKETS: &[&str] = &["docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock"];
