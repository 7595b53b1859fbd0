//! The tree of a policy, read by key: what is missing, unknown or of another type is written down, and reading goes on.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Rejected, Violation};
use crate::request::near::nearest;
use crate::request::yaml::{Entry, Kind, Node, Place, Value};
use crate::request::{Origin, Request, Said};

/// Where something stands, and by which key: `filesystem_policy.read_only[2]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::request) struct Spot {
    pub key: String,
    pub place: Place,
}

impl Spot {
    /// The spot of the whole file.
    pub(in crate::request) fn file() -> Self {
        Self { key: String::new(), place: Place::START }
    }

    /// A key below this one that is not there, so its place is this one's.
    pub(in crate::request) fn below(&self, key: &str) -> Self {
        Self { key: dotted(&self.key, key), place: self.place }
    }
}

/// A value with its key.
#[derive(Debug, Clone)]
pub(in crate::request) struct Field<'a> {
    /// Of the value.
    pub spot: Spot,
    /// Of the key; of an item of a list, the item's.
    pub key_place: Place,
    /// The last part of the key.
    pub name: &'a str,
    pub node: &'a Node,
}

/// A text with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::request) struct Word {
    pub text: String,
    pub spot: Spot,
}

/// A mapping whose keys are known.
#[derive(Debug, Clone)]
pub(in crate::request) struct Section<'a> {
    pub spot: Spot,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    pub(in crate::request) fn get(&self, key: &str) -> Option<Field<'a>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| self.field(entry))
    }

    pub(in crate::request) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub(in crate::request) fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.entries.iter().map(|entry| self.field(entry))
    }

    pub(in crate::request) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn field(&self, entry: &'a Entry) -> Field<'a> {
        let spot = Spot { key: dotted(&self.spot.key, &entry.key), place: entry.node.place };
        Field { spot, key_place: entry.place, name: &entry.key, node: &entry.node }
    }
}

/// Collects what is wrong and what is worth a remark.
#[derive(Debug)]
pub(in crate::request) struct Reader<'f> {
    pub file: &'f Path,
    pub violations: Vec<Violation>,
    pub notes: Vec<(Place, String)>,
}

impl<'f> Reader<'f> {
    pub(in crate::request) fn new(file: &'f Path) -> Self {
        Self { file, violations: Vec::new(), notes: Vec::new() }
    }

    pub(in crate::request) fn refuse(&mut self, spot: &Spot, code: &'static str, message: impl Into<String>) {
        self.refuse_with(spot, code, message, None);
    }

    pub(in crate::request) fn refuse_with(
        &mut self,
        spot: &Spot,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let Spot { key, place } = spot.clone();
        let (file, message) = (self.file.to_owned(), message.into());
        self.violations.push(Violation {
            code,
            path: file,
            line: place.line,
            column: place.column,
            key,
            message,
            hint,
        });
    }

    /// A remark: one line with its place.
    pub(in crate::request) fn note(&mut self, spot: &Spot, message: impl AsRef<str>) {
        let key = if spot.key.is_empty() { String::new() } else { format!("{}: ", spot.key) };
        let note = format!("{}:{}: {key}{}", self.file.display(), spot.place.line, message.as_ref());
        self.notes.push((spot.place, note));
    }

    pub(in crate::request) fn origin(&self, place: Place) -> Origin {
        Origin::File { path: self.file.to_owned(), line: place.line }
    }

    pub(in crate::request) fn said<T>(&self, value: T, place: Place) -> Said<T> {
        Said::new(value, self.origin(place))
    }

    fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", describe(field.node));
        let hint = match &field.node.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::Null => Some("leave it out if nothing is meant".to_owned()),
            Value::Scalar(scalar) if expected == "text" => Some(format!("write \"{}\"", shown(&scalar.text))),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        };
        self.refuse_with(&field.spot, "policy.type", message, hint);
    }

    /// The mapping with these keys and no others.
    pub(in crate::request) fn open<'a>(&mut self, field: &Field<'a>, known: &[&str]) -> Option<Section<'a>> {
        let section = self.open_any(field)?;
        self.unknown_keys(&section, known);
        Some(section)
    }

    /// The mapping, whose keys are names.
    pub(in crate::request) fn open_any<'a>(&mut self, field: &Field<'a>) -> Option<Section<'a>> {
        let spot = Spot { key: field.spot.key.clone(), place: field.key_place };
        match &field.node.value {
            Value::Map(entries) => Some(Section { spot, entries }),
            Value::Scalar(_) | Value::List(_) => {
                self.wrong_type(field, "a mapping");
                None
            }
        }
    }

    /// The whole file.
    pub(in crate::request) fn top<'a>(&mut self, node: &'a Node, known: &[&str]) -> Option<Section<'a>> {
        let field = Field { spot: Spot::file(), key_place: Place::START, name: "", node };
        self.open(&field, known)
    }

    /// The whole file, whose keys are names.
    pub(in crate::request) fn top_any<'a>(&mut self, node: &'a Node) -> Option<Section<'a>> {
        self.open_any(&Field { spot: Spot::file(), key_place: Place::START, name: "", node })
    }

    /// The request with the remarks, or all that is wrong, in the order of the text.
    ///
    /// # Errors
    /// [`Rejected`].
    pub(in crate::request) fn finish(self, request: Request) -> Result<Request, Rejected> {
        let Self { mut violations, mut notes, .. } = self;
        if violations.is_empty() {
            notes.sort_by_key(|(place, _)| *place);
            return Ok(Request { notes: notes.into_iter().map(|(_, note)| note).collect(), ..request });
        }
        violations.sort_by_key(|violation| (violation.line, violation.column));
        Err(Rejected(violations))
    }

    fn unknown_keys(&mut self, section: &Section<'_>, known: &[&str]) {
        for field in section.fields().filter(|field| !known.contains(&field.name)) {
            let spot = Spot { place: field.key_place, ..field.spot };
            let near = nearest(field.name, known).map(|near| format!("did you mean `{near}`?"));
            self.refuse_with(&spot, "policy.unknown_key", format!("unknown key `{}`", shown(field.name)), near);
        }
    }

    /// A mapping below a key. One that holds nothing is as good as none.
    pub(in crate::request) fn section<'a>(
        &mut self,
        of: &Section<'a>,
        key: &str,
        known: &[&str],
    ) -> Option<Section<'a>> {
        let field = of.get(key).filter(|field| !is_null(field.node))?;
        self.open(&field, known)
    }

    /// As [`Reader::section`] for a mapping of names.
    pub(in crate::request) fn names<'a>(&mut self, of: &Section<'a>, key: &str) -> Option<Section<'a>> {
        let field = of.get(key).filter(|field| !is_null(field.node))?;
        self.open_any(&field)
    }

    /// The items of a list; none if there is none.
    pub(in crate::request) fn list<'a>(&mut self, of: &Section<'a>, key: &str) -> Vec<Field<'a>> {
        let Some(field) = of.get(key).filter(|field| !is_null(field.node)) else { return Vec::new() };
        let Value::List(items) = &field.node.value else {
            self.wrong_type(&field, "a list");
            return Vec::new();
        };
        let item = |(index, node): (usize, &'a Node)| {
            let spot = Spot { key: format!("{}[{index}]", field.spot.key), place: node.place };
            Field { spot, key_place: node.place, name: "", node }
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The texts of a list, empty ones too.
    pub(in crate::request) fn words(&mut self, of: &Section<'_>, key: &str) -> Vec<Word> {
        self.list(of, key).iter().filter_map(|item| self.text(item)).collect()
    }

    /// A text of one line.
    pub(in crate::request) fn text(&mut self, field: &Field<'_>) -> Option<Word> {
        let Value::Scalar(scalar) = &field.node.value else {
            self.wrong_type(field, "text");
            return None;
        };
        if scalar.kind() != Kind::Text {
            self.wrong_type(field, "text");
            return None;
        }
        if scalar.text.contains('\n') {
            self.refuse(&field.spot, "policy.yaml", "a line break in a value");
            return None;
        }
        Some(Word { text: scalar.text.clone(), spot: field.spot.clone() })
    }

    /// A text that says something: the empty one says nothing.
    pub(in crate::request) fn word(&mut self, of: &Section<'_>, key: &str) -> Option<Word> {
        let field = of.get(key)?;
        self.text(&field).filter(|word| !word.text.is_empty())
    }

    /// `true` or `false`.
    pub(in crate::request) fn flag(&mut self, of: &Section<'_>, key: &str) -> Option<bool> {
        let field = of.get(key)?;
        if let Kind::Bool(on) = kind(field.node) {
            return Some(on);
        }
        self.wrong_type(&field, "true or false");
        None
    }

    /// A whole number in a range; `code` is for one beyond it.
    pub(in crate::request) fn number(
        &mut self,
        field: &Field<'_>,
        range: &RangeInclusive<i64>,
        code: &'static str,
    ) -> Option<i64> {
        let Value::Scalar(scalar) = &field.node.value else {
            self.wrong_type(field, "a whole number");
            return None;
        };
        if scalar.kind() != Kind::Integer {
            self.wrong_type(field, "a whole number");
            return None;
        }
        if !is_plain_decimal(&scalar.text) {
            let message = format!("`{}` is not a plain decimal number", shown(&scalar.text));
            let hint = Some("without a plus sign, zeros before it, 0x or 0o".to_owned());
            self.refuse_with(&field.spot, "policy.type", message, hint);
            return None;
        }
        let value = scalar.text.parse::<i64>().ok().filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("`{}` is not in {} to {}", shown(&scalar.text), range.start(), range.end());
            self.refuse(&field.spot, code, message);
        }
        value
    }
}

