//! A command line of bubblewrap → [`Request`] in our own words.
//!
//! Its operations are carried out one after another, and a later one covers what an earlier one put there; here rules do
//! not have an order, so what is covered is taken out. What our words cannot say is refused, all of it at once.

mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::options::{Known, TABLE, What};
use super::{Mode, Net, Origin, Request, Said, Tmp};
use crate::policy::paths::{Access, normal};

/// Something on the command line that our words cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which argument behind `bwrap`, counted from 1.
    pub argument: usize,
    /// As it is written, with its values.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// One thing to do about it.
    pub cure: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bwrap, argument {}: `{}` {}", self.argument, self.text, self.message)
    }
}

/// Reads a command line: `bwrap --ro-bind / / … CMD`, with the word `bwrap` or without. Relative paths are relative to
/// `cwd`.
///
/// # Errors
/// Every [`Fault`], in the order of the line; there is at least one.
pub fn parse(words: &[OsString], cwd: &Path) -> Result<Request, Vec<Fault>> {
    let named = words.first().is_some_and(|word| Path::new(word).file_name() == Some(OsStr::new("bwrap")));
    let words = words.get(usize::from(named)..).unwrap_or_default();
    let mut line =
        Line { cwd, view: View::default(), request: Request::default(), faults: Vec::new(), told: BTreeMap::new() };
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.as_bytes().starts_with(b"-")) {
        if word == "--" {
            at += 1;
            break;
        }
        at += line.option(at + 1, word, words.get(at + 1..).unwrap_or_default());
    }
    line.finish(words.get(at..).unwrap_or_default())
}

/// What stands where, in the order of the line.
#[derive(Debug, Default)]
struct View {
    rules: BTreeMap<PathBuf, (Access, bool, Origin)>,
    /// Whether there is a private `/tmp`: bubblewrap's is empty otherwise, unless something is bound there.
    proc: bool,
    net: Option<Origin>,
    share_net: bool,
}

struct Line<'a> {
    cwd: &'a Path,
    view: View,
    request: Request,
    faults: Vec<Fault>,
    /// Options without a meaning here, by why.
    told: BTreeMap<&'static str, Vec<String>>,
}

