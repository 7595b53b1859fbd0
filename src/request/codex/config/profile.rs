//! `[permissions]`: named profiles of files and hosts, which may start from one another.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::super::expand::MINIMAL;
use super::super::{EntryAccess, Surroundings};
use super::tmpdir;
use crate::policy::paths::has_metacharacters;
use crate::request::load::{LoadError, Text};
use crate::request::settings::{host, without_all_below};
use crate::request::{Mode, Net, Origin, Request, Said, Tmp};

/// `[permissions.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfileTable {
    #[allow(dead_code, reason = "for people")]
    description: Option<String>,
    extends: Option<Spanned<String>>,
    workspace_roots: BTreeMap<Spanned<PathBuf>, bool>,
    filesystem: BTreeMap<Spanned<String>, FileRule>,
    network: NetworkTable,
}

/// `"read"`, or a table of paths below; or the number of `glob_scan_max_depth`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "access is \"read\", \"write\" or \"deny\", or a table of paths with one of these each")]
enum FileRule {
    Access(EntryAccess),
    Below(BTreeMap<String, EntryAccess>),
    Depth(#[allow(dead_code, reason = "patterns are searched for at any depth here")] u32),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkTable {
    enabled: Option<Spanned<bool>>,
    mode: Option<Spanned<NetworkMode>>,
    domains: BTreeMap<Spanned<String>, Permission>,
    unix_sockets: BTreeMap<Spanned<PathBuf>, Permission>,
    dangerously_allow_all_unix_sockets: Option<Spanned<bool>>,
    // About Codex's own proxy: ours has no such settings.
    proxy_url: Option<Spanned<String>>,
    enable_socks5: Option<Spanned<bool>>,
    socks_url: Option<Spanned<String>>,
    enable_socks5_udp: Option<Spanned<bool>>,
    allow_upstream_proxy: Option<Spanned<bool>>,
    dangerously_allow_non_loopback_proxy: Option<Spanned<bool>>,
    allow_local_binding: Option<Spanned<bool>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NetworkMode {
    Limited,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Permission {
    Allow,
    #[serde(alias = "none")]
    Deny,
}

type Profiles = BTreeMap<Spanned<String>, ProfileTable>;

/// The request that a profile means.
///
/// # Errors
/// [`LoadError::Parse`], with the line.
pub(super) fn request(
    source: &Text<'_>,
    profiles: &Profiles,
    name: Spanned<String>,
    around: Surroundings<'_>,
) -> Result<Request, LoadError> {
    let by = source.said(name.clone()).by;
    let mut request = Request { sandbox: Some(Said::new(Mode::ReadOnly, by.clone())), ..Request::default() };
    if name.get_ref() == ":danger-full-access" {
        request.sandbox = Some(Said::new(Mode::FullAccess, by));
        return Ok(request);
    }
    let mut chain = Chain { source, around, profiles, rules: Rules::default(), by };
    let network = chain.follow(&name, &mut Vec::new())?;
    chain.rules.write(&mut request, around);
    reach(source, network, &mut request)?;
    Ok(request)
}

/// Rules by path: of two for one path, the greater counts, as for Codex.
#[derive(Debug, Default)]
struct Rules {
    at: BTreeMap<PathBuf, Said<EntryAccess>>,
    globs: Vec<Said<PathBuf>>,
}

struct Chain<'a> {
    source: &'a Text<'a>,
    around: Surroundings<'a>,
    profiles: &'a Profiles,
    rules: Rules,
    /// Who named the profile.
    by: Origin,
}

impl Chain<'_> {
    /// Adds the rules of a profile over those that it starts from; the result is its network.
    fn follow(&mut self, name: &Spanned<String>, above: &mut Vec<String>) -> Result<NetworkTable, LoadError> {
        let built_in: &[(&str, EntryAccess)] = match name.get_ref().as_str() {
            ":read-only" => &[(":root", EntryAccess::Read)],
            ":workspace" => &[
                (":root", EntryAccess::Read),
                (":workspace_roots", EntryAccess::Write),
                (":slash_tmp", EntryAccess::Write),
                (":tmpdir", EntryAccess::Write),
            ],
            _ => return self.named(name, above),
        };
        let mut own = Rules::default();
        for (key, access) in built_in {
            let rule = Said::new(FileRule::Access(*access), self.by.clone());
            let roots = [self.around.workspace.to_owned()];
            self.rule(key, &rule, &roots, &mut own).map_err(|what| self.error(name, what))?;
        }
        self.rules.overlay(own);
        Ok(NetworkTable::default())
    }

    fn named(&mut self, name: &Spanned<String>, above: &mut Vec<String>) -> Result<NetworkTable, LoadError> {
        let found = self.profiles.iter().find(|(key, _)| key.get_ref() == name.get_ref());
        let Some((_, table)) = found.filter(|_| !name.get_ref().starts_with(':')) else {
            return Err(self.error(name, format!("there is no permission profile `{}`", name.get_ref())));
        };
        if above.contains(name.get_ref()) {
            return Err(self.error(name, format!("permission profile `{}` starts from itself", name.get_ref())));
        }
        above.push(name.get_ref().clone());
        let parent = match &table.extends {
            Some(parent) => self.follow(parent, above)?,
            None => NetworkTable::default(),
        };
        let mut roots = vec![self.around.workspace.to_owned()];
        let more = table.workspace_roots.iter().filter(|(_, on)| **on);
        roots.extend(more.map(|(root, _)| self.source.path(self.source.said(root.clone())).value));
        let mut own = Rules::default();
        for (key, rule) in &table.filesystem {
            let said = self.source.said(key.clone());
            let rule = Said::new(rule.clone(), said.by);
            self.rule(&said.value, &rule, &roots, &mut own).map_err(|what| self.error(key, what))?;
        }
        self.rules.overlay(own);
        Ok(table.network.clone().over(parent))
    }

    fn error(&self, at: &Spanned<String>, message: String) -> LoadError {
        self.source.error(at.span(), message)
    }

    /// A pattern in the workspace stays relative to it: names of directories may hold what means something in one.
    fn below(&self, place: &Path, name: &str) -> PathBuf {
        let pattern = has_metacharacters(without_all_below(name).as_ref());
        match place.to_str().filter(|_| pattern) {
            Some(_) if place == self.around.workspace => PathBuf::from(name),
            Some(place) => Path::new(&globset::escape(place)).join(name),
            None => place.join(name),
        }
    }

    /// Adds what stands under one key.
    fn rule(&self, key: &str, rule: &Said<FileRule>, roots: &[PathBuf], to: &mut Rules) -> Result<(), String> {
        let places = match key {
            "glob_scan_max_depth" => return Ok(()),
            ":root" => vec![PathBuf::from("/")],
            ":minimal" => MINIMAL.iter().map(PathBuf::from).collect(),
            ":project_roots" | ":workspace_roots" | ":current_working_directory" => roots.to_vec(),
            ":tmpdir" => tmpdir(self.around).into_iter().collect(),
            ":slash_tmp" => vec![PathBuf::from("/tmp")],
            special if special.starts_with(':') => return Err(format!("`{special}` is no special path that is known")),
            path if path.starts_with('/') || path.starts_with('~') => {
                vec![self.source.path(Said::new(PathBuf::from(path), rule.by.clone())).value]
            }
            path => return Err(format!("`{path}` is neither absolute nor below ~/")),
        };
        for place in places {
            match &rule.value {
                FileRule::Access(access) => to.add(place, Said::new(*access, rule.by.clone()))?,
                FileRule::Below(below) => {
                    for (name, access) in below {
                        if Path::new(name)
                            .components()
                            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
                        {
                            return Err(format!("`{name}` leaves `{key}`"));
                        }
                        to.add(self.below(&place, name), Said::new(*access, rule.by.clone()))?;
                    }
                }
                FileRule::Depth(_) => return Err(format!("`{key}` is a number, and an access was expected")),
            }
        }
        Ok(())
    }
}

impl Rules {
    /// A profile's own rule takes the place of one that it starts from.
    fn overlay(&mut self, own: Self) {
        self.at.extend(own.at);
        self.globs.extend(own.globs);
    }

