//! The JSON Schemas of `docs/schemas`. Whatever JSON of the program a test reads must be as they say, with no key besides.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::program::Run;

macro_rules! schemas {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../docs/schemas/", $name, ".json")))),*]
    };
}

const SCHEMAS: [(&str, &str); 12] = schemas![
    "diff",
    "doctor",
    "inspect",
    "merge",
    "plan",
    "points-line",
    "report",
    "results",
    "sweep",
    "sweep-run",
    "wait",
    "watch-record-line",
];

static VALIDATORS: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let validator = |(name, text): (&'static str, &str)| {
        let mut schema = serde_json::from_str(text).expect("a schema is JSON");
        close(&mut schema);
        let validator = jsonschema::validator_for(&schema);
        (
            name,
            validator.unwrap_or_else(|e| panic!("{name} is no schema: {e}")),
        )
    };
    SCHEMAS.into_iter().map(validator).collect()
});

/// Forbids unknown keys where a schema leaves room for those of later versions.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.values_mut().for_each(close);
            if keywords.contains_key("properties") {
                keywords
                    .entry("additionalProperties")
                    .or_insert(Value::Bool(false));
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        _ => {}
    }
}

/// Fails unless a value is as the schema of this name says; `what` it is, for the message.
pub fn is_valid(schema: &str, value: &Value, what: &dyn Display) {
    let validator = &VALIDATORS[schema];
    let errors = validator.iter_errors(value);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "not as docs/schemas/{schema}.json says:\n{}\n{what}",
        errors.join("\n")
    );
}

/// Parses one JSON document or line that the program wrote, by the schema of this name.
pub fn parsed(schema: &str, text: impl AsRef<[u8]>) -> Value {
    let text = text.as_ref();
    let value = serde_json::from_slice(text).expect("the program writes JSON");
    is_valid(schema, &value, &String::from_utf8_lossy(text));
    value
}

/// The schema of what a run prints with `--json`, by its command.
pub fn of_run(run: &Run) -> &'static str {
    let words = shell_words::split(&run.line).expect("a command line");
    let commands = words.iter().zip(words.iter().skip(1).map(String::as_str));
    let schemas = commands.filter_map(|(command, next)| {
        Some(match (&command[..], next) {
            ("merge" | "apply" | "watch", _) => "merge",
            ("inspect", _) => "inspect",
            ("diff", _) => "diff",
            ("wait", _) => "wait",
            ("doctor", _) => "doctor",
            ("analyze", _) => "report",
            ("sensitivity", "plan") => "sweep",
            ("sensitivity", "run") => "sweep-run",
            ("sensitivity", _) => "results",
            _ => return None,
        })
    });
    schemas
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("{run} is of no command that prints JSON"))
}

/// The schema of a file that says of itself what it is.
pub fn of_file(file: &Value) -> Option<&'static str> {
    match file["format"].as_str()? {
        "inmerge-plan" => Some("plan"),
        "inmerge-report" => Some("report"),
        "inmerge-sensitivity" => Some("results"),
        "inmerge-sweep" => Some("sweep"),
        _ => None,
    }
}

#[test]
fn an_unknown_key_is_noticed() {
    let line = json!({ "output": "a", "seconds": 0.5 });
    is_valid("wait", &line, &line);
    for (key, value) in [("second", json!(1)), ("seconds", json!("1"))] {
        let mut other = line.clone();
        other[key] = value;
        let checked = std::panic::catch_unwind(|| is_valid("wait", &other, &other));
        assert!(checked.is_err(), "{other}");
    }
}
