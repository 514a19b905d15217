//! Tensors as a pickle describes them: a storage in the archive, and the part of it that the tensor shows.
//!
//! The functions named here are those by which PyTorch builds tensors anew (`torch/_utils.py`).

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use safetensors::Dtype;

use super::Problem;
use super::archive::Archive;
use super::pickle::{Id, Pickle};
use crate::checkpoint::{Arrangement, Tensor};

/// Storage classes and `dtype`s, by their names in `torch`.
const DTYPES: [(&str, &str, Dtype); 22] = [
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
    ("QInt8Storage", "qint8", Dtype::I8),
    ("QUInt8Storage", "quint8", Dtype::U8),
    ("QInt32Storage", "qint32", Dtype::I32),
    ("", "uint16", Dtype::U16),
    ("", "uint32", Dtype::U32),
    ("", "uint64", Dtype::U64),
    ("", "float8_e4m3fn", Dtype::F8_E4M3),
    ("", "float8_e5m2", Dtype::F8_E5M2),
    ("", "float8_e4m3fnuz", Dtype::F8_E4M3FNUZ),
    ("", "float8_e5m2fnuz", Dtype::F8_E5M2FNUZ),
    ("", "float8_e8m0fnu", Dtype::F8_E8M0),
];

/// The most dimensions of a tensor, as PyTorch has it.
const MAX_RANK: usize = 64;

/// A tensor that a pickle describes, without a name.
#[derive(Debug)]
pub(super) struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
    arrangement: Arrangement,
}

impl Stored {
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The tensor under a name.
    fn under(&self, name: &str) -> Tensor {
        Tensor {
            name: name.to_owned(),
            dtype: self.dtype,
            shape: self.shape.clone(),
            shard: 0,
            bytes: self.bytes.clone(),
            arrangement: self.arrangement.clone(),
        }
    }

    /// Whether it has the rank of a convolution's weight.
    pub fn is_kernels(&self) -> bool {
        (3..=5).contains(&self.shape.len())
    }
}

/// What a value that stands for a tensor describes.
#[derive(Debug)]
pub(super) enum Described {
    Stored(Stored),
    /// A tensor that is not known here: sparse, of 128 bits, or negated when it is read.
    Unknown,
    Invalid(Invalid),
}

/// What is wrong with the description of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Invalid {
    NoTensor,
    NoStorage { key: String },
    BeyondStorage { key: String, bytes: usize },
}

impl Invalid {
    /// The problem with the tensor of this name.
    pub fn of(self, name: &str) -> Problem {
        let name = name.to_owned();
        match self {
            Self::NoTensor => Problem::Tensor { name },
            Self::NoStorage { key } => Problem::NoStorage { name, key },
            Self::BeyondStorage { key, bytes } => Problem::BeyondStorage { name, key, bytes },
        }
    }
}

/// All tensors that a pickle describes, in a state dict or not.
#[derive(Debug)]
pub(super) struct Tensors {
    /// By the value that builds the tensor.
    described: HashMap<Id, Described>,
    /// Storages that something else than these tensors reads, in bytes of the file.
    others: Vec<Range<usize>>,
}

impl Tensors {
    /// Reads all descriptions, each once.
    pub fn read(pickle: &Pickle<'_>, archive: &Archive) -> Self {
        let mut described = HashMap::new();
        let mut read: HashSet<Id> = HashSet::new();
        for id in pickle.calls() {
            let Some((arguments, is_plain)) = strided(pickle, id) else {
                continue;
            };
            let tensor = describe(pickle, archive, arguments, is_plain);
            if matches!(tensor, Described::Stored(_)) {
                read.extend(arguments.first().copied());
            }
            described.insert(id, tensor);
        }
        let storages = pickle.persistents().filter(|(id, _)| !read.contains(id));
        let others = storages.filter_map(|(_, storage)| {
            let key = pickle.text(*pickle.tuple(storage)?.get(2)?)?;
            let entry = archive.find(&format!("data/{key}"))?;
            Some(archive.entries[entry].data.clone())
        });
        Self {
            described,
            others: others.collect(),
        }
    }

    /// What a value describes, if it stands for a tensor.
    pub fn get(&self, pickle: &Pickle<'_>, id: Id) -> Option<&Described> {
        match core(pickle, id)? {
            Core::Tensor(id) => self.described.get(&id),
            Core::Unknown => Some(&Described::Unknown),
        }
    }