    fn add(&mut self, path: PathBuf, access: Said<EntryAccess>) -> Result<(), String> {
        let text = path.to_str().ok_or_else(|| format!("`{}` is not UTF-8", path.display()))?;
        let plain = without_all_below(text);
        if has_metacharacters(plain.as_ref()) {
            if access.value != EntryAccess::Deny {
                return Err(format!("`{text}` is a pattern, and only \"deny\" can have one"));
            }
            self.globs.push(Said::new(path, access.by));
            return Ok(());
        }
        let path = crate::policy::paths::normal(Path::new(plain));
        if self.at.get(&path).is_none_or(|known| known.value < access.value) {
            self.at.insert(path, access);
        }
        Ok(())
    }

    /// What no rule names is denied, so the root is, unless a rule is about it.
    fn write(mut self, request: &mut Request, around: Surroundings<'_>) {
        let root = self.at.remove(Path::new("/"));
        match root.as_ref().map(|said| said.value) {
            Some(EntryAccess::Read) => {}
            Some(EntryAccess::Write) => request.write.extend(root.map(|said| Said::new("/".into(), said.by))),
            Some(EntryAccess::Deny) | None => {
                let by = root.map(|said| said.by).or_else(|| request.sandbox.as_ref().map(|said| said.by.clone()));
                request.deny.extend(by.map(|by| Said::new(PathBuf::from("/"), by)));
            }
        }
        if let Some(Said { value: EntryAccess::Write, by }) = self.at.remove(Path::new("/tmp")) {
            request.tmp = Some(Said::new(Tmp::Host, by));
        }
        for (path, Said { value, by }) in self.at {
            let optional = path != around.workspace && value != EntryAccess::Deny;
            let said = Said::new(path, by);
            request.optional.extend(optional.then(|| said.clone()));
            match value {
                EntryAccess::Read => request.read.push(said),
                EntryAccess::Write => request.write.push(said),
                EntryAccess::Deny => request.deny.push(said),
            }
        }
        request.deny.extend(self.globs);
    }
}

impl NetworkTable {
    fn over(self, below: Self) -> Self {
        let mut domains = below.domains;
        domains.retain(|key, _| !self.domains.keys().any(|own| own.get_ref() == key.get_ref()));
        domains.extend(self.domains);
        let mut unix_sockets = below.unix_sockets;
        unix_sockets.retain(|key, _| !self.unix_sockets.keys().any(|own| own.get_ref() == key.get_ref()));
        unix_sockets.extend(self.unix_sockets);
        Self {
            enabled: self.enabled.or(below.enabled),
            mode: self.mode.or(below.mode),
            domains,
            unix_sockets,
            dangerously_allow_all_unix_sockets: self
                .dangerously_allow_all_unix_sockets
                .or(below.dangerously_allow_all_unix_sockets),
            proxy_url: self.proxy_url.or(below.proxy_url),
            enable_socks5: self.enable_socks5.or(below.enable_socks5),
            socks_url: self.socks_url.or(below.socks_url),
            enable_socks5_udp: self.enable_socks5_udp.or(below.enable_socks5_udp),
            allow_upstream_proxy: self.allow_upstream_proxy.or(below.allow_upstream_proxy),
            dangerously_allow_non_loopback_proxy: self
                .dangerously_allow_non_loopback_proxy
                .or(below.dangerously_allow_non_loopback_proxy),
            allow_local_binding: self.allow_local_binding.or(below.allow_local_binding),
        }
    }
}

/// What may be reached. Where domains are listed they are what counts, whether Codex's own proxy is on or not.
fn reach(source: &Text<'_>, network: NetworkTable, request: &mut Request) -> Result<(), LoadError> {
    let NetworkTable {
        enabled,
        mode,
        domains,
        unix_sockets,
        dangerously_allow_all_unix_sockets,
        proxy_url,
        enable_socks5,
        socks_url,
        enable_socks5_udp,
        allow_upstream_proxy,
        dangerously_allow_non_loopback_proxy,
        allow_local_binding,
    } = network;
    let switches = [
        enable_socks5,
        enable_socks5_udp,
        allow_upstream_proxy,
        dangerously_allow_non_loopback_proxy,
        allow_local_binding,
        dangerously_allow_all_unix_sockets,
    ];
    let switches = switches.into_iter().flatten().map(|said| source.said(said).by);
    let places = switches.chain([proxy_url, socks_url].into_iter().flatten().map(|said| source.said(said).by));
    request.notes.extend(places.map(|by| format!("{by}: about Codex's own proxy, and left out")));
    for (path, _) in unix_sockets.into_iter().filter(|(_, permission)| *permission == Permission::Allow) {
        request.unix.push(source.path(source.said(path)));
    }
    let Some(by) = enabled.map(|said| source.said(said)).filter(|said| said.value).map(|said| said.by) else {
        return Ok(());
    };
    if let Some(mode) = mode.filter(|mode| *mode.get_ref() == NetworkMode::Limited) {
        let message = "mode = \"limited\" cannot be said in our own format: methods of HTTPS are not seen. Say \
                       mode = \"full\", and list fewer domains";
        return Err(source.error(mode.span(), message.to_owned()));
    }
    let net = if domains.is_empty() { Net::Host } else { Net::Allow };
    request.net = Some(Said::new(net, by));
    for (domain, permission) in domains {
        let said = source.said(domain);
        let list = if permission == Permission::Allow { &mut request.reach.allow } else { &mut request.reach.deny };
        // `**.` is the domain and all below it.
        let apex = said.value.strip_prefix("**.").map(host);
        list.extend(apex.map(|host| Said::new(host, said.by.clone())));
        list.push(Said::new(host(&said.value), said.by));
    }
    Ok(())
}
