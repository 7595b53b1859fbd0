//! Request → Policy: defaults, normal paths, contradictions. The only door into [`Policy`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::Policy;
use super::baseline::Settings;
use super::env::EnvPolicy;
use super::error::PolicyError;
use super::gpu::{Classes, GpuWish};
use super::limits;
use super::paths::{Access, Glob, Rule, has_metacharacters, normal};
use super::reach;
use crate::request::network::Unenforced;
use crate::request::{Backend, Dialect, Git, Mode, Net, Origin, Request, Said, Tmp};

impl Policy {
    /// Checks a request, all of it: every contradiction is reported, not only the first.
    ///
    /// `cwd` is the absolute path of the caller's working directory, the workspace unless `--cd` names another.
    ///
    /// # Errors
    /// Every [`PolicyError`] found.
    pub fn new(request: Request, cwd: &Path) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mode = request.sandbox.clone().unwrap_or(said(Mode::WorkspaceWrite));
        refuse_restricted_full_access(&request, mode.value, &mut errors);
        let workspace = normal(&request.cd.clone().unwrap_or_else(|| cwd.to_owned()));
        let confined = mode.value != Mode::FullAccess;
        let start_in = request.start_in.as_deref().map_or_else(|| workspace.clone(), normal);
        let (mut rules, globs) = rules(&request, mode.value, &workspace, &mut errors);
        let gpu = gpu_wish(&request, mode.value, &mut errors);
        let gpu_class = gpu_class(&request, mode.value, &mut errors);
        let cdi_dirs = normal_paths(&request.gpu_options.cdi_dirs);
        let mps = gpu_class.value.mps.as_ref().filter(|_| gpu.value != GpuWish::Off);
        let socket = mps.map(|path| Said::new(path.join("control"), gpu_class.by.clone()));
        rules.extend(mps.map(|path| written(path, &gpu_class.by)));
        check_devices(&request.device, &mut errors);
        check_env(&request.env, &mut errors);
        check_command(&request, &mut errors);
        let baseline = settings(&request, &mut errors);
        errors.extend(no_grants(&request, &baseline, &rules));
        refuse_unenforced(&request, &mut errors);
        errors.extend(limits::faults(&request, mode.value));
        let net = reach::net(&request, mode.value);
        let reach = reach::reach(&request, &net, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            baseline,
            network: request.reach.rules,
            unenforced: request.reach.unenforced,
            allow_unenforced: request.reach.allow_unenforced.is_some_and(|said| said.value),
            identity: request.identity,
            source: request.provenance.policy.unwrap_or_default(),
            sources: request.provenance.files,
            mode: mode.value,
            dialect: request.dialect,
            workspace,
            start_in,
            rules,
            optional: normal_paths(&request.optional),
            globs,
            devices: request.device,
            unix: request.unix.into_iter().chain(socket).collect(),
            gpu,
            gpu_class,
            cdi_dirs,
            gpu_hide_others: request.gpu_options.hide_others.filter(|said| said.value),
            net,
            reach,
            git: request.git.unwrap_or(said(Git::Protect)),
            tmp: request.tmp.unwrap_or(said(if confined { Tmp::Private } else { Tmp::Host })),
            proc: request.proc.unwrap_or(said(true)),
            pid_namespace: request.pid_namespace.unwrap_or(said(true)),
            backend: request.backend.unwrap_or(said(Backend::Auto)),
            env: EnvPolicy {
                clear: request.env_clear.is_some_and(|said| said.value),
                said: request.env,
                filter: confined && request.dialect.hides_secrets(),
            },
            limits: request.limits,
            allow: request.allow,
            landlock: request.wall.landlock,
            audit: request.wall.audit.filter(|said| said.value),
            watch: request.wall.watch.filter(|_| confined),
            pass_fd: request.pass_fd,
            files: request.files,
            notes: request.notes,
            command: request.command,
        })
    }
}

