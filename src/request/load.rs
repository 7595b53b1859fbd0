//! TOML → [`Request`]. Unknown keys are refused with file and line.

mod gpu;
mod limits;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::baseline::{Baseline, Conflict, ConflictRule};
use super::codex::CodexError;
use super::near::with_what_was_meant;
use super::network::{NetworkRule, PortPair, Reach};
use super::openshell::Rejected;
use super::profiles::Profile;
use super::{
    Allow, Backend, Dialect, Git, Identity, Landlock, Mode, Net, Origin, Request, Said, Source, Tmp, Wall, file,
};
use crate::policy::paths::{Access, has_metacharacters};
use gpu::ClassValue;
pub(super) use gpu::GpuValue;
use limits::{LimitValue, LimitValues};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read configuration `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or says something that is not known.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There is no such profile.
    #[error("{by}: there is no profile `{name}`")]
    NoProfile {
        /// As it is written.
        name: String,
        /// Who named it.
        by: Origin,
    },
    /// It is no policy of that size.
    #[error("{}:1:1: the file is larger than {} MiB", path.display(), file::LARGEST >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is a policy of OpenShell that cannot be used.
    #[error(transparent)]
    OpenShell(#[from] Rejected),
    /// It is a JSON policy that cannot be used.
    #[error(transparent)]
    Codex(#[from] CodexError),
}

/// The file format: the words of the flags, nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    profile: Vec<Spanned<String>>,
    optional: Option<Spanned<OptionalValue>>,
    sandbox: Option<Spanned<Mode>>,
    read: Vec<Spanned<PathBuf>>,
    write: Vec<Spanned<PathBuf>>,
    modify: Vec<Spanned<PathBuf>>,
    deny: Vec<Spanned<PathBuf>>,
    paths: BTreeMap<Spanned<String>, Access>,
    device: Vec<Spanned<PathBuf>>,
    unix: Vec<Spanned<PathBuf>>,
    gpu: Option<Spanned<GpuValue>>,
    gpu_passthrough: Option<Spanned<bool>>,
    gpu_class: Option<Spanned<ClassValue>>,
    gpu_hide_others: Option<Spanned<bool>>,
    cdi_dirs: Vec<Spanned<PathBuf>>,
    net: Option<Spanned<Net>>,
    allow_host: Vec<Spanned<String>>,
    deny_host: Vec<Spanned<String>>,
    http_methods: Option<Spanned<Vec<String>>>,
    transparent: Option<Spanned<bool>>,
    publish: Vec<Spanned<PortValue>>,
    expose_host: Vec<Spanned<PortValue>>,
    no_unix: Option<Spanned<bool>>,
    git: Option<Spanned<Git>>,
    tmp: Option<Spanned<Tmp>>,
    backend: Option<Spanned<Backend>>,
    env: Vec<Spanned<String>>,
    env_clear: Option<Spanned<bool>>,
    proc: Option<Spanned<bool>>,
    memory: Option<Spanned<LimitValue>>,
    pids: Option<Spanned<LimitValue>>,
    cpus: Option<Spanned<LimitValue>>,
    open_files: Option<Spanned<LimitValue>>,
    file_size: Option<Spanned<LimitValue>>,
    tmp_size: Option<Spanned<LimitValue>>,
    idle_timeout: Option<Spanned<String>>,
    cgroup: Option<Spanned<PathBuf>>,
    timeout: Option<Spanned<String>>,
    allow: Vec<Spanned<Allow>>,
    landlock: Option<Spanned<Landlock>>,
    audit: Option<Spanned<bool>>,
    allow_unenforced: Option<Spanned<bool>>,
    complete: Option<Spanned<bool>>,
    workdir: Option<Spanned<bool>>,
    run_as_user: Option<Spanned<String>>,
    run_as_group: Option<Spanned<String>>,
    network: Vec<Spanned<NetworkRule>>,
    baseline: BaselineTable,
    features: Features,
}

/// `[baseline]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BaselineTable {
    keep: Vec<Spanned<String>>,
    conflicts: Vec<Spanned<ConflictTable>>,
    core: Option<Spanned<bool>>,
    allow_cli_relax: Option<Spanned<bool>>,
    allow_compat: Option<Spanned<bool>>,
}

/// `{ match = "/proc", sources = ["user"], mode = "keep", reason = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConflictTable {
    r#match: String,
    #[serde(default)]
    sources: Vec<Source>,
    mode: Conflict,
    reason: Option<String>,
}

/// `8080` or `"18080:8080"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PortValue {
    Number(i64),
    Text(String),
}

/// `optional = true`: every path of the file; or these.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "optional is true, false or a list of paths")]
enum OptionalValue {
    All(bool),
    These(Vec<PathBuf>),
}

/// `[features]`, as in Codex's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Features {
    use_legacy_landlock: Option<Spanned<bool>>,
}

/// Reads TOML. Relative paths are relative to `base`, `~/` is `home`.
///
/// # Errors
/// [`LoadError::Parse`].
pub fn parse(text: &str, path: &Path, base: &Path, home: Option<&Path>) -> Result<Request, LoadError> {
    Text::new(text, path, base, home).parse(text)
}

