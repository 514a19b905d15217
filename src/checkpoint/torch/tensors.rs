//! Tensors as a pickle describes them: a storage in the archive, and the part of it that the tensor shows.
//!
//! The functions named here are those by which PyTorch builds tensors anew (`torch/_utils.py`).

use std::ops::Range;

use safetensors::Dtype;

use super::Problem;
use super::archive::Archive;
use super::pickle::{Id, Pickle};
use crate::checkpoint::{Arrangement, Tensor};

/// Storage classes and `dtype`s, by their names in `torch`.
const DTYPES: [(&str, &str, Dtype); 19] = [
    ("FloatStorage", "float32", Dtype::F32),
    ("HalfStorage", "float16", Dtype::F16),
    ("BFloat16Storage", "bfloat16", Dtype::BF16),
    ("DoubleStorage", "float64", Dtype::F64),
    ("LongStorage", "int64", Dtype::I64),
    ("IntStorage", "int32", Dtype::I32),
    ("ShortStorage", "int16", Dtype::I16),
    ("CharStorage", "int8", Dtype::I8),
    ("ByteStorage", "uint8", Dtype::U8),
    ("BoolStorage", "bool", Dtype::BOOL),
    ("ComplexFloatStorage", "complex64", Dtype::C64),
    ("", "uint16", Dtype::U16),
    ("", "uint32", Dtype::U32),
    ("", "uint64", Dtype::U64),
    ("", "float8_e4m3fn", Dtype::F8_E4M3),
    ("", "float8_e5m2", Dtype::F8_E5M2),
    ("", "float8_e4m3fnuz", Dtype::F8_E4M3FNUZ),
    ("", "float8_e5m2fnuz", Dtype::F8_E5M2FNUZ),
    ("", "float8_e8m0fnu", Dtype::F8_E8M0),
];

/// Whether a value is a tensor; its kind and its numbers may still be such as cannot be read.
pub(super) fn is_tensor(pickle: &Pickle<'_>, id: Id) -> bool {
    rebuilt(pickle, id).is_some()
}

/// The tensor of this name that a value describes; `None` where its storage holds it in a way that is not known here: quantised,
/// sparse, complex of 128 bits.
pub(super) fn tensor(
    pickle: &Pickle<'_>,
    archive: &Archive,
    id: Id,
    name: &str,
) -> Result<Option<Tensor>, Problem> {
    let damaged = || Problem::Tensor {
        name: name.to_owned(),
    };
    let Some(Rebuilt::Strided(arguments)) = rebuilt(pickle, id) else {
        return Ok(None);
    };
    // storage, offset, size, stride, requires_grad, hooks, and in version 3 the dtype.
    let &[storage, offset, size, stride, ref rest @ ..] = arguments else {
        return Err(damaged());
    };
    let storage = pickle.persistent(storage).and_then(|id| pickle.tuple(id));
    let Some(&[_, class, key, ..]) = storage else {
        return Err(damaged());
    };
    let (Some((_, class)), Some(key)) = (pickle.global(class), pickle.text(key)) else {
        return Err(damaged());
    };
    let dtype = match class {
        "UntypedStorage" => rest
            .get(2)
            .and_then(|&id| pickle.global(id))
            .map(|(_, name)| name),
        _ => None,
    };
    let known = DTYPES.iter().find(|(storage, own, _)| match dtype {
        Some(dtype) => *own == dtype,
        None => *storage == class,
    });
    let Some(&(_, _, dtype)) = known else {
        return Ok(None);
    };
    let sizes = |id| {
        let items = pickle.tuple(id).or_else(|| {
            // torch.Size, which some versions keep.
            let (_, arguments) = pickle.call(id)?;
            pickle.tuple(*arguments.first()?)
        })?;
        items
            .iter()
            .map(|&item| pickle.size(item))
            .collect::<Option<Vec<usize>>>()
    };
    let (Some(offset), Some(shape), Some(strides)) =
        (pickle.size(offset), sizes(size), sizes(stride))
    else {
        return Err(damaged());
    };
    if shape.len() != strides.len() {
        return Err(damaged());
    }
    let Some(entry) = archive.find(&format!("data/{key}")) else {
        return Err(Problem::NoStorage {
            name: name.to_owned(),
            key: key.to_owned(),
        });
    };
    let held = &archive.entries[entry].data;
    let Some(bytes) = span(&shape, &strides, offset, dtype).filter(|span| span.end <= held.len())
    else {
        return Err(Problem::BeyondStorage {
            name: name.to_owned(),
            key: key.to_owned(),
            bytes: held.len(),
        });
    };
    Ok(Some(Tensor {
        name: name.to_owned(),
        dtype,
        arrangement: Arrangement::of(&shape, &strides),
        shape,
        shard: 0,
        bytes: held.start + bytes.start..held.start + bytes.end,
    }))
}