fn normal_paths(paths: &[Said<PathBuf>]) -> Vec<Said<PathBuf>> {
    paths.iter().map(|said| Said::new(normal(&said.value), said.by.clone())).collect()
}

fn check_command(request: &Request, errors: &mut Vec<PolicyError>) {
    errors.extend(request.pass_fd.iter().filter(|fd| **fd <= 2).map(|fd| PolicyError::PassFd(*fd)));
    let with_nul = request.command.iter().position(|word| word.as_bytes().contains(&0));
    errors.extend(with_nul.map(PolicyError::NulInCommand));
    errors.extend(unseen(request));
}

fn settings(request: &Request, errors: &mut Vec<PolicyError>) -> Settings {
    let source = |by: &Origin| super::source_of(&request.provenance.files, by);
    Settings::new(request.baseline.clone(), &source).unwrap_or_else(|wrong| {
        errors.extend(wrong.into_iter().map(PolicyError::Baseline));
        Settings::default()
    })
}

/// A complete policy must show something.
fn no_grants(request: &Request, baseline: &Settings, rules: &[Rule]) -> Option<PolicyError> {
    let grants = baseline.core || rules.iter().any(|rule| rule.access > Access::None);
    (request.dialect == Dialect::OpenShell && !grants).then_some(PolicyError::NoGrants)
}

/// Init reads in `/proc` what calls name.
fn unseen(request: &Request) -> Option<PolicyError> {
    let proc = request.proc.as_ref().is_none_or(|said| said.value);
    let by = request.wall.watch.as_ref().filter(|_| !proc).map(|said| said.by.clone())?;
    Some(PolicyError::Unseen { by })
}

/// What cannot be enforced is refused, unless the user lets it be left out.
fn refuse_unenforced(request: &Request, errors: &mut Vec<PolicyError>) {
    if !request.reach.allow_unenforced.as_ref().is_some_and(|said| said.value) {
        errors.extend(unenforced(request));
    }
}

/// Every part of a request that nothing here enforces, as an error.
pub fn unenforced(request: &Request) -> impl Iterator<Item = PolicyError> {
    let refused = |Said { value, by }: &Said<Unenforced>| PolicyError::Unenforced {
        code: value.code,
        what: value.what.clone(),
        by: by.clone(),
    };
    request.reach.unenforced.iter().map(refused)
}

pub(super) fn said<T>(value: T) -> Said<T> {
    Said::new(value, Origin::Preset("default"))
}

fn preset_rules(dialect: Dialect, mode: Mode, workspace: &Path) -> Vec<Rule> {
    let because = Origin::Preset(mode.name());
    let rule = |path: &Path, access| Rule { path: path.to_owned(), access, because: because.clone() };
    match mode {
        // The rules are complete.
        Mode::ReadOnly | Mode::WorkspaceWrite if dialect.is_complete() => Vec::new(),
        Mode::ReadOnly => vec![rule(Path::new("/"), Access::Read)],
        Mode::WorkspaceWrite => vec![rule(Path::new("/"), Access::Read), rule(workspace, Access::Write)],
        Mode::FullAccess => vec![rule(Path::new("/"), Access::Write)],
    }
}

fn refuse_restricted_full_access(request: &Request, mode: Mode, errors: &mut Vec<PolicyError>) {
    if mode != Mode::FullAccess {
        return;
    }
    let narrowed = [&request.read, &request.modify, &request.deny];
    let paths = narrowed.into_iter().flatten().map(|said| &said.by);
    let net = request.net.iter().filter(|net| net.value != Net::Host).map(|net| &net.by);
    let tmp = request.tmp.iter().filter(|tmp| tmp.value == Tmp::Private).map(|tmp| &tmp.by);
    let gpu =
        request.gpu.iter().filter(|gpu| !matches!(gpu.value.as_str(), "auto" | "all" | "true")).map(|gpu| &gpu.by);
    let others = request.gpu_options.hide_others.iter().filter(|hide| hide.value).map(|hide| &hide.by);
    errors.extend(
        paths
            .chain(net)
            .chain(tmp)
            .chain(gpu)
            .chain(others)
            .map(|by| PolicyError::FullAccessRestricted { by: by.clone() }),
    );
}

