//! Landlock alone: no namespaces, no mounts, the host's own `/dev`, `/proc` and `/tmp`.

mod attacks;
mod container;
mod devices;
mod files;
mod guards;
mod kernels;
mod outside;
mod scratch;

use std::ffi::OsStr;

use crate::lab::{Lab, Need, Ran, Sandbox, eventually};

const NONE: [&str; 0] = [];

/// A lab for each user; which other engine it is of does not matter.
fn labs(needs: &[Need]) -> Vec<Lab> {
    Lab::native(&[&[Need::Landlock(6), Need::Tool("python3")], needs].concat())
}

fn alone<S: AsRef<OsStr>>(lab: &Lab, options: impl IntoIterator<Item = S>) -> Sandbox<'_> {
    lab.sandbox(options).backend("landlock")
}

/// Each argument is `VERB:PATH`; prints for each `yes`, or the name of the error.
const PROBE: &str = r"
import errno, os, sys
def put(path, flags):
    fd = os.open(path, flags, 0o644)
    os.close(fd)
def pair(act): return lambda paths: act(*paths.split('>'))
verbs = {
    'read': lambda path: open(path, 'rb').read(1), 'list': os.listdir, 'stat': os.lstat,
    'write': lambda path: put(path, os.O_WRONLY), 'otrunc': lambda path: put(path, os.O_WRONLY | os.O_TRUNC),
    'rtrunc': lambda path: put(path, os.O_RDONLY | os.O_TRUNC),
    'trunc': lambda path: os.truncate(path, 0), 'make': lambda path: put(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    'tmpfile': lambda path: put(path, os.O_RDWR | os.O_TMPFILE),
    'mkdir': os.mkdir, 'rm': os.unlink, 'rmdir': os.rmdir, 'fifo': os.mkfifo,
    'rename': pair(os.rename), 'link': pair(os.link), 'symlink': pair(os.symlink), 'xattr': lambda path: os.getxattr(path, 'user.x'),
}
for word in sys.argv[1:]:
    verb, path = word.split(':', 1)
    try: verbs[verb](path); print('yes')
    except OSError as error: print(errno.errorcode[error.errno])
";

fn probe(sandbox: Sandbox<'_>, words: &[String]) -> Vec<String> {
    let command = ["python3", "-c", PROBE].into_iter().map(str::to_owned);
    let ran = sandbox.run(command.chain(words.iter().cloned()));
    ran.assert_works();
    ran.stdout().lines().map(str::to_owned).collect()
}

/// Each probe and what is to come of it; outside, all of them work.
#[track_caller]
fn check(lab: &Lab, options: &[&str], table: &[(&str, &str)]) {
    let words: Vec<_> = table.iter().map(|(word, _)| (*word).to_owned()).collect();
    for ((word, want), got) in table.iter().zip(probe(alone(lab, options), &words)) {
        assert_eq!(got, *want, "{word} as {} with {options:?}", lab.user);
    }
}

/// The control: outside, the same user may do all of it.
#[track_caller]
fn check_outside(lab: &Lab, words: &[&str]) {
    let owned: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    for (word, got) in words.iter().zip(probe(lab.sandbox(NONE).without(), &owned)) {
        assert_eq!(got, "yes", "{word} outside as {}", lab.user);
    }
}

/// Nothing was started: the command would have made this file in the workspace.
#[track_caller]
fn assert_not_run(lab: &Lab, ran: &Ran) {
    assert!(ran.code() == 125 && !ran.stderr().contains("panicked"), "{ran}");
    assert!(!lab.exists("work/started"), "it ran: {ran}");
}

const START: [&str; 2] = ["touch", "started"];

/// Waits until a scratch directory is gone: other sandboxes have some, too.
#[track_caller]
fn assert_gone(path: &str) {
    assert!(path.starts_with("/tmp/ringfence-"), "{path}");
    assert!(eventually(|| std::fs::symlink_metadata(path).is_err()), "{path} is left");
}

/// Removes what was put aside.
fn clean(lab: &Lab) {
    for path in std::fs::read_dir(lab.path("work")).unwrap().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            drop(std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)));
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
    }
}
