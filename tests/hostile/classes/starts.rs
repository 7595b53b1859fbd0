//! The start itself: what changes under our hands, what was planted by an earlier run, what the caller's variables lead to.

use crate::case::{Case, Got};

/// Something in the workspace is one thing and then another, for some hundred microseconds each, while the sandbox starts
/// again and again.
fn flipping(first: &str, second: &str) -> String {
    format!(
        "import random
{first}\n{second}\ngo = [True]
def flip():
    while go[0]: libc.renameat2(-100, b'one', -100, b'two', 2); time.sleep(random.random() * 0.0005)
os.chdir(WORK); one = threading.Thread(target=flip); one.start(); wait(); go[0] = False; one.join()"
    )
}

const AGAIN: &str = "r=0; for n in 1 2 3 4 5 6 7 8; do \"$@\" || r=$?; done; exit $r";

const LITTER: &str = "bubblewrap may have made empty entries elsewhere by then";

pub fn cases() -> Vec<Case> {
    let flips = |name, got, options: &[&'static str], first: &str, second: &str, attack: &str| {
        Case::new(name, got, attack)
            .outside(&flipping(first, second))
            .with(options)
            .by(AGAIN)
            .may_refuse()
            .litters(LITTER)
    };
    let planted = |name, attack: &str, host: &str| {
        Case::new(name, Got::Changed, attack).outside(&format!("{host}\nwait()")).may_refuse()
    };
    let directory = "os.mkdir(WORK + '/one')";
    let write = "attempt(put, 'one/new'); attempt(put, WORK + '/two/new')";
    vec![
        flips("granted-directory-and-a-link-out", Got::Changed, &["--write", "one"], directory, "os.symlink(OUT, WORK + '/two')", write),
        flips("modified-directory-and-a-link-out", Got::Changed, &["--modify", "one"], "os.mkdir(WORK + '/one'); open(WORK + '/one/file', 'w')", "os.symlink(OUT, WORK + '/two')", "attempt(put, 'one/file', os.O_WRONLY); attempt(put, 'two/file', os.O_WRONLY)"),
        flips("granted-file-and-a-link-out", Got::Changed, &["--write", "one"], "open(WORK + '/one', 'w')", "os.symlink(FILE, WORK + '/two')", "attempt(put, 'one', os.O_WRONLY); attempt(put, 'two', os.O_WRONLY)"),
        flips("granted-below-a-link-out", Got::Changed, &["--write", "one/sub"], "os.makedirs(WORK + '/one/sub')", "os.mkdir(OUT + '/sub'); os.symlink(OUT, WORK + '/two')", "attempt(put, 'one/sub/new'); attempt(put, 'two/sub/new')"),
        flips("hidden-below-a-link-out", Got::Changed, &["--deny", "one/sub"], "os.mkdir(WORK + '/one')", "os.symlink(OUT, WORK + '/two')", write),
        flips("repository-and-a-link-out", Got::Changed, &[], "os.makedirs(WORK + '/one/.git/hooks'); open(WORK + '/one/.git/config', 'w')", "os.symlink(OUT, WORK + '/two')", write),
        flips("pointer-of-a-repository-and-a-link-out", Got::Changed, &["--git", "commit"], "os.makedirs(WORK + '/one'); open(WORK + '/one/.git', 'w').write('gitdir: %s\\n' % OUT)", "os.symlink(OUT, WORK + '/two')", write),
        flips("hidden-directory-and-nothing", Got::Told, &["--deny", "@VAULT", "--deny", "one"], directory, "os.symlink(VAULT, WORK + '/two')", "attempt(cat, 'one/secret'); attempt(cat, 'two/secret')"),
        planted("a-link-where-the-caller-grants", "put('data/new')", "os.symlink(OUT, WORK + '/data')").with(&["--write", "data"]).may_refuse(),
        planted("a-link-on-the-way-to-what-the-caller-grants", "put('data/sub/new')", "os.mkdir(OUT + '/sub'); os.symlink(OUT, WORK + '/data')").with(&["--write", "data/sub"]).may_refuse(),
        planted("a-policy-in-the-workspace", "put(OUT + '/new')", "for name in ('ringfence.toml', '.ringfence.toml', 'config.toml', '.codex/config.toml'):
    os.makedirs(os.path.dirname(WORK + '/' + name), exist_ok=True); open(WORK + '/' + name, 'w').write('sandbox = \"full-access\"\\nwrite = [\"/\"]\\n')"),
        planted("a-policy-in-a-relative-configuration-directory", "put(OUT + '/new')", "os.makedirs(WORK + '/conf/ringfence'); open(WORK + '/conf/ringfence/config.toml', 'w').write('sandbox = \"full-access\"\\n')")
            .env(&[("XDG_CONFIG_HOME", "conf")]),
        planted("programs-first-in-the-path", "sh('bwrap; git; true')", "os.mkdir(WORK + '/bin')
for name in ('bwrap', 'git', 'sh', 'ldconfig', 'nvidia-smi', 'nvidia-modprobe', 'newuidmap', 'mount', 'ringfence', 'modprobe', 'ip'):
    open(WORK + '/bin/' + name, 'w').write('#!/bin/sh\\necho x >> %s/planted\\n' % OUT); os.chmod(WORK + '/bin/' + name, 0o755)")
            .env(&[("PATH", "@WORK/bin:/usr/bin:/bin")]),
        planted("programs-first-in-a-relative-path", "sh('bwrap; git; true')", "for name in ('bwrap', 'git', 'sh', 'ldconfig', 'ip'):
    open(WORK + '/' + name, 'w').write('#!/bin/sh\\necho x >> %s/planted\\n' % OUT); os.chmod(WORK + '/' + name, 0o755)")
            .env(&[("PATH", ":.:/usr/bin:/bin")]),
    ]
}
