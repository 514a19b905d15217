//! What computes the similarities of a layer.

use std::sync::Arc;

use super::Precision;
use super::cuda::{Device, DevicePrecision};

/// What computes the similarities of a layer, and in which precision it screens them. No decision depends on it.
#[derive(Clone, Copy, Debug)]
pub enum Engine<'d> {
    /// The CPU, on rayon's threads.
    Cpu(Precision),
    /// A GPU that has been started.
    Device(&'d Arc<Device>, DevicePrecision),
}

impl Engine<'_> {
    /// The same in float32, the precision that figures need.
    pub fn in_float32(self) -> Self {
        match self {
            Self::Cpu(_) => Self::Cpu(Precision::F32),
            Self::Device(device, _) => Self::Device(device, DevicePrecision::F32),
        }
    }
}
