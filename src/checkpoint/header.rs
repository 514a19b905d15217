//! The header: tensor table and metadata, checked so that every later access is in bounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as DtypeError, StrDeserializer};
use serde_json::value::RawValue;

use super::object::for_each_entry;
use super::{Arrangement, Problem, Tensor};

/// The format's limit on the length of a header, in bytes (as the `safetensors` crate has it).
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The most entries in a file's `__metadata__`. Ten million would fit a header, but their map would take 15 times as many bytes.
const MOST_METADATA: usize = 1_000_000;

/// The bytes before the header: its length as a little-endian `u64`.
pub(super) const LENGTH_BYTES: usize = 8;

/// Bytes at the start of a file by which its format is recognised.
const SIGNATURE_BYTES: usize = 32;

/// The header of a checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tensors, in the order in which their values lie in the file.
    pub tensors: Vec<Tensor>,
    /// The `__metadata__` of the file; empty where there is none.
    pub metadata: BTreeMap<String, String>,
    /// Where the tensors' values begin, in bytes from the start of the file.
    pub data_start: usize,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Header {
    /// Reads and checks the header at the start of `file`, the whole contents of a checkpoint.
    ///
    /// Accepts what the `safetensors` crate accepts, but for repeated names, which it swallows, and metadata of more than a
    /// million entries.
    ///
    /// # Errors
    ///
    /// Every deviation from the format, with the tensor and the numbers concerned.
    pub fn parse(file: &[u8]) -> Result<Self, Problem> {
        let start = &file[..file.len().min(SIGNATURE_BYTES)];
        let length = json_length(start, file.len())?;
        Self::from_json(&file[LENGTH_BYTES..][..length], file.len())
    }

    /// Reads and checks the header of an open file of this many bytes; the JSON comes with it. No value is read.
    ///
    /// # Errors
    ///
    /// As [`Header::parse`], and where the file cannot be read.
    pub(super) fn read(file: &File, size: usize) -> Result<(Self, Vec<u8>), Problem> {
        let mut start = vec![0; size.min(SIGNATURE_BYTES)];
        file.read_exact_at(&mut start, 0)
            .map_err(Problem::reading_on)?;
        // At most MAX_HEADER_BYTES, and no more than the file holds.
        let mut json = vec![0; json_length(&start, size)?];
        file.read_exact_at(&mut json, LENGTH_BYTES as u64)
            .map_err(Problem::reading_on)?;
        Ok((Self::from_json(&json, size)?, json))
    }

    fn from_json(json: &[u8], file_size: usize) -> Result<Self, Problem> {
        let json = std::str::from_utf8(json).map_err(|e| Problem::HeaderNotUtf8 {
            at: e.valid_up_to(),
        })?;
        let data_start = LENGTH_BYTES + json.len();
        let mut found_metadata = None;
        let mut tensors = Vec::new();
        let entries = serde_json::Deserializer::from_str(json);
        for_each_entry(entries, Problem::HeaderNotJson, |name, value| {
            if name != "__metadata__" {
                tensors.push(tensor(name, value, data_start)?);
                return Ok(());
            }
            match found_metadata.replace(metadata(value)?) {
                None => Ok(()),
                Some(_) => Err(Problem::DuplicateName { name }),
            }
        })?;
        tensors.shrink_to_fit();
        check_names(&tensors)?;
        tensors.sort_unstable_by(|a, b| {
            (a.bytes.start, a.bytes.end, &a.name).cmp(&(b.bytes.start, b.bytes.end, &b.name))
        });
        check_layout(&tensors, data_start, file_size)?;
        Ok(Self {
            tensors,
            metadata: found_metadata.unwrap_or_default(),
            data_start,
        })
    }
}

/// The length of the JSON part of a file of this size that begins like this, if the file holds that many bytes.
fn json_length(start: &[u8], file_size: usize) -> Result<usize, Problem> {
    if start.is_empty() {
        return Err(Problem::Empty);
    }
    // A valid length can look like another format's signature: 640 looks like a pickle's.
    let foreign = |problem| super::Recognised::of(start).map_or(problem, Problem::Foreign);
    let Some((length, _)) = start.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(foreign(Problem::TooShort {
            bytes: file_size as u64,
        }));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(foreign(Problem::HeaderTooLong { length }));
    }
    let available = (file_size - LENGTH_BYTES) as u64;
    if length > available {
        return Err(foreign(Problem::HeaderTruncated { length, available }));
    }
    Ok(length as usize)
}

