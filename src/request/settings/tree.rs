//! TOML as the tree that a [`Reader`](crate::request::openshell::reader::Reader) reads, in which every key and value knows
//! its place. A tree is smaller than a type for each table, and all that is wrong in it is told at once.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::request::yaml::{Entry, Node, Place, Scalar, Value};

/// Reads a text.
///
/// # Errors
/// Where it is no TOML, and why.
pub(in crate::request) fn toml(text: &str) -> Result<Node, (Place, String)> {
    let lines = Lines(text);
    let table = DeTable::parse(text)
        .map_err(|error| (lines.place(&error.span().unwrap_or(0..0)), error.message().to_owned()))?;
    Ok(Node { place: Place::START, value: lines.table(table.into_inner()) })
}

struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.0.get(..span.start).unwrap_or(self.0);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Place { line: before.bytes().filter(|byte| *byte == b'\n').count() + 1, column }
    }

    fn table(&self, table: DeTable<'_>) -> Value {
        let entries = table.into_iter().map(|(key, value)| Entry {
            place: self.place(&key.span()),
            key: key.into_inner().into_owned(),
            node: self.node(value),
        });
        Value::Map(entries.collect())
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        let place = self.place(&value.span());
        let scalar = |text: String, quoted| Value::Scalar(Scalar { text, quoted });
        let value = match value.into_inner() {
            DeValue::String(text) => scalar(text.into_owned(), true),
            DeValue::Integer(number) => scalar(number.to_string(), false),
            DeValue::Float(number) => scalar(number.to_string(), false),
            DeValue::Boolean(on) => scalar(on.to_string(), false),
            DeValue::Datetime(time) => scalar(time.to_string(), true),
            DeValue::Array(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { place, value }
    }
}
