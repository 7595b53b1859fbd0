//! The control group of a sandbox: made before its first process, which enters it, and removed after its last.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{MAKE_GROUP, StepError};
use crate::plan::Plan;
use crate::plan::limits::Controller;
use crate::plan::limits::{Counter, Group as Planned, Setting};

/// How the name of each such group begins; the process that made it follows.
const PREFIX: &str = "ringfence-";

/// How long processes that are ending may keep a group from being removed.
const PATIENCE: Duration = Duration::from_secs(2);

/// The groups of a sandbox that stand. They are removed with this, by the process that made them: its children have
/// copies.
#[derive(Debug)]
pub struct Groups {
    made: Vec<Made>,
    maker: rustix::process::Pid,
}

#[derive(Debug)]
struct Made {
    directory: PathBuf,
    /// Who writes 0 to it enters the group: what the kernel asks for is asked of who opened it.
    processes: File,
    counters: Vec<(Controller, &'static str, File)>,
}

impl Groups {
    /// Makes them and sets their limits. Nobody is in them yet.
    ///
    /// # Errors
    /// The file that could not be written. Nothing is left then.
    pub fn make(plan: &Plan) -> Result<Self, StepError> {
        let mut groups = Self { made: Vec::new(), maker: rustix::process::getpid() };
        for planned in &plan.limits.groups {
            groups.add(planned)?;
        }
        Ok(groups)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    fn add(&mut self, planned: &Planned) -> Result<(), StepError> {
        let Planned { home, limits: _, switch_on, settings, counters } = planned;
        if !switch_on.is_empty() {
            write(&home.join("cgroup.subtree_control"), switch_on)
                .map_err(|error| StepError::new(MAKE_GROUP, Some(home), error))?;
        }
        let directory = home.join(format!("{PREFIX}{}", self.maker.as_raw_nonzero()));
        let made = fs::create_dir(&directory).or_else(|error| {
            // Of another process that had this number and was killed. One in use cannot be removed.
            if error.kind() == ErrorKind::AlreadyExists && fs::remove_dir(&directory).is_ok() {
                return fs::create_dir(&directory);
            }
            Err(error)
        });
        made.map_err(|error| StepError::new(MAKE_GROUP, Some(home), error))?;
        match fill(&directory, settings, counters) {
            Ok((processes, counters)) => {
                self.made.push(Made { directory, processes, counters });
                Ok(())
            }
            Err(error) => {
                crate::sys::ignore(fs::remove_dir(&directory));
                Err(error)
            }
        }
    }

    /// Lets the calling process enter them, and with it all that it starts.
    ///
    /// # Errors
    /// As write(2) to `cgroup.procs`.
    pub fn enter(&self) -> Result<(), StepError> {
        for Made { directory, processes, .. } in &self.made {
            (&mut &*processes)
                .write_all(b"0\n")
                .map_err(|error| StepError::new("enter the control group", Some(directory), error))?;
        }
        Ok(())
    }

    /// The limits that were hit, and how often.
    pub fn hits(&self) -> Vec<(Controller, u64)> {
        let counters = self.made.iter().flat_map(|made| &made.counters);
        counters
            .filter_map(|(of, word, file)| Some((*of, count(file, word)?)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Removes them once nobody is in them any more. What cannot be removed is told by `ringfence doctor`.
    pub fn remove(&self) {
        let deadline = Instant::now() + PATIENCE;
        for Made { directory, .. } in &self.made {
            while fs::remove_dir(directory).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        if self.maker == rustix::process::getpid() {
            self.remove();
        }
    }
}

/// Whether a path is such a group whose maker is gone, and that nobody is in.
#[must_use]
pub fn is_abandoned(path: &Path) -> bool {
    let maker = path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.parse::<u32>().ok());
    let is_gone = |maker| !Path::new("/proc").join(u32::to_string(&maker)).exists();
    let is_empty = || fs::read(path.join("cgroup.procs")).is_ok_and(|list| list.is_empty());
    maker.is_some_and(is_gone) && is_empty()
}

/// Removes a group that is left; false when it is none.
///
/// # Errors
/// As rmdir(2).
pub fn reclaim(path: &Path) -> Result<bool, rustix::io::Errno> {
    if is_abandoned(path) { rustix::fs::rmdir(path).map(|()| true) } else { Ok(false) }
}

type Filled = (File, Vec<(Controller, &'static str, File)>);

fn fill(directory: &Path, settings: &[Setting], counters: &[Counter]) -> Result<Filled, StepError> {
    for Setting { file, value, may_miss } in settings {
        let path = directory.join(file);
        match write(&path, value) {
            Err(error) if *may_miss && error.kind() == ErrorKind::NotFound => {}
            written => written.map_err(|error| StepError::new("set the limit", Some(&path), error))?,
        }
    }
    let open = |name: &str, how: &OpenOptions| {
        let path = directory.join(name);
        how.open(&path).map_err(|error| StepError::new("open", Some(&path), error))
    };
    let processes = open("cgroup.procs", OpenOptions::new().write(true))?;
    let counter =
        |counter: &Counter| Ok((counter.of, counter.word, open(counter.file, OpenOptions::new().read(true))?));
    let counters = counters.iter().map(counter).collect::<Result<_, StepError>>()?;
    Ok((processes, counters))
}

/// The whole text at once, as these files want it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The number behind a word that begins a line.
fn count(mut file: &File, word: &str) -> Option<u64> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}
