//! Merge similar convolution kernels of a safetensors checkpoint between fine-tuning epochs.
//!
//! InMerge (Wang, Almakky, Ma, Saeed, Yaqub, *In-Model Merging for Enhancing the Robustness of Medical Imaging
//! Classification Models*, arXiv 2502.20516) regularises a network by pulling similar kernels of a layer towards each
//! other: `K_i ← α·K_i + (1−α)·K_j` where their cosine similarity exceeds τ, with probability p, leaving the first L_s
//! convolutions alone. This crate does it to a checkpoint on disk. Its rooms read as the pipeline:
//!
//! [`checkpoint`] (read) → [`layers`] → [`weight`] → [`similarity`] → [`plan`] → [`apply`] → [`checkpoint`] (write) →
//! [`report`]; [`place`] is how files come to the disk whole. [`sensitivity`] goes through it for many variants of one
//! checkpoint, [`watch`] for every checkpoint that comes into a folder, and [`commands`] puts all together for the command
//! line of [`cli`].

// What unit tests and integration tests share calls the crate by its name.
#[cfg(test)]
extern crate self as inmerge_ckpt;

pub mod analysis;
pub mod apply;
pub mod atomic;
pub mod blas;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod diff;
pub mod error;
pub(crate) mod files;
#[doc(hidden)]
pub mod fuzzing;
mod json_lines;
pub mod layers;
pub mod limits;
pub mod meter;
pub mod plan;
pub mod report;
pub mod schedule;
pub mod sensitivity;
pub mod settings;
mod simd;
pub mod similarity;
pub mod splitmix;
pub mod watch;
pub mod weight;

/// The program and its version, for what it writes.
pub(crate) const TOOL: &str = concat!("inmerge-ckpt ", env!("CARGO_PKG_VERSION"));
