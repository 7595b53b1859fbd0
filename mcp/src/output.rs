//! Output of a command, as much of it as is told: its start and its end.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first and the last bytes of a stream.
#[derive(Debug)]
pub struct Bounded {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    /// How many bytes are in neither.
    omitted: u64,
}

impl Bounded {
    /// Keeps so many bytes at most.
    pub fn new(most: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), half: most / 2, omitted: 0 }
    }

    /// Takes what comes next.
    pub fn push(&mut self, part: &[u8]) {
        let room = self.half.saturating_sub(self.head.len()).min(part.len());
        let (first, rest) = part.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.omitted += u64::try_from(over).unwrap_or(u64::MAX);
    }

    /// As text, with a line in the place of what is left out. What is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.omitted == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        format!("{head}\n[{} bytes are left out here]\n{tail}", self.omitted)
    }

    /// How many bytes are left out.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }
}

/// Reads a stream to its end, also what is not kept: a command must not wait for a reader.
pub async fn read(stream: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Bounded> {
    let mut kept = Bounded::new(most);
    let Some(mut stream) = stream else { return Ok(kept) };
    let mut part = vec![0; 1 << 16];
    loop {
        match stream.read(&mut part).await? {
            0 => return Ok(kept),
            size => kept.push(part.get(..size).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_and_the_end_are_kept() {
        for (most, parts, text, omitted) in [
            (8, &["abc"][..], "abc", 0),
            (8, &["abcd", "efgh"], "abcdefgh", 0),
            (8, &["abcdefghi"], "abcd\n[1 bytes are left out here]\nfghi", 1),
            (4, &["a", "bcdef", "g", "hi"], "ab\n[5 bytes are left out here]\nhi", 5),
            (0, &["abc"], "\n[3 bytes are left out here]\n", 3),
        ] {
            let mut kept = Bounded::new(most);
            parts.iter().for_each(|part| kept.push(part.as_bytes()));
            assert_eq!((kept.text().as_str(), kept.omitted()), (text, omitted), "{most} {parts:?}");
        }
    }

    #[test]
    fn a_character_is_whole_where_nothing_is_left_out() {
        let mut kept = Bounded::new(4);
        kept.push("aü".as_bytes());
        assert_eq!(kept.text(), "aü");
    }
}
