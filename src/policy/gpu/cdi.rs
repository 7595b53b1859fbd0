//! Names of CDI devices, `vendor/class=device`, and what they are made of.

use std::fmt;
use std::str::FromStr;

/// The vendor whose devices are for managing a machine: they give access to everything.
pub const MANAGEMENT_VENDOR: &str = "management.nvidia.com";

/// A device by its CDI name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CdiName {
    vendor: String,
    class: String,
    device: String,
}

impl CdiName {
    /// Puts a name together.
    ///
    /// # Errors
    /// [`NameFault`] for the first part that is none.
    pub fn new(vendor: &str, class: &str, device: &str) -> Result<Self, NameFault> {
        check_kind_part("vendor", vendor)?;
        check_kind_part("class", class)?;
        check_device(device)?;
        Ok(Self { vendor: vendor.to_owned(), class: class.to_owned(), device: device.to_owned() })
    }

    /// As `nvidia.com`.
    #[must_use]
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// As `gpu`.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// As `0`, `all` or `GPU-6f1c…`.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// `vendor/class`, as files say it.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("{}/{}", self.vendor, self.class)
    }

    /// Whether it is one of the devices for managing a machine, which are not for sandboxes.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.vendor == MANAGEMENT_VENDOR
    }
}

impl fmt::Display for CdiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}={}", self.vendor, self.class, self.device)
    }
}

/// A text that is no CDI name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a CDI name such as nvidia.com/gpu=0: {fault}")]
pub struct CdiSyntax {
    /// What was written.
    pub text: String,
    /// What is wrong.
    pub fault: NameFault,
}

/// What is wrong with a part of a name; `what` is `vendor`, `class` or `device name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// It has no `=`.
    #[error("`=` and the name of a device are missing")]
    NoDevice,
    /// It has no `/` before the `=`.
    #[error("`/` and a class are missing")]
    NoClass,
    /// A part is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Which part.
        what: &'static str,
    },
    /// A part begins with something that it cannot begin with.
    #[error("the {what} begins with `{found}`, not with {allowed}")]
    First {
        /// Which part.
        what: &'static str,
        /// What it begins with.
        found: String,
        /// What it may begin with.
        allowed: &'static str,
    },
    /// A part ends with something that it cannot end with.
    #[error("the {what} ends with `{found}`, not with a letter or digit")]
    Last {
        /// Which part.
        what: &'static str,
        /// What it ends with.
        found: String,
    },
    /// A character that no part may hold.
    #[error("the {what} holds `{found}`, and only letters, digits and {allowed} are allowed")]
    Character {
        /// Which part.
        what: &'static str,
        /// The character, escaped where it cannot be shown.
        found: String,
        /// What else is allowed.
        allowed: &'static str,
    },
}

impl FromStr for CdiName {
    type Err = CdiSyntax;

    /// Accepts `vendor/class=device`, and the same after `cdi:`.
    fn from_str(text: &str) -> Result<Self, CdiSyntax> {
        let name = text.strip_prefix("cdi:").unwrap_or(text);
        split(name).map_err(|fault| CdiSyntax { text: text.to_owned(), fault })
    }
}

fn split(name: &str) -> Result<CdiName, NameFault> {
    let (kind, device) = name.split_once('=').ok_or(NameFault::NoDevice)?;
    let (vendor, class) = split_kind(kind)?;
    CdiName::new(vendor, class, device)
}

/// `vendor/class` as a vendor and a class, both checked.
///
/// # Errors
/// [`NameFault`].
pub fn split_kind(kind: &str) -> Result<(&str, &str), NameFault> {
    let (vendor, class) = kind.split_once('/').ok_or(NameFault::NoClass)?;
    check_kind_part("vendor", vendor)?;
    check_kind_part("class", class)?;
    Ok((vendor, class))
}

fn check_kind_part(what: &'static str, part: &str) -> Result<(), NameFault> {
    check(what, part, |c| c.is_ascii_alphabetic(), "a letter", "_ - .")
}

/// The name of a device alone.
///
/// # Errors
/// [`NameFault`].
pub fn check_device(name: &str) -> Result<(), NameFault> {
    check("device name", name, |c| c.is_ascii_alphanumeric(), "a letter or digit", "_ - . :")
}

fn check(
    what: &'static str,
    part: &str,
    may_begin: fn(char) -> bool,
    begins: &'static str,
    allowed: &'static str,
) -> Result<(), NameFault> {
    let (Some(first), Some(last)) = (part.chars().next(), part.chars().next_back()) else {
        return Err(NameFault::Empty { what });
    };
    let shown = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    if !may_begin(first) {
        return Err(NameFault::First { what, found: shown(first), allowed: begins });
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c != ' ' && allowed.contains(c);
    if let Some(found) = part.chars().find(|c| !fits(*c)) {
        return Err(NameFault::Character { what, found: shown(found), allowed });
    }
    if last.is_ascii_alphanumeric() { Ok(()) } else { Err(NameFault::Last { what, found: shown(last) }) }
}
