//! The end of a chunked body. Its bytes pass as they are, so only what every reader takes for the same is accepted.

use super::fault::{Cause, Fault, Side};
use super::head;

/// 2^62: above it sums of sizes could wrap in somebody's signed arithmetic.
const LARGEST_CHUNK: u64 = 1 << 62;
const MOST_DIGITS: u8 = 16;
const LONGEST_EXTENSION: u16 = 256;
const LARGEST_TRAILERS: u16 = 8 << 10;

/// Finds the end of a chunked body that comes in pieces.
///
/// At any time, what was accepted is the beginning of a well-formed body: the first byte that cannot be a part of one is
/// refused, not only the line that it stands in. So no reader behind us can find an end that we have not seen.
///
/// Source: RFC 9112 section 7.1. Spaces around sizes and empty extensions are refused; trailer fields pass, except those
/// that a head decides on.
#[derive(Debug, Clone)]
pub struct Chunked {
    side: Side,
    state: State,
    /// The name of a trailer field as far as it has come, and how long all of them are.
    name: String,
    trailers: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Extension { value: u64, length: u16 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataEnd,
    DataEndLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastEnd,
    Done,
    Broken(Cause),
}

const START: State = State::Size { value: 0, digits: 0 };

impl Chunked {
    /// For a body that `side` sends.
    pub fn new(side: Side) -> Self {
        Self { side, state: START, name: String::new(), trailers: 0 }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of the next bytes are data of a chunk, whatever they are. They can be passed on without [`Self::feed`], if
    /// [`Self::skip`] is told.
    pub fn data_left(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// Takes note that so many bytes of data went by; at most [`Self::data_left`] are counted.
    pub fn skip(&mut self, count: u64) {
        if let State::Data { left } = self.state {
            let left = left.saturating_sub(count);
            self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
        }
    }

    /// Looks at the next bytes and says how many of them belong to the body: all of them, until it is done.
    ///
    /// # Errors
    /// If they cannot be a part of one. Then nothing of `bytes` is to be passed on, and every further call fails too.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first().filter(|_| !self.is_done()) {
            let data = usize::try_from(self.data_left()).unwrap_or(usize::MAX).min(rest.len());
            if data > 0 {
                self.skip(data as u64);
                rest = &rest[data..];
                continue;
            }
            self.state = self.next(*first).unwrap_or_else(State::Broken);
            if let State::Broken(cause) = self.state {
                return Err(self.side.fault()(cause));
            }
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    fn next(&mut self, byte: u8) -> Result<State, Cause> {
        match self.state {
            State::Size { value, digits } => size(value, digits, byte),
            State::Extension { value, length } => extension(value, length, byte),
            State::SizeEnd { value: 0 } => exactly(byte, b'\n', State::TrailerStart),
            State::SizeEnd { value } => exactly(byte, b'\n', State::Data { left: value }),
            State::DataEnd => exactly(byte, b'\r', State::DataEndLf),
            State::DataEndLf => exactly(byte, b'\n', START),
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerEnd | State::LastEnd => {
                self.trailer(byte)
            }
            State::Broken(cause) => Err(cause),
            // `feed` takes no byte of these as one of the frame's.
            State::Data { .. } | State::Done => Err(Cause::Chunk),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Cause> {
        self.trailers += 1;
        if self.trailers > LARGEST_TRAILERS {
            return Err(Cause::TrailerTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastEnd),
            (State::LastEnd, b'\n') => Ok(State::Done),
            (State::TrailerName, b':') if !head::is_ours(&self.name) => {
                self.name.clear();
                Ok(State::TrailerValue)
            }
            (State::TrailerStart | State::TrailerName, byte) if is_token(byte) => {
                self.name.push(char::from(byte));
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            _ => Err(Cause::Trailer),
        }
    }
}

fn exactly(byte: u8, expected: u8, next: State) -> Result<State, Cause> {
    if byte == expected { Ok(next) } else { Err(Cause::Chunk) }
}

fn size(value: u64, digits: u8, byte: u8) -> Result<State, Cause> {
    if let Some(digit) = char::from(byte).to_digit(16) {
        let value = value.checked_mul(16).map(|value| value + u64::from(digit));
        let value = value.filter(|value| *value <= LARGEST_CHUNK && digits < MOST_DIGITS);
        return value.map(|value| State::Size { value, digits: digits + 1 }).ok_or(Cause::ChunkSize);
    }
    match byte {
        b';' if digits > 0 => Ok(State::Extension { value, length: 0 }),
        b'\r' if digits > 0 => Ok(State::SizeEnd { value }),
        _ => Err(Cause::Chunk),
    }
}

fn extension(value: u64, length: u16, byte: u8) -> Result<State, Cause> {
    match byte {
        b'\r' if length > 0 => Ok(State::SizeEnd { value }),
        b'\t' | b' '..=b'~' if length < LONGEST_EXTENSION => Ok(State::Extension { value, length: length + 1 }),
        b'\t' | b' '..=b'~' => Err(Cause::ChunkExtension),
        _ => Err(Cause::Chunk),
    }
}

/// A character of a field's name (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
