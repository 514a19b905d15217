//! JSON files, and where two JSON values differ.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::program::Run;
use super::schema;

impl Run {
    /// The one JSON object on stdout, which is as its schema says.
    pub fn json(&self) -> Value {
        let json = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self}"));
        schema::is_valid(schema::of_run(self), &json, self);
        json
    }
}

/// Reads a JSON file. One of the program's formats is as its schema says.
pub fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let json = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if let Some(schema) = schema::of_file(&json) {
        schema::is_valid(schema, &json, &path.display());
    }
    json
}

/// The first place where two JSON values differ, with both values there; `None` where they are equal.
///
/// Numbers are compared as float64, bit for bit but for their spelling: `1` and `1.0` are the same.
pub fn json_difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let missing = left.keys().find(|key| !right.contains_key(*key));
            let surplus = right.keys().find(|key| !left.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{path}: no key \"{key}\""));
            }
            if let Some(key) = surplus {
                return Some(format!("{path}: unexpected key \"{key}\""));
            }
            left.iter().find_map(|(key, value)| {
                json_difference(&format!("{path}.{key}"), value, &right[key])
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            let items = left.iter().zip(right).enumerate();
            items
                .into_iter()
                .find_map(|(i, (l, r))| json_difference(&format!("{path}[{}]", label(i, l)), l, r))
                .or_else(|| {
                    let (l, r) = (left.len(), right.len());
                    (l != r).then(|| {
                        let first = left.get(r).or(right.get(l)).expect("one is longer");
                        format!("{path}: expected {l} items, found {r}; the first without a counterpart is {first}")
                    })
                })
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => None,
        _ => (expected != found).then(|| format!("{path}: expected {expected}, found {found}")),
    }
}

/// An item's index with what it is about, so that a difference names the layer or kernel.
fn label(index: usize, item: &Value) -> String {
    match (item.get("name"), item.get("kernel"), item.get("round")) {
        (Some(name), ..) => format!("{index}: {name}"),
        (_, Some(kernel), Some(round)) => format!("{index}: round {round}, kernel {kernel}"),
        _ => index.to_string(),
    }
}