/// Zeros before a number are octal to some readers and nothing to others.
pub(in crate::request) fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits == "0" || !digits.starts_with('0') && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a value says more than its key's absence.
pub(in crate::request) fn is_set(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Scalar(scalar) => match scalar.kind() {
            Kind::Null | Kind::Bool(false) => false,
            Kind::Integer => scalar.text != "0",
            Kind::Bool(true) | Kind::Float | Kind::Text => !scalar.text.is_empty(),
        },
    }
}

fn kind(node: &Node) -> Kind {
    match &node.value {
        Value::Scalar(scalar) => scalar.kind(),
        Value::List(_) | Value::Map(_) => Kind::Text,
    }
}

fn is_null(node: &Node) -> bool {
    kind(node) == Kind::Null
}

fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Scalar(scalar) => match scalar.kind() {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(on) => format!("`{on}`"),
            Kind::Integer | Kind::Float => format!("the number `{}`", shown(&scalar.text)),
            Kind::Text => format!("the text `{}`", shown(&scalar.text)),
        },
    }
}

/// Names may be anything; one that would look like more than a part of a key stands in quotes.
fn dotted(prefix: &str, key: &str) -> String {
    let plain = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let key = if plain && !key.is_empty() { shown(key) } else { format!("\"{}\"", shown(key)) };
    if prefix.is_empty() { key } else { format!("{prefix}.{key}") }
}

const SHOWN_BYTES: usize = 77;

/// A value for a message: one line, not long.
pub(in crate::request) fn shown(text: &str) -> String {
    let line = text.replace('\n', "\\n");
    if line.len() <= SHOWN_BYTES + '…'.len_utf8() {
        return line;
    }
    let end = (0..=SHOWN_BYTES).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", line.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shown("short"), "short");
        let umlauts = shown(&"ü".repeat(100));
        assert_eq!((umlauts.chars().count(), umlauts.ends_with("ü…")), (39, true));
        assert_eq!(shown("a\nb"), "a\\nb");
    }

    #[test]
    fn numbers_are_read_one_way_only() {
        for (text, want) in [("0", true), ("-1", true), ("1500", true), ("007", false), ("+1", false), ("0x1", false)] {
            assert_eq!(is_plain_decimal(text), want, "{text}");
        }
    }
}
