//! What a test needs of the machine. Skips shout, and `RINGFENCE_MUST` makes them failures.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::User;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    UserNamespaces,
    /// At least this ABI.
    Landlock(u32),
    Root,
    Tool(&'static str),
    /// The caller may make control groups for memory, processes and processors.
    ControlGroups,
    /// A machine without a GPU that could be granted.
    NoGpu,
}

/// What nearly every test needs.
pub const ALWAYS: &[Need] = &[Need::UserNamespaces];

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::UserNamespaces => "userns",
            Self::Landlock(_) => "landlock",
            Self::Root => "root",
            Self::Tool(name) => name,
            Self::ControlGroups => "cgroups",
            Self::NoGpu => "no-gpu",
        }
    }

    /// Why it is missing.
    fn missing(self, user: User) -> Option<String> {
        let (met, why) = match self {
            Self::UserNamespaces => (namespaces_work(user), format!("{user} may not make user namespaces")),
            Self::Landlock(abi) => {
                let have = ringfence::host::kernel::landlock_abi();
                (have >= abi, format!("Landlock ABI {abi}, this kernel has {have}"))
            }
            Self::Root => (User::Caller.is_root(), "the suite runs as an ordinary user".to_owned()),
            Self::Tool(name) => (is_installed(name), format!("{name} is not installed")),
            Self::ControlGroups => (makes_groups(), "control groups cannot be made here".to_owned()),
            Self::NoGpu => {
                let found = ["/dev/nvidiactl", "/dev/dxg"].into_iter().find(|path| std::fs::metadata(path).is_ok());
                (found.is_none(), "this machine has a GPU".to_owned())
            }
        };
        (!met).then_some(why)
    }
}

fn namespaces_work(user: User) -> bool {
    static KNOWN: [OnceLock<bool>; 2] = [OnceLock::new(), OnceLock::new()];
    *KNOWN[usize::from(user == User::Caller)].get_or_init(|| {
        let mut unshare = Command::new("unshare");
        user.becomes(unshare.args(["--user", "--map-root-user", "--mount", "true"]).current_dir("/"));
        unshare.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

fn makes_groups() -> bool {
    let words = "memory = '1G'\npids = 100\ncpus = 1\n";
    let request = ringfence::request::load::parse(words, Path::new("a.toml"), Path::new("/"), None).unwrap();
    let policy = ringfence::policy::Policy::new(request, Path::new("/")).unwrap();
    let homes = ringfence::host::limits::probe(Path::new("/"), &policy).homes;
    homes.iter().map(|home| home.controllers.len()).sum::<usize>() >= 3
}

fn is_installed(name: &str) -> bool {
    super::PATH.split(':').any(|directory| Path::new(directory).join(name).exists())
}

/// Whether the test can run; says loudly why not.
pub fn all_met(needs: &[Need], user: User) -> bool {
    let missing = ALWAYS.iter().chain(needs).find_map(|need| Some((*need, need.missing(user)?)));
    let Some((need, why)) = missing else { return true };
    skip(need.name(), user, &why);
    false
}

/// Says loudly that a test cannot run; fails it where `RINGFENCE_MUST` names what is missing.
pub fn skip(name: &str, user: User, why: &str) {
    let must = std::env::var("RINGFENCE_MUST").unwrap_or_default();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(!must.split(',').any(|must| must == name), "RINGFENCE_MUST={name}: {why}");
    // Past the capture of the test harness: a skip that nobody sees is a lie.
    drop(writeln!(std::io::stderr(), "SKIPPED {test} for {user}: {why} (RINGFENCE_MUST={name})"));
}
