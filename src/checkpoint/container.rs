//! The two kinds of file that hold tensors, told by their first bytes.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::contents::Contents;
use super::header::LENGTH_BYTES;
use super::torch::{self, TorchFile};
use super::{Header, Momentum, Problem, Tensor};

/// How zip archives begin.
const ZIP: &[u8; 4] = b"PK\x03\x04";

/// What a file is besides its tensors' values.
#[derive(Debug)]
pub(super) enum Container {
    /// With the header's JSON.
    Safetensors {
        json: Vec<u8>,
    },
    Torch(TorchFile),
}

impl Container {
    /// Reads and checks what an open file of this many bytes says that it holds; of several state dicts, that of this path.
    pub fn read(
        file: &File,
        size: usize,
        state_dict: Option<&str>,
    ) -> Result<(Self, Contents), Problem> {
        let mut start = [0; ZIP.len()];
        let start = &mut start[..size.min(ZIP.len())];
        file.read_exact_at(start, 0).map_err(Problem::reading_on)?;
        if start == ZIP {
            let read = |range: Range<usize>| {
                let mut bytes = vec![0; range.len()];
                file.read_exact_at(&mut bytes, range.start as u64)
                    .map_err(Problem::reading_on)?;
                Ok(bytes)
            };
            let (file, contents) = torch::read(&read, size, state_dict)?;
            return Ok((Self::Torch(file), contents));
        }
        let (header, json) = Header::read(file, size)?;
        if state_dict.is_some() {
            return Err(Problem::NoStateDicts);
        }
        let contents = Contents {
            tensors: header.tensors,
            metadata: header.metadata,
            notices: Vec::new(),
        };
        Ok((Self::Safetensors { json }, contents))
    }

    /// The bytes that describe the tensors, and where they begin in the file.
    pub fn description(&self) -> (&[u8], usize) {
        match self {
            Self::Safetensors { json } => (json, LENGTH_BYTES),
            Self::Torch(file) => (&file.pickle, file.pickle_at.start),
        }
    }
}

/// The tensors of a file of `torch.save`, and their momentum.
///
/// # Errors
///
/// If it is none, or damaged.
pub(crate) fn torch_tensors(
    file: &[u8],
    state_dict: Option<&str>,
) -> Result<(Vec<Tensor>, Result<Momentum, torch::Problem>), Problem> {
    let read = |range: Range<usize>| Ok(file[range].to_vec());
    let (file, contents) = torch::read(&read, file.len(), state_dict)?;
    let momentum = torch::momentum(&file, &contents.tensors);
    Ok((contents.tensors, momentum))
}
