//! What is refused, and what can be seen and changed.

use crate::compare::Difference;

pub const ROWS: &[Difference] = &[
    // What is refused, and what is not.
    Difference {
        policies: "disabled, more keys*|unknown keys*",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|2",
        why: "A key that is not known may be a misspelt denial; the reference runs without what was meant by it.",
    },
    Difference {
        policies: "a link out of W*|tmpdir is a link*",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|1",
        why: "The writable root is a link in the workspace that leads out of it: an earlier command could have \
              planted it, and the reference grants what it points at.",
    },
    Difference {
        policies: "/dev written",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|1",
        why: "All devices of the host at once, disks included. The reference binds them so that none can be \
              opened, not even /dev/null; ours says that nodes are granted by name.",
    },
    Difference {
        policies: "glob for reading*|glob for writing*",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|1",
        why: "Only denials can be patterns. The reference runs without what the pattern was to grant.",
    },
    Difference {
        policies: "glob with braces*",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|1",
        why: "Braces are in no description of the format, and not every matcher knows them: refused, before one \
              takes them for letters and denies nothing.",
    },
    Difference {
        policies: "command cwd missing*|command cwd denied*|started where denied*",
        probes: "ran|exit",
        reference: "yes|7",
        ours: "no|1",
        why: "The directory to start in is missing or denied. The reference goes elsewhere without a word, and \
              what the command does with relative paths it does there.",
    },
    Difference {
        policies: "a denied link in W*|a read link in W*|.git is a *link*|.codex is a link*|gitdir through a link*",
        probes: "ran|exit",
        reference: "no|1",
        ours: "yes|7",
        why: "A link below a writable root: the reference refuses every command. Ours keeps the link and what it \
              leads to.",
    },
    Difference {
        policies: "a file written*|a file in *written*|/dev/null written*|/dev/kmsg written*",
        probes: "ran|exit",
        reference: "no|101",
        ours: "yes|7",
        why: "A file or a device as a writable root: the reference looks for .git in it and panics.",
    },
    Difference {
        policies: "tmpdir missing*|tmpdir empty*|tmpdir is a file*",
        probes: "ran|exit",
        reference: "no|101",
        ours: "yes|7",
        why: "The reference keeps files of its own in TMPDIR and panics where that is no directory. Ours keeps \
              none there.",
    },
    Difference {
        policies: "minimal without the helper*",
        probes: "ran|exit",
        reference: "no|1",
        ours: "yes|7",
        why: "The policy does not name the helper, and no policy should have to: the reference cannot start its \
              second stage then.",
    },
    Difference {
        policies: "directories instead of minimal*",
        probes: "ran|exit",
        reference: "no|101",
        ours: "yes|7",
        why: "/bin and /lib64 are links. The reference shows only what they lead to, so that no program finds \
              its loader.",
    },
    Difference {
        policies: "root write W denied, enabled as a user|root write, * as a user|project roots read as a user",
        probes: "ran|exit",
        reference: "no|1",
        ours: "yes|7",
        why: "With a writable root the reference wants to make /.git on the host, which only root can.",
    },
    Difference {
        policies: "external, no network*|unrestricted, no network*|untagged network text*",
        probes: "ran|exit",
        reference: "no|2",
        ours: "yes|7",
        why: "Without a word about the network it is restricted, and \"restricted\" means the same in both \
              generations of profiles.",
    },
    Difference {
        policies: "network missing*",
        probes: "exit|exit after a signal",
        reference: "2",
        ours: "127",
        why: "As above: the profile is read, and then nothing is visible, not even the program.",
    },
    Difference {
        policies: "empty object*|root denied, W write*|nothing*",
        probes: "exit|exit after a signal",
        reference: "1",
        ours: "127",
        why: "Nothing is visible, so the program is not found, and 127 says that. The reference fails on its own \
              second stage.",
    },
    Difference {
        policies: "landlock, read|landlock, read as a user|landlock, names written*",
        probes: "ran|exit",
        reference: "no|101",
        ours: "yes|7",
        why: "Landlock can say these policies. The reference panics on every restricted policy with this flag.",
    },
    Difference {
        policies: "landlock, W write*|landlock, minimal*",
        probes: "ran|exit|exit after a signal",
        reference: "no|101",
        ours: "yes|1",
        why: "Landlock can say these policies. A probe makes a protected name: for that the command is ended, and what it \
              made put aside.",
    },
    Difference {
        policies: "landlock, names there*|landlock, denied*|landlock, read below*",
        probes: "exit|exit after a signal",
        reference: "101",
        ours: "1",
        why: "Landlock cannot say these policies: an error that tells which path, instead of a panic.",
    },
];
