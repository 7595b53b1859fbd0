//! Settings of sandbox-runtime (srt), in JSON → [`Request`] in our own words, as they are meant on Linux.
//!
//! JSON is read as the YAML that it is, so every key knows its place, and all that is wrong is told at once. What cannot be
//! said in our words is wrong too: a restriction must not get lost. Keys that mean nothing here are named in notes.

mod files;
mod network;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::openshell::Rejected;
use super::openshell::reader::{Field, Reader, Section, Spot, is_set};
use super::yaml::{self, Place};
use super::{Mode, Request};

const KEYS: &[&str] = &["network", "filesystem", "credentials", "ignoreViolations", "git"];

/// Keys that mean nothing here, and why.
const UNUSED: &[(&str, &str)] = &[
    ("enableWeakerNestedSandbox", "which engine works here is found out, and plan tells it"),
    ("enableWeakerNetworkIsolation", "about macOS"),
    ("allowAppleEvents", "about macOS"),
    ("allowPty", "about macOS: there is a private terminal here"),
    ("windows", "about Windows"),
    ("ripgrep", "nothing is searched with another program"),
    ("mandatoryDenySearchDepth", "protected names are those of docs/policy.md"),
    ("seccomp", "the filter is made here"),
    ("bwrapPath", "another engine: see --backend"),
    ("socatPath", "the proxy is ringfence's own"),
    ("javaAgentJarPath", "--transparent serves programs that ignore proxy variables"),
];

/// The code of what our words cannot say.
const INEXPRESSIBLE: &str = "srt.inexpressible";

/// Whether a text in JSON is srt's: by its two sections.
#[must_use]
pub fn looks_like(json: &str) -> bool {
    let keys: Result<std::collections::BTreeMap<String, serde::de::IgnoredAny>, _> = serde_json::from_str(json);
    match keys {
        Ok(keys) => {
            keys.contains_key("filesystem")
                || keys.contains_key("network") && !keys.contains_key("type") && json.contains("\"allowedDomains\"")
        }
        Err(_) => {
            json.contains("\"allowedDomains\"") || json.contains("\"allowWrite\"") || json.contains("\"denyRead\"")
        }
    }
}

/// Reads the settings. `workspace` is what relative paths are relative to; `~/` is `home`.
///
/// # Errors
/// [`Rejected`], with everything that is wrong.
pub fn parse(text: &str, file: &Path, home: Option<&Path>, workspace: &Path) -> Result<Request, Rejected> {
    let mut reader = Reader::new(file);
    // A tab is a blank in JSON, and cannot stand in its texts.
    let request = match yaml::parse(&text.replace('\t', " ")) {
        Ok(node) => {
            let known: Vec<_> = KEYS.iter().chain(UNUSED.iter().map(|(key, _)| key)).copied().collect();
            let top = reader.top(&node, &known);
            top.map(|top| read(&mut reader, &top, home, workspace)).unwrap_or_default()
        }
        Err(error) => {
            let spot = Spot { key: String::new(), place: error.place };
            reader.refuse_with(&spot, "srt.json", error.message, error.hint.map(str::to_owned));
            Request::default()
        }
    };
    reader.finish(request)
}

fn read(reader: &mut Reader<'_>, top: &Section<'_>, home: Option<&Path>, workspace: &Path) -> Request {
    for (key, why) in UNUSED {
        note_unused(reader, top, key, why);
    }
    note_unused(reader, top, "ignoreViolations", "what was denied is told in one note, and not sorted");
    note_unused(reader, top, "git", "git's own safe.directory is the place for it");
    let mut request = Request { sandbox: Some(reader.said(Mode::ReadOnly, Place::START)), ..Request::default() };
    files::read(reader, top, &files::Places { home, workspace }, &mut request);
    network::read(reader, top, &mut request);
    credentials(reader, top, &files::Places { home, workspace }, &mut request);
    request
}

/// A key that says something and changes nothing.
fn note_unused(reader: &mut Reader<'_>, of: &Section<'_>, key: &str, why: &str) {
    if let Some(field) = of.get(key).filter(|field| is_set(field.node)) {
        reader.note(&field.spot, format!("left out, {why}"));
    }
}

/// A key that says something which our words cannot.
fn inexpressible(reader: &mut Reader<'_>, of: &Section<'_>, key: &str, cure: &str) {
    if let Some(field) = of.get(key).filter(|field| is_set(field.node)) {
        refuse(reader, &field, cure);
    }
}

fn refuse(reader: &mut Reader<'_>, field: &Field<'_>, cure: &str) {
    reader.refuse_with(&field.spot, INEXPRESSIBLE, "cannot be said in our own format", Some(cure.to_owned()));
}

/// `credentials`: what is denied is hidden; what is masked would need its own proxy.
fn credentials(reader: &mut Reader<'_>, top: &Section<'_>, places: &files::Places<'_>, request: &mut Request) {
    const MASK: &str = "say mode \"deny\", or leave it to the command's own login";
    let known = ["files", "envVars", "allowPlaintextInject", "awsPairs", "sigv4"];
    let Some(section) = reader.section(top, "credentials", &known) else { return };
    for key in ["awsPairs", "sigv4", "allowPlaintextInject"] {
        inexpressible(reader, &section, key, MASK);
    }
    let keys = ["path", "name", "mode", "injectHosts", "extract", "onExtractNoMatch", "decode", "maskClaims"];
    for (list, what) in [("files", "path"), ("envVars", "name")] {
        for item in reader.list(&section, list) {
            let Some(entry) = reader.open(&item, &keys) else { continue };
            let (mode, value) = (reader.word(&entry, "mode"), reader.word(&entry, what));
            let Some(value) = value else {
                reader.refuse(&item.spot, "policy.type", format!("`{what}` is missing"));
                continue;
            };
            match mode.as_ref().map(|mode| mode.text.as_str()) {
                Some("deny") if what == "path" => {
                    let said = places.said(reader, &value);
                    request.deny.push(said);
                }
                Some("deny") => {
                    let cure = format!(
                        "take it away before: env -u {} ringfence run …; one that looks like a secret is dropped anyway, and can be left out here",
                        value.text
                    );
                    reader.refuse_with(
                        &value.spot,
                        INEXPRESSIBLE,
                        "a single variable cannot be taken away",
                        Some(cure),
                    );
                }
                _ => refuse(reader, &item, MASK),
            }
        }
    }
}
