//! The checkpoints: torchvision's names and shapes, wide layers, and weights made up.

use std::borrow::Cow;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, View, serialize_to_file};

use crate::Result;
use crate::noise::Noise;

/// Where checkpoints of these weights are kept: another number for other weights.
pub const VERSION: &str = "checkpoints-1";

/// What a run over all checkpoints takes.
pub const ALL: [&str; 7] = [
    "resnet18",
    "resnet50",
    "resnet50-f16",
    "resnet50-bf16",
    "vgg19",
    "wide4096",
    "wide8192",
];

/// A checkpoint that can be made.
pub struct Checkpoint {
    pub name: String,
    /// The dtype of its weights.
    pub dtype: Dtype,
    /// How many convolutions are left alone.
    pub skip: usize,
    /// The convolutions, in execution order.
    pub order: Vec<String>,
    pub tensors: Vec<Tensor>,
}

/// A tensor that is made when it is asked for.
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl Checkpoint {
    /// One of [`ALL`], `wide512` or `wide2048`, or `scaleN`: a layer of N kernels.
    pub fn named(name: &str) -> Option<Self> {
        let (model, dtype) = match name.rsplit_once('-') {
            Some((model, "f16")) => (model, Dtype::F16),
            Some((model, "bf16")) => (model, Dtype::BF16),
            _ => (name, Dtype::F32),
        };
        let (skip, (tensors, order)) = match model {
            "resnet18" => (10, network(torchvision!("resnet18"), dtype)),
            "resnet50" => (10, network(torchvision!("resnet50"), dtype)),
            "vgg19" => (10, network(torchvision!("vgg19"), dtype)),
            "wide512" => (0, layer(512, 512)),
            "wide2048" => (0, layer(2048, 512)),
            "wide4096" => (0, layer(4096, 512)),
            "wide8192" => (0, layer(8192, 256)),
            _ => (0, layer(model.strip_prefix("scale")?.parse().ok()?, 128)),
        };
        Some(Self {
            name: name.to_owned(),
            dtype,
            skip,
            order,
            tensors,
        })
    }

    /// Writes it.
    pub fn make(self, path: &Path) -> Result<()> {
        write(self.tensors, path)
    }
}

/// Writes tensors, whole or not at all, as Python's `save_file` does.
pub fn write(tensors: Vec<Tensor>, path: &Path) -> Result<()> {
    let tensors = tensors.into_iter();
    Ok(serialize_to_file(
        tensors.map(|tensor| (tensor.name.clone(), tensor)),
        None,
        path,
    )?)
}

/// The table of a torchvision model.
macro_rules! torchvision {
    ($model:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/architectures/torchvision-",
            $model,
            ".tsv"
        ))
    };
}
use torchvision;

/// The tensors of a model's table, and its convolutions in execution order.
///
/// Tables leave out what batch normalisation counts: it is put back beside each weight of rank 1.
fn network(table: &str, dtype: Dtype) -> (Vec<Tensor>, Vec<String>) {
    let mut tensors = Vec::new();
    let mut places = Vec::new();
    let mut above = String::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let shared: usize = fields[0].parse().expect("a length");
        let name = format!("{}{}", &above[..shared], fields[1]);
        let shape: Vec<usize> = fields[2]
            .split('x')
            .map(|extent| extent.parse().expect("an extent"))
            .collect();
        if let Some(place) = fields.get(5) {
            places.push((place.parse::<usize>().expect("a place"), name.clone()));
        }
        let mut tensor = |name: String, dtype, shape: &[usize]| {
            tensors.push(Tensor {
                name,
                dtype,
                shape: shape.to_vec(),
            });
        };
        if let Some(module) = name.strip_suffix("weight").filter(|_| shape.len() == 1) {
            tensor(format!("{module}running_mean"), dtype, &shape);
            tensor(format!("{module}running_var"), dtype, &shape);
            tensor(format!("{module}num_batches_tracked"), Dtype::I64, &[]);
        }
        tensor(name.clone(), dtype, &shape);
        above = name;
    }
    places.sort();
    (tensors, places.into_iter().map(|(_, name)| name).collect())
}

/// A single 3×3 convolution.
fn layer(outputs: usize, inputs: usize) -> (Vec<Tensor>, Vec<String>) {
    let name = "layer.weight".to_owned();
    let tensor = Tensor {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: vec![outputs, inputs, 3, 3],
    };
    (vec![tensor], vec![name])
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        match self.dtype {
            Dtype::I64 => bytes.resize(self.data_len(), 0),
            Dtype::F32 => self.weights(|x| bytes.extend(x.to_le_bytes())),
            Dtype::F16 => self.weights(|x| bytes.extend(f16::from_f32(x).to_le_bytes())),
            Dtype::BF16 => self.weights(|x| bytes.extend(bf16::from_f32(x).to_le_bytes())),
            other => unreachable!("no checkpoint here holds {other:?}"),
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

impl Tensor {
    /// Gives every weight: rows that share one of n/8 bases, so that about half of what two of them hold is the same.
    fn weights(&self, mut give: impl FnMut(f32)) {
        let tensor = self.name.bytes().fold(0, |hash: u64, byte| {
            hash.wrapping_mul(257) + u64::from(byte)
        });
        let rows = self.shape[0];
        let width: usize = self.shape[1..].iter().product();
        let bases = (rows / 8).max(1) as u64;
        for row in 0..rows as u64 {
            let mut noise = Noise::of([tensor, 0, row]);
            let mut base = Noise::of([tensor, 1, noise.bits() % bases]);
            for _ in 0..width {
                give(0.05 * (0.7 * base.number() + 0.7 * noise.number()));
            }
        }
    }
}
