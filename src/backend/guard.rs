//! Names that only the user may make, where nothing can be mounted on them: whoever makes one is ended, and what was
//! made is put aside.
//!
//! The command writes in the directories above such a name, so nothing that they say is believed: it may take their
//! permissions away, put links in their place, or give what it makes the look of a placeholder.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::{StepError, plain};
use crate::host::placeholder::{MOMENT, MOMENTS, is_bare, is_marked, is_young};
use crate::plan::mounts::{Mount, MountOp, MountPlan};
use crate::sys;

/// Where what a command made in spite of a guard is put.
const ASIDE: &str = ".refused-by-ringfence";

/// How many names are tried before what was made in spite of a guard is left where it is.
const NAMES: u32 = 64;

/// Whether something stands at a guarded name, while the command runs. Where nobody of the same user can look, nobody
/// can be led astray either.
///
/// # Errors
/// The command made something.
pub fn hold(guard: &MountOp) -> Result<(), StepError> {
    match offence(&guard.target) {
        Ok(Some(made)) => Err(refused(made)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Looks at every guard once more, when nothing of the command runs any more.
///
/// # Errors
/// What the command made in spite of a guard.
pub fn last_look(plan: &MountPlan) -> Result<(), StepError> {
    guards(plan).try_for_each(|guard| match reaching(&guard.target, || offence(&guard.target)) {
        Ok(Some(made)) => Err(refused(made)),
        Ok(None) => Ok(()),
        Err(error) => Err(StepError::new("look for", Some(&guard.target), error)),
    })
}

/// Puts aside what the command made in spite of a guard, under a name that it cannot have taken before. Nothing of the
/// sandbox runs any more.
pub fn sweep(plan: &MountPlan) {
    for guard in guards(plan) {
        // What cannot be moved stays where it is: the run has told of it.
        sys::ignore(reaching(&guard.target, || match offence(&guard.target)? {
            Some(made) => put_aside(&made),
            None => Ok(()),
        }));
    }
}

fn guards(plan: &MountPlan) -> impl Iterator<Item = &MountOp> {
    plan.ops.iter().filter(|op| op.what == Mount::Guard)
}

fn refused(made: PathBuf) -> StepError {
    let step = "the command made what only you may make, so it was ended:".into();
    StepError { step, path: Some(made), errno: StepError::TOLD }
}

/// What stands at a guarded name that the command must have made: the entry itself, or a link on the way to it, for the
/// paths of a plan have none.
fn offence(target: &Path) -> Result<Option<PathBuf>, Errno> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(None) };
    let directory = match plain::open_directory(parent) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(first_link(parent)),
        Err(error) => return Err(error),
    };
    for _ in 0..MOMENTS {
        match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_placeholder(&directory, name, &stat) => return Ok(None),
            // Perhaps another run has made it and is about to mark it: until then nothing can be in it.
            Ok(stat) if is_bare(&stat) && is_young(&stat) => std::thread::sleep(MOMENT),
            Ok(_) => break,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(target.to_owned()))
}

/// What another run put there, or the sandbox around this one. Its mode and times could be anybody's; that there is
/// nothing in it cannot be feigned.
fn is_placeholder(directory: &OwnedFd, name: &OsStr, stat: &Stat) -> bool {
    is_marked(stat) && (FileType::from_raw_mode(stat.st_mode) != FileType::Directory || is_empty(directory, name))
}

