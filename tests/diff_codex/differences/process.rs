//! Exit codes, processes, devices, the network.

use crate::compare::Difference;

pub const ROWS: &[Difference] = &[
    // Exit codes.
    Difference {
        policies: "call: no command*|call: nothing behind --*|call: no profile*",
        probes: "exit",
        reference: "101",
        ours: "2",
        why: "A bad command line is told as one; the reference panics.",
    },
    Difference {
        policies: "call: inner stage*|call: inner check*",
        probes: "exit",
        reference: "101|0",
        ours: "2",
        why: "Flags of the inner stage are refused from outside. The reference panics, or runs the command \
              without any policy for files: what the profile denies is written.",
    },
    Difference {
        policies: "call: managed network, nothing set*",
        probes: "exit",
        reference: "101",
        ours: "1",
        why: "The managed proxy without a proxy: both refuse, the reference by a panic.",
    },
    Difference {
        policies: "managed network, the older flag*",
        probes: "exit|ran",
        reference: "2|no",
        ours: "7|yes",
        why: "--allow-network-for-proxy is of the older generation, which ours serves too.",
    },
    Difference {
        policies: "call: not found*|call: not executable*|call: a directory*",
        probes: "exit",
        reference: "101",
        ours: "127|126",
        why: "Not found and not executable as every shell says them; the reference panics.",
    },
    Difference {
        policies: "*",
        probes: "exit after a signal",
        reference: "signal 15",
        ours: "143",
        why: "Where the reference makes no sandbox it becomes the command. 128 + signal is what it says itself \
              everywhere else.",
    },
    // Where the command starts, and its variables.
    Difference {
        policies: "minimal, W/docs/public write*",
        probes: "cwd",
        reference: "ok W",
        ours: "ok /",
        why: "No rule shows the working directory. The reference starts in an empty one that it made there; ours \
              starts in / and warns.",
    },
    Difference {
        policies: "command cwd outside*|command cwd below*",
        probes: "cwd",
        reference: "ok W",
        ours: "ok O|ok W/sub",
        why: "The flag names the directory, and the command starts there. The reference looks at it only when \
              links are involved, for its caller has gone there before.",
    },
    Difference {
        policies: "*",
        probes: "PWD",
        reference: "/|W*|O*",
        ours: "unset",
        why: "bubblewrap sets PWD. Ours passes the caller's variables on as they are: no PWD here.",
    },
    Difference {
        policies: "*",
        probes: "env",
        reference: "*PATH*",
        ours: "*PATH,*RINGFENCE*",
        why: "PWD as above; RINGFENCE tells programs that they are in a sandbox.",
    },
    // The host's devices, /proc and /run.
    Difference {
        policies: "*",
        probes: "/dev:create",
        reference: "ok",
        ours: "EROFS",
        why: "/dev is a list of nodes, not a place for files: what is made there lives in a tmpfs, or on the \
              host where the root is writable.",
    },
    Difference {
        policies: "external, restricted|unrestricted, restricted|root write",
        probes: "/dev/kmsg:r",
        reference: "ok",
        ours: "EPERM",
        why: "Only root with its capabilities may read the kernel's log; in ours nobody has any.",
    },
    Difference {
        policies: "*",
        probes: "/run:list",
        reference: "ok|ENOENT",
        ours: "ok []",
        why: "/run holds the sockets of the host's services: it is private and empty in every view.",
    },
    Difference {
        policies: "no proc*|/proc denied*",
        probes: "/proc:list",
        reference: "ok|ENOENT",
        ours: "EACCES|ok []",
        why: "No /proc means none. The reference leaves the host's in its place, and ignores its denial.",
    },
    Difference {
        policies: "no proc*|/proc denied*",
        probes: "status:*|proc:core_pattern",
        reference: "0000000000000000|1|2|EROFS|ok",
        ours: "absent|EACCES",
        why: "As above: these are read from /proc.",
    },
    Difference {
        policies: "*",
        probes: "proc:core_pattern",
        reference: "ok",
        ours: "EROFS",
        why: "Written by root inside, kernel.core_pattern runs a program of the command's choice on the host: \
              the reference can be left by one write.",
    },
    Difference {
        policies: "*",
        probes: "proc:1/*",
        reference: "ok",
        ours: "EACCES",
        why: "The first process of the sandbox is the helper; its environment and its view of the files are not \
              the command's.",
    },
    // Processes and system calls.
    Difference {
        policies: "external, restricted*|unrestricted, restricted*|root write|root write as a user",
        probes: "status:Cap*",
        reference: "000001fffeffffff",
        ours: "0000000000000000",
        why: "A restricted network is no restriction for capabilities over the host: who may load rules or enter \
              other namespaces has every network.",
    },
    Difference {
        policies: "external, restricted*|unrestricted, restricted*|root write|root write as a user",
        probes: "kill:host|host sees that process was killed",
        reference: "ok|true",
        ours: "ESRCH|false",
        why: "As above: a process of the host that can be signalled and traced can be made to talk. There is a \
              PID namespace with every restriction.",
    },
    Difference {
        policies: "inherited pid namespace*",
        probes: "kill:host|host sees that process was killed",
        reference: "ok|true",
        ours: "EPERM|false",
        why: "Sharing the PID namespace is for seeing processes, not for ending them: Landlock keeps signals inside.",
    },
    Difference {
        policies: "*",
        probes: "mount",
        reference: "EINVAL|ENOENT",
        ours: "EPERM",
        why: "The filter refuses the call whatever its arguments are, and there are no capabilities either.",
    },
    Difference {
        policies: "*",
        probes: "unshare:*",
        reference: "ok",
        ours: "EPERM",
        why: "In a user namespace of its own a command is root, and reaches kernel code that was written for \
              root alone.",
    },
    Difference {
        policies: "*",
        probes: "syscall:*",
        reference: "E2BIG|ENOTSUP|EINVAL",
        ours: "EPERM",
        why: "keyctl, userfaultfd, perf_event_open and bpf: global objects and the usual helpers of kernel \
              exploits. The reference lets all four through.",
    },
    // Network and sockets.
    Difference {
        policies: "*",
        probes: "pair:*",
        reference: "EPERM",
        ours: "ok",
        why: "Python's asyncio, Node's spawnSync and others hang or fail without these calls, on a pair of \
              sockets that reaches nobody.",
    },
    Difference {
        policies: "*",
        probes: "loopback:*|listen:abstract|socket:INET|socket:INET6|socket:NETLINK",
        reference: "EPERM",
        ours: "ok",
        why: "In a network namespace of its own nobody else is there: servers and tests on localhost work, and \
              nothing leaves.",
    },
    Difference {
        policies: "*",
        probes: "listen:workspace",
        reference: "EPERM",
        ours: "ok|EROFS|ENOENT",
        why: "As above; where the directory cannot be written, the file system says so.",
    },
    Difference {
        policies: "*",
        probes: "host:tcp",
        reference: "EPERM",
        ours: "ECONNREFUSED",
        why: "As above: the host's loopback is another one.",
    },
    Difference {
        policies: "*",
        probes: "socketpair:*",
        reference: "EPERM|ENOTSUP|ESOCKTNOSUPPORT",
        ours: "EAFNOSUPPORT",
        why: "These families have no pairs, or none for the command; EAFNOSUPPORT is what programs expect and \
              know a way around.",
    },
    Difference {
        policies: "*",
        probes: "host:unix",
        reference: "EPERM",
        ours: "EACCES|ENOENT",
        why: "Hidden as a file instead of forbidden as a call.",
    },
    Difference {
        policies: "*",
        probes: "host:unix|host sees that unix listener was called",
        reference: "ok|true",
        ours: "EACCES|false",
        why: "With network the reference lets every socket of the host be called, that of Docker too, which is root.",
    },
    Difference {
        policies: "*",
        probes: "host:datagram|host sees that datagram came",
        reference: "ok|true",
        ours: "EACCES|ENOENT|false",
        why: "sendmsg with an address gets past the reference's filter to every datagram socket of the host, \
              without network too.",
    },
    // Files.
    Difference {
        policies: "*",
        probes: "*:setuid|host sees */new",
        reference: "ok|ENOENT|EACCES|EROFS|file 4755 changed",
        ours: "EPERM|file 644 changed",
        why: "No setuid or setgid bit can be set: a program left with one would run as its owner for everybody \
              on the host.",
    },
    Difference {
        policies: ".git further down*",
        probes: "W/sub/.git:*|host sees W/sub/.git/*",
        reference: "ok|file *|dir 755|link|-",
        ours: "EROFS|EBUSY|file 644 before|-",
        why: "A repository below the workspace has hooks too, which run when its user next calls git there.",
    },
    Difference {
        policies: ".git written|.git written as a user",
        probes: "W/.git:move",
        reference: "EBUSY",
        ours: "ok",
        why: "An explicit write entry lies on it, so it is a directory like others.",
    },
    Difference {
        policies: "docs denied, public read*|read-only, docs denied, public read*",
        probes: "W/docs/public:*",
        reference: "EACCES",
        ours: "ok|ok f,f2,f4|EROFS",
        why: "A narrower read entry opens what a wider one denies, as a narrower write entry does. The reference \
              forgets it.",
    },
    Difference {
        policies: "docs denied, public read*|read-only, docs denied, public read*",
        probes: "W/docs:*|W/docs/private:*",
        reference: "EACCES",
        ours: "ENOENT|EROFS",
        why: "As above: what is around it is an empty directory that cannot be listed, and the rest is not there.",
    },
    Difference {
        policies: "minimal, W/docs/public write*",
        probes: "W:*|W/*",
        reference: "ok|EBUSY|ENOENT|ENOTEMPTY",
        ours: "EROFS|ENOENT",
        why: "Directories that only lead to a visible one. In the reference files can be made there, and are \
              lost at the end.",
    },
    Difference {
        policies: "*minimal*|started where hidden*",
        probes: "*:move",
        reference: "ENOENT|EBUSY",
        ours: "EROFS",
        why: "Such directories are read-only; so is the root above a name that is not there.",
    },
    Difference {
        policies: "minimal, /etc denied*",
        probes: "/etc:list",
        reference: "EACCES",
        ours: "ENOENT",
        why: "Denied and shown by no wider rule: it need not be there at all.",
    },
    Difference {
        policies: "root write W denied, enabled",
        probes: "W:move",
        reference: "ok",
        ours: "EBUSY",
        why: "A denied directory that is moved away is no longer denied to the next command.",
    },
    Difference {
        policies: "tmpdir relative*",
        probes: "W/sub:*|W/sub/.git:*|host sees W/sub/*",
        reference: "*",
        ours: "EROFS|ENOENT|ok f,f2,f4|file 644 before|-",
        why: "A relative TMPDIR is another directory for every process: it names none that could be granted.",
    },
    Difference {
        policies: "tmpdir*|like workspace-write*",
        probes: "*:list|host sees *codex-bwrap-synthetic-mount-targets*",
        reference: "*codex-bwrap-synthetic-mount-targets*|dir 755|file 644*",
        ours: "ok .agents,.aws,.codex,.git,f,f2,f4|-",
        why: "The reference keeps a registry in TMPDIR, where the command can write to it.",
    },
    Difference {
        policies: "*",
        probes: "home:list|host sees home/.cache*",
        reference: "ok f,f2,f4|-",
        ours: "ok .cache,f,f2,f4|dir 700|file 600*",
        why: "What the installed bubblewrap can do is remembered in the user's cache: the reference asks it for \
              every command.",
    },
    // Globs.
    Difference {
        policies: "glob*",
        probes: "W/dir.env:*|W/sub/t:*|W/sub/t/c.env:*|O/d:*",
        reference: "ok*|EROFS|EBUSY|EXDEV|ENOTDIR",
        ours: "EACCES|EBUSY",
        why: "A directory that matches is denied with all that is in it. The reference leaves it open.",
    },
    Difference {
        policies: "glob*",
        probes: "host sees W/dir.env/*|host sees W/sub/t/*",
        reference: "*",
        ours: "file 644 before|file 644 secret|-",
        why: "As above, seen from the host.",
    },
    Difference {
        policies: "glob*",
        probes: "W/link.env:*|W:read|W:write|W:chmod|W:hardlink|host sees W/f|host sees W/newhard",
        reference: "ok|EROFS|file 600 changed",
        ours: "EACCES|EROFS|EXDEV|file 644 before|-",
        why: "W/link.env matches and leads to W/f: denied is what would be read through it, by either name.",
    },
    Difference {
        policies: "glob*|.git further down*",
        probes: "W/docs:move|W/sub:move",
        reference: "ok",
        ours: "EBUSY",
        why: "A directory with a denied or protected entry in it stays where it is: moved, its entry would be \
              open to the next command.",
    },
    Difference {
        policies: "/dev denied*",
        probes: "/dev/*|/dev:create",
        reference: "EACCES",
        ours: "ENOENT|EROFS",
        why: "Denied either way: in ours the nodes are not there at all, and the directory is read-only.",
    },
    Difference {
        policies: "landlock, root write*",
        probes: "kill:host|host sees that process was killed|host:datagram|status:Cap*|/dev/kmsg:r",
        reference: "ok|true|000001fffeffffff",
        ours: "EPERM|false|0000000000000000",
        why: "Only the network is restricted. Still no capability is kept, no datagram reaches a socket of the host, \
              and processes outside are left alone.",
    },
];
