//! What a bubblewrap can do, by its own word, asked once for each version of the program.

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Bwrap, Stamp};

/// Options that not every version has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// `--perms` (0.5): without it nothing can be hidden.
    pub perms: bool,
    /// `--argv0` (0.9).
    pub argv0: bool,
    /// `--size`: without it a tmpfs holds half of the machine's memory.
    pub size: bool,
}

/// How long the program may take to say what it can do.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than this no version has to say, in bytes.
const LONGEST: usize = 64 * 1024;

/// Asks `bwrap --help`, or the answer that was kept in `cache`, the user's cache directory.
///
/// # Errors
/// Why the program is of no use, in words.
pub fn features(bwrap: &Bwrap, cache: Option<&Path>) -> Result<Features, String> {
    let kept = cache.map(|cache| cache.join("ringfence/bwrap"));
    if let Some(features) = kept.as_deref().and_then(|file| remembered(file, bwrap)) {
        return Ok(features);
    }
    let features = read_help(&ask(&bwrap.path)?)?;
    if let Some(file) = kept {
        // Without a place to keep it, the next run asks again.
        crate::sys::ignore(remember(&file, bwrap, features));
    }
    Ok(features)
}

fn read_help(text: &[u8]) -> Result<Features, String> {
    let has = |option: &[u8]| text.split(|byte| byte.is_ascii_whitespace()).any(|word| word == option);
    if !has(b"--ro-bind") || !has(b"--unshare-user") {
        return Err("does not say what it can do (`--help` names no options)".to_owned());
    }
    Ok(Features { perms: has(b"--perms"), argv0: has(b"--argv0"), size: has(b"--size") })
}

/// Runs `--help` with nothing of ours in reach: no environment, no input, a directory that is everybody's.
fn ask(program: &Path) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.arg("--help").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = start(&mut command)?;
    let answer = child.stdout.take().map_or(Ok(Vec::new()), listen);
    end(child);
    answer
}

fn start(command: &mut Command) -> Result<Child, String> {
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.spawn().map_err(|error| format!("cannot be started: {error}"))
}

/// It has said all it had to say, or too much, or nothing.
fn end(mut child: Child) {
    crate::sys::ignore(child.kill());
    crate::sys::ignore(child.wait());
}

/// Makes a sandbox around nothing but the program's own version: whether it may make namespaces is not in its help.
///
/// # Errors
/// Why it may not, in its words.
pub fn trial(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--"]).arg(program).arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = start(&mut command)?;
    let words = match child.stderr.take().map_or(Ok(Vec::new()), listen) {
        Ok(words) => words,
        Err(error) => {
            end(child);
            return Err(error);
        }
    };
    // Standard error has hung up: it is ending, or has ended.
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&words);
    Err(format!("makes no namespaces either: {}", words.lines().last().unwrap_or("it does not say why")))
}

fn listen(mut output: impl Read + AsFd) -> Result<Vec<u8>, String> {
    let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + PATIENCE;
    while text.len() < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(format!("says nothing for {PATIENCE:?} (`--help` hangs)")),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(format!("cannot be listened to: {error}")),
            Ok(_) => {}
        }
        match output.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Err(error) => return Err(format!("cannot be listened to: {error}")),
        }
    }
    Ok(text)
}

/// One line: whom it is about, then what it can do.
fn line(bwrap: &Bwrap) -> Vec<u8> {
    let Stamp { inode, modified, size } = bwrap.stamp;
    let mut line = format!("2 {inode} {modified} {size} ").into_bytes();
    line.extend_from_slice(bwrap.path.as_os_str().as_bytes());
    line.push(b'\n');
    line
}

fn remembered(file: &Path, bwrap: &Bwrap) -> Option<Features> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(file).ok()?;
    let metadata = opened.metadata().ok()?;
    // What others can write is no memory of ours.
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return None;
    }
    let mut text = Vec::new();
    opened.take(LONGEST as u64).read_to_end(&mut text).ok()?;
    let words = text.strip_prefix(line(bwrap).as_slice())?.strip_suffix(b"\n")?;
    let has = |name: &str| words.split(|byte| *byte == b' ').any(|word| word == name.as_bytes());
    Some(Features { perms: has("perms"), argv0: has("argv0"), size: has("size") })
}

fn remember(file: &Path, bwrap: &Bwrap, features: Features) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if !std::fs::symlink_metadata(directory)?.is_dir() {
        // A link leads to where it is not ours to write.
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    let Features { perms, argv0, size } = features;
    let mut text = line(bwrap);
    let all = [(perms, "perms"), (argv0, "argv0"), (size, "size")];
    let words: Vec<_> = all.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
    text.extend_from_slice(words.join(" ").as_bytes());
    text.push(b'\n');
    // Renamed into its place: no other run reads half of it.
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(name);
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    opened.write_all(&text).and_then(|()| std::fs::rename(&fresh, file)).inspect_err(|_| {
        crate::sys::ignore(std::fs::remove_file(&fresh));
    })
}

/// `$XDG_CACHE_HOME`, or `.cache` in the home directory.
#[must_use]
pub fn cache_directory(variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |path: &OsStr| Path::new(path).is_absolute().then(|| PathBuf::from(path));
    let of_home = || absolute(&variable("HOME")?).map(|home| home.join(".cache"));
    variable("XDG_CACHE_HOME").and_then(|path| absolute(&path)).or_else(of_home)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(dir: &Path, text: &str) -> Bwrap {
        let path = dir.join("bwrap");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let stamp = Stamp { inode: metadata.ino(), modified: metadata.mtime_nsec().into(), size: metadata.size() };
        Bwrap { path, setuid: false, stamp }
    }

    const HELP: &str = "echo 'usage: --ro-bind A B --unshare-user --perms OCTAL'";

    #[test]
    fn what_it_says_is_remembered_until_the_program_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let found = script(dir.path(), &format!("echo x >> {}/asked; {HELP}", dir.path().display()));
        let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap_or_default().len();
        for _ in 0..3 {
            assert_eq!(features(&found, Some(&cache)), Ok(Features { perms: true, argv0: false, size: false }));
        }
        assert_eq!(asked(), "x\n".len());
        let newer = Bwrap { stamp: Stamp { size: 1, ..found.stamp }, ..found.clone() };
        assert!(features(&newer, Some(&cache)).is_ok());
        assert!(features(&found, None).is_ok());
        assert_eq!(asked(), 3 * "x\n".len());
        let kept = cache.join("ringfence/bwrap");
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(remembered(&kept, &newer), None, "anybody could have written it");
    }

    #[test]
    fn a_program_that_hangs_or_says_nothing_is_of_no_use() {
        let dir = tempfile::tempdir().unwrap();
        for (text, want) in
            [("exec sleep 60", "hangs"), ("exit 0", "names no options"), ("exec yes", "names no options")]
        {
            let error = features(&script(dir.path(), text), None).expect_err(text);
            assert!(error.contains(want), "{error}");
        }
        let directory = Bwrap { path: dir.path().to_owned(), setuid: false, stamp: Stamp::default() };
        assert!(features(&directory, None).unwrap_err().contains("cannot be started"));
    }
}
