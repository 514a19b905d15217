//! The JSON Schemas of what the program prints and writes: derived from the types, and kept in `docs/schemas`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::commands::WaitReport;
use crate::plan::Plan;
use crate::report::{
    DiffReport, DoctorReport, InspectReport, MergeReport, ReportJson, ResultsJson,
};
use crate::sensitivity::{JournalLine, RunSummary, SweepFile};
use crate::watch::{Event, Header};

/// A line of the record of a watch, `.inmerge-watch.jsonl`: the first holds the settings, each of the others a checkpoint.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum RecordLine {
    Header(Header),
    Event(Event),
}

#[test]
fn schemas_are_those_of_the_types() {
    // What other programs may write too can lack what this one always writes.
    let read = || SchemaSettings::draft2020_12().with_transform(RecursiveTransform(on_one_line));
    let written = || {
        let written = read().with(|settings| settings.contract = Contract::Serialize);
        written.with_transform(RecursiveTransform(omitted_rather_than_null))
    };
    let schemas = [
        ("plan", schema::<Plan>(read())),
        ("merge", schema::<MergeReport>(written())),
        ("inspect", schema::<InspectReport<'_>>(written())),
        ("diff", schema::<DiffReport>(written())),
        ("wait", schema::<WaitReport>(written())),
        ("doctor", schema::<DoctorReport>(written())),
        ("report", schema::<ReportJson<'_>>(written())),
        ("results", schema::<ResultsJson<'_>>(written())),
        ("sweep", schema::<SweepFile>(written())),
        ("sweep-run", schema::<RunSummary>(written())),
        ("points-line", schema::<JournalLine>(written())),
        ("watch-record-line", schema::<RecordLine>(written())),
    ];
    for (name, schema) in &schemas {
        check(name, schema);
    }
    let files = fs::read_dir(folder()).expect("the folder can be listed");
    let files = files.map(|file| file.expect("the folder can be listed").path());
    let expected = schemas.iter().map(|(name, _)| path(name));
    assert_eq!(
        files.collect::<BTreeSet<_>>(),
        expected.collect(),
        "the files in docs/schemas are not those of the schemas"
    );
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    settings.into_generator().into_root_schema_for::<T>()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas")
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.json"))
}

/// Fails unless the file of this name holds the schema.
fn check(name: &str, schema: &Schema) {
    let mut schema = schema.clone();
    schema.insert("title".to_owned(), format!("inmerge-ckpt: {name}").into());
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
    let file = path(name);
    if std::env::var_os("INMERGE_BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, &text).expect("docs/schemas can be written");
    }
    assert!(
        !text.contains("[`"),
        "a description in {name} has a link, which leads nowhere outside the source"
    );
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let differing = text
        .lines()
        .zip(committed.lines())
        .find(|(is, was)| is != was);
    assert!(
        text == committed,
        "{} is not the schema of its type, first here: {differing:?}. If it is as it should be (look at it), run \
         INMERGE_BLESS=1 cargo test --lib schemas::",
        file.display()
    );
}

/// Undoes the wrapping of the source.
fn on_one_line(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Takes `null` from keys that are left out where there is no value.
fn omitted_rather_than_null(schema: &mut Schema) {
    let required = schema.get("required").and_then(Value::as_array).cloned();
    let required: Vec<Value> = required.unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (key, property) in properties.into_iter().flatten() {
        if let Some(property) = property.as_object_mut()
            && !required.iter().any(|name| name == key)
        {
            without_null(property);
        }
    }
}

/// What an optional type is of, as schemars writes it: `["string", "null"]`, or any of it and `null`.
fn without_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            property.remove("anyOf");
            property.extend(only);
        }
    }
}
