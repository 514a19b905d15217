//! The index of a sharded checkpoint: which tensor lies in which file.
//!
//! `{"metadata": {"total_size": 123}, "weight_map": {"conv1.weight": "model-00001-of-00002.safetensors"}}`, in a file of
//! the shards' folder (<https://huggingface.co/docs/safetensors>).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::value::RawValue;

use crate::atomic::or_here;
use crate::files::{self, Version, retried};

use super::object::for_each_entry;
use super::{Error, MAX_HEADER_BYTES, Problem, Recognised};

/// The most tensors in an index. Nine million would fit its maximum size, but their map would take 15 times as many bytes.
const MOST_TENSORS: usize = 4_000_000;

/// The contents of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightMap {
    /// By tensor, the name of the file that holds it. Tensors of the same file share one name.
    pub files: BTreeMap<String, Arc<str>>,
    /// The range of the JSON that holds the value of `metadata.total_size`, if there is one.
    pub total_size: Option<Range<usize>>,
}

impl WeightMap {
    /// Reads an index from JSON.
    ///
    /// # Errors
    ///
    /// If it is no index, lists nothing or a tensor twice, or names a file that is not in its own folder.
    pub fn parse(json: &[u8]) -> Result<Self, Problem> {
        let mut map = None;
        let mut metadata = None;
        let entries = serde_json::Deserializer::from_slice(json);
        for_each_entry(entries, Problem::IndexNotJson, |key, value| {
            let place = match key.as_str() {
                "weight_map" => &mut map,
                "metadata" => &mut metadata,
                _ => return Ok(()),
            };
            match place.replace(value) {
                None => Ok(()),
                Some(_) => Err(Problem::IndexRepeats { key }),
            }
        })?;
        let map = map.ok_or(Problem::IndexWithoutMap)?;
        Ok(Self {
            files: files(map)?,
            total_size: total_size(json, metadata)?,
        })
    }

    /// The files, in the order of their names.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.files.values().map(|file| &**file).collect()
    }
}

fn files(map: &RawValue) -> Result<BTreeMap<String, Arc<str>>, Problem> {
    let mut names = BTreeSet::new();
    let mut files = BTreeMap::new();
    let entries = serde_json::Deserializer::from_str(map.get());
    for_each_entry(entries, Problem::IndexNotJson, |tensor, file| {
        let file: String = match serde_json::from_str(file.get()) {
            Ok(file) => file,
            Err(error) => return Err(Problem::IndexEntry { tensor, error }),
        };
        let file = match names.get(&*file) {
            Some(known) => Arc::clone(known),
            None if is_plain(&file) => {
                let new = Arc::from(file);
                names.insert(Arc::clone(&new));
                new
            }
            None => return Err(Problem::ShardName { tensor, file }),
        };
        if files.len() == MOST_TENSORS {
            return Err(Problem::IndexListsTooMany);
        }
        match files.entry(tensor) {
            Entry::Vacant(entry) => {
                entry.insert(file);
                Ok(())
            }
            Entry::Occupied(entry) => Err(Problem::IndexRepeats {
                key: entry.key().clone(),
            }),
        }
    })?;
    if files.is_empty() {
        return Err(Problem::IndexEmpty);
    }
    Ok(files)
}

/// Whether a name can only be that of a file in the same folder, on any system.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

fn total_size(json: &[u8], metadata: Option<&RawValue>) -> Result<Option<Range<usize>>, Problem> {
    let Some(metadata) = metadata.filter(|metadata| metadata.get() != "null") else {
        return Ok(None);
    };
    let mut found = None;
    let entries = serde_json::Deserializer::from_str(metadata.get());
    for_each_entry(entries, Problem::IndexNotJson, |key, value| {
        if key != "total_size" {
            return Ok(());
        }
        // The value borrows from the JSON, so the difference of the addresses is its offset.
        let start = value.get().as_ptr() as usize - json.as_ptr() as usize;
        match found.replace(start..start + value.get().len()) {
            None => Ok(()),
            Some(_) => Err(Problem::IndexRepeats { key }),
        }
    })?;
    Ok(found)
}

