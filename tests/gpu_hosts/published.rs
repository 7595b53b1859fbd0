//! `ringfence gpus --json` of every fixture machine, as it is published: a snapshot each, and true to the schema.

use std::path::PathBuf;

use expect_test::expect_file;
use ringfence::host::gpu::show;
use serde_json::Value;

use crate::lab::Host;

fn hosts() -> Vec<String> {
    let entries = std::fs::read_dir("tests/hosts").unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_machine_has_a_snapshot_and_keeps_to_the_schema() {
    let schema: Value = serde_json::from_str(&show::schema()).unwrap();
    for name in hosts() {
        let view = serde_json::to_value(show::view(&Host::named(&name).caller(1000, &[44, 993]).gpus())).unwrap();
        keeps_to(&schema, &schema, &view, &name);
        let path: PathBuf = ["json", &format!("{name}.json")].iter().collect();
        expect_file![path].assert_eq(&format!("{view:#}\n"));
    }
}

#[test]
fn a_view_that_does_not_keep_to_the_schema_is_noticed() {
    let schema: Value = serde_json::from_str(&show::schema()).unwrap();
    let mut view = serde_json::to_value(show::view(&Host::named("two-gpus").gpus())).unwrap();
    view["gpus"][0]["colour"] = Value::from("green");
    assert!(std::panic::catch_unwind(|| keeps_to(&schema, &schema, &view, "")).is_err());
}

/// As far as our schema goes: objects with known keys, the required ones present, and lists of them.
fn keeps_to(whole: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return keeps_to(whole, whole.pointer(name.trim_start_matches('#')).unwrap(), value, at);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        let other = either.iter().find(|one| one["type"] != "null").unwrap();
        return if value.is_null() { assert!(either.len() > 1, "{at}") } else { keeps_to(whole, other, value, at) };
    }
    match value {
        Value::Object(fields) => {
            let known = schema["properties"].as_object().unwrap_or_else(|| panic!("{at} is no object"));
            for (key, value) in fields {
                let schema = known.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the schema"));
                keeps_to(whole, schema, value, &format!("{at}.{key}"));
            }
            let required = schema["required"].as_array().into_iter().flatten();
            required.for_each(|key| assert!(fields.contains_key(key.as_str().unwrap()), "{at} lacks {key}"));
        }
        Value::Array(items) => items.iter().for_each(|item| keeps_to(whole, &schema["items"], item, at)),
        Value::Null => assert!(schema["type"].to_string().contains("null"), "{at} is null"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => assert_ne!(schema["type"], "object", "{at}"),
    }
}
