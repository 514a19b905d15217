//! Opening the files of a sharded checkpoint, and checking them against its index.

use std::collections::HashMap;
use std::path::Path;

use super::contents::Contents;
use super::{Error, Index, Problem, Shard};

/// Opens the files that an index names, in the order of their names, with what they hold. Checks that they hold exactly the
/// tensors that it lists.
pub(super) fn open(index: &Index) -> Result<Vec<(Shard, Contents)>, Error> {
    let files = &index.map().files;
    let names: Vec<&str> = index.map().shards().into_iter().collect();
    let shards: Vec<(Shard, Contents)> = names
        .iter()
        .map(|name| open_shard(index, &index.shard(name)))
        .collect::<Result<_, Error>>()?;
    let index_name = || index.name().to_string_lossy().into_owned();

    let mut found: HashMap<&str, usize> = HashMap::new();
    for (number, (shard, contents)) in shards.iter().enumerate() {
        for tensor in &contents.tensors {
            if let Some(first) = found.insert(&tensor.name, number) {
                let problem = Problem::InTwoShards {
                    name: tensor.name.clone(),
                    other: names[first].to_owned(),
                };
                return Err(problem.of(shard.path()));
            }
        }
    }
    for (number, (shard, contents)) in shards.iter().enumerate() {
        for tensor in &contents.tensors {
            let listed = files.get(&tensor.name).map(|file| &**file);
            if listed != Some(names[number]) {
                let problem = Problem::NotInIndex {
                    name: tensor.name.clone(),
                    index: index_name(),
                };
                return Err(problem.of(shard.path()));
            }
        }
    }
    for (tensor, file) in files {
        if !found.contains_key(tensor.as_str()) {
            let problem = Problem::NotInShard {
                name: tensor.clone(),
                index: index_name(),
            };
            return Err(problem.of(&index.shard(file)));
        }
    }
    Ok(shards)
}

fn open_shard(index: &Index, path: &Path) -> Result<(Shard, Contents), Error> {
    Shard::open(path, None).map_err(|mut error| {
        if matches!(*error.problem, Problem::Missing) {
            *error.problem = Problem::ShardMissing {
                index: index.name().to_string_lossy().into_owned(),
            };
        }
        error
    })
}
