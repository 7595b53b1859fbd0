//! YAML → a small tree in which every key and value knows its place.
//!
//! A policy is a short text that people read, so what makes YAML surprising is refused: anchors, aliases, tags, merge
//! keys, the same key twice, more than one document. What a plain word means follows the core schema of YAML 1.2; what
//! stands in quotes is text.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

/// The longest policy that is read.
pub const MAX_BYTES: usize = 1 << 20;
/// How deep lists and mappings may lie in one another.
pub const MAX_DEPTH: usize = 32;
/// How many keys and values there may be in a policy.
pub const MAX_NODES: usize = 100_000;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub bytes: usize,
    /// How many keys and values there may be.
    pub nodes: usize,
}

impl Limits {
    /// A text that people write.
    pub const POLICY: Self = Self { bytes: MAX_BYTES, nodes: MAX_NODES };
}

/// Where something stands: counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The first character.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl From<&Marker> for Place {
    fn from(marker: &Marker) -> Self {
        // The parser counts columns from 0.
        Self { line: marker.line().max(1), column: marker.col().saturating_add(1) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct YamlError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// One thing to do about it.
    pub hint: Option<&'static str>,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins; of a value that is left out, its key's place.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word, number or text.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the text.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// A word, number or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Without quotes, escapes resolved.
    pub text: String,
    /// Whether it stands in quotes or is a block: then it is text, whatever it looks like.
    pub quoted: bool,
}

/// What a scalar is in the core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Integer,
    /// A number with a fraction or an exponent, infinity, or none.
    Float,
    /// Everything else.
    Text,
}

impl Scalar {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.text.as_str() {
            _ if self.quoted => Kind::Text,
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            text if is_integer(text) => Kind::Integer,
            text if is_float(text) => Kind::Float,
            _ => Kind::Text,
        }
    }
}

fn is_integer(text: &str) -> bool {
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => all(digits, 16),
        (_, Some(digits)) => all(digits, 8),
        _ => all(text.strip_prefix(['-', '+']).unwrap_or(text), 10),
    }
}

fn is_float(text: &str) -> bool {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(number, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    some && digits(whole) && digits(fraction) && !exponent.is_empty() && digits(exponent)
}

/// Reads a text whose top level is a mapping.
///
/// # Errors
/// [`YamlError`], with the place. Only the first: what follows it cannot be trusted.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    parse_within(text, Limits::POLICY)
}

/// As [`parse`], for texts that programs write.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(text: &str, limits: Limits) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_text(text, limits.bytes)?;
    let mut parser = Parser::new_from_str(text);
    let mut tree = Tree { most: limits.nodes, ..Tree::default() };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        tree.event(event, Place::from(&span.start))?;
    }
    tree.finish()
}

fn error(place: Place, message: impl Into<String>) -> YamlError {
    YamlError { place, message: message.into(), hint: None }
}

/// The parser takes NUL for the end of the text, so what stands behind it would never be seen.
fn check_text(text: &str, most: usize) -> Result<(), YamlError> {
    if text.len() > most {
        let message = format!("the file has {} bytes, {most} are allowed", text.len());
        return Err(error(Place::START, message));
    }
    let (mut line, mut column) = (1, 1);
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') || c == '\u{feff}' {
            return Err(error(Place { line, column }, format!("control character {}", c.escape_unicode())));
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    Ok(())
}

const QUOTE_STAR: &str = "a value that begins with `*` or `&` must stand in quotes, for example \"*.example.com\"";

fn scan_error(error: &ScanError) -> YamlError {
    let alias = ["unknown anchor", "anchor or alias"].iter().any(|part| error.info().contains(part));
    let message = if alias { "aliases are not allowed" } else { error.info() };
    YamlError { place: error.marker().into(), message: message.to_owned(), hint: alias.then_some(QUOTE_STAR) }
}

/// A list or mapping whose end has not been seen.
#[derive(Debug)]
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<Entry>, key: Option<(String, Place)>, seen: BTreeMap<String, Place> },
}

