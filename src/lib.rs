//! Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs.
//!
//! InMerge (Wang, Almakky, Ma, Saeed, Yaqub, *In-Model Merging for Enhancing the Robustness of Medical Imaging
//! Classification Models*, arXiv 2502.20516) regularises a network by pulling similar kernels of a layer towards each
//! other: `K_i ← α·K_i + (1−α)·K_j` where their cosine similarity exceeds τ, with probability p, leaving the first L_s
//! convolutions alone. This crate does it to a checkpoint on disk.
//!
//! # The way of the data
//!
//! ```text
//!  IN ──▶ checkpoint ──▶ layers ──▶ weight ──▶ similarity ──▶ plan ──▶ apply ──▶ checkpoint ──▶ OUT
//!         header,        which      where a    which are      who      blends    copies the
//!         byte ranges    tensors    layer's    similar        merges   kernels   source, writes
//!            │           are        kernels    enough         with               merged kernels
//!            │           kernels    lie           │           whom               over it
//!            │              │                     ▼            │
//!            │              └───────────────▶ analysis         │
//!            │                                redundancy,      │
//!            │                                spectra          │
//!            └──────────────┬─────────────────────┴────────────┘
//!                           ▼
//!                        report: values to pages, figures, JSON and CSV
//! ```
//!
//! Five functions go that way, and take plain values: [`merge::run`] and [`merge::apply`] (one checkpoint),
//! [`watch::run`] (each checkpoint that appears in a folder), [`analyze::run`] (a report), and [`sensitivity::run`] (variants
//! of a checkpoint, each scored). They tell a [`Meter`](meter::Meter) how far they are, and neither print nor end the process.
//! The command line is a shell over them: [`cli`] reads flags, [`commands`] calls and prints.
//!
//! No shape ever changes. So an output is its source with the bytes of merged kernels overwritten, and appears complete or
//! not at all ([`atomic`]). Which kernels merge does not depend on the machine, on the number of threads, or on where
//! similarities are computed ([`similarity`]).
//!
//! # Examples
//!
//! ```
//! use inmerge_ckpt::checkpoint::{Checkpoint, Destination};
//! use inmerge_ckpt::{merge, atomic::Durability, selection, settings::Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let output = folder.path().join("merged.safetensors");
//! let source = Checkpoint::open("fixtures/checkpoints/demo.safetensors".as_ref())?;
//! let settings = Settings::default();
//! let layers = selection::find(&source, &settings, None)?;
//! let destination = Destination::check(&source, &output, false)?;
//! let request = merge::MergeRequest::new(&source, &layers, &settings).writing_to(&destination);
//! let mut merged = merge::run(&request, &Default::default(), &())?;
//! merged.publish(Durability::Synced, &())?;
//! println!("{} layers, {:?}", merged.plan.layers.len(), merged.warnings);
//! # assert!(output.exists());
//! # Ok(())
//! # }
//! ```

// What unit tests and integration tests share calls the crate by its name.
#[cfg(test)]
extern crate self as inmerge_ckpt;

pub mod analysis;
pub mod analyze;
pub mod apply;
pub mod atomic;
pub mod blas;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod compute;
pub mod console;
mod diff;
pub mod error;
pub(crate) mod files;
#[doc(hidden)]
pub mod fuzzing;
pub mod interrupted;
mod json_lines;
pub mod layers;
pub mod limits;
pub mod merge;
pub mod meter;
pub mod plan;
pub mod report;
mod schedule;
#[cfg(test)]
mod schemas;
pub mod selection;
pub mod sensitivity;
pub mod settings;
mod simd;
pub mod similarity;
pub mod splitmix;
pub mod watch;
pub mod weight;

/// The program and its version, for what it writes.
pub(crate) const TOOL: &str = concat!("inmerge-ckpt ", env!("CARGO_PKG_VERSION"));
