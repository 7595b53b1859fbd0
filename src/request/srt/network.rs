//! `network`: the domains that are allowed, and nothing else.

use super::{inexpressible, note_unused};
use crate::request::openshell::reader::{Reader, Section, Word};
use crate::request::settings::host;
use crate::request::yaml::Place;
use crate::request::{Net, Request, Said};

const KEYS: &[&str] = &[
    "allowedDomains",
    "deniedDomains",
    "deniedDomainReasons",
    "strictAllowlist",
    "deniedResolvedAddresses",
    "allowUnixSockets",
    "allowAllUnixSockets",
    "allowLocalBinding",
    "allowMachLookup",
    "httpProxyPort",
    "socksProxyPort",
    "mitmProxy",
    "filterRequest",
    "tlsTerminate",
    "parentProxy",
];

/// Networks that no name may lead to here anyway.
const REFUSED_ANYWAY: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1",
    "169.254.169.254",
];

pub(super) fn read(reader: &mut Reader<'_>, top: &Section<'_>, request: &mut Request) {
    request.net = Some(reader.said(Net::None, Place::START));
    request.reach.no_unix = Some(reader.said(true, Place::START));
    let Some(section) = reader.section(top, "network", KEYS) else { return };
    let place = section.spot.place;
    let everything = reader.words(&section, "deniedDomains").into_iter().any(|word| word.text == "*");
    let allowed = domains(reader, &section, "allowedDomains");
    let denied = domains(reader, &section, "deniedDomains");
    if !allowed.is_empty() && !everything {
        request.net = Some(reader.said(Net::Allow, place));
        request.reach.allow = allowed;
        request.reach.deny = denied;
    }
    for word in reader.words(&section, "deniedResolvedAddresses") {
        if !REFUSED_ANYWAY.contains(&word.text.as_str()) {
            let cure = Some("leave it out: private and special addresses are refused anyway".to_owned());
            let what = format!("`{}`: what names lead to cannot be denied", word.text);
            reader.refuse_with(&word.spot, super::INEXPRESSIBLE, what, cure);
        }
    }
    if reader.flag(&section, "allowAllUnixSockets") == Some(true) {
        request.reach.no_unix = None;
    }
    reader.flag(&section, "strictAllowlist");
    for (key, why) in [
        ("deniedDomainReasons", "a refusal names the rule"),
        ("allowUnixSockets", "without effect on Linux; unix = [\"PATH\"] lets one be connected to, without no_unix"),
        (
            "allowLocalBinding",
            "the sandbox has a loopback interface of its own; publish = [PORT] leads one of its ports out",
        ),
        ("allowMachLookup", "about macOS"),
    ] {
        note_unused(reader, &section, key, why);
    }
    for (key, cure) in [
        ("httpProxyPort", "net = \"proxy\" leads to the proxies that the variables name"),
        ("socksProxyPort", "net = \"proxy\" leads to the proxies that the variables name"),
        ("parentProxy", "net = \"proxy\" leads to the proxies that the variables name"),
        ("mitmProxy", "net = \"proxy\" leads to the proxies that the variables name"),
        ("filterRequest", "list fewer domains"),
        ("tlsTerminate", "leave it out: connections are not opened here"),
    ] {
        inexpressible(reader, &section, key, cure);
    }
}

fn domains(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Vec<Said<String>> {
    let words = reader.words(section, key);
    words.into_iter().filter_map(|word| domain(reader, key, &word)).collect()
}

fn domain(reader: &mut Reader<'_>, key: &str, word: &Word) -> Option<Said<String>> {
    let name = word.text.split(':').next().unwrap_or_default();
    let whole = word.text == "*" || word.text.starts_with("*:");
    if key == "allowedDomains" && (whole || name == "localhost") {
        let cure =
            if whole { "list the domains" } else { "expose_host = [PORT] leads in a port of the host's loopback" };
        let what = format!("`{}` cannot be allowed", word.text);
        reader.refuse_with(&word.spot, super::INEXPRESSIBLE, what, Some(cure.to_owned()));
        return None;
    }
    Some(reader.said(host(&word.text.to_lowercase()), word.spot.place))
}
