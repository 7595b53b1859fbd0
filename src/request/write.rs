//! [`Request`] → TOML: the same policy in our own words.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::baseline::{Baseline, ConflictRule};
use super::limits::Limits;
use super::network::{NetworkRule, PortPair};
use super::{Dialect, Identity, Request, Said};

/// What has no words in TOML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A policy of Codex: what it leaves open is filled in another way.
    #[error("a policy of Codex says what our own format cannot: use it as it is, with --config")]
    Codex,
    /// A path or a variable that is no text.
    #[error("`{0}` is not UTF-8, and TOML is")]
    NotText(String),
    /// As the library says it.
    #[error("{0}")]
    Toml(#[from] toml::ser::Error),
}

/// The keys of a file, in the order in which they are written.
#[derive(Debug, Default, Serialize)]
struct File {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<String>,
    complete: Option<bool>,
    workdir: Option<bool>,
    sandbox: Option<super::Mode>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    read: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modify: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    write: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    optional: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    device: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unix: Vec<String>,
    gpu: Option<String>,
    gpu_class: Option<String>,
    gpu_hide_others: Option<bool>,
    net: Option<super::Net>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_host: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny_host: Vec<String>,
    http_methods: Option<Vec<String>>,
    transparent: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expose_host: Vec<String>,
    no_unix: Option<bool>,
    git: Option<super::Git>,
    tmp: Option<super::Tmp>,
    backend: Option<super::Backend>,
    landlock: Option<super::Landlock>,
    audit: Option<bool>,
    allow_unenforced: Option<bool>,
    run_as_user: Option<String>,
    run_as_group: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    env_clear: Option<bool>,
    proc: Option<bool>,
    memory: Option<String>,
    pids: Option<String>,
    cpus: Option<String>,
    open_files: Option<String>,
    file_size: Option<String>,
    tmp_size: Option<String>,
    idle_timeout: Option<String>,
    cgroup: Option<String>,
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<super::Allow>,
    baseline: Option<BaselineTable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    network: Vec<NetworkRule>,
}

#[derive(Debug, Serialize)]
struct BaselineTable {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keep: Vec<String>,
    core: Option<bool>,
    allow_cli_relax: Option<bool>,
    allow_compat: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictTable>,
}

#[derive(Debug, Serialize)]
struct ConflictTable {
    r#match: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<super::Source>,
    mode: super::baseline::Conflict,
    reason: Option<String>,
}

/// Writes the policy of a request. `workspace` is what `workdir` stands for.
///
/// # Errors
/// [`WriteError`].
pub fn toml(request: &Request, workspace: &Path) -> Result<String, WriteError> {
    if request.dialect == Dialect::Codex {
        return Err(WriteError::Codex);
    }
    let complete = (request.dialect == Dialect::OpenShell).then_some(true);
    let (here, write): (Vec<_>, Vec<_>) =
        request.write.iter().partition(|said| complete.is_some() && said.value == workspace);
    let workdir = request.workdir.as_ref().map(|said| said.value).or((!here.is_empty()).then_some(true));
    let Identity { user, group } = &request.identity;
    let Limits { memory, pids, cpus, open_files, file_size, tmp_size, timeout, idle_timeout, cgroup } = &request.limits;
    let file = File {
        profile: values(&request.profile),
        complete,
        workdir,
        // A complete policy has no mode of its own.
        sandbox: request.sandbox.as_ref().filter(|_| complete.is_none()).map(|said| said.value),
        read: paths(request.read.iter())?,
        modify: paths(request.modify.iter())?,
        write: paths(write.into_iter())?,
        optional: paths(request.optional.iter())?,
        deny: paths(request.deny.iter())?,
        device: paths(request.device.iter())?,
        unix: paths(request.unix.iter())?,
        gpu: value(&request.gpu),
        gpu_class: value(&request.gpu_options.class),
        gpu_hide_others: value(&request.gpu_options.hide_others),
        net: value(&request.net),
        allow_host: values(&request.reach.allow),
        deny_host: values(&request.reach.deny),
        http_methods: value(&request.reach.methods),
        transparent: value(&request.reach.transparent),
        publish: ports(&request.reach.publish),
        expose_host: ports(&request.reach.expose),
        no_unix: value(&request.reach.no_unix),
        git: value(&request.git),
        tmp: value(&request.tmp),
        backend: value(&request.backend),
        landlock: value(&request.wall.landlock),
        audit: value(&request.wall.audit),
        allow_unenforced: value(&request.reach.allow_unenforced),
        run_as_user: value(user),
        run_as_group: value(group),
        env: request.env.iter().map(|said| variable(&said.value)).collect::<Result<_, _>>()?,
        env_clear: value(&request.env_clear),
        proc: value(&request.proc),
        memory: word(memory),
        pids: word(pids),
        cpus: word(cpus),
        open_files: word(open_files),
        file_size: word(file_size),
        tmp_size: word(tmp_size),
        idle_timeout: time(idle_timeout),
        cgroup: cgroup.as_ref().map(|said| text(said.value.as_os_str())).transpose()?,
        timeout: time(timeout),
        allow: request.allow.iter().map(|said| said.value).collect(),
        baseline: baseline(request),
        network: values(&request.reach.rules),
    };
    let left_out =
        request.reach.unenforced.iter().map(|said| format!("# left out: {} [{}]\n", said.value.what, said.value.code));
    Ok(left_out.collect::<String>() + &toml::to_string_pretty(&file)?)
}

