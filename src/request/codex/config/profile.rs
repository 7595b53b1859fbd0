//! `[permissions]`: named profiles of files and hosts, which may start from one another.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::super::EntryAccess;
use super::super::expand::MINIMAL;
use super::{Around, CODE};
use crate::policy::paths::{has_metacharacters, normal};
use crate::request::openshell::reader::{Field, Reader, Section, Word};
use crate::request::settings::{host, without_all_below};
use crate::request::yaml::Value;
use crate::request::{Mode, Net, Origin, Request, Said, Tmp};

const KEYS: &[&str] = &["description", "extends", "workspace_roots", "filesystem", "network"];

const NETWORK: &[&str] = &["enabled", "mode", "domains", "unix_sockets"];

/// About Codex's own proxy: ours has no such settings.
const PROXY: &[&str] = &[
    "proxy_url",
    "enable_socks5",
    "socks_url",
    "enable_socks5_udp",
    "allow_upstream_proxy",
    "allow_local_binding",
    "dangerously_allow_non_loopback_proxy",
    "dangerously_allow_all_unix_sockets",
];

/// The request that a profile means.
pub(super) fn request(reader: &mut Reader<'_>, top: &Section<'_>, name: &Word, around: &Around<'_>) -> Request {
    let by = reader.origin(name.spot.place);
    let mut request = Request { sandbox: Some(Said::new(Mode::ReadOnly, by.clone())), ..Request::default() };
    if name.text == ":danger-full-access" {
        request.sandbox = Some(Said::new(Mode::FullAccess, by));
        return request;
    }
    let profiles = reader.names(top, "permissions");
    let mut chain = Chain { reader, around, profiles, rules: Rules::default(), networks: Vec::new(), by };
    chain.follow(name, &mut Vec::new());
    let Chain { rules, networks, .. } = chain;
    rules.write(&mut request, around);
    reach(reader, &networks, around, &mut request);
    request
}

/// Rules by path: of two for one path, the greater counts, as for Codex.
#[derive(Debug, Default)]
struct Rules {
    at: BTreeMap<PathBuf, Said<EntryAccess>>,
    globs: Vec<Said<PathBuf>>,
}

struct Chain<'a, 'r, 'f> {
    reader: &'r mut Reader<'f>,
    around: &'a Around<'a>,
    profiles: Option<Section<'a>>,
    rules: Rules,
    /// The tables of networks; what a profile starts from comes first.
    networks: Vec<Section<'a>>,
    /// Who named the profile.
    by: Origin,
}

