//! Lines on standard output.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::{self, Display, Write};

unsafe extern "C" {
    fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize;
}

/// Writes a line of words, parted by tabs.
pub fn line(words: &[&dyn Display]) {
    let mut line = Line { bytes: [0; 1024], length: 0 };
    for (number, word) in words.iter().enumerate() {
        let tab = if number == 0 { "" } else { "\t" };
        // What does not fit is cut off.
        let _cut = write!(line, "{tab}{word}");
    }
    line.send();
}

struct Line {
    bytes: [u8; 1024],
    length: usize,
}

impl Line {
    fn send(&mut self) {
        let end = self.length.min(self.bytes.len() - 1);
        self.bytes[end] = b'\n';
        let mut rest = &self.bytes[..=end];
        while !rest.is_empty() {
            // SAFETY: the pointer and the length are those of a live slice, which the kernel only reads.
            let written = unsafe { write(1, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
                // Nobody reads.
                _ => return,
            }
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - 1 - self.length;
        let taken = text.len().min(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        if taken == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Text of a library: no word of it ends a word or a line of ours.
pub struct Clean<'a>(&'a [u8]);

impl<'a> Clean<'a> {
    /// Up to the first NUL of a buffer, or all of it.
    pub fn buffer(bytes: &'a [u8]) -> Self {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Self(&bytes[..end])
    }

    /// Of a string that a library has returned.
    ///
    /// # Safety
    /// `text` is null, or leads to a NUL-terminated string that is neither changed nor freed during `'a`.
    pub unsafe fn string(text: *const c_char) -> Self {
        if text.is_null() {
            return Self(b"");
        }
        // SAFETY: not null, and so what the caller promises.
        Self(unsafe { CStr::from_ptr(text) }.to_bytes())
    }
}

impl Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = core::str::from_utf8(self.0).unwrap_or("?");
        for letter in text.chars() {
            f.write_char(if letter.is_control() { '?' } else { letter })?;
        }
        Ok(())
    }
}

/// Sixteen bytes, as UUIDs are written.
pub struct Uuid(pub [u8; 16]);

impl Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}
