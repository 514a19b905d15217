//! One shard of a sharded checkpoint, given as if it were a whole checkpoint.
//!
//! It is refused, because the depth of its layers depends on the other shards.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::atomic::or_here;
use crate::files;

use super::index::{SHARD_ENDINGS, is_index};
use super::{Error, Index, Problem};

/// Digits of the numbers in a shard's name.
const DIGITS: usize = 5;

/// Refuses a file that an index beside it names, or whose own name says that there are more like it.
///
/// A file that is no valid index is ignored, and so is a folder that may not be listed: then the name decides.
pub(super) fn refuse(path: &Path) -> Result<(), Error> {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return Ok(());
    };
    let shard = ShardName::parse(name);
    let indexes = indexes_beside(path).map_err(|e| Problem::reading(e).of(path))?;
    for index in &indexes {
        if names(path, index, name)? {
            let index = index.clone();
            return Err(Problem::LoneShard { index }.of(path));
        }
    }
    match shard {
        Some(shard) if shard.count > 1 => {
            let index = shard.index();
            let problem = if indexes.contains(&index) {
                Problem::LoneShard { index }
            } else {
                let count = shard.count;
                Problem::LoneShardWithoutIndex { index, count }
            };
            Err(problem.of(path))
        }
        _ => Ok(()),
    }
}

/// The names of the indexes in a file's folder, in order.
fn indexes_beside(path: &Path) -> io::Result<Vec<String>> {
    let entries = match files::names(or_here(path.parent())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries
        .into_iter()
        .filter_map(|name| name.into_string().ok());
    let mut indexes: Vec<String> = names.filter(|name| is_index(name.as_ref())).collect();
    indexes.sort();
    Ok(indexes)
}

/// Whether an index names this file and others.
fn names(path: &Path, index: &str, name: &str) -> Result<bool, Error> {
    match Index::open(path.with_file_name(index)) {
        Ok(index) => {
            let shards = index.map().shards();
            Ok(shards.len() > 1 && shards.contains(name))
        }
        Err(error)
            if matches!(
                *error.problem,
                Problem::Unreadable(_) | Problem::TooManyOpen
            ) =>
        {
            Err(error)
        }
        Err(_) => Ok(false),
    }
}

/// The name of one shard of several: `model-00002-of-00003.safetensors`.
#[derive(Debug, PartialEq, Eq)]
struct ShardName<'a> {
    stem: &'a str,
    ending: &'a str,
    count: u64,
}

impl<'a> ShardName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (name, ending) = name.rsplit_once('.')?;
        if !SHARD_ENDINGS.contains(&ending) {
            return None;
        }
        let (rest, count) = take_number(name)?;
        let (stem, _) = take_number(rest.strip_suffix("-of-")?)?;
        let stem = stem.strip_suffix('-')?;
        Some(Self {
            stem,
            ending,
            count,
        })
    }

    /// The name of its index; that of a variant (`model.fp16-…`) has the variant's name behind `index`.
    fn index(&self) -> String {
        let ending = self.ending;
        match self.stem.split_once('.') {
            Some((stem, variant)) => format!("{stem}.{ending}.index.{variant}.json"),
            None => format!("{}.{ending}.index.json", self.stem),
        }
    }
}

/// Takes a number of five digits from the end of a text.
fn take_number(text: &str) -> Option<(&str, u64)> {
    let (rest, number) = text.split_at_checked(text.len().checked_sub(DIGITS)?)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((rest, number.parse().ok().filter(|_| is_number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_name() {
        let index = |name| ShardName::parse(name).map(|shard| (shard.index(), shard.count));
        assert_eq!(
            index("model-00002-of-00003.safetensors"),
            Some(("model.safetensors.index.json".to_owned(), 3))
        );
        assert_eq!(
            index("diffusion_pytorch_model.fp16-00001-of-00002.safetensors"),
            Some((
                "diffusion_pytorch_model.safetensors.index.fp16.json".to_owned(),
                2
            ))
        );
        assert_eq!(
            index("pytorch_model-00001-of-00002.bin"),
            Some(("pytorch_model.bin.index.json".to_owned(), 2))
        );
        assert_eq!(
            index("model-00001-of-00001.safetensors").map(|(_, count)| count),
            Some(1)
        );
        for name in [
            "model.safetensors",
            "model-2-of-3.safetensors",
            "model-00002-of-00003.safetensors.bak",
            "model-00002-of-0000é.safetensors",
            "model-+0002-of-+0003.safetensors",
            "00002-of-00003.safetensors",
            "epoch-00002.safetensors",
            "-of-00003.safetensors",
            "é003.safetensors",
        ] {
            assert_eq!(index(name), None, "{name}");
        }
    }
}