    /// Tensors under their names, without a look at what else shares their bytes.
    pub fn unshared(&self, pickle: &Pickle<'_>, named: &[(&str, Id)]) -> Vec<Tensor> {
        let stored = named
            .iter()
            .filter_map(|&(name, id)| match self.get(pickle, id) {
                Some(Described::Stored(stored)) => Some(stored.under(name)),
                _ => None,
            });
        stored.collect()
    }

    /// Gives tensors their names. Those that share some but not all of their bytes with another tensor of the file become
    /// views: changing one would change a part of the other. Tensors of the same bytes are copies of each other. Also returns
    /// the names of those that share all their bytes with a tensor that is none of these.
    pub fn named(&self, pickle: &Pickle<'_>, named: &[(&str, Id)]) -> (Vec<Tensor>, Vec<String>) {
        let mut regions: Vec<Region<'_>> = Vec::new();
        for stored in self.described.values() {
            if let Described::Stored(stored) = stored {
                regions.push((stored.bytes.clone(), Some(stored)));
            }
        }
        regions.extend(self.others.iter().map(|bytes| (bytes.clone(), None)));
        let partly = partly_shared(regions);
        let own: HashSet<Id> = named
            .iter()
            .filter_map(|&(_, id)| tensor_of(pickle, id))
            .collect();
        let others = self.described.iter().filter(|(id, _)| !own.contains(id));
        let elsewhere = others.filter_map(|(_, described)| match described {
            Described::Stored(stored) if !stored.bytes.is_empty() => Some(stored.bytes.start),
            _ => None,
        });
        let elsewhere: HashSet<usize> = elsewhere.collect();
        let mut uses = pickle.uses();
        for (_, id) in named {
            uses.entry(*id)
                .and_modify(|uses| *uses = uses.saturating_sub(1));
        }
        let is_used_elsewhere = |id| uses.get(&id).is_some_and(|&uses| uses > 0);
        let (mut tensors, mut shared) = (Vec::with_capacity(named.len()), Vec::new());
        for &(name, id) in named {
            let Some(Described::Stored(stored)) = self.get(pickle, id) else {
                continue;
            };
            let is_part = partly.contains(&(stored.bytes.start, stored.bytes.end));
            let is_elsewhere = elsewhere.contains(&stored.bytes.start) || is_used_elsewhere(id);
            if !is_part && !stored.bytes.is_empty() && is_elsewhere {
                shared.push(name.to_owned());
            }
            let mut tensor = stored.under(name);
            if is_part {
                tensor.arrangement = Arrangement::View;
            }
            tensors.push(tensor);
        }
        (tensors, shared)
    }
}

/// Bytes that are read, and the tensor that reads them if it is known.
type Region<'t> = (Range<usize>, Option<&'t Stored>);

/// The ranges of tensors that overlap with something that is not a tensor of the same bytes, dtype, extents and arrangement.
fn partly_shared(mut regions: Vec<Region<'_>>) -> HashSet<(usize, usize)> {
    regions.retain(|(bytes, _)| !bytes.is_empty());
    regions.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut partly = HashSet::new();
    let mut rest = &regions[..];
    while let Some((first, stored)) = rest.first() {
        // Those that overlap the first, or one that does.
        let mut end = first.end;
        let overlaps = |(bytes, _): &&Region<'_>| {
            let overlaps = bytes.start < end;
            end = end.max(bytes.end);
            overlaps
        };
        let (together, after) = rest.split_at(rest.iter().take_while(overlaps).count());
        let is_same = |(_, other): &Region<'_>| match (stored, other) {
            (Some(own), Some(other)) => {
                own.bytes == other.bytes
                    && own.dtype == other.dtype
                    && own.shape == other.shape
                    && own.arrangement == other.arrangement
            }
            _ => false,
        };
        if !together.iter().all(is_same) {
            partly.extend(together.iter().map(|(bytes, _)| (bytes.start, bytes.end)));
        }
        rest = after;
    }
    partly
}

/// A tensor by the arguments of the function that builds it: storage, offset, size, stride, and what its kind adds. One that is
/// not `is_plain` has values that cannot be told from its bytes alone.
fn describe(pickle: &Pickle<'_>, archive: &Archive, arguments: &[Id], is_plain: bool) -> Described {
    try_describe(pickle, archive, arguments, is_plain).unwrap_or_else(Described::Invalid)
}

