//! Makes a directory that outlives the command, before anything of the sandbox exists.
//!
//! Each step is taken in the directory that the last one opened: nobody can put a link in the way. The names inside the
//! last directory are the command's, so they are only made, never opened.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{StepError, plain};
use crate::host::paths::{FileId, id_of};
use crate::plan::Plan;
use crate::plan::cache::CacheDirectory;
use crate::plan::choose::Engine;
use crate::plan::landlock::Expect;
use crate::plan::mounts::Mount;

const STEP: &str = "make the cache directory";

/// The plan with its directory made: what is mounted there, or named by a rule, must be what was made.
///
/// # Errors
/// The directory that cannot be made. One that is not what the plan saw, a link or another user's makes the plan a stale
/// one.
pub(super) fn made(plan: &Plan) -> Result<Cow<'_, Plan>, StepError> {
    let Some(cache) = plan.confinement.as_ref().and_then(|confinement| confinement.cache.as_ref()) else {
        return Ok(Cow::Borrowed(plan));
    };
    let (made, path) = (make(cache)?, cache.path());
    let mut plan = plan.clone();
    let alone = plan.choice.engine == Engine::Landlock;
    if let Some(confinement) = &mut plan.confinement {
        for op in confinement.mounts.ops.iter_mut().filter(|op| op.target == path) {
            if let Mount::Bind { id, .. } = &mut op.what {
                expect(id, made, &path)?;
            }
        }
        for rule in confinement.landlock.rules.iter_mut().filter(|rule| alone && rule.path == path) {
            rule.expect = Expect::File(made);
        }
    }
    Ok(Cow::Owned(plan))
}

fn expect(planned: &mut Option<FileId>, made: FileId, path: &Path) -> Result<(), StepError> {
    match planned.replace(made) {
        Some(other) if other != made => Err(StepError::changed(STEP, path)),
        Some(_) | None => Ok(()),
    }
}

/// Makes what is missing, and tells what the directory is.
fn make(cache: &CacheDirectory) -> Result<FileId, StepError> {
    let CacheDirectory { base, base_id, way, inside } = cache;
    let base_fd = plain::open_directory(base).map_err(|error| unmade(error, base))?;
    if id_of(&look(&base_fd, base)?) != *base_id {
        return Err(StepError::changed(STEP, base));
    }
    let (mut at, mut path) = (base_fd, base.clone());
    for name in way {
        path.push(name);
        at = enter(&at, name, &path)?;
    }
    for name in inside {
        make_entry(&at, OsStr::new(name), &path.join(name))?;
    }
    look(&at, &path).map(|stat| id_of(&stat))
}

/// Makes a directory if nothing has its name, and opens what has it, if it is a directory of the caller.
fn enter(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<OwnedFd, StepError> {
    make_entry(directory, name, path)?;
    let opened = plain::open_entry(directory, name, OFlags::DIRECTORY).map_err(|error| unmade(error, path))?;
    let stat = look(&opened, path)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if is_directory && is_ours { Ok(opened) } else { Err(StepError::changed(STEP, path)) }
}

fn make_entry(directory: impl AsFd, name: &OsStr, path: &Path) -> Result<(), StepError> {
    match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(StepError::new(STEP, Some(path), error)),
    }
}

fn look(directory: &OwnedFd, path: &Path) -> Result<Stat, StepError> {
    rustix::fs::fstat(directory).map_err(|error| StepError::new(STEP, Some(path), error))
}

/// A link on the way, or something that is gone, is not what the plan saw.
fn unmade(error: Errno, path: &Path) -> StepError {
    match error {
        Errno::NOTDIR | Errno::LOOP | Errno::NOENT => StepError::changed(STEP, path),
        other => StepError::new(STEP, Some(path), other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    fn directory(base: &Path) -> CacheDirectory {
        CacheDirectory {
            base: base.to_owned(),
            base_id: id_of(&rustix::fs::stat(base).unwrap()),
            way: ["ours", "key"].map(Into::into).to_vec(),
            inside: vec!["one", "two"],
        }
    }

    fn around() -> (tempfile::TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let base = around.path().canonicalize().unwrap().join("base");
        fs::create_dir(&base).unwrap();
        (around, base)
    }

    #[test]
    fn what_is_missing_is_made_for_nobody_else_and_what_is_there_stays() {
        let (_around, base) = around();
        let cache = directory(&base);
        let first = make(&cache).unwrap();
        for path in ["ours", "ours/key", "ours/key/one", "ours/key/two"] {
            assert_eq!(fs::metadata(base.join(path)).unwrap().permissions().mode() & 0o7777, 0o700, "{path}");
        }
        fs::write(base.join("ours/key/one/kept"), "x").unwrap();
        assert_eq!((make(&cache).unwrap(), fs::read(base.join("ours/key/one/kept")).unwrap()), (first, b"x".to_vec()));
        assert_eq!(first, id_of(&rustix::fs::stat(base.join("ours/key")).unwrap()));
    }

    #[test]
    fn what_is_another_s_or_another_than_was_planned_is_no_place() {
        let (one, other) = (FileId { dev: 1, ino: 1 }, FileId { dev: 1, ino: 2 });
        let mut planned = None;
        assert!(expect(&mut planned, one, Path::new("/x")).is_ok() && planned == Some(one));
        assert!(expect(&mut planned, one, Path::new("/x")).is_ok());
        assert!(expect(&mut planned, other, Path::new("/x")).is_err_and(|error| error.is_stale()));
        if rustix::process::geteuid().is_root() {
            // Only root can give one away.
            let (_around, base) = around();
            fs::create_dir(base.join("ours")).unwrap();
            std::os::unix::fs::chown(base.join("ours"), Some(4242), None).unwrap();
            assert!(make(&directory(&base)).is_err_and(|error| error.is_stale()));
            assert_eq!(fs::read_dir(base.join("ours")).unwrap().count(), 0);
        }
    }

    #[test]
    fn no_link_is_followed_and_nothing_is_made_behind_one() {
        for link in ["ours", "ours/key"] {
            let (around, base) = around();
            let elsewhere = around.path().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::create_dir_all(base.join(link).parent().unwrap()).unwrap();
            symlink(&elsewhere, base.join(link)).unwrap();
            assert!(make(&directory(&base)).is_err_and(|error| error.is_stale()), "{link}");
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{link}");
        }
        let (around, base) = around();
        // A name inside is the command's own: it may lead anywhere, and is not followed.
        make(&directory(&base)).unwrap();
        fs::remove_dir(base.join("ours/key/one")).unwrap();
        symlink(around.path().join("nowhere"), base.join("ours/key/one")).unwrap();
        assert!(make(&directory(&base)).is_ok() && !around.path().join("nowhere").exists());
        let other = CacheDirectory { base_id: FileId { dev: 0, ino: 0 }, ..directory(&base) };
        assert!(make(&other).is_err_and(|error| error.is_stale()), "another base");
    }
}