fn text(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

impl Line<'_> {
    /// Reads an option; the result is how many words it took.
    fn option(&mut self, argument: usize, word: &OsStr, rest: &[OsString]) -> usize {
        let Some(option) = TABLE.iter().find(|option| word == option.name) else {
            self.refuse(argument, &[word.to_owned()], "is no option that is known", Some("see bwrap(1)".to_owned()));
            return 1;
        };
        let Some(values) = rest.get(..option.values) else {
            self.refuse(argument, &[word.to_owned()], "wants more words behind it", None);
            return 1 + rest.len();
        };
        let by = Origin::Json { source: "bwrap".to_owned(), at: format!("argument {argument}") };
        let whole: Vec<_> = std::iter::once(word.to_owned()).chain(values.iter().cloned()).collect();
        if let Err((message, cure)) = self.mean(option, values, by) {
            self.refuse(argument, &whole, message, cure);
        }
        1 + option.values
    }

    fn refuse(&mut self, argument: usize, words: &[OsString], message: impl Into<String>, cure: Option<String>) {
        self.faults.push(Fault { argument, text: text(words), message: message.into(), cure });
    }

    fn mean(&mut self, option: &Known, values: &[OsString], by: Origin) -> Result<(), (String, Option<String>)> {
        let value = |index: usize| values.get(index).cloned().unwrap_or_default();
        match option.what {
            What::Bind { access, optional } => return self.bind((&value(0), &value(1)), access, optional, by),
            What::Tmpfs => self.hide(self.path(&value(0)), by),
            What::Dev | What::Proc => return self.new_kernel_directory(option, &self.path(&value(0))),
            What::ReadOnly => {
                let path = self.path(&value(0));
                if let Some((access, ..)) = self.view.rules.get_mut(&path) {
                    *access = (*access).min(Access::Read);
                }
            }
            What::Link => return self.link(&self.path(&value(1))),
            What::NoNet => self.view.net = Some(by),
            What::Net => self.view.share_net = true,
            What::Set => self.request.env.push(Said::new((value(0), Some(value(1))), by)),
            What::Clear => {
                self.request.env.clear();
                self.request.env_clear = Some(Said::new(true, by));
            }
            What::Unset => return self.unset(&value(0)),
            What::Nothing(why) => {
                let mut words = vec![OsString::from(option.name)];
                words.extend(values.iter().cloned());
                self.told.entry(why).or_default().push(text(&words));
            }
            What::Inexpressible(message, cure) => {
                return Err((message.to_owned(), (!cure.is_empty()).then(|| cure.to_owned())));
            }
        }
        Ok(())
    }

    fn path(&self, word: &OsStr) -> PathBuf {
        normal(&self.cwd.join(word))
    }

    /// What is bound covers all that was put there and below before.
    fn cover(&mut self, path: &Path) {
        self.view.rules.retain(|known, _| !known.starts_with(path));
    }

    fn bind(
        &mut self,
        (source, target): (&OsStr, &OsStr),
        access: Access,
        optional: bool,
        by: Origin,
    ) -> Result<(), (String, Option<String>)> {
        let (source, target) = (self.path(source), self.path(target));
        if source != target {
            let cure = format!("bind it at its own place: {0} {0}", source.display());
            return Err(("shows a path at another place, which there is no word for".to_owned(), Some(cure)));
        }
        if target == Path::new("/dev") {
            let cure = "say --dev /dev, and name the nodes that are needed: --device /dev/…".to_owned();
            return Err(("would show every device".to_owned(), Some(cure)));
        }
        self.cover(&target);
        self.view.rules.insert(target, (access, optional, by));
        Ok(())
    }

    /// An empty directory in the place of what is there: private where ours is too, hidden elsewhere.
    fn hide(&mut self, path: PathBuf, by: Origin) {
        self.cover(&path);
        if ["/tmp", "/run", "/dev/shm"].iter().any(|private| path == Path::new(private)) {
            return;
        }
        let words = format!("--tmpfs {}", path.display());
        self.told.entry("what is there is hidden, and nothing can be written in its place").or_default().push(words);
        self.view.rules.insert(path, (Access::None, false, by));
    }

    fn new_kernel_directory(&mut self, option: &Known, path: &Path) -> Result<(), (String, Option<String>)> {
        let usual = if option.what == What::Dev { "/dev" } else { "/proc" };
        if path != Path::new(usual) {
            return Err((format!("makes one elsewhere than at {usual}"), Some(format!("say {} {usual}", option.name))));
        }
        self.cover(path);
        self.view.proc |= option.what == What::Proc;
        Ok(())
    }

    /// The links of a merged `/usr` are made where the root is narrowed.
    fn link(&self, path: &Path) -> Result<(), (String, Option<String>)> {
        if options::ROOT_LINKS.iter().any(|known| path == Path::new(known)) {
            return Ok(());
        }
        Err((
            "makes a link, which there is no word for".to_owned(),
            Some("make it in a directory that is bound".to_owned()),
        ))
    }

    fn unset(&mut self, name: &OsStr) -> Result<(), (String, Option<String>)> {
        let cleared = self.request.env_clear.is_some();
        let before = self.request.env.len();
        self.request.env.retain(|said| said.value.0 != name);
        if cleared || self.request.env.len() < before {
            return Ok(());
        }
        let cure = format!("take it away before: env -u {} ringfence run …", name.display());
        Err(("takes a single variable away, which there is no word for".to_owned(), Some(cure)))
    }

    /// The request, once the line is read.
    fn finish(mut self, command: &[OsString]) -> Result<Request, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        let whole = |said: &str| Origin::Json { source: "bwrap".to_owned(), at: said.to_owned() };
        let request = &mut self.request;
        request.sandbox = Some(Said::new(Mode::ReadOnly, whole("the whole line")));
        match self.view.rules.remove(Path::new("/")) {
            Some((Access::Read, ..)) => {}
            Some((Access::Write | Access::Modify, _, by)) => request.write.push(Said::new("/".into(), by)),
            Some((Access::None, _, by)) => request.deny.push(Said::new("/".into(), by)),
            None => request.deny.push(Said::new("/".into(), whole("the root is empty where nothing is bound"))),
        }
        if let Some((_, _, by)) = self.view.rules.get(Path::new("/tmp")).filter(|(access, ..)| access.writes()).cloned()
        {
            self.view.rules.remove(Path::new("/tmp"));
            request.tmp = Some(Said::new(Tmp::Host, by));
        }
        for (path, (access, optional, by)) in self.view.rules {
            let device = path.starts_with("/dev") && path != Path::new("/dev/shm");
            let said = Said::new(path, by);
            if device && options::GPU_NODES.iter().any(|node| said.value.to_string_lossy().starts_with(node)) {
                request.gpu.get_or_insert(Said::new("auto".to_owned(), said.by));
                continue;
            }
            request.optional.extend((optional && !device).then(|| said.clone()));
            match access {
                _ if device => request.device.push(said),
                Access::None => request.deny.push(said),
                Access::Read => request.read.push(said),
                Access::Modify | Access::Write => request.write.push(said),
            }
        }
        request.net = Some(match self.view.net.filter(|_| !self.view.share_net) {
            Some(by) => Said::new(Net::None, by),
            None => Said::new(Net::Host, whole("no --unshare-net")),
        });
        if !self.view.proc {
            request.proc = Some(Said::new(false, whole("no --proc")));
        }
        request.notes = self.told.into_iter().map(|(why, options)| format!("{}: {why}", options.join(", "))).collect();
        request.command = command.to_vec();
        Ok(self.request)
    }
}
