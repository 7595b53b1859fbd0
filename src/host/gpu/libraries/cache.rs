//! The dynamic loader's cache, `/etc/ld.so.cache`: which file it takes for a name.
//!
//! Source: glibc, `sysdeps/generic/dl-cache.h`: `struct cache_file`, `struct cache_file_new`, and the flags of entries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// How a cache begins that has the new format, alone or behind the old one.
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
/// How a cache begins that has the old format, with the new one behind it.
const OLD: &[u8] = b"ld.so-1.7.0";

/// Bytes before the entries: the mark, two counts, the byte order, padding, where extensions are, and room.
const NEW_HEADER: usize = 48;
/// Bytes of an entry: flags, name, path, version of the system, capabilities.
const NEW_ENTRY: usize = 24;
/// Bytes before the entries of the old format: the mark, padded, and a count.
const OLD_HEADER: usize = 16;
/// Bytes of an entry of the old format: flags, name, path.
const OLD_ENTRY: usize = 12;

/// The low byte of the flags: a library for glibc's own dynamic loader.
const FOR_GLIBC: u32 = 3;
/// The next byte: for which processor and word size.
const PROCESSOR: u32 = if cfg!(target_arch = "x86_64") {
    0x0300
} else if cfg!(target_arch = "aarch64") {
    0x0a00
} else {
    0
};

/// One name and one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The name that programs ask for.
    pub(super) name: &'a [u8],
    path: &'a [u8],
}

impl Entry<'_> {
    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        OsStr::from_bytes(self.path).into()
    }
}

/// The entries for programs of this processor, in the cache's order, absolute paths only. Anything that is not a cache in
/// the byte order of this machine has none; what is broken in it is passed over.
pub(super) fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let cache = new_format(text).unwrap_or_default();
    let count = number(cache, NEW.len()).unwrap_or(0);
    let table = cache.get(NEW_HEADER..).unwrap_or_default().chunks_exact(NEW_ENTRY);
    table.take(count).filter_map(|entry| {
        let flags = u32::try_from(number(entry, 0)?).ok()?;
        if flags & 0xff != FOR_GLIBC || flags & 0xff00 != PROCESSOR {
            return None;
        }
        let (name, path) = (string(cache, number(entry, 4)?)?, string(cache, number(entry, 8)?)?);
        path.starts_with(b"/").then_some(Entry { name, path })
    })
}

/// The part in the new format: offsets in it count from its own start.
fn new_format(text: &[u8]) -> Option<&[u8]> {
    if text.starts_with(NEW) {
        return in_our_order(text);
    }
    if !text.starts_with(OLD) {
        return None;
    }
    let entries = number(text, 12)?.checked_mul(OLD_ENTRY)?;
    let end = OLD_HEADER.checked_add(entries)?;
    // Aligned as its 64-bit numbers have to be.
    let start = end.checked_next_multiple_of(8)?;
    in_our_order(text.get(start..).filter(|rest| rest.starts_with(NEW))?)
}

/// A byte says the order of the others: 0 in caches that are older than it, 2 little, 3 big.
fn in_our_order(cache: &[u8]) -> Option<&[u8]> {
    let ours = if cfg!(target_endian = "little") { 2 } else { 3 };
    let order = cache.get(28)? & 3;
    (order == 0 || order == ours).then_some(cache)
}

fn number(text: &[u8], at: usize) -> Option<usize> {
    let bytes = text.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_ne_bytes(*bytes)).ok()
}

fn string(text: &[u8], at: usize) -> Option<&[u8]> {
    let rest = text.get(at..)?;
    rest.get(..rest.iter().position(|byte| *byte == 0)?)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cache with these entries, as ldconfig writes it; with `old`, behind a cache in the old format.
    pub(in super::super) fn written(entries: &[(&str, &str)], old: bool) -> Vec<u8> {
        let mut text = Vec::new();
        if old {
            text.extend(OLD);
            text.extend([0; 1]);
            text.extend(1_u32.to_ne_bytes());
            text.extend([0; OLD_ENTRY]);
            text.resize(text.len().next_multiple_of(8), 0);
        }
        text.extend(with_flags(entries, FOR_GLIBC | PROCESSOR));
        text
    }

    fn with_flags(entries: &[(&str, &str)], flags: u32) -> Vec<u8> {
        let (mut table, mut strings) = (Vec::new(), Vec::new());
        let start = NEW_HEADER + entries.len() * NEW_ENTRY;
        let mut put = |text: &str| {
            let at = u32::try_from(start + strings.len()).unwrap();
            strings.extend(text.bytes().chain([0]));
            at.to_ne_bytes()
        };
        for (name, path) in entries {
            table.extend(flags.to_ne_bytes());
            table.extend(put(name));
            table.extend(put(path));
            table.extend([0; 12]);
        }
        let count = |length: usize| u32::try_from(length).unwrap().to_ne_bytes();
        let mut text = NEW.to_vec();
        text.extend(count(entries.len()));
        text.extend(count(strings.len()));
        text.push(if cfg!(target_endian = "little") { 2 } else { 3 });
        text.resize(NEW_HEADER, 0);
        text.extend(table.into_iter().chain(strings));
        text
    }

    fn read(text: &[u8]) -> Vec<(String, String)> {
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        entries(text).map(|entry| (text_of(entry.name), text_of(entry.path))).collect()
    }

    const TWO: &[(&str, &str)] = &[("libb.so.2", "/lib/libb.so.2"), ("liba.so.1", "/usr/lib/x/liba.so.1")];

    #[test]
    fn both_forms_are_read() {
        for old in [false, true] {
            let found = read(&written(TWO, old));
            let found: Vec<_> = found.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
            assert_eq!(found, TWO, "behind the old format: {old}");
        }
    }

    #[test]
    fn what_is_not_for_this_processor_or_no_cache_is_passed_over() {
        assert_eq!(read(&with_flags(TWO, FOR_GLIBC)).len(), if PROCESSOR == 0 { 2 } else { 0 }, "32 bits");
        assert_eq!(read(&with_flags(TWO, PROCESSOR | 1)), []);
        assert_eq!(read(&written(&[("liba.so", "lib/liba.so")], false)), []);
        let mut other_order = written(TWO, false);
        other_order[28] ^= 1;
        assert_eq!(read(&other_order), []);
        for text in [&b""[..], b"glibc-ld.so.cache1.0", b"ld.so-1.7.0", b"/usr/lib", &[0xff; 100]] {
            assert_eq!(read(text), []);
        }
    }

    #[test]
    fn a_cache_that_ends_early_holds_what_is_whole_in_it() {
        let whole = written(TWO, false);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).len() < 2, "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(mut text in proptest::collection::vec(any::<u8>(), 0..200), mark in 0..3) {
            match mark {
                0 => text = [NEW, &text].concat(),
                1 => text = [OLD, &text].concat(),
                _ => {}
            }
            prop_assert!(entries(&text).count() <= text.len());
        }

        #[test]
        fn no_broken_cache_brings_it_down(at in 0..200_usize, byte in any::<u8>(), old in any::<bool>()) {
            let mut text = written(TWO, old);
            let length = text.len();
            text[at % length] = byte;
            prop_assert!(entries(&text).count() <= 2 + length / NEW_ENTRY);
        }
    }
}