#[derive(Debug, Default)]
struct Tree {
    documents: usize,
    nodes: usize,
    /// How many there may be.
    most: usize,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Tree {
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), YamlError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.documents > 0 => Err(error(place, "a second document begins here")),
            Event::DocumentStart(_) => {
                self.documents += 1;
                Ok(())
            }
            Event::Alias(_) => Err(YamlError { hint: Some(QUOTE_STAR), ..error(place, "aliases are not allowed") }),
            Event::Scalar(text, style, anchor, tag) => {
                self.count(place, anchor, tag.is_some())?;
                self.scalar(Scalar { text: text.into_owned(), quoted: style != ScalarStyle::Plain }, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.count(place, anchor, tag.is_some())?;
                self.begin(place, Open::List { place, items: Vec::new() })
            }
            Event::MappingStart(anchor, tag) => {
                self.count(place, anchor, tag.is_some())?;
                let (entries, seen) = (Vec::new(), BTreeMap::new());
                self.begin(place, Open::Map { place, entries, key: None, seen })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end();
                Ok(())
            }
        }
    }

    fn count(&mut self, place: Place, anchor: usize, tagged: bool) -> Result<(), YamlError> {
        self.nodes += 1;
        if anchor != 0 {
            return Err(YamlError { hint: Some(QUOTE_STAR), ..error(place, "anchors are not allowed") });
        }
        if tagged {
            return Err(error(place, "tags are not allowed"));
        }
        if self.nodes > self.most {
            return Err(error(place, format!("more than {} keys and values", self.most)));
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, open: Open) -> Result<(), YamlError> {
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            return Err(error(place, "a key must be a word, not a list or mapping"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(error(place, format!("lists and mappings lie more than {MAX_DEPTH} deep in one another")));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, scalar: Scalar, place: Place) -> Result<(), YamlError> {
        // Line breaks come from blocks and folded text; whoever cannot use them says so.
        if let Some(c) = scalar.text.chars().find(|c| c.is_control() && *c != '\n') {
            return Err(error(place, format!("control character {} in a value", c.escape_unicode())));
        }
        if let Some(Open::Map { key: key @ None, seen, .. }) = self.open.last_mut() {
            *key = Some((take_key(scalar, place, seen)?, place));
            return Ok(());
        }
        self.put(Node { place, value: Value::Scalar(scalar) });
        Ok(())
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::List { place, items }) => self.put(Node { place, value: Value::List(items) }),
            Some(Open::Map { place, entries, .. }) => self.put(Node { place, value: Value::Map(entries) }),
            None => {}
        }
    }

    fn put(&mut self, mut node: Node) {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, place)) = key.take() {
                    // The parser places a missing value wherever it noticed that nothing comes.
                    if matches!(&node.value, Value::Scalar(scalar) if scalar.text.is_empty() && !scalar.quoted) {
                        node.place = place;
                    }
                    entries.push(Entry { key, place, node });
                }
            }
            None => self.root = Some(node),
        }
    }

    fn finish(self) -> Result<Node, YamlError> {
        match self.root {
            Some(node) if matches!(node.value, Value::Map(_)) => Ok(node),
            Some(Node { value: Value::List(_), place }) => {
                Err(error(place, "the top level is a list, a mapping of keys is expected"))
            }
            Some(Node { value: Value::Scalar(scalar), place }) if scalar.kind() != Kind::Null => {
                Err(error(place, "the top level is a single value, a mapping of keys is expected"))
            }
            _ => Err(error(Place::START, "the file is empty")),
        }
    }
}

fn take_key(scalar: Scalar, place: Place, seen: &mut BTreeMap<String, Place>) -> Result<String, YamlError> {
    let Scalar { text, quoted } = scalar;
    if text == "<<" && !quoted {
        return Err(error(place, "merge keys (`<<`) are not allowed"));
    }
    if text.is_empty() || text.contains('\n') {
        return Err(error(place, "a key must be a word on one line"));
    }
    match seen.entry(text.clone()) {
        Slot::Vacant(slot) => {
            slot.insert(place);
            Ok(text)
        }
        Slot::Occupied(first) => {
            let message = format!("key `{text}` is there twice, first in line {}", first.get().line);
            Err(error(place, message))
        }
    }
}
