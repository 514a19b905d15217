//! A state dict as a safetensors file.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::container::Container;
use super::header::LENGTH_BYTES;
use super::shard::Shard;
use super::torch::Entry;
use super::{Arrangement, Checkpoint, Error, Problem, Tensor};
use crate::atomic::{TemporaryFile, or_here};

impl Checkpoint {
    /// This checkpoint in a safetensors file: with the same tensors in the same order, their values in row-major order, and the
    /// identity of this one. The file has no name; it lies in the folder of `output` and goes with the checkpoint.
    ///
    /// # Errors
    ///
    /// If a tensor cannot be read on its own, this checkpoint changes meanwhile, or the file cannot be written.
    pub fn to_safetensors(&self, output: &Path) -> Result<Self, Error> {
        let is_left_out = |tensor: &&Tensor| tensor.is_view() || tensor.name == "__metadata__";
        let left_out = self.tensors().iter().find(is_left_out);
        let left_out = left_out.map(|tensor| tensor.name.clone());
        let unread = self
            .shards()
            .iter()
            .find_map(|shard| match shard.container() {
                Container::Torch(file) => file.unread.clone(),
                Container::Safetensors { .. } => None,
            });
        if let Some(name) = left_out.or(unread) {
            return Err(Problem::ViewToConvert { name }.of(self.path()));
        }
        self.check_storages()?;
        let failed = |error| Problem::writing(error).of(output);
        let mut stored: Vec<usize> = (0..self.tensors().len()).collect();
        // As the usual writer has them: wide types first, so that every value is aligned.
        stored.sort_by_key(|&index| {
            let tensor = &self.tensors()[index];
            (Reverse(tensor.dtype.bitsize()), &tensor.name)
        });
        let (json, tensors) = header(self.tensors(), &stored);
        let file = TemporaryFile::create(or_here(output.parent())).map_err(failed)?;
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
        let length = (json.len() as u64).to_le_bytes();
        let begun = writer
            .write_all(&length)
            .and_then(|()| writer.write_all(&json));
        begun.map_err(failed)?;
        for index in stored {
            let tensor = &self.tensors()[index];
            let write = |values: &[u8]| writer.write_all(&tensor.row_major(values));
            self.with_values(tensor, write)?.map_err(failed)?;
        }
        writer.flush().map_err(failed)?;
        drop(writer);
        let open = file.as_file().try_clone().map_err(failed)?;
        // Where that fails it keeps its hidden name, by which a later run knows it for a dead one's.
        let _ = file.remove();
        self.check_unchanged()?;
        let shard = Shard::unnamed(self.path(), open, json).map_err(failed)?;
        Ok(self.converted(shard, tensors))
    }
}

impl Checkpoint {
    /// Checks that the storages match their checksums, which a file of another format does not keep.
    fn check_storages(&self) -> Result<(), Error> {
        for (number, shard) in self.shards().iter().enumerate() {
            let Container::Torch(file) = shard.container() else {
                continue;
            };
            let own = self
                .tensors()
                .iter()
                .filter(|tensor| tensor.shard == number);
            let starts: BTreeSet<usize> = own.map(|tensor| tensor.bytes.start).collect();
            let is_read = |entry: &&Entry| starts.range(entry.data.clone()).next().is_some();
            let mut read = file.archive.entries.iter().filter(is_read);
            read.try_for_each(|entry| {
                let crc = shard.with_bytes(entry.data.clone(), crc32fast::hash)?;
                entry
                    .check(crc)
                    .map_err(|problem| Problem::from(problem).of(shard.path()))
            })?;
        }
        Ok(())
    }
}

/// The header of a file with these tensors, stored in this order, and the tensors as they lie in it.
fn header(tensors: &[Tensor], stored: &[usize]) -> (Vec<u8>, Vec<Tensor>) {
    let mut converted = tensors.to_vec();
    let mut entries = Map::new();
    // What PyTorch's programs ask for before they load a file.
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut end = 0;
    for &index in stored {
        let tensor = &mut converted[index];
        let start = end;
        end += tensor.bytes.len();
        tensor.bytes = start..end;
        tensor.arrangement = Arrangement::RowMajor;
        let entry = json!({
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [start, end],
        });
        entries.insert(tensor.name.clone(), entry);
    }
    let mut json = serde_json::to_vec(&Value::Object(entries)).expect("plain data");
    json.resize(json.len().next_multiple_of(8), b' ');
    let data = LENGTH_BYTES + json.len();
    for tensor in &mut converted {
        tensor.bytes = data + tensor.bytes.start..data + tensor.bytes.end;
    }
    (json, converted)
}