fn try_describe(
    pickle: &Pickle<'_>,
    archive: &Archive,
    arguments: &[Id],
    is_plain: bool,
) -> Result<Described, Invalid> {
    let &[storage, offset, size, stride, ref rest @ ..] = arguments else {
        return Err(Invalid::NoTensor);
    };
    let storage = pickle.persistent(storage).and_then(|id| pickle.tuple(id));
    let Some(&[_, class, key, ..]) = storage else {
        return Err(Invalid::NoTensor);
    };
    let (Some((_, class)), Some(key)) = (pickle.global(class), pickle.text(key)) else {
        return Err(Invalid::NoTensor);
    };
    let by_dtype = match class {
        "UntypedStorage" => rest.get(2).and_then(|&id| pickle.global(id)),
        _ => None,
    };
    let known = DTYPES.iter().find(|(storage, own, _)| match by_dtype {
        Some((_, dtype)) => *own == dtype,
        None => *storage == class,
    });
    let Some(&(_, _, dtype)) = known else {
        return Ok(Described::Unknown);
    };
    // Behind the hooks, and the dtype if there is one: what is done to the values when they are read (`neg`, `conj`).
    let metadata = rest.get(if by_dtype.is_some() { 3 } else { 2 });
    let is_as_read = metadata.is_none_or(|&id| pickle.entries(id).is_none_or(<[_]>::is_empty));
    let (Some(offset), Some(shape), Some(strides)) = (
        pickle.size(offset),
        sizes(pickle, size),
        sizes(pickle, stride),
    ) else {
        return Err(Invalid::NoTensor);
    };
    if shape.len() != strides.len() {
        return Err(Invalid::NoTensor);
    }
    let entry = archive.find(&format!("data/{key}"));
    let key = || key.to_owned();
    let held = &archive.entries[entry.ok_or_else(|| Invalid::NoStorage { key: key() })?].data;
    let bytes = span(&shape, &strides, offset, dtype).filter(|span| span.end <= held.len());
    let bytes = bytes.ok_or_else(|| Invalid::BeyondStorage {
        key: key(),
        bytes: held.len(),
    })?;
    Ok(Described::Stored(Stored {
        dtype,
        arrangement: match is_plain && is_as_read {
            true => Arrangement::of(&shape, &strides),
            false => Arrangement::View,
        },
        shape,
        bytes: held.start + bytes.start..held.start + bytes.end,
    }))
}

/// Extents or strides.
fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    let items = pickle.tuple(id).or_else(|| {
        // torch.Size, which some versions keep.
        let (_, arguments) = pickle.call(id)?;
        pickle.tuple(*arguments.first()?)
    })?;
    let items = Some(items).filter(|items| items.len() <= MAX_RANK)?;
    items.iter().map(|&item| pickle.size(item)).collect()
}

/// What a value that stands for a tensor is at its core.
enum Core {
    /// The value that builds it from a storage.
    Tensor(Id),
    Unknown,
}

/// The core of a value, if it stands for a tensor. A parameter wraps a tensor.
fn core(pickle: &Pickle<'_>, mut id: Id) -> Option<Core> {
    for _ in 0..4 {
        if strided(pickle, id).is_some() {
            return Some(Core::Tensor(id));
        }
        let ((module, function), arguments) = pickle.call(id)?;
        match (module, function) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                id = *arguments.first()?;
            }
            ("torch._utils", _) if function.starts_with("_rebuild_") => return Some(Core::Unknown),
            ("torch._tensor", "_rebuild_from_type_v2") => return Some(Core::Unknown),
            _ => return None,
        }
    }
    None
}

fn tensor_of(pickle: &Pickle<'_>, id: Id) -> Option<Id> {
    match core(pickle, id)? {
        Core::Tensor(id) => Some(id),
        Core::Unknown => None,
    }
}

/// The arguments of the function that builds a tensor from a storage, and whether its values are the bytes there.
fn strided<'p>(pickle: &'p Pickle<'_>, id: Id) -> Option<(&'p [Id], bool)> {
    match pickle.call(id)? {
        (("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor_v3"), arguments) => {
            Some((arguments, true))
        }
        // Quantised numbers stand for others.
        (("torch._utils", "_rebuild_qtensor"), arguments) => Some((arguments, false)),
        // Of a class of its own or with attributes: function, class, arguments.
        (("torch._tensor", "_rebuild_from_type_v2"), &[function, class, arguments, ..]) => {
            let is_plain = matches!(
                pickle.global(class)?,
                ("torch", "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer")
            );
            match pickle.global(function)? {
                ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                    Some((pickle.tuple(arguments)?, is_plain))
                }
                _ => None,
            }
        }
        _ => None,
    }
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