fn metadata(value: &RawValue) -> Result<BTreeMap<String, String>, Problem> {
    let mut metadata = BTreeMap::new();
    if value.get() == "null" {
        return Ok(metadata);
    }
    let entries = serde_json::Deserializer::from_str(value.get());
    for_each_entry(entries, Problem::Metadata, |key, text| {
        let text = serde_json::from_str(text.get()).map_err(Problem::Metadata)?;
        metadata.insert(key, text);
        if metadata.len() > MOST_METADATA {
            Err(Problem::MetadataTooMany)
        } else {
            Ok(())
        }
    })?;
    Ok(metadata)
}

fn tensor(name: String, value: &RawValue, data_start: usize) -> Result<Tensor, Problem> {
    let raw: RawTensor = match serde_json::from_str(value.get()) {
        Ok(raw) => raw,
        Err(error) => return Err(Problem::TensorEntry { name, error }),
    };
    let parsed: Result<Dtype, DtypeError> =
        Dtype::deserialize::<StrDeserializer<DtypeError>>(raw.dtype.as_str().into_deserializer());
    let Ok(dtype) = parsed else {
        return Err(Problem::UnknownDtype {
            name,
            dtype: raw.dtype,
        });
    };

    let bits = raw
        .shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
        .and_then(|elements| elements.checked_mul(dtype.bitsize()));
    let Some(bits) = bits else {
        return Err(Problem::SizeOverflow {
            name,
            shape: raw.shape,
        });
    };
    if bits % 8 != 0 {
        return Err(Problem::FractionOfByte {
            name,
            shape: raw.shape,
            dtype: raw.dtype,
        });
    }
    let needed = bits / 8;
    let (begin, end) = raw.data_offsets;
    if end.checked_sub(begin) != Some(needed) {
        return Err(Problem::SizeMismatch {
            name,
            needed,
            begin,
            end,
        });
    }
    match (begin.checked_add(data_start), end.checked_add(data_start)) {
        (Some(start), Some(stop)) => Ok(Tensor {
            name,
            dtype,
            shape: raw.shape,
            shard: 0,
            bytes: start..stop,
            arrangement: Arrangement::RowMajor,
        }),
        _ => Err(Problem::SizeOverflow {
            name,
            shape: raw.shape,
        }),
    }
}

