//! Memory that connections hold while they wait, of all of them together: each alone may hold much, and thousands may not.

use std::cell::Cell;
use std::io;

/// How much may be kept before more of it gets dear.
pub const MUCH: usize = 16 << 20;

/// What one connection may hold of it in any case.
const LITTLE: usize = 16 << 10;

thread_local! {
    static ALL: Cell<usize> = const { Cell::new(0) };
}

/// How much there is.
pub fn all() -> usize {
    ALL.get()
}

/// What one holder keeps; nothing any more when it is dropped.
#[derive(Debug, Default)]
pub struct Kept(usize);

impl Kept {
    /// Keeps so many bytes now.
    pub fn set(&mut self, bytes: usize) {
        ALL.set(ALL.get().saturating_sub(self.0) + bytes);
        self.0 = bytes;
    }

    /// As [`Kept::set`], unless that is more than little and there is much already.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn try_set(&mut self, bytes: usize) -> io::Result<()> {
        self.set(bytes);
        if bytes > LITTLE && all() > MUCH { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_kept_by_few_and_little_by_all() {
        assert_eq!(all(), 0);
        let mut few: Vec<Kept> = Vec::new();
        let refused = loop {
            let mut one = Kept::default();
            if let Err(error) = one.try_set(64 << 10) {
                break error;
            }
            few.push(one);
        };
        assert_eq!((refused.kind(), few.len()), (io::ErrorKind::OutOfMemory, MUCH / (64 << 10)));
        let mut more = Kept::default();
        assert!(more.try_set(LITTLE).is_ok() && more.try_set(LITTLE + 1).is_err() && more.try_set(LITTLE).is_ok());
        few.push(more);
        assert!(few[0].try_set(64 << 10).is_err());
        drop(few);
        assert_eq!(all(), 0);
    }
}