fn path_rules(
    request: &Request,
    workspace: &Path,
    rules: &mut Vec<Rule>,
    globs: &mut Vec<Glob>,
    errors: &mut Vec<PolicyError>,
) {
    let plain = [(&request.read, Access::Read), (&request.modify, Access::Modify), (&request.write, Access::Write)];
    for (list, access) in plain {
        for path in list {
            match absolute("path", path) {
                Ok(normal) => rules.push(Rule { path: normal, access, because: path.by.clone() }),
                Err(error) => errors.push(error),
            }
        }
    }
    for path in &request.deny {
        if !has_metacharacters(path.value.as_os_str()) {
            match absolute("path", path) {
                Ok(normal) => rules.push(Rule { path: normal, access: Access::None, because: path.by.clone() }),
                Err(error) => errors.push(error),
            }
            continue;
        }
        match glob(path, workspace, request.glob_depth) {
            Ok(glob) => globs.push(glob),
            Err(error) => errors.push(error),
        }
    }
}

fn absolute(what: &'static str, path: &Said<PathBuf>) -> Result<PathBuf, PolicyError> {
    if path.value.as_os_str().as_bytes().contains(&0) {
        return Err(PolicyError::NulInPath { path: path.value.clone(), by: path.by.clone() });
    }
    if path.value.is_absolute() {
        Ok(normal(&path.value))
    } else {
        Err(PolicyError::NotAbsolute { what, path: path.value.clone(), by: path.by.clone() })
    }
}

/// Splits a deny glob into the directory to walk and the pattern, both absolute.
fn glob(
    said: &Said<PathBuf>,
    workspace: &Path,
    max_depth: Option<std::num::NonZeroUsize>,
) -> Result<Glob, PolicyError> {
    let refuse = |why: &str| PolicyError::Glob {
        glob: said.value.display().to_string(),
        by: said.by.clone(),
        why: why.to_owned(),
    };
    let Some(written) = said.value.to_str() else {
        return Err(refuse("is not UTF-8"));
    };
    // A relative glob starts in the workspace, whose own name may hold metacharacters and is no part of the pattern.
    let mut base = if said.value.is_absolute() { PathBuf::from("/") } else { workspace.to_owned() };
    let mut parts = said.value.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut rest = Vec::new();
    for part in parts.by_ref() {
        if has_metacharacters(part.as_os_str()) {
            rest.push(part);
            break;
        }
        base.push(part);
    }
    rest.extend(parts);
    if rest.contains(&Component::ParentDir) {
        return Err(refuse("has `..` behind a metacharacter"));
    }
    let base = normal(&base);
    if base == Path::new("/") {
        return Err(refuse("would have to be searched for on the whole machine"));
    }
    let Some(base_text) = base.to_str() else {
        return Err(refuse("starts in a directory whose name is not UTF-8"));
    };
    let rest: PathBuf = rest.into_iter().collect();
    let pattern = &format!("{}/{}", globset::escape(base_text), rest.display());
    super::globs::compile(pattern).map_err(|why| refuse(&why))?;
    Ok(Glob { pattern: pattern.to_owned(), base, written: written.to_owned(), max_depth, because: said.by.clone() })
}

fn gpu_wish(request: &Request, mode: Mode, errors: &mut Vec<PolicyError>) -> Said<GpuWish> {
    let default = if mode == Mode::WorkspaceWrite { GpuWish::Auto } else { GpuWish::Off };
    let Some(text) = &request.gpu else {
        return Said::new(default, Origin::Preset(mode.name()));
    };
    match text.value.parse() {
        Ok(wish) => Said::new(wish, text.by.clone()),
        Err(source) => {
            errors.push(PolicyError::Gpu { source, by: text.by.clone() });
            Said::new(GpuWish::Off, text.by.clone())
        }
    }
}