fn is_empty(directory: &OwnedFd, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entries = rustix::fs::openat(directory, name, flags, Mode::empty()).and_then(Dir::new);
    let is_entry = |entry: Result<rustix::fs::DirEntry, _>| {
        entry.map_or(true, |entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
    };
    entries.is_ok_and(|mut entries| !entries.any(is_entry))
}

fn first_link(path: &Path) -> Option<PathBuf> {
    let above: Vec<_> = path.ancestors().collect();
    let is_link = |path: &&Path| {
        rustix::fs::lstat(*path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    };
    above.into_iter().rev().find(is_link).map(Path::to_owned)
}

/// Does something that needs to come to a name although the command may have taken the permissions away above it, and
/// then gives each directory back the mode that it had.
fn reaching<T>(target: &Path, act: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut opened = Vec::new();
    let mut done = act();
    while matches!(done, Err(Errno::ACCESS)) {
        let Some((directory, mode)) = closed_above(target) else { break };
        if rustix::fs::chmod(directory, mode | Mode::RWXU).is_err() {
            break;
        }
        opened.push((directory, mode));
        done = act();
    }
    for (directory, mode) in opened.into_iter().rev() {
        sys::ignore(rustix::fs::chmod(directory, mode));
    }
    done
}

/// The nearest directory above a name that can be looked at, if its owner may not do everything in it. There is no link
/// on the way to it: that would have been found first.
fn closed_above(target: &Path) -> Option<(&Path, Mode)> {
    let above = target.ancestors().skip(1);
    let (directory, stat) = above.filter_map(|path| Some((path, rustix::fs::lstat(path).ok()?))).next()?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let is_closed = FileType::from_raw_mode(stat.st_mode) == FileType::Directory && !mode.contains(Mode::RWXU);
    is_closed.then_some((directory, mode))
}

fn put_aside(made: &Path) -> Result<(), Errno> {
    let mut done = Err(Errno::EXIST);
    for _ in 0..NAMES {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let ending = format!("{ASIDE}-{}{:09}", now.tv_sec, now.tv_nsec);
        let mut longer = made.as_os_str().to_owned();
        longer.push(&ending);
        done = rustix::fs::renameat_with(CWD, made, CWD, &longer, RenameFlags::NOREPLACE);
        if done == Err(Errno::NAMETOOLONG) {
            done = rustix::fs::renameat_with(CWD, made, CWD, made.with_file_name(ending), RenameFlags::NOREPLACE);
        }
        if done != Err(Errno::EXIST) {
            break;
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::host::placeholder::MARK;
    use crate::plan::mounts::RootView;
    use crate::request::Origin;

    fn plan(target: &Path) -> MountPlan {
        let because = Origin::Baseline("test");
        MountPlan {
            root: RootView::HostReadOnly,
            ops: vec![MountOp { target: target.to_owned(), what: Mount::Guard, because }],
            tmpfs_size: None,
        }
    }

    fn marked(path: &Path) {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(MARK.unsigned_abs());
        fs::File::open(path).unwrap().set_modified(moment).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }

    #[test]
    fn a_placeholder_is_no_offence_unless_something_is_in_it() {
        let around = tempfile::tempdir().unwrap();
        let guarded = around.path().canonicalize().unwrap().join(".git");
        let plan = plan(&guarded);
        assert!(last_look(&plan).is_ok());
        fs::create_dir(&guarded).unwrap();
        assert!(last_look(&plan).is_err(), "the control");
        marked(&guarded);
        assert!(last_look(&plan).is_ok() && plan.ops.iter().all(|op| hold(op).is_ok()));
        fs::set_permissions(&guarded, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(guarded.join("config"), "evil").unwrap();
        marked(&guarded);
        assert!(last_look(&plan).is_err() && plan.ops.iter().all(|op| hold(op).is_err()));
        sweep(&plan);
        assert!(!guarded.exists() && last_look(&plan).is_ok());
    }

    #[test]
    fn what_another_run_is_about_to_mark_is_no_offence_and_what_nobody_marks_is_one() {
        let around = tempfile::tempdir().unwrap();
        let guarded = around.path().canonicalize().unwrap().join(".git");
        let plan = plan(&guarded);
        fs::create_dir(&guarded).unwrap();
        fs::set_permissions(&guarded, fs::Permissions::from_mode(0o555)).unwrap();
        let other = std::thread::spawn({
            let guarded = guarded.clone();
            move || {
                std::thread::sleep(Duration::from_millis(20));
                marked(&guarded);
            }
        });
        assert!(last_look(&plan).is_ok());
        other.join().unwrap();
        fs::remove_dir(&guarded).unwrap();
        fs::create_dir(&guarded).unwrap();
        fs::set_permissions(&guarded, fs::Permissions::from_mode(0o555)).unwrap();
        assert!(last_look(&plan).is_err());
    }

    #[test]
    fn what_hides_behind_a_link_is_not_touched_and_the_link_is_put_aside() {
        let around = tempfile::tempdir().unwrap();
        let top = around.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("other/.git")).unwrap();
        symlink(top.join("other"), top.join("work")).unwrap();
        let plan = plan(&top.join("work/.git"));
        assert!(last_look(&plan).is_err());
        sweep(&plan);
        assert!(top.join("other/.git").exists() && !top.join("work").exists());
        assert!(last_look(&plan).is_ok());
    }
}
