//! What a command may use of the machine, as it is said.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Said;

/// How much of something there may be at most.
///
/// Source: `unlimited`, which takes back what was said before, or a number; what is counted says the type that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// As much as the caller may.
    Unlimited,
    /// So much; above 0.
    Of(u64),
}

impl Amount {
    /// The number, if there is one.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Of(limit) => Some(limit),
        }
    }
}

/// An [`Amount`] of bytes: `512M`, `1.5G`, `4096`; K, M, G and T are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub Amount);

/// An [`Amount`] of things: `256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub Amount);

/// An [`Amount`] of processor time, in thousandths of one processor: `1.5` is 1500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub Amount);

const UNLIMITED: &str = "unlimited";

/// Letters of sizes, and the power of 1024 that they stand for.
const UNITS: &[(char, u32)] = &[('K', 1), ('M', 2), ('G', 3), ('T', 4)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is no size such as 512M, 1.5G or unlimited");
        if text == UNLIMITED {
            return Ok(Self(Amount::Unlimited));
        }
        let ends = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(ends);
        let letter = unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit).to_ascii_uppercase();
        let scale = match letter.as_str() {
            "" => 1,
            letter => UNITS
                .iter()
                .find(|(name, _)| letter.chars().eq([*name]))
                .map(|(_, power)| 1024_u64.pow(*power))
                .ok_or_else(error)?,
        };
        scaled(number, scale).map(|bytes| Self(Amount::Of(bytes))).ok_or_else(error)
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is no number above 0, nor unlimited");
        if text == UNLIMITED {
            return Ok(Self(Amount::Unlimited));
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        scaled(text, 1).filter(|_| digits).map(|count| Self(Amount::Of(count))).ok_or_else(error)
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is no number of processors such as 2, 0.5 or unlimited");
        if text == UNLIMITED {
            return Ok(Self(Amount::Unlimited));
        }
        // Less than a hundredth the kernel cannot give.
        let thousandths = scaled(text, 1000).filter(|thousandths| *thousandths >= 10);
        thousandths.map(|thousandths| Self(Amount::Of(thousandths))).ok_or_else(error)
    }
}

/// A decimal number times `scale`, in whole units, above 0 and below 2^63; without exponents and signs.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let value = format!("{whole}{fraction}").parse::<u128>().ok()?.checked_mul(scale.into())? / power;
    u64::try_from(value).ok().filter(|value| *value > 0 && i64::try_from(*value).is_ok())
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str(UNLIMITED),
            Self::Of(limit) => write!(f, "{limit}"),
        }
    }
}

impl fmt::Display for Size {
    /// In the largest unit that gives a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0.limit() else { return self.0.fmt(f) };
        let whole = |(_, power): &&(char, u32)| bytes.is_multiple_of(1024_u64.pow(*power));
        match UNITS.iter().rev().find(whole) {
            Some((letter, power)) => write!(f, "{}{letter}", bytes / 1024_u64.pow(*power)),
            None => write!(f, "{bytes}"),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(thousandths) = self.0.limit() else { return self.0.fmt(f) };
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
    }
}

/// What a command may use of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `--memory`.
    pub memory: Option<Said<Size>>,
    /// `--pids`.
    pub pids: Option<Said<Count>>,
    /// `--cpus`.
    pub cpus: Option<Said<Cpus>>,
    /// `--open-files`.
    pub open_files: Option<Said<Count>>,
    /// `--file-size`.
    pub file_size: Option<Said<Size>>,
    /// `--tmp-size`.
    pub tmp_size: Option<Said<Size>>,
    /// `--timeout`.
    pub timeout: Option<Said<Duration>>,
    /// `--idle-timeout`.
    pub idle_timeout: Option<Said<Duration>>,
    /// `--cgroup`: the group in which the sandbox's is made; absolute.
    pub cgroup: Option<Said<PathBuf>>,
}

impl Limits {
    /// Lays `later` over `self`.
    #[must_use]
    pub fn overlaid_by(self, later: Self) -> Self {
        let Self { memory, pids, cpus, open_files, file_size, tmp_size, timeout, idle_timeout, cgroup } = later;
        Self {
            memory: memory.or(self.memory),
            pids: pids.or(self.pids),
            cpus: cpus.or(self.cpus),
            open_files: open_files.or(self.open_files),
            file_size: file_size.or(self.file_size),
            tmp_size: tmp_size.or(self.tmp_size),
            timeout: timeout.or(self.timeout),
            idle_timeout: idle_timeout.or(self.idle_timeout),
            cgroup: cgroup.or(self.cgroup),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = String> + fmt::Display>(table: &[(&str, &str)]) {
        for (text, want) in table {
            let read = text.parse::<T>().map_or_else(|error| error, |value| value.to_string());
            if want.is_empty() {
                assert!(read.starts_with(&format!("`{text}` is no ")), "{text}: {read}");
            } else {
                assert_eq!(read, *want, "{text}");
                // What is written reads back as the same.
                assert_eq!(want.parse::<T>().map(|value| value.to_string()), Ok((*want).to_owned()));
            }
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        check::<Size>(&[
            ("4096", "4K"),
            ("1000", "1000"),
            ("512M", "512M"),
            ("512m", "512M"),
            ("1.5G", "1536M"),
            ("1GiB", "1G"),
            ("2KB", "2K"),
            ("8T", "8T"),
            ("unlimited", "unlimited"),
            ("0", ""),
            ("0.0001K", ""),
            ("", ""),
            ("M", ""),
            ("-1", ""),
            ("+1", ""),
            ("1e3", ""),
            ("1.", ""),
            (".5G", ""),
            ("1 G", ""),
            ("1Gi", ""),
            ("1X", ""),
            ("8388608T", ""),
            ("99999999999999999999999999999999999999999999", ""),
            ("Unlimited", ""),
        ]);
    }

    #[test]
    fn counts_are_whole_and_processors_have_thousandths() {
        check::<Count>(&[("1", "1"), ("4096", "4096"), ("unlimited", "unlimited"), ("0", ""), ("1.5", ""), ("1K", "")]);
        check::<Cpus>(&[
            ("2", "2"),
            ("1.50", "1.5"),
            ("0.25", "0.25"),
            ("0.01", "0.01"),
            ("0.009", ""),
            ("0", ""),
            ("-1", ""),
            ("two", ""),
            ("unlimited", "unlimited"),
        ]);
    }
}