fn value<T: Clone>(said: &Option<Said<T>>) -> Option<T> {
    said.as_ref().map(|said| said.value.clone())
}

fn word<T: ToString>(said: &Option<Said<T>>) -> Option<String> {
    said.as_ref().map(|said| said.value.to_string())
}

fn time(said: &Option<Said<Duration>>) -> Option<String> {
    said.as_ref().map(|said| format!("{}ms", said.value.as_millis()))
}

fn values<T: Clone>(said: &[Said<T>]) -> Vec<T> {
    said.iter().map(|said| said.value.clone()).collect()
}

fn ports(said: &[Said<PortPair>]) -> Vec<String> {
    said.iter().map(|said| said.value.to_string()).collect()
}

fn text(word: &OsStr) -> Result<String, WriteError> {
    word.to_str().map(str::to_owned).ok_or_else(|| WriteError::NotText(word.to_string_lossy().into_owned()))
}

fn paths<'a>(list: impl Iterator<Item = &'a Said<std::path::PathBuf>>) -> Result<Vec<String>, WriteError> {
    list.map(|said| text(said.value.as_os_str())).collect()
}

fn variable((name, value): &(std::ffi::OsString, Option<std::ffi::OsString>)) -> Result<String, WriteError> {
    let name = text(name)?;
    Ok(match value {
        Some(value) => format!("{name}={}", text(value)?),
        None => name,
    })
}

fn baseline(request: &Request) -> Option<BaselineTable> {
    let said = &request.baseline;
    // A network brings paths; what is left out of it has no line that could.
    let left_out = !request.reach.unenforced.is_empty() && request.reach.rules.is_empty();
    let left_out = (left_out && request.dialect == Dialect::OpenShell).then_some(true);
    let Baseline { keep, conflicts, flags: _, core, allow_cli_relax, allow_compat, compat: _ } = said;
    let conflict = |said: &Said<ConflictRule>| {
        let ConflictRule { pattern, sources, mode, reason } = said.value.clone();
        ConflictTable { r#match: pattern, sources, mode, reason }
    };
    let table = BaselineTable {
        keep: keep.iter().map(|said| said.value.clone()).collect(),
        core: value(core).or(left_out),
        allow_cli_relax: value(allow_cli_relax),
        allow_compat: value(allow_compat),
        conflicts: conflicts.iter().map(conflict).collect(),
    };
    (*said != Baseline::default() || left_out.is_some()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::load::parse;

    #[test]
    fn a_path_of_several_lines_is_written_as_it_is() {
        let read = |text: &str| parse(text, Path::new("a.toml"), Path::new("/"), None).unwrap();
        let lines = r#"deny = ["/a\nx = []\nb", "/c = []", "/d"]"#;
        let written = toml(&read(lines), Path::new("/w")).unwrap();
        let paths = |text: &str| read(text).deny.into_iter().map(|said| said.value).collect::<Vec<_>>();
        assert_eq!(paths(&written), paths(lines), "{written}");
        assert!(!written.contains("read"), "what nobody said: {written}");
    }
}
