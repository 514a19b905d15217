//! Files of `torch.save` (PyTorch 1.6 and later): a zip archive of a pickle and, for each storage, its bytes.
//!
//! Reading executes nothing that the pickle names. Of all state dicts in it, one is the checkpoint; everything else in the
//! file stays as it is.

mod archive;
mod error;
mod harmless;
mod nesting;
mod optimizer;
mod pickle;
mod state_dict;
mod tensors;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::contents::Contents;
use super::header::MAX_HEADER_BYTES;
use super::{Momentum, Names, Notice, Tensor};
use crate::checkpoint;

use archive::Archive;
pub(super) use archive::{Entry, ReadRange};
pub use error::Problem;
use pickle::{Id, Pickle};
use state_dict::StateDict;
use tensors::{Described, Tensors};

/// What such a file holds.
#[derive(Debug)]
pub(super) struct TorchFile {
    /// The pickle and where it lies.
    pub pickle: Vec<u8>,
    pub pickle_at: Range<usize>,
    /// The storages and all else.
    pub archive: Archive,
    /// The path of the state dict that was read.
    pub state_dict: String,
    /// A tensor of it that could not be read.
    pub unread: Option<String>,
}

/// Reads what a file of this many bytes holds, whose ranges `range` reads; of its state dicts that of this path, or without one that with the most
/// convolutions. No value is read.
///
/// # Errors
///
/// Where the file is damaged, or of another kind that begins alike.
pub(super) fn read(
    range: ReadRange<'_>,
    size: usize,
    path: Option<&str>,
) -> Result<(TorchFile, Contents), checkpoint::Problem> {
    let archive = Archive::read(range, size)?;
    let has = |name| archive.find(name).is_some();
    if has("model.json") {
        return Err(Problem::TorchScript.into());
    }
    let entry = archive.find("data.pkl").ok_or(Problem::NotTorch)?;
    let bytes = contents(range, &archive.entries[entry])?;
    if let Some(entry) = archive.find("byteorder")
        && contents(range, &archive.entries[entry])? == b"big"
    {
        return Err(Problem::BigEndian.into());
    }
    let pickle = Pickle::parse(&bytes)?;
    let mut notices = Vec::new();
    let all = Tensors::read(&pickle, &archive);
    let chosen = choose(&pickle, &all, path, &mut notices)?;
    let (tensors, unread) = read_tensors(&pickle, &all, &chosen, &mut notices)?;
    let metadata = texts(&pickle);
    if let Some(names) = harmless::others(&pickle) {
        notices.push(Notice::ForeignCode { names });
    }
    let pickle_at = archive.entries[entry].data.clone();
    let torch_file = TorchFile {
        pickle_at,
        state_dict: chosen.path,
        archive,
        pickle: bytes,
        unread,
    };
    let contents = Contents {
        tensors,
        metadata,
        notices,
    };
    Ok((torch_file, contents))
}

/// The momentum of these tensors of the file's state dict.
///
/// # Errors
///
/// If there is none, or it cannot be told which belongs to which tensor.
pub(super) fn momentum(file: &TorchFile, tensors: &[Tensor]) -> Result<Momentum, Problem> {
    let pickle = Pickle::parse(&file.pickle)?;
    let all = Tensors::read(&pickle, &file.archive);
    optimizer::momentum(&pickle, &all, &file.state_dict, tensors)
}

/// The bytes of a small entry, which must match their checksum.
fn contents(range: ReadRange<'_>, entry: &Entry) -> Result<Vec<u8>, checkpoint::Problem> {
    let bytes = entry.data.len();
    if bytes as u64 > MAX_HEADER_BYTES {
        return Err(Problem::PickleTooLarge { bytes }.into());
    }
    let contents = range(entry.data.clone())?;
    entry.check(crc32fast::hash(&contents))?;
    Ok(contents)
}