impl Chain<'_, '_, '_> {
    /// Adds the rules of a profile over those that it starts from.
    fn follow(&mut self, name: &Word, above: &mut Vec<String>) {
        let built_in: &[(&str, EntryAccess)] = match name.text.as_str() {
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
            for place in self.places(key, &[self.around.here.workspace.to_owned()]).unwrap_or_default() {
                own.add(place, Said::new(*access, self.by.clone()));
            }
        }
        self.rules.overlay(own);
    }

    fn named(&mut self, name: &Word, above: &mut Vec<String>) {
        let field = self.profiles.as_ref().and_then(|profiles| profiles.get(&name.text));
        let Some(field) = field.filter(|_| !name.text.starts_with(':')) else {
            return self.reader.refuse(&name.spot, CODE, format!("there is no permission profile `{}`", name.text));
        };
        if above.contains(&name.text) {
            let message = format!("permission profile `{}` starts from itself", name.text);
            return self.reader.refuse(&name.spot, CODE, message);
        }
        above.push(name.text.clone());
        let Some(table) = self.reader.open(&field, KEYS) else { return };
        if let Some(parent) = self.reader.word(&table, "extends") {
            self.follow(&parent, above);
        }
        let mut roots = vec![self.around.here.workspace.to_owned()];
        if let Some(more) = self.reader.names(&table, "workspace_roots") {
            let on = more.fields().filter(|field| self.reader.flag(&more, field.name) == Some(true));
            roots.extend(on.map(|field| self.around.path(field.name)));
        }
        let mut own = Rules::default();
        for field in self.reader.names(&table, "filesystem").iter().flat_map(Section::fields) {
            self.file_rule(&field, &roots, &mut own);
        }
        self.rules.overlay(own);
        let known: Vec<_> = NETWORK.iter().chain(PROXY).copied().collect();
        let network = self.reader.section(&table, "network", &known);
        self.networks.extend(network);
    }

    /// Adds what stands under one key.
    fn file_rule(&mut self, field: &Field<'_>, roots: &[PathBuf], own: &mut Rules) {
        if field.name == "glob_scan_max_depth" {
            // Patterns are searched for at any depth here.
            self.reader.number(field, &(1..=i64::MAX), CODE);
            return;
        }
        let places = match self.places(field.name, roots) {
            Ok(places) => places,
            Err(what) => return self.reader.refuse(&field.spot, CODE, what),
        };
        let below = match &field.node.value {
            Value::Map(_) => self.reader.open_any(field).iter().flat_map(Section::fields).collect(),
            Value::Scalar(_) | Value::List(_) => vec![field.clone()],
        };
        let nested = matches!(field.node.value, Value::Map(_));
        for rule in below {
            let Some(access) = self.access(&rule) else { continue };
            for place in &places {
                let path = if nested { self.below(place, &rule) } else { Some(place.clone()) };
                let said = self.reader.said(access, rule.key_place);
                let pattern = path.as_deref().is_some_and(is_pattern);
                if pattern && access != EntryAccess::Deny {
                    let message = format!("`{}` is a pattern, and only \"deny\" can have one", rule.name);
                    self.reader.refuse(&rule.spot, CODE, message);
                } else if let Some(path) = path {
                    own.add(path, said);
                }
            }
        }
    }

    fn access(&mut self, field: &Field<'_>) -> Option<EntryAccess> {
        let word = self.reader.text(field)?;
        match word.text.as_str() {
            "read" => Some(EntryAccess::Read),
            "write" => Some(EntryAccess::Write),
            "deny" | "none" => Some(EntryAccess::Deny),
            other => {
                self.reader.refuse(&word.spot, CODE, format!("`{other}` is not read, write or deny"));
                None
            }
        }
    }

    /// A path below a place. A pattern in the workspace stays relative to it: names of directories may hold what means
    /// something in one.
    fn below(&mut self, place: &Path, rule: &Field<'_>) -> Option<PathBuf> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(rule.name).components().all(inside) {
            self.reader.refuse(&rule.spot, CODE, format!("`{}` leaves its root", rule.name));
            return None;
        }
        Some(match place.to_str().filter(|_| is_pattern(Path::new(rule.name))) {
            Some(_) if place == self.around.here.workspace => PathBuf::from(rule.name),
            Some(place) => Path::new(&globset::escape(place)).join(rule.name),
            None => place.join(rule.name),
        })
    }

    /// The paths that a key stands for.
    fn places(&self, key: &str, roots: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
        Ok(match key {
            ":root" => vec![PathBuf::from("/")],
            ":minimal" => MINIMAL.iter().map(PathBuf::from).collect(),
            ":project_roots" | ":workspace_roots" | ":current_working_directory" => roots.to_vec(),
            ":tmpdir" => self.around.tmpdir().into_iter().collect(),
            ":slash_tmp" => vec![PathBuf::from("/tmp")],
            special if special.starts_with(':') => return Err(format!("`{special}` is no special path that is known")),
            path if path.starts_with('/') || path.starts_with('~') => vec![self.around.path(path)],
            path => return Err(format!("`{path}` is neither absolute nor below ~/")),
        })
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| has_metacharacters(without_all_below(text).as_ref()))
}

impl Rules {
    /// A profile's own rule takes the place of one that it starts from.
    fn overlay(&mut self, own: Self) {
        self.at.extend(own.at);
        self.globs.extend(own.globs);
    }

    fn add(&mut self, path: PathBuf, access: Said<EntryAccess>) {
        if is_pattern(&path) {
            self.globs.push(Said::new(path, access.by));
            return;
        }
        let path = path.to_str().map_or_else(|| normal(&path), |text| normal(Path::new(without_all_below(text))));
        if self.at.get(&path).is_none_or(|known| known.value < access.value) {
            self.at.insert(path, access);
        }
    }

