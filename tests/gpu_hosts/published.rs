//! What is published: the table of nodes, and `ringfence gpus --json`, its schema and a snapshot of every fixture machine.

use std::path::PathBuf;

use expect_test::expect_file;
use ringfence::host::gpu::rows::{self, Number};
use ringfence::host::gpu::{Vendor, show};
use ringfence::policy::gpu::VENDORS;
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

/// The page of GPU nodes is the table of the code: `UPDATE_EXPECT=1 cargo test --test gpu_hosts` writes it anew.
#[test]
fn the_page_of_nodes_is_the_table_of_the_code() {
    let head = "# Device nodes of GPUs\n\nWhat `--gpu` can grant, by vendor and class. This page is written by \
                `UPDATE_EXPECT=1 cargo test --test gpu_hosts`, from\nthe table that the program itself reads; [gpu.md](gpu.md) \
                explains it. A `#` in a path is a number.\n";
    let mut page = head.to_owned();
    for vendor in VENDORS.iter().map(|(_, vendor)| Some(*vendor)).chain([None]) {
        let name = vendor.map_or("any vendor", Vendor::word);
        let head = "| node | number | for | class | needed | source |\n|---|---|---|---|---|---|\n";
        page.push_str(&format!("\n## {name}\n\n{head}"));
        for row in rows::all().filter(|row| row.vendor == vendor) {
            let needed = if row.required { "yes" } else { "no" };
            let (path, number) = (row.path, number(row.number));
            let rest = format!("{} | {} | {needed} | {} |", row.needed_for, row.class, row.source);
            page.push_str(&format!("| `{path}` | {number} | {rest}\n"));
        }
    }
    expect_file!["../../docs/gpu-nodes.md"].assert_eq(&page);
}

fn number(number: Number) -> String {
    match number {
        Number::Fixed { major, minor } => format!("{major}:{minor}"),
        Number::Counted { major } => format!("{major}:#"),
        Number::Registered { name, minor } => {
            let minor = minor.map_or("#".to_owned(), |minor| minor.to_string());
            format!("`{name}` in `/proc/devices`, {minor}")
        }
        Number::Misc { name } => format!("10, `{name}` in `/proc/misc`"),
        Number::Sysfs { file } => format!("in `{file}`"),
        Number::Unknown => "any".to_owned(),
    }
}

/// The published schema is what the program prints.
#[test]
fn the_schema_of_gpus_is_published() {
    expect_file!["../../docs/gpus.schema.json"].assert_eq(&ringfence::host::gpu::show::schema());
}