/// The state dict of this path, or without one that with the most convolutions: of several the first.
fn choose<'p>(
    pickle: &Pickle<'p>,
    all: &Tensors,
    path: Option<&str>,
    notices: &mut Vec<Notice>,
) -> Result<StateDict<'p>, Problem> {
    let mut found = state_dict::find(pickle, all);
    if let Some(path) = path {
        return match found.iter().position(|dict| dict.path == path) {
            Some(index) => Ok(found.swap_remove(index)),
            None if found.is_empty() => Err(nothing(pickle)),
            None => Err(Problem::NoSuchStateDict {
                path: path.to_owned(),
                paths: paths(&found),
            }),
        };
    }
    let convolutions = |dict: &StateDict<'_>| {
        let is_convolution = |&&(name, id): &&(&str, Id)| match all.get(pickle, id) {
            Some(Described::Stored(tensor)) => tensor.is_kernels() && name.ends_with("weight"),
            _ => false,
        };
        dict.tensors.iter().filter(is_convolution).count()
    };
    let counts: Vec<usize> = found.iter().map(convolutions).collect();
    let most = (0..found.len())
        .rev()
        .max_by_key(|&index| (counts[index], found[index].tensors.len()));
    let Some(chosen) = most else {
        return Err(nothing(pickle));
    };
    // A model that was pickled whole, beside some numbers.
    if counts[chosen] == 0
        && let problem @ Problem::PickledObject { .. } = nothing(pickle)
    {
        return Err(problem);
    }
    let others = (0..found.len()).filter(|&index| index != chosen && counts[index] > 0);
    let others: Vec<String> = others.map(|index| label(&found[index].path)).collect();
    let dict = found.swap_remove(chosen);
    if !others.is_empty() {
        notices.push(Notice::OtherStateDicts {
            chosen: label(&dict.path),
            others: others.into(),
        });
    }
    Ok(dict)
}

/// The error for a file without a state dict.
fn nothing(pickle: &Pickle<'_>) -> Problem {
    let root = std::iter::once(pickle.root);
    let entries = pickle.entries(pickle.root).unwrap_or_default();
    let mut values = root.chain(entries.iter().map(|&(_, value)| value));
    let class = values.find_map(|value| {
        let ((module, name), _) = pickle.call(value)?;
        let is_data = module == "collections" || module.starts_with("torch._");
        (!is_data).then(|| format!("{module}.{name}"))
    });
    match class {
        Some(class) => Problem::PickledObject { class },
        None => Problem::NoStateDict,
    }
}

fn paths(found: &[StateDict<'_>]) -> Names {
    let paths: Vec<String> = found.iter().map(|dict| label(&dict.path)).collect();
    paths.into()
}

/// How a message names a state dict: the outermost mapping has no key.
fn label(path: &str) -> String {
    if path.is_empty() {
        "\"\"".to_owned()
    } else {
        path.to_owned()
    }
}

/// The tensors of a state dict, and the name of one that could not be read.
fn read_tensors(
    pickle: &Pickle<'_>,
    all: &Tensors,
    dict: &StateDict<'_>,
    notices: &mut Vec<Notice>,
) -> Result<(Vec<Tensor>, Option<String>), checkpoint::Problem> {
    let mut names = HashSet::new();
    let mut unknown = Vec::new();
    for &(name, id) in &dict.tensors {
        if !names.insert(name) {
            let name = name.to_owned();
            return Err(checkpoint::Problem::DuplicateName { name });
        }
        match all.get(pickle, id) {
            Some(Described::Stored(_)) => {}
            Some(Described::Invalid(invalid)) => return Err(invalid.clone().of(name).into()),
            Some(Described::Unknown) | None => unknown.push(name.to_owned()),
        }
    }
    let (tensors, shared) = all.named(pickle, &dict.tensors);
    let views = tensors.iter().filter(|tensor| tensor.is_view());
    let views: Vec<String> = views.map(|tensor| tensor.name.clone()).collect();
    let unread = unknown.first().cloned();
    let mut notice = |names: Vec<String>, of: fn(Names) -> Notice| {
        if !names.is_empty() {
            notices.push(of(names.into()));
        }
    };
    notice(shared, |names| Notice::SharedElsewhere { names });
    notice(views, |names| Notice::Views { names });
    notice(unknown, |names| Notice::UnknownTensors { names });
    Ok((tensors, unread))
}

/// The texts in the outermost mapping, by their names: no more of them than the pickle is long.
fn texts(pickle: &Pickle<'_>) -> BTreeMap<String, String> {
    let entries = pickle.entries(pickle.root).unwrap_or_default();
    let mut left = pickle.len();
    let mut texts = BTreeMap::new();
    for &(key, value) in entries {
        if let Some(key) = pickle.text(key)
            && let Some(value) = pickle.long_text(value, left)
        {
            left = left.saturating_sub(key.len() + value.len());
            texts.insert(key.to_owned(), value.to_owned());
        }
    }
    texts
}
