//! A case: an attack, how it is decided whether it got through, and what no engine promised.

use crate::lab::{Need, User};

/// What enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    Native,
    Bwrap,
    Landlock,
}

impl Engine {
    pub const ALL: [Self; 3] = [Self::Native, Self::Bwrap, Self::Landlock];

    /// The word of `--backend`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Bwrap => "bwrap",
            Self::Landlock => "landlock",
        }
    }
}

/// How it is seen from outside that an attack got through.
#[derive(Debug, Clone, Copy)]
pub enum Got {
    /// Something in the lab but outside the workspace is not as it was: names, contents, modes, owners, times, attributes.
    Changed,
    /// The secret, which nothing inside was told, was printed or lies in the workspace.
    Told,
    /// The host's side says so: it heard the mark, was signalled, ended, found something.
    Outside,
    /// A path of the lab exists that must not be made.
    Made(&'static [&'static str]),
    /// While the command holds still, one of its processes has a descriptor whose link in `/proc` contains this.
    Holds(&'static str),
    /// The same, open for writing.
    Writes(&'static str),
    /// The same: a socket of this protocol, as the kernel names it.
    Socket(&'static str),
    /// The same: a device with these numbers.
    Device(u32, u32),
    /// While the command holds still, its processes are not all in the same namespaces.
    Namespaces,
    /// While the command holds still, a mount of one of its processes has the mark in its name.
    Mounted,
    /// While the command holds still, one of its processes has capabilities or runs as root for an ordinary user.
    Privileged,
    /// A process of it lives when the sandbox has ended.
    Lives,
}

/// Who runs the attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Everybody,
    /// For others it does not work without the sandbox either.
    Root,
    /// Root needs no such attack.
    Ordinary,
}

/// What the host does to the sandbox while the command holds still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    None,
    /// A signal for the process that the caller knows.
    Supervisor(rustix::process::Signal),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub class: &'static str,
    pub name: &'static str,
    pub got: Got,
    /// The attack: in Python behind `inside.py`, or in bash.
    pub attack: String,
    /// Whether it is in bash, with the same names as variables: Python does not start with every input.
    pub in_bash: bool,
    /// The host's side, in Python, behind `outside.py`.
    pub outside: String,
    /// What the user who runs the suite has to prepare, as a shell script; only as root.
    pub rooted: &'static str,
    /// What takes it back afterwards.
    pub undone: &'static str,
    /// Options of the sandbox, with `@OUT` and so on as paths of the lab.
    pub options: Vec<&'static str>,
    /// Variables of the caller, with `@TOKEN` for the secret.
    pub env: &'static [(&'static str, &'static str)],
    /// The bash script of the host that starts the command as `"$@"`.
    pub by: Option<&'static str>,
    pub blow: Blow,
    pub who: Who,
    pub needs: Vec<Need>,
    /// Whether it is as good that nothing is started.
    pub may_refuse: bool,
    /// Whether it covers the machine's `/dev` or mounts elsewhere: such cases run one by one, in private mounts.
    pub mounts: bool,
    /// In the words of SECURITY.md, why bubblewrap may leave entries outside with nothing in them; nothing else may.
    pub litters: Option<&'static str>,
    /// What an engine does not promise, in the words of SECURITY.md. The attack must get through there.
    pub unpromised: Vec<(Engine, &'static str)>,
}

impl Case {
    pub fn new(name: &'static str, got: Got, attack: &str) -> Self {
        Self {
            class: "",
            name,
            got,
            attack: attack.to_owned(),
            in_bash: false,
            outside: String::new(),
            rooted: "",
            undone: "",
            options: Vec::new(),
            env: &[],
            by: None,
            blow: Blow::None,
            who: Who::Everybody,
            needs: Vec::new(),
            may_refuse: false,
            mounts: false,
            litters: None,
            unpromised: Vec::new(),
        }
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.class, self.name)
    }

    pub fn bash(name: &'static str, got: Got, attack: &str) -> Self {
        Self { in_bash: true, ..Self::new(name, got, attack) }
    }

    pub fn litters(mut self, text: &'static str) -> Self {
        self.litters = Some(text);
        self
    }

    pub fn outside(mut self, script: &str) -> Self {
        self.outside = script.to_owned();
        self
    }

    pub fn rooted(mut self, script: &'static str) -> Self {
        self.rooted = script;
        self.needs.push(Need::Root);
        self
    }

    pub fn undone(mut self, script: &'static str) -> Self {
        self.undone = script;
        self
    }

    pub fn with(mut self, options: &[&'static str]) -> Self {
        self.options.extend(options);
        self
    }

    /// The vault is hidden.
    pub fn denying(self) -> Self {
        self.with(&["--deny", "@VAULT"])
    }

    /// The directory in the workspace is hidden, which Landlock alone cannot, and says so.
    pub fn denying_inside(self) -> Self {
        self.with(&["--deny", "@HIDDEN"]).may_refuse()
    }

    pub fn env(mut self, variables: &'static [(&'static str, &'static str)]) -> Self {
        self.env = variables;
        self
    }

    pub fn by(mut self, script: &'static str) -> Self {
        self.by = Some(script);
        self
    }

    pub fn blow(mut self, signal: rustix::process::Signal) -> Self {
        self.blow = Blow::Supervisor(signal);
        self
    }

    pub fn by_root(mut self) -> Self {
        self.who = Who::Root;
        self
    }

    pub fn by_ordinary_user(mut self) -> Self {
        self.who = Who::Ordinary;
        self
    }

    pub fn needing(mut self, needs: &[Need]) -> Self {
        self.needs.extend(needs);
        self
    }

    pub fn may_refuse(mut self) -> Self {
        self.may_refuse = true;
        self
    }

    pub fn mounting(mut self) -> Self {
        self.mounts = true;
        self.needs.push(Need::Root);
        self
    }

    pub fn unpromised(mut self, engines: &[Engine], text: &'static str) -> Self {
        self.unpromised.extend(engines.iter().map(|engine| (*engine, text)));
        self
    }

    /// Whether this user can try it at all.
    pub fn is_for(&self, user: User) -> bool {
        match self.who {
            Who::Everybody => true,
            Who::Root => user.is_root(),
            Who::Ordinary => !user.is_root(),
        }
    }

    /// Why an engine need not hold it.
    pub fn excuse(&self, engine: Engine) -> Option<&'static str> {
        self.unpromised.iter().find(|(named, _)| *named == engine).map(|(_, text)| *text)
    }
}
