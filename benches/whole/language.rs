//! A checkpoint far larger than its largest layer: the linear layers of a language model.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use safetensors::Dtype;
use serde_json::{Map, json};

use crate::Result;
use crate::checkpoints::Tensor;
use crate::contenders::{Workshop, ours};
use crate::measure;
use crate::table::mebibytes;

/// The shape of Llama 2's smallest model: blocks, width, width inside a block, vocabulary.
const BLOCKS: usize = 32;
const WIDTH: usize = 4096;
const INNER: usize = 11_008;
const VOCABULARY: usize = 32_000;

/// The files it is split into.
const SHARDS: usize = 3;

/// Merges all of it once, and says what that took.
pub fn run(workshop: &Workshop) -> Result<String> {
    let folder = workshop.cache.join("language");
    make(&folder)?;
    let output = workshop.scratch("language");
    let command = || {
        let mut command = ours();
        command.arg("merge").args([&folder, &output]);
        command.args([
            "--kinds",
            "linear",
            "--skip-shallow",
            "0",
            "--no-sync",
            "-q",
        ]);
        command.args(["--partner", "nearest", "--prob", "1", "--tau", "0.5"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    eprintln!("merging");
    let run = measure::timed(&mut command())?;
    fs::remove_dir_all(&output)?;
    eprintln!("merging again, to watch its memory");
    let anonymous = measure::watched(&mut command())?;
    fs::remove_dir_all(&output)?;
    eprintln!("copying");
    let mut copy = Command::new("cp");
    copy.arg("-r").args([&folder, &output]);
    let copy = measure::timed(&mut copy)?;
    fs::remove_dir_all(&output)?;

    let tensors = (0..SHARDS).flat_map(tensors);
    let layers: Vec<Tensor> = tensors.filter(is_layer).collect();
    let extents = layers.iter().map(|layer| (layer.shape[0], layer.shape[1]));
    let products: f64 = extents.clone().map(|(n, d)| 0.5 * (n * n * d) as f64).sum();
    let kernels: usize = extents.clone().map(|(n, _)| n).sum();
    let largest = extents.map(|(n, d)| n * d).max().unwrap_or_default();
    let bytes: u64 = (0..SHARDS)
        .map(|shard| fs::metadata(path(&folder, shard)).map(|file| file.len()))
        .sum::<std::io::Result<u64>>()?;
    Ok(format!(
        "A language model of {:.1} GB in {SHARDS} files, BF16: {} linear layers, {kernels} kernels, the largest layer of \
        {:.0} million numbers. Nearest partners, all threads, without waiting for the disk.\n\n\
        {:.0} s ({:.2} GB/s; {:.0}·10⁹ products a second); `cp -r`: {:.0} s. \
        Peak memory, MiB: {} / no file behind it {}.\n",
        bytes as f64 / 1e9,
        layers.len(),
        largest as f64 / 1e6,
        run.seconds,
        bytes as f64 / 1e9 / run.seconds,
        products / 1e9 / run.seconds,
        copy.seconds,
        mebibytes(run.peak_bytes),
        anonymous.map_or("?".to_owned(), mebibytes),
    ))
}

/// Makes the folder where it is missing; each file by a process of its own.
fn make(folder: &Path) -> Result<()> {
    let index = folder.join("model.safetensors.index.json");
    if index.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let mut map = Map::new();
    let mut total = 0;
    for shard in 0..SHARDS {
        let path = path(folder, shard);
        eprintln!("making {}", path.display());
        let mut make = Command::new(env::current_exe()?);
        make.args(["make", &format!("language{shard}")]).arg(&path);
        if !make.status()?.success() {
            return Err(format!("cannot make {}", path.display()).into());
        }
        for tensor in tensors(shard) {
            total += tensor.shape.iter().product::<usize>() * 2;
            let file = path.file_name().map(|name| name.to_string_lossy());
            map.insert(tensor.name, json!(file));
        }
    }
    let json = json!({"metadata": {"total_size": total}, "weight_map": map});
    fs::write(index, serde_json::to_vec_pretty(&json)?)?;
    Ok(())
}

fn path(folder: &Path, shard: usize) -> PathBuf {
    folder.join(format!("model-{:05}-of-{SHARDS:05}.safetensors", shard + 1))
}

/// The tensors of a file, by the name under which it is made.
pub fn shard(name: &str) -> Option<Vec<Tensor>> {
    let shard = name.strip_prefix("language")?.parse().ok()?;
    (shard < SHARDS).then(|| tensors(shard))
}

/// Whether it is merged: the head is not.
fn is_layer(tensor: &Tensor) -> bool {
    tensor.name.contains("proj")
}

fn tensors(shard: usize) -> Vec<Tensor> {
    let tensor = |name: String, shape: &[usize]| Tensor {
        name,
        dtype: Dtype::BF16,
        shape: shape.to_vec(),
    };
    let blocks = BLOCKS * shard / SHARDS..BLOCKS * (shard + 1) / SHARDS;
    let mut tensors: Vec<Tensor> = blocks
        .flat_map(|block| {
            let attention = ["q", "k", "v", "o"]
                .map(|part| (format!("self_attn.{part}_proj"), vec![WIDTH, WIDTH]));
            let rest = [
                ("mlp.gate_proj".to_owned(), vec![INNER, WIDTH]),
                ("mlp.up_proj".to_owned(), vec![INNER, WIDTH]),
                ("mlp.down_proj".to_owned(), vec![WIDTH, INNER]),
                ("input_layernorm".to_owned(), vec![WIDTH]),
                ("post_attention_layernorm".to_owned(), vec![WIDTH]),
            ];
            let parts = attention.into_iter().chain(rest);
            parts.map(move |(part, shape)| {
                tensor(format!("model.layers.{block}.{part}.weight"), &shape)
            })
        })
        .collect();
    if shard == 0 {
        tensors.push(tensor(
            "model.embed_tokens.weight".into(),
            &[VOCABULARY, WIDTH],
        ));
    }
    if shard + 1 == SHARDS {
        tensors.push(tensor("model.norm.weight".into(), &[WIDTH]));
        tensors.push(tensor("lm_head.weight".into(), &[VOCABULARY, WIDTH]));
    }
    tensors
}