/// Checks that no two tensors have one name.
fn check_names(tensors: &[Tensor]) -> Result<(), Problem> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Problem::DuplicateName {
            name: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

/// Checks that the tensors, sorted by offset, fill the data from its start to the end of the file.
fn check_layout(tensors: &[Tensor], data_start: usize, file_end: usize) -> Result<(), Problem> {
    let mut taken = data_start;
    for tensor in tensors {
        let name = || tensor.name.clone();
        if tensor.bytes.end > file_end {
            return Err(Problem::DataTruncated {
                name: name(),
                end: tensor.bytes.end - data_start,
                available: file_end - data_start,
            });
        }
        if tensor.bytes.start < taken {
            return Err(Problem::Overlap {
                name: name(),
                begin: tensor.bytes.start - data_start,
                taken: taken - data_start,
            });
        }
        if tensor.bytes.start > taken {
            return Err(Problem::Hole {
                name: name(),
                from: taken - data_start,
                to: tensor.bytes.start - data_start,
            });
        }
        taken = tensor.bytes.end;
    }
    match file_end - taken {
        0 => Ok(()),
        extra => Err(Problem::TrailingBytes { extra }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safetensors::SafeTensors;

    use super::*;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn keeps_place_order_whatever_the_header_order() {
        let json = r#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]},"__metadata__":{"k":"v"},"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]}}"#;
        let header = Header::parse(&file(json, 11)).unwrap();
        let names: Vec<_> = header.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(
            header.tensors[1].bytes,
            header.data_start + 3..header.data_start + 11
        );
        assert_eq!(header.metadata["k"], "v");
    }

    #[test]
    fn a_header_may_be_of_any_length() {
        let entry = r#"{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#;
        // 640, 896, 1152 and 1408 are the first bytes of pickles.
        for length in entry.len()..1500 {
            let json = format!("{entry:<length$}");
            let header = Header::parse(&file(&json, 1)).unwrap();
            assert_eq!(header.data_start, 8 + length);
        }
    }

    #[test]
    fn other_formats_are_recognised() {
        let mut pickle = b"\x80\x02}q\x00.".to_vec();
        for length in [6, 100] {
            pickle.resize(length, 1);
            let refused = Header::parse(&pickle);
            assert!(matches!(
                refused,
                Err(Problem::Foreign(crate::checkpoint::Recognised::Pickle))
            ));
        }
    }

    #[test]
    fn a_repeated_name_is_refused() {
        let entry = r#""a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}"#;
        let json = format!("{{{entry},{entry}}}");
        assert!(matches!(
            Header::parse(&file(&json, 0)),
            Err(Problem::DuplicateName { name }) if name == "a"
        ));
    }

    #[test]
    fn a_size_beyond_memory_is_refused_by_name() {
        let json =
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,4]}}"#;
        assert!(matches!(
            Header::parse(&file(json, 4)),
            Err(Problem::SizeOverflow { name, .. }) if name == "a"
        ));
    }

    #[test]
    fn metadata_is_a_map_of_texts_and_of_bounded_length() {
        let refused = |metadata: &str| {
            let json = format!(r#"{{"__metadata__":{metadata}}}"#);
            Header::parse(&file(&json, 0)).unwrap_err()
        };
        for malformed in ["[]", "3", r#"{"a":3}"#, r#"{"a":null}"#, "\"null\""] {
            assert!(
                matches!(refused(malformed), Problem::Metadata(_)),
                "{malformed}"
            );
        }
        let entries: Vec<String> = (0..=MOST_METADATA)
            .map(|i| format!("\"{i}\":\"\""))
            .collect();
        let (all, most) = (entries.join(","), entries[1..].join(","));
        assert!(matches!(
            refused(&format!("{{{all}}}")),
            Problem::MetadataTooMany
        ));
        let json = format!(r#"{{"__metadata__":{{{most}}}}}"#);
        let header = Header::parse(&file(&json, 0)).unwrap();
        assert_eq!(header.metadata.len(), MOST_METADATA);
        let null = Header::parse(&file(r#"{"__metadata__":null}"#, 0)).unwrap();
        assert!(null.metadata.is_empty());
        let twice = r#"{"__metadata__":{},"__metadata__":{}}"#;
        assert!(matches!(
            Header::parse(&file(twice, 0)),
            Err(Problem::DuplicateName { .. })
        ));
    }

    /// Headers that are often valid, and otherwise wrong in one of the ways a header can be.
    fn headers() -> impl Strategy<Value = (String, usize)> {
        let tensor = (
            prop_oneof![
                Just("F32"),
                Just("F16"),
                Just("I8"),
                Just("F4"),
                Just("F99")
            ],
            prop::collection::vec(0usize..4, 0..3),
            -1isize..=1,
        );
        (prop::collection::vec(tensor, 0..5), -1isize..=1, any::<bool>()).prop_map(
            |(tensors, data_error, reverse)| {
                let mut at = 0usize;
                let mut entries = Vec::new();
                for (i, (dtype, shape, slip)) in tensors.into_iter().enumerate() {
                    let bits = match dtype {
                        "F32" => 32,
                        "F16" => 16,
                        "F4" => 4,
                        _ => 8,
                    };
                    let size = shape.iter().product::<usize>() * bits / 8;
                    // One tensor in 27 or so is misplaced.
                    let begin = if i == 2 { at.saturating_add_signed(slip) } else { at };
                    entries.push(format!(
                        r#""t{i}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{}]}}"#,
                        begin + size
                    ));
                    at = begin + size;
                }
                if reverse {
                    entries.reverse();
                }
                let data = if at % 5 == 4 { at.saturating_add_signed(data_error) } else { at };
                (format!("{{{}}}", entries.join(",")), data)
            },
        )
    }

    proptest! {
        #[test]
        fn agrees_with_the_safetensors_crate((json, data) in headers()) {
            let bytes = file(&json, data);
            let theirs = SafeTensors::deserialize(&bytes);
            let ours = Header::parse(&bytes);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} against {:?}", ours, theirs.err());
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours.tensors.len(), theirs.len());
                for tensor in &ours.tensors {
                    let view = theirs.tensor(&tensor.name).unwrap();
                    prop_assert_eq!(view.shape(), &tensor.shape[..]);
                    prop_assert_eq!(view.data().as_ptr(), bytes[tensor.bytes.clone()].as_ptr());
                }
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u64..120, honest in any::<bool>()) {
            let mut bytes = bytes;
            if honest && bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&length.to_le_bytes());
            }
            let _ = Header::parse(&bytes);
        }
    }
}