    /// What no rule names is denied, so the root is, unless a rule is about it.
    fn write(mut self, request: &mut Request, around: &Around<'_>) {
        let root = self.at.remove(Path::new("/"));
        match root.as_ref().map(|said| said.value) {
            Some(EntryAccess::Read) => {}
            Some(EntryAccess::Write) => request.write.extend(root.map(|said| Said::new("/".into(), said.by))),
            Some(EntryAccess::Deny) | None => {
                let by = root.map(|said| said.by).or_else(|| request.sandbox.as_ref().map(|said| said.by.clone()));
                request.deny.extend(by.map(|by| Said::new(PathBuf::from("/"), by)));
            }
        }
        let tmp = Path::new("/tmp");
        if self.at.get(tmp).is_some_and(|said| said.value == EntryAccess::Write) {
            request.tmp = self.at.remove(tmp).map(|said| Said::new(Tmp::Host, said.by));
        }
        for (path, Said { value, by }) in self.at {
            let optional = path != around.here.workspace && value != EntryAccess::Deny;
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

/// What may be reached. Where domains are listed they are what counts, whether Codex's own proxy is on or not.
fn reach(reader: &mut Reader<'_>, networks: &[Section<'_>], around: &Around<'_>, request: &mut Request) {
    let mut enabled = None;
    let mut limited = None;
    let (mut domains, mut sockets) = (BTreeMap::new(), BTreeMap::new());
    for network in networks {
        for field in network.fields().filter(|field| PROXY.contains(&field.name)) {
            reader.note(&field.spot, "about Codex's own proxy, and left out");
        }
        let on = network.get("enabled").zip(reader.flag(network, "enabled"));
        enabled = on.map(|(field, on)| reader.said(on, field.key_place)).or(enabled);
        limited = reader.word(network, "mode").or(limited);
        for (name, allowed) in permissions(reader, network, "domains") {
            domains.insert(name.value.clone(), Said::new(allowed, name.by));
        }
        for (path, allowed) in permissions(reader, network, "unix_sockets") {
            sockets.insert(around.path(&path.value), Said::new(allowed, path.by));
        }
    }
    let allowed = sockets.into_iter().filter(|(_, allowed): &(PathBuf, Said<bool>)| allowed.value);
    request.unix.extend(allowed.map(|(path, allowed)| Said::new(path, allowed.by)));
    let Some(by) = enabled.filter(|said| said.value).map(|said| said.by) else { return };
    if let Some(mode) = limited.filter(|mode| mode.text != "full") {
        let cure = Some("say mode = \"full\", and list fewer domains".to_owned());
        let message = format!("`{}` cannot be said in our own format: methods of HTTPS are not seen", mode.text);
        reader.refuse_with(&mode.spot, CODE, message, cure);
    }
    let net = if domains.is_empty() { Net::Host } else { Net::Allow };
    request.net = Some(Said::new(net, by));
    for (domain, Said { value: allowed, by }) in domains {
        let list = if allowed { &mut request.reach.allow } else { &mut request.reach.deny };
        // `**.` is the domain and all below it.
        let apex = domain.strip_prefix("**.").map(host);
        list.extend(apex.map(|host| Said::new(host, by.clone())));
        list.push(Said::new(host(&domain), by));
    }
}

/// A table of names that are allowed, or not.
fn permissions(reader: &mut Reader<'_>, network: &Section<'_>, key: &str) -> Vec<(Said<String>, bool)> {
    let mut found = Vec::new();
    for field in reader.names(network, key).iter().flat_map(Section::fields) {
        let text = reader.text(&field).map(|word| word.text).unwrap_or_default();
        match text.as_str() {
            "allow" | "deny" | "none" => {
                found.push((reader.said(field.name.to_owned(), field.key_place), text == "allow"));
            }
            other => reader.refuse(&field.spot, CODE, format!("`{other}` is not allow or deny")),
        }
    }
    found
}
