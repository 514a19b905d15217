//! A JSON object, an entry at a time.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::de::Read;
use serde_json::value::RawValue;

use super::Problem;

/// Calls `take` for each entry of a JSON object, whose value is still text, in their order and with repeated names (a map
/// would swallow them). The entries are not kept: a text at the format's limit can hold ten million.
///
/// # Errors
///
/// What is wrong with the text as a whole, as `malformed` has it, or else the first problem of `take`, which is called no more.
pub(super) fn for_each_entry<'a, R: Read<'a>>(
    mut json: serde_json::Deserializer<R>,
    malformed: fn(serde_json::Error) -> Problem,
    mut take: impl FnMut(String, &'a RawValue) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut taken = Ok(());
    let entries = Entries(|name, value| {
        if taken.is_ok() {
            taken = take(name, value);
        }
    });
    let read = entries.deserialize(&mut json);
    read.and_then(|()| json.end()).map_err(malformed)?;
    taken
}

struct Entries<F>(F);

impl<'de, F: FnMut(String, &'de RawValue)> DeserializeSeed<'de> for Entries<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(String, &'de RawValue)> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            self.0(name, value);
        }
        Ok(())
    }
}