fn written(path: &Path, by: &Origin) -> Rule {
    Rule { path: path.to_owned(), access: Access::Write, because: by.clone() }
}

/// The rules for paths, those of the mode among them, and the deny globs.
fn rules(request: &Request, mode: Mode, workspace: &Path, errors: &mut Vec<PolicyError>) -> (Vec<Rule>, Vec<Glob>) {
    let mut rules = preset_rules(request.dialect, mode, workspace);
    let mut globs = Vec::new();
    let workdir = request.workdir.as_ref().filter(|said| said.value);
    rules.extend(workdir.map(|said| written(workspace, &said.by)));
    path_rules(request, workspace, &mut rules, &mut globs, errors);
    let is_root = |rule: &Rule| rule.path == Path::new("/");
    if rules.iter().any(|rule| is_root(rule) && rule.access.writes() && rule.because.is_explicit()) {
        // On purpose: what the mode says of the machine gives way.
        rules.retain(|rule| !is_root(rule) || rule.because.is_explicit());
    }
    if mode != Mode::FullAccess && !rules.iter().any(is_root) {
        let because = Origin::Baseline("no rule of the policy names it");
        rules.push(Rule { path: "/".into(), access: Access::None, because });
    }
    (rules, globs)
}

fn gpu_class(request: &Request, mode: Mode, errors: &mut Vec<PolicyError>) -> Said<Classes> {
    let Some(text) = &request.gpu_options.class else {
        return Said::new(Classes::default(), Origin::Preset(mode.name()));
    };
    let classes = text.value.parse().unwrap_or_else(|source| {
        errors.push(PolicyError::GpuClass { source, by: text.by.clone() });
        Classes::default()
    });
    Said::new(classes, text.by.clone())
}

fn check_devices(devices: &[Said<PathBuf>], errors: &mut Vec<PolicyError>) {
    for device in devices {
        match absolute("device", device) {
            Ok(path) if path.starts_with("/dev") && path != Path::new("/dev") => {}
            Ok(path) => errors.push(PolicyError::DeviceElsewhere { path, by: device.by.clone() }),
            Err(error) => errors.push(error),
        }
    }
}

fn check_env(said: &[Said<(OsString, Option<OsString>)>], errors: &mut Vec<PolicyError>) {
    let bad = |name: &OsStr| name.is_empty() || name.as_bytes().iter().any(|byte| matches!(byte, b'=' | 0));
    for variable in said.iter().filter(|variable| bad(&variable.value.0)) {
        let name = variable.value.0.to_string_lossy().into_owned();
        errors.push(PolicyError::EnvName { name, by: variable.by.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(written: &str) -> Result<(String, PathBuf), String> {
        let said = Said::new(PathBuf::from(written), Origin::Flag("--deny"));
        match glob(&said, Path::new("/w/we[i]rd"), None) {
            Ok(glob) => Ok((glob.pattern, glob.base)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn globs_lose_their_dots_and_keep_the_workspace_as_it_is() {
        let table = [
            ("**/.env", "/w/we[[]i[]]rd/**/.env", "/w/we[i]rd"),
            ("./**/.env", "/w/we[[]i[]]rd/**/.env", "/w/we[i]rd"),
            ("../other/*.pem", "/w/other/*.pem", "/w/other"),
            ("/a/./b//*.pem", "/a/b/*.pem", "/a/b"),
            ("/a/b/../*.pem", "/a/*.pem", "/a"),
        ];
        for (written, pattern, base) in table {
            assert_eq!(expand(written), Ok((pattern.to_owned(), base.into())), "{written}");
        }
        for written in ["/*.pem", "/**/x", "../../../*", "a/*/../b", "[z-a]"] {
            assert!(expand(written).is_err(), "{written}");
        }
    }
}
