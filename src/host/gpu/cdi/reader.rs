//! The tree of a file, read by key: what is missing, unknown or of another type is written down, and reading goes on.

use std::path::{Path, PathBuf};

use super::spec::Wrong;
use super::version::Version;
use crate::policy::paths::normal;
use crate::request::yaml::{Entry, Kind, Node, Place, Value};

/// Something that an older version of the format does not have.
#[derive(Debug)]
pub(super) struct Use {
    pub place: Place,
    pub what: String,
    pub needs: Version,
}

/// Collects what is wrong, and what is used.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub wrong: Vec<Wrong>,
    pub uses: Vec<Use>,
    /// Device nodes and mounts so far.
    pub edits: usize,
}

/// A value and by which keys one comes to it: `devices[2].containerEdits`.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub at: String,
    /// Of the value.
    pub place: Place,
    pub node: &'a Node,
}

/// A mapping whose keys are known.
#[derive(Debug)]
pub(super) struct Map<'a> {
    at: String,
    pub place: Place,
    entries: &'a [Entry],
}

impl<'a> Map<'a> {
    /// What stands there and says something: nothing at all means the same as no key.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let at = below(&self.at, key);
        (!is_null(&entry.node)).then_some(Field { at, place: entry.node.place, node: &entry.node })
    }

    fn missing(&self, key: &str) -> Wrong {
        Wrong { place: self.place, at: below(&self.at, key), message: "it is missing".to_owned() }
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
}

impl Reader {
    pub(super) fn refuse(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.wrong.push(Wrong { place: field.place, at: field.at.clone(), message: message.into() });
    }

    pub(super) fn uses(&mut self, place: Place, what: impl Into<String>, needs: Version) {
        self.uses.push(Use { place, what: what.into(), needs });
    }

    fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let found = match &field.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => "nothing".to_owned(),
                Kind::Bool(on) => format!("`{on}`"),
                Kind::Integer | Kind::Float => format!("the number `{}`", shown(&scalar.text)),
                Kind::Text => format!("the text `{}`", shown(&scalar.text)),
            },
        };
        self.refuse(field, format!("expected {expected}, found {found}"));
    }

    /// The mapping with these keys and no others.
    pub(super) fn map<'a>(&mut self, field: &Field<'a>, known: &[&str]) -> Option<Map<'a>> {
        let map = self.any_map(field)?;
        for entry in map.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let (at, message) = (field.at.clone(), format!("unknown field `{}`", shown(&entry.key)));
            self.wrong.push(Wrong { place: entry.place, at, message });
        }
        Some(map)
    }

    fn any_map<'a>(&mut self, field: &Field<'a>) -> Option<Map<'a>> {
        if let Value::Map(entries) = &field.node.value {
            return Some(Map { at: field.at.clone(), place: field.place, entries });
        }
        self.wrong_type(field, "a mapping");
        None
    }

    /// The mapping below a key.
    pub(super) fn section<'a>(&mut self, map: &Map<'a>, key: &str, known: &[&str]) -> Option<Map<'a>> {
        let field = map.get(key)?;
        self.map(&field, known)
    }

    /// Names and texts that mean nothing to us.
    pub(super) fn annotations(&mut self, map: &Map<'_>) {
        let Some(field) = map.get("annotations") else { return };
        let Some(section) = self.any_map(&field) else { return };
        for entry in section.entries {
            let field = Field { at: below(&field.at, &shown(&entry.key)), place: entry.node.place, node: &entry.node };
            self.text(&field);
        }
        if !section.entries.is_empty() {
            self.uses(field.place, "annotations", Version::ANNOTATIONS);
        }
    }

    /// The items of a list; none if there is none.
    pub(super) fn list<'a>(&mut self, map: &Map<'a>, key: &str) -> Vec<Field<'a>> {
        let Some(field) = map.get(key) else { return Vec::new() };
        let Value::List(items) = &field.node.value else {
            self.wrong_type(&field, "a list");
            return Vec::new();
        };
        let item = |(index, node): (usize, &'a Node)| {
            let at = format!("{}[{index}]", field.at);
            Field { at, place: node.place, node }
        };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn text(&mut self, field: &Field<'_>) -> Option<String> {
        match &field.node.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::Text => Some(scalar.text.clone()),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type(field, "text");
                None
            }
        }
    }

    pub(super) fn texts(&mut self, map: &Map<'_>, key: &str) -> Vec<String> {
        self.list(map, key).iter().filter_map(|item| self.text(item)).collect()
    }

    /// A text that may be left out; the empty one is as good as none.
    pub(super) fn optional(&mut self, map: &Map<'_>, key: &str) -> Option<(String, Field<'static>)> {
        let field = map.get(key)?;
        let text = self.text(&field).filter(|text| !text.is_empty())?;
        Some((text, spot(&field)))
    }

    /// A text that must be there.
    pub(super) fn required<'a>(&mut self, map: &Map<'a>, key: &str) -> Option<(String, Field<'a>)> {
        let Some(field) = map.get(key) else {
            self.wrong.push(map.missing(key));
            return None;
        };
        let text = self.text(&field)?;
        if text.is_empty() {
            self.refuse(&field, "it is empty");
            return None;
        }
        Some((text, field))
    }

    /// What must be there, whatever it is.
    pub(super) fn must_have(&mut self, map: &Map<'_>, key: &str) {
        if map.get(key).is_none() {
            self.wrong.push(map.missing(key));
        }
    }

    pub(super) fn required_path(&mut self, map: &Map<'_>, key: &str) -> Option<PathBuf> {
        let (text, field) = self.required(map, key)?;
        self.path(text, &field)
    }

    /// An absolute path without steps back: what it names must not depend on what links on the way lead to.
    pub(super) fn path(&mut self, text: String, field: &Field<'_>) -> Option<PathBuf> {
        let path = Path::new(&text);
        if !path.is_absolute() {
            self.refuse(field, format!("`{}` is not an absolute path", shown(&text)));
            return None;
        }
        if path.components().any(|part| part == std::path::Component::ParentDir) || text.contains('\n') {
            self.refuse(field, format!("`{}` has `..` or a line break in it", shown(&text)));
            return None;
        }
        Some(normal(path))
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, map: &Map<'_>, key: &str) -> Option<u32> {
        let field = map.get(key)?;
        self.number_at(&field)
    }

    pub(super) fn number_at(&mut self, field: &Field<'_>) -> Option<u32> {
        let Value::Scalar(scalar) = &field.node.value else {
            self.wrong_type(field, "a whole number");
            return None;
        };
        if scalar.kind() != Kind::Integer {
            self.wrong_type(field, "a whole number");
            return None;
        }
        // Zeros before a number are octal to some readers and nothing to others.
        let plain = scalar.text == "0" || !scalar.text.starts_with(['0', '+']);
        let number = scalar.text.parse().ok().filter(|_| plain);
        if number.is_none() {
            self.refuse(field, format!("`{}` is not a decimal number in 0 to {}", shown(&scalar.text), u32::MAX));
        }
        number
    }

    pub(super) fn flag(&mut self, map: &Map<'_>, key: &str) -> Option<bool> {
        let field = map.get(key)?;
        match &field.node.value {
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Bool(on) => return Some(on),
                Kind::Null | Kind::Integer | Kind::Float | Kind::Text => self.wrong_type(&field, "true or false"),
            },
            Value::List(_) | Value::Map(_) => self.wrong_type(&field, "true or false"),
        }
        None
    }
}

/// A field without its value: enough to say where something is wrong.
fn spot(field: &Field<'_>) -> Field<'static> {
    static NOTHING: Node = Node { place: Place::START, value: Value::List(Vec::new()) };
    Field { at: field.at.clone(), place: field.place, node: &NOTHING }
}

const SHOWN: usize = 80;

/// A value for a message: one line, not long.
pub(super) fn shown(text: &str) -> String {
    let mut line: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line.replace("\\\"", "\"").replace("\\'", "'")
}
