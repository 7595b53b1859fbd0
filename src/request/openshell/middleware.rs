//! `network_middlewares`: programs that look into requests. There are none here, so an entry is checked, and decides
//! which endpoints cannot be had.

use std::collections::BTreeMap;

use super::host;
use super::reader::{Field, Reader, Section, Spot, Word, shown};
use crate::request::yaml::Place;

const KEYS: &[&str] = &["name", "middleware", "order", "config", "on_error", "endpoints"];
const MOST: usize = 10;
const MOST_PATTERNS: usize = 32;

/// An entry whose endpoints must not be reached without it.
#[derive(Debug)]
pub(super) struct Middleware {
    pub spot: Spot,
    pub name: String,
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Middleware {
    /// Whether it may have to look into connections to a host.
    pub(super) fn covers(&self, host: Option<&str>) -> bool {
        // Any host with a listed address may be one of its hosts.
        let Some(host) = host else { return true };
        let all = |pattern: &str| matches!(pattern, "*" | "**");
        let included = self.include.iter().any(|pattern| all(pattern) || host::overlap(pattern, host));
        // Only of a single host it is known that all of it is left out.
        let excluded =
            !host.contains('*') && self.exclude.iter().any(|pattern| pattern == "**" || host::overlap(pattern, host));
        included && !excluded
    }
}

/// The entries that fail closed; of those that fail open nothing remains but a remark.
pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>) -> Vec<Middleware> {
    let Some(section) = reader.names(top, "network_middlewares") else { return Vec::new() };
    let fields: Vec<Field<'_>> = section.fields().collect();
    if fields.len() > MOST {
        let message = format!("{} middlewares, {MOST} are allowed", fields.len());
        reader.refuse(&section.spot, "net.middleware_count", message);
    }
    let mut orders = BTreeMap::new();
    let mut closed: Vec<Middleware> = fields.iter().filter_map(|field| one(reader, field, &mut orders)).collect();
    closed.truncate(MOST);
    closed
}

fn one(reader: &mut Reader<'_>, field: &Field<'_>, orders: &mut BTreeMap<i64, Place>) -> Option<Middleware> {
    let section = reader.open(field, KEYS)?;
    let name = reader.word(&section, "name").map_or_else(|| field.name.to_owned(), |word| word.text);
    let before = reader.violations.len();
    if reader.word(&section, "middleware").is_none() && reader.violations.len() == before {
        reader.refuse(&section.spot.below("middleware"), "policy.missing_key", "is missing");
    }
    order(reader, &section, orders);
    reader.names(&section, "config");
    let fails_open = on_error(reader, &section);
    let (include, exclude) = patterns(reader, &section);
    let spot = section.spot;
    if fails_open {
        reader.note(&spot, "middlewares are not supported; this one may fail, so it is left out");
        return None;
    }
    Some(Middleware { spot, name, include, exclude })
}

fn order(reader: &mut Reader<'_>, section: &Section<'_>, orders: &mut BTreeMap<i64, Place>) {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let (spot, order) = match section.get("order") {
        Some(field) => match reader.number(&field, &range, "net.middleware_order") {
            Some(order) => (field.spot, order),
            None => return,
        },
        None => (section.spot.below("order"), 0),
    };
    match orders.get(&order) {
        Some(first) => {
            let message = format!("{order} is also the order of the middleware in line {}", first.line);
            reader.refuse(&spot, "net.middleware_order", message);
        }
        None => {
            orders.insert(order, section.spot.place);
        }
    }
}

fn on_error(reader: &mut Reader<'_>, section: &Section<'_>) -> bool {
    let Some(word) = reader.word(section, "on_error") else { return false };
    if !["fail_closed", "fail_open"].contains(&word.text.as_str()) {
        let message = format!("`{}` is neither fail_closed nor fail_open", shown(&word.text));
        reader.refuse(&word.spot, "net.middleware_on_error", message);
    }
    word.text == "fail_open"
}

fn patterns(reader: &mut Reader<'_>, section: &Section<'_>) -> (Vec<String>, Vec<String>) {
    let before = reader.violations.len();
    let Some(endpoints) = reader.section(section, "endpoints", &["include", "exclude"]) else {
        if reader.violations.len() == before {
            reader.refuse(&section.spot.below("endpoints"), "net.middleware_endpoints", "is missing");
        }
        return (Vec::new(), Vec::new());
    };
    let before = reader.violations.len();
    let include = reader.words(&endpoints, "include");
    let exclude = reader.words(&endpoints, "exclude");
    if include.is_empty() && reader.violations.len() == before {
        let spot = endpoints.spot.below("include");
        reader.refuse(&spot, "net.middleware_endpoints", "needs at least one host pattern");
    }
    let all = include.len() + exclude.len();
    if all > MOST_PATTERNS {
        let message = format!("{all} patterns, {MOST_PATTERNS} are allowed");
        reader.refuse(&endpoints.spot, "net.middleware_patterns", message);
    }
    let mut valid = |words: Vec<Word>| words.into_iter().filter_map(|word| pattern(reader, &word)).collect();
    (valid(include), valid(exclude))
}

/// Selectors may take everything and whole domains, endpoints may not.
fn pattern(reader: &mut Reader<'_>, Word { text, spot }: &Word) -> Option<String> {
    if matches!(text.as_str(), "*" | "**") {
        return Some(text.clone());
    }
    let checked = host::check(text, false).or_else(|fault| match fault.code {
        // What is not too much below another domain has no other fault.
        "net.tld_wildcard" => host::check(&format!("{text}.example.com"), false).map(|_| text.to_ascii_lowercase()),
        _ => Err(fault),
    });
    match checked {
        Ok(pattern) => Some(pattern),
        Err(fault) => {
            let message = format!("`{}`: {}", shown(text), fault.message);
            reader.refuse_with(spot, "net.middleware_endpoints", message, fault.hint);
            None
        }
    }
}