/// Reads a profile, as [`parse`] reads a file; its values remember its name.
///
/// # Errors
/// [`LoadError::Parse`].
pub(super) fn parse_profile(profile: &Profile, home: Option<&Path>) -> Result<Request, LoadError> {
    let text = Text::new(profile.text, Path::new(profile.name), Path::new("/"), home);
    Text { profile: Some(profile.name), ..text }.parse(profile.text)
}

struct Text<'a> {
    /// Where lines end, ascending: a file of ten thousand rules asks ten thousand times.
    newlines: Vec<usize>,
    path: &'a Path,
    base: &'a Path,
    home: Option<&'a Path>,
    /// The profile that it is, instead of a file.
    profile: Option<&'static str>,
}

impl<'a> Text<'a> {
    /// Relative paths are relative to `base`, `~/` is `home`.
    fn new(text: &str, path: &'a Path, base: &'a Path, home: Option<&'a Path>) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { newlines, path, base, home, profile: None }
    }
}

impl Text<'_> {
    fn parse(&self, text: &str) -> Result<Request, LoadError> {
        let file = toml::from_str(text)
            .map_err(|error| self.error(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        self.request(file)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.newlines.partition_point(|at| *at < span.start) + 1
    }

    fn error(&self, span: Range<usize>, message: String) -> LoadError {
        LoadError::Parse { path: self.path.to_owned(), line: self.line(&span), message: with_what_was_meant(message) }
    }

    fn said<T>(&self, value: Spanned<T>) -> Said<T> {
        let line = self.line(&value.span());
        let by = match self.profile {
            Some(name) => Origin::Profile { name, line },
            None => Origin::File { path: self.path.to_owned(), line },
        };
        Said::new(value.into_inner(), by)
    }

    fn all<T>(&self, values: Vec<Spanned<T>>) -> Vec<Said<T>> {
        values.into_iter().map(|value| self.said(value)).collect()
    }

    fn paths(&self, values: Vec<Spanned<PathBuf>>) -> Vec<Said<PathBuf>> {
        values.into_iter().map(|value| self.path(self.said(value))).collect()
    }

    fn globs(&self, values: Vec<Spanned<PathBuf>>) -> Vec<Said<PathBuf>> {
        let path = |said: Said<PathBuf>| Said::new(absolute_or_glob(&said.value, self.base, self.home), said.by);
        values.into_iter().map(|value| path(self.said(value))).collect()
    }

    fn path(&self, said: Said<PathBuf>) -> Said<PathBuf> {
        Said { value: absolute(&said.value, self.base, self.home), by: said.by }
    }

    fn request(&self, file: File) -> Result<Request, LoadError> {
        // What no line takes out is a warning of the compiler's: a field that is never read.
        let mut request = Request {
            profile: self.all(file.profile),
            sandbox: file.sandbox.map(|value| self.said(value)),
            read: self.paths(file.read),
            write: self.paths(file.write),
            modify: self.paths(file.modify),
            deny: self.globs(file.deny),
            device: self.all(file.device),
            unix: self.paths(file.unix),
            gpu: self.gpu(file.gpu, file.gpu_passthrough)?,
            gpu_options: self.gpu_options(file.gpu_class, file.gpu_hide_others, file.cdi_dirs),
            net: file.net.map(|value| self.said(value)),
            git: file.git.map(|value| self.said(value)),
            tmp: file.tmp.map(|value| self.said(value)),
            backend: file.backend.map(|value| self.said(value)).or(self.legacy_landlock(file.features)),
            env: self.all(file.env).into_iter().map(|said| Said::new(variable(said.value.into()), said.by)).collect(),
            env_clear: file.env_clear.map(|value| self.said(value)),
            proc: file.proc.map(|value| self.said(value)),
            limits: self.limits(LimitValues {
                memory: file.memory,
                pids: file.pids,
                cpus: file.cpus,
                open_files: file.open_files,
                file_size: file.file_size,
                tmp_size: file.tmp_size,
                timeout: file.timeout,
                idle_timeout: file.idle_timeout,
                cgroup: file.cgroup,
            })?,
            allow: self.all(file.allow),
            wall: Wall {
                landlock: file.landlock.map(|value| self.said(value)),
                audit: file.audit.map(|value| self.said(value)),
                watch: None,
            },
            dialect: if file.complete.is_some_and(Spanned::into_inner) {
                Dialect::OpenShell
            } else {
                Dialect::Ringfence
            },
            workdir: file.workdir.map(|value| self.said(value)),
            identity: self.identity(file.run_as_user, file.run_as_group),
            reach: Reach {
                rules: self.all(file.network),
                allow: self.all(file.allow_host),
                deny: self.all(file.deny_host),
                methods: file.http_methods.map(|value| self.said(value)),
                transparent: file.transparent.map(|value| self.said(value)),
                publish: self.ports(file.publish)?,
                expose: self.ports(file.expose_host)?,
                no_unix: file.no_unix.map(|value| self.said(value)),
                allow_unenforced: file.allow_unenforced.map(|value| self.said(value)),
                ..Reach::default()
            },
            baseline: self.baseline(file.baseline),
            ..Request::default()
        };
        self.levels(file.paths, &mut request);
        request.optional = file.optional.map(|value| self.optional(value, &request)).unwrap_or_default();
        Ok(request)
    }

    fn optional(&self, value: Spanned<OptionalValue>, request: &Request) -> Vec<Said<PathBuf>> {
        let Said { value, by } = self.said(value);
        match value {
            OptionalValue::All(true) => {
                [&request.read, &request.modify, &request.write].into_iter().flatten().cloned().collect()
            }
            OptionalValue::All(false) => Vec::new(),
            OptionalValue::These(paths) => {
                paths.into_iter().map(|path| self.path(Said::new(path, by.clone()))).collect()
            }
        }
    }

    fn ports(&self, values: Vec<Spanned<PortValue>>) -> Result<Vec<Said<PortPair>>, LoadError> {
        let pair = |value: Spanned<PortValue>| {
            let span = value.span();
            let said = self.said(value);
            let text = match said.value {
                PortValue::Number(number) => number.to_string(),
                PortValue::Text(text) => text,
            };
            Ok(Said::new(text.parse().map_err(|message| self.error(span, message))?, said.by))
        };
        values.into_iter().map(pair).collect()
    }

    fn identity(&self, user: Option<Spanned<String>>, group: Option<Spanned<String>>) -> Identity {
        Identity { user: user.map(|value| self.said(value)), group: group.map(|value| self.said(value)) }
    }

    /// `[paths]`: the same rules by their level.
    fn levels(&self, paths: BTreeMap<Spanned<String>, Access>, request: &mut Request) {
        for (path, access) in paths {
            let said = self.said(path);
            let path = Said::new(PathBuf::from(said.value), said.by);
            let path = match access {
                Access::None => Said::new(absolute_or_glob(&path.value, self.base, self.home), path.by),
                Access::Read | Access::Modify | Access::Write => self.path(path),
            };
            match access {
                Access::None => request.deny.push(path),
                Access::Read => request.read.push(path),
                Access::Modify => request.modify.push(path),
                Access::Write => request.write.push(path),
            }
        }
    }

    fn baseline(&self, table: BaselineTable) -> Baseline {
        let BaselineTable { keep, conflicts, core, allow_cli_relax, allow_compat } = table;
        let rule = |said: Said<ConflictTable>| {
            let ConflictTable { r#match, sources, mode, reason } = said.value;
            Said::new(ConflictRule { pattern: r#match, sources, mode, reason }, said.by)
        };
        let said = |value: Option<Spanned<bool>>| value.map(|value| self.said(value));
        Baseline {
            keep: self.all(keep),
            conflicts: self.all(conflicts).into_iter().map(rule).collect(),
            core: said(core),
            allow_cli_relax: said(allow_cli_relax),
            allow_compat: said(allow_compat),
            ..Baseline::default()
        }
    }

    fn legacy_landlock(&self, features: Features) -> Option<Said<Backend>> {
        let said = self.said(features.use_legacy_landlock?);
        said.value.then(|| Said::new(Backend::Landlock, said.by))
    }

    fn timeout(&self, value: Spanned<String>) -> Result<Said<Duration>, LoadError> {
        let span = value.span();
        let said = self.said(value);
        let duration = duration(&said.value).map_err(|message| self.error(span, message))?;
        Ok(Said::new(duration, said.by))
    }
}

/// As [`absolute`], but a relative glob stays relative: it is searched for in the workspace, whoever wrote it.
#[must_use]
pub fn absolute_or_glob(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    let relative = !path.is_absolute() && !path.starts_with("~");
    if relative && has_metacharacters(path.as_os_str()) { path.to_owned() } else { absolute(path, base, home) }
}

/// Makes a path absolute: `~/` is the home directory, everything else relative is below `base`.
#[must_use]
pub fn absolute(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}

/// Splits `K=V` and `K`.
#[must_use]
pub fn variable(text: OsString) -> (OsString, Option<OsString>) {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            OsString::from_vec(bytes.get(..at).unwrap_or_default().to_vec()),
            Some(OsString::from_vec(bytes.get(at + 1..).unwrap_or_default().to_vec())),
        ),
        None => (text, None),
    }
}

/// Reads `90`, `90s`, `1.5m`, `2h`, `250ms` as a duration; a bare number counts seconds.
///
/// # Errors
/// What is wrong, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number_ends = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let scale = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{text}` is not a duration such as 90s, 1.5m, 2h or 250ms")),
    };
    let seconds: f64 = number.trim().parse().map_err(|_| format!("`{text}` is not a duration such as 90s or 2h"))?;
    match Duration::try_from_secs_f64(seconds * scale) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("`{text}` is not a duration above zero")),
    }
}

#[cfg(test)]
mod tests;