/// How the names of shards end.
pub(super) const SHARD_ENDINGS: [&str; 2] = ["safetensors", "bin"];

/// Whether a file of this name is the index of a sharded checkpoint: `model.safetensors.index.json` or
/// `pytorch_model.bin.index.json`, or with the name of a variant before or behind `index`.
pub(super) fn is_index(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let mut kinds = SHARD_ENDINGS.iter().filter_map(|ending| {
        let (_, kind) = name.rsplit_once(&format!(".{ending}."))?;
        kind.strip_suffix(".json")
    });
    kinds.any(|kind| kind.split('.').any(|part| part == "index"))
}

/// An index file that has been read.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    file: File,
    modified: Option<SystemTime>,
    json: Vec<u8>,
    map: WeightMap,
}

impl Index {
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        match read(&path) {
            Ok((file, modified, json, map)) => Ok(Self {
                path,
                file,
                modified,
                json,
                map,
            }),
            Err(problem) => Err(problem.of(&path)),
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the file.
    pub fn name(&self) -> &OsStr {
        self.path
            .file_name()
            .expect("an index is found by its name")
    }

    /// The folder that it and the shards are in.
    pub fn folder(&self) -> &Path {
        or_here(self.path.parent())
    }

    /// The path of one of the files it names.
    pub fn shard(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// The contents of the file.
    pub fn map(&self) -> &WeightMap {
        &self.map
    }

    /// Its JSON as it stands in the file.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The JSON with this `total_size` instead of its own, and its own; `None` if it has none or the right one.
    pub(super) fn with_total_size(&self, total: u64) -> Option<(Vec<u8>, String)> {
        let place = self.map.total_size.clone()?;
        let found = String::from_utf8_lossy(&self.json[place.clone()]).into_owned();
        // Some programs write it as 123.0.
        let is_right =
            found.parse() == Ok(total) || found.parse() == Ok(total as f64) && total < 1 << 53;
        if is_right {
            return None;
        }
        let number = total.to_string();
        let parts = [
            &self.json[..place.start],
            number.as_bytes(),
            &self.json[place.end..],
        ];
        Some((parts.concat(), found))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether `path` leads to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        files::leads_to(path, &self.file)
    }

    /// The version of the file.
    pub(super) fn version(&self) -> io::Result<Version> {
        Ok(Version::of(&files::status(&self.file)?))
    }

    /// Checks that the file is still as it was read, by size and time of change.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let status = files::status(&self.file);
        let status = status.map_err(|e| Problem::Unreadable(e).of(&self.path))?;
        if status.len() != self.json.len() as u64 || status.modified().ok() != self.modified {
            return Err(Problem::ChangedMeanwhile.of(&self.path));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<(File, Option<SystemTime>, Vec<u8>, WeightMap), Problem> {
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let status = retried(|| fs::metadata(path)).map_err(Problem::reading)?;
    if !status.is_file() {
        return Err(Problem::NotRegular);
    }
    let mut file = File::open(path).map_err(Problem::reading)?;
    let status = files::status(&file).map_err(Problem::reading)?;
    if status.len() > MAX_HEADER_BYTES {
        return Err(Problem::IndexTooLong {
            bytes: status.len(),
        });
    }
    let mut json = Vec::new();
    file.read_to_end(&mut json).map_err(Problem::reading)?;
    if let Some(format) = Recognised::of(&json) {
        return Err(Problem::Foreign(format));
    }
    let map = WeightMap::parse(&json)?;
    Ok((file, status.modified().ok(), json, map))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(json: &str) -> Result<WeightMap, Problem> {
        WeightMap::parse(json.as_bytes())
    }

    #[test]
    fn names_of_indexes_are_known_with_and_without_a_variant() {
        for name in [
            "model.safetensors.index.json",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "model.safetensors.fp16.index.json",
            "pytorch_model.bin.index.json",
        ] {
            assert!(is_index(OsStr::new(name)), "{name}");
        }
        for name in [
            "model.safetensors",
            "pytorch_model.pt.index.json",
            "index.json",
            "model.safetensors.json",
            "model.safetensors.index.json.bak",
            "safetensors.index.json",
        ] {
            assert!(!is_index(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_place_of_the_total_size_is_found() {
        let json = r#"{"weight_map": {"a": "x"}, "metadata" : {"note": "total_size", "total_size" : 12 }}"#;
        let found = parse(json).unwrap();
        assert_eq!(&json[found.total_size.unwrap()], "12");
        for without in [
            r#"{"weight_map":{"a":"x"}}"#,
            r#"{"metadata":null,"weight_map":{"a":"x"}}"#,
            r#"{"metadata":{},"weight_map":{"a":"x"},"more":[1]}"#,
        ] {
            assert_eq!(parse(without).unwrap().total_size, None, "{without}");
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let refused = |json: &str| parse(json).unwrap_err();
        assert!(matches!(refused(""), Problem::IndexNotJson(_)));
        assert!(matches!(refused("[]"), Problem::IndexNotJson(_)));
        assert!(matches!(
            refused(r#"{"weight_map":[]}"#),
            Problem::IndexNotJson(_)
        ));
        assert!(matches!(
            refused(r#"{"metadata":1,"weight_map":{"a":"x"}}"#),
            Problem::IndexNotJson(_)
        ));
        assert!(matches!(refused("{}"), Problem::IndexWithoutMap));
        assert!(matches!(
            refused(r#"{"weight_map":{}}"#),
            Problem::IndexEmpty
        ));
        assert!(matches!(
            refused(r#"{"weight_map":{"a":3}}"#),
            Problem::IndexEntry { tensor, .. } if tensor == "a"
        ));
        for repeated in [
            r#"{"weight_map":{"k":"x","k":"x"}}"#,
            r#"{"weight_map":{"a":"x"},"metadata":{"k":1,"total_size":1,"total_size":1}}"#,
            r#"{"weight_map":{"a":"x"},"weight_map":{"a":"x"}}"#,
        ] {
            assert!(
                matches!(refused(repeated), Problem::IndexRepeats { .. }),
                "{repeated}"
            );
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../x", "/x", "a/x", "a\\\\x", "x\\u0000"] {
            let json = format!(r#"{{"weight_map":{{"t":"{name}"}}}}"#);
            assert!(
                matches!(parse(&json), Err(Problem::ShardName { tensor, .. }) if tensor == "t"),
                "{name}"
            );
        }
        for name in ["x", "..x", "x..", ".x", "x y", "ä"] {
            let json = format!(r#"{{"weight_map":{{"t":"{name}"}}}}"#);
            assert_eq!(*parse(&json).unwrap().files["t"], *name);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(
            map in prop::collection::btree_map(any::<String>(), "[a-z0-9.-]{3,20}x", 1..20),
            metadata in prop_oneof![
                Just(json!(null)),
                Just(json!({})),
                any::<u64>().prop_map(|size| json!({"total_size": size, "note": "ä"})),
            ],
            pretty in any::<bool>(),
        ) {
            let value = json!({"metadata": metadata, "weight_map": map, "other": [{"total_size": 1}]});
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let found = parse(&text).unwrap();
            let files = found.files.iter().map(|(tensor, file)| (tensor.clone(), file.to_string()));
            prop_assert_eq!(files.collect::<BTreeMap<_, _>>(), map);
            let total: Option<Value> = found.total_size.map(|place| serde_json::from_str(&text[place]).unwrap());
            prop_assert_eq!(total.as_ref(), metadata.get("total_size"));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = WeightMap::parse(&bytes);
        }

        #[test]
        fn never_panics_on_damaged_indexes(at in 0usize..90, byte in any::<u8>(), end in 0usize..100) {
            let mut json = br#"{"metadata":{"total_size":1},"weight_map":{"a":"b.safetensors","c":"d.safetensors"}}"#.to_vec();
            if let Some(place) = json.get_mut(at) {
                *place = byte;
            }
            json.truncate(end);
            let _ = WeightMap::parse(&json);
        }
    }
}
