//! Profiles: what well-known agents and tools need, shipped with the program.
//!
//! A profile is a file in our own format. It lies below all that the user says: files and flags are laid over it, and what
//! they deny stays denied (`plan/profiles.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use super::load::{self, LoadError};
use super::{Mode, Request};

/// What a well-known program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// As `--profile` takes it.
    pub name: &'static str,
    /// TOML; the first line is a comment that describes it.
    pub text: &'static str,
}

macro_rules! profile {
    ($name:literal) => {
        Profile { name: $name, text: include_str!(concat!("profiles/", $name, ".toml")) }
    };
}

/// All of them, in the order of the alphabet.
pub const PROFILES: &[Profile] = &[
    profile!("aider"),
    profile!("cargo"),
    profile!("claude-code"),
    profile!("codex"),
    profile!("git"),
    profile!("jupyter"),
    profile!("llama-cpp"),
    profile!("npm"),
    profile!("opencode"),
    profile!("pip"),
    profile!("pytorch"),
    profile!("uv"),
    profile!("vllm"),
];

impl Profile {
    /// One line, for people.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// What it says; `~/` is `home`.
    ///
    /// # Errors
    /// [`LoadError::Parse`], which is a fault of ours.
    pub fn request(&self, home: Option<&Path>) -> Result<Request, LoadError> {
        load::parse_profile(self, home)
    }
}

/// The profile of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// Lays the profiles that a request names below it.
///
/// # Errors
/// [`LoadError::NoProfile`].
pub fn below(request: Request, home: Option<&Path>) -> Result<Request, LoadError> {
    if request.profile.is_empty() {
        return Ok(request);
    }
    let mut below = Request::default();
    let mut named = BTreeSet::new();
    for said in &request.profile {
        let profile =
            find(&said.value).ok_or_else(|| LoadError::NoProfile { name: said.value.clone(), by: said.by.clone() })?;
        if named.insert(profile.name) {
            below = below.overlaid_by(profile.request(home)?);
        }
    }
    Ok(yielding(below, &request).overlaid_by(request))
}

/// What is left of profiles beside words of the user's that are added to, where one of a kind is meant.
fn yielding(mut below: Request, request: &Request) -> Request {
    if request.sandbox.as_ref().is_some_and(|said| said.value == Mode::FullAccess) {
        let note = "there is no sandbox, so the profiles grant nothing: only their variables are set".to_owned();
        return Request { env: below.env, notes: vec![note], ..Request::default() };
    }
    if !request.reach.publish.is_empty() {
        below.reach.publish.clear();
    }
    below
}

#[cfg(test)]
mod tests;
