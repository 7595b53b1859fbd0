//! The mount table (proc(5), `/proc/self/mountinfo`): where else the same directory can be seen.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Device number of the file system, as text.
    pub device: Vec<u8>,
    /// Which directory of the file system is mounted.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its own options, comma-separated: `rw,nosuid,relatime`.
    pub options: Vec<u8>,
    /// The kind of file system.
    pub kind: Vec<u8>,
    /// The file system's options, comma-separated.
    pub data: Vec<u8>,
}

impl Mounted {
    /// Whether an option is set.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.split(|byte| *byte == b',').any(|set| set == option.as_bytes())
    }
}

/// Reads a mount table; lines that make no sense are left out.
#[must_use]
pub fn parse(table: &[u8]) -> Vec<Mounted> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let device = fields.next()?.to_vec();
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        let options = fields.next()?.to_vec();
        // Optional fields end with a dash; the source stands between.
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let mut next = || rest.next().unwrap_or_default().to_vec();
        let (kind, _source, data) = (next(), next(), next());
        Some(Mounted { device, root, point, options, kind, data })
    };
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Other paths that lead to what is at `path` (canonical), or to a part of it, through another mount.
#[must_use]
pub fn aliases(table: &[Mounted], path: &Path) -> Vec<PathBuf> {
    let above = table.iter().enumerate().filter(|(_, mounted)| path.starts_with(&mounted.point));
    // At the same mount point the later mount covers the earlier one.
    let Some((index, own)) = above.max_by_key(|(index, mounted)| (mounted.point.components().count(), *index)) else {
        return Vec::new();
    };
    let Ok(below) = path.strip_prefix(&own.point) else { return Vec::new() };
    let inside = own.root.join(below);
    let others = table.iter().enumerate().filter(|(other, mounted)| *other != index && mounted.device == own.device);
    others
        .filter_map(|(_, mounted)| {
            if let Ok(below) = inside.strip_prefix(&mounted.root) {
                return Some(mounted.point.join(below));
            }
            mounted.root.starts_with(&inside).then(|| mounted.point.clone())
        })
        .filter(|alias| alias != path)
        .collect()
}

/// Undoes the octal escapes of blanks, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n\
        40 27 254:0 /home/u/vault /mnt/a\\040b rw - ext4 /dev/vda rw\n\
        41 27 254:0 /home/u/vault/in /mnt/part rw - ext4 /dev/vda rw\n\
        42 27 254:0 /home /srv rw - ext4 /dev/vda rw\n\
        43 27 0:22 / /sys rw - sysfs sysfs rw\n";

    #[test]
    fn the_same_directory_is_found_through_every_mount_that_shows_it_or_a_part_of_it() {
        let table = parse(TABLE);
        let want: Vec<PathBuf> = ["/mnt/a b", "/mnt/part", "/srv/u/vault"].map(PathBuf::from).to_vec();
        assert_eq!(aliases(&table, Path::new("/home/u/vault")), want);
        assert_eq!(aliases(&table, Path::new("/srv/u/vault")).len(), 3, "also from the other side");
        assert_eq!(aliases(&table, Path::new("/etc")), Vec::<PathBuf>::new());
    }
}
