//! Looks that failed although there was an answer: memory or descriptors have run out, a disk does not read.
//!
//! What is not there, and what the caller may not see, needs no rule. What could not be looked at might: a plan that takes
//! one for the other hides less than it says. So the first such failure is kept, and ends the probe.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use rustix::io::Errno;

thread_local! {
    static FIRST: RefCell<Option<io::Error>> = const { RefCell::new(None) };
}

/// A lookup's result, as it is; a failure that is no answer is kept.
///
/// # Errors
/// Those that came in.
pub(super) fn heard<T>(path: &Path, looked: Result<T, Errno>) -> Result<T, Errno> {
    looked.inspect_err(|errno| failed(path, *errno))
}

/// As [`heard`], for the failure alone.
pub(super) fn failed(path: &Path, errno: Errno) {
    if errno == Errno::IO {
        keep(path, errno);
    }
    heard_of(path, errno);
}

/// As [`heard`] for files of procfs and sysfs: some drivers say `EIO` there where they have nothing to say.
pub(super) fn heard_of(path: &Path, errno: Errno) {
    if matches!(errno, Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::INTR | Errno::NOBUFS) {
        keep(path, errno);
    }
}

fn keep(path: &Path, errno: Errno) {
    let told = format!("`{}`: {}", path.display(), io::Error::from(errno));
    FIRST.with_borrow_mut(|first| {
        first.get_or_insert_with(|| io::Error::new(io::Error::from(errno).kind(), told)).kind()
    });
}

/// Forgets what was heard, before a probe.
pub(super) fn forget() {
    FIRST.take();
}

/// Whether everything that was looked for could be looked for.
///
/// # Errors
/// The first that could not.
pub(super) fn none() -> io::Result<()> {
    FIRST.take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_answer_is_kept_and_the_first_of_it_is_told() {
        let path = Path::new("/there");
        for answer in [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::ACCESS, Errno::PERM, Errno::NAMETOOLONG] {
            assert_eq!(heard::<()>(path, Err(answer)), Err(answer));
        }
        assert!(heard(path, Ok(())).is_ok() && none().is_ok());
        for errno in [Errno::MFILE, Errno::NOMEM] {
            assert_eq!(heard::<()>(path, Err(errno)), Err(errno));
        }
        assert_eq!(none().unwrap_err().to_string(), "`/there`: Too many open files (os error 24)");
        assert!(none().is_ok(), "it is told once");
        heard_of(path, Errno::IO);
        assert!(none().is_ok() && heard::<()>(path, Err(Errno::IO)).is_err() && none().is_err());
    }
}
