//! An order given as a list of weight names.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::layers::{Error, pattern};

/// The metadata key of a list of weight names in depth order.
pub const METADATA_KEY: &str = "inmerge.layers";

/// The names of an `--order` file: one a line; blank lines and lines that start with `#` are skipped.
pub fn parse_order(text: &str) -> Vec<String> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The list in the file's metadata, if there is one.
pub(in crate::layers) fn from_metadata(
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Vec<String>>, Error> {
    let Some(text) = metadata.get(METADATA_KEY) else {
        return Ok(None);
    };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| Error::MetadataNotAList(error.to_string()))
}

/// Turn a list of names into indices of layers.
///
/// `layers` maps the names of layers to their indices, `is_tensor` knows all names of the file. Of a layer with several
/// names the first that is listed gives the place: a model beside its average, saved before the two differ, may list both.
pub(in crate::layers) fn resolve(
    origin: &'static str,
    names: &[String],
    layers: &HashMap<&str, usize>,
    is_tensor: impl Fn(&str) -> bool,
) -> Result<Vec<usize>, Error> {
    let mut listed = HashSet::new();
    let mut taken = vec![false; layers.values().max().map_or(0, |&last| last + 1)];
    let mut order = Vec::with_capacity(names.len());
    for name in names {
        let Some(&index) = layers.get(name.as_str()) else {
            let name = name.clone();
            return Err(if is_tensor(&name) {
                Error::OrderNotALayer { origin, name }
            } else {
                let mut known: Vec<&str> = layers.keys().copied().collect();
                known.sort_unstable();
                let near = pattern::near(&name, known.into_iter());
                Error::OrderUnknown { origin, name, near }
            });
        };
        if !listed.insert(name) {
            return Err(Error::OrderTwice {
                origin,
                name: name.clone(),
            });
        }
        if !std::mem::replace(&mut taken[index], true) {
            order.push(index);
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_file_has_comments_and_blank_lines() {
        assert_eq!(
            parse_order("# depth order\r\n\r\n conv1.weight \nconv2.weight\n"),
            ["conv1.weight", "conv2.weight"]
        );
    }

    #[test]
    fn the_metadata_key_must_hold_a_list() {
        let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), "{}".to_owned())]);
        let message = from_metadata(&metadata).unwrap_err().to_string();
        assert!(
            message.contains("inmerge.layers") && message.contains("--order"),
            "{message}"
        );
        assert_eq!(from_metadata(&BTreeMap::new()), Ok(None));
    }

    #[test]
    fn lists_are_checked() {
        let layers = HashMap::from([("a.weight", 0), ("b.weight", 1), ("copy.weight", 1)]);
        let check = |names: &[&str]| {
            resolve(
                "--order",
                &names
                    .iter()
                    .map(|&name| name.to_owned())
                    .collect::<Vec<_>>(),
                &layers,
                |name| name == "a.bias",
            )
        };
        assert_eq!(check(&["b.weight", "a.weight"]), Ok(vec![1, 0]));
        assert!(matches!(
            check(&["c.weight"]),
            Err(Error::OrderUnknown { .. })
        ));
        assert!(matches!(
            check(&["a.bias"]),
            Err(Error::OrderNotALayer { .. })
        ));
        assert!(matches!(
            check(&["a.weight", "a.weight"]),
            Err(Error::OrderTwice { .. })
        ));
        // One layer by two names has the place of the first, but neither name may be listed twice.
        assert_eq!(
            check(&["copy.weight", "a.weight", "b.weight"]),
            Ok(vec![1, 0])
        );
        assert!(matches!(
            check(&["copy.weight", "b.weight", "copy.weight"]),
            Err(Error::OrderTwice { .. })
        ));
    }
}
