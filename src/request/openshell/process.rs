//! `landlock` and `process`: how strict, and as whom.

use super::reader::{Reader, Section, Word, is_plain_decimal, shown};
use crate::request::near::nearest;
use crate::request::yaml::{Kind, Place, Value};
use crate::request::{Identity, Landlock, Said};

const MODES: &[&str] = &["best_effort", "hard_requirement"];
/// The highest number but one: that one means "no change" to the kernel.
const LAST_ID: u32 = u32::MAX - 1;

/// `best_effort` also where nothing is said.
pub(super) fn landlock(reader: &mut Reader<'_>, top: &Section<'_>) -> Said<Landlock> {
    let place = top.get("landlock").map_or(Place::START, |field| field.key_place);
    let section = reader.section(top, "landlock", &["compatibility"]);
    let Some(word) = section.and_then(|section| compatibility(reader, &section)) else {
        return reader.said(Landlock::BestEffort, place);
    };
    let mode = match word.text.as_str() {
        "best_effort" => Landlock::BestEffort,
        "hard_requirement" => Landlock::Required,
        other => {
            let message = format!("`{}` is neither best_effort nor hard_requirement", shown(other));
            let near = nearest(other, MODES).map(|near| format!("did you mean `{near}`?"));
            reader.refuse_with(&word.spot, "landlock.compatibility", message, near);
            // The strict one: nothing runs with a policy that was refused, but nothing shall be made of it either.
            Landlock::Required
        }
    };
    reader.said(mode, word.spot.place)
}

/// `true`, `1` and the like are modes that are not known, too.
fn compatibility(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Word> {
    let field = section.get("compatibility")?;
    match &field.node.value {
        Value::Scalar(scalar) if !matches!(scalar.kind(), Kind::Text | Kind::Null) => {
            Some(Word { text: scalar.text.clone(), spot: field.spot })
        }
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => reader.word(section, "compatibility"),
    }
}

pub(super) fn identity(reader: &mut Reader<'_>, top: &Section<'_>) -> Identity {
    let Some(section) = reader.section(top, "process", &["run_as_user", "run_as_group"]) else {
        return Identity::default();
    };
    Identity { user: one(reader, &section, "run_as_user"), group: one(reader, &section, "run_as_group") }
}

fn one(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Option<Said<String>> {
    let field = section.get(key)?;
    let number = match &field.node.value {
        Value::Scalar(scalar) if scalar.kind() == Kind::Integer => Some(scalar.text.clone()),
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
    };
    let unquoted = number.is_some();
    let word = match number {
        Some(text) => Word { text, spot: field.spot.clone() },
        None => reader.text(&field).filter(|word| !word.text.is_empty())?,
    };
    let id = Some(&word.text).filter(|text| is_plain_decimal(text)).and_then(|text| text.parse::<u32>().ok());
    if word.text != "sandbox" && !id.is_some_and(|id| (1..=LAST_ID).contains(&id)) {
        let message = format!("`{}` is neither `sandbox` nor a number in 1 to {LAST_ID}", shown(&word.text));
        reader.refuse(&word.spot, "process.identity", message);
        return None;
    }
    if unquoted {
        reader.note(&word.spot, format!("OpenShell takes text only: write {key}: \"{}\"", word.text));
    }
    Some(reader.said(word.text, word.spot.place))
}
