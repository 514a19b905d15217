//! How time grows: with the kernels of a layer, and (not) with the size of a file that is only inspected.

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo, View};

use crate::Result;
use crate::checkpoints::Checkpoint;
use crate::contenders::{Contender, OURS, Workshop, ours};
use crate::measure;
use crate::table::{Times, mebibytes, seconds, table};

/// The numbers of a kernel: 128 channels of 3×3.
const WIDTH: usize = 1152;

/// The shape of the tensor that makes a file large: 10 GB of float32.
const HUGE: [usize; 2] = [2_500_000, 1000];

/// The tables.
pub fn run(workshop: &Workshop, rounds: u32) -> Result<String> {
    let mut text = kernels(workshop, rounds)?;
    text += "\n";
    text += &inspection(workshop, rounds)?;
    Ok(text)
}

/// One layer of more and more kernels.
fn kernels(workshop: &Workshop, rounds: u32) -> Result<String> {
    let header = [
        "kernels",
        "MB",
        "s",
        "GFLOP/s",
        "ps / n²d",
        "MiB / no file",
        "floor, s",
        "/ floor",
    ];
    let mut rows = Vec::new();
    for n in (8..=14).map(|power| 1_usize << power) {
        let checkpoint = Checkpoint::named(&format!("scale{n}")).ok_or("no such checkpoint")?;
        workshop.prepare(&checkpoint)?;
        eprintln!("{n} kernels");
        let output = workshop.scratch("output");
        let command = |contender| workshop.command(contender, &checkpoint, &output);
        let anonymous = measure::watched(&mut command(OURS)?)?;
        measure::watched(&mut command(Contender::Floor)?)?;

        let (mut times, mut floor, mut peak) = (Times::default(), Times::default(), 0);
        for _ in 0..rounds {
            let run = measure::timed(&mut command(OURS)?)?;
            times.push(run.seconds);
            peak = peak.max(run.peak_bytes);
            floor.push(measure::timed(&mut command(Contender::Floor)?)?.seconds);
        }
        fs::remove_file(&output)?;

        let operations = (n * n * WIDTH) as f64;
        let median = times.median();
        rows.push(vec![
            n.to_string(),
            format!(
                "{:.1}",
                fs::metadata(workshop.input(&checkpoint))?.len() as f64 / 1e6
            ),
            times.to_string(),
            format!("{:.1}", operations / median / 1e9),
            format!("{:.2}", median / operations * 1e12),
            format!(
                "{} / {}",
                mebibytes(peak),
                anonymous.map_or("?".to_owned(), mebibytes)
            ),
            seconds(floor.median()),
            format!("{:.2}", median / floor.median()),
        ]);
    }
    Ok(format!(
        "One layer of n kernels of d = {WIDTH} numbers, nearest partners, 2 threads. A similarity matrix takes n²d \
        operations: n²/2 pairs, d products, each multiplied and added.\n\n{}",
        table(header.map(str::to_owned).to_vec(), rows)
    ))
}

/// How long `inspect` takes to say its first word on a file of ten gigabytes.
fn inspection(workshop: &Workshop, rounds: u32) -> Result<String> {
    let path = workshop.scratch("huge.safetensors");
    let bytes = write_sparse(&path)?;
    first_word(&path)?;
    let mut times = Times::default();
    for _ in 0..rounds {
        times.push(first_word(&path)?);
    }
    Ok(format!(
        "`inspect` on a file of {:.1} GB: its first word after {times} s.\n",
        bytes as f64 / 1e9
    ))
}

/// The seconds from the start of `inspect` to its first byte.
fn first_word(path: &Path) -> Result<f64> {
    let mut inspect = ours();
    inspect.arg("inspect").arg(path).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = inspect.spawn()?;
    let mut words = child.stdout.take().ok_or("no output")?;
    words.read_exact(&mut [0])?;
    let seconds = start.elapsed().as_secs_f64();
    words.read_to_end(&mut Vec::new())?;
    match child.wait()?.success() {
        true => Ok(seconds),
        false => Err("inspect failed".into()),
    }
}

/// Writes a ResNet-50 with one huge tensor beside it, the header only: the rest is a hole. The file's length.
fn write_sparse(path: &Path) -> Result<u64> {
    let network = Checkpoint::named("resnet50").ok_or("no such checkpoint")?;
    let tensors = network.tensors.iter();
    let mut shapes: Vec<(String, Dtype, Vec<usize>)> = tensors
        .map(|tensor| (tensor.name.clone(), tensor.dtype(), tensor.shape().to_vec()))
        .collect();
    shapes.push(("embedding.weight".to_owned(), Dtype::F32, HUGE.to_vec()));

    let mut end = 0;
    let infos = shapes.into_iter().map(|(name, dtype, shape)| {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let data_offsets = (start, end);
        (
            name,
            TensorInfo {
                dtype,
                shape,
                data_offsets,
            },
        )
    });
    let header = serde_json::to_vec(&Metadata::new(None, infos.collect())?)?;
    let length = (8 + header.len() + end) as u64;
    let mut file = BufWriter::new(fs::File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    file.into_inner()?.set_len(length)?;
    Ok(length)
}
