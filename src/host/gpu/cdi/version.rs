//! Versions of the format, and what each of them brought.
//!
//! Source: the CDI specification, its list of released versions and the minimum version of each field.

use std::fmt;
use std::str::FromStr;

/// A released version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u8, u8, u8);

impl Version {
    /// `type` of a mount.
    pub const MOUNT_TYPE: Self = Self(0, 4, 0);
    /// `hostPath` of a device node, and device names that begin with a digit.
    pub const HOST_PATH: Self = Self(0, 5, 0);
    /// See [`Version::HOST_PATH`].
    pub const DIGIT_FIRST: Self = Self(0, 5, 0);
    /// Annotations, and a dot in the class.
    pub const ANNOTATIONS: Self = Self(0, 6, 0);
    /// See [`Version::ANNOTATIONS`].
    pub const DOTTED_CLASS: Self = Self(0, 6, 0);
    /// `intelRdt` and `additionalGids`.
    pub const GIDS: Self = Self(0, 7, 0);
    /// See [`Version::GIDS`].
    pub const INTEL_RDT: Self = Self(0, 7, 0);
    /// `netDevices`, and two more fields of `intelRdt`.
    pub const NET_DEVICES: Self = Self(1, 1, 0);
    /// See [`Version::NET_DEVICES`].
    pub const SCHEMATA: Self = Self(1, 1, 0);
}

/// All of them, oldest first.
pub const VERSIONS: &[Version] = &[
    Version(0, 1, 0),
    Version(0, 2, 0),
    Version(0, 3, 0),
    Version(0, 4, 0),
    Version(0, 5, 0),
    Version(0, 6, 0),
    Version(0, 7, 0),
    Version(0, 8, 0),
    Version(1, 0, 0),
    Version(1, 1, 0),
];

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = ();

    /// Accepts exactly the released versions; a leading `v` is tolerated, as the reference library does.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.strip_prefix('v').unwrap_or(text);
        VERSIONS.iter().find(|version| version.to_string() == text).copied().ok_or(())
    }
}
