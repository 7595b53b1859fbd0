//! Which variables reach the command: names that look like secrets do not.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::request::{Origin, Said};

/// What becomes of the caller's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvPolicy {
    /// Start from nothing.
    pub clear: bool,
    /// Variables set, or let through although they look like secrets (value `None`).
    pub said: Vec<Said<(OsString, Option<OsString>)>>,
    /// Whether names that look like secrets are dropped.
    pub filter: bool,
}

impl EnvPolicy {
    /// Whether the user said what a variable is to be.
    #[must_use]
    pub fn says(&self, name: &OsStr) -> bool {
        self.said.iter().any(|said| said.value.0 == name && said.value.1.is_some())
    }
}

/// How a row of [`SECRET_NAMES`] is compared, always with the upper-case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Anywhere in the name.
    Contains(&'static str),
    /// At the end.
    Ends(&'static str),
    /// The whole name.
    Is(&'static str),
}

use Pattern::{Contains, Ends, Is};

/// Names that look like secrets, or that lead to a socket which holds them.
pub const SECRET_NAMES: &[Pattern] = &[
    Contains("TOKEN"),
    Contains("SECRET"),
    Contains("PASSWORD"),
    Contains("PASSWD"),
    Contains("PASSPHRASE"),
    Contains("CREDENTIAL"),
    Contains("APIKEY"),
    Contains("PRIVATE_KEY"),
    Contains("ACCESS_KEY"),
    Ends("_KEY"),
    Ends("_KEY_ID"),
    Ends("_PAT"),
    Ends("_AUTH"),
    Ends("_COOKIE"),
    Ends("_DSN"),
    Is("DATABASE_URL"),
    Is("REDIS_URL"),
    Is("MONGODB_URI"),
    Is("SSH_AUTH_SOCK"),
    Is("GPG_AGENT_INFO"),
    Is("DBUS_SESSION_BUS_ADDRESS"),
    Is("KUBECONFIG"),
    Is("NETRC"),
    Is("PGPASSFILE"),
    Is("XAUTHORITY"),
];

/// Names that match [`SECRET_NAMES`] and hold no secret, with the program that needs them.
pub const HARMLESS_NAMES: &[(&str, &str)] = &[
    ("TOKENIZERS_PARALLELISM", "Hugging Face tokenizers"),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "Hugging Face hub"),
    ("MAX_TOKENS", "language model servers"),
    ("MAX_THINKING_TOKENS", "coding agents"),
    ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "coding agents"),
];

/// The pattern that makes `name` look like a secret, if one does.
#[must_use]
pub fn secret_pattern(name: &OsStr) -> Option<Pattern> {
    let upper = name.as_bytes().to_ascii_uppercase();
    if HARMLESS_NAMES.iter().any(|(harmless, _)| harmless.as_bytes() == upper) {
        return None;
    }
    SECRET_NAMES.iter().copied().find(|pattern| match pattern {
        Contains(text) => holds(&upper, text.as_bytes()),
        Ends(text) => upper.ends_with(text.as_bytes()),
        Is(text) => upper == text.as_bytes(),
    })
}

/// The first byte rules most places out: this is asked of each variable for each pattern, at each start.
fn holds(name: &[u8], text: &[u8]) -> bool {
    name.windows(text.len()).any(|part| part.first() == text.first() && part == text)
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contains(text) => write!(f, "*{text}*"),
            Ends(text) => write!(f, "*{text}"),
            Is(text) => f.write_str(text),
        }
    }
}

/// Who is named when a variable is dropped.
#[must_use]
pub fn dropped_by(pattern: Pattern) -> Origin {
    match pattern {
        Contains(text) | Ends(text) | Is(text) => Origin::Secret(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_secrets_are_found_and_others_are_not() {
        for name in ["GITHUB_TOKEN", "aws_secret_access_key", "OPENAI_API_KEY", "DATABASE_PASSWORD", "NPM_TOKEN"] {
            assert!(secret_pattern(OsStr::new(name)).is_some(), "{name}");
        }
        for name in ["PATH", "HOME", "TOKENIZERS_PARALLELISM", "KEYBOARD", "LANG", "CUDA_VISIBLE_DEVICES", "KEY"] {
            assert!(secret_pattern(OsStr::new(name)).is_none(), "{name}");
        }
    }
}