/// How a tensor is built anew.
enum Rebuilt<'p> {
    /// From a storage, an offset, extents and strides, by these arguments.
    Strided(&'p [Id]),
    Otherwise,
}

/// How a value is built anew, if it is a tensor.
fn rebuilt<'p>(pickle: &'p Pickle<'_>, mut id: Id) -> Option<Rebuilt<'p>> {
    // A parameter wraps a tensor, a tensor with attributes wraps the arguments of either: no value wraps more than that.
    for _ in 0..4 {
        let ((module, function), arguments) = pickle.call(id)?;
        match (module, function) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                return Some(Rebuilt::Strided(arguments));
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                id = *arguments.first()?;
            }
            ("torch._utils", _) if function.starts_with("_rebuild_") => {
                return Some(Rebuilt::Otherwise);
            }
            ("torch._tensor", "_rebuild_from_type_v2") => return Some(Rebuilt::Otherwise),
            _ => return None,
        }
    }
    None
}

/// The bytes of a storage from a tensor's first element to its last.
fn span(shape: &[usize], strides: &[usize], offset: usize, dtype: Dtype) -> Option<Range<usize>> {
    let bits = dtype.bitsize();
    if shape.contains(&0) {
        let at = offset.checked_mul(bits)? / 8;
        return Some(at..at);
    }
    // The number of elements must be one, whatever the strides: every other part of the program counts with it.
    shape
        .iter()
        .try_fold(bits, |product, &extent| product.checked_mul(extent))?;
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (&extent, &stride)| {
            last.checked_add((extent - 1).checked_mul(stride)?)
        })?;
    let end = last.checked_add(1)?.checked_mul(bits)? / 8;
    Some(offset * bits / 8..end)
}

/// Whether this is the name of a `dtype` in `torch`.
pub(super) fn is_dtype(name: &str) -> bool {
    name == "complex128" || DTYPES.iter().any(|(_, dtype, _)| *dtype == name)
}

/// Makes views of those tensors that share some but not all of their bytes with another: changing one would change a part of
/// the other. Tensors of the same bytes are copies of each other.
pub(super) fn set_apart(tensors: &mut [Tensor]) {
    let stored = (0..tensors.len()).filter(|&index| !tensors[index].bytes.is_empty());
    let mut stored: Vec<usize> = stored.collect();
    stored.sort_by_key(|&index| (tensors[index].bytes.start, tensors[index].bytes.end));
    let mut rest = &stored[..];
    while let Some(&first) = rest.first() {
        // Those that overlap the first, or one that does.
        let mut end = tensors[first].bytes.end;
        let overlaps = |&&index: &&usize| {
            let bytes = &tensors[index].bytes;
            let overlaps = bytes.start < end;
            end = end.max(bytes.end);
            overlaps
        };
        let (together, after) = rest.split_at(rest.iter().take_while(overlaps).count());
        let is_copy = |&index: &usize| {
            let (own, other) = (&tensors[index], &tensors[first]);
            own.bytes == other.bytes
                && own.dtype == other.dtype
                && own.shape == other.shape
                && own.arrangement == other.arrangement
        };
        if !together.iter().all(is_copy) {
            for &index in together {
                tensors[index].arrangement = Arrangement::View;
            }
        }
        rest = after;
    }
}
